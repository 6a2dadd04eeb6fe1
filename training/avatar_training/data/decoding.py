"""The bytes of an image file become pixels, or a sentence that says why they cannot."""

import io
import tarfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "PCX", "SGI", "QOI", "DDS")

_SIGNATURES = (
    (0, b"PK\3\4", "a zip archive; unpack it"),
    (0, b"\x1f\x8b", "a gzip archive; unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (0, b"Rar!", "a RAR archive; unpack it"),
    (0, b"BZh", "a bzip2 archive; unpack it"),
    (0, b"\xfd7zXZ", "an xz archive; unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive; unpack it"),
    (4, b"ftypavif", "an AVIF image that this Pillow cannot decode; convert it to PNG"),
    (4, b"ftypavis", "an AVIF image that this Pillow cannot decode; convert it to PNG"),
    (4, b"ftyphei", "a HEIC image, which Pillow cannot read; convert it to PNG"),
    (4, b"ftyphev", "a HEIC image, which Pillow cannot read; convert it to PNG"),
    (4, b"ftypmif1", "a HEIC or AVIF image, which Pillow cannot read; convert it to PNG"),
    (0, b"\xff\x0a", "a JPEG XL image, which Pillow cannot read; convert it to PNG"),
    (4, b"JXL \r\n\x87\n", "a JPEG XL image, which Pillow cannot read; convert it to PNG"),
    (0, b"8BPS", "a Photoshop file; convert it to PNG"),
    (0, b"\x1f\x9d", "a .Z archive; unpack it"),
    (0, b"\x04\x22\x4d\x18", "an LZ4 archive; unpack it"),
    (0, b"MSCF", "a cabinet archive; unpack it"),
    (0, b"PK\5\6", "an empty zip archive"),
    (0, b"%PDF", "a PDF; convert it to PNG"),
    (0, b"%!PS", "PostScript; convert it to PNG"),
    (0, b"gimp xcf", "a GIMP file; convert it to PNG"),
    (0, b"v/1\1", "an OpenEXR image, which Pillow cannot read; convert it to PNG"),
    (0, b"#?RADIANCE", "a Radiance image, which Pillow cannot read; convert it to PNG"),
    (0, b"P7\n", "a PAM image, which Pillow cannot read; convert it to PNG"),
    (128, b"DICM", "a DICOM image, which Pillow cannot read; convert it to PNG"),
    (0, b"SIMPLE  =", "a FITS image; convert it to PNG"),
    (0, b"icns", "an icon of macOS; convert it to PNG"),
    (0, b"PF\n", "a colour PFM image, which Pillow cannot read; convert it to PNG"),
    (0, b"II\xbc", "a JPEG XR image, which Pillow cannot read; convert it to PNG"),
    (0, b"\x93NUMPY", "a NumPy array; convert it to PNG"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file; convert it to PNG"),
    (4, b"ftypcrx", "a camera's raw file; convert it to PNG"),
    (4, b"ftyp", "a video; extract its frames"),
    (4, b"moov", "a video; extract its frames"),
    (4, b"mdat", "a video; extract its frames"),
    (8, b"AVI ", "a video; extract its frames"),
    (0, b"\x1a\x45\xdf\xa3", "a video; extract its frames"),
    (0, b"version https://git-lfs", "a pointer to a file in Git LFS; fetch it with git lfs pull"),
    (0, b"II*\0", "a TIFF of a kind that Pillow cannot read; convert it to PNG"),
    (0, b"MM\0*", "a TIFF of a kind that Pillow cannot read; convert it to PNG"),
    (0, b"II+\0", "a BigTIFF of a kind that Pillow cannot read; convert it to PNG"),
)
"""Offset, bytes there, and what such a file is."""

_LEAST_LEVEL = 16
"""A floating-point picture between 1 and this is rather one that goes beyond 1 than one of levels up to 255."""

_SRGB_GAMMA = 0.45455  # as gAMA chunks write it


class UnusableImageError(Exception):
    """Why a file is skipped, in a few words."""


def name_kind(data: bytes) -> str | None:
    """What a file that begins with these bytes (512 are enough) is, if it is a known archive or unread format."""
    with suppress(tarfile.HeaderError):  # tar's first form has no signature but a checksum
        tarfile.TarInfo.frombuf(data[:512], "latin-1", "replace")
        return "a tar archive; unpack it"
    text = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page; if you downloaded it, fetch it again"
    if text.startswith(b"<") and b"<svg" in text:
        return "an SVG drawing; convert it to PNG"
    if data.endswith(b"TRUEVISION-XFILE.\0"):  # what a TGA begins with, other files begin with, too
        return "a TGA image; convert it to PNG"
    return next((kind for at, signature, kind in _SIGNATURES if data[at : at + len(signature)] == signature), None)


def is_image(path: Path) -> bool:
    """Whether a file begins as an image that Pillow reads."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=_formats()).close()
        return True
    except Exception:  # whatever a damaged header makes Pillow raise
        return False


def decode(data: bytes, image_size: int, channels: int) -> npt.NDArray[np.uint8]:
    """Decode an image file, scale its shorter side to image_size (bicubic, antialiased) and crop the centre.

    Transparency is laid on white, the first frame of an animation is taken, and EXIF rotation is applied. 16-bit pixels
    are divided by 257 (12-bit ones by 16.06). Floating-point pixels are from 0 to 1, or from 0 to more than 16 and at
    most 255. Colours are converted to sRGB from the picture's ICC profile or, in a PNG without one, from its gamma.

    Returns:
        uint8 [image_size, image_size, channels], grey if channels is 1, or RGB.

    Raises:
        UnusableImageError: the file is not an image, or damaged, or of a kind that cannot be read without guessing.
    """
    if not data:
        raise UnusableImageError("empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Pillow warns that it has no AVIF; the exception says it too
            warnings.simplefilter("error", Image.DecompressionBombWarning)  # of 89 million pixels and more
            with Image.open(io.BytesIO(data), formats=_formats()) as opened:
                levels = _level_count(opened)
                image = _to_rgb(ImageOps.exif_transpose(opened), levels)
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


def _formats() -> list[str]:
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _level_count(image: Image.Image) -> int | None:
    """The whitest of a picture's whole numbers, where they have more than 8 bits; None if that cannot be known.

    Pillow gives 16 bits of a PNG, a PGM or a JPEG 2000. A TIFF may hold any: 12 bits, signed ones, or 32. Raises
    UnusableImageError for signed numbers of 8 bits and floating-point ones whose 0 is white: Pillow gives others.
    """
    if image.format != "TIFF":
        return 65535
    bits, signs, photometric = (image.tag_v2.get(tag) for tag in (258, 339, 262))  # type: ignore[attr-defined]
    unsigned = signs in (None, (1,), 1) and photometric == 1  # 0 would be white, and Pillow does not turn it round
    if (np.equal(signs, 2).any() and not image.mode.startswith("I")) or (image.mode == "F" and photometric != 1):
        raise UnusableImageError("a TIFF of signed pixels, or whose 0 is white; convert it to PNG")
    return {(12,): 4095, (16,): 65535}.get(bits) if unsigned else None


def _to_rgb(image: Image.Image, white: int | None) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow's convert() would clip these to white or black
        plain = Image.fromarray(np.rint(_levels(image, white)).astype(np.uint8))
        transparent = image.info.get("transparency")
        alpha = Image.fromarray(np.asarray(image) != transparent).convert("L") if isinstance(transparent, int) else None
    elif image.has_transparency_data:
        plain = image.convert("RGBA")
        alpha = plain.getchannel("A")
    else:
        plain, alpha = image, None
    rgb = _to_srgb(plain, image.info)
    if alpha is None:
        return rgb
    rgb.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgb).convert("RGB")


def _to_srgb(image: Image.Image, info: Mapping[Any, Any]) -> Image.Image:
    """Colours as sRGB. As in browsers a profile counts first, then a PNG's sRGB chunk, then its gAMA chunk."""
    profile = b"" if image.mode == "LAB" else info.get("icc_profile")
    if profile or image.mode == "LAB":
        try:
            mode, transform = _transform(bytes(profile or b""))
            if (mode == "CMYK") != (image.mode == "CMYK") or (mode == "L" and not _is_grey(image)):
                raise UnusableImageError("a colour profile that is for other pixels; convert it to sRGB")
            return transform.apply(image.convert(mode))
        except (OSError, ImageCms.PyCMSError, KeyError) as err:
            raise UnusableImageError("a colour profile that cannot be used; convert it to sRGB") from err
        except ImportError as err:
            raise UnusableImageError("a colour profile, but this Pillow was built without LittleCMS") from err
    rgb = image.convert("RGB")
    gamma = _SRGB_GAMMA if "srgb" in info else info.get("gamma", _SRGB_GAMMA)
    if not 0.1 <= gamma <= 10:
        raise UnusableImageError(f"a gamma of {gamma:g}, which no picture has; save it again without its gAMA chunk")
    if abs(gamma / _SRGB_GAMMA - 1) < 0.05:  # libpng, too, takes these for equal
        return rgb
    levels = [round(255 * (level / 255) ** (_SRGB_GAMMA / gamma)) for level in range(256)]
    return rgb.point(levels * 3)


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform]:
    """From a profile, or from CIE Lab if there is none, to sRGB; with the mode of the pixels that it takes."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile) if profile else ImageCms.createProfile("LAB"))
    mode = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}[source.profile.xcolor_space]
    return mode, ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _is_grey(image: Image.Image) -> bool:
    red, green, blue = image.convert("RGB").split()
    return red == green == blue


def _levels(image: Image.Image, white: int | None) -> npt.NDArray[np.float64]:
    """Grey pixels of more than 8 bits as levels from 0 to 255. The scale never depends on how bright an image is."""
    values = np.asarray(image, np.float64)
    if not np.isfinite(values).all():
        raise UnusableImageError("pixels that are not finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    if image.mode == "F":
        if low < 0 or 1 < high <= _LEAST_LEVEL or high > 255:
            raise UnusableImageError(f"floating-point pixels from {low:g} to {high:g}; they should be from 0 to 1")
        return values if high > 1 else values * 255
    if white is None or low < 0 or high > white:
        raise UnusableImageError("integer pixels whose range is not known (signed or of 32 bits); convert it to PNG")
    return values * 255 / white
