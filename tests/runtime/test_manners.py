"""What a program that embeds the runtime may rely on: threads, processes, types, and no side effects."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from avatar_runtime import AvatarError, AvatarGenerator, InputError, ModelFileError
from avatar_runtime.imaging.arrays import UInt8
from tiny_model import foreign_model, tiny_weights, write_tiny_model

NAMES = ["alice", "", "アリス", *(f"S/{i}" for i in range(13))]

PROGRAM = """
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from avatar_runtime import AvatarError, AvatarGenerator, ModelSpec


def draw(names: list[str]) -> npt.NDArray[np.uint8]:
    with AvatarGenerator.load("model.onnx", threads=1, exact=True) as generator:
        spec: ModelSpec = generator.spec
        pictures: list[Image.Image] = generator.images(names, truncation=0.7)
        parts: Iterator[npt.NDArray[np.uint8]] = generator.stream(spec.latent_dim, seed="S")
        print(len(pictures), next(parts).shape, generator.mix("a", "b", 0.5).max())
        return generator.interpolate(names[0], names[1], 3)


try:
    draw(["alice", "bob"])
except AvatarError as err:
    print(err)
"""


@pytest.fixture(scope="module")
def avatars(generator: AvatarGenerator) -> UInt8:
    return generator.generate(NAMES)


def run_program(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_importing_leaves_the_process_as_it_was() -> None:
    run_program("""
