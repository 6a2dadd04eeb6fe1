"""Measure parts one after the other, and save each as soon as it is finished."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from avatar_runtime.output.atomic import make_folder, write_file
from benchmarks.suite import models, results, results_page
from benchmarks.suite.parts import PARTS, module
from benchmarks.suite.setting import QUIET, RESULTS, ROOT, Setting, load

Say = Callable[[str], None]


def run(
    setting: Setting, parts: Sequence[str], again: bool, say: Say, show: Say
) -> tuple[dict[str, Any], dict[str, str]]:
    """Measure the parts that results.json does not hold yet, or again those that it holds, and write RESULTS.md.

    say receives progress messages, show the tables. Returns the results, and a reason for each part that failed.
    Failed parts are not saved: the next run tries them again. Raises InputError if results.json cannot be read, or
    OutputError.
    """
    make_folder(setting.out)
    found, message = results.resumed(setting.out, setting.to_dict())
    if message:
        say(message)

    @cache
    def make_models() -> models.Models:
        say("exporting the model in every form")
        return models.make(setting.checkpoint, setting.out / "models")

    failed = {}
    for number, part in enumerate(parts, 1):
        step = f"[{number}/{len(parts)}] {part}"
        given = {name: str(getattr(setting, name)) for name in getattr(module(part), "INPUTS", ())}
        known = found["parts"].get(part)
        if known and known["given"] == given and not known.get("failed") and not again:
            say(f"{step}: already measured on {known['finished']}; --again measures it again")
        else:
            busy = load()
            if busy["busy"] is not None and busy["busy"] > QUIET:
                say(f"{step}: other programs use {busy['busy']:.0%} of the processors; times will be too long")
            began = time.monotonic()
            try:
                measured = module(part).measure(setting, make_models, lambda text, step=step: say(f"{step}: {text}"))
            except Exception as err:  # the libraries raise anything, and one part must not end the others
                failed[part] = " ".join(str(err).split()) or type(err).__name__
                say(f"{step}: failed: {failed[part]}")
                continue
            took = round(time.monotonic() - began)
            about = {"finished": time.strftime("%Y-%m-%dT%H-%M-%S"), "seconds": took, "load": busy, "given": given}
            found["parts"][part] = {**about, **measured}
            found["parts"] = {name: found["parts"][name] for name in PARTS if name in found["parts"]}
            results.write(setting.out, found)
            say(f"{step}: took {took} s")
        for line in lines(part, found["parts"][part]):
            show(line)
    if found["parts"]:
        write_page(setting, found, say)
    return found, failed


def lines(part: str, measured: Mapping[str, Any]) -> list[str]:
    """A part as text: its tables, and what was skipped."""
    skipped = [f"skipped {name}: {reason}" for name, reason in measured.get("skipped", {}).items()]
    return [f"{table.text()}\n" for table in module(part).tables(measured)] + skipped


def write_page(setting: Setting, found: Mapping[str, Any], say: Say) -> None:
    """Write RESULTS.md for all measured parts; into the repository, too, if it is fit for that. Raises OutputError."""
    page = results_page.page(found).encode()
    write_file(setting.out / results_page.NAME, page)
    if reason := unfit(found):
        say(f"wrote {setting.out / results_page.NAME}, but not {RESULTS}: {reason}")
    else:
        write_file(ROOT / RESULTS, page)
        say(f"wrote {RESULTS}")


def unfit(found: Mapping[str, Any]) -> str:
    """Why these results are not fit for the repository's page; empty if they are."""
    setting, parts = found["setting"], found["parts"]
    if missing := [part for part in PARTS if part not in parts or parts[part].get("failed")]:
        return f"not measured completely: {', '.join(missing)}"
    if setting["quick"]:
        return "they were measured with --quick"
    if setting["commit"] == "unknown" or setting["commit"].endswith("+changes"):
        return "the tree has uncommitted changes"
    return ""
