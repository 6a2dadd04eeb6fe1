"""avatar-gen: one sentence for every bad input, and no file."""

import os
import re
import signal
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

import onnx
import pytest
from PIL import Image

from tiny_model import foreign_model

from .conftest import AvatarGen, Command, installed

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such file")


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def assert_one_sentence(exit_code: int, stderr: str) -> None:
    assert exit_code in (1, 2)
    assert stderr.count("Error:") == 1
    assert re.match("Error: .", stderr.splitlines()[-1])
    assert "Traceback" not in stderr


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    onnx.save(foreign_model(), folder / "foreign.onnx")
    (folder / "text.onnx").write_text("hello\n")
    (folder / "empty.onnx").touch()
    (folder / "truncated.onnx").write_bytes(tiny_model.read_bytes()[:-5000])
    return folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--count 0 --out a.png", "'--count': 0 is not in the range 1<=x<=1000000000"),
        ("--count x --out a.png", "'--count': 'x' is not a valid integer"),
        ("--count 262145 --out a.png", "262145 avatars of 32x32 pixels are 268 million pixels to draw"),
        ("--count 513 --columns 1 --out a.png", "more than 16384"),
        ("--count 5 --columns 1 --size 4096 --out a.png", "5 rows and 1 columns of 4096 pixels each would be 20480"),
        ("--size 0 --out a.png", "size must be from 1 to 4096 pixels, not 0"),
        ("--size 4097 --out-dir new", "size must be from 1 to 4096 pixels, not 4097"),
        ("--count 512 --columns 1 --out a.webp", "WEBP cannot hold a picture of 32x16384 pixels"),
        ("--truncation nan --out a.png", "a finite number from 0 to 2, not nan"),
        ("--truncation 2.1 --out-dir new", "a finite number from 0 to 2, not 2.1"),
        ("--truncation x --out a.png", "'x' is not a valid float"),
        ("--count 300000 --size 1 --out a.png", "300000 avatars of 32x32 pixels are 307 million pixels to draw"),
        ("--interpolate a b --frames 200000000 --size 1 --out a.gif", "204800 million pixels to draw"),
        ("--columns 0 --out a.png", "'--columns': 0 is not"),
        ("--threads 0 --out a.png", "'--threads': 0 is not"),
        ("--threads 999999999999 --out a.png", "threads must be from 1 to 256"),
        ("--out folder.png", "folder.png is a folder; name a file"),
        ("--out .", "a name without an extension has no format"),
        ("--out missing/a.png", "cannot write missing/a.png: there is no folder missing; make it first"),
        ("--out old.png/a.png", "cannot write"),
        (f"--out {'x' * 300}.png", "cannot write"),
        ("--out-dir old.png", "cannot make the folder old.png"),
        ("--out a.gif", "'.gif' is for animations, from one avatar to another; use one of .png, .webp, .jpg, .jpeg"),
        ("--out --count 3", "--out needs a value, and --count follows it"),
        ("--interpolate a --frames --out a.gif", "--interpolate needs a value, and --frames follows it"),
        ("--out a", "a name without an extension has no format; use one of .png"),
        ("--provider NoSuchProvider --out a.png", "NoSuchProvider is not in this onnxruntime"),
        ("", "say what to draw and where: avatar-gen alice writes alice.png"),
        ("--count 4", "--out FILE writes one picture and --out-dir DIR many"),
        ("--out a.png --out-dir new", "--out and --out-dir both say where to draw: use one or the other"),
        ("--out a.png --show", "--show and --out both say where to draw: use one or the other"),
        ("alice --show", "standard output is not a terminal, so nothing can be shown: write a file with --out FILE"),
        ("old", "old.png is already here, and nothing was drawn; to replace it add --out-dir ."),
        ("new --columns 2", "--columns arranges a grid; single files have no columns"),
        ("new --seed S", "names and --seed and --count both say what to draw"),
        ("models", "'models' is the name of a command; for the avatar of that name: --name models"),
        ("--info new", "--info cannot be used with a name"),
        ("--interpolate a b", "--interpolate draws one animation: it needs --out FILE"),
        ("--name alice --seed S --out a.png", "use one or the other"),
        ("--name alice --names-file old.png --out a.png", "names and --names-file both say what to draw"),
        ("--names-file missing --out a.png", "No such file"),
        ("--names-file {bad}/empty.onnx --out a.png", "empty.onnx holds no name"),
        ("--names-file {tiny} --out a.png", "which is not UTF-8; save the file as UTF-8"),
        ("--out a.png --format webp", "the name of --out FILE says its format"),
        ("--out-dir new --format gif", "'.gif' is for animations, from one avatar to another; use one of .png"),
        ("--out-dir new --format bmp", "'bmp' is not one of 'png', 'webp', 'avif', 'jpg', 'gif'"),
        ("--interpolate a b --out a.jpg", "'.jpg' holds no animation; use one of .gif, .webp, .png"),
        ("--interpolate a b --out a", "a name without extension holds no animation"),
        ("--interpolate a b --name c --out a.gif", "names and --interpolate both say what to draw"),
        ("--interpolate a", "Option '--interpolate' requires 2 arguments"),
        ("--interpolate a b --columns 2 --out a.gif", "an animation goes from one name to another, and has no columns"),
        ("--interpolate a b --frames 1 --out a.gif", "'--frames': 1 is not"),
        ("--interpolate a b --frames 9 --size 9999 --out a.gif", "from 1 to 4096 pixels"),
        ("--interpolate a b --frames 17 --size 4096 --out a.gif", "4096x4096 pixels are 285 million pixels to draw"),
        ("--interpolate a b --circle --out a.gif", ".gif has no soft transparency around a circle: give a background"),
        ("--frames 9 --out a.png", "--frames belongs to --interpolate A B"),
        ("--best-of 4 --out a.png", "--best-of K and --scorer FILE go together"),
        ("--scorer {tiny} --out a.png", "--best-of K and --scorer FILE go together"),
        ("--best-of 0 --scorer {tiny} --out a.png", "'--best-of': 0 is not"),
        ("--best-of 4 --scorer {tiny} --out a.png", "tiny.onnx: it is a generator of avatar-edge, where a scorer is"),
        ("--best-of 4 --scorer {bad}/foreign.onnx --out-dir new", "foreign.onnx: it is an ONNX model, but not one of"),
        ("--out a.jpg --circle", ".jpg has no soft transparency"),
        ("--out a.png --background white", "a background lies behind a circle"),
        ("--out a.png --circle --background whit", "'whit' is not a colour"),
        ("--out a.png --seed S --shard 1/2", "--shard divides single files: it needs --out-dir, and --seed or names"),
        ("--out-dir new --shard 1/2", "it needs --out-dir, and --seed or names"),
        ("--out-dir new --seed S --shard 3/2", "'3/2' is not I/N with I from 1 to N, such as 1/4"),
        ("--out-dir new --seed S --shard ²/2", "'²/2' is not I/N"),
        ("--out - --json", "both want standard output"),
        ("--info --out a.png", "--info cannot be used with --out"),
        ("--check --name alice", "--check cannot be used with a name"),
        ("--check --info", "--info cannot be used with --check"),
        ("--reproduce old.png", "old.png: it is not a picture that avatar-edge writes"),
        ("--reproduce missing.png", "missing.png: cannot read it: "),
        ("--reproduce .", "it is a folder, not a file"),
        pytest.param("--reproduce /dev/zero", "it is a device, not a file", marks=POSIX),
        ("--colour --out a.png", "No such option"),
        ("--model {bad}/missing.onnx --out a.png", "missing.onnx: cannot read it: "),
        ("--model {bad} --out a.png", "it is a folder, not a file"),
        ("--model {bad}/empty.onnx --out a.png", "empty.onnx: the file is empty"),
        ("--model {bad}/text.onnx --out a.png", "text.onnx: it is not an ONNX model"),
        ("--model {bad}/truncated.onnx --out-dir new", "truncated.onnx: it is not an ONNX model"),
        ("--model {bad}/foreign.onnx --out a.png", "foreign.onnx: it is an ONNX model, but not one of avatar-edge"),
    ],
    ids=lambda value: value[:40],
)
def test_bad_input_gives_one_sentence_and_no_file(
    folder: Path, avatar_gen: AvatarGen, bad_files: Path, tiny_model: Path, options: str, message: str
) -> None:
    (folder / "old.png").write_bytes(b"old")
    (folder / "folder.png").mkdir()
    result = avatar_gen(
        *(option.replace("{bad}", str(bad_files)).replace("{tiny}", str(tiny_model)) for option in options.split())
    )
    assert_one_sentence(result.exit_code, result.stderr)
    assert isinstance(result.exception, SystemExit)
    assert message in result.stderr
    assert result.stdout == ""
    assert listing(folder) == {"old.png": b"old", "folder.png": None}


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
@pytest.mark.parametrize("there", [True, False], ids=["a file", "nothing yet"])
def test_a_symbolic_link_stays_and_what_it_points_to_is_replaced(
    folder: Path, avatar_gen: AvatarGen, there: bool
) -> None:
    (folder / "real").mkdir()
    if there:
        (folder / "real/b.png").write_bytes(b"old")
    (folder / "a.png").symlink_to(Path("real/b.png"))
    assert avatar_gen("--name", "alice", "--out", "a.png").exit_code == 0
    assert (folder / "a.png").readlink() == Path("real/b.png")
    assert (folder / "real/b.png").read_bytes()[:4] == b"\x89PNG"
    assert sorted(listing(folder)) == ["a.png", "real", "real/b.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
@pytest.mark.parametrize("where", [["--out", "a.png"], ["--out-dir", "old"]], ids=["grid", "files"])
def test_a_file_that_does_not_fit_leaves_nothing(folder: Path, installed_avatar_gen: Command, where: list[str]) -> None:
    import resource

    (folder / "a.png").write_bytes(b"old")
    (folder / "old").mkdir()
    done = installed_avatar_gen(
        *where, "--count", "70", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    )
    assert_one_sentence(done.returncode, done.stderr)
    assert "File too large" in done.stderr
    assert listing(folder) == {"a.png": b"old", "old": None}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT between processes")
def test_ctrl_c_leaves_whole_files_alone_and_exits_with_130(folder: Path, tiny_model: Path) -> None:
    command = [installed("avatar-gen"), "--model", str(tiny_model), "--count", "1000000", "--out-dir", "new"]
    with Popen(command, stderr=PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not list((folder / "new").glob("*.png")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "Interrupted: what is written is whole.\n")
    for path in (folder / "new").iterdir():
        with Image.open(path) as image:
            image.load()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT between processes")
def test_ctrl_c_in_the_middle_of_a_large_grid_leaves_nothing(folder: Path, tiny_model: Path) -> None:
    (folder / "old.png").write_bytes(b"old")
    options = ["--model", str(tiny_model), "--names-file", "-", "--out", "old.png"]
    command = [sys.executable, "-m", "avatar_runtime", *options]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write("".join(f"name {i}\n" for i in range(200_000)))  # read when all is imported and loaded
        process.stdin.close()
        time.sleep(0.3)  # of ten seconds
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == ("", "Interrupted: what is written is whole.\n")
    assert listing(folder) == {"old.png": b"old"}
