"""Measure parts one after the other, each written down as soon as it is finished."""

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from avatar_runtime.output.atomic import make_folder, write_file
from benchmarks.suite import models, plots, report_page, results
from benchmarks.suite.setting import QUIET, Setting, load

PARTS = ("latency", "parity", "cold-start", "bulk", "memory", "size", "training")
"""In the order in which they are measured and shown."""
Say = Callable[[str], None]


def module(part: str) -> ModuleType:
    """The module of a part: `measure(setting, made, say)`, `tables`, `bars` and `headline` of what that gave, and
    `READ`: how it is measured and to be read. What it takes of the setting besides the model is in `INPUTS`."""
    return importlib.import_module(f"benchmarks.suite.{part.replace('-', '_')}")


def run(
    setting: Setting, parts: Sequence[str], again: bool, say: Say, show: Say
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure parts that results.json does not hold yet (or all of them again), show their tables, write the report.

    say gets what happens, show the tables. Returns the results, and why which parts failed: these are left out of
    results.json, so that the next run tries them again. Raises InputError or OutputError.
    """
    make_folder(setting.out)
    described = setting.to_dict()
    found, left = results.resumed(setting.out, described)
    if left:
        say(left)

    @cache
    def made() -> models.Models:
        say("exporting the model in every form")
        return models.make(setting.checkpoint, setting.out / "models")

    failed = {}
    for number, part in enumerate(parts, 1):
        began = time.monotonic()
        step = f"[{number}/{len(parts)}] {part}"
        given = {name: str(getattr(setting, name)) for name in getattr(module(part), "INPUTS", ())}
        known = found["parts"].get(part)
        if known and known["given"] == given and not known.get("failed") and not again:
            say(f"{step}: measured on {known['finished']} already; --again measures it again")
        else:
            busy = load()
            if busy["busy"] is not None and busy["busy"] > QUIET:
                say(f"{step}: others use {busy['busy']:.0%} of the processors: times are too long, ratios noisy")
            try:
                measured = module(part).measure(setting, made, lambda said, step=step: say(f"{step}: {said}"))
            except Exception as err:  # the libraries raise anything, and one part must not end the others
                failed[part] = " ".join(str(err).split()) or type(err).__name__
                say(f"{step}: failed: {failed[part]}")
                continue
            took = time.monotonic() - began
            finished = time.strftime("%Y-%m-%dT%H-%M-%S")
            found["parts"][part] = {
                "finished": finished,
                "seconds": round(took),
                "load": busy,
                "given": given,
                **measured,
            }
            found["parts"] = {name: found["parts"][name] for name in PARTS if name in found["parts"]}
            results.write(setting.out, found)
            say(f"{step}: took {took:.0f} s")
        for line in lines(part, found["parts"][part]):
            show(line)
    report(setting, found, failed)
    say(f"the report: {setting.out / report_page.NAME}")
    return found, failed


def lines(part: str, measured: Mapping[str, Any]) -> list[str]:
    """A part as text: its tables, and what was skipped."""
    skipped = [f"skipped {name}: {reason}" for name, reason in measured.get("skipped", {}).items()]
    return [f"{table.text()}\n" for table in module(part).tables(measured)] + skipped


def report(setting: Setting, found: Mapping[str, Any], failed: Mapping[str, str]) -> None:
    """Write plots, the page, and its tables in Markdown, of all parts that have been measured. Raises OutputError."""
    drawn, tables = {}, []
    for part, measured in found["parts"].items():
        for name, bars in module(part).bars(measured).items():
            drawn[name] = plots.png(bars)
            write_file(setting.out / f"{name}.png", drawn[name])
        tables += [f"{table.markdown()}\n" for table in module(part).tables(measured)]
    write_file(setting.out / "report.md", "\n".join(tables).encode())
    write_file(setting.out / report_page.NAME, report_page.page(found, drawn, failed, setting.out).encode())
