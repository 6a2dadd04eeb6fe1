"""A grid of 64 faces as most would write it with PyTorch: grid_pytorch.py MODELS OUT"""

import sys

import numpy as np
import torch
from PIL import Image

from benchmarks.baselines.pytorch import generator

weights = dict(np.load(f"{sys.argv[1]}/weights.npz"))
network = generator(weights)
with torch.inference_mode():
    images = network(torch.randn(64, len(weights["generator.0.weight"]), 1, 1))
pixels = ((images + 1) * 127.5).round().to(torch.uint8).numpy()  # [64, C, H, W]
rows = pixels.reshape(8, 8, *pixels.shape[1:]).transpose(0, 3, 1, 4, 2)  # [8, H, 8, W, C]
Image.fromarray(rows.reshape(8 * pixels.shape[2], 8 * pixels.shape[3], -1)).save(sys.argv[2])
