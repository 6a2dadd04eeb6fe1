"""A tiny classifier in the manner of MobileNetV2, made with onnx alone, and a critic of its activations."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, helper

from avatar_training.steering.critic import Critic, Validation
from tiny_model import model_of

ACTIVATIONS = ("early", "late")
"""[N, 6, S / 2, S / 2] and [N, 8, S / 4, S / 4]."""

WIDEST = {"eighth": 16, "sixteenth": 24}
"""The widest activations of stride 8 and 16, and their channels."""


def write_classifier(path: Path, last: str = "Relu", seed: int = 5) -> Path:
    """A network of uint8 [N, H, W, 3] that scales, pads and convolves as MobileNetV2 does; `last` makes `late`."""
    rng = np.random.default_rng(seed)
    constants: dict[str, npt.NDArray[Any]] = {
        "scale": np.array(1 / 255, np.float32),
        "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
    }
    nodes = []

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def convolution(source: str, output: str, shape: tuple[int, ...], **attributes: Any) -> None:
        constants[f"{output}_w"] = rng.normal(0, 1, shape).astype(np.float32)
        node("Conv", [source, f"{output}_w"], f"{output}_conv", **attributes)
        norm = {"gamma": (1, 0.2), "beta": (0.5, 0.5), "mean": (0, 1)}
        for name, (mean, sigma) in norm.items():
            constants[f"{output}_{name}"] = rng.normal(mean, sigma, shape[0]).astype(np.float32)
        constants[f"{output}_variance"] = rng.uniform(1, 9, shape[0]).astype(np.float32)
        inputs = [f"{output}_{name}" for name in (*norm, "variance")]
        node("BatchNormalization", [f"{output}_conv", *inputs], output, epsilon=0.001)

    node("Transpose", ["images"], "ordered", perm=[0, 3, 1, 2])
    node("Cast", ["ordered"], "levels", to=TensorProto.FLOAT)
    node("Mul", ["levels", "scale"], "entry")
    node("Pad", ["entry", "pads"], "padded")
    convolution("padded", "first", (4, 3, 3, 3), strides=[2, 2], auto_pad="VALID")
    node("Clip", ["first", "zero", "six"], "first_relu")
    convolution("first_relu", "expanded", (6, 4, 1, 1))
    node("Clip", ["expanded", "zero", "six"], "early")
    convolution("early", "deep", (6, 1, 3, 3), group=6, auto_pad="SAME_UPPER", strides=[2, 2])
    node("Relu", ["deep"], "deep_relu")
    convolution("deep_relu", "projected", (8, 6, 1, 1), auto_pad="SAME_UPPER")
    node("Conv", ["projected", "biased_w", "biased_b"], "biased", pads=[1, 1, 1, 1])
    node("Add", ["projected", "biased"], "sum")
    node(last, ["sum"], "late")
    source, before = "late", 8
    for output, width in WIDEST.items():
        convolution(source, f"{output}_norm", (width, before, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
        node("Relu", [f"{output}_norm"], output)
        source, before = output, width
    node("GlobalAveragePool", [source], "pooled")
    node("Flatten", ["pooled"], "features")
    constants["biased_w"] = rng.normal(0, 0.3, (8, 8, 3, 3)).astype(np.float32)
    constants["biased_b"] = rng.normal(0, 1, 8).astype(np.float32)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("features", *ACTIVATIONS)]
    path.write_bytes(model_of(nodes, images, outputs, constants, opset=18).SerializeToString())
    return path


def write_critic(path: Path, network: Path, seed: int = 0, **changes: Any) -> Path:
    """A critic that weighs the 14 activations of a network over a 4x4 grid at random."""
    critic = Critic(
        weights=np.random.default_rng(seed).normal(0, 0.1, 14 * 16).astype(np.float32),
        bias=0.25,
        tensors=ACTIVATIONS,
        network_sha256=hashlib.sha256(network.read_bytes()).hexdigest(),
        grades_sha256="",
        graders=("one",),
        validation=Validation(0.9, 0.8, 1.0, "grader"),
    )
    replace(critic, **changes).save(path)
    return path
