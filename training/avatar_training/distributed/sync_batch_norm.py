"""Batch normalisation with the statistics of the global batch, on every device."""

import mindspore
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Initializer

from avatar_training.distributed.worker_group import mean_over_workers


class SyncBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d for training, with the statistics of all workers' batches together.

    nn.SyncBatchNorm runs on Ascend alone. This one is made of AllReduce, whose gradient is an AllReduce. It computes in
    float32. The moving variance is the unbiased one, as in nn.BatchNorm2d.
    """

    def __init__(self, num_features: int, workers: int, gamma_init: Initializer) -> None:
        super().__init__(num_features, gamma_init=gamma_init)
        self.workers = workers

    def construct(self, x: Tensor) -> Tensor:
        """[N, C, H, W] on each worker, with the same N everywhere."""
        x = x.astype(mindspore.float32)
        moments = ops.concat([x.mean((0, 2, 3)), (x * x).mean((0, 2, 3))])  # [2 * C]
        (moments,) = mean_over_workers((moments,), self.workers)
        mean, square = moments[: self.num_features], moments[self.num_features :]
        variance = square - mean * mean
        values = self.workers * x.shape[0] * x.shape[2] * x.shape[3]
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (values / (values - 1)))
        scale = self.gamma / ops.sqrt(variance + self.eps)
        shift = self.beta - mean * scale
        return x * scale.reshape((1, -1, 1, 1)) + shift.reshape((1, -1, 1, 1))

    def _move(self, moving: Parameter, current: Tensor) -> None:
        # What nn.BatchNorm2d stores as momentum is 1 - momentum.
        ops.assign(moving, ops.stop_gradient(moving + (current - moving) * self.momentum))
