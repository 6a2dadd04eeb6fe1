"""What the tests of passes share: graphs to rewrite, changes to them, and what holds of every rewrite and refusal."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from avatar_export.formats.onnx_file import check_model
from avatar_export.int8.quantize_layers import Ranges, layer_inputs
from avatar_export.passes.editing import copy_of
from avatar_export.passes.project_latent_to_gemm import project_latent_to_gemm
from tiny_model import build_model, tiny_weights

Rewrite = Callable[[onnx.ModelProto], tuple[onnx.ModelProto, bool]]
Change = Callable[[onnx.GraphProto], object]


def float_graph(**architecture: Any) -> onnx.ModelProto:
    """A tiny generator before any precision."""
    return build_model(tiny_weights(**architecture), "float32")[0]


def generous(model: onnx.ModelProto, reach: float) -> Ranges:
    """Ranges from -reach to reach, without a calibration."""
    names = [*layer_inputs(model.graph), *(node.input[0] for node in model.graph.node if node.op_type == "Tanh")]
    return dict.fromkeys(names, (-reach, reach))


def mistaken(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    """`project_latent_to_gemm` with a mistake in it."""
    model = copy_of(project_latent_to_gemm(model)[0])
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "layer3.conv.weight")
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(0.01), tensor.name))
    return model, True


def fed(name: str) -> Change:
    """Make a constant an input, so that a caller may feed another."""

    def change(graph: onnx.GraphProto) -> None:
        tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
        graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))

    return change


def read_twice(value: str, kind: str = "Neg") -> Change:
    """Let another node read a tensor."""
    return lambda graph: graph.node.append(helper.make_node(kind, [value], ["again"], "again"))


def assert_refused(rewrite: Rewrite, model: onnx.ModelProto, change: Change) -> None:
    """A pass that rewrites a model leaves it alone once this is changed."""
    assert rewrite(model)[1]
    change(model.graph)
    new, changed = rewrite(model)
    assert not changed
    assert new == model


def rewritten(rewrite: Rewrite, model: onnx.ModelProto) -> onnx.ModelProto:
    """The model after a pass that changes it, once, and leaves its argument alone."""
    check_model(model)
    before = model.SerializeToString(deterministic=True)
    new, changed = rewrite(model)
    assert changed
    assert model.SerializeToString(deterministic=True) == before
    check_model(new)
    again, changed = rewrite(new)
    assert not changed
    assert again == new
    return new
