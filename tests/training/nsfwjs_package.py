"""A tiny nsfwjs: a tarball with one network, once as Keras's layers and once as a TensorFlow graph."""

import base64
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from avatar_training.classifier.package import Package

Array = npt.NDArray[Any]

STEPS = (
    ("Conv", 3, 2, 4),
    ("block_1_depthwise", 3, 2, 0),
    ("block_1_project", 1, 1, 6),
    ("block_2_depthwise", 3, 1, 0),
    ("block_2_add", 0, 0, 0),
    ("block_3_expand", 1, 1, 8),
    ("block_3_depthwise", 3, 2, 0),
    ("block_6_depthwise", 3, 2, 0),
)
"""Name, side of the kernel, stride, and channels; 0 for one of each channel. The add takes the two before it."""

LINEAR = ("block_1_project", "block_2_depthwise")
"""Steps that no ReLU6 follows."""

NORM = {"gamma": (0.5, 1.5), "beta": (2, 4), "moving_mean": (-0.2, 0.2), "moving_variance": (0.1, 0.5)}
PREFIX = "StatefulPartitionedCall/sequential/predict/"


def output(name: str) -> str:
    """The tensor that a step makes in the end, as Keras names it."""
    return name if name.endswith("add") else f"{name}_BN" if name in LINEAR else f"{name}_relu"


class Weights:
    """Random weights in the manner of TensorFlow.js: bytes, scale and minimum."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(4)
        self.data, self.manifest, self.values = b"", list[dict[str, Any]](), dict[str, Array]()

    def add(self, name: str, shape: tuple[int, ...], low: float, high: float) -> None:
        levels: Array = self.rng.integers(0, 256, shape, np.uint8)
        scale = (high - low) / 255
        code = {"min": low, "scale": scale, "dtype": "uint8"}
        self.data += levels.tobytes()
        self.manifest.append({"name": name, "shape": list(shape), "dtype": "float32", "quantization": code})
        self.values[name] = levels.astype(np.float64) * scale + low


def keras() -> tuple[dict[str, Any], Weights]:
    """The network as Keras's layers. Strided convolutions have a layer of their own for the padding."""
    layers, weights, channels = list[dict[str, Any]](), Weights(), 3

    def layer(kind: str, name: str, inputs: list[str], **config: Any) -> str:
        nodes = [[[source, 0, 0, {}] for source in inputs]] if inputs else []
        layers.append({"class_name": kind, "config": {"name": name, **config}, "inbound_nodes": nodes})
        return name

    layer("InputLayer", "input_1", [], note="NOTE", sparse=False)
    made = ["input_1"]
    for name, side, stride, width in STEPS:
        if not side:
            made.append(layer("Add", name, made[-2:]))
            continue
        kind, kernel = ("Conv2D", "kernel") if width else ("DepthwiseConv2D", "depthwise_kernel")
        weights.add(f"{name}/{kernel}", (side, side, channels, width or 1), -0.5, 0.5)
        channels = width or channels
        source, padding = made[-1], "same"
        if stride == 2:
            source, padding = layer("ZeroPadding2D", f"{name}_pad", [source], padding=[[0, 1], [0, 1]]), "valid"
        layer(kind, name, [source], padding=padding, strides=[stride, stride])
        for norm, (low, high) in NORM.items():
            weights.add(f"{name}_BN/{norm}", (channels,), low, high)
        made.append(layer("BatchNormalization", f"{name}_BN", [name], epsilon=0.001))
        if name not in LINEAR:
            made.append(layer("ReLU", f"{name}_relu", made[-1:], max_value=6))
    layer("AveragePooling2D", "pooling", made[-1:], pool_size=[7, 7], strides=[7, 7])
    layer("Flatten", "flatten_1", ["pooling"])
    layer("Dense", "dense_1", ["flatten_1"], units=5)
    return {"model_config": {"class_name": "Model", "config": {"layers": layers}}}, weights


def tensorflow() -> tuple[dict[str, Any], Weights]:
    """The network as a graph whose batch norms are biases."""
    nodes, weights, channels = list[dict[str, Any]](), Weights(), 3

    def node(kind: str, name: str, inputs: list[str], **attributes: Any) -> str:
        nodes.append({"op": kind, "name": name, "input": inputs, "attr": attributes})
        return name

    def constant(name: str, shape: tuple[int, ...], low: float, high: float) -> str:
        weights.add(PREFIX + name, shape, low, high)
        return node("Const", PREFIX + name, [])

    def text(words: str) -> str:
        return base64.b64encode(words.encode()).decode()

    def numbers(*values: int) -> dict[str, Any]:
        return {"list": {"i": [str(value) for value in values]}}

    node("Placeholder", "input", [])
    doubled = node("Mul", f"{PREFIX}hub_input/Mul", [constant("hub_input/Mul/y", (), 2, 2), "input"])
    made = [node("Sub", f"{PREFIX}hub_input/Sub", [doubled, constant("hub_input/Sub/y", (), 1, 1)])]
    for name, side, stride, width in STEPS:
        path = "MobilenetV2/" + name.replace("_", "/").replace("block/", "expanded_conv_")
        if not side:
            made.append(node("AddV2", PREFIX + path, made[-2:]))
            continue
        kernel = constant(f"{path}/weights", (side, side, channels, width or 1), -0.5, 0.5)
        channels = width or channels
        bias = constant(f"{path}/bn_offset", (channels,), 1, 4)
        operations = [text("BiasAdd"), *([] if name in LINEAR else [text("Relu6")])]
        last = "/Relu6" if width and name not in LINEAR else "/BatchNorm/FusedBatchNormV3" if width else "/depthwise"
        made.append(
            node(
                "_FusedConv2D" if width else "FusedDepthwiseConv2dNative",
                PREFIX + path + last,
                [made[-1], kernel, bias],
                strides=numbers(1, stride, stride, 1),
                padding={"s": text("SAME")},
                fused_ops={"list": {"s": operations}},
            )
        )
    pooled = node("AvgPool", f"{PREFIX}MobilenetV2/Logits/AvgPool", made[-1:], ksize=numbers(1, 7, 7, 1))
    node("Squeeze", f"{PREFIX}feature_vector/SpatialSqueeze", [pooled])
    node("Softmax", "StatefulPartitionedCall/sequential/prediction/Softmax", [f"{PREFIX}feature_vector/SpatialSqueeze"])
    return {"node": nodes}, weights


