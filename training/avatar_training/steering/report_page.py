"""report.html of a steered checkpoint: what changed, on one page that needs nothing else."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from avatar_runtime.imaging.arrays import UInt8, grid, to_pil
from avatar_runtime.output.atomic import write_file
from avatar_training.report import plots
from avatar_training.report.plots import Rows
from avatar_training.steering.activations import Floats
from avatar_training.steering.curve import Measurement, Point

_SHOWN, _WORST = 64, 32
_COLUMNS = 8

_TEMPLATE = Path(__file__).with_suffix(".html")


def write_report(
    path: Path, name: str, points: Sequence[Point], record: Mapping[str, Any], measurement: Measurement, v: Floats
) -> None:
    """Write the page: the steered faces are drawn along v, as the checkpoint draws them. Raises OutputError."""
    strength = float(record["strength"])
    before, after = measurement.before, measurement.faces(v, strength)
    worst_before = np.argsort(-measurement.scores(before))[:_WORST]
    worst_after = np.argsort(-measurement.scores(after))[:_WORST]
    chosen = next(point for point in points if point.strength == strength)
    facts = {
        "strength": f"{strength:g}",
        "suggested": "none" if record["suggested_strength"] is None else f"{record['suggested_strength']:g}",
        "broken, before": f"{points[0].broken:.1%}",
        "broken, after": f"{chosen.broken:.1%}",
        "recall": "none" if chosen.recall is None else f"{points[0].recall:.2f} → {chosen.recall:.2f}",
        "critic's AUC": "{:.2f} ({:.2f} to {:.2f})".format(*record["auc"]),
        "R² of the direction": f"{record['r2']:.2f}",
    }
    real = f"Real faces: a fixed random choice of {record['real_faces']:,}; if the generator was trained on them, "
    page = Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        name=html.escape(name),
        graders=f"{len(record['graders'])} grader{'s' if len(record['graders']) > 1 else ''}",
        facts="".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in facts.items()),
        before_after=_figure(before[:_SHOWN], "Before.") + _figure(after[:_SHOWN], "After: the same names in place."),
        worst=_figure(before[worst_before], "Before: the faces that the judge finds worst.")
        + _figure(after[worst_before], "After: the same names.")
        + _figure(after[worst_after], "After: those that the judge finds worst now."),
        faces=f"{record['faces']:,}",
        real=real + "recall and precision flatter it." if record["real_faces"] else "",
        curves=_curves(points),
        rows="".join(_row(point, point is chosen) for point in points),
    )
    write_file(path, page.encode())


def _row(point: Point, chosen: bool) -> str:
    numbers = (point.precision, point.recall, point.coverage, point.hue_drift, point.pose_drift)
    cells = [f"{point.broken:.1%}", "none" if point.kid is None else f"{point.kid:.4f}"]
    cells += ["none" if number is None else f"{number:.3f}" for number in numbers]
    label = "as it was" if point.strength is None else f"{point.strength:g}"
    start = '<tr class="chosen">' if chosen else "<tr>"
    return f'{start}<th scope="row">{label}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _curves(points: Sequence[Point]) -> str:
    first, *rows = map(asdict, points)
    drawings = {
        "Broken faces, by the judge.": ("broken",),
        "Quality and variety.": ("precision", "recall", "coverage"),
        "KID, the distance from the real faces.": ("kid",),
        "Drift of hue and pose.": ("hue_drift", "pose_drift"),
    }
    drawn = []
    for caption, keys in drawings.items():
        if first[keys[0]] is None:
            continue

        def draw(axes: Axes, rows: Rows, keys: tuple[str, ...] = keys) -> None:
            strengths = [row["strength"] for row in rows]
            for key, colour in zip(keys, ("tab:blue", "tab:orange", "tab:green"), strict=False):
                axes.plot(strengths, [row[key] for row in rows], ".-", color=colour, label=key.replace("_", " "))
                axes.axhline(first[key], color=colour, linestyle=":", linewidth=1)
            axes.set(xlabel="strength (dotted: as it was)", ylim=(0, None))
            if len(keys) > 1:
                axes.legend(loc="best", frameon=False)

        drawn.append(f"<figure>{plots.svg(draw, rows)}<figcaption>{caption}</figcaption></figure>")
    return "".join(drawn)


def _figure(images: UInt8, caption: str) -> str:
    buffer = io.BytesIO()
    to_pil(grid(images, columns=_COLUMNS)).convert("RGB").save(buffer, "WEBP", quality=85)
    uri = f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return f'<figure><img src="{uri}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
