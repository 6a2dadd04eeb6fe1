"""Models by id: each version has one file for ever, and an id opens that file or nothing."""

import hashlib
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from avatar_runtime import AvatarError, AvatarGenerator, ModelFileError
from avatar_runtime.command.cli import main
from avatar_runtime.generator import embedded_model
from avatar_runtime.model_file.registry import default_model, find_model, is_id, known_models
from avatar_runtime.model_file.registry import model_folder as user_folder

from .conftest import entry, write_registry

RELEASED = {
    "anime-faces-128@1": "c414a64f02235ab89b2fa88d6d9acec1fc0d9f8e663ead7cdcec2ea20ce8c535",
    "anime-faces-64@4": "67c944ea4cae32ac4bbb077f048a2286b0fdb1aff10e31c8698353719080a20b",
}
"""SHA-256 of the models of all releases. A release adds lines; never change or remove one."""
CARRIED = {path.stem: path for path in sorted(embedded_model().parent.glob("*.onnx"))}
OLDER = next(id for id in CARRIED if id != default_model())
ZEROS = f'"sha256": "{"0" * 64}"'


def test_a_released_model_never_changes() -> None:
    known = {id: model.sha256 for id, model in known_models().items()}
    assert known | RELEASED == known
    assert {id: hashlib.sha256(path.read_bytes()).hexdigest() for id, path in CARRIED.items()}.items() <= known.items()


def test_the_package_carries_the_default_and_the_one_before_and_the_others_can_be_fetched() -> None:
    assert default_model() in CARRIED
    assert len(CARRIED) == 2
    assert all(model.url for id, model in known_models().items() if id not in CARRIED)


@pytest.mark.parametrize("id", CARRIED)
def test_each_model_in_the_package_is_what_the_registry_says_and_draws_its_golden_images(id: str) -> None:
    known, path = known_models()[id], find_model(id).path
    with AvatarGenerator.load(id) as generator:
        spec = generator.spec
        assert (generator.model_id, spec.id, f"{spec.name}@{spec.version}") == (id, id, id)
        assert (known.size, known.license) == (path.stat().st_size, spec.license)
        assert known.shape == f"{spec.image_size}x{spec.image_size}x{spec.channels}"
        assert generator.model_sha256 == known.sha256
        assert spec.golden is not None
        assert generator.verify() <= spec.golden.tolerance
    assert known.quality


def test_the_default_is_what_is_drawn_without_a_name() -> None:
    with AvatarGenerator.load() as unnamed, AvatarGenerator.load(default_model()) as named:
        assert unnamed.model_id == default_model() == named.model_id
        assert np.array_equal(unnamed.generate(["alice"]), named.generate(["alice"]))
        faces = unnamed.generate(["alice"])
    with AvatarGenerator.load(OLDER) as before:
        assert before.model_id == OLDER
        assert not np.array_equal(before.generate(["alice"]), faces)


def test_an_id_is_a_name_and_a_version_and_else_it_is_a_path() -> None:
    assert all(map(is_id, ["a@1", "anime-faces-128@2", "A.b_c-9@999999"]))
    paths: list[Any] = ["a", "a@0", "a@01", "a@1.onnx", "../a@1", "a/b@1", ".a@1", "a@1\n", "ä@1", "@1", 1]
    assert not any(map(is_id, paths))


def test_a_name_is_the_newest_version_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_model("anime-faces-64") == find_model("anime-faces-64@4")
    known = known_models()[OLDER]
    several = ("", dict.fromkeys(("faces@9", "faces@10", "faces@2", "faces-64@11"), known))
    monkeypatch.setattr("avatar_runtime.model_file.registry._package_registry", lambda: several)
    with pytest.raises(ModelFileError, match="faces@10 is not on this machine"):
        find_model("faces")
    monkeypatch.chdir(tmp_path)
    assert find_model(Path("faces")).path == Path("faces")
    Path("faces").touch()
    assert find_model("faces").path == Path("faces")  # what is there is meant


def test_a_file_of_ones_own_is_found_by_id_in_the_folder(model_folder: Path, tiny_model: Path) -> None:
    shutil.copy(tiny_model, model_folder / "tiny@1.onnx")
    with AvatarGenerator.load("tiny@1", exact=True) as generator:
        faces = generator.generate(["alice"])
        assert generator.model_id == "tiny@1"
        again = pickle.loads(pickle.dumps(generator))
    assert np.array_equal(again.generate(["alice"]), faces)
    (model_folder / "other@3.onnx").write_bytes(tiny_model.read_bytes())
    with pytest.raises(ModelFileError, match=r"other@3.onnx: it says that it is tiny@1; rename it to tiny@1.onnx"):
        AvatarGenerator.load("other@3")


