from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest

from avatar_training.run_folder.checkpoint import CheckpointError, read, read_pair, save
from tiny_model import tiny_arrays

ARRAYS: dict[str, Any] = {
    "generator.0.weight": np.arange(300_000, dtype=np.float32).reshape(300, 1000),  # three pieces to MindSpore
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
    with pytest.raises(CheckpointError, match=r"x\.ckpt is damaged or not a checkpoint"):
        read(tmp_path / "x.ckpt")


SMALL = {f"layer.{i}.weight": np.arange(4 + i, dtype=np.float32) for i in range(3)}


def readable(path: Path, content: bytes) -> dict[str, bytes] | None:
    """What is read from these bytes, if they are not refused."""
    path.write_bytes(content)
    try:
        return {name: array.tobytes() for name, array in read(path).items()}
    except CheckpointError:
        return None


def saved(path: Path) -> Path:
    save(path, {name: mindspore.Tensor(array) for name, array in SMALL.items()})
    return path


def test_a_file_with_one_byte_changed_anywhere_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "generator.ckpt")
    sound = path.read_bytes()
    assert readable(path, sound) == {name: array.tobytes() for name, array in SMALL.items()}
    for place in range(len(sound)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(sound)
            changed[place] ^= change
            assert readable(path, bytes(changed)) is None


def test_a_file_cut_anywhere_is_refused_or_lacks_an_array(tmp_path: Path) -> None:
    path = saved(tmp_path / "generator.ckpt")
    sound = path.read_bytes()
    whole = sound.index(b"digest") - 4  # without its digest a file is as whole as before
    for length in (*range(whole), *range(whole + 1, len(sound))):
        arrays = readable(path, sound[:length])
        assert arrays is None or len(arrays) < len(SMALL)


def test_a_digest_is_an_entry_that_every_mindspore_reads(tmp_path: Path) -> None:
    """The checksum of crc_check is none: older versions, which the tutorial is for, cannot read a file that has it."""
    from mindspore.train.checkpoint_pb2 import Checkpoint

    path = saved(tmp_path / "generator.ckpt")
    assert [entry.tag for entry in Checkpoint.FromString(path.read_bytes()).value] == [*SMALL, "digest"]
    assert mindspore.load_checkpoint(str(path)).keys() == {*SMALL, "digest"}


def test_a_digest_of_something_else_at_the_end_is_an_array(tmp_path: Path) -> None:
    """MindSpore's own files have none: whatever they end with is read."""
    last = np.arange(32, dtype=np.uint8)
    for name in ("features_sha256", "sha256"):
        arrays = {**SMALL, name: last}
        entries = [{"name": name, "data": mindspore.Tensor(array)} for name, array in arrays.items()]
        mindspore.save_checkpoint(entries, str(tmp_path / "saved.ckpt"))
        np.testing.assert_array_equal(read(tmp_path / "saved.ckpt")[name], last)


def test_training_begins_with_a_pair_as_it_was_before_steering(tmp_path: Path) -> None:
    arrays = tiny_arrays(latent_map=True) | {"pixel_range": np.array([-1.0, 1.0], np.float32)}
    save(tmp_path / "generator.ckpt", {name: mindspore.Tensor(array) for name, array in arrays.items()})
    save(tmp_path / "discriminator.ckpt", {"discriminator.0.weight": mindspore.Tensor(np.ones(3, np.float32))})
    pair = read_pair(tmp_path)
    assert not any(name.startswith("latent_map.") for name in pair)
    assert {"generator.0.weight", "discriminator.0.weight"} <= pair.keys()
