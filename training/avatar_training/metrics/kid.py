"""KID, the distance between generated and real faces in the features of an ONNX network. Lower is better.

Kernel inception distance: Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4. It is named after the
Inception network; values over another network's features compare only with each other.
"""

import numpy as np
import numpy.typing as npt

from avatar_training.metrics.features import Features

SUBSET, ROUNDS = 500, 50
"""Images per random subset, and number of subsets that the estimate averages."""


def kid(real: Features, generated: Features) -> tuple[float, float]:
    """Estimate KID without bias: the squared maximum mean discrepancy under the kernel (a·b / D + 1)^3.

    Takes features [N, D] and [M, D]. Returns mean and standard deviation over random subsets, which are the same in
    every call. The mean may be below 0.
    """
    rng, size = np.random.default_rng(0), min(SUBSET, len(real), len(generated))
    real_real, between, fake_fake = _kernel(real, real), _kernel(real, generated), _kernel(generated, generated)
    values = []
    for _ in range(ROUNDS):
        i, j = rng.choice(len(real), size, replace=False), rng.choice(len(generated), size, replace=False)
        within = 0.0
        for kernel, chosen in ((real_real, i), (fake_fake, j)):
            within += kernel[np.ix_(chosen, chosen)].sum() - kernel[chosen, chosen].sum()
        values.append(within / (size * (size - 1)) - 2 * between[np.ix_(i, j)].mean())
    return float(np.mean(values)), float(np.std(values))


def _kernel(a: Features, b: Features) -> npt.NDArray[np.float64]:
    kernel: npt.NDArray[np.float64] = (a.astype(np.float64) @ b.T.astype(np.float64) / a.shape[1] + 1) ** 3
    return kernel
