"""Real faces: a folder or zip of images becomes one array in memory, then the batch of any step.

Images are read and decoded once, in mindspore.dataset's background thread; a batch is then a gather from memory.
"""

import hashlib
import io
import lzma
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

import mindspore.dataset as ds
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from avatar_runtime.errors import AvatarError
from avatar_training import rng
from avatar_training.config import TrainConfig

MAX_FILE_BYTES = 256 * 2**20
"""A larger file is skipped: no photograph, more likely a zip bomb."""

ZIP_ERRORS = (
    *(OSError, EOFError, RuntimeError, ValueError, IndexError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What zipfile raises for a damaged, encrypted or exotic archive: found by 6,000 mutations of sound ones."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")


class DataError(AvatarError):
    """There is nothing to train on."""


@dataclass(frozen=True)
class Faces:
    """The usable images of a source and what became of the others."""

    images: npt.NDArray[np.uint8]
    """[N, image_size, image_size, channels], in the order of their names."""
    sha256: str
    """Digest of the usable files' bytes."""
    skipped: dict[str, list[str]]
    """Reason -> names of the files that were left out."""

    def summary(self) -> str:
        """One line for each reason why files were skipped, with the first names; empty if none was."""
        lines = []
        for reason, names in sorted(self.skipped.items(), key=lambda item: -len(item[1])):
            first = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            lines.append(f"skipped {len(names)}: {reason} ({first})")
        return "\n".join(lines)


class Source(Protocol):
    """A folder or a zip: names, and the bytes behind them."""

    names: list[str]

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises _Unusable."""


def open_source(path: Path) -> Source:
    """The files of a folder (nested or flat) or of a zip. Raises DataError if it is neither, broken or empty."""
    try:
        source: Source = _Folder(path) if path.is_dir() else _Zip(path)
    except FileNotFoundError as err:
        raise DataError(f"{path} does not exist; name a folder of images or a zip") from err
    except OSError as err:
        raise DataError(f"cannot read {path}: {err.strerror or err}") from err
    except ZIP_ERRORS as err:
        raise DataError(
            f"{path} is neither a folder nor a sound zip ({err}); if it was downloaded, fetch it again"
        ) from err
    if not source.names:
        raise DataError(f"{path} holds no files; it should hold images")
    return source


def load(path: Path, image_size: int, channels: int = 3, on_decoded: Callable[[int, int], None] | None = None) -> Faces:
    """Decode every image of a folder or zip once.

    The shorter side becomes image_size (bicubic, antialiased), the centre is kept; transparency is laid on white, the
    first frame of an animation is taken, EXIF rotation is applied. What cannot be used is skipped and listed.
    on_decoded(done, total) is called now and then. Raises DataError if nothing can be used.
    """
    source = open_source(path)
    decoder = _Decoder(source, image_size, channels)
    total = len(source.names)
    images = np.empty((total, image_size, image_size, channels), np.uint8)
    # One worker: threads that each decode a small picture wait for one another, two take five times as long as one.
    pipeline = ds.GeneratorDataset(
        decoder, ["image"], shuffle=False, num_parallel_workers=1, python_multiprocessing=False
    )
    with warnings.catch_warnings():
        # Pillow warns of an image of 89 million pixels and more; we skip it.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for i, (image,) in enumerate(pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True)):
            images[i] = image
            if on_decoded and (i % 100 == 99 or i + 1 == total):
                on_decoded(i + 1, total)
    usable = [i for i in range(total) if i not in decoder.reasons]
    for place, i in enumerate(usable):
        if place != i:
            images[place] = images[i]  # closing the gaps in place: a second array would double the memory
    skipped: dict[str, list[str]] = {}
    for i in sorted(decoder.reasons):
        skipped.setdefault(decoder.reasons[i], []).append(source.names[i])
    digest = hashlib.sha256(b"".join(decoder.digests[i] for i in usable)).hexdigest()
    faces = Faces(images[: len(usable)], digest, skipped)
    if not usable:
        raise DataError(f"{path} holds no usable image:\n{faces.summary()}")
    return faces


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Full batches in one pass over the images. Raises DataError if there is not one."""
    if images < batch_size:
        raise DataError(
            f"{images} usable images are fewer than a batch of {batch_size}; add images or lower --batch-size"
        )
    return images // batch_size


def batches(
    faces: Faces, config: TrainConfig, start: int, stop: int, rows: slice = slice(None)
) -> Iterator[npt.NDArray[np.float32]]:
    """The real batches of steps start … stop - 1: float32 [batch_size, C, H, W] in [-1, 1], prepared in the background.

    Each epoch visits the images in an order of its own; order and mirroring depend on the seed and the step alone. With
    rows, those of each batch only: a worker's share.
    """
    if start >= stop:
        return
    pipeline = ds.GeneratorDataset(
        _Batches(faces.images, config, start, stop, rows), ["images"], shuffle=False, python_multiprocessing=False
    )
    for (batch,) in pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True):
        yield batch


