"""Avatars in a Jupyter notebook: the last expression of a cell is shown, if it has a `_repr_png_`. PIL images do."""

from avatar_runtime import AvatarGenerator
from avatar_runtime.imaging.arrays import to_pil
from avatar_runtime.output.picture import Picture

generator = AvatarGenerator.load()
alice = generator.images(["alice"])[0]
team = to_pil(Picture(tuple(f"team/{i}" for i in range(9))).draw(generator)[0])

team
