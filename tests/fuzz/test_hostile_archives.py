"""Hostile archives and checkpoints, damaged in the fields that their formats have: `pytest -m fuzz`."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from avatar_training.archive import ArchiveError, pack_arrays, read_arrays
from avatar_training.data.decoding import UnusableImageError
from avatar_training.data.source import MAX_FILE_BYTES, DataError, open_source
from fuzz.mutations import FUZZ, HUGE, assert_sentence

pytest.importorskip("mindspore")  # importing it raises the recursion limit, which hypothesis notices

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore:Duplicate name")]

NUMBERS = st.sampled_from(HUGE) | st.integers(0, 300)
NAMES = st.sampled_from(["a.png", "b/c.png", "../x.png", "/x", "b\\..\\..\\x", "\u30a2.png", "d/", "C:\\x", "a" * 300])
KINDS = st.sampled_from(["Float32", "F32", "BFloat16", "BF16", "str", "Int64", "I64", "Bool", "", "x", "F8_E4M3"])
DIGEST = b"\n5\n\6digest\x12+\10 \x12\5UInt8\x1a "
"""How the last entry of a checkpoint of ours begins."""
LOCAL, CENTRAL, END = (b"PK\3\4", 26), (b"PK\1\2", 46), (b"PK\5\6", 22)
"""The signatures of a zip's headers, and how long these are: APPNOTE.TXT, sections 4.3.7, 4.3.12 and 4.3.16."""


def with_other_numbers(draw: st.DrawFn, data: bytes) -> bytes:
    """Fields of a zip's headers changed: methods, flags, sizes, checksums, offsets, lengths of names, counts."""
    damaged = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        signature, length = draw(st.sampled_from([LOCAL, CENTRAL, CENTRAL, END]))
        places = [i for i in range(len(damaged)) if damaged[i : i + 4] == signature]
        if places:
            size = draw(st.sampled_from([2, 4]))
            place = draw(st.sampled_from(places)) + 2 * draw(st.integers(2, length // 2 - 2))
            value = draw(NUMBERS | st.sampled_from([8, 9, 12, 14, 93, 99])) % 2 ** (8 * size)
            damaged[place : place + size] = value.to_bytes(size, "little")
    for _ in range(draw(st.integers(0, 2))):
        damaged[draw(st.integers(0, len(damaged) - 1))] = draw(st.integers(0, 255))
    return bytes(damaged[: draw(st.sampled_from([len(damaged)] * 4 + [len(damaged) // 2]))])


@st.composite
def zips(draw: st.DrawFn) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(picture, "PNG")
    contents = st.sampled_from([picture.getvalue(), b"", bytes(10**6), b"PK\3\4"]) | st.binary(max_size=50)
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for _ in range(draw(st.integers(1, 4))):
            archive.writestr(draw(NAMES), draw(contents), draw(st.sampled_from(methods)))
    return with_other_numbers(draw, buffer.getvalue())


@FUZZ
@given(data=zips())
def test_every_file_of_a_zip_is_read_or_its_fault_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "faces.zip"
    path.write_bytes(data)
    try:
        source = open_source(path)
    except DataError as err:
        assert_sentence(err)
        return
    for name in source.names:
        try:
            assert len(source.read(name)) <= MAX_FILE_BYTES
        except UnusableImageError as err:
            assert_sentence(err)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """An .npy file with another shape, type or order than its content has."""
    shape = draw(
        st.lists(NUMBERS | st.integers(-3, 3), max_size=40).map(tuple) | st.sampled_from(["x", None, (3.5,), (True,)])
    )
    kind = draw(st.sampled_from(["<f4", "<f8", "|O", "|u1", "<U9", "<U999999999", "|V0", "<i8", "x", [("a", "<f4")]]))
    header = {"descr": kind, "fortran_order": draw(st.sampled_from([True, False, 3])), "shape": shape}
    text = draw(st.sampled_from([repr(header)] * 9 + ["(" * 3000, "{}", "1+1", "\ud800"]))
    encoded = text.encode("utf-8", "surrogatepass").ljust(117) + b"\n"
    size = draw(st.sampled_from([len(encoded)] * 6 + [0, 65535])).to_bytes(2, "little")
    version = draw(st.sampled_from([b"\1\0"] * 6 + [b"\2\0", b"\3\0", b"\x09\0"]))
    return b"\x93NUMPY" + version + size + encoded + bytes(12)


@st.composite
def array_files(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        sound = pack_arrays(weights=np.arange(6.0).reshape(2, 3), names=np.array(["a", "b"]), one=np.float32(1))
        return with_other_numbers(draw, sound)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights.npy", draw(headers()))
    return buffer.getvalue()


@FUZZ
@given(data=array_files())
def test_an_npz_gives_arrays_or_a_sentence(data: bytes) -> None:
    try:
        arrays = read_arrays(data)
    except ArchiveError as err:
        assert_sentence(err)
        return
    assert not any(array.dtype.hasobject for array in arrays.values())


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[str, bytes]:
    if draw(st.booleans()):
        tensors = {}
        for name in draw(st.lists(NAMES, max_size=4)):
            offsets = draw(st.lists(NUMBERS, min_size=1, max_size=3) | st.just([0, 48]))
            shape = draw(st.lists(NUMBERS, max_size=9) | st.just([3, 4]))
            tensors[name] = {"dtype": draw(KINDS), "shape": shape, "data_offsets": offsets}
        text = draw(st.sampled_from([json.dumps(tensors)] * 9 + ["[" * 5000, "{}", '{"__metadata__": 3}']))
        size = draw(st.sampled_from([len(text)] * 9 + list(HUGE))) % 2**64
        return ".safetensors", size.to_bytes(8, "little") + text.encode() + bytes(48)
    from mindspore.train.checkpoint_pb2 import Checkpoint

    checkpoint = Checkpoint()
    for name in draw(st.lists(NAMES, max_size=4)):
        entry = checkpoint.value.add(tag=name)
        entry.tensor.tensor_type = draw(KINDS)
        entry.tensor.dims.extend(draw(st.lists(st.sampled_from([0, 1, 3, 4, 2**31, 2**62, -1]), max_size=40)))
        entry.tensor.tensor_content = draw(st.binary(max_size=64) | st.just(bytes(48)))
    end = draw(st.sampled_from([b""] * 4 + [b"crc_num" + bytes(10), b"\xff", DIGEST + bytes(32)]))
    return ".ckpt", checkpoint.SerializeToString() + end


@FUZZ
@given(made=checkpoints())
def test_a_checkpoint_gives_arrays_or_a_sentence(made: tuple[str, bytes]) -> None:
    from avatar_training.run_folder.checkpoint import CheckpointError, parse

    suffix, data = made
    try:
        arrays = parse(Path(f"made{suffix}"), data)
    except CheckpointError as err:
        assert_sentence(err)
        return
    assert arrays
    assert sum(array.nbytes for array in arrays.values()) <= 2 * len(data)
