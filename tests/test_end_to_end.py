"""From faces in a zip to avatars, with the installed wheel and its commands alone: `pytest -m wheel`.

The wheel goes into a virtual environment of its own; the packages that it needs are those of this environment.
"""

import io
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands that the wheel installs."""
    pytest.importorskip("mindspore", reason="MindSpore has no wheel for this Python")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / Path(sysconfig.get_path("scripts")).name / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", wheel], check=True)
    place = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    # A path in a .pth file is searched, but its own .pth files, such as that of an editable installation, are not read.
    packages = [path for path in sys.path if Path(path).name == "site-packages"]
    Path(place.stdout.strip(), "packages_of_the_tests.pth").write_text("\n".join(packages))
    return python.parent


def face(rng: np.random.Generator) -> bytes:
    """A round face with two eyes and a mouth, as a JPEG of 96x96."""
    hair, skin, eyes = (tuple(rng.integers(low, 256, 3).tolist()) for low in (0, 180, 0))
    image = Image.new("RGB", (96, 96), hair)
    draw = ImageDraw.Draw(image)
    x, y = rng.integers(-6, 7, 2).tolist()
    draw.ellipse((18 + x, 18 + y, 78 + x, 88 + y), fill=skin)
    for side in (34, 54):
        draw.ellipse((side + x, 44 + y, side + 9 + x, 58 + y), fill=eyes)
    draw.arc((38 + x, 62 + y, 58 + x, 76 + y), 20, 160, fill=(120, 40, 40), width=2)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()


def test_faces_in_a_zip_become_avatars_with_the_installed_commands(commands: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for i in range(100):
            archive.writestr(f"faces/{i:03}.jpg", face(rng))
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(command: str, *arguments: str) -> str:
        done = subprocess.run(
            [commands / command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    package = run("python", "-c", "import avatar_runtime; print(avatar_runtime.__file__)")
    assert str(commands.parent) in package, "the tree is tested, not the wheel"

    run("avatar-train", "--data", "faces.zip", "--steps", "20")
    assert (tmp_path / "runs/edge/report.html").is_file()
    run("avatar-export")
    run("avatar-gen", "--model", "generator.onnx", "--check")
    run("avatar-gen", "--model", "generator.onnx", "--name", "alice", "--name", "bob", "--out-dir", "avatars")
    run("avatar-gen", "--model", "generator.onnx", "--reproduce", "avatars/alice.png")
    pictures = [np.asarray(Image.open(tmp_path / "avatars" / f"{name}.png")) for name in ("alice", "bob")]
    assert [picture.shape for picture in pictures] == [(64, 64, 3)] * 2
    assert (pictures[0] != pictures[1]).any()
