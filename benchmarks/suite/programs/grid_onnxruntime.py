"""A grid of 64 faces as most would write it with onnxruntime: grid_onnxruntime.py MODELS OUT"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(f"{sys.argv[1]}/plain.onnx", providers=["CPUExecutionProvider"])
z = np.random.default_rng(0).standard_normal((64, session.get_inputs()[0].shape[1])).astype(np.float32)
pixels = ((session.run(None, {"z": z})[0] + 1) * 127.5).round().astype(np.uint8)  # [64, C, H, W]
rows = pixels.reshape(8, 8, *pixels.shape[1:]).transpose(0, 3, 1, 4, 2)  # [8, H, 8, W, C]
Image.fromarray(rows.reshape(8 * pixels.shape[2], 8 * pixels.shape[3], -1)).save(sys.argv[2])
