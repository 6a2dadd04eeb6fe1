"""Find ratios that got worse by more than the noise of both measurements. Absolute times are never compared."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

LEAST = 1.05
"""A smaller change is never a regression: two builds of the same code differ by as much."""


def regressions(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    parts: Sequence[str],
    say: Callable[[str], None] = lambda message: None,
) -> list[str]:
    """Compare two results: one sentence for each ratio that got worse. All ratios are better when lower.

    Each ratio comes with the range of 80% of its rounds. It is worse if the two ranges do not touch and the median has
    grown by more than LEAST. say receives what could not be compared, and a summary.
    """
    found, count = [], 0
    if old["setting"]["quick"] or new["setting"]["quick"]:
        say("one of the two was measured with --quick: its ranges come from few rounds")
    for part in parts:
        before, now = (results["parts"].get(part, {}).get("ratios", {}) for results in (old, new))
        if gone := before.keys() - now.keys():
            say(f"{part}: not measured now, so not compared: {', '.join(sorted(gone))}")
        for name in [name for name in now if name in before]:
            count += 1
            was, is_ = before[name], now[name]
            if is_["low"] > was["high"] and is_["median"] > LEAST * was["median"]:
                found.append(
                    f"{part}: {name} was {was['median']:.3g} ({was['low']:.3g} to {was['high']:.3g}) and is "
                    f"{is_['median']:.3g} ({is_['low']:.3g} to {is_['high']:.3g})"
                )
    say(f"compared {count} ratios: {len(found)} worse")
    return found
