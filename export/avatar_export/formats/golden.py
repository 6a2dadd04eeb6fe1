"""The golden check of a file: a few names, and the images that they should give on any machine."""

import base64
import hashlib
from collections.abc import Sequence

from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.model_file.golden import GoldenCheck

GOLDEN_NAMES = ("", "alice", "avatar-edge/0", "アリス")
GOLDEN_TOLERANCE = {"fp32": 1, "fp16": 1, "int8": 4}
"""By how many levels the images of another CPU may differ, by precision. onnxruntime computes int8 bit for bit the same
everywhere; a kernel that rounds differently is one step of an activation off, and one of the last is two levels."""


def golden_check(generator: AvatarGenerator) -> GoldenCheck:
    """The images of GOLDEN_NAMES, drawn one at a time."""
    return golden_images([generator.generate([name])[0] for name in GOLDEN_NAMES], generator.spec.precision)


def golden_images(images: Sequence[UInt8], precision: str = "fp32") -> GoldenCheck:
    """The golden check of GOLDEN_NAMES and their images, uint8 [H, W, C] each."""
    digests = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    pictures = tuple(base64.b64encode(encode(image, ".png")).decode() for image in images)
    return GoldenCheck(GOLDEN_NAMES, digests, pictures, GOLDEN_TOLERANCE[precision])
