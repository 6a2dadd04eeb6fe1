"""A forked child may draw, drop and end, whatever its parent has drawn: each test is a real parent and a real child."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

FORK = """
import os, sys
from avatar_runtime import AvatarError, AvatarGenerator
from avatar_runtime.session import open_session

model, threads = sys.argv[1], int(sys.argv[2]) or None
generator = AvatarGenerator.load(model, threads=threads)
expected = generator.generate(130).tobytes()
injected = AvatarGenerator.from_session(open_session(open(model, "rb").read(), threads=threads))
injected.generate(1)

def draw():
    assert generator.generate(130).tobytes() == expected

def refuse():
    try:
        injected.generate(1)
    except AvatarError as err:
        assert "cannot go to another process" in str(err)

def drop():
    global generator, injected
    generator.close()
    del generator, injected

def fork_again():
    draw()
    child = os.fork()
    if child == 0:
        draw()
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0

def end():
    pass

child = os.fork()
if child == 0:
    globals()[sys.argv[3]]()
    sys.exit()  # with all that the interpreter does at its end
assert os.waitpid(child, 0)[1] == 0
draw()
"""

APPLICATION = """
import os
from avatar_runtime import AvatarGenerator

generator = AvatarGenerator.load(os.environ["MODEL"], threads=2)
generator.generate(["warm"])

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [generator.generate(["alice"]).tobytes()]
"""


@pytest.mark.parametrize("threads", ["0", "1", "4"], ids=["default", "one thread", "four threads"])
@pytest.mark.parametrize("what", ["draw", "refuse", "drop", "end", "fork_again"])
def test_a_forked_child_answers_and_ends(tiny_model: Path, threads: str, what: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK, str(tiny_model), threads, what]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            _, stderr = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # the child that hangs, too
            raise
    assert (process.returncode, stderr) == (0, "")


def test_gunicorn_answers_from_an_application_that_it_preloads(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "application.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", "127.0.0.1:0", "application"]
    environment = {**os.environ, "MODEL": str(tiny_model)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.]+:\d+", line)))
            with urllib.request.urlopen(address, timeout=60) as answer:
                assert len(answer.read()) == 32 * 32 * 3
        finally:
            server.terminate()
            server.communicate(timeout=60)
