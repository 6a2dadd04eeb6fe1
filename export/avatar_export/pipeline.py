"""The precisions: which passes make them."""

from collections.abc import Callable

import onnx

from avatar_export.int8.calibration import activation_ranges, channel_maxima, conv_moments, sensitive_layers
from avatar_export.int8.equalization import channel_equalization
from avatar_export.int8.quantization import quantization
from avatar_export.int8.saturating_halves import saturating_halves
from avatar_export.passes.half_storage import half_storage
from avatar_export.passes.sigmoid_head import sigmoid_head
from avatar_export.passes.uint8_head import uint8_head

Rewrite = Callable[[onnx.ModelProto], tuple[onnx.ModelProto, bool]]


def equalized(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    """`channel_equalization` by what the network shows: for int8, before its convolutions are taken apart."""
    return channel_equalization(model, channel_maxima(model))


def rewrites(precision: str, output: str, pixel_range: tuple[float, float]) -> dict[str, Rewrite]:
    """The passes that give a float graph of ordinary convolutions its precision and its output, by name and in order.

    precision is "fp32", "fp16" (stored in half precision, computed in float32) or "int8"; output is "uint8" or
    "float32". A pass that does not fit leaves the graph as it is.
    """

    def calibrated(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
        ranges = activation_ranges(model)
        return quantization(model, ranges, sensitive_layers(model, ranges, pixel_range), conv_moments(model))

    chosen: dict[str, Rewrite] = {}
    if precision == "int8":
        chosen[quantization.__name__] = calibrated
        if output == "uint8" and pixel_range == (-1.0, 1.0):
            chosen[saturating_halves.__name__] = saturating_halves
            chosen[sigmoid_head.__name__] = sigmoid_head  # where the last layer is float
    if output == "uint8":
        chosen[uint8_head.__name__] = lambda model: uint8_head(model, pixel_range)
    if precision == "fp16":
        chosen[half_storage.__name__] = half_storage
    return chosen
