"""Prepare a training set: enlarge, clean, pack. It can be stopped at any time and goes on where it was."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from avatar_runtime.imaging.arrays import UInt8, grid, to_pil
from avatar_runtime.output.atomic import make_folder, replacing, write_file
from avatar_training.data.decoding import UnusableImageError
from avatar_training.data.source import DataError, open_source
from avatar_training.errors import TrainingError
from avatar_training.preparation.cleaning import check_count, find
from avatar_training.preparation.frontal import frontality, layout
from avatar_training.preparation.upscaling import Upscaler
from avatar_training.steering.activations import ActivationNetwork

TURNED = "turned or tilted"

_SHEET = 256
"""The most pictures on a contact sheet."""
_BLOCK = 256


@dataclass(frozen=True)
class PrepareConfig:
    """What to prepare, and how."""

    data: Path
    """A folder of images or a zip."""
    out: Path
    """The zip to write."""
    image_size: int = 128
    """Height and width of its images."""
    network: Path | None = None
    """An ONNX classifier, to find pictures without a face and near duplicates; None to look for neither."""
    count: int | None = None
    """Prepare only so many, the first by name; None for all."""
    frontal: float = 1.0
    """Of the faces that are good, keep this share: those that look straight ahead."""
    keep_all: bool = False
    """List what should go, but leave it in."""
    threads: int = 1
    """How many waifu2x uses."""


@dataclass(frozen=True)
class Prepared:
    """The result."""

    images: int
    """Images in the zip."""
    left_out: dict[str, list[str]]
    """Reason -> names of files that are not in the zip, or with keep_all should not be."""
    report: Path
    """Folder with left-out.json and a contact sheet for each reason."""


def prepare(
    config: PrepareConfig,
    on_enlarged: Callable[[int, int], None] = lambda done, total: None,
    on_measured: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Write a zip of images of one size, and a report of what was left out; look at its contact sheets.

    Finished images wait in the folder OUT.parts, from which a second call goes on; it is removed at the end.

    Args:
        config: what to prepare.
        on_enlarged: called with the number of images enlarged so far and in all.
        on_measured: the same for looking them through.

    Raises:
        TrainingError: the zip exists already, or the parts are of another preparation; DataError, UpscalingError,
            ActivationsError: as in `data.source`, `upscaling` and `steering.activations`; OutputError.
    """
    report = config.out.with_suffix(".report")
    if config.out.exists():
        raise TrainingError(f"{config.out} exists already; name another --out")
    source = open_source(config.data)
    names = source.names[: config.count]
    if config.network:
        check_count(len(names))
    network = ActivationNetwork(config.network) if config.network else None
    parts = _parts(config, names)
    upscaler = Upscaler(config.image_size, config.threads)
    left_out: dict[str, list[str]] = {}
    usable: list[tuple[str, Path]] = []
    for i, name in enumerate(names):
        part = parts / f"{i:07}.png"
        try:
            if not part.exists():
                write_file(part, _png(upscaler(source.read(name))))
            usable.append((name, part))
        except UnusableImageError as err:
            left_out.setdefault(str(err), []).append(name)
        on_enlarged(i + 1, len(names))
    if not usable:
        raise DataError(f"{config.data} holds no usable image: {', '.join(sorted(left_out))}")

    def read(i: int) -> UInt8:
        with Image.open(usable[i][1]) as image:
            return np.asarray(image.convert("RGB"))

    found = find(network, len(usable), read, on_measured)
    good = sorted(set(range(len(usable))).difference(*found.values()))
    if good and config.frontal < 1:
        found[TURNED] = _turned(good, read, config.frontal)
    make_folder(report)
    for reason, pictures in found.items():
        if pictures:
            left_out[reason] = [usable[i][0] for i in pictures]
            write_file(report / f"{reason.replace(' ', '-')}.png", _sheet(pictures, read))
    write_file(report / "left-out.json", (json.dumps(left_out, indent=1, ensure_ascii=False) + "\n").encode())
    gone = set() if config.keep_all else {i for pictures in found.values() for i in pictures}
    kept = [one for i, one in enumerate(usable) if i not in gone]
    pack(config.out, kept)
    shutil.rmtree(parts)
    return Prepared(len(kept), left_out, report)


def _turned(good: list[int], read: Callable[[int], UInt8], share: float) -> dict[int, int]:
    """The pictures that do not belong to this share, in which faces look straight ahead."""
    blocks = [good[start : start + _BLOCK] for start in range(0, len(good), _BLOCK)]
    layouts = [layout(np.stack([read(i) for i in block])) for block in blocks]
    by_frontality = np.argsort(-frontality(np.concatenate(layouts)), kind="stable")
    return {good[i]: good[i] for i in sorted(by_frontality[max(1, round(share * len(good))) :])}


def _parts(config: PrepareConfig, names: list[str]) -> Path:
    """The folder of finished images; it remembers what they are of."""
    parts = config.out.with_name(config.out.name + ".parts")
    about = json.dumps({"image_size": config.image_size, "names": names}).encode()
    make_folder(parts)
    record = parts / "names.json"
    if not record.exists():
        write_file(record, about)
    elif record.read_bytes() != about:
        raise TrainingError(f"{parts} holds images of another preparation; remove it, or name another --out")
    return parts


def _png(picture: UInt8) -> bytes:
    buffer = io.BytesIO()
    to_pil(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _sheet(pictures: dict[int, int], read: Callable[[int], UInt8]) -> bytes:
    """A contact sheet; beside a picture comes what it is compared with."""
    shown = list(pictures.items())[:_SHEET]
    numbers = [number for i, other in shown for number in ((i,) if i == other else (i, other))]
    return _png(grid(np.stack([read(i) for i in numbers]), columns=16))


def pack(out: Path, kept: list[tuple[str, Path]]) -> None:
    """Write the zip, whole or not at all. PNG files are compressed already."""
    make_folder(out.parent)
    taken: set[str] = set()
    with (
        replacing(out) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive,  # of any year
    ):
        for name, part in kept:
            name = name.encode(errors="replace").decode()  # a file name need not be UTF-8, one in a zip must
            short = PurePosixPath(name.replace("\\", "/")).with_suffix(".png").as_posix()
            inside = f"{name}.png" if short in taken else short
            taken.add(inside)
            archive.write(part, inside)
