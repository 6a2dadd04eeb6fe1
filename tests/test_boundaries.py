"""What holds between the rooms, beyond what import-linter checks."""

import os
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest


def test_the_runtime_has_four_dependencies() -> None:
    needed = [line for line in requires("avatar-edge") or [] if "extra ==" not in line]
    assert {line.partition(">")[0].strip() for line in needed} == {"numpy", "onnxruntime", "pillow", "click"}


@pytest.mark.parametrize("room", ["avatar_runtime", "avatar_export", "avatar_training"])
def test_importing_a_room_brings_in_nothing_heavy_and_changes_nothing(room: str) -> None:
    program = f"""
import logging, os, random, sys, threading
import numpy
before = (dict(os.environ), random.getstate(), numpy.random.get_state()[1].tobytes(), threading.active_count())
import {room}
after = (dict(os.environ), random.getstate(), numpy.random.get_state()[1].tobytes(), threading.active_count())
assert before == after
assert not logging.getLogger().handlers
heavy = {{"mindspore", "onnx", "matplotlib", "click", "socket"}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_drawing_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    program = "from avatar_runtime import AvatarGenerator; AvatarGenerator.load().generate(['alice'])"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, **home})
    assert not list(tmp_path.iterdir())


def test_training_too_lets_onnxruntime_leave_no_device_id_there(tmp_path: Path) -> None:
    pytest.importorskip("mindspore", reason="MindSpore has no wheel for this Python")
    users = ("metrics.features", "networks.frozen_features", "steering.activations")
    program = "\n".join(f"import avatar_training.{user}" for user in users)
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, **home})
    assert not list(tmp_path.rglob("*onnxruntime*"))


@pytest.mark.parametrize("command", ["avatar_gen", "avatar_serve", "avatar_export", "avatar_train"])
def test_every_command_answers_help_without_its_extra(command: str) -> None:
    program = f"""
import sys
for heavy in ("mindspore", "onnx", "matplotlib"):
    sys.modules[heavy] = None
sys.argv[1:] = ["--help"]
from avatar_runtime.command import process
process.{command}()
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "Examples:" in done.stdout


@pytest.mark.parametrize(
    ("extra", "missing"),
    [("export", "mindspore"), ("export", "onnx"), ("train", "mindspore"), ("train", "matplotlib")],
)
def test_without_its_extra_a_command_names_the_pip_line(tmp_path: Path, extra: str, missing: str) -> None:
    main = f"from avatar_{'training' if extra == 'train' else extra}.cli import main; main(prog_name='avatar-{extra}')"
    program = f"import sys; sys.modules[{missing!r}] = None; {main}"
    command = [sys.executable, "-c", program, *(["--data", "d"] if extra == "train" else [])]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"Error: avatar-{extra} needs {missing}")
    assert f'pip install "avatar-edge[{extra}]"' in done.stderr
    assert not list(tmp_path.iterdir())


def test_help_and_completion_of_avatar_gen_load_nothing_that_draws() -> None:
    program = """
import sys
from avatar_runtime.command.cli import main
main(["--help"], standalone_mode=False)
heavy = {"numpy", "onnxruntime", "PIL"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
