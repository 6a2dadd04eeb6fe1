"""Models by the network: the right file or none, from the registry's address or a mirror; and without any network."""

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from avatar_runtime import AvatarError, AvatarGenerator, DownloadError, InputError, ModelFileError, OutputError
from avatar_runtime.command.cli import main
from avatar_runtime.model_file.fetching import fetch_model
from avatar_runtime.model_file.registry import KnownModel, default_model, find_model, known_models
from file_server import FileServer

from .conftest import entry, write_registry
from .test_models import CARRIED, OLDER

ID = "tiny@1"


@pytest.fixture
def site(file_server: FileServer, model_folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """A server that has the tiny model, and a registry that says so."""
    monkeypatch.delenv("AVATAR_EDGE_MODEL_URL", raising=False)
    file_server.data = tiny_model.read_bytes()
    write_registry(model_folder, **{ID: entry(tiny_model, url=f"{file_server.url}/releases/tiny.onnx")})
    return file_server


@pytest.fixture
def left(model_folder: Path) -> Callable[[], list[str]]:
    """The files of the model folder, but for its registry."""
    return lambda: sorted(path.name for path in model_folder.iterdir() if path.name != "models.json")


def avatar_gen(*options: str) -> Result:
    return CliRunner().invoke(main, options)


def test_a_model_is_fetched_once_then_draws(site: FileServer, left: Any) -> None:
    with pytest.raises(ModelFileError, match="not on this machine"):
        AvatarGenerator.load(ID)
    assert site.requests == [], "nothing is fetched unless it is asked for"
    seen: list[tuple[int, int | None]] = []
    path = fetch_model(ID, on_received=lambda *progress: seen.append(progress))
    assert path.read_bytes() == site.data
    assert seen[-1] == (len(site.data), len(site.data))
    assert site.paths == ["/releases/tiny.onnx"]
    with AvatarGenerator.load(ID) as generator:
        assert generator.model_id == ID
    assert fetch_model(ID) == path
    assert (len(site.requests), left()) == (1, ["tiny@1.onnx"])


def test_a_mirror_takes_the_place_of_the_registrys_address(
    site: FileServer, monkeypatch: pytest.MonkeyPatch, left: Any
) -> None:
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", f"{site.url}/mirror/")
    fetch_model(ID)
    assert (site.paths, left()) == (["/mirror/tiny@1.onnx"], ["tiny@1.onnx"])
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", "file:///etc")
    monkeypatch.delitem(sys.modules, "avatar_runtime.download", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert fetch_model(ID).read_bytes() == site.data  # it is there: neither an address nor pooch is needed


@pytest.mark.parametrize("script", [["cut"], ["503", "cut"], ["to /elsewhere"], ["unsized"], ["senseless"]])
def test_what_is_fetched_in_the_end_is_whole(site: FileServer, left: Any, script: list[str]) -> None:
    site.script = script.copy()
    assert fetch_model(ID).read_bytes() == site.data
    assert left() == ["tiny@1.onnx"]


@pytest.mark.parametrize(
    ("data", "script", "message"),
    [
        (None, ["cut, unsized"], r"tiny.onnx is another file: 1[\d,]+ bytes with SHA-256 \w{64}, not \w{64}; it was"),
        (None, ["short"], "is another file"),
        (None, ["404"], "the server answers 404 Not Found"),
        (None, ["cut"] * 9, "tried 6 times"),
        (b"<html>Log in first</html>", [], "is another file: 25 bytes"),
        (b"", [], "is another file: 0 bytes"),
        (None, ["long"], r"sends more than [\d,]+ bytes; it was not kept"),
        (bytes(2**20), [], r"sends more than [\d,]+ bytes; it was not kept"),
        (bytes(2**20), ["unsized"], r"sends more than [\d,]+ bytes; it was not kept"),
        (None, ["to file:///etc/passwd"], "cannot fetch .*: No connection adapters were found"),
        (None, ["to /again"] * 40, "cannot fetch .*: the server answers 302 Found"),
    ],
)
def test_a_damaged_or_lying_download_is_told_and_leaves_nothing(
    site: FileServer, left: Any, data: bytes | None, script: list[str], message: str
) -> None:
    site.data, site.script = site.data if data is None else data, script.copy()
    with pytest.raises(DownloadError, match=message):
        fetch_model(ID)
    assert left() == []
    site.script = script.copy()
    result = avatar_gen("models", "fetch", ID)
    assert (result.exit_code, result.stderr.count("Error:"), result.stdout, left()) == (1, 1, "", [])


def test_an_interrupted_download_leaves_nothing(site: FileServer, left: Any) -> None:
    def interrupt(received: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_model(ID, on_received=interrupt)
    assert left() == []


def test_a_damaged_file_in_the_folder_is_replaced_and_a_failed_try_keeps_it(
    site: FileServer, model_folder: Path, left: Any
) -> None:
    (model_folder / "tiny@1.onnx").write_bytes(b"half of a model")
    listed = avatar_gen("models").output
    assert "tiny@1: " in listed
    assert "cannot be used" in listed
    site.script = ["404"]
    with pytest.raises(DownloadError, match="404"):
        fetch_model(ID)
    assert (model_folder / "tiny@1.onnx").read_bytes() == b"half of a model"
    assert fetch_model(ID).read_bytes() == site.data
    assert left() == ["tiny@1.onnx"]


def test_what_cannot_be_fetched_is_said(
    site: FileServer, model_folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="'tiny' names no model: an id is a name and a version"):
        fetch_model("tiny")
    with pytest.raises(ModelFileError, match="there is no model tiny@2; there are"):
        fetch_model("tiny@2")
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", "ftp://mirror")
    with pytest.raises(DownloadError, match=r"ftp://mirror/tiny@1.onnx is not a web address"):
        fetch_model(ID)
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"cannot fetch http://127.0.0.1:1/tiny@1.onnx: .*refused"):
        fetch_model(ID)
    monkeypatch.delenv("AVATAR_EDGE_MODEL_URL")
    write_registry(model_folder, **{ID: entry(tiny_model)})
    with pytest.raises(DownloadError, match="no address for tiny@1 is known: set AVATAR_EDGE_MODEL_URL to a mirror's"):
        fetch_model(ID)
    monkeypatch.delitem(sys.modules, "avatar_runtime.download", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", site.url)
    with pytest.raises(AvatarError, match=r'fetching .*/tiny@1.onnx into .* needs pooch: pip install "avatar-edge\['):
        fetch_model(ID)
    assert site.requests == []


def test_a_folder_that_cannot_be_written_is_said(
    site: FileServer, model_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = known_models()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("AVATAR_EDGE_MODELS", str(tmp_path / "file"))
    monkeypatch.setattr("avatar_runtime.model_file.fetching.known_models", lambda: known)
    with pytest.raises(OutputError, match="cannot make the folder"):
        fetch_model(ID)


def test_an_air_gapped_machine_draws_from_a_copied_folder(
    model_folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copy(tiny_model, model_folder / "tiny@1.onnx")
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", "http://127.0.0.1:1")

    def no_network(*arguments: Any) -> Any:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    result = avatar_gen("--name", "alice", "--model", ID, "--out", str(tmp_path / "alice.png"))
    assert result.exit_code == 0, result.output
    assert fetch_model(OLDER).exists()  # the package has it


def test_drawing_does_not_import_what_fetches() -> None:
    code = "import sys; from avatar_runtime import AvatarGenerator; AvatarGenerator.load(); print(sorted(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'onnxruntime'" in told
    assert not {"pooch", "requests", "avatar_runtime.download"} & set(told.replace("'", "").strip("[]\n").split(", "))


def test_models_are_listed_for_people_and_programs(site: FileServer, model_folder: Path, tiny_model: Path) -> None:
    (model_folder / "own@2.onnx").write_bytes(tiny_model.read_bytes())  # says that it is tiny@1
    lines = [json.loads(line) for line in avatar_gen("models", "--json").output.splitlines()]
    by_id = {line["id"]: line for line in lines}
    assert [line["id"] for line in lines] == sorted({*known_models(), "own@2"})
    assert [line["id"] for line in lines if line["default"]] == [AvatarGenerator.load().model_id]
    assert by_id["tiny@1"]["state"] == "not on this machine"
    assert by_id["own@2"]["state"].startswith("cannot be used: ")
    assert by_id[OLDER] == {
        "id": OLDER,
        "default": False,
        "state": "in the package",
        "path": str(find_model(OLDER).path),
        **{key: getattr(known_models()[OLDER], key) for key in KnownModel.__dataclass_fields__},
    }
    fetch_model(ID)
    text = avatar_gen("models").output
    assert re.search(rf"^{default_model()} \(default\): \d+x\d+x3, [\d.]+ MB, MIT, in the package$", text, re.MULTILINE)
    assert "tiny@1: 32x32x3, 0." in text
    assert str(model_folder / "tiny@1.onnx") in text


def test_a_registry_cannot_move_the_cursor(model_folder: Path, tiny_model: Path) -> None:
    write_registry(model_folder, **{ID: entry(tiny_model, quality="\x1b[2J gone")})
    assert "\x1b" not in avatar_gen("models").output


def test_models_is_a_command_and_can_still_be_a_name(tmp_path: Path) -> None:
    assert avatar_gen("models", "--help").output.startswith("Usage: ")
    assert avatar_gen("--name", "models", "--out", str(tmp_path / "models.png")).exit_code == 0
    assert avatar_gen("models", "nonsense").exit_code == 2


def test_a_shell_completes_ids_and_files(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def completed(*words: str) -> list[str]:
        environment = {"_MAIN_COMPLETE": "bash_complete", "COMP_CWORD": str(len(words))}
        environment["COMP_WORDS"] = " ".join(["main", *words])
        return [line.split(",")[1] for line in CliRunner().invoke(main, env=environment).output.splitlines()]

    name = default_model().split("@")[0]
    assert set(CARRIED) >= set(completed("--model", name)) >= {default_model()}
    assert default_model() in completed("models", "fetch", name)
    assert completed("models", "f") == ["fetch"]
    assert completed("--model", "own.on") == ["own.on"]  # for the shell to complete as a file
    (model_folder / "models.json").write_text("{")
    assert completed("--model", name) == [name]
