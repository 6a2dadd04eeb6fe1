"""A picture: which avatars it shows and how, and the text in its file that says so."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from avatar_runtime.errors import InputError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import MAX_GRID_SIDE, UInt8, grid, grid_shape
from avatar_runtime.imaging.encoding import check_extension, encode
from avatar_runtime.imaging.portrait import Portrait
from avatar_runtime.latents import truncate

if TYPE_CHECKING:
    from avatar_runtime.ranking import Choice

# animation.py and ranking.py are imported where they are used: a grid needs neither and is drawn 6 ms sooner.

PLAIN = Portrait()

MAX_DRAWN_PIXELS = MAX_GRID_SIDE**2
"""Pixels that the model draws for one picture, at most: 16,384 avatars of 128 pixels a side."""
MAX_FRAMES = 10_000
"""Frames of the longest animation: 16 minutes, there and back."""

Watch = Callable[[Iterable[Any]], Iterable[Any]]
"""Passes names through as they are drawn, or frames as they are encoded, for a progress bar."""


@dataclass(frozen=True)
class Picture:
    """A grid of avatars, a single avatar, or an animation. Raises InputError for what cannot be drawn."""

    names: tuple[str, ...]
    """The avatars, row by row."""
    truncation: float = 1.0
    """0 to 2: see `latents.truncate`."""
    portrait: Portrait = PLAIN
    """How each avatar is shown."""
    columns: int | None = None
    """Columns of the grid; None: the smallest square."""
    frames: int | None = None
    """Frames from the first name to the second, for an animation; None: a grid."""
    choice: "Choice | None" = None
    """The candidates that are shown; None: the names themselves."""

    def __post_init__(self) -> None:
        truncate(np.empty((0, 1), np.float32), self.truncation)
        if self.frames is not None:
            if type(self.frames) is not int or self.frames < 2:
                raise InputError(f"an animation has at least 2 frames, not {self.frames!r}")
            if len(self.names) != 2 or self.columns is not None:
                raise InputError("an animation goes from one name to another, and has no columns")

    @property
    def drawn(self) -> tuple[str, ...]:
        """The names under which the avatars are drawn."""
        if self.choice is None:
            return self.names
        from avatar_runtime.ranking import candidate_name

        return tuple(map(candidate_name, self.names, self.choice.candidates))

    def size(self, image_size: int) -> tuple[int, int]:
        """Width and height in pixels, where the model draws image_size. Raises InputError if that is too large."""
        side = self.portrait.side(image_size)
        if self.frames is None:
            rows, columns = grid_shape(len(self.names), self.columns, 1, side)
            check_work("avatars", len(self.names), image_size)
            return columns * side, rows * side
        check_work("frames", self.frames, max(side, image_size))
        if self.frames > MAX_FRAMES:
            raise InputError(f"an animation has at most {MAX_FRAMES} frames, not {self.frames}")
        return side, side

    def draw(self, generator: AvatarGenerator, watch: Watch = iter) -> UInt8:
        """The pixels: uint8 [N, H, W, C], with N frames of an animation or 1 grid. Raises InputError."""
        self.size(generator.spec.image_size)
        if self.frames is not None:
            first, second = self.drawn
            return self.portrait.show(generator.interpolate(first, second, self.frames, truncation=self.truncation))
        drawn = generator.stream(watch(self.drawn), truncation=self.truncation)
        return self._arrange(np.concatenate([self.portrait.show(images) for images in drawn]))[None]

    def compose(self, images: UInt8) -> UInt8:
        """Arrange avatars that were drawn elsewhere, uint8 [N, H, H, C], as the grid: uint8 [H, W, C]."""
        return self._arrange(self.portrait.show(images))

    def _arrange(self, portraits: UInt8) -> UInt8:
        return grid(portraits, self.columns, empty=self.portrait.empty)

    def render(self, generator: AvatarGenerator, extension: str, watch: Watch = iter) -> bytes:
        """Draw and encode the picture: the bytes of a file, with its text inside. Raises InputError."""
        self.check_format(extension)
        images = self.draw(generator, watch)
        text = self.text(generator)
        if self.frames is None:
            return encode(images[0], extension, text)
        from avatar_runtime.imaging.animation import encode_animation

        return encode_animation(images, extension, text, watch)

    def check_format(self, extension: str) -> None:
        """Raise InputError unless extension names a format that can hold the picture."""
        if self.frames is None:
            check_extension(extension)
        else:
            from avatar_runtime.imaging.animation import check_animation

            check_animation(extension)
        if self.portrait.transparent and extension.lower() in (".jpg", ".jpeg", ".gif"):
            raise InputError(f"{extension} has no soft transparency around a circle: give a background, or use .png")

    def text(self, generator: AvatarGenerator) -> dict[str, Any]:
        """All that is needed to draw the picture again; what is missing has its default value."""
        text: dict[str, Any] = {
            "names": list(self.names),
            "truncation": self.truncation,
            "scheme": generator.spec.latent_scheme,
            "model": generator.model_sha256,
        }
        chosen = {
            "columns": self.columns,
            "frames": self.frames,
            "size": self.portrait.size,
            "circle": self.portrait.circle,
            "background": self.portrait.background,
        }
        text |= {key: value for key, value in chosen.items() if value}
        if self.choice is not None:
            text |= {**asdict(self.choice), "candidates": list(self.choice.candidates)}
        return text


def check_work(what: str, count: int, side: int) -> None:
    """Raise InputError, with what it would take, if count avatars or frames are too many for one picture."""
    if count * side**2 > MAX_DRAWN_PIXELS:
        raise InputError(
            f"{count} {what} of {side}x{side} pixels are {count * side**2 / 1e6:.0f} million pixels to draw, more than "
            f"{MAX_DRAWN_PIXELS / 1e6:.0f}; draw fewer or smaller ones"
        )


def read_text(content: str) -> tuple[Picture, str, str]:
    """Parse the text inside a picture: the picture, the latent scheme and the SHA-256 of the model.

    Raises InputError if it is not the JSON of a `Picture.text`.
    """
    from avatar_runtime.ranking import read_choice

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
        choice = read_choice(text, len(names))
        picture = Picture(tuple(names), text["truncation"], portrait, columns, text.get("frames"), choice)
    except (ValueError, TypeError, LookupError) as err:
        raise InputError(f"its text is damaged ({err})") from err
    return picture, str(scheme), str(model)
