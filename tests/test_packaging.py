"""What docs/packaging.md says of bundles, zips and layers, in a fresh environment: `pytest -m packaging`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.packaging,
    pytest.mark.skipif(sys.platform != "linux", reason="paths and platforms are those of Linux"),
]

ROOT = Path(__file__).parents[1]
NAME = "アリス"
MIB = 2**20


def run(*command: "str | Path", **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the runtime, PyInstaller and shiv."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin/pip", "install", "--quiet", ROOT, "pyinstaller", "shiv")
    return folder / "bin"


@pytest.fixture(scope="module")
def version_and_picture(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """What the installed avatar-gen says and draws."""
    picture = tmp_path_factory.mktemp("picture") / "face.png"
    run(programs / "avatar-gen", "--name", NAME, "--out", picture)
    return run(programs / "avatar-gen", "--version"), picture.read_bytes()


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_shiv_draws(
    programs: Path, version_and_picture: tuple[str, bytes], tmp_path: Path, shiv: Path, locale: str
) -> None:
    where = {"SHIV_ROOT": str(shiv.parent / "extracted"), "LC_ALL": locale}
    assert run(sys.executable, shiv, "--version", **where) == version_and_picture[0]
    run(sys.executable, shiv, "--name", NAME, "--out", tmp_path / "face.png", **where)
    assert (tmp_path / "face.png").read_bytes() == version_and_picture[1]


@pytest.fixture(scope="module")
def shiv(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file with the runtime and all that it needs."""
    file = tmp_path_factory.mktemp("shiv") / "avatar-gen.pyz"
    run(programs / "shiv", "--quiet", "--console-script", "avatar-gen", "--output-file", file, ROOT)
    return file


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_bundle_of_pyinstaller_draws(
    bundle: Path, version_and_picture: tuple[str, bytes], tmp_path: Path, locale: str
) -> None:
    assert run(bundle, "--version", LC_ALL=locale) == version_and_picture[0]
    run(bundle, "--name", NAME, "--out", tmp_path / "face.png", LC_ALL=locale)
    assert (tmp_path / "face.png").read_bytes() == version_and_picture[1]


@pytest.fixture(scope="module")
def bundle(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program whose one line calls avatar-gen, bundled without an option."""
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "draw.py").write_text("from avatar_runtime.command.process import avatar_gen\n\navatar_gen()\n")
    folders = [f"--{kind}path={folder / kind}" for kind in ("dist", "work", "spec")]  # no two may be one
    run(programs / "pyinstaller", "--log-level=WARN", *folders, "--name=draw", folder / "draw.py")
    return folder / "dist/draw/draw"


def test_a_zip_that_python_does_not_unpack_says_why_it_cannot_draw(programs: Path, tmp_path: Path) -> None:
    run(programs / "python", "-m", "zipapp", ROOT / "runtime", "-m", "avatar_runtime.command.process:avatar_gen",
        "-o", tmp_path / "avatar-gen.pyz")  # fmt: skip
    done = subprocess.run(
        [programs / "python", tmp_path / "avatar-gen.pyz", "--name", NAME, "--out", tmp_path / "face.png"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "face.png").exists()


def test_a_lambda_layer_is_small_enough(programs: Path, tmp_path: Path) -> None:
    tags = [f"--platform=manylinux_{version}_x86_64" for version in ("2_28", "2_27", "2_17")]
    run(programs / "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run(programs / "pip", "install", "--quiet", "--only-binary=:all:", *tags, "--python-version=3.13",
        "--target", tmp_path / "layer/python", wheel)  # fmt: skip
    size = sum(file.stat().st_size for file in (tmp_path / "layer").rglob("*") if file.is_file())
    assert size < 250 * MIB, "the limit of AWS for a function and its layers, unpacked"
