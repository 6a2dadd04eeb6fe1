"""Take turns in random order, and summarise the times."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeAlias

import numpy as np

Turns: TypeAlias = list[list[float]]
"""One contender's seconds: a list per round, with a value for each run of its turn."""


class TurnError(Exception):
    """A contender failed in its turn; the message is one sentence."""


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, and the range that holds 80% of them."""

    median: float
    low: float
    """10th percentile."""
    high: float
    """90th percentile."""
    count: int

    def over(self, divisor: float) -> "Spread":
        """All values divided by a number."""
        return Spread(self.median / divisor, self.low / divisor, self.high / divisor, self.count)

    def to_dict(self) -> dict[str, float]:
        """As JSON values."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one value."""
    low, middle, high = np.percentile(np.asarray(values, np.float64), (10, 50, 90))
    return Spread(float(middle), float(low), float(high), len(values))


def exactly(value: float) -> Spread:
    """A value without noise, such as a file size."""
    return Spread(value, value, value, 1)


def seconds(turns: Turns) -> Spread:
    """The spread of all runs of all rounds."""
    return spread([value for turn in turns for value in turn])


def ratio(turns: Turns, others: Turns) -> Spread:
    """How many times as long the first takes.

    Divides the medians of each round, so that a slow minute affects both sides alike.
    """
    return spread([float(np.median(a) / np.median(b)) for a, b in zip(turns, others, strict=True)])


def timed(function: Callable[[], object], runs: int = 1, warm: int = 0) -> list[float]:
    """Seconds of each of `runs` calls, after `warm` untimed ones."""
    taken = []
    for _ in range(warm + runs):
        began = time.perf_counter()
        function()
        taken.append(time.perf_counter() - began)
    return taken[warm:]


def alternate(
    contenders: Mapping[str, Callable[[], list[float]]], rounds: int, say: Callable[[str], None] = lambda message: None
) -> tuple[dict[str, Turns], dict[str, str]]:
    """Give each contender a turn in each round, in a random order with a fixed seed. A first round does not count.

    Each is a function that returns the seconds of its runs. Returns the turns of each contender, and a reason for each
    that raised TurnError (it takes no further turn).
    """
    rng = np.random.default_rng(0)
    turns: dict[str, Turns] = {name: [] for name in contenders}
    failed: dict[str, str] = {}
    for number in range(-1, rounds):
        say(f"round {number + 1} of {rounds}" if number >= 0 else "warming up")
        for name in rng.permutation(list(contenders)).tolist():
            if name in failed:
                continue
            try:
                taken = contenders[name]()
            except TurnError as err:
                failed[name] = str(err)
                del turns[name]
            else:
                if number >= 0:
                    turns[name].append(taken)
    return turns, failed
