"""Grow a trained pair of networks to images of twice the size: at first it draws the same faces, enlarged.

T. Karras et al., "Progressive Growing of GANs for Improved Quality, Stability, and Variation", ICLR 2018, section 2,
double the size of a trained pair, too, and fade the new layers in. Here nothing is faded in: the new layers begin as
resampling filters.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mindspore import Tensor, nn

from avatar_runtime.latents import latents, series, standard_normal
from avatar_training import rng
from avatar_training.networks.generator import Generator
from avatar_training.networks.residual import BLOCKS, ResidualBlock
from avatar_training.run_folder.checkpoint import Arrays, CheckpointError, is_bounded, is_refined, load_into

Floats = npt.NDArray[np.float32]

_LEAK = 0.2  # slope of the discriminator's LeakyReLU
_EPSILON = 1e-5  # what a batch norm adds to the variance
_REACH = np.float32(3)  # of what a bounded layer holds of an image before tanh, which comes within 0.005 of 1 there
_FACES, _BATCH = 256, 32  # of so many faces the new batch norms take their first statistics

_BILINEAR = np.outer([0.25, 0.75, 0.75, 0.25], [0.25, 0.75, 0.75, 0.25])
"""Kernel of a transposed convolution of stride 2 that enlarges an image bilinearly."""

_MEAN = np.pad(np.full((2, 2), 0.25), 1)
"""Kernel of a convolution of stride 2 that takes the mean of 2x2 pixels."""


def grow(arrays: Arrays, image_size: int, seed: int, source: Path) -> Arrays:
    """Grow a pair, as `checkpoint.read_pair` gives it, to image_size. One that is as large or larger is left as it is.

    The generator's last layer becomes a layer of ngf / 2 channels, of which the first hold the positive and the
    negative part of the image before tanh, and a new last layer, which enlarges their difference bilinearly. The
    discriminator's new first layer halves an image by 2x2 means, as positive and negative parts again. The other
    channels of new layers are random, by the seed, and nothing reads them yet. Batch norms begin with statistics that
    change nothing while they stay as they are for this pair.

    Raises CheckpointError, with the pair's source, if it is too narrow to grow or has spectral norm.
    """
    size = _image_size(arrays)
    while 8 <= size < image_size:
        if "discriminator.2.u" in arrays:
            raise CheckpointError(f"{source}: a discriminator with spectral norm cannot grow to {image_size} pixels")
        (ngf, channels), (ndf, seen) = (
            arrays[name].shape[:2] for name in (f"generator.{_last(size)}.weight", "discriminator.0.weight")
        )
        if ngf < 4 * channels or ndf < 4 * seen:
            raise CheckpointError(
                f"{source}: a pair with ngf {ngf} and ndf {ndf} is too narrow to grow to {2 * size} pixels; "
                f"ngf must be at least {4 * channels}, ndf {4 * seen}"
            )
        before_tanh = _draw_before_tanh(arrays, size)
        arrays = {
            **_grown_generator(arrays, size, before_tanh, seed),
            **_grown_discriminator(arrays, before_tanh, seed),
        }
        size *= 2
    return arrays


def _image_size(arrays: Arrays) -> int:
    """The size of the images of a generator with these arrays."""
    numbers = [int(match[1]) for name in arrays if (match := re.fullmatch(r"generator\.(\d+)\.weight", name))]
    return int(4 * 2 ** (max(numbers, default=0) // 3))


def _last(size: int) -> int:
    """The number of the generator's last layer."""
    return 3 * int(np.log2(size // 4))


def _draw_before_tanh(arrays: Arrays, size: int) -> Floats:
    """Faces before the generator's tanh: float32 [N, channels, size, size]."""
    width, channels = arrays[f"generator.{_last(size)}.weight"].shape[:2]
    latent_dim = arrays["generator.0.weight"].shape[0]
    refined, bounded = is_refined(arrays), is_bounded(arrays)
    generator = Generator(size, channels, latent_dim, width, refined=refined, bounded=bounded)
    load_into(generator.get_parameters(), arrays, Path("the generator"))
    generator.generator[-1] = nn.Identity()
    generator.set_train(False)
    z = latents(list(series("grow", _FACES)), latent_dim)[..., None, None]
    return np.concatenate([generator(Tensor(z[i : i + _BATCH])).asnumpy() for i in range(0, _FACES, _BATCH)])


def _grown_generator(arrays: Arrays, size: int, before_tanh: Floats, seed: int) -> dict[str, npt.NDArray[np.generic]]:
    last = _last(size)
    old = np.asarray(arrays[f"generator.{last}.weight"], np.float32)  # [ngf, channels, 4, 4]
    width, channels = old.shape[0] // 2, old.shape[1]
    reach = _REACH if is_bounded(arrays) else np.float32(1)
    wide = _random((2 * width, width, 4, 4), seed, last)
    wide[:, : 2 * channels] = np.concatenate([old, -old], axis=1)
    narrow = np.zeros((width, channels, 4, 4), np.float32)
    for channel in range(channels):
        narrow[channel, channel], narrow[channels + channel, channel] = reach * _BILINEAR, -reach * _BILINEAR
    mean, variance = before_tanh.mean(axis=(0, 2, 3)), before_tanh.var(axis=(0, 2, 3))
    rest = width - 2 * channels
    norm = _norm(f"generator.{last + 1}", [*mean, *-mean, *[0] * rest], [*variance, *variance, *[1] * rest])
    norm |= {name: array / reach for name, array in norm.items() if name.endswith(("gamma", "beta"))}
    kept = {name: array for name, array in arrays.items() if not name.startswith("discriminator.")}
    return {
        **kept,
        **_new_block(arrays, last // 3, width, seed),
        f"generator.{last}.weight": wide,
        **norm,
        f"generator.{last + 3}.weight": narrow,
    }


def _new_block(arrays: Arrays, layer: int, width: int, seed: int) -> dict[str, Floats]:
    """The residual block of a new hidden layer, if a refined generator has one there; it changes nothing at first."""
    if not is_refined(arrays) or layer >= len(BLOCKS):
        return {}
    block = {p.name: p.asnumpy() for p in ResidualBlock(width, nn.BatchNorm2d, channels_last=False).get_parameters()}
    first = {name: _random(array.shape, seed, layer) if "conv" in name else array for name, array in block.items()}
    return {f"residual_blocks.{layer}.0.{name}": array for name, array in first.items()}


def _grown_discriminator(arrays: Arrays, before_tanh: Floats, seed: int) -> dict[str, npt.NDArray[np.generic]]:
    old = np.asarray(arrays["discriminator.0.weight"], np.float32)  # [ndf, channels, 4, 4]
    width, channels = old.shape[0] // 2, old.shape[1]
    first = _random((width, channels, 4, 4), seed, 0)
    first[: 2 * channels] = 0
    for channel in range(channels):
        first[channel, channel], first[channels + channel, channel] = _MEAN, -_MEAN
    second = np.zeros((2 * width, width, 4, 4), np.float32)
    second[:, : 2 * channels] = np.concatenate([old, -old], axis=1) / (1 + _LEAK)  # L(x) - L(-x) = (1 + leak) x
    images = np.tanh(before_tanh)
    if channels == 2 * images.shape[1]:  # with mirror images
        images = np.concatenate([images, images[..., ::-1]], axis=1)
    seen = _convolved(images, old)
    shifted = {}
    for name, array in arrays.items():
        if match := re.fullmatch(r"discriminator\.([1-9]\d*)\.(\w+)", name):
            shifted[f"discriminator.{int(match[1]) + 3}.{match[2]}"] = array
    return {
        **shifted,
        "discriminator.0.weight": first,
        "discriminator.2.weight": second,
        **_norm("discriminator.3", seen.mean(axis=(0, 1, 2)), seen.var(axis=(0, 1, 2))),
    }


def _norm(name: str, mean: npt.ArrayLike, variance: npt.ArrayLike) -> dict[str, Floats]:
    """A batch norm that gives back what has this mean and variance."""
    mean, variance = np.asarray(mean, np.float32), np.asarray(variance, np.float32)
    gamma = np.sqrt(variance + np.float32(_EPSILON))
    return {
        f"{name}.moving_mean": mean,
        f"{name}.moving_variance": variance,
        f"{name}.gamma": gamma,
        f"{name}.beta": mean,
    }


def _random(shape: tuple[int, ...], seed: int, layer: int) -> Floats:
    """First weights, as `networks.gan` draws them: normal, with a deviation of 0.02."""
    normal = standard_normal(rng.words(seed, rng.GROWTH, layer, int(np.prod(shape))))
    return np.asarray(np.float32(0.02) * normal, np.float32).reshape(shape)


def _convolved(images: Floats, weight: Floats) -> Floats:
    """A convolution of stride 2 and padding 1: [N, C, 2S, 2S] by [D, C, 4, 4] -> [N, S, S, D]."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(2, 3))[:, :, ::2, ::2]
    return np.asarray(np.einsum("ncyxij,dcij->nyxd", patches, weight, optimize=True), np.float32)
