"""Encode an image for a terminal: as a picture in one of three protocols, or as coloured half-blocks.

An image is uint8 [H, W, C], C 1, 3 or 4. Where half or more of a pixel is transparent, the terminal shows through.
"""

import base64
from itertools import groupby

import numpy as np
import numpy.typing as npt

from avatar_runtime.imaging.arrays import UInt8, to_pil
from avatar_runtime.imaging.png import png

CHUNK = 4096
"""Characters of base64 that one escape code of kitty's protocol may hold."""

_ESCAPE, _STRING_END = "\x1b", "\x1b\\"


def kitty(image: UInt8) -> str:
    """In kitty's graphics protocol: a PNG in chunks, shown at the cursor, without an answer.

    https://sw.kovidgoyal.net/kitty/graphics-protocol/, "Remote client": every chunk but the last says m=1.
    """
    data = base64.b64encode(png(image, {})).decode()
    chunks = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
    keys = ["a=T,f=100,q=2,"] + [""] * len(chunks)
    more = [1] * (len(chunks) - 1) + [0]
    return "".join(
        f"{_ESCAPE}_G{key}m={m};{chunk}{_STRING_END}" for key, m, chunk in zip(keys, more, chunks, strict=False)
    )


def iterm2(image: UInt8) -> str:
    """In iTerm2's protocol, which others show, too: https://iterm2.com/documentation-images.html."""
    data = png(image, {})
    return f"{_ESCAPE}]1337;File=inline=1;size={len(data)}:{base64.b64encode(data).decode()}\a"


def sixel(image: UInt8) -> str:
    """In sixels of at most 256 colours, each a column of six pixels.

    VT330/VT340 Programmer Reference Manual, volume 2, chapter 14: https://vt100.net/docs/vt3xx-gp/chapter14.html. A
    device control string (P2 = 1: pixels of no colour stay as they are), the size, the colours in percent, and for each
    band of six rows one line of sixels for each colour, where ! repeats, $ goes back and - goes on.
    """
    colours, opaque = _rgb(image)
    height, width = opaque.shape
    quantized = to_pil(colours).quantize(256)
    palette = np.array(quantized.getpalette(), np.uint32).reshape(-1, 3)
    indices = np.where(opaque, np.asarray(quantized, np.int16), -1)
    text = [f'{_ESCAPE}P0;1;0q"1;1;{width};{height}']
    for number in np.unique(indices[opaque]):
        text.append(f"#{number};2;" + ";".join(str(round(level * 100 / 255)) for level in palette[number].tolist()))
    weights = 1 << np.arange(6)
    for top in range(0, height, 6):
        band = indices[top : top + 6]
        lines = []
        for number in np.unique(band[band >= 0]):
            bits = ((band == number) * weights[: len(band), None]).sum(axis=0)
            lines.append(f"#{number}" + _repeated("".join(map(chr, (bits + 63).tolist())).rstrip("?")))
        text.append("$".join(lines) + "-")
    return "".join(text) + _STRING_END


def half_blocks(image: UInt8, *, true_colour: bool = True) -> str:
    """As lines of coloured half-blocks, each a pixel above another, in 24-bit colours or in the 256 of xterm.

    The escapes are those of ISO 8613-6 (38 and 48) and, for 256 colours, of xterm's 6x6x6 cube.
    """
    colours, opaque = _rgb(image)
    if len(colours) % 2:
        colours, opaque = (np.concatenate([part, np.zeros_like(part[:1])]) for part in (colours, opaque))
    lines = []
    for upper, lower, has_upper, has_lower in zip(
        colours[::2].tolist(), colours[1::2].tolist(), opaque[::2].tolist(), opaque[1::2].tolist(), strict=True
    ):
        cells = [
            (f"{_ink(38, a, true_colour)}{_ink(48, b, true_colour)}", "▀")
            if has_a and has_b
            else (f"{_ESCAPE}[49m{_ink(38, a if has_a else b, true_colour)}", "▀" if has_a else "▄")
            if has_a or has_b
            else (f"{_ESCAPE}[0m", " ")
            for a, b, has_a, has_b in zip(upper, lower, has_upper, has_lower, strict=True)
        ]
        runs = groupby(cells, key=lambda cell: cell[0])
        lines.append("".join(ink + "".join(block for _, block in run) for ink, run in runs) + f"{_ESCAPE}[0m")
    return "\n".join(lines)


def _rgb(image: UInt8) -> tuple[UInt8, npt.NDArray[np.bool_]]:
    """The colours, uint8 [H, W, 3], and which pixels have one, bool [H, W]."""
    channels = image.shape[-1]
    opaque = image[..., 3] >= 128 if channels == 4 else np.ones(image.shape[:2], np.bool_)
    return np.ascontiguousarray(np.broadcast_to(image[..., :3], (*image.shape[:2], 3))), opaque


def _ink(code: int, colour: list[int], true_colour: bool) -> str:
    if true_colour:
        return f"{_ESCAPE}[{code};2;{colour[0]};{colour[1]};{colour[2]}m"
    red, green, blue = (0 if level < 48 else max(1, (level - 35) // 40) for level in colour)  # steps 0, 95, 135 … 255
    return f"{_ESCAPE}[{code};5;{16 + 36 * red + 6 * green + blue}m"


def _repeated(line: str) -> str:
    """A line of sixels, with runs of more than three written as !N."""
    runs = ((sixel, len(list(run))) for sixel, run in groupby(line))
    return "".join(f"!{count}{sixel}" if count > 3 else sixel * count for sixel, count in runs)
