"""The bytes of an image file become pixels, or a sentence that says why they cannot."""

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")

_SIGNATURES = (
    (0, b"PK\3\4", "a zip archive; unpack it"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (0, b"Rar!", "a RAR archive; unpack it"),
    (0, b"BZh", "a bzip2 archive; unpack it"),
    (0, b"\xfd7zXZ", "an xz archive; unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it"),
    (257, b"ustar", "a tar archive; unpack it"),
    (4, b"ftypavif", "an AVIF image, for which this Pillow has no decoder; convert it to PNG"),
    (4, b"ftypavis", "an AVIF image, for which this Pillow has no decoder; convert it to PNG"),
    (4, b"ftyphei", "a HEIC image, which Pillow cannot read; convert it to PNG"),
    (4, b"ftyphev", "a HEIC image, which Pillow cannot read; convert it to PNG"),
    (4, b"ftypmif1", "a HEIC or AVIF image, which Pillow cannot read; convert it to PNG"),
    (0, b"\xff\x0a", "a JPEG XL image, which Pillow cannot read; convert it to PNG"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL image, which Pillow cannot read; convert it to PNG"),
    (0, b"8BPS", "a Photoshop file; convert it to PNG"),
    (0, b"%PDF", "a PDF; convert it to PNG"),
    (0, b"II*\0", "a TIFF of a kind that Pillow cannot read; convert it to PNG"),
    (0, b"MM\0*", "a TIFF of a kind that Pillow cannot read; convert it to PNG"),
    (0, b"II+\0", "a BigTIFF of a kind that Pillow cannot read; convert it to PNG"),
)
"""Offset, bytes there, and what such a file is."""


class UnusableImageError(Exception):
    """Why a file is skipped, in a few words."""


def name_kind(data: bytes) -> str | None:
    """What a file that begins with these bytes (300 are enough) is, if it is a known archive or unread format."""
    return next((kind for at, signature, kind in _SIGNATURES if data[at : at + len(signature)] == signature), None)


def decode(data: bytes, image_size: int, channels: int) -> npt.NDArray[np.uint8]:
    """Decode an image file, scale its shorter side to image_size (bicubic, antialiased) and crop the centre.

    Transparency is laid on white, the first frame of an animation is taken, and EXIF rotation is applied. 16-bit pixels
    are divided by 257. Floating-point pixels must be from 0 to 1, or from 0 to 255.

    Args:
        data: the bytes of the file.
        image_size: height and width of the result.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8 [image_size, image_size, channels].

    Raises:
        UnusableImageError: the file is no image, or damaged, or of a kind that cannot be read without guessing.
    """
    if not data:
        raise UnusableImageError("empty file")
    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow warns that it has no AVIF; the exception says it too
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # of 89 million pixels and more
            with Image.open(io.BytesIO(data), formats=formats) as opened:
                image = _to_rgb(ImageOps.exif_transpose(opened))
    except UnidentifiedImageError as err:
        raise UnusableImageError(name_kind(data) or "not an image") from err
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as err:
        raise UnusableImageError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from err
    except MemoryError as err:
        raise UnusableImageError("too large for the memory of this machine") from err
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError) as err:
        raise UnusableImageError("damaged image") from err
    image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BICUBIC)
    pixels = np.asarray(image.convert("L") if channels == 1 else image)
    return pixels.reshape(image_size, image_size, channels)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow's convert() would clip these to white or black
        return Image.fromarray(np.rint(_levels(image)).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _levels(image: Image.Image) -> npt.NDArray[np.float64]:
    """Grey pixels of more than 8 bits as levels from 0 to 255. The scale never depends on how bright an image is."""
    values = np.asarray(image, np.float64)
    if not np.isfinite(values).all():
        raise UnusableImageError("pixels that are not finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        if low < 0 or high > 255:
            raise UnusableImageError(f"floating-point pixels from {low:g} to {high:g}; they should be from 0 to 1")
        return values if high > 1 else values * 255
    if low < 0 or high > 65535:
        raise UnusableImageError("32-bit integer pixels, whose range is not known; convert it to PNG")
    return values / 257
