"""Turns taken in random order, and the statistics of what they took."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np

Turns: TypeAlias = list[list[float]]
"""Seconds, one list for each round: of one competitor's runs in its turn of that round."""


class TurnError(Exception):
    """A competitor failed in its turn; the message is one sentence."""


@dataclass(frozen=True)
class Spread:
    """What many measurements say: the middle one, and where eight tenths of them lie."""

    median: float
    low: float
    """The tenth percentile."""
    high: float
    """The ninetieth percentile."""
    count: int

    def over(self, divisor: float) -> "Spread":
        """Of one of so many, or as a share."""
        return Spread(self.median / divisor, self.low / divisor, self.high / divisor, self.count)

    def to_dict(self) -> dict[str, float]:
        """As JSON values."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    low, middle, high = np.percentile(np.asarray(values, np.float64), (10, 50, 90))
    return Spread(float(middle), float(low), float(high), len(values))


def exactly(value: float) -> Spread:
    """Of what has no noise: a size."""
    return Spread(value, value, value, 1)


def seconds(turns: Turns) -> Spread:
    """Of all runs, whatever their round."""
    return spread([value for turn in turns for value in turn])


def ratio(turns: Turns, others: Turns) -> Spread:
    """How many times as long the first takes: the ratio of each round's medians, so that a slow minute hits both."""
    return spread([float(np.median(a) / np.median(b)) for a, b in zip(turns, others, strict=True)])


def timed(
    function: Callable[[], object], runs: int = 1, warm: int = 0, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Seconds of each of `runs` calls, after `warm` that do not count."""
    taken = []
    for _ in range(warm + runs):
        began = clock()
        function()
        taken.append(clock() - began)
    return taken[warm:]


def alternate(
    competitors: Mapping[str, Callable[[], list[float]]],
    rounds: int,
    say: Callable[[str], None] = lambda said: None,
    warm: int = 1,
) -> tuple[dict[str, Turns], dict[str, str]]:
    """Give each its turn in each round, in an order drawn anew (always the same draws): turns, and who failed and why.

    A competitor's turn gives the seconds of its runs; the turns of `warm` rounds before the first do not count. Who
    raises a TurnError takes no further turn and has no turns in the result.
    """
    rng = np.random.default_rng(0)
    turns: dict[str, Turns] = {name: [] for name in competitors}
    failed: dict[str, str] = {}
    for number in range(-warm, rounds):
        say(f"round {number + 1} of {rounds}" if number >= 0 else "warming up")
        for name in rng.permutation(list(competitors)).tolist():
            if name in failed:
                continue
            try:
                taken = competitors[name]()
            except TurnError as err:
                failed[name] = str(err)
                del turns[name]
            else:
                if number >= 0:
                    turns[name].append(taken)
    return turns, failed
