from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from avatar_export.formats import onnx_file
from avatar_export.formats.onnx_file import ModelCheckError, write_model
from avatar_runtime import AvatarGenerator, ModelSpec
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.latents import SCHEME
from avatar_runtime.model_file.golden import GoldenCheck
from tiny_model import build_model, tiny_weights

SPEC = ModelSpec(
    name="tiny é",
    latent_dim=100,
    image_size=32,
    channels=3,
    output="uint8",
    pixel_range=(-1.0, 1.0),
    latent_scheme=SCHEME,
    passes=("fold_batch_norm", "project_latent_to_gemm", "append_uint8_head"),
    checkpoint_sha256="ab" * 32,
    parity={"max_difference": 0.1, "batch_sizes": [1, 7], "level_histogram": {"0": 12, "1": 3}, "psnr_db": None},
    license="MIT",
    provenance="faces.zip: 3 images",
)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return build_model(tiny_weights(), "uint8")[0]


def test_file_reads_back_with_all_its_metadata(tmp_path: Path, model: onnx.ModelProto) -> None:
    path = tmp_path / "tiny.onnx"
    spec = write_model(path, model, SPEC)
    assert AvatarGenerator.load(path).spec == spec
    assert replace(spec, golden=None) == SPEC
    assert list(tmp_path.iterdir()) == [path]
    onnx.checker.check_model(path, full_check=True)


def test_file_is_the_same_each_time(tmp_path: Path, model: onnx.ModelProto) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    write_model(first, model, SPEC)
    write_model(second, model, SPEC)
    assert first.read_bytes() == second.read_bytes()


def _other_pixels(generator: AvatarGenerator) -> GoldenCheck:
    size = generator.spec.image_size
    png = b64encode(encode(np.zeros((size, size, generator.spec.channels), np.uint8), ".png")).decode()
    return GoldenCheck(("a",), ("0" * 64 if generator.model_sha256 else "1" * 64,), (png,), 1)


def _refused(model: onnx.ModelProto) -> bytes:
    raise ModelCheckError("refused")


@pytest.mark.parametrize("old", [None, b"an older model"])
@pytest.mark.parametrize(("step", "broken"), [("golden_check", _other_pixels), ("check_model", _refused)])
def test_a_failed_check_leaves_the_target_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: onnx.ModelProto,
    step: str,
    broken: Callable[..., object],
    old: bytes | None,
) -> None:
    path = tmp_path / "tiny.onnx"
    if old:
        path.write_bytes(old)
    monkeypatch.setattr(onnx_file, step, broken)
    with pytest.raises(ModelCheckError):
        write_model(path, model, SPEC)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_metadata_that_do_not_read_back_is_refused(tmp_path: Path, model: onnx.ModelProto) -> None:
    spec = replace(SPEC, parity={"batch_sizes": (1, 7)})  # JSON has no tuples
    with pytest.raises(ModelCheckError, match="read back"):
        write_model(tmp_path / "tiny.onnx", model, spec)
    assert not list(tmp_path.iterdir())
