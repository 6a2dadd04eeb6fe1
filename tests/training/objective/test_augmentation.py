import mindspore
import numpy as np
import numpy.typing as npt
import pytest
from mindspore import Tensor

from avatar_training.objective.augmentation import CUTOUT, DRAWS, TRANSLATION, diff_augment

Float32 = npt.NDArray[np.float32]
compiled = mindspore.jit(diff_augment)  # as in training
NEUTRAL = [0.5, 0.5, 0.5, 0.5, 0.5]  # no brightness, saturation, contrast or shift


pytestmark = pytest.mark.usefixtures("on_cpu")


@pytest.fixture
def images() -> Float32:
    return np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)


def augmented(images: Float32, draws: list[float]) -> Float32:
    rows = np.array([draws] * len(images), np.float32)
    result: Float32 = compiled(Tensor(images), Tensor(rows)).asnumpy()
    return result


def square(top: int, left: int, size: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros((32, 32), bool)
    mask[max(top, 0) : top + size, max(left, 0) : left + size] = True
    return mask


def test_colours_change_as_the_reference_says(images: Float32) -> None:
    brightness, saturation, contrast = 0.9, 0.2, 0.7
    x = images.astype(np.float64) + (brightness - 0.5)
    grey = x.mean(axis=1, keepdims=True)
    x = (x - grey) * (2 * saturation) + grey
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    x = (x - mean) * (contrast + 0.5) + mean
    found = augmented(images, [brightness, saturation, contrast, 0.5, 0.5, 0.0, 0.0])
    size = int(32 * CUTOUT + 0.5)
    outside = ~square(-(size // 2), -(size // 2), size)
    np.testing.assert_allclose(found[..., outside], x[..., outside], atol=1e-5)


@pytest.mark.parametrize(("draw", "shift"), [(0.0, -4), (0.5, 0), (0.999, 4)])
def test_shifts_replicate_the_border(images: Float32, draw: float, shift: int) -> None:
    assert 32 * TRANSLATION == 4
    found = augmented(images, [0.5, 0.5, 0.5, draw, 0.5, 0.999, 0.999])
    rows = np.clip(np.arange(32) + shift, 0, 31)
    assert np.abs(found[:, :, :20, :20] - images[:, :, rows][:, :, :20, :20]).max() < 1e-5


def test_the_cutout_is_a_black_free_square_of_the_stated_size(images: Float32) -> None:
    found = augmented(images + 2, [*NEUTRAL, 0.5, 0.5])  # nothing else is 0
    size = int(32 * CUTOUT + 0.5)
    hole = (found == 0).all(axis=(0, 1))
    assert hole.sum() == size * size
    rows, columns = np.nonzero(hole)
    assert np.ptp(rows) == size - 1
    assert np.ptp(columns) == size - 1


def test_each_image_gets_its_own(images: Float32) -> None:
    same = np.stack([images[0], images[0]])
    draws = np.random.default_rng(1).uniform(0, 1, (2, DRAWS)).astype(np.float32)
    found = compiled(Tensor(same), Tensor(draws)).asnumpy()
    assert (found[0] != found[1]).mean() > 0.5


def test_gradients_reach_the_images(images: Float32) -> None:
    draws = Tensor(np.random.default_rng(2).uniform(0, 1, (2, DRAWS)).astype(np.float32))
    weight = np.random.default_rng(3).standard_normal(images.shape).astype(np.float32)

    def score(x: Tensor) -> Tensor:
        return (diff_augment(x, draws) * Tensor(weight)).sum()

    gradient = mindspore.jit(mindspore.grad(score))(Tensor(images)).asnumpy()
    step = np.random.default_rng(4).standard_normal(images.shape).astype(np.float32)
    ahead, behind = (float(mindspore.jit(score)(Tensor(images + s * step)).asnumpy()) for s in (0.5, -0.5))
    assert float((gradient * step).sum()) == pytest.approx(ahead - behind, rel=1e-3)  # it is linear in the image
