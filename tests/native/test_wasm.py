"""avatar.wasm, the one generated file in git: it is what its sources say, and draws what onnxruntime does."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from avatar_runtime import AvatarGenerator
from avatar_runtime.generator import embedded_model
from avatar_runtime.latents import latents, series
from native.engine import NATIVE

WASM = NATIVE / "avatar.wasm"
CLANG = "14.0.6"
"""What made avatar.wasm; another makes other bytes."""

DRAW = """
import fs from "node:fs";
const [wasm, file, latents] = process.argv.slice(2).map((path) => fs.readFileSync(path));
const { instance: { exports: engine } } = await WebAssembly.instantiate(wasm, {});
const put = (bytes) => {
  const at = engine.avatar_allocate(bytes.length);
  new Uint8Array(engine.memory.buffer).set(bytes, at);
  return at;
};
const model = engine.avatar_open(put(file), file.length);
const text = new Uint8Array(engine.memory.buffer, engine.avatar_error_text(-model));
if (model <= 0) throw new Error(new TextDecoder().decode(text.slice(0, text.indexOf(0))));
const size = [engine.avatar_height(model), engine.avatar_width(model), engine.avatar_channels(model)];
const [z, image] = [put(latents), engine.avatar_allocate(size[0] * size[1] * size[2])];
for (let at = z; at < z + latents.length; at += 4 * engine.avatar_latent_dim(model)) {
  engine.avatar_draw(model, at, image);
  process.stdout.write(Buffer.from(new Uint8Array(engine.memory.buffer, image, size[0] * size[1] * size[2])));
}
"""


def draw(tmp_path: Path, model: Path, names: list[str]) -> bytes:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    (tmp_path / "draw.mjs").write_text(DRAW, "utf-8")
    with AvatarGenerator.load(model) as generator:
        (tmp_path / "latents").write_bytes(latents(names, generator.spec.latent_dim).tobytes())
    words: list[str | Path] = ["node", tmp_path / "draw.mjs", WASM, model, tmp_path / "latents"]
    return subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout


def assert_equal(tmp_path: Path, model: Path, count: int) -> None:
    names = list(series("wasm", count))
    with AvatarGenerator.load(model) as generator:
        expected = generator.generate(names).tobytes()
    assert hashlib.sha256(draw(tmp_path, model, names)).hexdigest() == hashlib.sha256(expected).hexdigest()


def test_faces_of_the_embedded_model(tmp_path: Path) -> None:
    assert_equal(tmp_path, embedded_model(), 100)


def test_other_shapes(tmp_path: Path, int8_models: dict[str, Path]) -> None:
    for model in int8_models.values():
        assert_equal(tmp_path, model, 30)


@pytest.mark.native
def test_five_thousand_faces(tmp_path: Path) -> None:
    assert_equal(tmp_path, embedded_model(), 5000)


def test_it_is_small_and_imports_nothing(tmp_path: Path) -> None:
    assert WASM.stat().st_size < 24 * 1024
    if shutil.which("node") is None:
        pytest.skip("needs node")
    ask = """const m = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));
    console.log(JSON.stringify([WebAssembly.Module.imports(m), WebAssembly.Module.exports(m).map(e => e.name)]))"""
    found = json.loads(subprocess.run(["node", "-e", ask, WASM], stdout=subprocess.PIPE, check=True).stdout)
    functions = "allocate open latent_dim height width channels draw error_text"
    assert found[0] == []
    assert sorted(found[1]) == sorted(["memory", *(f"avatar_{name}" for name in functions.split())])


def test_its_bytes_are_built_from_its_sources(tmp_path: Path) -> None:
    clang = shutil.which("clang")
    if clang is None or shutil.which("wasm-ld") is None:
        pytest.skip("needs clang and lld")
    version = subprocess.run([clang, "--version"], capture_output=True, text=True, check=True).stdout
    if CLANG not in version:
        pytest.skip(f"needs clang {CLANG}, has {version.splitlines()[0]}")
    subprocess.run(["bash", NATIVE / "build.sh", tmp_path / "avatar.wasm"], check=True)
    assert (tmp_path / "avatar.wasm").read_bytes() == WASM.read_bytes(), "run: bash runtime/native/build.sh"
