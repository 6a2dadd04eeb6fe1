"""A TensorFlow.js model of a MobileNetV2 as ONNX, up to the features that its last layers would classify.

The graph takes uint8 [batch, height, width, 3] and gives float32 [batch, D]. Activations are named as Keras names its
layers, for others ask for them by these names.
"""

import base64
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_training.classifier.package import Array, Model
from avatar_training.errors import TrainingError

SIDE = 224
"""Images are resized to this side."""

_OPSET = 18
_IR_VERSION = 8
_NORM = {"g": "gamma", "be": "beta", "m": "moving_mean", "v": "moving_variance"}


def to_onnx(model: Model) -> onnx.ModelProto:
    """Convert a model. Raises TrainingError if a layer is of a kind that is not known here."""
    graph = _Graph()
    if "model_config" in model.topology:
        _convert_keras(graph, model.topology["model_config"]["config"]["layers"], model.weights)
    else:
        _convert_tensorflow(graph, model.topology["node"], model.weights)
    made = helper.make_graph(
        graph.nodes,
        "features",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["batch", "h", "w", 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", None])],
        graph.constants,
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


class _Graph:
    """Nodes and constants. The first nodes make `x0` of the images: [batch, 3, SIDE, SIDE] in [0, 1]."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.add("Transpose", ["images"], "nchw", perm=[0, 3, 1, 2])
        self.add("Cast", ["nchw"], "f", to=TensorProto.FLOAT)
        self.add("Mul", ["f", self.constant("k255", np.array([1 / 255], np.float32))], "unit")
        self.add("Shape", ["unit"], "shp")
        self.add("Slice", ["shp", self.constant("s0", np.array([0])), self.constant("s2", np.array([2]))], "nc")
        self.add("Concat", ["nc", self.constant("hw", np.array([SIDE, SIDE]))], "target", axis=0)
        self.add(
            "Resize",
            ["unit", "", "", "target"],
            "x0",
            mode="cubic",
            cubic_coeff_a=-0.5,
            coordinate_transformation_mode="half_pixel",
        )

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))

    def add_convolution(
        self, source: str, kernel: Array, output: str, padding: str, strides: list[int], bias: Array | None = None
    ) -> None:
        """Add a convolution, with its kernel [D, C / groups, H, W]."""
        inputs = [source, self.constant(f"{output}_w", np.ascontiguousarray(kernel))]
        if bias is not None:
            inputs.append(self.constant(f"{output}_b", bias))
        auto_pad = {"same": "SAME_UPPER", "valid": "VALID"}[padding]
        groups = len(kernel) if kernel.shape[1] == 1 else 1
        self.add("Conv", inputs, output, auto_pad=auto_pad, strides=strides, group=groups)

    def add_relu6(self, source: str, output: str) -> None:
        low, high = (np.array([bound], np.float32) for bound in (0, 6))
        self.add("Clip", [source, self.constant(f"{output}_lo", low), self.constant(f"{output}_hi", high)], output)


def _convert_keras(graph: _Graph, layers: list[dict[str, Any]], weights: dict[str, Array]) -> None:
    """Add Keras's layers, up to Flatten."""
    outputs: dict[str, str] = {}
    for layer in layers:
        has = layer["config"]
        name: str = has["name"]
        outputs[name] = name
        inputs = [outputs[source[0]] for node in layer["inbound_nodes"] for source in node]
        match layer["class_name"]:
            case "InputLayer":
                outputs[name] = "x0"
            case "ZeroPadding2D":
                (top, bottom), (left, right) = has["padding"]
                pads = graph.constant(f"{name}_p", np.array([0, 0, top, left, 0, 0, bottom, right]))
                graph.add("Pad", [*inputs, pads], name)
            case "Conv2D":
                kernel = weights[f"{name}/kernel"].transpose(3, 2, 0, 1)
                graph.add_convolution(inputs[0], kernel, name, has["padding"], has["strides"])
            case "DepthwiseConv2D":
                kernel = weights[f"{name}/depthwise_kernel"].transpose(2, 3, 0, 1)
                graph.add_convolution(inputs[0], kernel, name, has["padding"], has["strides"])
            case "BatchNormalization":
                norm = [graph.constant(f"{name}_{short}", weights[f"{name}/{long}"]) for short, long in _NORM.items()]
                graph.add("BatchNormalization", [*inputs, *norm], name, epsilon=has["epsilon"])
            case "ReLU" if has["max_value"] == 6:
                graph.add_relu6(inputs[0], name)
            case "Add":
                graph.add("Add", inputs, name)
            case "AveragePooling2D":
                graph.add(
                    "AveragePool", inputs, name, auto_pad="VALID", kernel_shape=has["pool_size"], strides=has["strides"]
                )
            case "Flatten":
                return graph.add("Flatten", inputs, "features")
            case kind:
                raise TrainingError(f"the classifier's layer {name} is a {kind}, which cannot be converted")
    raise TrainingError("the classifier has no Flatten after its features")


def _convert_tensorflow(graph: _Graph, nodes: list[dict[str, Any]], weights: dict[str, Array]) -> None:
    """Add the nodes of a frozen TensorFlow graph, whose batch norms are in its convolutions, up to Squeeze."""
    outputs: dict[str, str] = {}
    for node in nodes:
        kind, sources, has = node["op"], node.get("input", []), node.get("attr", {})
        name = _keras_name(node["name"])
        outputs[node["name"]] = name
        match kind:
            case "Const":
                pass
            case "Placeholder":
                outputs[node["name"]] = "x0"
            case "Mul" | "Sub":
                for source in sources:
                    if source in weights:
                        graph.constant(outputs[source], weights[source])
                graph.add(kind, [outputs[source] for source in sources], name)
            case "_FusedConv2D" | "FusedDepthwiseConv2dNative":
                order = (3, 2, 0, 1) if kind == "_FusedConv2D" else (2, 3, 0, 1)
                kernel, bias = weights[sources[1]].transpose(order), weights[sources[2]]
                padding = _text(has["padding"]["s"]).lower()
                strides = [int(stride) for stride in has["strides"]["list"]["i"][1:3]]
                is_activated = "Relu6" in map(_text, has["fused_ops"]["list"]["s"])
                convolved = name if is_activated else f"{name}_BN"
                graph.add_convolution(outputs[sources[0]], kernel, convolved, padding, strides, bias)
                outputs[node["name"]] = convolved
                if is_activated:
                    outputs[node["name"]] = f"{name}_relu"
                    graph.add_relu6(convolved, f"{name}_relu")
            case "AddV2":
                graph.add("Add", [outputs[source] for source in sources], name)
            case "AvgPool":
                side = [int(size) for size in has["ksize"]["list"]["i"][1:3]]
                graph.add("AveragePool", [outputs[sources[0]]], name, auto_pad="VALID", kernel_shape=side, strides=side)
            case "Squeeze":
                return graph.add("Flatten", [outputs[sources[0]]], "features")
            case _:
                raise TrainingError(f"the classifier's node {name} is a {kind}, which cannot be converted")
    raise TrainingError("the classifier has no Squeeze after its features")


def _keras_name(name: str) -> str:
    """What Keras calls a node: `block_6_expand` for …/predict/MobilenetV2/expanded_conv_6/expand/Relu6."""
    name = re.sub(r"^.*/predict/(MobilenetV2/)?", "", name)
    name = re.sub(r"^expanded_conv_(?=\d)", "block_", name)
    return re.sub(r"/(Relu6|BatchNorm/FusedBatchNormV3)$|(?<=/depthwise)/depthwise$", "", name).replace("/", "_")


def _text(code: str) -> str:
    return base64.b64decode(code).decode()
