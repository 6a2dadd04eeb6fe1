"""Reads the part of an ONNX image classifier that some of its activations need.

It takes what networks like MobileNetV2 (M. Sandler et al.,
CVPR 2018) consist of: Conv, BatchNormalization, Relu, Clip, Add and Pad. What the file does before its first
convolution (layout, scale, size) is left out, for our images come as that convolution wants them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from avatar_runtime.errors import AvatarError, ModelFileError
from avatar_runtime.model_file.reading import read_file
from avatar_training.errors import shortened
from avatar_training.networks.frozen_graph import Add, Array, Clip, Convolution, FrozenNetwork, Layer

READING_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)
"""What a damaged network makes NumPy, onnx and MindSpore raise: found by 7,000 mutations of a sound one."""


class FeatureNetworkError(AvatarError):
    """A file is no classifier that can be read, or lacks an activation."""


def read_network(path: Path, activations: Sequence[str], grey: bool = False) -> FrozenNetwork:
    """Read the layers that some activations need.

    Args:
        path: the ONNX file.
        activations: names of the tensors to give, in order.
        grey: whether images have one channel, which stands for all that the network takes.

    Raises:
        FeatureNetworkError: the file cannot be read, a name is not there, or an operator is none of those above.
    """
    try:
        graph = onnx.load_model_from_string(read_file(path)).graph
    except ModelFileError as err:
        raise FeatureNetworkError(f"cannot use the feature network {path}: {err}") from err
    except Exception as err:  # protobuf's DecodeError, by another name in each of its versions
        raise FeatureNetworkError(f"{path} is not an ONNX model ({shortened(err)})") from err
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
        raise FeatureNetworkError(f"{path} keeps its weights in another file; save it as one")
    try:
        reader = _Reader(path, graph, activations, grey)
        outputs = tuple(reader.place[name] for name in activations)
        return FrozenNetwork(tuple(reader.layers), tuple(reader.sources), outputs)
    except READING_ERRORS as err:
        raise FeatureNetworkError(f"{path} is damaged: {shortened(err)}") from err


class _Reader:
    """Turns the nodes that the activations need into layers, each with the places of its inputs among all values.

    Place 0 is the images. Batch norms become part of the convolution before them, and paddings of the one after them.
    """

    def __init__(self, path: Path, graph: onnx.GraphProto, activations: Sequence[str], grey: bool) -> None:
        self.path, self.activations, self.grey = path, activations, grey
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.makers = {name: node for node in graph.node for name in node.output}
        if missing := [name for name in activations if name not in self.makers]:
            raise FeatureNetworkError(f"{path} computes no {' and no '.join(missing)}; give names of its own tensors")
        nodes = self._needed(graph)
        self.readers = [name for node in nodes for name in node.input]
        self.place: dict[str, int] = {}
        self.padded: dict[str, tuple[str, tuple[int, ...]]] = {}
        """For the output of a Pad what it pads, and by how much."""
        self.layers: list[Layer] = []
        self.sources: list[tuple[int, ...]] = []
        for i, node in enumerate(nodes):
            self._read(node, nodes[i + 1 :])
        if padded := [name for name in activations if name not in self.place]:
            raise FeatureNetworkError(f"{path}: {padded[0]!r} is only padded; give the activation before it")

    def _needed(self, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
        """The nodes between the images and the activations, without what comes before the first convolution."""
        wanted, chosen = set(self.activations), []
        for node in reversed(graph.node):
            if wanted.intersection(node.output):
                chosen.append(node)
                wanted.update(name for name in node.input if name not in self.constants)
        chosen.reverse()
        first = next((i for i, node in enumerate(chosen) if node.op_type == "Conv"), None)
        if first is None:
            raise FeatureNetworkError(f"{self.path} has no convolution before {', '.join(self.activations)}")
        while first and chosen[first - 1].op_type == "Pad" and chosen[first].input[0] in chosen[first - 1].output:
            first -= 1
        self.images = chosen[first].input[0]
        return chosen[first:]

    def _read(self, node: onnx.NodeProto, later: Sequence[onnx.NodeProto]) -> None:
        kind, output = node.op_type, node.output[0]
        if output in self.place or output in self.constants:  # a batch norm that is part of its convolution by now
            return
        if not self.place:
            self.place[self.images] = 0
        if kind == "Pad":
            self.padded[output] = (node.input[0], self._pads(node))
        elif kind == "Conv":
            self._convolution(node, later)
        elif kind == "Relu":
            self._add(Clip(0.0, np.inf), node.input[:1], output)
        elif kind == "Clip":
            self._add(Clip(*self._bounds(node)), node.input[:1], output)
        elif kind == "Add" and not any(name in self.constants for name in node.input):
            self._add(Add(), node.input, output)
        else:
            where = " that follows no convolution of its own" if kind == "BatchNormalization" else ""
            raise self._unsupported(node, where)

    def _add(self, layer: Layer, inputs: Iterable[str], output: str) -> None:
        for name in inputs:
            if name in self.padded:
                raise self._unsupported(self.makers[name], " before anything but a convolution")
            if name not in self.place:
                raise FeatureNetworkError(
                    f"{self.path}: {self.makers[output].op_type} {output!r} takes {name!r}, which does not come from "
                    "the first convolution; give a network that sees the images once"
                )
        self.sources.append(tuple(self.place[name] for name in inputs))
        self.layers.append(layer)
        self.place[output] = len(self.layers)

    def _convolution(self, node: onnx.NodeProto, later: Sequence[onnx.NodeProto]) -> None:
        source, output, has = node.input[0], node.output[0], _attributes(node)
        weight = self._constant(node, 1)
        bias = self._constant(node, 2) if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        groups, strides = has.get("group", 1), tuple(has.get("strides", (1, 1)))
        if weight.ndim != 4 or tuple(has.get("dilations", (1, 1))) != (1, 1):
            raise self._unsupported(node, " that is dilated or not two-dimensional")
        pads = has.get("pads", (0, 0, 0, 0))
        if source in self.padded:
            source, more = self.padded[source]
            pads = [own + other for own, other in zip(pads, more, strict=True)]
        auto = has.get("auto_pad", b"NOTSET").decode()
        if auto == "SAME_LOWER" or (auto == "SAME_UPPER" and any(pads)):
            raise self._unsupported(node, f" with auto_pad {auto} there")
        following = next((other for other in later if output in other.input), None)
        alone = self.readers.count(output) == 1 and output not in self.activations
        if following is not None and following.op_type == "BatchNormalization" and alone:
            with np.errstate(invalid="ignore", divide="ignore"):
                weight, bias = self._fold(following, weight, bias)
            output = following.output[0]
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise ValueError(f"the weights of {output!r} are not finite")
        if self.grey and self.place.get(source) == 0:
            weight = weight.sum(axis=1, keepdims=True)
        top, left, bottom, right = pads
        around = None if auto == "SAME_UPPER" else (top, left, bottom, right)
        self._add(Convolution(weight, bias, strides, around, groups), [source], output)

    def _fold(self, node: onnx.NodeProto, weight: Array, bias: Array) -> tuple[Array, Array]:
        """A convolution's weight and bias with the batch norm after it."""
        gamma, beta, mean, variance = (self._constant(node, i).astype(np.float64) for i in range(1, 5))
        scale = gamma / np.sqrt(variance + _attributes(node).get("epsilon", 1e-5))
        folded = weight * scale[:, None, None, None], beta + (bias - mean) * scale
        return folded[0].astype(np.float32), folded[1].astype(np.float32)

    def _pads(self, node: onnx.NodeProto) -> tuple[int, ...]:
        has = _attributes(node)
        pads = [int(n) for n in (has["pads"] if "pads" in has else self._constant(node, 1))]
        value = has.get("value", 0.0) if len(node.input) < 3 or not node.input[2] else self._constant(node, 2).item()
        plain = has.get("mode", b"constant") == b"constant" and value == 0 and len(node.input) < 4 and len(pads) == 8
        if not plain or min(pads) < 0 or any(pads[i] for i in (0, 1, 4, 5)):
            raise self._unsupported(node, " other than of rows and columns by zeros")
        return (pads[2], pads[3], pads[6], pads[7])

    def _bounds(self, node: onnx.NodeProto) -> tuple[float, float]:
        has, bounds = _attributes(node), [-np.inf, np.inf]
        for i, name in enumerate(("min", "max")):
            if name in has:
                bounds[i] = has[name]
            elif len(node.input) > i + 1 and node.input[i + 1]:
                bounds[i] = self._constant(node, i + 1).item()
        return float(bounds[0]), float(bounds[1])

    def _constant(self, node: onnx.NodeProto, i: int) -> Array:
        if node.input[i] not in self.constants:
            raise self._unsupported(node, f" whose {node.input[i]!r} is computed")
        return np.asarray(self.constants[node.input[i]], np.float32)

    def _unsupported(self, node: onnx.NodeProto, where: str) -> FeatureNetworkError:
        return FeatureNetworkError(
            f"{self.path} has the operator {node.op_type}{where} ({node.output[0]!r}); what can be read is Conv, "
            "BatchNormalization after a Conv, Relu, Clip, Add and Pad: give activations before it, or another network"
        )


def _attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