def activations(x: Array, values: dict[str, Array]) -> dict[str, Array]:
    """What each step makes of images [N, H, W, 3] in [0, 1], channels last, as TensorFlow defines its operators."""
    is_keras = not any(name.startswith(PREFIX) for name in values)
    x = x if is_keras else 2 * x - 1
    made: dict[str, Array] = {}
    for name, side, stride, width in STEPS:
        if not side:
            x = made["block_1_project_BN"] + x
        else:
            path = PREFIX + "MobilenetV2/" + name.replace("_", "/").replace("block/", "expanded_conv_")
            keras_kernel = f"{name}/{'kernel' if width else 'depthwise_kernel'}"
            kernel = values[keras_kernel if is_keras else f"{path}/weights"]
            x = convolve(x, kernel, stride, depthwise=not width)
            if is_keras:
                gamma, beta, mean, variance = (values[f"{name}_BN/{norm}"] for norm in NORM)
                x = gamma * (x - mean) / np.sqrt(variance + 0.001) + beta
            else:
                x = x + values[f"{path}/bn_offset"]
            if name not in LINEAR:
                x = np.clip(x, 0, 6)
        made[output(name)] = x
    n, height, width, channels = x.shape
    pooled = x.reshape(n, height // 7, 7, width // 7, 7, channels).mean(axis=(2, 4))
    return {**made, "features": pooled.transpose(0, 3, 1, 2).reshape(n, -1)}


def convolve(x: Array, kernel: Array, stride: int, depthwise: bool) -> Array:
    """A convolution [N, H, W, C] with padding SAME: what is odd of it goes below and to the right."""
    side, out = len(kernel), -(-x.shape[1] // stride)
    missing = max((out - 1) * stride + side - x.shape[1], 0)
    before = (missing // 2, missing - missing // 2)
    padded = np.pad(x, ((0, 0), before, before, (0, 0)))
    total: Array = np.zeros(())
    for i in range(side):
        for j in range(side):
            seen = padded[:, i : i + stride * out : stride, j : j + stride * out : stride]
            total = total + (seen * kernel[i, j, :, 0] if depthwise else seen @ kernel[i, j])
    return total


def module(value: Any) -> bytes:
    """A value as browserify and terser write a module that exports it."""
    text = re.sub(r'"([A-Za-z_]\w*)":', r"\1:", json.dumps(value, separators=(",", ":")))
    text = text.replace("true", "!0").replace("false", "!1")
    text = re.sub(r"(?<=[:,\[-])0(?=\.\d)", "", text).replace("NOTE", r"{a:!0,b:.5,\"c:!1")
    before = '!function(e){"object"==typeof exports&&"undefined"!=typeof module?module.exports=e():window.model=e()}'
    before += "(function(){return function e(t,n,r){return n}({1:[function(e,t,n){t.exports="
    return f"{before}{text}}},{{}}]}},{{}},[1])(1)}});".encode()


def write_package(path: Path, url: str, small: tuple[dict[str, Any], Weights] | None = None) -> Package:
    """Write a tarball with both networks, the second's weights in two files."""
    with tarfile.open(path, "w:gz") as archive:
        for folder, shards, (topology, weights) in (
            ("mobilenet_v2", ["group1-shard1of1"], small or keras()),
            ("mobilenet_v2_mid", ["group1-shard1of2", "group1-shard2of2"], tensorflow()),
        ):
            manifest = [{"paths": shards, "weights": weights.manifest}]
            files = {"model": module({"modelTopology": topology, "weightsManifest": manifest})}
            part = -(-len(weights.data) // len(shards))
            for i, shard in enumerate(shards):
                files[shard] = module(base64.b64encode(weights.data[i * part : (i + 1) * part]).decode())
            for name, data in files.items():
                member = tarfile.TarInfo(f"package/dist/models/{folder}/{name}.min.js")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    data = path.read_bytes()
    return Package(f"{url}/nsfwjs/-/nsfwjs-0.0.1.tgz", len(data), hashlib.sha256(data).hexdigest())
