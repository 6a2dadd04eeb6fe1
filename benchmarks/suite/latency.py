"""Time to draw a batch: our files, the baselines, and the float32 limit of the machine."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np

from avatar_runtime.imaging.arrays import from_network
from avatar_runtime.latents import latents, series
from benchmarks.baselines import CONTENDERS, ORIGINAL, REFERENCE, Contender, networks
from benchmarks.suite.models import Models
from benchmarks.suite.process import Network, Process
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table, milliseconds, times
from benchmarks.suite.timing import TurnError, Turns, alternate, ratio, seconds, timed

READ = (
    "Milliseconds for a batch: the median, and in brackets the range that holds 80% of the runs. All contenders have "
    "the same weights, latents and number of threads. Each runs in its own process, which is stopped while another "
    "runs, and they take turns in random order. The limit is the time that the network's multiplications would take "
    "at the speed of a large float32 matrix product; int8 can be faster. Our files return pixels; the others stop at "
    "the float image."
)
BATCHES = (1, 8, 64)
RUNS = {1: (20, 5), 8: (6, 2), 64: (3, 1)}
"""Per batch size: timed runs in a turn, and untimed runs before them that warm the caches."""
ROUNDS = 10
LIMIT = "float32 limit"
INT8 = "avatar-edge int8"
ALLOWED_LEVELS = 1.0
"""A baseline that differs from the original by more levels is not timed. For our files `Models.limits` decides."""


def measure(setting: Setting, make_models: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Time every contender that draws what the original draws, at each batch size."""
    models = make_models()
    z = latents(list(series("latency", max(BATCHES))), models.latent_dim)
    failed: dict[str, str] = {}
    turns: dict[str, dict[str, Turns]] = {}
    with ExitStack() as processes:
        running, skipped = _start_all(setting, models, processes, failed, say)
        levels = _drop_those_that_differ(running, models, z, failed, say)
        for batch in BATCHES:
            tasks = {name: partial(_turn, process, name, z[:batch]) for name, process in running.items()}
            turns[str(batch)], broken = alternate(tasks, setting.rounds(ROUNDS), partial(_say, say, batch))
            failed |= {name: f"at batch {batch}: {reason}" for name, reason in broken.items()}
            for name in broken:
                del running[name]
    if LIMIT in failed:
        raise TurnError(f"the float32 limit could not be measured: {failed[LIMIT]}")
    for batch in BATCHES:
        scale = models.flops * batch / networks.FLOPS
        turns[str(batch)][LIMIT] = [[value * scale for value in turn] for turn in turns[str(batch)][LIMIT]]
    return {
        "skipped": skipped,
        "failed": failed,
        "levels": levels,
        "flops": models.flops,
        "turns": turns,
        "ratios": _ratios(turns),
    }


def _start_all(
    setting: Setting, models: Models, processes: ExitStack, failed: dict[str, str], say: Callable[[str], None]
) -> tuple[dict[str, Process], dict[str, str]]:
    """Start the reference, all contenders and the limit: their processes by name, and why each other was skipped."""
    logs, running, skipped = setting.out / "logs", {}, {}
    for contender in (REFERENCE, *CONTENDERS):
        say(f"starting {contender.name}")
        if reason := contender.missing():
            skipped[contender.name] = reason
        elif contender.file in models.failed:
            failed[contender.name] = models.failed[contender.file]
        else:
            try:
                process = contender.start(models, setting.threads, logs)
                running[contender.name] = processes.enter_context(closing(process))
            except TurnError as err:
                failed[contender.name] = str(err)
    limit = partial(networks.open_machine_limit, models, setting.threads)
    running[LIMIT] = processes.enter_context(closing(Process(limit, log=logs / "limit.txt", threads=setting.threads)))
    return running, skipped


def _drop_those_that_differ(
    running: dict[str, Process], models: Models, z: Any, failed: dict[str, str], say: Callable[[str], None]
) -> dict[str, int]:
    """Remove the reference, and every contender whose pixels differ from it; return the others' largest difference."""
    reference = running.pop(REFERENCE.name, None)
    if reference is None:
        raise TurnError(f"there is no original to compare with: {failed.get(REFERENCE.name, ORIGINAL.missing())}")
    expected, levels = reference.ask(pixels, z, models.pixel_range), {}
    for contender in [contender for contender in CONTENDERS if contender.name in running]:
        say(f"comparing {contender.name}")
        try:
            levels[contender.name] = compare_pixels(contender, running[contender.name], expected, z, models)
        except TurnError as err:
            failed[contender.name] = str(err)
            del running[contender.name]
    return levels


def _say(say: Callable[[str], None], batch: int, message: str) -> None:
    say(f"batch {batch}: {message}")


def _turn(process: Process, name: str, z: Any) -> list[float]:
    runs, warm = RUNS[len(z)] if name != LIMIT else RUNS[max(BATCHES)]
    taken: list[float] = process.ask(run_timed, z, runs, warm)
    return taken


def run_timed(network: Network, z: Any, runs: int, warm: int) -> list[float]:
    """In the contender's process: seconds of each run."""
    return timed(partial(network, z), runs, warm)


def pixels(network: Network, z: Any, pixel_range: tuple[float, float], batch: int = 64) -> Any:
    """In the contender's process: the images it draws, uint8 [N, H, W, C]."""
    parts = [np.asarray(network(z[i : i + batch])) for i in range(0, len(z), batch)]
    return np.concatenate([part if part.dtype == np.uint8 else from_network(part, pixel_range) for part in parts])


def compare_pixels(contender: Contender, process: Process, expected: Any, z: Any, models: Models) -> int:
    """The largest difference in levels over all batch sizes. Raises TurnError if it is more than allowed."""
    allowed = models.limits[contender.file] if contender.ours and contender.file else ALLOWED_LEVELS
    largest = 0
    for batch in BATCHES:
        drawn = process.ask(pixels, z[:batch], models.pixel_range, batch)
        largest = max(largest, int(np.abs(drawn.astype(np.int16) - expected[:batch]).max()))
    if largest > allowed:
        raise TurnError(f"differs from the original by {largest} levels, {allowed:g} allowed; not timed")
    return largest


def _ratios(turns: dict[str, dict[str, Turns]]) -> dict[str, Any]:
    return {
        f"{contender.name}, batch {batch}, of {other}": ratio(rows[contender.name], rows[other]).to_dict()
        for batch, rows in turns.items()
        for contender in CONTENDERS
        for other in (LIMIT, ORIGINAL.name)
        if contender.ours and contender.name in rows and other in rows
    }


def tables(part: dict[str, Any]) -> list[Table]:
    """A table for each batch size."""
    found = []
    for batch, rows in part["turns"].items():
        lines = []
        for name in [LIMIT, *(contender.name for contender in CONTENDERS)]:
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
    return found


def headline(part: dict[str, Any]) -> str:
    """The figure that most people ask for."""
    rows = part["turns"]["1"]
    if INT8 not in rows or ORIGINAL.name not in rows:
        return ""
    alone, faster = seconds(rows[INT8]).median * 1e3, ratio(rows[ORIGINAL.name], rows[INT8]).median
    return f"One face takes {alone:.2g} ms (int8): {faster:.1f} times as fast as MindSpore."
