"""report.html: every part with its plots on one page that needs no other file."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.suite.results_page import facts, remarks
from benchmarks.suite.tables import Table

NAME = "report.html"
_TEMPLATE = Path(__file__).with_suffix(".html")


def page(results: Mapping[str, Any], plots: Mapping[str, bytes], failed: Mapping[str, str], out: Path) -> str:
    """Lay out results with plots (name -> PNG), pictures that parts left in `out`, and failed parts with reasons."""
    from benchmarks.suite.run import module

    sections, headlines = [], []
    for part, measured in results["parts"].items():
        owner = module(part)
        headlines.append(owner.headline(measured))
        pictures = {name: (plots[name], "") for name in owner.bars(measured)}
        for name, caption in measured.get("pictures", {}).items():
            if (out / name).is_file():
                pictures[name] = ((out / name).read_bytes(), caption)
        sections.append(
            f"<section id={part}><h2>{html.escape(part)}</h2>{_small(owner.READ)}"
            + "".join(_picture(name, png, caption) for name, (png, caption) in pictures.items())
            + "".join(_table(table) for table in owner.tables(measured))
            + "".join(_small(remark) for remark in remarks(measured))
            + "</section>"
        )
    sections += [
        f"<section><h2>{html.escape(part)}</h2><p class=failed>Failed: {html.escape(reason)}</p></section>"
        for part, reason in failed.items()
    ]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        headlines="".join(f"<li>{html.escape(line)}</li>" for line in headlines if line),
        facts="".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in facts(results).items()),
        links=" · ".join(f'<a href="#{part}">{part}</a>' for part in results["parts"]),
        sections="".join(sections),
    )


def _small(text: str) -> str:
    return f"<p class=read>{html.escape(text)}</p>" if text else ""


def _picture(name: str, png: bytes, caption: str) -> str:
    data = base64.b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{html.escape(name)}">{_small(caption)}'


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
    body = "".join(
        f"<tr{' class=ours' if row[0].startswith('avatar-') else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in table.rows
    )
    title = f"<h3>{html.escape(table.title)}</h3>"
    return (
        f"{title}<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        + _small(table.note)
    )
