"""Bar charts: our files in colour, the others in grey, and the limit as a dashed line."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.suite.timing import Spread

OURS, OTHERS, LINE = "#1f6fd4", "#b3b8c0", "#c2410c"
_LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # keeps a line from crossing a number


@dataclass(frozen=True)
class Bar:
    """One row."""

    name: str
    value: Spread | None
    """None if it failed: the row then says so."""
    ours: bool = False


@dataclass(frozen=True)
class Bars:
    """A plot of one or more panels with the same rows."""

    title: str
    panels: Sequence[tuple[str, Sequence[Bar]]]
    """Title and bars of each panel."""
    unit: str
    scale: float = 1.0
    """Values are multiplied by this to get the unit."""
    line: str = ""
    """Name of the bar that is drawn as a line."""


def png(bars: Bars) -> bytes:
    """Draw the chart as a PNG file."""
    from matplotlib.figure import Figure  # imported late: every contender's process would import it

    count = len(bars.panels)
    rows = max(len(panel) for _, panel in bars.panels)
    figure = Figure(figsize=(2.6 + 3.4 * count, 1.1 + 0.32 * rows), layout="constrained", dpi=110)
    figure.suptitle(bars.title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    for i, axes in enumerate(figure.subplots(1, count, squeeze=False)[0]):
        title, panel = bars.panels[i]
        line = next((bar.value for bar in panel if bar.name == bars.line), None)
        shown = [bar for bar in panel if bar.name != bars.line]
        most = 1.25 * max([bar.value.median * bars.scale for bar in panel if bar.value], default=1.0) or 1.0
        for y, bar in enumerate(shown):
            if bar.value is None:
                axes.text(most * 0.01, y, "failed", va="center", fontsize=8, color=LINE)
                continue
            middle, low, high = (value * bars.scale for value in (bar.value.median, bar.value.low, bar.value.high))
            axes.barh(y, middle, color=OURS if bar.ours else OTHERS, height=0.72)
            if high > low:
                axes.plot([low, min(high, most)], [y, y], color="#333", linewidth=1)
            axes.text(
                min(max(middle, high), most) + most * 0.015,
                y,
                written(middle),
                va="center",
                fontsize=8,
                bbox=_LABEL_BOX,
            )
        if line is not None:
            at = line.median * bars.scale
            axes.axvline(at, color=LINE, linestyle="--", linewidth=1.2)
            axes.text(at, -0.75, f"{bars.line} {written(at)}", color=LINE, fontsize=8, ha="left", va="center")
        axes.set(xlim=(0, most * 1.12), ylim=(len(shown) - 0.4, -1.1 if line is not None else -0.6))
        axes.set_yticks(range(len(shown)), [bar.name for bar in shown] if i == 0 else [""] * len(shown), fontsize=9)
        axes.set_title(", ".join(filter(None, (title, bars.unit))), fontsize=10, loc="left")
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.tick_params(axis="x", labelsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()


def written(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
