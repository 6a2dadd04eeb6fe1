"""What happens to gradients: averaged over the workers, unscaled, and left out when they overflowed; then Adam."""

from typing import Any

from mindspore import Parameter, Tensor, amp, jit_class, nn, ops

from avatar_training.distributed.team import mean_over


@jit_class
class Update:
    """One network's Adam with what stands before it. Its methods are compiled into the step.

    adam: the optimiser; workers: over how many the gradients are averaged; scaler: a DynamicLossScaler for mixed
    precision, P. Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2, or None.
    """

    def __init__(self, adam: nn.Cell, workers: int, scaler: Any = None) -> None:
        self.adam, self.workers, self.scaler = adam, workers, scaler

    def parameters(self) -> list[Parameter]:
        """Adam's and the scaler's."""
        scaler = [] if self.scaler is None else [self.scaler.scale_value, self.scaler.counter]
        return [*self.adam.get_parameters(), *scaler]

    def scale(self, loss: Tensor) -> Tensor:
        """The loss of which the gradients are to be taken."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def apply(self, gradients: tuple[Tensor, ...], rate: Tensor) -> None:
        """Move the weights at this learning rate; if a gradient overflowed on any worker, only halve the scale."""
        ops.assign(self.adam.learning_rate, rate)
        if self.workers > 1:
            gradients = mean_over(gradients, self.workers)
        if self.scaler is None:
            self.adam(gradients)
            return
        finite = amp.all_finite(gradients)
        if finite:
            self.adam(self.scaler.unscale(gradients))
        self.scaler.adjust(finite)
