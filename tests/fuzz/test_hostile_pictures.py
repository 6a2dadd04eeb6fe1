"""Hostile training images, damaged in the fields that their formats have: `pytest -m fuzz`."""

import io
import struct
import zlib
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from avatar_training.data.decoding import UnusableImageError, decode
from fuzz.mutations import FUZZ, HUGE, assert_sentence

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]  # Pillow warns of much that it then refuses


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def sound() -> dict[str, bytes]:
    """A small picture in each format and in many modes."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 4), np.uint8)
    rgba = Image.fromarray(pixels, "RGBA")
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    wide = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    other = Image.new("RGB", rgb.size, "red")
    pictures = {}
    for name, image, format, options in (
        ("rgb", rgb, "PNG", {}),
        ("rgba", rgba, "PNG", {}),
        ("16 bits", wide, "PNG", {}),
        ("palette", rgb.quantize(16), "PNG", {"transparency": 0}),
        ("profile", rgba, "PNG", {"icc_profile": PROFILE}),
        ("animated", rgb, "PNG", {"save_all": True, "append_images": [other]}),
        ("plain", rgb, "JPEG", {}),
        ("progressive", rgb, "JPEG", {"progressive": True}),
        ("cmyk", rgb.convert("CMYK"), "JPEG", {}),
        ("profile", rgb, "JPEG", {"icc_profile": PROFILE}),
        ("animated", rgb, "GIF", {"save_all": True, "append_images": [other]}),
        ("lossless", rgba, "WEBP", {"lossless": True}),
        ("animated", rgb, "WEBP", {"save_all": True, "append_images": [other]}),
        ("rgb", rgb, "TIFF", {}),
        ("16 bits", wide, "TIFF", {}),
        ("float", Image.fromarray(pixels[..., 0].astype(np.float32) / 255), "TIFF", {}),
        ("lzw", rgba, "TIFF", {"compression": "tiff_lzw"}),
        ("rgb", rgb, "BMP", {}),
        ("palette", rgb.quantize(16), "BMP", {}),
        ("rgb", rgb, "PPM", {}),
        ("grey", grey, "JPEG2000", {}),
        ("rgba", rgba, "ICO", {"sizes": [(10, 10)]}),
        ("rgb", rgb, "PCX", {}),
        ("rgb", rgb, "SGI", {}),
        ("rgba", rgba, "DDS", {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, format, **options)
        pictures[f"{format} {name}"] = buffer.getvalue()
    return pictures


SOUND = sound()
NUMBERS = st.sampled_from(HUGE) | st.integers(0, 300)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@st.composite
def profiles(draw: st.DrawFn) -> bytes:
    """An iCCP chunk whose profile has other numbers in its header, in its table of tags, and in the tags."""
    profile = bytearray(PROFILE)
    for _ in range(draw(st.integers(1, 4))):
        place = 4 * draw(st.integers(0, len(profile) // 4 - 1))
        profile[place : place + 4] = (draw(NUMBERS) % 2**32).to_bytes(4, "big")
    return b"a\0\0" + zlib.compress(profile)


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """Chunks with other numbers in them, in another order, and some that were never there; their checksums match."""
    data = SOUND[draw(st.sampled_from([name for name in SOUND if name.startswith("PNG")]))]
    chunks, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], bytearray(data[at + 8 : at + 8 + size])))
        at += size + 12
    for _ in range(draw(st.integers(1, 4))):
        i = draw(st.integers(0, len(chunks) - 1))
        content = chunks[i][1]
        match draw(st.sampled_from(["number", "number", "byte", "copy", "drop", "swap", "new", "cut"])):
            case "number" if len(content) >= 4:
                place = draw(st.integers(0, min(len(content) - 4, 40)))
                content[place : place + 4] = (draw(NUMBERS) % 2**32).to_bytes(4, "big")
            case "byte" if content:
                content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
            case "copy":
                chunks.insert(draw(st.integers(0, len(chunks))), chunks[i])
            case "drop" if len(chunks) > 1:
                del chunks[i]
            case "swap":
                j = draw(st.integers(0, len(chunks) - 1))
                chunks[i], chunks[j] = chunks[j], chunks[i]
            case "new":
                kinds = [b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"gAMA", b"acTL", b"fcTL", b"fdAT"]
                bomb = b"a\0\0" + zlib.compress(bytes(10**7))
                new = draw(st.binary(max_size=64) | st.just(bomb) | profiles())
                chunks.insert(draw(st.integers(0, len(chunks))), (draw(st.sampled_from(kinds)), bytearray(new)))
            case "cut":
                del content[draw(st.integers(0, len(content))) :]
    return data[:8] + b"".join(png_chunk(kind, bytes(content)) for kind, content in chunks)


@st.composite
def tiffs(draw: st.DrawFn) -> bytes:
    """Directories whose entries have other tags, types, counts or values."""
    data = bytearray(SOUND[draw(st.sampled_from([name for name in SOUND if name.startswith("TIFF")]))])
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    start = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[start : start + 2], order)
    for _ in range(draw(st.integers(1, 4))):
        entry = start + 2 + 12 * draw(st.integers(0, count - 1))
        offset, size = draw(st.sampled_from([(0, 2), (2, 2), (4, 4), (8, 4), (8, 2)]))
        value = draw(NUMBERS) % 2 ** (8 * size)
        data[entry + offset : entry + offset + size] = value.to_bytes(size, order)
    return bytes(data)


@st.composite
def jpegs(draw: st.DrawFn) -> bytes:
    """Segments with other lengths, sizes and tables, copied, dropped or with an EXIF orientation that is none."""
    data = SOUND[draw(st.sampled_from([name for name in SOUND if name.startswith("JPEG ")]))]
    segments, at = [], 2
    while data[at + 1] != 0xDA:
        size = int.from_bytes(data[at + 2 : at + 4], "big") + 2
        segments.append(bytearray(data[at : at + size]))
        at += size
    for _ in range(draw(st.integers(1, 3))):
        segment = segments[draw(st.integers(0, len(segments) - 1))]
        match draw(st.sampled_from(["length", "byte", "byte", "copy", "exif"])):
            case "length":
                segment[2:4] = (draw(NUMBERS) % 2**16).to_bytes(2, "big")
            case "byte":
                segment[draw(st.integers(1, len(segment) - 1))] = draw(st.integers(0, 255))
            case "copy":
                segments.append(segment)
            case "exif":
                exif = b"Exif\0\0" + draw(tiffs() | st.binary(max_size=40))
                segments.insert(0, bytearray(b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif))
    return data[:2] + b"".join(segments) + data[at:]


@st.composite
def others(draw: st.DrawFn) -> bytes:
    """A number of 1, 2 or 4 bytes changed in the first hundred bytes, where these formats have their header."""
    data = bytearray(SOUND[draw(st.sampled_from(sorted(SOUND)))])
    for _ in range(draw(st.integers(1, 4))):
        size = draw(st.sampled_from([1, 2, 4]))
        place = draw(st.integers(0, min(len(data) - size, 150)))
        order = draw(st.sampled_from(["little", "big"]))
        data[place : place + size] = (draw(NUMBERS) % 2 ** (8 * size)).to_bytes(size, order)
    return bytes(data[: draw(st.sampled_from([len(data)] * 4 + [len(data) // 2, 30]))])


def test_the_sound_pictures_are_read() -> None:
    for name, data in SOUND.items():
        assert decode(data, 32, 3).std() > 10, name


@FUZZ
@given(data=pngs() | tiffs() | jpegs() | others(), channels=st.sampled_from([1, 3]))
def test_any_picture_is_decoded_or_its_fault_named(data: bytes, channels: int) -> None:
    try:
        pixels = decode(data, 32, channels)
    except UnusableImageError as err:
        assert_sentence(err)
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape == (32, 32, channels)
