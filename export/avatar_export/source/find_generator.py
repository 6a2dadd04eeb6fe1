"""Finds a DCGAN generator among named arrays by their shapes, whatever cell it was saved in. Imports no MindSpore."""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import AvatarError

AnyArray = npt.NDArray[np.generic]
Group = dict[tuple[int, str], AnyArray]
"""The arrays of one cell: (place in the cell, kind), such as (0, "weight") -> array."""

NORM = ("gamma", "beta", "moving_mean", "moving_variance")
"""The arrays of a batch norm in MindSpore."""
STATISTICS = NORM[2:]
"""Those of them that are not trained, so that an optimiser does not rename them."""

_NAME = re.compile(r"((?:.*\.)?)(\d+)\.(\w+)")


class UnsuitableCheckpointError(AvatarError):
    """The checkpoint holds no generator, or not a sound one."""


def find_generator(arrays: Mapping[str, AnyArray], prefix: str | None = None) -> tuple[str, Group]:
    """Find a generator: 4x4 transposed convolutions at 0, 3, 6, … whose channels fit, each with a batch norm after it.

    The names may begin with anything: `network.generator.`, `netG.`, or `optim_g.generator.`, which an optimiser gives
    to what it trains but not to the running statistics; these are then found under a shorter prefix. An optimiser's
    moments have the shapes of the weights too, but are farther from the statistics.

    Returns the whole prefix of the weights, such as "generator.", which begins with the prefix that was asked for, and
    the arrays. Raises UnsuitableCheckpointError if there is no generator, or more than one.
    """
    groups: dict[str, Group] = {}
    for name, array in arrays.items():
        if match := _NAME.fullmatch(name):
            groups.setdefault(match[1], {})[int(match[2]), match[3]] = array
    wanted = {name: group for name, group in groups.items() if name.startswith(prefix or "")}
    if prefix and not wanted:
        raise UnsuitableCheckpointError(f"no name begins with {prefix}; there are {_listed(arrays)}")
    complete: dict[str, list[tuple[int, str]]] = {}  # prefix of the statistics -> (distance, prefix of the weights)
    for name, group in wanted.items():
        home = _home_of_statistics(name, groups)
        if home is not None and _is_generator(_joined(group, groups[home])):
            complete.setdefault(home, []).append((name.count(".") - home.count("."), name))
    found = [
        name for candidates in complete.values() for distance, name in candidates if distance == min(candidates)[0]
    ]
    if not found:  # a damaged generator is named by what is wrong with it, if its name says that it is one
        found = [name for name, group in wanted.items() if name.endswith("generator.") and (0, "weight") in group][:1]
        found = found or [name for name in wanted if name.endswith("generator.")][:1]
    if not found:
        raise UnsuitableCheckpointError(_no_generator(arrays))
    if len(found) > 1:
        raise UnsuitableCheckpointError(f"it holds several generators: choose one with --prefix {' or '.join(found)}")
    home = _home_of_statistics(found[0], groups)
    return found[0], _joined(groups[found[0]], groups.get(home or "", {}))


def _home_of_statistics(prefix: str, groups: Mapping[str, Group]) -> str | None:
    """The longest ending of a prefix under which there are running statistics; None if there are none."""
    parts = prefix.split(".")
    endings = (".".join(parts[i:]) for i in range(len(parts)))
    return next((e for e in endings if any(kind in STATISTICS for _, kind in groups.get(e, ()))), None)


def _joined(group: Group, home: Group) -> Group:
    return {place: array for place, array in home.items() if place[1] in STATISTICS} | group


def _is_generator(group: Group) -> bool:
    places = sorted(place for place, kind in group if kind == "weight")
    if len(places) < 2 or places != list(range(0, 3 * len(places), 3)):
        return False
    shapes = [group[place, "weight"].shape for place in places]
    return (
        all(len(shape) == 4 and shape[2:] == (4, 4) for shape in shapes)
        and all(shape[1] == following[0] for shape, following in pairwise(shapes))
        and all(
            (place + 1, kind) in group and group[place + 1, kind].shape == (shape[1],)
            for place, shape in zip(places[:-1], shapes[:-1], strict=True)
            for kind in NORM
        )
    )


def _no_generator(arrays: Mapping[str, AnyArray]) -> str:
    if any("discriminator." in name for name in arrays):
        return "it is a discriminator's checkpoint; give the generator's, generator.ckpt of the same run"
    return (
        f"it holds no generator: no transposed convolutions with batch norms at …0., …3., …6. among {_listed(arrays)}"
    )


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:4]) + (", …" if len(shown) > 4 else "") or "none at all"
