"""How far a model of each precision may be from the original."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from avatar_runtime.errors import InputError


@dataclass(frozen=True)
class Tolerance:
    """The limits for one precision. Levels are of 255; a float32 output is rounded to pixels first."""

    max_float: float | None = None
    """Largest difference of a float32 output, in the network's own range."""
    max_levels: float = 1
    """Largest difference of any value."""
    within_one_level: float = 1.0
    """Smallest share of the values that are at most one level off."""
    mean_levels: float = 1.0
    """Largest mean difference."""
    psnr: float = 0.0
    """Smallest peak signal-to-noise ratio of the pixels, in decibels."""


TOLERANCES: Mapping[str, Tolerance] = {
    "fp32": Tolerance(max_float=1e-5),
    "fp16": Tolerance(max_levels=2, within_one_level=0.999),
    "int8": Tolerance(max_levels=32, within_one_level=0.0, psnr=45),
}
"""A rounded weight may move a line by a fraction of a pixel: single pixels at the edges of sharp lines are then over
20 levels off. PSNR bounds how many."""


def tolerance_of(precision: str, changes: Mapping[str, float]) -> Tolerance:
    """The tolerance of a precision, with some limits replaced. Raises InputError for an unknown or negative one."""
    known = [field.name for field in fields(Tolerance)]
    for name, value in changes.items():
        if name not in known or not value >= 0:
            raise InputError(f"tolerance {name} {value:g}: the name must be one of {', '.join(known)}, the value >= 0")
    replaced: dict[str, Any] = dict(changes)
    return replace(TOLERANCES[precision], **replaced)
