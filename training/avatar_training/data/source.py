"""The files of a folder or a zip: their names, their bytes, and what was left out and why."""

import os
import stat
import zipfile
from pathlib import Path, PurePosixPath
from typing import Protocol

from avatar_runtime.errors import AvatarError, ModelFileError
from avatar_runtime.model_file.reading import size_of_file
from avatar_training.archive import ZIP_ERRORS, read_pieces
from avatar_training.data.decoding import UnusableImageError, is_image, name_kind

MAX_FILE_BYTES = 256 * 2**20
"""A larger file is skipped: it is not a photograph, but perhaps a zip bomb."""

_METHODS = {6: "Imploded", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd", 99: "AES"}
"""Compression methods of zip files: APPNOTE.TXT, section 4.4.5."""

_TOO_LARGE = f"larger than {MAX_FILE_BYTES // 2**20} MiB"


class DataError(AvatarError):
    """There is nothing to train on."""


class Source(Protocol):
    """Where images come from."""

    names: list[str]
    """The files, sorted."""
    left_out: dict[str, str]
    """Name -> reason of what could not even be listed."""

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises UnusableImageError."""


def open_source(path: Path) -> Source:
    """List the files of a folder (nested or flat) or of a zip. Raises DataError if it is neither, damaged or empty."""
    try:
        source: Source = _Folder(path) if path.is_dir() else _Zip(path)
    except ModelFileError as err:
        raise DataError(f"{path} cannot be used: {err}; name a folder of images or a zip") from err
    except FileNotFoundError as err:
        raise DataError(f"{path} does not exist; name a folder of images or a zip") from err
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror or err}") from err
    except ZIP_ERRORS as err:
        if is_image(path):
            raise DataError(f"{path} is a single image; name the folder that holds your images, or a zip") from err
        with path.open("rb") as file:
            kind = name_kind(file.read(512))
        if kind and "zip" not in kind.split():
            raise DataError(f"{path} is {kind}, then name the folder of its images or a zip") from err
        raise DataError(
            f"{path} is neither a folder nor an undamaged zip ({err}); if you downloaded it, fetch it again"
        ) from err
    if not source.names:
        raise DataError(f"{path} holds no files; it should hold images")
    return source


class _Folder:
    """A folder. Links to files and folders are followed; a folder that was already visited is not visited again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.left_out: dict[str, str] = {}
        visited: set[tuple[int, int]] = set()
        for folder, folders, files in os.walk(path, onerror=self._note, followlinks=True):
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in visited:
                self.left_out[self._name(Path(folder))] = "a link to a folder that is already read"
                folders.clear()
                continue
            visited.add((status.st_dev, status.st_ino))
            folders.sort()  # so that the same one of two links to a folder is read
            for file in files:
                name = self._name(Path(folder) / file)
                if fault := _fault(path / name):
                    self.left_out[name] = fault
                else:
                    self.names.append(name)
        self.names.sort()

    def read(self, name: str) -> bytes:
        path = self.path / name
        if fault := _fault(path):  # it may have changed since it was listed
            raise UnusableImageError(fault)
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise UnusableImageError(_TOO_LARGE)
            return path.read_bytes()
        except OSError as err:
            raise UnusableImageError(f"unreadable: {err.strerror or err}") from err

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    def _note(self, err: OSError) -> None:
        if Path(err.filename) == self.path:
            raise err
        self.left_out[self._name(Path(err.filename))] = f"unreadable: {err.strerror or err}"


def _fault(path: Path) -> str | None:
    """Why a file cannot be read; None if it is a regular one."""
    try:
        return None if stat.S_ISREG(path.stat().st_mode) else "not a regular file"
    except OSError as err:
        dead = isinstance(err, FileNotFoundError) and path.is_symlink()
        return "a link to nothing" if dead else f"unreadable: {err.strerror or err}"


class _Zip:
    """A zip. Of several members with one name the last is read, as when unpacking."""

    def __init__(self, path: Path) -> None:
        size_of_file(path)  # a device or a pipe would be read for ever
        self.archive = zipfile.ZipFile(path)
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.left_out: dict[str, str] = {}
        for member in self.archive.infolist():
            if member.is_dir():
                continue
            if member.filename in self.members:
                copies = sum(name.startswith(f"{member.filename} (copy ") for name in self.left_out) + 1
                self.left_out[f"{member.filename} (copy {copies})"] = "the zip has a later file of the same name"
            self.members[member.filename] = member
        self.names = sorted(self.members)

    def read(self, name: str) -> bytes:
        inside, member = PurePosixPath(name.replace("\\", "/")), self.members[name]
        if inside.is_absolute() or ".." in inside.parts:
            raise UnusableImageError("its name points out of the zip")
        if member.file_size > MAX_FILE_BYTES:
            raise UnusableImageError(_TOO_LARGE)
        if member.flag_bits & 1:
            raise UnusableImageError("encrypted in the zip; unpack it with its password")
        try:
            return b"".join(read_pieces(self.archive, member))
        except NotImplementedError as err:
            method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
            raise UnusableImageError(
                f"compressed with {method}, which Python cannot read; unpack the zip and name the folder"
            ) from err
        except ZIP_ERRORS as err:
            raise UnusableImageError("damaged in the zip") from err
