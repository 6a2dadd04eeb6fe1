"""The learning rate, and one network's optimizer: average gradients over the workers, unscale them, run Adam."""

from typing import Any

from mindspore import Parameter, Tensor, amp, jit_class, nn, ops

from avatar_training import device
from avatar_training.config import TrainConfig
from avatar_training.distributed.worker_group import mean_over_workers


def learning_rate_at(config: TrainConfig, step: int, steps: int) -> float:
    """The learning rate of step `step` of `steps`. The last step has 1 / lr_decay_steps of the full rate.

    Adam begins without averages, and its first steps move each weight by the whole rate, which harms networks that are
    trained already. So with init_from the rate rises over 2 / (1 - beta2) steps: J. Ma, D. Yarats, "On the adequacy of
    untuned warmup for adaptive optimization", AAAI 2021, section 5.
    """
    rising = (step + 1) * (1 - config.beta2) / 2 if config.init_from else 1.0
    falling = (steps - step) / max(1, config.lr_decay_steps)
    return config.learning_rate * min(1.0, rising, falling)


@jit_class
class Optimizer:
    """Adam for one network. Its methods are compiled into the training step.

    Args:
        weights: the weights that it moves.
        name: prefix of the names of its own parameters in a snapshot; each network needs another one.
        config: gives the learning rate and both betas.
        workers: number of workers over which gradients are averaged.
        mixed_precision: scale the loss so that small float16 gradients do not vanish: P. Micikevicius et al., "Mixed
            Precision Training", ICLR 2018, section 3.2.
    """

    def __init__(
        self, weights: list[Parameter], name: str, config: TrainConfig, workers: int = 1, mixed_precision: bool = False
    ) -> None:
        self.weights = weights
        self.adam = nn.Adam(self.weights, config.learning_rate, beta1=config.beta1, beta2=config.beta2)
        for parameter in self.adam.get_parameters():
            if not any(parameter is weight for weight in self.weights):
                parameter.name = f"adam_{name}.{parameter.name}"  # both networks have a beta1_power
        self.scaler: Any = device.loss_scaler(name) if mixed_precision else None
        self.workers = workers

    def parameters(self) -> list[Parameter]:
        """The parameters of Adam, the network's weights included, and of the loss scaler."""
        scaler = [] if self.scaler is None else [self.scaler.scale_value, self.scaler.counter]
        return [*self.adam.get_parameters(), *scaler]

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the loss scale: what the gradients are taken of."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def step(self, gradients: tuple[Tensor, ...], learning_rate: Tensor) -> None:
        """Move the weights. If a gradient has overflowed on any worker, halve the loss scale and move nothing."""
        ops.assign(self.adam.learning_rate, learning_rate)
        gradients = mean_over_workers(gradients, self.workers)
        if self.scaler is None:
            self.adam(gradients)
            return
        finite = amp.all_finite(gradients)
        if finite:
            self.adam(self.scaler.unscale(gradients))
        self.scaler.adjust(finite)
