"""Graphs of other layers than the exporter writes today, in its forms: what the engine promises beyond them."""

import functools

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_runtime.latents import SCHEME
from avatar_runtime.model_file.metadata import ModelSpec

LATENT_DIM = 6


class Graph:
    """Nodes with random weights, one after the other; each method returns the name of what it computes."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: npt.ArrayLike, kind: type[np.generic]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.atleast_1d(np.asarray(array, kind)), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        node = helper.make_node(kind, inputs, [f"value{len(self.nodes)}"])
        node.attribute.extend(helper.make_attribute(*pair) for pair in attributes.items())
        self.nodes.append(node)
        return str(node.output[0])

    def step(self, step: float, zero: int) -> tuple[str, str]:
        return self.constant(step, np.float32), self.constant(zero, np.uint8)

    def quantize(self, value: str, step: float, zero: int = 0) -> str:
        return self.node("QuantizeLinear", value, *self.step(step, zero))

    def dequantize(self, value: str, step: float, zero: int = 0) -> str:
        return self.node("DequantizeLinear", value, *self.step(step, zero))

    def weight(self, shape: tuple[int, ...], steps: npt.NDArray[np.float32], axis: int) -> str:
        integers = self.rng.integers(-63, 64, shape)
        inputs = [self.constant(integers, np.int8), self.constant(steps, np.float32)]
        inputs.append(self.constant(np.zeros(len(steps)), np.int8))
        return self.node("DequantizeLinear", *inputs, axis=axis)

    def bias(self, steps: npt.NDArray[np.float32]) -> str:
        inputs = [self.constant(self.rng.integers(-3000, 3000, len(steps)), np.int32), self.constant(steps, np.float32)]
        inputs.append(self.constant(np.zeros(len(steps)), np.int32))
        return self.node("DequantizeLinear", *inputs, axis=0)

    def conv(self, value: str, encoding: tuple[float, int], maps: int, depth: int, size: int) -> str:
        """uint8 to float: a Conv of size x size that keeps height and width."""
        steps = self.rng.uniform(0.002, 0.004, maps).astype(np.float32)
        x = self.dequantize(value, *encoding)
        weight = self.weight((maps, depth, size, size), steps, axis=0)
        bias = self.bias(steps * np.float32(encoding[0]))
        before, after = (size - 1) // 2, size // 2
        return self.node("Conv", x, weight, bias, kernel_shape=[size, size], pads=[before, before, after, after])

    def gemm(self, value: str, encoding: tuple[float, int], count: int, depth: int) -> str:
        steps = self.rng.uniform(0.002, 0.004, count).astype(np.float32)
        x = self.dequantize(value, *encoding)
        return self.node("Gemm", x, self.weight((depth, count), steps, 1), self.bias(steps * np.float32(encoding[0])))

    def integer_gemm(self, value: str, count: int, depth: int) -> str:
        """Floats that hold integers to floats, by int8 weights."""
        weight = self.node("Cast", self.constant(self.rng.integers(-90, 90, (depth, count)), np.int8), to=1)
        return self.node("Gemm", value, weight, self.constant(self.rng.integers(-5000, 5000, count), np.float32))

    def reshape(self, value: str, *shape: int) -> str:
        return self.node("Reshape", value, self.constant(shape, np.int64))

    def model(self, pixels: str, size: int, channels: int) -> onnx.ModelProto:
        """The finished model of uint8 [1, channels, size, size]."""
        self.nodes.append(helper.make_node("Transpose", [pixels], ["images"], perm=[0, 2, 3, 1]))
        graph = helper.make_graph(
            self.nodes,
            "test",
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", LATENT_DIM])],
            [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", size, size, channels])],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        spec = ModelSpec("test", LATENT_DIM, size, channels, "uint8", (-1.0, 1.0), SCHEME, precision="int8")
        helper.set_model_props(model, spec.to_metadata())
        return model


def start(graph: Graph, maps: int, size: int) -> str:
    """z to uint8 [1, maps, size, size] of step 0.02 and zero point 0."""
    integers = graph.node("Round", graph.node("Mul", "z", graph.constant(256, np.float32)))
    sums = graph.integer_gemm(integers, maps * size * size, LATENT_DIM)
    floats = graph.node("Mul", sums, graph.constant(np.full(maps * size * size, 2e-5), np.float32))
    return graph.reshape(graph.quantize(floats, 0.02), -1, maps, size, size)


def plain() -> onnx.ModelProto:
    graph = Graph()
    return graph.model(start(graph, 3, 8), 8, 3)


def bottleneck(join: str) -> onnx.ModelProto:
    """3x3, 1x1 and a residual, by Add or by a 1x1 Conv of both."""
    graph = Graph(1)
    x = start(graph, 8, 8)
    narrow = graph.quantize(graph.node("Relu", graph.conv(x, (0.02, 0), 4, 8, 3)), 0.03)
    if join == "Add":
        wide = graph.quantize(graph.conv(narrow, (0.03, 0), 8, 4, 1), 0.05, 120)
        both = graph.node("Add", graph.dequantize(x, 0.02), graph.dequantize(wide, 0.05, 120))
        y = graph.quantize(both, 0.04, 30)
    else:
        wide = graph.quantize(graph.conv(narrow, (0.03, 0), 5, 4, 1), 0.02)
        y = graph.quantize(graph.conv(graph.node("Concat", wide, x, axis=1), (0.02, 0), 8, 13, 1), 0.04, 30)
    return graph.model(graph.quantize(graph.conv(y, (0.04, 30), 3, 8, 5), 0.06, 128), 8, 3)


def latent_network() -> onnx.ModelProto:
    """A residual map of z by two layers in float32, whose integers stay exact."""
    graph = Graph(2)
    z = graph.node("Round", graph.node("Mul", "z", graph.constant(256, np.float32)))
    scaled = graph.node("Mul", graph.integer_gemm(z, 9, LATENT_DIM), graph.constant(0.01, np.float32))
    mapped = graph.integer_gemm(graph.node("Round", graph.node("Relu", scaled)), LATENT_DIM, 9)
    small = graph.node("Mul", mapped, graph.constant(graph.rng.uniform(0.001, 0.003, LATENT_DIM), np.float32))
    moved = graph.node("Round", graph.node("Add", graph.node("Sub", small, graph.constant(3, np.float32)), z))
    floats = graph.node("Mul", graph.integer_gemm(moved, 48, LATENT_DIM), graph.constant(np.full(48, 3e-5), np.float32))
    return graph.model(graph.reshape(graph.quantize(floats, 0.02, 100), -1, 3, 4, 4), 4, 3)


def quantized_latent_network() -> onnx.ModelProto:
    """The same kind of map, in int8."""
    graph = Graph(3)
    z = graph.quantize("z", 0.03, 128)
    hidden = graph.quantize(graph.gemm(z, (0.03, 128), 10, LATENT_DIM), 0.02, 90)
    pixels = graph.quantize(graph.gemm(hidden, (0.02, 90), 16, 10), 0.02, 60)
    return graph.model(graph.reshape(pixels, -1, 1, 4, 4), 4, 1)


def mapped_latents(form: str) -> onnx.ModelProto:
    """h = relu(A z + a), z' = z + B h, and a first layer in float32 as the exporter writes it."""
    graph = Graph(6)
    deep = 10
    if form == "float32":
        integers = graph.node("Round", graph.node("Mul", "z", graph.constant(256, np.float32)))
        steps = graph.constant(graph.rng.uniform(0.0005, 0.002, deep), np.float32)
        hidden = graph.node("Relu", graph.node("Mul", graph.integer_gemm(integers, deep, LATENT_DIM), steps))
        steps = graph.constant(graph.rng.uniform(0.0001, 0.0003, LATENT_DIM), np.float32)
        moved = graph.node("Mul", graph.integer_gemm(graph.node("Round", hidden), LATENT_DIM, deep), steps)
        mapped = graph.node("Add", "z", moved)
    else:

        def gemm(value: str, encoding: tuple[float, int], count: int, depth: int) -> str:
            layer = graph.gemm if form != "Conv" else functools.partial(graph.conv, size=1)
            return layer(value, encoding, count, depth)

        z = graph.quantize("z", 0.03, 128)
        if form == "Conv":
            z = graph.reshape(z, -1, LATENT_DIM, 1, 1)
        sums = graph.node("Relu", gemm(z, (0.03, 128), deep, LATENT_DIM))
        if form == "Add":
            hidden = graph.quantize(sums, 0.02)
            moved = graph.quantize(gemm(hidden, (0.02, 0), LATENT_DIM, deep), 0.01, 128)
            mapped = graph.node("Add", "z", graph.dequantize(moved, 0.01, 128))
        else:  # both at one step and zero point, so that one weight can take both
            hidden = graph.quantize(graph.dequantize(graph.quantize(sums, 0.02), 0.02), 0.03, 128)
            both = graph.node("Concat", z, hidden, axis=1)
            moved = graph.quantize(gemm(both, (0.03, 128), LATENT_DIM, LATENT_DIM + deep), 0.03, 128)
            if form == "Conv":
                moved = graph.reshape(moved, -1, LATENT_DIM)
            mapped = graph.dequantize(moved, 0.03, 128)
    integers = graph.node("Round", graph.node("Mul", mapped, graph.constant(256, np.float32)))
    steps = graph.constant(np.full(48, 2e-5), np.float32)
    floats = graph.node("Mul", graph.integer_gemm(integers, 48, LATENT_DIM), steps)
    return graph.model(graph.reshape(graph.quantize(floats, 0.02, 100), -1, 3, 4, 4), 4, 3)


