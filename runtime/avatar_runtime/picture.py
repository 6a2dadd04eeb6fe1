"""A picture: which avatars it shows and how, and the text in its file that says so."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar_runtime.errors import InputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.latents import truncate
from avatar_runtime.pixels import UInt8, check_extension, encode, grid, grid_shape
from avatar_runtime.portrait import Portrait

PLAIN = Portrait()

Watch = Callable[[Iterable[str]], Iterable[str]]
"""Gives its names on, one by one as they are drawn: where a progress bar can look on."""


@dataclass(frozen=True)
class Picture:
    """A grid of avatars; of one name, that avatar alone. Raises InputError for what cannot be drawn."""

    names: tuple[str, ...]
    """The avatars, row by row."""
    truncation: float = 1.0
    """0 to 2: see `latents.truncate`."""
    portrait: Portrait = PLAIN
    """How each avatar is shown."""
    columns: int | None = None
    """Columns of the grid; None: the smallest square."""

    def __post_init__(self) -> None:
        truncate(np.empty((0, 1), np.float32), self.truncation)

    def size(self, image_size: int) -> tuple[int, int]:
        """Width and height in pixels, where the model draws image_size. Raises InputError if that is too large."""
        side = self.portrait.side(image_size)
        rows, columns = grid_shape(len(self.names), self.columns, 1, side)
        return columns * side, rows * side

    def draw(self, generator: AvatarGenerator, watch: Watch = iter) -> UInt8:
        """The picture's pixels: uint8 [H, W, C]. Raises InputError."""
        self.size(generator.spec.image_size)
        drawn = generator.stream(watch(self.names), truncation=self.truncation)
        return self._arrange(np.concatenate([self.portrait.show(images) for images in drawn]))

    def compose(self, images: UInt8) -> UInt8:
        """The picture of its avatars, drawn elsewhere: uint8 [N, H, H, C] to [H, W, C]."""
        return self._arrange(self.portrait.show(images))

    def _arrange(self, portraits: UInt8) -> UInt8:
        return grid(portraits, self.columns, empty=self.portrait.empty)

    def render(self, generator: AvatarGenerator, extension: str, watch: Watch = iter) -> bytes:
        """The picture as the bytes of a file, with its text inside. Raises InputError."""
        check_format(extension, self.portrait)
        return encode(self.draw(generator, watch), extension, self.text(generator))

    def text(self, generator: AvatarGenerator) -> dict[str, Any]:
        """All that is needed to draw the picture again. What is not said is at its default."""
        text: dict[str, Any] = {
            "names": list(self.names),
            "truncation": self.truncation,
            "scheme": generator.spec.latent_scheme,
            "model": generator.model_sha256,
        }
        chosen = {
            "columns": self.columns,
            "size": self.portrait.size,
            "circle": self.portrait.circle,
            "background": self.portrait.background,
        }
        return text | {key: value for key, value in chosen.items() if value}


def check_format(extension: str, portrait: Portrait) -> None:
    """Raise InputError unless extension names a picture format, and one that can hold the portrait."""
    check_extension(extension)
    if portrait.transparent and extension.lower() in (".jpg", ".jpeg"):
        raise InputError(f"{extension} has no transparency for what is around a circle: give a background, or use .png")


def read_text(content: str) -> tuple[Picture, str, str]:
    """The inverse of `Picture.text` as JSON: the picture, the latent scheme and the SHA-256 of the model.

    Raises InputError.
    """
    try:
        text = json.loads(content)
        names, scheme, model = text["names"], text["scheme"], text["model"]
    except (ValueError, TypeError, LookupError, RecursionError) as err:
        raise InputError("its text is not one that avatar-edge writes") from err
    try:
        if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
            raise ValueError("names are not a list of strings")
        columns = text.get("columns")
        if not (columns is None or (type(columns) is int and columns > 0)):
            raise ValueError(f"columns is {columns!r}")
        portrait = Portrait(text.get("size"), text.get("circle", False) is True, text.get("background"))
        picture = Picture(tuple(names), text["truncation"], portrait, columns)
    except (ValueError, TypeError, LookupError) as err:
        raise InputError(f"its text is damaged ({err})") from err
    return picture, str(scheme), str(model)
