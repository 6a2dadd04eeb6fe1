"""The original: MindSpore in graph mode, on the CPU, held to the instruction set that is fast for it."""

import numpy as np

from benchmarks.suite.models import WEIGHTS, Models
from benchmarks.suite.process import Network


def open_network(models: Models, threads: int, exact_tanh: bool = False) -> Network:
    """`device.select` sets ONEDNN_MAX_CPU_ISA=AVX2 and MS_DEV_HOST_BLOCKING_RUN=1: without them it is far slower."""
    from mindspore import Tensor, device_context

    from avatar_training.run_folder.checkpoint import generator_cell

    arrays = dict(np.load(models.folder / WEIGHTS))
    cell = generator_cell(arrays, *models.architecture, exact_tanh=exact_tanh)
    device_context.cpu.op_tuning.threads_num(threads)

    return lambda z: cell(Tensor(z[..., None, None])).asnumpy()
