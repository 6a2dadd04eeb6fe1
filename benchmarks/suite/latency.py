"""How long a batch takes, ours beside the alternatives, and beside what the machine can do at best."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np

from avatar_runtime.imaging.arrays import from_network
from avatar_runtime.latents import latents, series
from benchmarks.baselines import ORIGINAL, REFERENCE, RIVALS, Rival, machine_limit
from benchmarks.suite.models import Models
from benchmarks.suite.plots import Bar, Bars
from benchmarks.suite.process import Network, Process
from benchmarks.suite.samples import TurnError, Turns, alternate, ratio, seconds, timed
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table, milliseconds, times

BATCHES = (1, 8, 64)
RUNS = {1: (20, 5), 8: (6, 2), 64: (3, 1)}
"""Timed runs of a turn, and how many before them warm the caches up again."""
ROUNDS = 10
LIMIT = "the machine's limit"
READ = (
    "Milliseconds for a batch, the median and in brackets where eight tenths of the runs lie. Same weights, same "
    "latents, same number of threads; each rival in a process that is stopped while others run, taking turns in "
    "random order. The machine's limit is the time that the network's multiplications would take at the rate of a "
    "large float32 matrix product; int8 can be below it. Our files give pixels, the others stop at the float image."
)
INT8, FP32 = "avatar-edge int8", "avatar-edge fp32"
AIMS = (
    (INT8, "1", LIMIT, 0.75),
    (INT8, "64", LIMIT, 0.60),
    (FP32, "1", LIMIT, 1.30),
    (FP32, "64", LIMIT, 1.15),
    (INT8, "1", ORIGINAL.name, 1 / 8),
    (INT8, "64", ORIGINAL.name, 1 / 5),
)
"""Who should take at most which share of whose time at which batch size. int8 should also beat the fastest rival."""
LEVELS = 1.0
"""By how many levels a rival may differ from the original. Our files' own limits are in `Models.limits`."""


