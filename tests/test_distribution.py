"""What is uploaded to PyPI: its page, and a source archive whose tests pass: `pytest -m wheel`."""

import email
import email.message
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[1]
FAST = ["tests/runtime/test_latents.py", "tests/runtime/test_generator.py", "tests/runtime/test_examples.py"]


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that is built from it."""
    pytest.importorskip("build", reason='needs pip install ".[dev]"')
    folder = tmp_path_factory.mktemp("distribution")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def metadata(distribution: Path) -> email.message.Message:
    (wheel,) = distribution.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_string(archive.read(name).decode("utf-8"))


def test_pypi_accepts_the_archives_and_renders_the_readme(distribution: Path) -> None:
    pytest.importorskip("twine", reason='needs pip install ".[dev]"')
    pytest.importorskip("comrak", reason="without it twine renders nothing")
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, distribution.iterdir())]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_every_link_and_picture_on_pypi_is_an_address_of_this_version(metadata: email.message.Message) -> None:
    text = str(metadata.get_payload())
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)
    assert pictures
    assert all(target.startswith("https://raw.githubusercontent.com/") for target in pictures)
    for target in targets:
        assert target.startswith("https://"), target
        inside = re.fullmatch(r"https://[^/]+/[^/]+/[^/]+/(?:blob/)?v([\d.]+)/([^#]+)(?:#.*)?", target)
        assert inside, target
        assert inside[1] == metadata["Version"]
        assert (ROOT / inside[2]).exists(), target


def test_all_addresses_name_the_repository_of_pyproject(metadata: email.message.Message) -> None:
    urls = dict(value.split(", ") for value in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Source", "Issues", "Changelog"} <= set(urls)
    for name in ("mkdocs.yml", "CITATION.cff", "pyproject.toml"):
        named = re.findall(r"https://github\.com/[\w.-]+/[\w.-]+", (ROOT / name).read_text(encoding="utf-8"))
        assert named, name
        assert set(named) == {urls["Source"]}, name


def test_the_sources_hold_what_their_tests_need(distribution: Path, tmp_path: Path) -> None:
    (sources,) = distribution.glob("*.tar.gz")
    with tarfile.open(sources) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    python = str(tmp_path / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "environment"], check=True)
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run(
        [*pip, ".", "onnx", "wasmtime", "pytest", "pytest-timeout", "pytest-xdist", "hypothesis"], cwd=tree, check=True
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-m", "pytest", "-q", *FAST]
    tested = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout
