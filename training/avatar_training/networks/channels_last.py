"""The layers of both networks as matrix products over channels-last arrays, which a CPU computes faster.

Between these layers an image is [N, H, W, C]. Parameters and results are those of MindSpore's own layers, up to the
order of sums. A 4x4 convolution of stride 2 is one product of all patches under its kernel with its weights: K.
Chellapilla et al., "High Performance Convolutional Neural Networks for Document Processing", 2006, section 3. A
transposed convolution is the same two steps backwards. MindSpore's own layers make oneDNN multiply image by image,
which is slow for small images and wide kernels: a training step of the recipe edge takes 0.84 of the processor time
with these layers (MindSpore 2.10, median of 89 pairs of steps in turns; 0.77 to 0.90 for 80% of them).
"""

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops import constexpr

_TAPS = 16
"""Weights of a 4x4 kernel, and pixels of a patch."""


class Conv2d(nn.Conv2d):
    """nn.Conv2d with a 4x4 kernel: of stride 2 and padding 1, or "valid" over all of a 4x4 image."""

    def __init__(self, *args, **options) -> None:  # type: ignore[no-untyped-def]  # nn.Conv2d's own
        super().__init__(*args, **options)
        self.patches = _Patches()

    def construct(self, x: Tensor) -> Tensor:
        """[N, H, W, in] -> [N, H / 2, W / 2, out], or [N, 4, 4, in] -> [N, 1, 1, out]."""
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution with another weight of the same shape."""
        side = x.shape[1] // 2 if self.stride[0] == 2 else 1
        patches = self.patches(x) if self.stride[0] == 2 else x
        product = ops.MatMul(transpose_b=True)(patches.reshape((-1, _TAPS * x.shape[3])), _matrix(weight))
        return product.reshape((-1, side, side, weight.shape[0]))


class Conv2dSame(nn.Conv2d):
    """nn.Conv2d of stride 1 that keeps height and width, with a 1x1 or 3x3 kernel."""

    def __init__(self, *args, **options) -> None:  # type: ignore[no-untyped-def]  # nn.Conv2d's own
        super().__init__(*args, **options)
        self.convolve = _Convolve3x3()

    def construct(self, x: Tensor) -> Tensor:
        """[N, H, W, in] -> [N, H, W, out], H = W."""
        if self.kernel_size[0] == 3:
            return self.convolve(x, self.weight)
        product = ops.MatMul(transpose_b=True)(x.reshape((-1, x.shape[3])), _matrix(self.weight))
        return product.reshape((*x.shape[:3], -1))


class Conv2dTranspose(nn.Conv2dTranspose):
    """nn.Conv2dTranspose with a 4x4 kernel: of stride 2 and padding 1, or "valid" from a single pixel."""

    def __init__(self, *args, **options) -> None:  # type: ignore[no-untyped-def]  # nn.Conv2dTranspose's own
        super().__init__(*args, **options)
        self.sum_patches = _SumPatches()

    def construct(self, x: Tensor) -> Tensor:
        """[N, H, W, in] -> [N, 2 * H, 2 * W, out], or [N, 1, 1, in] -> [N, 4, 4, out]."""
        count, side, _, width = x.shape
        product = ops.MatMul()(x.reshape((-1, width)), _matrix(self.weight))  # [N * H * W, 16 * out]
        if self.stride[0] == 2:
            return self.sum_patches(product.reshape((count, side, side, -1)))
        return product.reshape((count, 4, 4, -1))


class BatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d over the last axis."""

    def __init__(self, *args, **options) -> None:  # type: ignore[no-untyped-def]  # nn.BatchNorm2d's own
        super().__init__(*args, **options)
        self.normalise = _Normalise(self.eps)

    def construct(self, x: Tensor) -> Tensor:
        """[N, H, W, C], any H and W."""
        if not self.training:
            return (x - self.moving_mean) * (self.gamma * ops.rsqrt(self.moving_variance + self.eps)) + self.beta
        rows = x.reshape((-1, self.num_features))
        out, mean, variance = self.normalise(rows, self.gamma, self.beta)
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (rows.shape[0] / (rows.shape[0] - 1)))
        return out.reshape(x.shape)

    def _move(self, moving: Tensor, current: Tensor) -> None:
        # What nn.BatchNorm2d stores as momentum is 1 - momentum.
        ops.assign(moving, ops.stop_gradient(moving + (current - moving) * self.momentum))


def to_channels_last(images: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, H, W, C]."""
    return ops.transpose(images, (0, 2, 3, 1))


def to_channels_first(images: Tensor) -> Tensor:
    """[N, H, W, C] -> [N, C, H, W]."""
    return ops.transpose(images, (0, 3, 1, 2))


class _Patches(nn.Cell):
    """The patches under a 4x4 kernel of stride 2, padding 1: [N, 2s, 2s, C] -> [N, s, s, 16 * C], tap, then channel."""

    def construct(self, x: Tensor) -> Tensor:
        return _patches(x)

    def bprop(self, x: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (_sum_patches(gradient),)


class _SumPatches(nn.Cell):
    """The adjoint of _Patches: sums the patches' values at each pixel, [N, s, s, 16 * C] -> [N, 2s, 2s, C]."""

    def construct(self, patches: Tensor) -> Tensor:
        return _sum_patches(patches)

    def bprop(self, patches: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor]:
        return (_patches(gradient),)


