from pathlib import Path
from typing import Any

import numpy as np
import pytest

mindspore = pytest.importorskip("mindspore")

from avatar_training.checkpoint import CheckpointError, read  # noqa: E402

ARRAYS: dict[str, Any] = {
    "generator.0.weight": np.arange(300_000, dtype=np.float32).reshape(
        300, 1000
    ),  # MindSpore writes it in three pieces
    "half": np.ones((2, 3), np.float16),
    "double": np.ones(1),
    "flags": np.array([True, False]),
    "steps": np.int64(60),
}


@pytest.mark.parametrize(
    "options", [{"format": "ckpt"}, {"format": "ckpt", "crc_check": True}, {"format": "safetensors"}]
)
def test_what_mindspore_saves_is_read(tmp_path: Path, options: Any) -> None:
    path = tmp_path / f"saved.{options['format']}"
    entries = [{"name": name, "data": mindspore.Tensor(array)} for name, array in ARRAYS.items()]
    mindspore.save_checkpoint(entries, str(path), **options)
    arrays = read(path)
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (np.asarray(array).dtype, np.shape(array))
        np.testing.assert_array_equal(arrays[name], array)


def ckpt(dims: list[int], kind: str = "Float32", content: bytes = bytes(16)) -> bytes:
    from mindspore.train.checkpoint_pb2 import Checkpoint

    checkpoint = Checkpoint()
    value = checkpoint.value.add(tag="generator.0.weight")
    value.tensor.dims.extend(dims)
    value.tensor.tensor_type = kind
    value.tensor.tensor_content = content
    return bytes(checkpoint.SerializeToString())


def test_a_sound_handmade_checkpoint_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").write_bytes(ckpt([2, 2]))
    assert read(tmp_path / "x.ckpt")["generator.0.weight"].shape == (2, 2)


@pytest.mark.parametrize(
    "data",
    [
        ckpt([4, 2]),  # MindSpore's own loader copies out of bounds here
        ckpt([1]),
        ckpt([2**40, 2**40]),
        ckpt([-1, -1]),
        ckpt([4], "Float33"),
        ckpt([4], content=bytes(15)),
        ckpt([2, 2])[:-1],
        b"\xff" * 64,
        b"",
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.ckpt").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"x\.ckpt is damaged or no checkpoint"):
        read(tmp_path / "x.ckpt")
