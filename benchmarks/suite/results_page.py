"""RESULTS.md: every table of one results.json, with the machine, model and commit at its top."""

from collections.abc import Mapping
from typing import Any

from benchmarks.suite.parts import module

NAME = "RESULTS.md"


def page(results: Mapping[str, Any]) -> str:
    """The page in Markdown."""
    days = sorted(part["finished"][:10] for part in results["parts"].values())
    lines = [
        "# Results",
        "",
        "Written by `python -m benchmarks`; do not edit. [How it is measured](README.md).",
        "",
        *(f"- {name}: {value}" for name, value in {**facts(results), "Measured": span(days)}.items()),
    ]
    for part, measured in results["parts"].items():
        owner = module(part)
        lines += ["", f"## {part}", "", f"`python -m benchmarks {part}`. {owner.READ}"]
        if headline := owner.headline(measured):
            lines += ["", f"**{headline}**"]
        for table in owner.tables(measured):
            lines += ["", table.markdown()]
        lines += ["", *(f"- {remark}" for remark in remarks(measured))]
    return "\n".join(lines) + "\n"


def facts(results: Mapping[str, Any]) -> dict[str, str]:
    """What all tables were measured with."""
    setting = results["setting"]
    machine, model = setting["machine"], setting["model"]
    found = {
        "Machine": f"{machine['processor']}, {machine['cpus']} CPUs ({machine['architecture']}, "
        f"{', '.join(machine['vectors']) or 'vector instructions unknown'}), {machine['memory_gib']} GiB, "
        f"{machine['system']}",
        "Versions": ", ".join([f"Python {machine['python']}", *(f"{k} {v}" for k, v in setting["versions"].items())]),
        "Commit": setting["commit"],
        "Weights": f"{model['checkpoint']}, SHA-256 {model['checkpoint_sha256'][:12]}…",
        "Model file": f"{model['file']}, SHA-256 {model['file_sha256'][:12]}…",
        "Threads": f"{setting['threads']} for every contender",
    }
    if setting["quick"]:
        found["Quick"] = "few rounds and latents: the figures are rough"
    return found


def remarks(measured: Mapping[str, Any]) -> list[str]:
    """What was skipped, and how busy the machine was."""
    load = measured["load"]
    used = "unknown" if load["busy"] is None else f"{load['busy']:.0%}"
    return [
        *(f"Skipped {name}: {reason}" for name, reason in measured.get("skipped", {}).items()),
        f"Took {measured['seconds']} s. Before it began, other programs used {used} of the processors.",
    ]


def span(days: list[str]) -> str:
    """The first and the last of sorted days."""
    return days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
