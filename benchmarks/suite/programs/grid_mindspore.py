"""A grid of 64 faces with the original network in MindSpore: grid_mindspore.py MODELS OUT"""

import sys

import numpy as np
from mindspore import Tensor
from PIL import Image

from avatar_training.run_folder.checkpoint import generator_cell

weights = dict(np.load(f"{sys.argv[1]}/weights.npz"))
layers = [name for name in weights if name.startswith("generator.") and name.endswith("weight")]
kernels = [weights[name] for name in sorted(layers, key=lambda name: int(name.split(".")[1]))]
latent_dim, channels = kernels[0].shape[0], kernels[-1].shape[1]
network = generator_cell(
    weights, 4 * 2 ** (len(kernels) - 1), channels, latent_dim, kernels[-1].shape[0], exact_tanh=False
)
z = np.random.default_rng(0).standard_normal((64, latent_dim, 1, 1)).astype(np.float32)
pixels = ((network(Tensor(z)).asnumpy() + 1) * 127.5).round().astype(np.uint8)  # [64, C, H, W]
rows = pixels.reshape(8, 8, *pixels.shape[1:]).transpose(0, 3, 1, 4, 2)  # [8, H, 8, W, C]
Image.fromarray(rows.reshape(8 * pixels.shape[2], 8 * pixels.shape[3], -1)).save(sys.argv[2])
