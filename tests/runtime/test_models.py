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
from avatar_runtime.model_file.registry import default_model, find_model, is_id, known_models, model_folder

RELEASED = {
    "anime-faces-64@1": "50c2d87e5dc75987798cb2a86332355965da5f1b59758275de94cfdc3e2fb492",
    "anime-faces-64@2": "4a7414a996e98a9391655d680d7fe634178cc77e62c4907e3992799a19829bd8",
}
"""SHA-256 of every model ever released. Add lines; never change or remove one."""
PACKAGE = embedded_model().parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder of the user's."""
    monkeypatch.setenv("AVATAR_EDGE_MODELS", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def entry(path: Path, **changes: Any) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), **changes}


def write_registry(folder: Path, **models: Any) -> None:
    (folder / "models.json").write_text(json.dumps({"models": models}))


def test_a_released_model_never_changes() -> None:
    assert {id: known.sha256 for id, known in known_models().items()} == RELEASED
    carried = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in PACKAGE.glob("*.onnx")}
    assert carried.items() <= RELEASED.items()
    assert default_model() in carried
    assert len(carried) == 2, "the package carries the default and the one before"


@pytest.mark.parametrize("id", [path.stem for path in sorted(PACKAGE.glob("*.onnx"))])
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
    with AvatarGenerator.load("anime-faces-64@1") as before:
        assert before.model_id == "anime-faces-64@1"
        assert not np.array_equal(before.generate(["alice"]), unnamed_alice())


def unnamed_alice() -> Any:
    with AvatarGenerator.load() as generator:
        return generator.generate(["alice"])


@pytest.mark.parametrize("text", ["a@1", "anime-faces-128@2", "A.b_c-9@999999"])
def test_an_id_is_a_name_and_a_version(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["a", "a@0", "a@01", "a@1.onnx", "../a@1", "a/b@1", ".a@1", "a@1\n", "ä@1", "@1", 1])
def test_what_is_no_id_is_a_path(text: Any) -> None:
    assert not is_id(text)


def test_a_file_of_ones_own_is_found_by_id_in_the_folder(folder: Path, tiny_model: Path) -> None:
    shutil.copy(tiny_model, folder / "tiny@1.onnx")
    with AvatarGenerator.load("tiny@1", exact=True) as generator:
        faces = generator.generate(["alice"])
        assert generator.model_id == "tiny@1"
        again = pickle.loads(pickle.dumps(generator))
    assert np.array_equal(again.generate(["alice"]), faces)
    (folder / "other@3.onnx").write_bytes(tiny_model.read_bytes())
    with pytest.raises(ModelFileError, match=r"other@3.onnx: it says that it is tiny@1; rename it to tiny@1.onnx"):
        AvatarGenerator.load("other@3")


def test_a_pickled_generator_finds_its_model_where_the_other_machine_has_it(
    folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(tiny_model, folder / "tiny@1.onnx")
    with AvatarGenerator.load("tiny@1") as generator:
        packed = pickle.dumps(generator)
    there = folder.rename(folder.with_name("there"))
    monkeypatch.setenv("AVATAR_EDGE_MODELS", str(there))
    assert pickle.loads(packed).model_id == "tiny@1"


def test_a_path_may_look_like_an_id_if_it_is_a_path(tmp_path: Path, tiny_model: Path) -> None:
    path = tmp_path / "anime-faces-64@1"
    path.write_bytes(tiny_model.read_bytes())
    with AvatarGenerator.load(path) as generator:
        assert generator.model_id == "tiny@1"


def test_a_file_that_is_not_the_registered_one_is_refused(folder: Path, tiny_model: Path) -> None:
    write_registry(folder, **{"tiny@1": entry(tiny_model)})
    data = tiny_model.read_bytes()
    (folder / "tiny@1.onnx").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ModelFileError, match=r"tiny@1.onnx: it is damaged, or not the released tiny@1"):
        AvatarGenerator.load("tiny@1")


def test_what_is_missing_is_said_with_what_to_do(folder: Path, tiny_model: Path) -> None:
    write_registry(folder, **{"tiny@1": entry(tiny_model)})
    with pytest.raises(
        ModelFileError, match=r"tiny@1 is not on this machine: `avatar-gen models fetch tiny@1`, or put"
    ):
        find_model("tiny@1")
    with pytest.raises(ModelFileError, match=r"no model tiny@2 is known; known are anime-faces-64@1, .*, tiny@1\. A"):
        find_model("tiny@2")
    with pytest.raises(ModelFileError, match=r"anime-faces-64 has versions: name one, as in anime-faces-64@1 or"):
        find_model("anime-faces-64")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no registry of models"),
        ("[]", "it is not a JSON object"),
        ("{}", "models is None"),
        ('{"models": {"a": {}}}', "a is no entry of the form NAME@VERSION"),
        ('{"models": {"a@1": {"size": 1}}}', "a@1.sha256 is missing"),
        ('{"models": {"../a@1": {"sha256": "' + "0" * 64 + '", "size": 1}}}', "no entry of the form"),
        ('{"models": {"a@1": {"sha256": "' + "0" * 64 + '", "size": -1}}}', "a@1.size is -1"),
        ('{"models": {"anime-faces-64@1": {"sha256": "' + "0" * 64 + '", "size": 1}}}', "another SHA-256 than in the"),
    ],
)
def test_a_damaged_registry_is_refused_with_its_path(folder: Path, text: str, message: str) -> None:
    (folder / "models.json").write_text(text)
    with pytest.raises(ModelFileError, match=message) as refused:
        known_models()
    assert str(folder / "models.json") in str(refused.value)
    assert AvatarGenerator.load().model_id == default_model()  # the package's own need no folder


def test_the_folder_is_the_users_caches_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVATAR_EDGE_MODELS", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert model_folder() == tmp_path / "avatar-edge" / "models"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the standard says: ignore it
    assert model_folder() == Path.home() / ".cache" / "avatar-edge" / "models"

    def no_home(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    with pytest.raises(AvatarError, match="no home folder for models: set AVATAR_EDGE_MODELS"):
        model_folder()
    assert AvatarGenerator.load().model_id == default_model()


def test_the_command_draws_with_a_named_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run: Callable[..., Any] = lambda *options: CliRunner().invoke(main, options)  # noqa: E731
    assert run("--name", "alice", "--model", "anime-faces-64@1", "--out", "a.png").exit_code == 0
    assert run("--reproduce", "a.png", "--model", "anime-faces-64@1").exit_code == 0
    assert run("--reproduce", "a.png").exit_code == 2
    assert json.loads(run("--info", "--json").output)["id"] == default_model()
    refused = run("--info", "--model", "nobody@1")
    assert (refused.exit_code, refused.stderr.count("Error:")) == (1, 1)
