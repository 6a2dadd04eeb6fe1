"""Tables for the terminal and for Markdown, and the format of their figures."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.suite.timing import Spread


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; the first column names the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    """Printed under the table."""

    def text(self) -> str:
        """Columns for a terminal."""
        rows = [self.header, *self.rows]
        count = len(self.header)
        widths = [max(len(row[i]) for row in rows if i < len(row) and not _is_remark(row)) for i in range(count)]
        lines = [f"== {self.title}"]
        for row in rows:
            cells = [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in
                     enumerate(zip(row, widths, strict=True))]  # fmt: skip
            lines.append(f"{row[0].ljust(widths[0])}  {row[1]}" if _is_remark(row) else "  ".join(cells))
        return "\n".join([line.rstrip() for line in lines] + ([self.note] if self.note else []))

    def markdown(self) -> str:
        """A Markdown table under a heading."""
        rows = [self.header, ["---"] * len(self.header), *self.rows]
        lines = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
        return "\n".join([f"### {self.title}", "", *lines] + (["", self.note] if self.note else []))


def _is_remark(row: Sequence[str]) -> bool:
    """Whether a row holds a sentence instead of figures."""
    return len(row) > 2 and not any(row[2:])


def milliseconds(spread: Spread) -> str:
    """Seconds as milliseconds: the median, and the range of 80% of the values."""
    digits = 2 if spread.median < 0.01 else 1 if spread.median < 0.1 else 0
    return " ".join(
        [f"{spread.median * 1e3:.{digits}f}", f"({spread.low * 1e3:.{digits}f} to {spread.high * 1e3:.{digits}f})"]
    )


def times(spread: Spread) -> str:
    """A ratio: the median, and the range of 80% of the values."""
    digits = 2 if spread.median < 10 else 1
    return f"{spread.median:.{digits}f} ({spread.low:.{digits}f} to {spread.high:.{digits}f})"
