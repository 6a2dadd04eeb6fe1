"""Each file in runtime/examples/ does what it says."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from avatar_runtime import AvatarGenerator
from avatar_runtime.output.picture import Picture

EXAMPLES = Path(__file__).parents[2] / "runtime/examples"

Load = Callable[[str], Any]


@pytest.fixture(scope="module")
def alice() -> bytes:
    return Picture(("alice",)).render(AvatarGenerator.load(), ".png")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Import an example."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return import_module


@pytest.mark.filterwarnings("ignore")  # the test client's own
def test_fastapi(alice: bytes, load: Load) -> None:
    pytest.importorskip("fastapi")
    client = pytest.importorskip("fastapi.testclient", reason="needs httpx").TestClient(load("fastapi_app").app)
    answer = client.get("/avatars/alice.png")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "image/png", alice)


def test_flask(alice: bytes, load: Load) -> None:
    pytest.importorskip("flask")
    answer = load("flask_app").app.test_client().get("/avatars/alice.png")
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "image/png", alice)


def test_django(alice: bytes, load: Load) -> None:
    django = pytest.importorskip("django")
    from django.conf import settings
    from django.test import RequestFactory
    from django.urls import resolve

    settings.configure(ALLOWED_HOSTS=["*"])
    django.setup()
    view = load("django_view")
    found = resolve("/avatars/alice.png", urlconf=view)
    answer = found.func(RequestFactory().get("/avatars/alice.png"), **found.kwargs)
    assert (answer.status_code, answer["Content-Type"], answer.content) == (200, "image/png", alice)


def test_a_tk_window(load: Load) -> None:
    tkinter = pytest.importorskip("tkinter")
    try:
        window = load("tk_window").Window()
    except tkinter.TclError as err:
        pytest.skip(f"no display: {err}; try xvfb-run")
    window.name.set("bob")
    window.update()
    assert (window.photo.width(), window.photo.height()) == (256, 256)
    window.destroy()


def test_a_jupyter_cell(load: Load) -> None:
    cell = load("jupyter_cell")
    for image in (cell.alice, cell.team):
        assert image._repr_png_()[:4] == b"\x89PNG"
    assert cell.team.size == (3 * cell.generator.spec.image_size,) * 2


@pytest.mark.ray
def test_ray_writes_the_files_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    job = ["--count", "2500", "--seed", "S", "--out-dir"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
    for command in (
        [str(EXAMPLES / "ray_million.py"), *job, "ray"],
        ["-c", "from avatar_runtime.command.cli import main; main()", *job, "one"],
    ):
        subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, check=True, timeout=300)
    ours, theirs = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "ray"))
    assert len(ours) == 2500
    assert ours == theirs
