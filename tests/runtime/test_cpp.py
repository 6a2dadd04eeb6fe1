"""The example in C++ gives Python's latents bit for bit, and the same model's pixels."""

import hashlib
import io
import shutil
import subprocess
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from avatar_runtime.latents import standard_normal
from tiny_model import tiny_weights, write_tiny_model

from .conftest import FIXTURE

pytestmark = pytest.mark.cpp

RUNTIME = Path(__file__).parents[2] / "runtime"
EXAMPLE = RUNTIME / "examples/avatar.cpp"

# Names in hexadecimal, one a line, to the bytes of their latents; then words given as arguments to normal numbers.
LATENTS = """
#define main example
#include "avatar.cpp"
#undef main

void write(const std::vector<float>& z) { std::cout.write(reinterpret_cast<const char*>(z.data()), z.size() * 4); }

int main(int count, char** words) {
    for (std::string line; std::getline(std::cin, line);) {
        std::string name;
        for (size_t i = 0; i < line.size(); i += 2) name += char(std::stoi(line.substr(i, 2), nullptr, 16));
        write(latent(name, 100));
    }
    for (int i = 1; i < count; i++) write({standard_normal(std::stoul(words[i]))});
}
"""

Compile = Callable[..., Path]


@pytest.fixture(scope="module")
def compile_cpp(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    """Compile a source as the example's first lines say, with further flags; returns the program."""
    if shutil.which("g++") is None or shutil.which("gcc") is None:
        pytest.skip("needs gcc and g++")
    folder = tmp_path_factory.mktemp("cpp")
    engine = folder / "avatar.o"
    subprocess.run(["gcc", "-std=c11", "-O2", "-c", RUNTIME / "native/avatar.c", "-o", engine], check=True)

    def build(source: Path, *flags: str) -> Path:
        program = folder / f"{source.stem}{''.join(flags)}"
        words = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", *flags]
        folders = [f"-I{EXAMPLE.parent}", f"-I{RUNTIME / 'native'}"]
        subprocess.run(["g++", *words, *folders, source, engine, "-o", program], check=True)
        return program

    return build


@pytest.fixture(scope="module")
def avatar(compile_cpp: Compile) -> Path:
    return compile_cpp(EXAMPLE)


@pytest.fixture(scope="module", params=["-O2", "-march=native"])  # the latter with multiply-add
def latents_program(compile_cpp: Compile, tmp_path_factory: pytest.TempPathFactory, request: Any) -> Path:
    source = tmp_path_factory.mktemp("latents") / "latents.cpp"
    source.write_text(LATENTS, encoding="ascii")
    return compile_cpp(source, request.param)


def test_its_latents_are_pythons(latents_program: Path) -> None:
    assert FIXTURE["latent_dim"] == 100
    pinned = [(row["name"] * row.get("times", 1), row["sha256"]) for row in FIXTURE["latents"]] + FIXTURE["more"]
    lines = "".join(f"{utf8(name).hex()}\n" for name, _ in pinned)
    run = subprocess.run([latents_program], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    assert len(run.stdout) == 400 * len(pinned) == 400 * 1000
    latents = (run.stdout[start : start + 400] for start in range(0, len(run.stdout), 400))
    for (name, digest), z in zip(pinned, latents, strict=True):
        assert hashlib.sha256(z).hexdigest().startswith(digest), name[:30]


def test_a_fused_multiply_add_does_not_come_in(latents_program: Path) -> None:
    words = ["553165406", "3741801889"]  # of all 2^32, the two where one rounding in place of two shows in float32
    run = subprocess.run([latents_program, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    assert run.stdout == standard_normal(np.array(words, np.uint32)).astype("<f4").tobytes()


def utf8(name: str) -> bytes:
    """What the example asks for: lone surrogates replaced, NFC, UTF-8."""
    text = name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return unicodedata.normalize("NFC", text).encode()


@pytest.mark.parametrize("channels", [None, 3, 1], ids=["embedded", "rgb", "grey"])
def test_its_pixels_are_pythons(avatar: Path, tmp_path: Path, channels: int | None) -> None:
    model = embedded_model() if channels is None else tmp_path / "tiny.onnx"
    if channels is not None:
        write_tiny_model(model, tiny_weights(channels=channels, latent_dim=37), precision="int8")
    names = ["alice", "bob", "", "S/7", "Zoë 😀", "two words"]
    expected = AvatarGenerator.load(model).generate(names)
    for name, image in zip(names, expected, strict=True):
        run = subprocess.run([avatar, model, name], stdout=subprocess.PIPE, check=True)
        with Image.open(io.BytesIO(run.stdout), formats=["PPM"]) as picture:
            pixels = np.asarray(picture)
        np.testing.assert_array_equal(pixels.reshape(image.shape), image)


def test_it_refuses_what_it_cannot_draw(avatar: Path, tmp_path: Path) -> None:
    other = tmp_path / "float.onnx"
    write_tiny_model(other)
    for words, status, sentence in (
        (["alice"], 2, "usage: avatar MODEL.onnx NAME"),
        ([tmp_path / "none.onnx", "alice"], 1, "the file cannot be read"),
        ([tmp_path, "alice"], 1, "Is a directory"),
        ([EXAMPLE, "alice"], 1, "the file is damaged or not an ONNX model"),
        ([other, "alice"], 1, "it is not an int8 model; export it with --precision int8"),
    ):
        run = subprocess.run([avatar, *words], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (status, "")
        assert sentence in run.stderr
    if Path("/dev/full").exists():
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run([avatar, embedded_model(), "alice"], stdout=full, stderr=subprocess.PIPE, check=False)
        assert (done.returncode, b"could not be written" in done.stderr) == (1, True)
