"""What --info prints: a model's metadata in the order in which people read it."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

LABELS = {
    "latent_dim": "latent",
    "image_size": "height and width",
    "latent_scheme": "names become latents by",
    "license": "licence",
    "provenance": "trained on",
    "golden": "golden check",
    "checkpoint_sha256": "checkpoint's SHA-256",
    "sha256": "SHA-256",
    "psnr_db": "PSNR in dB",
    "max_difference": "largest difference",
    "worst": "largest at latent",
}
SECTIONS = {
    "Model": ("id", "name", "version", "license", "provenance"),
    "What it draws": ("image_size", "channels", "output", "latent_dim", "latent_scheme", "batch", "golden"),
    "How it was made": ("precision", "passes", "pixel_range", "checkpoint_sha256"),
    "Compared with the original": ("parity",),
    "File": ("file", "sha256"),
}
MOST_COLUMNS = 100


def info_text(found: Mapping[str, Any]) -> str:
    """The text for a model's metadata, field by field. Empty fields are left out."""
    known = {key for keys in SECTIONS.values() for key in keys}
    sections = {title: {key: found.get(key) for key in keys} for title, keys in SECTIONS.items()}
    sections["Model"] |= {key: found[key] for key in found if key not in known}
    if found.get("id"):
        sections["Model"] |= {"name": None, "version": None}  # the id says both
    lines = []
    for title, fields in sections.items():
        if written := [line for key, value in fields.items() for line in _field(key, value)]:
            lines += ["", title, *written]
    return "\n".join(lines[1:])


def _field(key: str, value: Any) -> Iterator[str]:
    """The lines of one field."""
    if value in ("", None, (), {}, []):
        return
    if key == "parity" and isinstance(value, Mapping):
        for name in sorted(value, key=lambda name: (name == "level_histogram", isinstance(value[name], Mapping))):
            yield from _histogram(name, value[name]) or _field(name, value[name])
        return
    label = LABELS.get(key, printable(key).replace("_", " "))
    width = min(MOST_COLUMNS, shutil.get_terminal_size().columns)
    first, rest = f"  {label:24} ", " " * 27
    yield from textwrap.wrap(
        printable(_as_text(value)),
        max(width, 40),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _histogram(key: str, value: Any) -> list[str]:
    """A histogram of levels in the order of levels, with shares; [] if the value is none."""
    if key != "level_histogram" or not isinstance(value, Mapping):
        return []
    counts = {str(level): count for level, count in value.items()}
    if not all(level.isascii() and level.isdigit() and type(count) is int for level, count in counts.items()):
        return []
    total = max(1, sum(counts.values()))
    lines = ["  levels apart             share of the values"]
    for level in sorted(counts, key=int):
        lines.append(f"  {level:>12}             {100 * counts[level] / total:>8.4f}%")
    return lines


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        given = {key: item for key, item in value.items() if item is not None}
        return ", ".join(f"{str(key).replace('_', ' ')} {_as_text(item)}" for key, item in given.items())
    if isinstance(value, tuple | list):
        return ", ".join(_as_text(item) for item in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def printable(text: str) -> str:
    """The text without what could move a terminal's cursor: a model file may come from anybody."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
