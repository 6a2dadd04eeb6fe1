"""The int8 pass: measure the network on calibration latents, choose its float layers, and quantize the rest."""

import onnx

from avatar_export.int8.calibration import activation_ranges, conv_moments, sensitive_layers
from avatar_export.int8.quantize_layers import quantize_layers


def quantize_int8(model: onnx.ModelProto, pixel_range: tuple[float, float]) -> tuple[onnx.ModelProto, bool]:
    """Quantize the layers of a float graph by what it computes for the calibration latents. Takes two minutes.

    pixel_range is black and white in the network's own output. Preconditions: those of `quantize_layers`.
    """
    ranges = activation_ranges(model)
    return quantize_layers(model, ranges, sensitive_layers(model, ranges, pixel_range), conv_moments(model))
