"""What a run shows of itself: stats.jsonl, previews, the loss curve and the progress animation."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from avatar_runtime.errors import OutputError
from avatar_runtime.pixels import UInt8, encode, grid, make_folder, write_file

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

    def rewind(self, step: int) -> None:
        """Forget everything after a step: what was reported between the last snapshot and the crash."""
        rows = [row for row in self._rows() if row["step"] <= step]
        write_file(self.stats, "".join(json.dumps(row) + "\n" for row in rows).encode())
        for path in self.previews.glob("*.png"):
            if path.stem.isdigit() and int(path.stem) > step:
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

    def tick(self, step: int, images: UInt8) -> None:
        """The pictures of a tick: a preview of images [64, H, W, C], losses.png and progress.gif."""
        make_folder(self.previews)
        preview = encode(grid(images), ".png")
        write_file(self.previews / f"{step:08}.png", preview)
        write_file(self.out / "preview.png", preview)
        self._plot_losses()
        self._animate()

    def _rows(self, key: str = "step") -> list[dict[str, Any]]:
        """The lines of stats.jsonl that hold a key."""
        rows = []
        for line in self.stats.read_text().splitlines() if self.stats.exists() else ():
            try:
                rows.append(json.loads(line))
            except ValueError:  # the line that a kill cut short
                break
        return [row for row in rows if key in row]

    def _kids(self) -> list[dict[str, Any]]:
        """The lines with a KID over the features in use; those over another network's do not compare."""
        rows = self._rows("kid")
        return [row for row in rows if row["features"] == rows[-1]["features"]]

    def _plot_losses(self) -> None:
        rows, kids = self._rows("g_loss"), self._kids()
        if not rows:
            return
        steps = np.array([row["step"] for row in rows])
        figure = Figure(figsize=(9, 4.5 if not kids else 7.5), layout="constrained")
        axes, *below = figure.subplots(1 + bool(kids), squeeze=False)[:, 0]
        for key, label, colour in (
            ("g_loss", "generator", "tab:blue"),
            ("d_loss", "discriminator", "tab:orange"),
        ):
            values = np.array([row[key] for row in rows])
            axes.plot(steps, values, color=colour, alpha=0.2, linewidth=0.7)
            centres, means = _smooth(steps, values)
            axes.plot(centres, means, color=colour, label=label)
        axes.set(xlabel="step", ylabel="loss", title="Generator and discriminator loss")
        axes.legend()
        axes.grid(alpha=0.3)
        for axes in below:
            axes.errorbar(*([row[key] for row in kids] for key in ("step", "kid", "kid_std")), marker=".", capsize=3)
            lowest = min(kids, key=lambda row: float(row["kid"]))
            axes.plot(lowest["step"], lowest["kid"], "*", markersize=12, label=f"lowest, step {lowest['step']}")
            axes.set(xlabel="step", ylabel="KID", title="Distance from the real faces", ylim=(0, None))
            axes.legend()
            axes.grid(alpha=0.3)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=120)
        write_file(self.out / "losses.png", buffer.getvalue())

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


def _smooth(
    steps: npt.NDArray[np.int64], values: npt.NDArray[np.float64], points: int = 200
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    parts = min(points, len(steps))
    means = [[part.mean() for part in np.array_split(column, parts)] for column in (steps, values)]
    return np.array(means[0]), np.array(means[1])
