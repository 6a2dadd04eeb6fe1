"""Real faces: the images of a folder or zip become one array in memory, and each step takes its batch from that.

Images are read and decoded once, in mindspore.dataset's background thread.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import numpy.typing as npt

from avatar_training import rng
from avatar_training.config import TrainConfig
from avatar_training.data.decoding import UnusableImageError, decode
from avatar_training.data.source import DataError, Source, open_source


@dataclass(frozen=True)
class Faces:
    """The usable images of a source, and why the others were skipped."""

    images: npt.NDArray[np.uint8]
    """[N, image_size, image_size, channels], in the order of their names."""
    sha256: str
    """Digest of the usable files' bytes."""
    skipped: dict[str, list[str]]
    """Reason -> names of the skipped files."""

    def summary(self) -> str:
        """One line for each reason, with the number of files and the first names; empty if none was skipped."""
        lines = []
        for reason, names in sorted(self.skipped.items(), key=lambda item: -len(item[1])):
            first = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            lines.append(f"skipped {len(names)}: {reason} ({first})")
        return "\n".join(lines)


def load(path: Path, image_size: int, channels: int = 3, on_decoded: Callable[[int, int], None] | None = None) -> Faces:
    """Decode every image of a folder or zip once, as `decode` does. What cannot be used is skipped and listed.

    on_decoded is called from time to time with the number of files read so far and in all. Raises DataError if the
    source cannot be read, or holds no usable image.
    """
    source = open_source(path)
    decoder = _Decoder(source, image_size, channels)
    total = len(source.names)
    images = np.empty((total, image_size, image_size, channels), np.uint8)
    # One worker: threads that decode small pictures wait for each other, and two take five times as long as one.
    pipeline = ds.GeneratorDataset(
        decoder, ["image"], shuffle=False, num_parallel_workers=1, python_multiprocessing=False
    )
    for i, (image,) in enumerate(pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True)):
        images[i] = image
        if on_decoded and (i % 100 == 99 or i + 1 == total):
            on_decoded(i + 1, total)
    usable = [i for i in range(total) if i not in decoder.reasons]
    for place, i in enumerate(usable):
        if place != i:
            images[place] = images[i]  # close the gaps in place: a second array would double the memory
    skipped: dict[str, list[str]] = {}
    for i in sorted(decoder.reasons):
        skipped.setdefault(decoder.reasons[i], []).append(source.names[i])
    for name, reason in sorted(source.left_out.items()):
        skipped.setdefault(reason, []).append(name)
    digest = hashlib.sha256(b"".join(decoder.digests[i] for i in usable)).hexdigest()
    faces = Faces(images[: len(usable)], digest, skipped)
    if not usable:
        raise DataError(f"{path} holds no usable image:\n{faces.summary()}")
    return faces


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Number of full batches in one pass over the images. Raises DataError if there is none."""
    if images < batch_size:
        raise DataError(
            f"a batch of {batch_size} needs more usable images than {images}; add images or lower --batch-size"
        )
    return images // batch_size


def batches(
    faces: Faces, config: TrainConfig, start: int, stop: int, rows: slice = slice(None)
) -> Iterator[npt.NDArray[np.float32]]:
    """Prepare the real batches of steps start to stop - 1 in the background: float32 [rows, C, H, W] in [-1, 1].

    Each epoch has its own order. Order and mirroring depend on the seed and the step alone. rows is a worker's share.
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
        self.shuffled, self.order = (-1, -1), np.empty(0, np.int64)

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.float32]]]:
        return ((self.batch(step),) for step in range(self.start, self.stop))

    def batch(self, step: int) -> npt.NDArray[np.float32]:
        size, seed = self.config.batch_size, self.config.seed_at(step)
        epoch, position = divmod(step, steps_per_epoch(len(self.images), size))
        if self.shuffled != (seed, epoch):
            self.shuffled, self.order = (seed, epoch), rng.order(seed, epoch, len(self.images))
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
        except UnusableImageError as err:
            self.reasons[int(index)] = str(err)
            return (np.zeros((self.image_size, self.image_size, self.channels), np.uint8),)
