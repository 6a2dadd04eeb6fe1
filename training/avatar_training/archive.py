"""Zip archives and .npz files from strangers: nothing is unpacked beyond what they promise.

zipfile trusts a member that is compressed with bzip2 or LZMA: 4 KiB of one may become gigabytes in one call.
"""

import bz2
import copy
import io
import lzma
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import AvatarError, ModelFileError
from avatar_runtime.model_file.reading import size_of_file

ZIP_ERRORS = (
    *(OSError, EOFError, RuntimeError, ValueError, IndexError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What zipfile raises for a damaged, encrypted or unusual archive: found by 6,000 mutations of sound ones."""

_HEADER_ERRORS = (TypeError, KeyError, OverflowError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
"""What NumPy, too, raises for the text before an array's content."""

MAX_ARRAYS_BYTES = 2**31
"""Largest .npz that is read, unpacked: 170,000 faces of 64x64."""

_PIECE = 2**20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of all members, so that equal arrays make equal files


class ArchiveError(AvatarError):
    """A file is damaged, or is not an .npz."""


def read_pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a member, at most 1 MiB at a time. Raises one of ZIP_ERRORS, at the latest at its promised end."""
    if member.compress_type not in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with archive.open(member) as file:
            while piece := file.read(_PIECE):
                yield piece
        return
    packed = copy.copy(member)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    del packed.CRC  # of the unpacked bytes
    left, checksum = member.file_size, 0
    with archive.open(packed) as file:
        decompressor = bz2.BZ2Decompressor() if member.compress_type == zipfile.ZIP_BZIP2 else _lzma(file)
        while left:
            data = file.read(2**16) if decompressor.needs_input else b""
            piece = decompressor.decompress(data, min(left, _PIECE))
            if not piece and (decompressor.eof or (not data and decompressor.needs_input)):
                break
            left, checksum = left - len(piece), zlib.crc32(piece, checksum)
            yield piece
    if left or checksum != member.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {member.filename!r}")


def _lzma(file: Any) -> lzma.LZMADecompressor:
    """APPNOTE.TXT, section 5.8.8: version, size of the properties, properties."""
    header = file.read(9)
    if len(header) < 9 or header[2:4] != b"\5\0" or header[4] >= 225:
        raise zipfile.BadZipFile("damaged LZMA header")
    packed, dictionary = header[4], int.from_bytes(header[5:], "little")
    settings = {"lc": packed % 9, "lp": packed // 9 % 5, "pb": packed // 45, "dict_size": min(dictionary, 2**26)}
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA1, **settings}])


def read_arrays(source: Path | bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file, none of Python objects.

    Raises:
        OSError: the file cannot be read.
        ArchiveError: it is damaged, not an .npz, or larger than MAX_ARRAYS_BYTES.
    """
    try:
        if isinstance(source, Path):
            size_of_file(source)  # a device or a pipe would be read for ever
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_ARRAYS_BYTES:
                raise ArchiveError(f"it would unpack to more than {MAX_ARRAYS_BYTES:,} bytes")
            return {m.filename.removesuffix(".npy"): _array(b"".join(read_pieces(archive, m))) for m in members}
    except OSError:
        raise
    except ModelFileError as err:
        raise ArchiveError(str(err)) from err
    except (*ZIP_ERRORS, *_HEADER_ERRORS) as err:
        raise ArchiveError("it is damaged or not an .npz") from err


def _array(data: bytes) -> npt.NDArray[Any]:
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"unknown version {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    content = data[file.tell() :]
    sound = not dtype.hasobject and len(shape) <= 32 and min(shape, default=0) >= 0
    if not sound or dtype.itemsize * math.prod(shape) != len(content):
        raise ValueError("its header does not fit its content")
    if not content:
        return np.zeros(shape, dtype)
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy()


def pack_arrays(**arrays: npt.ArrayLike) -> bytes:
    """An .npz file. Unlike NumPy's it needs no clock: zip files hold no date before 1980."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), content.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
