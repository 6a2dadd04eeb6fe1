"""The curves of a run, drawn by matplotlib as a PNG or as SVG in the colours of its page."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
"""The lines of stats.jsonl."""

_POINTS = 200
"""Largest number of points of a curve; each is the average of a range of steps."""

_INK = "#0badca"
"""Stands for the page's text colour until the SVG is written."""


def losses(axes: Axes, rows: Rows) -> None:
    """Both losses: their mean, and the band between the 10th and 90th percentiles."""
    for key, label, colour in (("g_loss", "generator", "tab:blue"), ("d_loss", "discriminator", "tab:orange")):
        steps, parts = _parts(rows, key)
        low, high = (np.array([np.quantile(part, q) for part in parts]) for q in (0.1, 0.9))
        axes.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.plot(steps, [part.mean() for part in parts], color=colour, label=label)
    axes.set(xlabel="step", ylabel="loss")
    axes.legend(loc="upper right", frameon=False)


def kid(axes: Axes, rows: Rows) -> None:
    """KID with its standard deviation. The lowest, that of best.ckpt, is marked."""
    measured = [row for row in rows if "kid" in row]
    newest = measured[-1]["kid_network"]  # other networks do not compare
    measured = [row for row in measured if row["kid_network"] == newest]
    steps, means, deviations = ([row[key] for row in measured] for key in ("step", "kid", "kid_std"))
    axes.errorbar(steps, means, deviations, color="tab:blue", marker=".", capsize=3)
    best = min(measured, key=lambda row: float(row["kid"]))
    label = f"best: {best['kid']:.3f}, step {best['step']:,}"
    axes.plot(best["step"], best["kid"], "*", color="tab:orange", markersize=13, zorder=3, label=label)
    axes.set(xlabel="step", ylabel="KID", xlim=(0, 1.05 * steps[-1]), ylim=(min(0, best["kid"]), 1.1 * max(means)))
    axes.legend(loc="upper right", frameon=False)


def diversity(axes: Axes, rows: Rows) -> None:
    """Diversity of the previews: a generator that draws one face for all names has collapsed."""
    _line(axes, rows, "diversity", "levels", ylim=(0, None))


def critic(axes: Axes, rows: Rows) -> None:
    """The critic's mean logit of a step's generated images: below 0 it finds them whole rather than broken."""
    _line(axes, rows, "critic", "logit")


def speed(axes: Axes, rows: Rows) -> None:
    """Images per second."""
    _line(axes, rows, "images_per_second", "images/s", np.median, ylim=(0, None))


def has(rows: Rows, key: str) -> bool:
    """Whether any row has this measurement."""
    return any(key in row for row in rows)


def png(rows: Rows) -> bytes:
    """losses.png: the losses and, if it was measured, KID below them."""
    drawings = [losses, kid] if has(rows, "kid") else [losses]
    figure = Figure(figsize=(9, 1 + 3.7 * len(drawings)), layout="constrained")
    for axes, draw in zip(figure.subplots(len(drawings), squeeze=False)[:, 0], drawings, strict=True):
        draw(axes, rows)
        axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def svg(draw: Callable[[Axes, Rows], None], rows: Rows) -> str:
    """One curve as an <svg> element, as wide as a phone, without background, in the page's text colour."""
    figure = Figure(figsize=(5, 2.9))
    axes = figure.add_axes((0.13, 0.17, 0.84, 0.79))  # a constrained layout would double the time
    draw(axes, rows)
    axes.grid(color=_INK, alpha=0.15)
    axes.tick_params(colors=_INK)
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_color(_INK)
    legend = axes.get_legend()
    for text in (axes.xaxis.label, axes.yaxis.label, *(legend.get_texts() if legend else ())):
        text.set_color(_INK)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    drawn = buffer.getvalue()
    return drawn[drawn.index("<svg") :].replace(_INK, "currentColor")


def _line(axes: Axes, rows: Rows, key: str, unit: str, middle: Callable[..., Any] = np.mean, **settings: Any) -> None:
    steps, parts = _parts(rows, key)
    axes.plot(steps, [middle(part) for part in parts], color="tab:blue")
    axes.set(xlabel="step", ylabel=unit, **settings)


def _parts(rows: Rows, key: str) -> tuple[npt.NDArray[np.float64], list[npt.NDArray[np.float64]]]:
    """Split the rows into at most _POINTS ranges: the mean step of each, and its values."""
    found = [(row["step"], row[key]) for row in rows if key in row]
    parts = np.array_split(np.array(found, np.float64), min(_POINTS, len(found)))
    return np.array([part[:, 0].mean() for part in parts]), [part[:, 1] for part in parts]