def tables() -> onnx.ModelProto:
    """Functions of each number by itself, and a requantization."""
    graph = Graph(4)
    x = graph.quantize(graph.node("Tanh", graph.dequantize(start(graph, 3, 4), 0.01, 50)), 0.008, 127)
    y = graph.quantize(graph.node("Relu", graph.dequantize(x, 0.008, 127)), 0.004)
    doubled = graph.node("Mul", graph.dequantize(y, 0.004), graph.constant(1.5, np.float32))
    clipped = graph.node("Clip", doubled, graph.constant(0.1, np.float32), graph.constant(1.2, np.float32))
    return graph.model(graph.quantize(graph.node("Sub", clipped, graph.constant(0.1, np.float32)), 0.005), 4, 3)


def moves() -> onnx.ModelProto:
    """Channels that are shuffled, joined twice and split again before a Conv."""
    graph = Graph(5)
    x = start(graph, 4, 4)
    turned = graph.node("Transpose", graph.reshape(x, -1, 2, 2, 4, 4), perm=[0, 2, 1, 4, 3])
    shuffled = graph.reshape(turned, -1, 4, 4, 4)
    joined = graph.node("Concat", shuffled, x, shuffled, axis=1)
    return graph.model(graph.quantize(graph.conv(joined, (0.02, 0), 3, 12, 3), 0.03, 99), 4, 3)


GRAPHS = {
    "plain": plain,
    "bottleneck, joined by Conv": lambda: bottleneck("Conv"),
    "bottleneck, joined by Add": lambda: bottleneck("Add"),
    "latent network": latent_network,
    "quantized latent network": quantized_latent_network,
    "latents mapped in float32": lambda: mapped_latents("float32"),
    "latents mapped in int8, joined by Add": lambda: mapped_latents("Add"),
    "latents mapped in int8, joined by Concat": lambda: mapped_latents("Concat"),
    "latents mapped in int8, joined by Concat, by 1x1 Conv": lambda: mapped_latents("Conv"),
    "tables": tables,
    "moves": moves,
}
