"""Makes layers compute in eight bits: uint8 activations, int8 weights, int32 sums."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from avatar_export.int8.rounding import (
    NO_PAIRS,
    PAIR_LIMIT,
    Moments,
    pair_sums,
    round_to_nearest,
    round_with_compensation,
)
from avatar_export.passes.editing import add_constant, attributes, constants, graph_pass, is_rectifier

LAYERS = ("Gemm", "Conv")
MOVING = ("Reshape", "Transpose", "Concat")
"""Operators that only move numbers; in the quantized graph they move uint8."""

WEIGHT_LIMIT = 127
"""Largest quantized weight."""
LATENT_STEP = 1 / 256
"""Latents are rounded to this before a layer that multiplies integers in float32. Up to truncation 2 its sums stay
below 2^24, where float32 is exact, so that every processor computes the same."""

Ranges = Mapping[str, tuple[float, float]]
"""Tensor -> its smallest and its largest value."""
NO_MOMENTS: Mapping[str, Moments] = MappingProxyType({})


@dataclass(frozen=True)
class _Encoding:
    """A tensor that is stored as integers: its values are (integer - zero) * step."""

    name: str
    step: np.float32
    zero: np.uint8
    parameters: tuple[str, str]
    """Names of the constants step and zero."""


def layer_inputs(graph: onnx.GraphProto) -> list[str]:
    """Names of the tensors that Gemm and Conv nodes read, in order. All nodes that read the same tensor are a layer."""
    return list(dict.fromkeys(node.input[0] for node in graph.node if node.op_type in LAYERS))


@graph_pass
def quantize_layers(
    model: onnx.ModelProto,
    ranges: Ranges,
    keep_float: Collection[str] = (),
    moments: Mapping[str, Moments] = NO_MOMENTS,
) -> bool:
    """Quantize Gemm and Conv in ONNX's QDQ form, per output channel; operators between them move uint8.

    B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
    CVPR 2018, section 2. A Relu becomes part of the quantization, since uint8 with zero point 0 has no negative values,
    and so does a Clip from 0 to where the range ends.
    (onnxruntime.quantization would give each phase and each step of the interleaving its own scale, and requantize
    between them.)

    Args:
        model: A float graph.
        ranges: Of the tensors that layers and Tanh read.
        keep_float: Inputs of the layers that multiply integers in float32, with the same int8 weights.
        moments: Conv node -> the moments of its input. Its weights are then rounded with compensation, and its bias
            takes the mean of the error that is left (M. Nagel et al., "Data-Free Quantization Through Weight
            Equalization and Bias Correction", ICCV 2019, section 4.2).

    Preconditions, for the whole graph:

    1. It consists of Gemm and Conv with constant weights and biases, Relu, Clip from 0, Reshape, Transpose, Concat and
       Tanh.
    2. Gemm has no transposition, alpha or beta; Conv has one group.
    3. ranges has the input of each Gemm, Conv and Tanh. Each tensor on the way there is read once, or by layers and
       a Concat.
    """
    quantizer = _Quantizer(model.graph, ranges, keep_float, moments)
    if not quantizer.preconditions_hold():
        return False
    nodes = [new for node in list(model.graph.node) for new in quantizer.rewrite(node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return True


class _Quantizer:
    def __init__(
        self, graph: onnx.GraphProto, ranges: Ranges, keep_float: Collection[str], moments: Mapping[str, Moments]
    ) -> None:
        self.graph, self.ranges, self.keep_float, self.moments = graph, ranges, keep_float, moments
        self.known = constants(graph)
        self.encodings: dict[str, _Encoding] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def preconditions_hold(self) -> bool:
        layers = [node for node in self.graph.node if node.op_type in LAYERS]
        return (
            bool(layers)
            and all(node.op_type in (*LAYERS, *MOVING, "Tanh") or is_rectifier(node) for node in self.graph.node)
            and all(self.known.get(node.input[1]) == 0 for node in self.graph.node if node.op_type == "Clip")
            and all(_is_plain(node) and all(name in self.known for name in node.input[1:]) for node in layers)
            and all(name in self.ranges for name in layer_inputs(self.graph))
            and all(self._destination(node.output[0])[0] in self.ranges for node in layers)
            and all(node.input[0] in self.ranges for node in self.graph.node if node.op_type == "Tanh")
        )

    def rewrite(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The nodes that replace a node; those before it have been rewritten already."""
        source = node.input[0]
        if node.op_type in LAYERS:
            layer = self._float_layer(node) if source in self.keep_float else self._layer(node)
            return [*layer, *self._encode(node.output[0], *self._destination(node.output[0]))]
        if is_rectifier(node):
            self.encodings[node.output[0]] = self.encodings[source]
            return []
        if node.op_type == "Tanh":
            value = f"{node.name}.dequantized_input"
            return [*self._decode(source, value), _made_of(node, [value], node.output[0])]
        inputs = [self.encodings[name].name if name in self.encodings else name for name in node.input]
        old = self.encodings[source]
        self.encodings[node.output[0]] = _Encoding(f"{node.output[0]}.uint8", old.step, old.zero, old.parameters)
        return [_made_of(node, inputs, f"{node.output[0]}.uint8")]

    def _destination(self, name: str) -> tuple[str, bool]:
        """The tensor by whose range a layer's output is encoded, and whether a Relu comes before it.

        It is what the next layer or Tanh reads, or the Concat that joins that with a residual block.
        """
        rectified = False
        while True:
            moving = [node for node in self.readers.get(name, []) if node.op_type in MOVING or is_rectifier(node)]
            others = [node for node in self.readers.get(name, []) if node not in moving]
            if len(moving) != 1 or any(node.op_type not in LAYERS for node in others):
                return name, rectified
            rectified = rectified or is_rectifier(moving[0])
            name = moving[0].output[0]

    def _encode(self, name: str, like: str, rectified: bool = False) -> list[onnx.NodeProto]:
        low, high = self.ranges[like]
        low, high = (0.0 if rectified else min(low, 0.0)), max(high, 0.0)
        step = np.float32((high - low) / 255 or 1)
        zero = np.uint8(np.rint(-low / step))
        parameters = (f"{like}.step", f"{like}.zero")
        if parameters[0] not in {tensor.name for tensor in self.graph.initializer}:
            add_constant(self.graph, parameters[0], np.asarray(step))
            add_constant(self.graph, parameters[1], np.asarray(zero))
        self.encodings[name] = _Encoding(f"{name}.uint8", step, zero, parameters)
        return [helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}.uint8"], f"{name}.quantize")]

    def _decode(self, name: str, value: str) -> list[onnx.NodeProto]:
        encoding = self.encodings[name]
        return [helper.make_node("DequantizeLinear", [encoding.name, *encoding.parameters], [value], value)]

    def _layer(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        source, names = node.input[0], [f"{node.name}.dequantized_{part}" for part in ("input", "weight", "bias")]
        nodes = self._encode(source, source) if source not in self.encodings else []
        weight, steps = self._weight(node, in_integers=True)
        nodes += self._decode(source, names[0])
        nodes += self._constant(names[1], weight, steps, axis=1 if node.op_type == "Gemm" else 0)
        bias = self._bias(node, weight, steps)
        if bias is not None:
            steps = steps * self.encodings[source].step
            bias = np.clip(np.rint(bias / steps), -(2**31), 2**31 - 1)
            nodes += self._constant(names[2], bias.astype(np.int32), steps, axis=0)
        return [*nodes, _made_of(node, names[: 2 if bias is None else 3], node.output[0])]

    def _float_layer(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        source, name = node.input[0], node.name
        weight, steps = self._weight(node, in_integers=False)
        inputs = [f"{name}.integers", f"{name}.weight_integers"]
        bias = self._bias(node, weight, steps)
        nodes = [_cast(add_constant(self.graph, f"{name}.weight_int8", weight), inputs[1])]
        if encoding := self.encodings.get(source):
            steps = steps * encoding.step
            zero = add_constant(self.graph, f"{name}.zero", np.array(encoding.zero, np.float32))
            nodes += [_cast(encoding.name, f"{name}.raw"), _binary("Sub", f"{name}.raw", zero, inputs[0])]
        else:
            steps = steps * np.float32(LATENT_STEP)
            factor = add_constant(self.graph, f"{name}.steps_in_one", np.array(1 / LATENT_STEP, np.float32))
            nodes.append(_binary("Mul", source, factor, f"{name}.in_steps"))
            nodes.append(helper.make_node("Round", [f"{name}.in_steps"], [inputs[0]], inputs[0]))
        if bias is not None:
            integers = np.rint(bias.astype(np.float32) / steps)
            inputs.append(add_constant(self.graph, f"{name}.bias_integers", integers))
        steps = steps if node.op_type == "Gemm" else steps[:, None, None]
        factors = add_constant(self.graph, f"{name}.steps", steps)
        return [*nodes, _made_of(node, inputs, f"{name}.sums"), _binary("Mul", f"{name}.sums", factors, node.output[0])]

    def _weight(
        self, node: onnx.NodeProto, *, in_integers: bool
    ) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
        """The weight as integers, and the float32 step of each output channel.

        With in_integers, neighbours are held within PAIR_LIMIT.
        """
        weight = self.known[node.input[1]]
        by_channel = weight.T if node.op_type == "Gemm" else weight
        rows = by_channel.reshape(len(by_channel), -1).astype(np.float64)
        pairs = _neighbours(by_channel.shape[1:]) if in_integers else NO_PAIRS
        largest = np.abs(rows).max(axis=1) / WEIGHT_LIMIT
        sums = pair_sums(rows, pairs).max(axis=1, initial=0) / PAIR_LIMIT
        steps = np.nextafter(np.maximum(largest, sums).astype(np.float32), np.float32(np.inf))  # rounded up
        steps[~rows.any(axis=1)] = 1
        exact = rows / steps[:, None]
        moments = self.moments.get(node.name)
        if moments is not None and moments.covariance is not None:
            integers = round_with_compensation(exact, moments.covariance, WEIGHT_LIMIT, pairs)
        else:
            integers = round_to_nearest(exact, WEIGHT_LIMIT)
        integers = integers.reshape(by_channel.shape)
        return (integers.T if node.op_type == "Gemm" else integers).astype(np.int8), steps

    def _bias(
        self, node: onnx.NodeProto, weight: npt.NDArray[np.int8], steps: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64] | None:
        """The bias of a layer minus the mean error of its integer weights; None if it has no bias and needs none."""
        bias = self.known[node.input[2]].astype(np.float64) if len(node.input) == 3 else None
        if (moments := self.moments.get(node.name)) is None:
            return bias
        error = weight.reshape(len(weight), -1) * steps[:, None].astype(np.float64)
        error -= self.known[node.input[1]].reshape(len(weight), -1).astype(np.float64)
        corrected: npt.NDArray[np.float64] = (0 if bias is None else bias) - error @ moments.mean
        return corrected

    def _constant(
        self, name: str, integers: npt.NDArray[np.generic], steps: npt.NDArray[np.float32], axis: int
    ) -> list[onnx.NodeProto]:
        inputs = [
            add_constant(self.graph, f"{name}.integers", integers),
            add_constant(self.graph, f"{name}.steps", steps),
            add_constant(self.graph, f"{name}.zeros", np.zeros(len(steps), integers.dtype)),
        ]
        return [helper.make_node("DequantizeLinear", inputs, [name], name, axis=axis)]


def _is_plain(node: onnx.NodeProto) -> bool:
    plain = {"transA": 0, "transB": 0, "alpha": 1.0, "beta": 1.0, "group": 1}
    return all(value == plain.get(key, value) for key, value in attributes(node).items())


def _neighbours(shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Pairs of a weight's K = C * rows * columns numbers that are neighbours in memory, [P, 2], from even places on.

    AVX2 without VNNI adds the products of such a pair with uint8 in 16 bits. 255 * PAIR_LIMIT fits, so that every
    processor computes the same. (uint8 weights would do so too, but take twice the time.) onnxruntime orders weights
    with channels last; channels first are for runtimes that do not reorder them.
    """
    places = np.arange(math.prod(shape)).reshape(shape)
    orders = (np.moveaxis(places, 0, -1).reshape(-1), places.reshape(-1))
    return np.concatenate([order[: len(order) // 2 * 2].reshape(-1, 2) for order in orders])


def _made_of(node: onnx.NodeProto, inputs: list[str], output: str) -> onnx.NodeProto:
    new = helper.make_node(node.op_type, inputs, [output], node.name)
    new.attribute.extend(node.attribute)
    return new


def _cast(name: str, output: str) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [output], output, to=TensorProto.FLOAT)


def _binary(kind: str, first: str, second: str, output: str) -> onnx.NodeProto:
    return helper.make_node(kind, [first, second], [output], f"{output}.{kind.lower()}")