import gc, locale, logging, os, random, signal, socket, sys, threading, warnings
import numpy, onnxruntime, PIL.Image
def state():
    handlers = [getattr(logger, "handlers", []) for logger in [logging.root, *logging.root.manager.loggerDict.values()]]
    return (
        dict(os.environ), os.getcwd(), sorted(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0,
        random.getstate(), str(numpy.random.get_state()), numpy.geterr(), threading.enumerate(), gc.get_threshold(),
        sum(handlers, []), logging.root.level, list(warnings.filters), locale.getlocale(), sys.path[:],
        [signal.getsignal(number) for number in signal.valid_signals()], sys.excepthook, socket.getdefaulttimeout(),
    )
before = state()
import avatar_runtime
from avatar_runtime import *
after = state()
for one, other in zip(before, after, strict=True):
    assert one == other, (one, other)
""")


def test_drawing_opens_no_socket_and_touches_nothing_global(tiny_model: Path) -> None:
    program = """
import os, random, socket, sys, warnings
import numpy
opened = []
own_name = "socket.gethostname"  # Windows' platform module asks for it
sys.addaudithook(lambda event, _: opened.append(event) if event.startswith("socket.") and event != own_name else None)
warnings.simplefilter("error")
before = dict(os.environ), random.getstate(), str(numpy.random.get_state())
from avatar_runtime import AvatarGenerator
generator = AvatarGenerator.load(sys.argv[1])
generator.images(70)
generator.interpolate("a", "b", 3)
generator.verify()
assert before == (dict(os.environ), random.getstate(), str(numpy.random.get_state()))
assert not opened, opened
"""
    assert run_program(program, str(tiny_model)) == ""


def test_an_interrupted_or_failed_call_leaves_the_generator_usable(generator: AvatarGenerator, avatars: UInt8) -> None:
    stream = generator.stream(NAMES, batch_size=2)
    next(stream)
    del stream
    with pytest.raises(InputError):
        generator.generate(["alice", 7])  # type: ignore[list-item]
    np.testing.assert_array_equal(generator.generate(NAMES), avatars)


@pytest.mark.parametrize("calls", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_sixteen_threads_draw_what_one_does(generator: AvatarGenerator, calls: int) -> None:
    names = [f"S/{i}" for i in range(50)]
    expected = {name: generator.generate([name]) for name in names}

    def draw(thread: int) -> None:
        for i in range(calls):
            name = names[(7 * thread + i) % len(names)]
            np.testing.assert_array_equal(generator.generate([name]), expected[name])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(draw, range(16)))


def test_exact_drawing_is_the_same_and_takes_one_thread(tiny_model: Path, avatars: UInt8) -> None:
    exact = AvatarGenerator.load(tiny_model, exact=True)
    assert exact._session is not None
    assert exact._session.get_session_options().intra_op_num_threads == 1
    drawn = exact.generate(NAMES)
    np.testing.assert_array_equal(drawn, avatars)
    np.testing.assert_array_equal(drawn, np.concatenate([exact.generate([name]) for name in NAMES]))
    with pytest.raises(InputError, match="exact drawing takes one thread, not 2"):
        AvatarGenerator.load(tiny_model, exact=True, threads=2)


def test_a_generator_survives_pickling(tiny_model: Path, avatars: UInt8, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_model.parent)
    data = pickle.dumps(AvatarGenerator.load(tiny_model.name, threads=1, exact=True))
    assert len(data) < 1000  # the file's path, not the model
    monkeypatch.chdir("/")
    again = pickle.loads(data)
    assert again.exact
    np.testing.assert_array_equal(again.generate(NAMES), avatars)


def test_a_pickle_whose_model_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_tiny_model(path)
    data = pickle.dumps(AvatarGenerator.load(path))
    write_tiny_model(path, tiny_weights(seed=1))
    with pytest.raises(ModelFileError, match=r"model\.onnx: it is no longer the file that this generator"):
        pickle.loads(data)
    path.unlink()
    with pytest.raises(ModelFileError, match="cannot read it"):
        pickle.loads(data)


@pytest.mark.parametrize("method", sorted(set(multiprocessing.get_all_start_methods()) - {"forkserver"}))
@pytest.mark.filterwarnings("ignore:.*use of fork.. may lead to deadlocks:DeprecationWarning")
def test_another_process_draws_the_same(generator: AvatarGenerator, avatars: UInt8, method: str) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        for images in pool.map(generator.generate, [NAMES] * 2):
            np.testing.assert_array_equal(images, avatars)


def test_a_session_that_is_there_already_can_be_given(tiny_model: Path, avatars: UInt8) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    given = AvatarGenerator.from_session(ort.InferenceSession(tiny_model, options, providers=["CPUExecutionProvider"]))
    np.testing.assert_array_equal(given.generate(NAMES), avatars)
    assert given.model_sha256 == ""
    with pytest.raises(AvatarError, match="cannot go to another process; load it from a file there"):
        pickle.dumps(given)


def test_a_session_of_a_foreign_model_is_refused() -> None:
    session = ort.InferenceSession(foreign_model().SerializeToString(), providers=["CPUExecutionProvider"])
    with pytest.raises(ModelFileError, match="not one of avatar-edge"):
        AvatarGenerator.from_session(session)


def test_a_closed_generator_says_so(tiny_model: Path) -> None:
    with AvatarGenerator.load(tiny_model) as generator:
        assert len(generator.generate(1)) == 1
    generator.close()
    with pytest.raises(AvatarError, match="the generator is closed; load it again"):
        generator.generate(1)


@pytest.mark.parametrize(
    ("checker", "options", "words"),
    [
        ("mypy", ["--strict", "--cache-dir", "cache"], "Success: no issues found"),
        ("basedpyright", ["--pythonpath", sys.executable], "0 errors, 0 warnings"),
    ],
)
def test_a_users_program_passes_strict_checks_of_types(
    tmp_path: Path, checker: str, options: list[str], words: str
) -> None:
    pytest.importorskip(checker)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    command = [sys.executable, "-m", checker, *options, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert words in done.stdout, done.stdout + done.stderr


def test_no_public_symbol_has_an_unknown_type() -> None:
    pytest.importorskip("basedpyright")
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "--ignoreexternal"]
    done = subprocess.run([*command, "--verifytypes", "avatar_runtime"], capture_output=True, text=True, check=False)
    assert "With unknown type: 0\n" in done.stdout, done.stdout + done.stderr


def test_letters_that_a_redirected_stream_cannot_write_become_escapes(tiny_model: Path, tmp_path: Path) -> None:
    # Files and pipes of Windows know 256 letters unless told otherwise.
    options = ["--model", str(tiny_model), "--name", "アリス", "--out", "アリス.png"]
    command = [sys.executable, "-m", "avatar_runtime", *options]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, rb"1 avatar in \u30a2\u30ea\u30b9.png".split())