def measure(setting: Setting, made: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Every rival's turns at each batch size: those that draw what the original draws, in random order."""
    models = made()
    z = latents(list(series("latency", max(BATCHES))), models.latent_dim)
    failed: dict[str, str] = {}
    turns: dict[str, dict[str, Turns]] = {}
    with ExitStack() as processes:
        started, skipped = _started(setting, models, processes, failed, say)
        levels = _agreeing(started, models, z, failed, say)
        for batch in BATCHES:
            asked = {name: partial(_turn, process, name, z[:batch]) for name, process in started.items()}
            turns[str(batch)], broken = alternate(asked, setting.rounds(ROUNDS), partial(_say, say, batch))
            failed |= {name: f"at batch {batch}: {reason}" for name, reason in broken.items()}
            for name in broken:
                del started[name]
    if LIMIT in failed:
        raise TurnError(f"the machine's limit could not be measured: {failed[LIMIT]}")
    for batch in BATCHES:
        scale = models.flops * batch / machine_limit.FLOPS
        turns[str(batch)][LIMIT] = [[value * scale for value in turn] for turn in turns[str(batch)][LIMIT]]
    return {
        "skipped": skipped,
        "failed": failed,
        "levels": levels,
        "flops": models.flops,
        "turns": turns,
        "ratios": _ratios(turns),
    }


def _started(
    setting: Setting, models: Models, processes: ExitStack, failed: dict[str, str], say: Callable[[str], None]
) -> tuple[dict[str, Process], dict[str, str]]:
    """The processes of all rivals, the reference and the limit, by name; and who was skipped, and why."""
    logs, started, skipped = setting.out / "logs", {}, {}
    for rival in (REFERENCE, *RIVALS):
        say(f"starting {rival.name}")
        if reason := rival.missing():
            skipped[rival.name] = reason
        elif rival.file in models.failed:
            failed[rival.name] = models.failed[rival.file]
        else:
            try:
                started[rival.name] = processes.enter_context(closing(rival.start(models, setting.threads, logs)))
            except TurnError as err:
                failed[rival.name] = str(err)
    limit = Process(
        machine_limit.open_network, models, setting.threads, log=logs / "limit.txt", threads=setting.threads
    )
    started[LIMIT] = processes.enter_context(closing(limit))
    return started, skipped


def _agreeing(
    started: dict[str, Process], models: Models, z: Any, failed: dict[str, str], say: Callable[[str], None]
) -> dict[str, int]:
    """Take the reference out of started, and the rivals that do not draw what it draws: the others' levels off it."""
    reference = started.pop(REFERENCE.name, None)
    if reference is None:
        raise TurnError(f"there is no original to compare with: {failed.get(REFERENCE.name, ORIGINAL.missing())}")
    expected, levels = reference.ask(pixels, z, models.pixel_range), {}
    for rival in [rival for rival in RIVALS if rival.name in started]:
        say(f"comparing {rival.name}")
        try:
            levels[rival.name] = compared(rival, started[rival.name], expected, z, models)
        except TurnError as err:
            failed[rival.name] = str(err)
            del started[rival.name]
    return levels


def _say(say: Callable[[str], None], batch: int, said: str) -> None:
    say(f"batch {batch}: {said}")


def _turn(process: Process, name: str, z: Any) -> list[float]:
    runs, warm = RUNS[len(z)] if name != LIMIT else RUNS[max(BATCHES)]
    taken: list[float] = process.ask(run_timed, z, runs, warm)
    return taken


def run_timed(network: Network, z: Any, runs: int, warm: int) -> list[float]:
    """In the rival's process: seconds of each run."""
    return timed(partial(network, z), runs, warm)


def pixels(network: Network, z: Any, pixel_range: tuple[float, float], batch: int = 64) -> Any:
    """In the rival's process: what it draws, uint8 [N, H, W, C]."""
    parts = [np.asarray(network(z[i : i + batch])) for i in range(0, len(z), batch)]
    return np.concatenate([part if part.dtype == np.uint8 else from_network(part, pixel_range) for part in parts])


def compared(rival: Rival, process: Process, expected: Any, z: Any, models: Models) -> int:
    """The largest difference in levels at all batch sizes. Raises TurnError if it is more than is allowed."""
    allowed = models.limits[rival.file] if rival.ours and rival.file else LEVELS
    largest = 0
    for batch in BATCHES:
        drawn = process.ask(pixels, z[:batch], models.pixel_range, batch)
        largest = max(largest, int(np.abs(drawn.astype(np.int16) - expected[:batch]).max()))
    if largest > allowed:
        raise TurnError(f"draws up to {largest} levels off the original, {allowed:g} allowed; it is not timed")
    return largest


def _ratios(turns: dict[str, dict[str, Turns]]) -> dict[str, Any]:
    found = {}
    for batch, rows in turns.items():
        for rival in RIVALS:
            if rival.name not in rows or not rival.ours:
                continue
            for other in (LIMIT, ORIGINAL.name):
                if other in rows:
                    found[f"{rival.name}, batch {batch}, of {other}"] = ratio(rows[rival.name], rows[other]).to_dict()
    return found


def tables(part: dict[str, Any]) -> list[Table]:
    """One table for each batch size: time, share of the limit, of the original and of our int8."""
    found = []
    for batch, rows in part["turns"].items():
        lines = []
        for name in [LIMIT, *(rival.name for rival in RIVALS)]:
            if name in rows:
                shares = [
                    times(ratio(rows[name], rows[other])) if other in rows else "-" for other in (LIMIT, ORIGINAL.name)
                ]
                level = part["levels"].get(name)
                lines.append([name, milliseconds(seconds(rows[name])), *shares, "-" if level is None else f"{level}"])
            elif reason := part["failed"].get(name):
                lines.append([name, f"failed: {reason}", "", "", ""])
        header = [f"batch {batch}", "milliseconds", "of the limit", "of MindSpore", "levels off"]
        found.append(Table(f"Latency of a batch of {batch}", header, lines))
    return [*found, Table("Aims", ["of the time", "aim", "measured", "reached"], list(_aims(part["turns"])))]


def _aims(turns: dict[str, dict[str, Turns]]) -> Iterator[list[str]]:
    shares = [*AIMS]
    for batch, rows in turns.items():
        others = {
            seconds(rows[rival.name]).median: rival.name for rival in RIVALS if rival.name in rows and not rival.ours
        }
        shares += [(INT8, batch, others[min(others)], 1.0)] if others else []
    for name, batch, other, aim in shares:
        if batch in turns and {name, other} <= turns[batch].keys():
            share = ratio(turns[batch][name], turns[batch][other])
            reached = "yes" if share.median <= aim else "no"
            yield [f"{name}, batch {batch}, of {other}", f"{aim:.3g}", times(share), reached]


def headline(part: dict[str, Any]) -> str:
    """The figure that most people ask for."""
    rows = part["turns"]["1"]
    if INT8 not in rows or ORIGINAL.name not in rows:
        return ""
    alone, faster = seconds(rows[INT8]).median * 1e3, ratio(rows[ORIGINAL.name], rows[INT8]).median
    return f"One face in {alone:.2g} ms (int8): {faster:.1f} times as fast as MindSpore."


def bars(part: dict[str, Any]) -> dict[str, Bars]:
    """All batch sizes beside each other, an image's share of the batch."""
    panels = []
    for batch, rows in part["turns"].items():
        panel = [
            Bar(name, seconds(rows[name]).over(int(batch)) if name in rows else None, ours)
            for name, ours in [(LIMIT, False), *((rival.name, rival.ours) for rival in RIVALS)]
            if name in rows or name in part["failed"]
        ]
        panels.append((f"batch {batch}", panel))
    return {"latency": Bars("Time for one face", panels, "ms a face", 1e3, LIMIT)}
