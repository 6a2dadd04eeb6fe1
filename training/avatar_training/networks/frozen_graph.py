"""The layers of a network that learns nothing, and two ONNX graphs of them: of its activations, and of its gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]
Shape = tuple[int, int, int]
"""Channels, height and width of an image."""


@dataclass(frozen=True)
class Convolution:
    """A convolution: weight [out, in / groups, kH, kW], bias [out], zeros around the image by ONNX's rules.

    pads: above, left, below and right of the image; None for SAME_UPPER.
    """

    weight: Array
    bias: Array
    strides: tuple[int, int]
    pads: tuple[int, int, int, int] | None
    groups: int

    def padding(self, entered: Shape) -> tuple[int, int, int, int]:
        """The pads for an image."""
        if self.pads is not None:
            return self.pads
        missing = [
            max((-(-side // stride) - 1) * stride + kernel - side, 0)
            for side, stride, kernel in zip(entered[1:], self.strides, self.weight.shape[2:], strict=True)
        ]
        return missing[0] // 2, missing[1] // 2, missing[0] - missing[0] // 2, missing[1] - missing[1] // 2

    def shape(self, entered: Shape) -> Shape:
        """The shape of the result."""
        top, left, bottom, right = self.padding(entered)
        padded = (entered[1] + top + bottom, entered[2] + left + right)
        height, width = (
            (side - kernel) // stride + 1
            for side, stride, kernel in zip(padded, self.strides, self.weight.shape[2:], strict=True)
        )
        return len(self.weight), height, width


@dataclass(frozen=True)
class Clip:
    """Values held between two bounds, of which one may be infinite: a ReLU is held between 0 and infinity."""

    low: float
    high: float


@dataclass(frozen=True)
class Add:
    """The sum of two values."""


Layer = Convolution | Clip | Add


@dataclass(frozen=True)
class FrozenNetwork:
    """Layers, what they take, and which of their results are the network's.

    Values are numbered: 0 is the images, 1 the result of the first layer, and so on.

    Args:
        layers: in the order of computation.
        sources: for each layer the numbers of the values that it takes.
        outputs: the numbers of the network's activations.
    """

    layers: tuple[Layer, ...]
    sources: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]

    def shapes(self, entered: Shape) -> list[Shape]:
        """The shape of each value for images of one shape."""
        shapes = [entered]
        for layer, sources in zip(self.layers, self.sources, strict=True):
            taken = shapes[sources[0]]
            shapes.append(layer.shape(taken) if isinstance(layer, Convolution) else taken)
        return shapes


def activation_graph(network: FrozenNetwork, entered: Shape) -> onnx.ModelProto:
    """A model of input "0", images float32 [N, *entered], whose outputs are the activations, by their numbers."""
    graph = _Graph(network, entered)
    return graph.model(["0"], [0], [str(i) for i in network.outputs], network.outputs)


def gradient_graph(network: FrozenNetwork, entered: Shape) -> onnx.ModelProto:
    """A model that computes the gradient of the images from those of the activations.

    Inputs: "0", the images float32 [N, *entered], and "gradient_0", "gradient_1", … in the order and shape of the
    activations. Output: float32 [N, *entered]. It computes the layers once more instead of being given their results.
    """
    graph = _Graph(network, entered)
    given = [f"gradient_{k}" for k in range(len(network.outputs))]
    gradients: list[list[str]] = [[] for _ in graph.shapes]  # for each value, the parts of its gradient
    for name, i in zip(given, network.outputs, strict=True):
        gradients[i].append(name)
    for i in range(len(network.layers) - 1, -1, -1):
        if parts := gradients[i + 1]:
            part = graph.backward(i, graph.total(parts))
            for source in network.sources[i]:
                gradients[source].append(part)
    return graph.model(["0", *given], [0, *network.outputs], [graph.total(gradients[0])], [0])


class _Graph:
    """A graph under construction; the value i is its tensor "i"."""

    def __init__(self, network: FrozenNetwork, entered: Shape) -> None:
        self.network, self.shapes = network, network.shapes(entered)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        for i in range(len(network.layers)):
            self._forward(i)

    def _forward(self, i: int) -> None:
        layer, inputs = self.network.layers[i], [str(source) for source in self.network.sources[i]]
        attributes: dict[str, Any] = {}
        if isinstance(layer, Convolution):
            inputs += [self._constant(layer.weight), self._constant(layer.bias)]
            pads = layer.padding(self.shapes[self.network.sources[i][0]])
            attributes = {"strides": layer.strides, "pads": pads, "group": layer.groups}
        elif isinstance(layer, Clip):
            inputs += [self._constant(layer.low), self._constant(layer.high)]
        self._node(type(layer).__name__.replace("Convolution", "Conv"), inputs, str(i + 1), **attributes)

    def backward(self, i: int, gradient: str) -> str:
        """The gradient of what layer i takes, from that of its result."""
        layer = self.network.layers[i]
        if isinstance(layer, Convolution):
            return self._convolved_back(layer, gradient, self.shapes[self.network.sources[i][0]], self.shapes[i + 1])
        if isinstance(layer, Clip):
            bounds = [("Greater", layer.low), ("Less", layer.high)]
            inside = [
                self._node(kind, [str(i + 1), self._constant(bound)]) for kind, bound in bounds if np.isfinite(bound)
            ]
            if not inside:
                return gradient
            mask = inside[0] if len(inside) == 1 else self._node("And", inside)
            # A product, for onnxruntime's Where takes twice as long.
            return self._node("Mul", [gradient, self._node("Cast", [mask], to=TensorProto.FLOAT)])
        return gradient

    def _convolved_back(self, layer: Convolution, gradient: str, entered: Shape, left: Shape) -> str:
        # V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.
        weight, pads, groups = layer.weight, layer.padding(entered), layer.groups
        height, width = weight.shape[2:]
        turned = (height - 1 - pads[0], width - 1 - pads[1], height - 1 - pads[2], width - 1 - pads[3])
        if layer.strides == (1, 1) and min(turned) >= 0:  # onnxruntime's faster way
            swapped = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)[..., ::-1, ::-1]
            kernel = self._constant(swapped.reshape(-1, *swapped.shape[2:]))
            return self._node("Conv", [gradient, kernel], pads=turned, group=groups)
        more = [
            entered[axis + 1] + pads[axis] + pads[axis + 2] - (left[axis + 1] - 1) * layer.strides[axis] - kernel
            for axis, kernel in enumerate((height, width))
        ]  # rows and columns at the end that no patch reached
        attributes: dict[str, Any] = {"strides": layer.strides, "pads": pads, "output_padding": more, "group": groups}
        return self._node("ConvTranspose", [gradient, self._constant(weight)], **attributes)

    def total(self, names: list[str]) -> str:
        """The sum of tensors."""
        return names[0] if len(names) == 1 else self._node("Sum", names)

    def model(self, inputs: Sequence[str], entered: Sequence[int], outputs: Sequence[str],
              left: Sequence[int]) -> onnx.ModelProto:  # fmt: skip
        """The model of inputs and outputs that have the shapes of these values."""

        def described(names: Sequence[str], values: Sequence[int]) -> list[onnx.ValueInfoProto]:
            return [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *self.shapes[i]])
                for name, i in zip(names, values, strict=True)
            ]

        graph = helper.make_graph(
            self.nodes, "frozen", described(inputs, entered), described(outputs, left), self.constants
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)

    def _constant(self, value: Array | float) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def _node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        output = output or f"node_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output
