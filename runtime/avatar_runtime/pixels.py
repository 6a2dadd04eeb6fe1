"""Arrays of pixels become pictures, grids and files.

An image is uint8 [H, W, C], RGB or grey, 0 black and 255 white; images are uint8 [N, H, W, C].
"""

import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from avatar_runtime.errors import InputError, OutputError
from avatar_runtime.png import is_zipped, png

if TYPE_CHECKING:  # 8 ms, which a PNG does not need
    from PIL import Image

UInt8 = npt.NDArray[np.uint8]

MAX_GRID_SIDE = 16_384
"""The longest side of a grid in pixels: what browsers and phones still open."""

TEXT_KEY = "avatar-edge"
"""The keyword of the text chunk that says, as JSON, which avatar a PNG file shows."""

_EXIF_DESCRIPTION = 0x010E
"""The EXIF tag ImageDescription, which holds the same text in a WebP and a JPEG."""

_FORMATS: Mapping[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    # The least effort takes 0.17 instead of 5.2 ms and costs 6% more bytes.
    ".webp": ("WEBP", {"lossless": True, "method": 0}),
    ".jpg": ("JPEG", {"quality": 95}),
    ".jpeg": ("JPEG", {"quality": 95}),
}


def from_network(output: npt.NDArray[np.float32], pixel_range: tuple[float, float]) -> UInt8:
    """A network's own output, float32 [N, C, H, W] within pixel_range, as images uint8 [N, H, W, C].

    Values outside pixel_range are clipped; halves round to even, as ONNX's Round does.
    """
    low, high = pixel_range
    scale = np.float32(255 / (high - low))
    levels = np.rint((output - np.float32(low)) * scale)
    return np.ascontiguousarray(np.clip(levels, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def to_pil(image: UInt8) -> "Image.Image":
    """One image, uint8 [H, W, C], as a PIL image of mode L, RGB or RGBA."""
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def from_png(data: bytes) -> UInt8:
    """The inverse of `encode` for a PNG of one image: uint8 [H, W, C]."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def grid(images: UInt8, columns: int | None = None, scale: int = 1, empty: Sequence[int] = (255,)) -> UInt8:
    """Images side by side, row by row, without gaps: uint8 [rows * H * scale, columns * W * scale, C].

    columns defaults to the smallest square that holds them; cells without an image are of the colour empty; scale
    repeats pixels. Raises InputError if there is no image, columns or scale is below 1, or a side would exceed
    MAX_GRID_SIDE.
    """
    count, height, width, channels = images.shape
    rows, columns = grid_shape(count, columns, scale, max(height, width))
    cells = np.full((rows * columns, height, width, channels), empty, np.uint8)
    cells[:count] = images
    sheet = cells.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    return sheet if scale == 1 else sheet.repeat(scale, 0).repeat(scale, 1)


def grid_shape(count: int, columns: int | None, scale: int, image_size: int) -> tuple[int, int]:
    """Rows and columns of a grid of count square images, before any is drawn. Raises InputError as `grid` does."""
    if columns is None:
        columns = math.isqrt(max(count, 1) - 1) + 1
    if count < 1 or columns < 1 or scale < 1:
        raise InputError(
            f"a grid needs at least 1 image, column and scale, not {count} images, {columns} columns, scale {scale}"
        )
    columns = min(columns, count)
    rows = -(-count // columns)
    side = max(rows, columns) * image_size * scale
    if side > MAX_GRID_SIDE:
        raise InputError(
            f"a grid of {rows} rows and {columns} columns of {image_size * scale} pixels each would be {side} pixels "
            f"long, more than {MAX_GRID_SIDE}; draw fewer or smaller, set columns, or write single files"
        )
    return rows, columns


def encode(image: UInt8, extension: str, text: Mapping[str, Any] | None = None) -> bytes:
    """One image as the bytes of a file: extension is .png, .webp (lossless), .jpg or .jpeg.

    text, if given, goes into the file as `text_options` says. Raises InputError for another extension, or for an image
    larger than the format can hold.
    """
    check_extension(extension)
    format_name, options = _FORMATS[extension.lower()]
    if format_name == "PNG":
        return png(image, {} if text is None else {TEXT_KEY: _json(text)})
    buffer = io.BytesIO()
    buffer.name = f"picture{extension}"  # told the format instead, Pillow would load all its formats: 10 ms
    try:
        to_pil(image).save(buffer, **options, **text_options(format_name, text))
    except (OSError, ValueError) as err:
        height, width = image.shape[:2]
        raise InputError(f"{format_name} cannot hold a picture of {width}x{height} pixels ({err})") from err
    return buffer.getvalue()


def text_options(format_name: str, text: Mapping[str, Any] | None) -> dict[str, Any]:
    """What Pillow has to be told so that text goes into a file as JSON.

    A PNG has it under TEXT_KEY, a GIF as its comment, a WebP and a JPEG as the description in EXIF. A JPEG has room
    for 64 KiB of it; a longer text, of a grid of thousands, is left out.
    """
    if text is None:
        return {}
    content = _json(text)
    if format_name == "PNG":
        from PIL import PngImagePlugin

        info = PngImagePlugin.PngInfo()
        info.add_text(TEXT_KEY, content, zip=is_zipped(content))
        return {"pnginfo": info}
    if format_name == "GIF":
        return {"comment": content.encode()}
    if format_name == "JPEG" and len(content) > 65_000:
        return {}
    from PIL import Image

    exif = Image.Exif()
    exif[_EXIF_DESCRIPTION] = content
    return {"exif": exif}


def _json(text: Mapping[str, Any]) -> str:
    return json.dumps(text, ensure_ascii=True, sort_keys=True)


def text_of(image: "Image.Image") -> str | None:
    """The text that `text_options` put into a picture, or any other that stands in its place."""
    if image.format in ("WEBP", "JPEG"):
        found = image.getexif().get(_EXIF_DESCRIPTION)
    else:
        found = image.info.get(TEXT_KEY if image.format == "PNG" else "comment")
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else found if isinstance(found, str) else None


def check_extension(extension: str) -> None:
    """Raise InputError unless extension names a picture format that can be written."""
    if extension.lower() not in _FORMATS:
        what = repr(extension) if extension else "a name without extension"
        raise InputError(f"{what} is no picture format; use one of {', '.join(_FORMATS)}")


def make_folder(path: Path) -> None:
    """Make a folder and those above it, unless it is there. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as err:  # ValueError: a path with a NUL in it
        raise OutputError(f"cannot make the folder {path}: {getattr(err, 'strerror', None) or err}") from err


def write_file(path: Path, data: bytes) -> None:
    """Write data to path, whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside path, of the same extension; rename it to path if the block succeeds.

    If the block fails the temporary file is removed and path is as it was. Where path is a symbolic link, the file it
    points to is replaced and the link stays. An OSError becomes an OutputError.
    """
    temporary = None
    try:
        if "\0" in str(path):
            raise OutputError(f"cannot write {str(path)!r}: no file name has a NUL in it")
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if target.is_dir():
            raise OutputError(f"{path} is a folder; name a file")
        temporary = target.parent / f".{path.stem[:40]}.{os.urandom(4).hex()}.tmp{path.suffix}"
        yield temporary
        temporary.replace(target)
        temporary = None
    except OSError as err:
        raise OutputError(f"cannot write {path}: {err.strerror or err}") from err
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
