"""Several workers that train one pair of networks together, as if they were one; msrun starts them.

Data parallel, as in P. Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 4: each worker computes on its rows
of the global batch, and gradients are averaged before every update. Here batch norm, too, takes its statistics over the
global batch. Worker 0 leads: it alone has the run folder and decides; the others follow it (lockstep.py).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Initializer

from avatar_training import device
from avatar_training.config import TrainingError

GO, STOP, AGAIN, WAIT = range(4)
"""What the leader says between steps: train on, end here, begin again from what it tells next, or be patient."""

_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class Team:
    """The workers of a job, and which of them this process is.

    What communicates has to be called by every worker, in the same order; alone it costs nothing.
    """

    rank: int = 0
    """0, the leader, to size - 1."""
    size: int = 1
    """How many there are."""

    def rows(self, batch_size: int) -> slice:
        """This worker's part of a global batch."""
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def agree(self, decision: int = GO, wish: bool = False) -> tuple[int, bool]:
        """After a step: the leader's decision, and whether a follower wishes to stop. Communicates."""
        said = [decision, 0] if self.rank == 0 else [GO, int(wish)]
        heard, wishes = WAIT, 0.0
        while heard == WAIT:
            heard, wishes = self._sum(np.array(said, np.float32)).tolist()
        return int(heard), wishes > 0

    def hold(self) -> None:
        """The leader, busy between two steps, has the followers wait; for the leader alone to call, now and then.

        MindSpore's AllReduce on a CPU gives up on a worker that is 30 s late.
        """
        if self.rank == 0:
            self._sum(np.array([WAIT, 0], np.float32))

    def tell(self, message: dict[str, Any]) -> dict[str, Any]:
        """The leader's message, JSON of at most 4096 bytes; what a follower gives is not sent. Communicates."""
        if self.size == 1:
            return message
        self.agree()
        text = np.zeros(_MESSAGE_BYTES, np.float32)
        if self.rank == 0:
            said = np.frombuffer(json.dumps(message).encode(), np.uint8)
            text[: len(said)] = said
        heard = self._sum(text).astype(np.uint8).tobytes().rstrip(b"\0")
        return dict(json.loads(heard))

    def copy_from_leader(self, parameters: Iterable[Parameter]) -> None:
        """Set a follower's parameters to those of the leader. Communicates."""
        if self.size == 1:
            return
        parameters = list(parameters)
        flat = np.concatenate([parameter.asnumpy().astype(np.float32).reshape(-1) for parameter in parameters])
        heard = self._sum(flat if self.rank == 0 else np.zeros_like(flat))
        if self.rank == 0:
            return
        ends = np.cumsum([parameter.size for parameter in parameters])[:-1]
        for parameter, part in zip(parameters, np.split(heard, ends), strict=True):
            parameter.set_data(Tensor(part.reshape(parameter.shape), parameter.dtype))

    def _sum(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        # MindSpore's AllReduce on the CPU takes nothing but float32 and float16.
        return values if self.size == 1 else np.asarray(_all_reduce(Tensor(values.reshape(-1))).asnumpy())


ALONE = Team()


def check_share(batch_size: int) -> None:
    """Raise TrainingError if the workers of this job cannot share out a global batch evenly."""
    if batch_size % device.workers():
        raise TrainingError(
            f"--batch-size {batch_size} is that of all {device.workers()} workers together; "
            "give one that their number divides"
        )


def join() -> Team:
    """The team that msrun made this process part of; `ALONE` without msrun. Raises InputError as `device.join` does."""
    return Team(*device.join())


def mean_over(tensors: tuple[Tensor, ...], workers: int) -> tuple[Tensor, ...]:
    """The mean of each float32 tensor over so many workers, in a compiled graph. All travel in one message."""
    flat = ops.AllReduce()(ops.concat([tensor.reshape(-1) for tensor in tensors])) / workers
    parts = ops.split(flat, [tensor.size for tensor in tensors])
    return tuple([part.reshape(tensor.shape) for part, tensor in zip(parts, tensors)])  # noqa: B905 # compiled


class SyncBatchNorm2d(nn.BatchNorm2d):
    """nn.BatchNorm2d in training, with the statistics of all workers' batches together.

    nn.SyncBatchNorm runs on Ascend alone. This one is made of AllReduce, whose gradient is an AllReduce, and computes
    in float32; the moving variance is the unbiased one, as in nn.BatchNorm2d.
    """

    def __init__(self, num_features: int, workers: int, gamma_init: Initializer) -> None:
        super().__init__(num_features, gamma_init=gamma_init)
        self.workers = workers

    def construct(self, x: Tensor) -> Tensor:
        """[N, C, H, W] on each worker, N the same everywhere."""
        x = x.astype(mindspore.float32)
        moments = ops.concat([x.mean((0, 2, 3)), (x * x).mean((0, 2, 3))])  # [2 * C]
        (moments,) = mean_over((moments,), self.workers)
        mean, square = moments[: self.num_features], moments[self.num_features :]
        variance = square - mean * mean
        values = self.workers * x.shape[0] * x.shape[2] * x.shape[3]
        self._move(self.moving_mean, mean)
        self._move(self.moving_variance, variance * (values / (values - 1)))
        scale = self.gamma / ops.sqrt(variance + self.eps)
        shift = self.beta - mean * scale
        return x * scale.reshape((1, -1, 1, 1)) + shift.reshape((1, -1, 1, 1))

    def _move(self, moving: Parameter, now: Tensor) -> None:
        # nn.BatchNorm2d keeps 1 - momentum under the name momentum.
        ops.assign(moving, ops.stop_gradient(moving + (now - moving) * self.momentum))


@mindspore.jit
def _all_reduce(values: Tensor) -> Tensor:
    return ops.AllReduce()(values)
