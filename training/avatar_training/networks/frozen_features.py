"""A classifier's activations in the midst of MindSpore's graph: gradients flow through it, and it learns nothing.

On a CPU onnxruntime computes them and their gradient, elsewhere MindSpore's own layers. For depthwise convolutions
MindSpore gives oneDNN arrays in a layout for which it has no fast kernel. With the other changes that came with it (one
pass through the classifier for the images that both networks learn from, AVX-512 where no convolution is left), a step
with a refined generator, feature heads and a reward takes 0.53 to 0.64 of the time (353 for 661 ms in the best turn).
"""

import inspect
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from avatar_training.errors import shortened
from avatar_training.networks.feature_network import READING_ERRORS, FeatureNetworkError, read_network
from avatar_training.networks.frozen_graph import (
    Add,
    Array,
    Clip,
    FrozenNetwork,
    Layer,
    activation_graph,
    gradient_graph,
)
from avatar_training.onnx_session import open_session

_CHUNK = 4
"""Images whose gradient is computed at a time, so that values stay in the processor's caches."""


class FrozenFeatures(nn.Cell):
    """Images to activations of an ONNX classifier; it takes what `read_network` takes, and raises the same.

    Input: float32 [N, C, H, W], scaled as the network's first convolution wants it; C is 1 if grey. Output: a tuple of
    the activations, float32 [N, C', H', W'] each.
    """

    def __init__(self, path: Path, activations: Sequence[str], grey: bool = False) -> None:
        super().__init__()
        self.path = path
        on_cpu = mindspore.get_context("device_target") == "CPU"
        network = read_network(path, activations, grey)
        try:
            self.computed = OnnxruntimeLayers(network) if on_cpu else MindSporeLayers(network)
        except READING_ERRORS as err:
            raise FeatureNetworkError(f"{path} is damaged: {shortened(err)}") from err

    def construct(self, images: Tensor) -> tuple[Tensor, ...]:
        """[N, C, H, W] -> the activations."""
        found: tuple[Tensor, ...] = self.computed(images.astype(mindspore.float32))
        return found

    def shapes(self, channels: int, side: int) -> list[tuple[int, ...]]:
        """The shapes of the activations of one image. Raises FeatureNetworkError if they cannot be computed."""
        try:
            blank = Tensor(np.zeros((1, channels, side, side), np.float32))
            return [tuple(activation.shape) for activation in self(blank)]
        except Exception as err:  # onnxruntime raises a dozen unrelated classes
            raise FeatureNetworkError(f"{self.path} cannot run: {shortened(err)}") from err


class OnnxruntimeLayers(nn.Cell):
    """The layers of a frozen network, computed by onnxruntime: float32 [N, C, H, W] -> the activations."""

    def __init__(self, network: FrozenNetwork) -> None:
        super().__init__()
        self.network, self.single = network, len(network.outputs) == 1
        # MindSpore's threads want the cores.
        self.session = cache(
            lambda graph, shape: open_session(graph(network, shape).SerializeToString(), spinning=False)
        )
        self.forward = ops.Custom(self.compute, self.result_shapes, self.result_types, "pyfunc")

        def compute_gradient(*arrays: Array) -> Array:
            return self.compute_gradient(*arrays)

        # MindSpore counts the parameters.
        names = ["images", *[f"gradient_{k}" for k in range(len(network.outputs))]]
        parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in names]
        compute_gradient.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.backward = ops.Custom(compute_gradient, lambda *shapes: shapes[0], lambda *types: types[0], "pyfunc")

    def construct(self, images: Tensor) -> tuple[Tensor, ...]:
        """[N, C, H, W] -> the activations."""
        found = self.forward(images)
        return (found,) if self.single else found

    def bprop(self, images: Tensor, out: tuple[Tensor, ...], gradients: tuple[Tensor, ...]) -> tuple[Tensor]:
        """The gradient of the images."""
        return (self.backward(images, *gradients),)

    def compute(self, images: Array) -> Array | tuple[Array, ...]:
        """What construct does, with arrays."""
        found = self.session(activation_graph, images.shape[1:]).run(None, {"0": images})
        return found[0] if self.single else tuple(found)

    def compute_gradient(self, images: Array, *gradients: Array) -> Array:
        """What bprop does, with arrays."""
        session, gradient = self.session(gradient_graph, images.shape[1:]), np.empty_like(images)
        names = [given.name for given in session.get_inputs()]
        for start in range(0, len(images), _CHUNK):
            rows = slice(start, start + _CHUNK)
            parts = [np.ascontiguousarray(values[rows]) for values in (images, *gradients)]
            gradient[rows] = session.run(None, dict(zip(names, parts, strict=True)))[0]
        return gradient

    def result_shapes(self, shape: Sequence[int]) -> Any:
        """The shapes of the activations, as MindSpore asks for them."""
        count, *entered = shape
        values = self.network.shapes((entered[0], entered[1], entered[2]))
        shapes = tuple((count, *values[i]) for i in self.network.outputs)
        return shapes[0] if self.single else shapes

    def result_types(self, dtype: Any) -> Any:
        """The types of the activations, as MindSpore asks for them."""
        return dtype if self.single else (dtype,) * len(self.network.outputs)


class MindSporeLayers(nn.Cell):
    """The layers of a frozen network as MindSpore's own: [N, C, H, W] -> the activations."""

    def __init__(self, network: FrozenNetwork) -> None:
        super().__init__()
        self.sources, self.outputs = network.sources, network.outputs
        self.layers = nn.CellList([_layer(layer) for layer in network.layers])
        for parameter in self.get_parameters():
            parameter.requires_grad = False
        self.update_parameters_name("features.")

    def construct(self, images: Tensor) -> tuple[Tensor, ...]:
        """[N, C, H, W] -> the activations."""
        values = [images]
        for i in range(len(self.sources)):
            source = self.sources[i]
            if len(source) == 2:
                values.append(values[source[0]] + values[source[1]])
            else:
                values.append(self.layers[i](values[source[0]]))
        found: tuple[Tensor, ...] = ()
        for output in self.outputs:
            found += (values[output],)
        return found


class _Clip(nn.Cell):
    """Values held between two bounds; between 0 and 6 by the one operator that MindSpore has for it."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high, self.six = low, high, (low, high) == (0.0, 6.0)
        self.relu6 = ops.ReLU6()

    def construct(self, x: Tensor) -> Tensor:
        return self.relu6(x) if self.six else ops.clamp(x, self.low, self.high)


def _layer(layer: Layer) -> nn.Cell:
    if isinstance(layer, Clip):
        return nn.ReLU() if (layer.low, layer.high) == (0.0, np.inf) else _Clip(layer.low, layer.high)
    if isinstance(layer, Add):
        return nn.Identity()
    weight, pads = layer.weight, layer.pads
    return nn.Conv2d(
        weight.shape[1] * layer.groups,
        weight.shape[0],
        weight.shape[2:],
        layer.strides,
        "pad" if pads else "same",
        (pads[0], pads[2], pads[1], pads[3]) if pads else 0,  # MindSpore's order is another
        group=layer.groups,
        has_bias=True,
        weight_init=Tensor(weight),
        bias_init=Tensor(layer.bias),
    )
