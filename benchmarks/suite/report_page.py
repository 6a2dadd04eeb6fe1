"""report.html: every part on one page that needs no other file."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

from benchmarks.suite.tables import Table

NAME = "report.html"
_TEMPLATE = Path(__file__).with_suffix(".html")


def page(results: Mapping[str, Any], plots: Mapping[str, bytes], failed: Mapping[str, str], out: Path) -> str:
    """The page of results, with plots (name -> PNG) and pictures that parts have left in out; failed: part -> why."""
    from benchmarks.suite.run import module

    setting, sections, headlines = results["setting"], [], []
    for part, measured in results["parts"].items():
        owner = module(part)
        headlines.append(owner.headline(measured))
        pictures = {name: (plots[name], "") for name in owner.bars(measured)}
        for name, caption in measured.get("pictures", {}).items():
            if (out / name).is_file():
                pictures[name] = ((out / name).read_bytes(), caption)
        sections.append(
            f"<section id={part}><h2>{html.escape(part)}</h2><p class=read>{html.escape(owner.READ)}</p>"
            + "".join(
                f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{html.escape(name)}">'
                f"<p class=read>{html.escape(caption)}</p>"
                for name, (png, caption) in pictures.items()
            )
            + "".join(_table(table) for table in owner.tables(measured))
            + "".join(_remarks(measured))
            + "</section>"
        )
    sections += [
        f"<section><h2>{html.escape(part)}</h2><p class=failed>Failed: {html.escape(reason)}</p></section>"
        for part, reason in failed.items()
    ]
    machine = setting["machine"]
    facts = {
        "Machine": f"{machine['processor']}, {machine['cpus']} CPUs ({machine['architecture']}, "
        f"{', '.join(machine['vectors']) or 'vectors unknown'}), {machine['memory_gib']} GiB, {machine['system']}",
        "Versions": ", ".join([f"Python {machine['python']}", *(f"{k} {v}" for k, v in setting["versions"].items())]),
        "Weights": f"{setting['model']['checkpoint']} ({setting['model']['checkpoint_sha256'][:12]}…)",
        "Model file": f"{setting['model']['file']} ({setting['model']['file_sha256'][:12]}…)",
        "Threads": f"{setting['threads']} for every rival",
    }
    if setting["quick"]:
        facts["Quick"] = "few rounds and latents: the figures are rough"
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        headlines="".join(f"<li>{html.escape(line)}</li>" for line in headlines if line),
        facts="".join(f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items()),
        links=" · ".join(f'<a href="#{part}">{part}</a>' for part in results["parts"]),
        sections="".join(sections),
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.header)
    body = "".join(
        f"<tr{' class=ours' if row[0].startswith('avatar-') else ''}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in table.rows
    )
    note = f"<p class=read>{html.escape(table.note)}</p>" if table.note else ""
    title = f"<h3>{html.escape(table.title)}</h3>"
    return f"{title}<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"


def _remarks(measured: Mapping[str, Any]) -> list[str]:
    remarks = [f"Skipped {name}: {reason}" for name, reason in measured.get("skipped", {}).items()]
    load = measured["load"]
    used = "unknown" if load["busy"] is None else f"{load['busy']:.0%}"
    remarks.append(
        f"Finished {measured['finished']} after {measured['seconds']} s; before it began others used {used} of the "
        f"processors (load average {load['average']})."
    )
    return [f"<p class=read>{html.escape(remark)}</p>" for remark in remarks]
