"""What a model of each precision may differ from the original by."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from avatar_runtime.errors import InputError


@dataclass(frozen=True)
class Gate:
    """The limits of one precision. Levels are of 255; those of a float32 output are taken after rounding to pixels."""

    max_float: float | None = None
    """Largest difference of a float32 output, in the network's own range."""
    max_levels: float = 1
    """Largest difference anywhere."""
    within_one_level: float = 1.0
    """Least share of the values that are at most one level off."""
    mean_levels: float = 1.0
    """Largest mean difference."""
    psnr: float = 0.0
    """Least peak signal-to-noise ratio of the pixels in decibels."""


GATES: Mapping[str, Gate] = {
    "fp32": Gate(max_float=1e-5),
    "fp16": Gate(max_levels=2, within_one_level=0.999),
    "int8": Gate(max_levels=12, within_one_level=0.0, psnr=45),
}


def gate(precision: str, limits: Mapping[str, float]) -> Gate:
    """The gate of a precision, with some limits replaced. Raises InputError if there is no such limit."""
    known = [field.name for field in fields(Gate)]
    for name, value in limits.items():
        if name not in known or not value >= 0:
            raise InputError(f"{name} {value:g} is no limit of the gate; there are {', '.join(known)}, each at least 0")
    changes: dict[str, Any] = dict(limits)
    return replace(GATES[precision], **changes)
