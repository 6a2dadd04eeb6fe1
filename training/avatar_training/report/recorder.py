"""What a run shows of itself: stats.jsonl, previews, the loss curve, the progress animation and the page of it all."""

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
"""The names in every preview: face "3" here is face "3" of the runtime."""

GIF_FRAMES = 60
"""Most frames in progress.gif: a long run is thinned out evenly."""


class Report:
    """The files of one run folder. A resumed run calls `rewind` first."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.previews = out / "previews"
        self.stats = out / "stats.jsonl"
        self._page = Page(out)

    def rewind(self, step: int) -> None:
        """Forget what was reported after a step, between its snapshot and a crash, and what the crash has damaged."""
        rows = [row for row in self._rows() if row["step"] <= step]
        write_file(self.stats, "".join(json.dumps(row) + "\n" for row in rows).encode())
        for path in self.previews.glob("*.png"):
            if path.stem.isdigit() and (int(path.stem) > step or not _is_sound(path)):
                path.unlink()

    def samples(self, images: UInt8) -> None:
        """dataset.png: thirty training images, three rows of ten, as in the tutorial."""
        write_file(self.out / "dataset.png", encode(grid(images[:30], columns=10, scale=2), ".png"))

    def step(self, **values: Any) -> None:
        """Append one line to stats.jsonl: `step`, and what was measured then. Raises OutputError."""
        try:
            with self.stats.open("a") as file:
                file.write(json.dumps(values) + "\n")
        except OSError as err:
            raise OutputError(f"cannot write {self.stats}: {err.strerror or err}") from err

    def preview(self, step: int, images: UInt8) -> None:
        """Show the run so far: a preview of images [64, H, W, C], losses.png, progress.gif and report.html."""
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
        """Write report.html once more: a run that was begun by an older version has none."""
        self._page.write(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for line in self.stats.read_bytes().splitlines() if self.stats.exists() else ():
            try:
                row = json.loads(line)
                rows.append({**row, "step": int(row["step"])})
            except (ValueError, KeyError, TypeError):  # cut short by a kill, or spoilt by a power cut
                continue
        return rows

    def _animate(self) -> None:
        paths = sorted(self.previews.glob("*.png"))
        chosen = np.unique(np.linspace(0, len(paths) - 1, min(len(paths), GIF_FRAMES)).round().astype(int))
        frames = []
        for i in chosen:
            with Image.open(paths[i]) as image:
                # The default, median cut, takes 9 s for 60 frames: a tenth of the time between two ticks; this, 0.6 s.
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
