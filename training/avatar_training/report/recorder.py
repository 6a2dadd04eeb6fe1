"""What a run shows of itself: stats.jsonl, previews, the loss curve, an animation, and report.html."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from avatar_runtime.errors import OutputError
from avatar_runtime.imaging.arrays import UInt8, grid
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.output.atomic import make_folder, write_file
from avatar_training.report import plots
from avatar_training.report.run_page import Page

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

    def rewind(self, step: int) -> None:
        """Remove what was reported after a snapshot's step, and what a crash has damaged."""
        rows = [row for row in self._rows() if row["step"] <= step]
        write_file(self.stats, "".join(json.dumps(row) + "\n" for row in rows).encode())
        for path in self.previews.glob("*.png"):
            if path.stem.isdigit() and (int(path.stem) > step or not _is_sound(path)):
                path.unlink()

    def samples(self, images: UInt8) -> None:
        """Write dataset.png: thirty training images in three rows, as in the tutorial."""
        write_file(self.out / "dataset.png", encode(grid(images[:30], columns=10, scale=2), ".png"))

    def step(self, **values: Any) -> None:
        """Append one line to stats.jsonl: `step` and its measurements. Raises OutputError."""
        try:
            with self.stats.open("a", encoding="utf-8") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as err:
            raise OutputError(f"cannot write {self.stats}: {err.strerror or err}") from err

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
        self._page.write(rows)

    def page(self) -> None:
        """Write report.html again: a run that an older version started has none."""
        self._page.write(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for line in self.stats.read_bytes().splitlines() if self.stats.exists() else ():
            try:
                row = json.loads(line)
                rows.append({**row, "step": int(row["step"])})
            except (ValueError, KeyError, TypeError):  # incomplete after a kill or a power cut
                continue
        return rows

    def _animate(self) -> None:
        paths = sorted(self.previews.glob("*.png"))
        chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), GIF_FRAMES)).round().astype(int))
        frames = []
        for i in chosen:
            with Image.open(paths[i]) as image:
                # 0.6 s for 60 frames. The default, median cut, takes 9 s, a tenth of the time between two snapshots.
                frames.append(image.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE))
        buffer = io.BytesIO()
        durations = [200] * (len(frames) - 1) + [2000]
        frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
        write_file(self.out / "progress.gif", buffer.getvalue())


def _is_sound(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError):  # a power cut can leave an empty file
        return False
    return True
