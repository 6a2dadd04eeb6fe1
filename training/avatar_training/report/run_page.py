"""report.html: one self-contained page about a run, made from the files of its folder.

However long the run is, the page stays within a few megabytes: it shows a selection of previews, made smaller.
"""

import base64
import html
import io
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any

from PIL import Image

from avatar_runtime.output.atomic import write_file
from avatar_training.report import plots
from avatar_training.report.plots import Rows

MAX_FRAMES = 40
"""Largest number of previews in the page."""

_FRAME_SIDE, _GIF_SIDE = 512, 256
"""Largest side of a preview on the slider and in the animation, in pixels."""

_COLUMNS, _SAMPLES = 10, 30
"""Columns and images of dataset.png. The generated faces beside it have the same layout."""

_TEMPLATE = Path(__file__).with_suffix(".html")


class Page:
    """Writes the report.html of one run folder. It caches the previews that it has made smaller."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.samples = b""
        """dataset.png."""
        self._frames: dict[tuple[Path, int], tuple[bytes, Image.Image]] = {}

    def write(self, rows: Rows, record: Mapping[str, Any]) -> None:
        """Write the page; rows are those of stats.jsonl, record that of config.json. Raises OutputError."""
        written = [(path, path.stat().st_mtime_ns) for path in _thin(sorted(self.out.glob("previews/*.png")))]
        made = {key: self._frames.get(key) or _make_small(key[0]) for key in written}  # a rollback rewrites some
        self._frames = {key: small for key, small in made.items() if small is not None}
        if not self._frames:
            return
        paths = [path for path, _ in self._frames]
        frames = [_uri("image/webp", webp) for webp, _ in self._frames.values()]
        config, images = record["config"], record["dataset"]["images"]
        step, steps = int(paths[-1].stem), config["steps"] or images // config["batch_size"] * config["epochs"]
        width, height = next(reversed(self._frames.values()))[1].size
        facts = _facts(step, steps, config["batch_size"], rows)
        page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
            name=html.escape(self.out.resolve().name),
            summary=f"Recipe {html.escape(config['recipe'])}, written {time.strftime('%Y-%m-%d %H:%M %Z')}.",
            step=step,
            steps=steps,
            facts="".join(f"<div><dt>{name}</dt><dd>{html.escape(value)}</dd></div>" for name, value in facts.items()),
            preview_width=2 * width,
            preview_height=2 * height,
            preview_ratio=f"{width} / {height}",
            frames=json.dumps(frames),
            frame_steps=[int(path.stem) for path in paths],
            last_frame=frames[-1],
            last_index=len(frames) - 1,
            last_step=f"{step:,}",
            animation=_figure(
                _uri("image/gif", gif([small for _, small in self._frames.values()])), "The run as an animation.", "gif"
            ),
            beside=self._beside(paths[-1], config["image_size"]),
            curves=_curves(rows),
            tables=_tables(record),
        )
        write_file(self.out / "report.html", page.encode(errors="backslashreplace"))  # a name need not be UTF-8

    def _beside(self, preview: Path, size: int) -> str:
        with Image.open(io.BytesIO(self.samples)) as opened:
            real = opened.convert("RGB")
        count = min(_SAMPLES, real.width * real.height // (2 * size) ** 2)
        real = real.resize((real.width // 2, real.height // 2))
        generated = Image.new("RGB", real.size)
        faces = read_preview(preview) or generated
        for i in range(count):
            left, top = i % (faces.width // size) * size, i // (faces.width // size) * size
            face = faces.crop((left, top, left + size, top + size))
            generated.paste(face, (i % _COLUMNS * size, i // _COLUMNS * size))
        return _figure(_uri("image/webp", _webp(real)), "Real: images of the training set.") + _figure(
            _uri("image/webp", _webp(generated)), "Generated: the newest faces."
        )


def gif(frames: list[Image.Image]) -> bytes:
    """An animation of the run's previews; it stays on the last one for a while."""
    buffer = io.BytesIO()
    durations = [200] * (len(frames) - 1) + [2000]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return buffer.getvalue()


def _thin(paths: list[Path]) -> list[Path]:
    """Every 1st, 2nd, 4th, … path and the last one: a selection that rarely changes as previews are added."""
    stride = 1
    while len(paths) > MAX_FRAMES * stride:
        stride *= 2
    return [*paths[:-1:stride], *paths[-1:]]


def read_preview(path: Path) -> Image.Image | None:
    """A preview in RGB; None if it is missing or damaged, as after a power cut: no run ends for that."""
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            return opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _make_small(path: Path) -> tuple[bytes, Image.Image] | None:
    if (image := read_preview(path)) is None:
        return None
    small = image.copy()
    small.thumbnail((_GIF_SIDE, _GIF_SIDE), Image.Resampling.BOX)
    image.thumbnail((_FRAME_SIDE, _FRAME_SIDE), Image.Resampling.BOX)
    return _webp(image), small.quantize(256, Image.Quantize.FASTOCTREE)


def _webp(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80, method=2)  # method 4, the default, takes twice as long for 4% smaller files
    return buffer.getvalue()


def _facts(step: int, steps: int, batch_size: int, rows: Rows) -> dict[str, str]:
    facts = {"step": f"{step:,} of {steps:,}"}
    if speeds := [row["images_per_second"] for row in rows[-1000:] if "images_per_second" in row]:
        facts["speed"] = f"{speeds[-1]:.1f} images/s"
        left = timedelta(seconds=round(min((steps - step) * batch_size / max(speeds[-1], 0.01), 1e12)))
        facts["time left"] = f"{left}" if left else "none, finished"
    if plots.has(rows, "kid"):
        facts["KID now"] = f"{[row['kid'] for row in rows if 'kid' in row][-1]:.3f}"
    return facts


def _curves(rows: Rows) -> str:
    drawings = (
        ("g_loss", plots.losses, "Losses. The band holds 80% of the steps."),
        ("kid", plots.kid, "KID, the distance to the real faces. Lower is better."),
        ("critic", plots.critic, "The critic's mean logit of generated faces. Lower is better; below 0 is whole."),
        ("diversity", plots.diversity, "Diversity of the faces above."),
        ("images_per_second", plots.speed, "Throughput."),
    )
    drawn = [
        f"<figure>{plots.svg(draw, rows)}<figcaption>{caption}</figcaption></figure>"
        for key, draw, caption in drawings
        if plots.has(rows, key)
    ]
    if not plots.has(rows, "kid"):
        drawn.append("<p>KID was not measured; pass <code>--kid-network FILE.onnx</code> to measure it.</p>")
    return "".join(drawn)


def _tables(record: Mapping[str, Any]) -> str:
    groups = {
        "Configuration": {name: value for name, value in record["config"].items() if value not in (None, [])},
        "Data": {
            "images": f"{record['dataset']['images']:,}",
            "SHA-256": record["dataset"]["sha256"],
            **{f"skipped: {reason}": count for reason, count in record["dataset"].get("skipped", {}).items()},
        },
        "Computed with": record.get("environment", {}),
    }
    tables = []
    for caption, values in groups.items():
        cells = "".join(
            f"<tr><th scope=row>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in values.items()
        )
        tables.append(f"<table><caption>{caption}</caption>{cells}</table>" if values else "")
    return f"{tables[0]}<div>{tables[1]}{tables[2]}</div>"


def _figure(uri: str, caption: str, kind: str = "") -> str:
    return f'<figure><img class="{kind}" src="{uri}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
