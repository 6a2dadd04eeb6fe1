"""What a run shows of itself: stats.jsonl, previews, the loss curve, an animation, and report.html."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from avatar_runtime.imaging.arrays import UInt8, grid
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.output.atomic import make_folder, write_file, writing
from avatar_training.report import plots
from avatar_training.report.run_page import Page, gif, read_preview

PREVIEW_NAMES = tuple(str(i) for i in range(64))
"""Names of the faces in every preview. Face "3" is the runtime's face "3"."""

GIF_FRAMES = 60
"""Largest number of frames in progress.gif; a long run shows evenly spaced ones."""


class Report:
    """The reports in one run folder. A resumed run calls `rewind` first."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.previews = out / "previews"
        self.stats = out / "stats.jsonl"
        self._page = Page(out)
        self.record: dict[str, Any] = {}
        """What config.json holds."""

    def rewind(self, step: int) -> list[str]:
        """Remove what was reported after a snapshot's step, and what a crash has damaged. Returns sentences of that."""
        sound, lines = self._rows(), len(self._lines())
        said = [f"{self.stats}: damaged lines left out: {lines - len(sound)}"] if lines > len(sound) else []
        rows = [row for row in sound if row["step"] <= step]
        write_file(self.stats, "".join(json.dumps(row) + "\n" for row in rows).encode())
        previews = [path for path in sorted(self.previews.glob("*.png")) if path.stem.isdigit()]
        damaged = [path for path in previews if int(path.stem) <= step and read_preview(path) is None]
        for path in previews:
            if int(path.stem) > step or path in damaged:
                path.unlink(missing_ok=True)
        return said + [f"{path} is damaged and left out" for path in damaged]

    def samples(self, images: UInt8) -> None:
        """Write dataset.png: thirty training images in three rows, as in the tutorial."""
        samples = encode(grid(images[:30], columns=10, scale=2), ".png")
        write_file(self.out / "dataset.png", samples)
        self._page.samples = samples

    def step(self, **values: Any) -> None:
        """Append one line to stats.jsonl: `step` and its measurements. Raises OutputError."""
        with writing(self.stats), self.stats.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")

    def sync(self) -> None:
        """Wait until stats.jsonl is on the disk, so that a power cut loses no line. Raises OutputError."""
        with writing(self.stats), self.stats.open("a") as file:
            os.fsync(file.fileno())

    def preview(self, step: int, images: UInt8) -> None:
        """Write a preview of images uint8 [64, H, W, C], losses.png, progress.gif and report.html."""
        make_folder(self.previews)
        preview = encode(grid(images), ".png")
        write_file(self.previews / f"{step:08}.png", preview)
        write_file(self.out / "preview.png", preview)
        rows = self._rows()
        if plots.has(rows, "g_loss"):
            write_file(self.out / "losses.png", plots.png(rows))
        self._animate()
        self._page.write(rows, self.record)

    def page(self) -> None:
        """Write report.html again: it may have been lost."""
        self._page.write(self._rows(), self.record)

    def _rows(self) -> list[dict[str, Any]]:
        return [row for line in self._lines() if (row := _read_row(line)) is not None]

    def _lines(self) -> list[bytes]:
        return self.stats.read_bytes().splitlines() if self.stats.exists() else []

    def _animate(self) -> None:
        paths = sorted(self.previews.glob("*.png"))
        chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), GIF_FRAMES)).round().astype(int))
        frames = []
        for i in chosen:
            if (image := read_preview(paths[i])) is not None:
                # 0.6 s for 60 frames. The default, median cut, takes 9 s, a tenth of the time between two snapshots.
                frames.append(image.quantize(256, Image.Quantize.FASTOCTREE))
        if frames:
            write_file(self.out / "progress.gif", gif(frames))


def _read_row(line: bytes) -> dict[str, Any] | None:
    """A line of stats.jsonl; None if a kill, a power cut or a bad disk has damaged it."""
    try:
        row = json.loads(line)
        measured = [value for name, value in row.items() if name != "kid_network"]
        sound = row["step"] >= 0 and all(type(value) in (int, float) and math.isfinite(value) for value in measured)
        sound = sound and ("kid" in row) == ("kid_std" in row) == isinstance(row.get("kid_network"), str)
        return {**row, "step": int(row["step"])} if sound else None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
