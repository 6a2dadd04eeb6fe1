"""A project's own defaults in avatar-edge.toml."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from avatar_runtime import AvatarGenerator
from avatar_runtime.command.cli import main

from .conftest import AvatarGen

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 reads no TOML without tomli")

DEFAULTS = """
[gen]
size = 64
circle = true
background = "#fc0"
format = "webp"
columns = 2
frames = 5

[serve]
port = 8080
"""


@pytest.fixture
def project(folder: Path) -> Path:
    (folder / "avatar-edge.toml").write_text(DEFAULTS)
    return folder


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def test_its_values_are_the_defaults(project: Path, avatar_gen: AvatarGen, tiny_model: Path) -> None:
    assert avatar_gen("alice", "bob").stdout == "alice.webp\nbob.webp\n"
    with Image.open(project / "alice.webp") as image:
        assert (image.size, image.getpixel((0, 0))) == ((64, 64), (255, 204, 0))
    assert avatar_gen("alice", "bob", "carol", "--out", "grid.png").exit_code == 0
    with Image.open(project / "grid.png") as image:
        assert image.size == (128, 128)


def test_the_command_line_comes_first(project: Path, avatar_gen: AvatarGen) -> None:
    assert avatar_gen("alice", "--size", "16", "--format", "png").stdout == "alice.png\n"
    with Image.open(project / "alice.png") as image:
        assert image.size == (16, 16)


def test_a_default_is_no_wish_where_it_has_no_use(project: Path, avatar_gen: AvatarGen) -> None:
    for options in (["--info"], ["--interpolate", "a", "b", "--out", "a.gif"], ["--out-dir", "new", "alice"]):
        assert avatar_gen(*options).exit_code == 0, options
    (project / "avatar-edge.toml").write_text('[gen]\nbackground = "white"\nscorer = "s.onnx"\n')
    assert avatar_gen("alice").exit_code == 0


def test_help_shows_it(project: Path, avatar_gen: AvatarGen) -> None:
    assert re.search(r"\[default:\s+5\]", avatar_gen("--help").stdout)


def test_a_list_is_an_option_that_is_repeated(folder: Path, avatar_gen: AvatarGen) -> None:
    for providers in ('"NoSuchProvider"', '["NoSuchProvider"]'):
        (folder / "avatar-edge.toml").write_text(f"[gen]\nprovider = {providers}\n")
        result = avatar_gen("alice")
        assert (result.exit_code, "NoSuchProvider is not in this onnxruntime" in result.stderr) == (1, True)


def test_another_folder_has_none(project: Path, avatar_gen: AvatarGen, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "inner").mkdir()
    monkeypatch.chdir(project / "inner")
    assert avatar_gen("alice").stdout == "alice.png\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[gen]\ncolums = 2\n", "avatar-edge.toml: [gen] has no option 'colums'; did you mean 'columns'?"),
        ("[gen]\nzzz = 2\n", "avatar-edge.toml: [gen] has no option 'zzz'; it may set background, best-of, "),
        ('[gen]\nout = "a.png"\n', "avatar-edge.toml: [gen] cannot set the option 'out'"),
        ("[gen]\nnames = []\n", "has no option 'names'"),
        ("[gne]\nsize = 2\n", "avatar-edge.toml: 'gne' is not one of its tables; use [gen], [serve], [export], [train"),
        ("size = 2\n", "avatar-edge.toml: 'size' is not one of its tables"),
        ("[gen\n", "avatar-edge.toml: it is not TOML: Expected ']'"),
        ('[gen]\nsize = "large"\n', "'large' is not a valid integer. (avatar-edge.toml sets it)"),
        ("[gen]\nsize = [1, 2]\n", "is not a valid integer. (avatar-edge.toml sets it)"),
        ("[gen]\nsize = true\n", "'True' is not a valid integer. (avatar-edge.toml sets it)"),
        ("[gen]\ncircle = 3\n", "'3' is not a valid boolean"),
        ('[gen]\nformat = "bmp"\n', "(avatar-edge.toml sets it)"),
        ("[gen]\nsize = 0\n", "a portrait's size must be from 1 to 4096 pixels, not 0"),
    ],
    ids=lambda value: value[:20],
)
def test_a_mistake_in_it_is_one_sentence(folder: Path, avatar_gen: AvatarGen, content: str, words: str) -> None:
    (folder / "avatar-edge.toml").write_text(content)
    refused(avatar_gen("alice"), words)
    assert [path.name for path in folder.iterdir()] == ["avatar-edge.toml"]


def test_a_file_that_cannot_be_read_is_one_sentence(folder: Path, avatar_gen: AvatarGen) -> None:
    (folder / "avatar-edge.toml").mkdir()
    refused(avatar_gen("alice"), "avatar-edge.toml: cannot read it")
    (folder / "avatar-edge.toml").rmdir()
    (folder / "avatar-edge.toml").write_bytes(b"[gen]\n\xff = 1\n")
    refused(avatar_gen("alice"), "avatar-edge.toml: it is not TOML")


def test_a_mistake_in_it_does_not_break_completion(folder: Path) -> None:
    (folder / "avatar-edge.toml").write_text("[gen\n")
    words = {"COMP_WORDS": "avatar-gen --circ", "COMP_CWORD": "1", "_AVATAR_GEN_COMPLETE": "bash_complete"}
    result = CliRunner().invoke(main, [], prog_name="avatar-gen", env=words)
    assert "--circle" in result.stdout


def test_the_same_model_for_everybody_in_a_project(folder: Path, tiny_model: Path) -> None:
    (folder / "avatar-edge.toml").write_text(f"[gen]\nmodel = {json.dumps(str(tiny_model))}\n")
    assert CliRunner().invoke(main, ["alice"]).exit_code == 0
    with Image.open(folder / "alice.png") as image:
        np.testing.assert_array_equal(np.array(image), AvatarGenerator.load(tiny_model).generate(["alice"])[0])


def test_the_other_commands_have_tables_of_their_own(folder: Path) -> None:
    pytest.importorskip("mindspore", reason="MindSpore has no wheel for this Python")
    from avatar_export.cli import main as avatar_export
    from avatar_runtime.serve.cli import main as avatar_serve
    from avatar_training.cli import main as avatar_train

    content = '[serve]\nport = 8081\n[export]\nprecision = "int8"\n[train]\ndata = "d.zip"\nbatch-size = 8\nsteps = 9\n'
    (folder / "avatar-edge.toml").write_text(content)
    assert "[default: 8081]" in CliRunner().invoke(avatar_serve, ["--help"]).stdout
    assert "[default: int8]" in CliRunner().invoke(avatar_export, ["--help"]).stdout
    shown = json.loads(CliRunner().invoke(avatar_train, ["--dry-run", "--batch-size", "4"]).stdout)
    assert (shown["data"], shown["steps"], shown["batch_size"]) == ("d.zip", 9, 4)
    shown = json.loads(CliRunner().invoke(avatar_train, ["--dry-run", "--epochs", "2"]).stdout)
    assert (shown["steps"], shown["epochs"]) == (None, 2)
    missing = CliRunner().invoke(avatar_train, ["grade", "--out", "new", "--grader", "ana"])
    assert "holds no faces yet" in missing.stderr