class _Convolve3x3(nn.Cell):
    """Images [N, s, s, in] and a weight [out, in, 3, 3] -> [N, s, s, out], padding 1: patches times weights.

    The gradient of the images is the same convolution of the gradient with the kernel turned by half a circle: V.
    Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.
    """

    def construct(self, x: Tensor, weight: Tensor) -> Tensor:
        product = ops.MatMul(transpose_b=True)(_neighbours(x, 1), _matrix(weight))
        return product.reshape((*x.shape[:3], -1))

    def bprop(self, x: Tensor, weight: Tensor, out: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        turned = ops.transpose(weight, (1, 2, 3, 0)).reshape((weight.shape[1], -1))  # [in, 9 * out]
        to_x = ops.MatMul(transpose_b=True)(_neighbours(gradient, -1), turned)
        rows = gradient.reshape((-1, gradient.shape[3]))
        to_weight = ops.MatMul(transpose_a=True)(rows, _neighbours(x, 1))  # [out, 9 * in]
        to_weight = to_weight.reshape((weight.shape[0], 3, 3, weight.shape[1]))
        return to_x.reshape(x.shape), ops.transpose(to_weight, (0, 3, 1, 2))


class _Normalise(nn.Cell):
    """Rows [M, C], gamma [C], beta [C] -> rows of mean beta and deviation gamma, the old mean and variance, [C] each.

    S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, algorithm 1 and the gradients that follow it in section 3,
    without those for the mean and the variance, which are only read. BiasAdd adds a vector twice as fast as +.
    """

    def __init__(self, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.add = ops.BiasAdd()

    def construct(self, x: Tensor, gamma: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.sum(0) / x.shape[0]
        centred = self.add(x, -mean)
        variance = (centred * centred).sum(0) / x.shape[0]
        return self.add(centred * (gamma * ops.rsqrt(variance + self.eps)), beta), mean, variance

    def bprop(
        self, x: Tensor, gamma: Tensor, beta: Tensor, out: tuple[Tensor, ...], gradients: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        (_, mean, variance), gradient = out, gradients[0]
        centred, scale = self.add(x, -mean), ops.rsqrt(variance + self.eps)
        to_beta = gradient.sum(0)
        to_gamma = (gradient * centred).sum(0) * scale
        along = self.add(centred * (scale * to_gamma / x.shape[0]), to_beta / x.shape[0])
        return (gradient - along) * (gamma * scale), to_gamma, to_beta


def _matrix(weight: Tensor) -> Tensor:
    """A kernel's weights [A, B, k, k] as [A, k * k * B], in the order of a patch."""
    return ops.transpose(weight, (0, 2, 3, 1)).reshape((weight.shape[0], -1))


def _patches(x: Tensor) -> Tensor:
    count, side, _, width = x.shape
    gathered = _rows(x.reshape((-1, width)), _patch_pixels(count, side // 2))
    return gathered.reshape((count, side // 2, side // 2, _TAPS * width))


def _sum_patches(patches: Tensor) -> Tensor:
    count, side, _, values = patches.shape
    rows = patches.reshape((-1, values // _TAPS))
    places = [_pixel_patches(count, side, which) for which in range(4)]
    total = (_rows(rows, places[0]) + _rows(rows, places[1])) + (_rows(rows, places[2]) + _rows(rows, places[3]))
    return total.reshape((count, 2 * side, 2 * side, -1))


def _neighbours(x: Tensor, direction: int) -> Tensor:
    """Each pixel's 3x3 neighbours, from the upper left (direction 1) or the lower right (-1): [N * s * s, 9 * C]."""
    count, side, _, width = x.shape
    return _rows(x.reshape((-1, width)), _neighbour_pixels(count, side, direction)).reshape((-1, 9 * width))


def _rows(rows: Tensor, places: Tensor) -> Tensor:
    # Unlike Gather, EmbeddingLookup gives zeros for an index out of range (our padding). It is also twice as fast.
    return ops.EmbeddingLookup()(rows, places, 0)


@constexpr
def _patch_pixels(count: int, side: int) -> Tensor:
    """For each image, patch and tap, the index of its pixel, or -1 in the padding: int32 [count * side * side * 16]."""
    pixel = 2 * np.arange(side)[:, None] - 1 + np.arange(4)  # [patch, tap]
    inside = (pixel >= 0) & (pixel < 2 * side)
    number = pixel[:, None, :, None] * 2 * side + pixel[:, None]  # [patch, patch, tap, tap]
    return _numbers(count, number, inside[:, None, :, None] & inside[:, None], 4 * side * side)


@constexpr
def _neighbour_pixels(count: int, side: int, direction: int) -> Tensor:
    """For each image, pixel and neighbour, the index of the neighbour, or -1: int32 [count * side * side * 9]."""
    pixel = np.arange(side)[:, None] + direction * np.array([-1, 0, 1])  # [pixel, neighbour]
    inside = (pixel >= 0) & (pixel < side)
    number = pixel[:, None, :, None] * side + pixel[:, None]
    return _numbers(count, number, inside[:, None, :, None] & inside[:, None], side * side)


@constexpr
def _pixel_patches(count: int, side: int, which: int) -> Tensor:
    """For each pixel, the index of one of its four values in the patches, or -1: int32 [count * 2side * 2side]."""
    pixel = np.arange(2 * side)
    patches = [(pixel + 1) // 2 - before for before in divmod(which, 2)]  # in rows, in columns
    taps = [pixel + 1 - 2 * patch for patch in patches]
    inside = [(patch >= 0) & (patch < side) for patch in patches]
    patch = patches[0][:, None] * side + patches[1]  # [pixel, pixel]
    number = patch * _TAPS + taps[0][:, None] * 4 + taps[1]
    return _numbers(count, number, inside[0][:, None] & inside[1], side * side * _TAPS)


def _numbers(count: int, number: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]",
             inside: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]", step: int) -> Tensor:  # fmt: skip
    """Repeat one image's indices for each image; those of the next image are larger by step."""
    offsets = np.arange(count).reshape((-1, *[1] * number.ndim)) * step
    return Tensor(np.where(inside, offsets + number, -1).reshape(-1).astype(np.int32))
