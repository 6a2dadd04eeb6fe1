"""Images beside their mirror images, for discriminators of faces that look straight ahead.

A convolution sees a few pixels, so only deep layers can compare both eyes. With the mirror image beside the image, both
eyes are at one place.
"""

from mindspore import Tensor, ops


def beside_mirror_image(x: Tensor, channels_last: bool) -> Tensor:
    """[N, C, H, W] -> [N, 2 C, H, W], or both with their channels last."""
    width, channels = (2, 3) if channels_last else (3, 1)
    return ops.concat((x, ops.flip(x, (width,))), axis=channels)
