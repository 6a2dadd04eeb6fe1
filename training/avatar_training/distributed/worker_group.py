"""The workers of one job, and how they talk to each other. `msrun` starts them; without it there is one.

Data parallel, as in P. Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 4: each worker computes on its rows
of the global batch, and gradients are averaged before every update. Worker 0 leads: it alone has the run folder and
decides; the others follow it (`lockstep`).
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import Parameter, Tensor, ops

from avatar_training import device
from avatar_training.errors import TrainingError

CONTINUE, STOP, RESTORE, WAIT = range(4)
"""What the leader decides between two steps: go on, end the run, load the state it broadcasts next, or wait for it."""

_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class WorkerGroup:
    """The workers of a job, and which of them this process is.

    Every worker has to call the methods that communicate, in the same order. With one worker they cost nothing.
    """

    rank: int = 0
    """0, the leader, to size - 1."""
    size: int = 1
    """Number of workers."""

    def rows(self, batch_size: int) -> slice:
        """This worker's rows of a global batch."""
        share = batch_size // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def barrier(self, decision: int = CONTINUE, stop_requested: bool = False) -> tuple[int, bool]:
        """Wait for all workers after a step.

        Args:
            decision: what happens next; only the leader's counts.
            stop_requested: whether this worker was asked to stop; only a follower's counts.

        Returns:
            The leader's decision, and whether any follower was asked to stop.
        """
        sent = [decision, 0] if self.rank == 0 else [CONTINUE, int(stop_requested)]
        received, stop_requests = WAIT, 0.0
        while received == WAIT:
            received, stop_requests = self._sum(np.array(sent, np.float32)).tolist()
        return int(received), stop_requests > 0

    def heartbeat(self) -> None:
        """Keep the followers waiting at their barrier. Only the leader calls it, while it works between two steps.

        MindSpore's AllReduce on a CPU gives up on a worker that is 30 s late.
        """
        if self.rank == 0:
            self._sum(np.array([WAIT, 0], np.float32))

    def broadcast(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return the leader's message, JSON of at most 4,096 bytes. A follower's own message is ignored."""
        if self.size == 1:
            return message
        self.barrier()
        text = np.zeros(_MESSAGE_BYTES, np.float32)
        if self.rank == 0:
            encoded = np.frombuffer(json.dumps(message).encode(), np.uint8)
            text[: len(encoded)] = encoded
        received = self._sum(text).astype(np.uint8).tobytes().rstrip(b"\0")
        return dict(json.loads(received))

    def broadcast_parameters(self, parameters: Iterable[Parameter]) -> None:
        """Set a follower's parameters to the leader's."""
        if self.size == 1:
            return
        parameters = list(parameters)
        flat = np.concatenate([parameter.asnumpy().astype(np.float32).reshape(-1) for parameter in parameters])
        received = self._sum(flat if self.rank == 0 else np.zeros_like(flat))
        if self.rank == 0:
            return
        ends = np.cumsum([parameter.size for parameter in parameters])[:-1]
        for parameter, values in zip(parameters, np.split(received, ends), strict=True):
            parameter.set_data(Tensor(values.reshape(parameter.shape), parameter.dtype))

    def _sum(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        # MindSpore's AllReduce on the CPU takes nothing but float32 and float16.
        return values if self.size == 1 else np.asarray(_all_reduce(Tensor(values.reshape(-1))).asnumpy())


SINGLE_WORKER = WorkerGroup()


def check_batch_size(batch_size: int) -> None:
    """Raise TrainingError if the workers of this job cannot divide a global batch evenly."""
    if batch_size % device.worker_count():
        raise TrainingError(
            f"--batch-size {batch_size} cannot be divided among {device.worker_count()} workers; "
            "choose a multiple of their number"
        )


def join() -> WorkerGroup:
    """Join the job that msrun started this process for. Raises InputError as `device.join` does."""
    return WorkerGroup(*device.join())


def mean_over_workers(tensors: tuple[Tensor, ...], workers: int) -> tuple[Tensor, ...]:
    """The mean of each float32 tensor over the workers, in a compiled graph. All tensors travel in one message."""
    if workers == 1:
        return tensors
    flat = ops.AllReduce()(ops.concat([tensor.reshape(-1) for tensor in tensors])) / workers
    parts = ops.split(flat, [tensor.size for tensor in tensors])
    return tuple([part.reshape(tensor.shape) for part, tensor in zip(parts, tensors)])  # noqa: B905 # compiled


@mindspore.jit
def _all_reduce(values: Tensor) -> Tensor:
    return ops.AllReduce()(values)