def test_a_pickled_generator_finds_its_model_where_the_other_machine_has_it(
    model_folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny_model, model_folder / "tiny@1.onnx")
    with AvatarGenerator.load("tiny@1") as generator:
        packed = pickle.dumps(generator)
    there = model_folder.rename(model_folder.with_name("there"))
    monkeypatch.setenv("AVATAR_EDGE_MODELS", str(there))
    assert pickle.loads(packed).model_id == "tiny@1"


def test_a_path_may_look_like_an_id_if_it_is_a_path(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / OLDER
    path.write_bytes(tiny_model.read_bytes())
    with AvatarGenerator.load(path) as generator:
        assert generator.model_id == "tiny@1"


def test_a_file_that_is_not_the_registered_one_is_refused(model_folder: Path, tiny_model: Path) -> None:
    write_registry(model_folder, **{"tiny@1": entry(tiny_model)})
    data = tiny_model.read_bytes()
    (model_folder / "tiny@1.onnx").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelFileError, match=r"tiny@1.onnx: it is damaged, or not the released tiny@1"):
        AvatarGenerator.load("tiny@1")


def test_what_is_missing_is_said_with_what_to_do(model_folder: Path, tiny_model: Path) -> None:
    write_registry(model_folder, **{"tiny@1": entry(tiny_model)})
    with pytest.raises(ModelFileError, match="tiny@1 is not on this machine: `avatar-gen models fetch tiny@1`, or put"):
        find_model("tiny@1")
    with pytest.raises(ModelFileError, match=r"there is no model tiny@2; there are .*, tiny@1\. Put"):
        find_model("tiny@2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a registry of models"),
        ("[]", "it is not a JSON object"),
        ("{}", "models is None"),
        ('{"models": {"a": {}}}', "a is not an entry of the form NAME@VERSION"),
        ('{"models": {"a@1": {"size": 1}}}', "a@1.sha256 is missing"),
        (f'{{"models": {{"../a@1": {{{ZEROS}, "size": 1}}}}}}', "not an entry of the form"),
        (f'{{"models": {{"a@1": {{{ZEROS}, "size": -1}}}}}}', "a@1.size is -1"),
        (f'{{"models": {{"a@1": {{{ZEROS}, "size": 1, "url": "\\u001b[2J"}}}}}}', "a@1.url is not a web address"),
        (" " * 2**21, "more than 1048576"),
        (f'{{"models": {{"{OLDER}": {{{ZEROS}, "size": 1}}}}}}', "another SHA-256 than in the"),
    ],
)
def test_a_damaged_registry_is_refused_with_its_path(model_folder: Path, text: str, message: str) -> None:
    (model_folder / "models.json").write_text(text)
    with pytest.raises(ModelFileError, match=message) as refused:
        known_models()
    assert str(model_folder / "models.json") in str(refused.value)
    assert AvatarGenerator.load().model_id == default_model()  # the package's own need no folder


def test_a_folder_that_cannot_be_looked_into_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("AVATAR_EDGE_MODELS", "/closed")
    monkeypatch.setattr(Path, "exists", denied)
    for look in (known_models, lambda: find_model("tiny@1")):
        with pytest.raises(ModelFileError, match=r"cannot look into .*closed: Permission denied"):
            look()


def test_the_folder_is_the_users_caches_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVATAR_EDGE_MODELS", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "avatar-edge" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the standard says: ignore it
    assert user_folder() == Path.home() / ".cache" / "avatar-edge" / "models"

    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(AvatarError, match="no home folder for models: set AVATAR_EDGE_MODELS"):
        user_folder()
    assert AvatarGenerator.load().model_id == default_model()


def test_the_command_draws_with_a_named_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run: Callable[..., Any] = lambda *options: CliRunner().invoke(main, options)  # noqa: E731
    assert run("--name", "alice", "--model", OLDER, "--out", "a.png").exit_code == 0
    assert run("--reproduce", "a.png", "--model", OLDER).exit_code == 0
    refused = run("--reproduce", "a.png")
    assert refused.exit_code == 2
    assert f"it was drawn by another model, {OLDER}; use that one" in refused.stderr
    assert json.loads(run("--info", "--json").output)["id"] == default_model()
    refused = run("--info", "--model", "nobody@1")
    assert (refused.exit_code, refused.stderr.count("Error:")) == (1, 1)
