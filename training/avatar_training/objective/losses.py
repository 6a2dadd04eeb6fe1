"""The adversarial losses. All take logits, float32 [N, 1], and return a scalar.

`bce`: binary cross-entropy of probabilities, Goodfellow et al., "Generative Adversarial Networks", 2014, section 3,
with the generator maximising log D(G(z)), as in MindSpore's tutorial. `bce-logits`: the same in one numerically
stable formula; with real_label below 1 it is one-sided label smoothing, Salimans et al., "Improved Techniques for
Training GANs", 2016, section 3.4. `hinge`: Miyato et al., "Spectral Normalization", 2018, equations 16 and 17.
"""

from mindspore import Tensor, ops

ACTIVATION_WEIGHT = 1.0
"""Weight, in the generator's objective, of the squares of activations above `activation_limit`, summed over an image.

0.01 has no effect, and 0.1 little in 1,000 steps.
"""


def generator_loss(fake: Tensor, loss: str) -> Tensor:
    """The generator's loss. fake: logits of generated images."""
    if loss == "hinge":
        return -fake.mean()
    return _cross_entropy(fake, 1.0, loss)


def discriminator_loss(real: Tensor, fake: Tensor, loss: str, real_label: float) -> Tensor:
    """The discriminator's loss: the mean of its losses on logits of real and of generated images, as in the tutorial.

    real_label is the label of real images in the cross-entropies.
    """
    if loss == "hinge":
        return (ops.relu(1 - real).mean() + ops.relu(1 + fake).mean()) / 2
    return (_cross_entropy(real, real_label, loss) + _cross_entropy(fake, 0.0, loss)) / 2


def _cross_entropy(logits: Tensor, label: float, loss: str) -> Tensor:
    ones = ops.ones_like(logits)
    if loss == "bce":
        return ops.binary_cross_entropy(ops.sigmoid(logits), ones * label)
    return ops.binary_cross_entropy_with_logits(logits, ones * label, ones, ones)
