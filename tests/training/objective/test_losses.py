import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from avatar_training.objective.losses import discriminator_loss, generator_loss

REAL = np.array([[2.0], [-1.0], [0.3]], np.float32)
FAKE = np.array([[-3.0], [0.5], [1.5]], np.float32)


pytestmark = pytest.mark.usefixtures("on_cpu")


def cross_entropy(logits: np.ndarray, label: float) -> float:
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return float(-(label * np.log(p) + (1 - label) * np.log(1 - p)).mean())


@pytest.mark.parametrize("loss", ["bce", "bce-logits"])
@pytest.mark.parametrize("real_label", [1.0, 0.9])
def test_cross_entropies_are_the_textbooks(loss: str, real_label: float) -> None:
    generator = float(mindspore.jit(generator_loss)(Tensor(FAKE), loss).asnumpy())
    discriminator = float(mindspore.jit(discriminator_loss)(Tensor(REAL), Tensor(FAKE), loss, real_label).asnumpy())
    assert generator == pytest.approx(cross_entropy(FAKE, 1.0), rel=1e-5)
    expected = (cross_entropy(REAL, real_label) + cross_entropy(FAKE, 0.0)) / 2
    assert discriminator == pytest.approx(expected, rel=1e-5)


def test_hinge_is_the_papers() -> None:
    assert float(mindspore.jit(generator_loss)(Tensor(FAKE), "hinge").asnumpy()) == pytest.approx(
        -FAKE.mean(), rel=1e-5
    )
    expected = (np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + FAKE).mean()) / 2
    found = float(mindspore.jit(discriminator_loss)(Tensor(REAL), Tensor(FAKE), "hinge", 1.0).asnumpy())
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_stable_cross_entropy_survives_huge_logits() -> None:
    huge = Tensor(np.array([[1e4], [-1e4]], np.float32))
    assert np.isfinite(mindspore.jit(discriminator_loss)(huge, huge, "bce-logits", 0.9).asnumpy())
