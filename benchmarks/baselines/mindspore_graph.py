"""The original: MindSpore in graph mode on the CPU."""

import numpy as np

from benchmarks.suite.models import WEIGHTS, Models
from benchmarks.suite.process import Network


def open_network(models: Models, threads: int, exact_tanh: bool = False) -> Network:
    """Open it with the settings of avatar-train's CPU device: without ONEDNN_MAX_CPU_ISA=AVX2 it is far slower."""
    from mindspore import Tensor, device_context

    from avatar_training.run_folder.checkpoint import generator_cell

    arrays = dict(np.load(models.folder / WEIGHTS))
    cell = generator_cell(arrays, *models.architecture, exact_tanh=exact_tanh)
    device_context.cpu.op_tuning.threads_num(threads)

    return lambda z: cell(Tensor(z[..., None, None])).asnumpy()