class _Batches:
    def __init__(
        self, images: npt.NDArray[np.uint8], config: TrainConfig, start: int, stop: int, rows: slice = slice(None)
    ) -> None:
        self.images, self.config, self.start, self.stop, self.rows = images, config, start, stop, rows
        self.drawn, self.order = (-1, -1), np.empty(0, np.int64)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.float32]]]:
        return ((self.batch(step),) for step in range(self.start, self.stop))

    def batch(self, step: int) -> npt.NDArray[np.float32]:
        size, seed = self.config.batch_size, self.config.seed_at(step)
        epoch, position = divmod(step, steps_per_epoch(len(self.images), size))
        if self.drawn != (seed, epoch):
            self.drawn, self.order = (seed, epoch), rng.order(seed, epoch, len(self.images))
        batch = self.images[self.order[position * size : (position + 1) * size][self.rows]]  # [B, H, W, C]
        if self.config.flip:
            mirrored = rng.words(seed, rng.FLIPS, step, size)[self.rows] % 2 == 1
            batch[mirrored] = batch[mirrored, :, ::-1]
        return np.ascontiguousarray(batch.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - np.float32(1)


class _Decoder:
    """A random-access source for mindspore.dataset: index -> uint8 [image_size, image_size, channels]."""

    def __init__(self, source: Source, image_size: int, channels: int) -> None:
        self.source, self.image_size, self.channels = source, image_size, channels
        self.reasons: dict[int, str] = {}
        self.digests: dict[int, bytes] = {}

    def __len__(self) -> int:
        return len(self.source.names)

    def __getitem__(self, index: int) -> tuple[npt.NDArray[np.uint8]]:
        try:
            data = self.source.read(self.source.names[index])
            pixels = decode(data, self.image_size, self.channels)
            self.digests[int(index)] = hashlib.sha256(data).digest()
            return (pixels,)
        except _Unusable as err:
            self.reasons[int(index)] = str(err)
            return (np.zeros((self.image_size, self.image_size, self.channels), np.uint8),)


class _Unusable(Exception):
    """Why a file is skipped."""


def decode(data: bytes, image_size: int, channels: int) -> npt.NDArray[np.uint8]:
    """The bytes of an image file as uint8 [image_size, image_size, channels]. Raises _Unusable."""
    if not data:
        raise _Unusable("empty file")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            image = _to_rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as err:
        raise _Unusable("not an image") from err
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as err:
        raise _Unusable(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from err
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, MemoryError) as err:
        raise _Unusable("damaged image") from err
    image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image.convert("L") if channels == 1 else image)
    return pixels.reshape(image_size, image_size, channels)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode in (
        "I",
        "F",
    ):  # 16-bit grey; convert() would clip it to white
        levels = np.asarray(image, np.float64)
        return Image.fromarray((levels / max(levels.max(), 255.0) * 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


class _Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        found = (p for p in path.rglob("*") if p.is_file())
        self.names = sorted(p.relative_to(path).as_posix() for p in found)

    def read(self, name: str) -> bytes:
        path = self.path / name
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise _Unusable(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
            return path.read_bytes()
        except OSError as err:
            raise _Unusable(f"unreadable: {err.strerror or err}") from err


class _Zip:
    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path)
        self.members: dict[str, zipfile.ZipInfo] = {i.filename: i for i in self.archive.infolist() if not i.is_dir()}
        self.names = sorted(self.members)

    def read(self, name: str) -> bytes:
        inside = PurePosixPath(name.replace("\\", "/"))
        if inside.is_absolute() or ".." in inside.parts:
            raise _Unusable("its name points out of the zip")
        if self.members[name].file_size > MAX_FILE_BYTES:
            raise _Unusable(f"larger than {MAX_FILE_BYTES // 2**20} MiB")
        try:
            return self.archive.read(name)
        except ZIP_ERRORS as err:
            raise _Unusable("damaged or encrypted in the zip") from err
