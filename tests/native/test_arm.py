"""The engine as ARM code under qemu, with NEON: the same faces as here."""

import ctypes
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from avatar_runtime.generator import embedded_model
from avatar_runtime.latents import latents, series
from native.engine import NATIVE, Model

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64-static"

DRAW = """
#include "avatar.h"
#include <stdio.h>
#include <stdlib.h>

static unsigned char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*size);
    if (fread(bytes, 1, *size, file) != *size) exit(2);
    fclose(file);
    return bytes;
}

int main(int count, char **words) {
    size_t size, bytes, latents_size;
    struct avatar_model *model;
    (void)count;
    void *file = read_all(words[1], &size), *latents = read_all(words[2], &latents_size), *memory;
    enum avatar_error error = avatar_measure(file, size, &bytes);
    if (error || (memory = malloc(bytes)) == NULL || (error = avatar_load(file, size, memory, bytes, &model)))
        return fprintf(stderr, "%s\\n", avatar_error_text(error)), 1;
    const size_t pixels = (size_t)avatar_height(model) * (size_t)avatar_width(model) * (size_t)avatar_channels(model);
    unsigned char *image = malloc(pixels);
    for (float *z = latents; (char *)z < (char *)latents + latents_size; z += avatar_latent_dim(model)) {
        avatar_draw(model, z, image);
        fwrite(image, 1, pixels, stdout);
    }
    return 0;
}
"""


@pytest.fixture(scope="module", params=["neon", "plain"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(COMPILER) is None or shutil.which(EMULATOR) is None:
        pytest.skip(f"needs {COMPILER} and {EMULATOR} (Debian: gcc-aarch64-linux-gnu, qemu-user-static)")
    folder = tmp_path_factory.mktemp("arm")
    (folder / "draw.c").write_text(DRAW, "ascii")
    words = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-static", f"-I{NATIVE}"]
    words += ["-DAVATAR_PLAIN"] if request.param == "plain" else []
    subprocess.run([COMPILER, *words, folder / "draw.c", NATIVE / "avatar.c", "-o", folder / "draw"], check=True)
    return folder / "draw"


def assert_equal(program: Path, engine: ctypes.CDLL, model: Path, count: int) -> None:
    here = Model(engine, model.read_bytes())
    z = latents(list(series("arm", count)), here.latent_dim)
    (program.parent / "latents").write_bytes(z.tobytes())
    words: list[str | Path] = [EMULATOR, program, model, program.parent / "latents"]
    there = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
    assert hashlib.sha256(there).hexdigest() == hashlib.sha256(here.draw(z).tobytes()).hexdigest()


def test_other_shapes(program: Path, one_engine: ctypes.CDLL, int8_models: dict[str, Path]) -> None:
    for model in int8_models.values():
        assert_equal(program, one_engine, model, 10)


def test_faces_of_the_embedded_model(program: Path, one_engine: ctypes.CDLL) -> None:
    assert_equal(program, one_engine, embedded_model(), 2)


@pytest.mark.native
def test_a_thousand_faces(program: Path, one_engine: ctypes.CDLL, request: pytest.FixtureRequest) -> None:
    assert_equal(program, one_engine, embedded_model(), 50 if "plain" in request.node.name else 1000)
