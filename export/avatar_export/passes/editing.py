"""What the passes share: `graph_pass`, and functions that look up and replace parts of a graph."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeGuard

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from avatar_runtime.model_file.metadata import OUTPUT_NAMES

P = ParamSpec("P")


def graph_pass(
    edit: Callable[Concatenate[onnx.ModelProto, P], bool],
) -> Callable[Concatenate[onnx.ModelProto, P], tuple[onnx.ModelProto, bool]]:
    """Make a pass of a function that edits a model in place and returns whether it changed anything.

    The pass edits a copy, removes the constants that nothing reads any more, and returns the copy and True; or the
    model as it was, and False.
    """

    @wraps(edit)
    def rewrite(model: onnx.ModelProto, /, *args: P.args, **options: P.kwargs) -> tuple[onnx.ModelProto, bool]:
        new = copy_of(model)
        if not edit(new, *args, **options):
            return model, False
        _drop_unused_constants(new.graph)
        return new, True

    return rewrite


def copy_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that may be changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def constants(graph: onnx.GraphProto) -> dict[str, npt.NDArray[np.generic]]:
    """The initializers by name, without those that are also inputs and so can be overridden."""
    inputs = {value.name for value in graph.input}
    return {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name not in inputs}


def only_consumer(graph: onnx.GraphProto, value: str) -> onnx.NodeProto | None:
    """The one node that reads a value; None if none or several do, or if it is an output of the graph."""
    consumers = [node for node in graph.node for name in node.input if name == value]
    return consumers[0] if len(consumers) == 1 and value not in {output.name for output in graph.output} else None


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """The attributes of a node by name, as Python values."""
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def replace_nodes(graph: onnx.GraphProto, old: list[onnx.NodeProto], new: list[onnx.NodeProto]) -> None:
    """Replace the old nodes by new ones, at the place of the first old one."""
    nodes = list(graph.node)
    place = min(nodes.index(node) for node in old)
    kept = [node for node in nodes if node not in old]
    before = [node for node in nodes[:place] if node not in old]
    del graph.node[:]
    graph.node.extend([*before, *new, *kept[len(before) :]])


def add_constant(graph: onnx.GraphProto, name: str, array: npt.NDArray[np.generic]) -> str:
    """Add an initializer; returns its name."""
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    return name


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def image_shape(graph: onnx.GraphProto) -> tuple[int, int, int] | None:
    """Channels, height and width, if the graph's one output is `image`, float32 [batch, C, H, W]; else None."""
    if [output.name for output in graph.output] != [OUTPUT_NAMES["float32"]]:
        return None
    tensor = graph.output[0].type.tensor_type
    if tensor.elem_type != TensorProto.FLOAT or len(tensor.shape.dim) != 4:
        return None
    _, channels, height, width = (dim.dim_value for dim in tensor.shape.dim)
    return channels, height, width


def give_pixels(graph: onnx.GraphProto, shape: tuple[int, int, int]) -> None:
    """Make `images`, uint8 [batch, H, W, C], the graph's one output in place of an image of `image_shape`."""
    channels, height, width = shape
    pixels: list[str | int | None] = ["batch", height, width, channels]
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT_NAMES["uint8"], TensorProto.UINT8, pixels))


def is_rectifier(node: onnx.NodeProto | None) -> TypeGuard[onnx.NodeProto]:
    """Whether a node is a Relu, or a bounded generator's Clip from 0 to 1."""
    return node is not None and node.op_type in ("Relu", "Clip")


def is_convolution(
    node: onnx.NodeProto | None, known: Mapping[str, npt.NDArray[np.generic]], inputs: int
) -> TypeGuard[onnx.NodeProto]:
    """Whether a node is a Conv or ConvTranspose of one group with at least so many inputs, known but for the first."""
    return (
        node is not None
        and node.op_type in ("Conv", "ConvTranspose")
        and attributes(node).get("group", 1) == 1
        and len(node.input) >= inputs
        and all(name in known for name in node.input[1:])
    )


def is_doubling(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """Whether a node is the DCGAN's own ConvTranspose, which doubles height and width:

    1. Its kernel is 4x4, its stride 2 and its padding 1 on all sides.
    2. It has one group, no dilation, no output padding and no output_shape.
    3. Its weight (and bias, if any) are constants.
    """
    geometry = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    defaults = {"group": 1, "dilations": [1, 1], "output_padding": [0, 0], "auto_pad": b"NOTSET"}
    known = constants(graph)
    return (
        node.op_type == "ConvTranspose"
        and {"kernel_shape": [4, 4], **defaults, **attributes(node)} == defaults | geometry
        and all(name in known for name in node.input[1:])
        and known[node.input[1]].shape[2:] == (4, 4)
    )
