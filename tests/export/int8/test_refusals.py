"""The passes of fp16 and int8: a refusal for each precondition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from avatar_export.int8.fuse_tanh_and_pixels import fuse_tanh_and_pixels
from avatar_export.int8.quantize_layers import layer_inputs, quantize_layers
from avatar_export.int8.split_output_into_halves import split_output_into_halves
from avatar_export.passes.append_uint8_head import append_uint8_head
from avatar_export.passes.store_weights_in_fp16 import store_weights_in_fp16
from rewriting import float_graph, generous


def quantized(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    return quantize_layers(model, generous(model, 8.0))


def _node(graph: onnx.GraphProto, kind: str) -> onnx.NodeProto:
    node: onnx.NodeProto = next(node for node in graph.node if node.op_type == kind)
    return node


def _fed(graph: onnx.GraphProto, name: str) -> None:
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    graph.input.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))


def _attribute(kind: str, **attributes: Any) -> Callable[[onnx.GraphProto], object]:
    made = [helper.make_attribute(key, value) for key, value in attributes.items()]
    return lambda graph: _node(graph, kind).attribute.extend(made)


def _another_operator(graph: onnx.GraphProto) -> None:
    tanh = _node(graph, "Tanh")
    tanh.op_type = "Erf"


QUANTIZATION: dict[str, Callable[[onnx.GraphProto], object]] = {
    "1-weight-may-be-fed": lambda graph: _fed(graph, _node(graph, "Conv").input[1]),
    "1-bias-may-be-fed": lambda graph: _fed(graph, _node(graph, "Gemm").input[2]),
    "1-another-operator": _another_operator,
    "2-alpha": _attribute("Gemm", alpha=0.5),
    "2-beta": _attribute("Gemm", beta=2.0),
    "3-read-twice": lambda graph: graph.node.append(
        helper.make_node("Relu", [_node(graph, "Conv").output[0]], ["again"], "again")
    ),
}


@pytest.mark.parametrize("case", QUANTIZATION)
def test_quantization_refuses(case: str) -> None:
    model = float_graph(ngf=8)
    ranges = generous(model, 8.0)
    assert quantize_layers(model, ranges)[1]
    QUANTIZATION[case](model.graph)
    new, changed = quantize_layers(model, ranges)
    assert not changed
    assert new == model


@pytest.mark.parametrize("missing", range(5))
def test_quantization_refuses_what_it_has_no_range_of(missing: int) -> None:
    model = float_graph(ngf=8)
    ranges = dict(generous(model, 8.0))
    del ranges[list(ranges)[missing]]
    assert quantize_layers(model, ranges) == (model, False)


@pytest.mark.parametrize("value", [np.inf, -7e4, np.nan])
def test_half_storage_leaves_what_half_precision_cannot_hold(value: float) -> None:
    array = np.array([1, value], np.float32)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(array, "c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    assert store_weights_in_fp16(model) == (model, False)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "c"))
    assert store_weights_in_fp16(model)[1]
    _fed(model.graph, "c")
    assert store_weights_in_fp16(model) == (model, False)


def test_the_sigmoid_head_refuses_a_float_network_and_another_output() -> None:
    model = float_graph()
    assert fuse_tanh_and_pixels(model) == (model, False)
    pixels, _ = append_uint8_head(quantized(model)[0], (-1.0, 1.0))
    assert fuse_tanh_and_pixels(pixels) == (pixels, False)


def _last(graph: onnx.GraphProto, kind: str) -> onnx.NodeProto:
    node: onnx.NodeProto = [node for node in graph.node if node.op_type == kind][-1]
    return node


def _rename(end: str) -> Callable[[onnx.GraphProto], object]:
    def change(graph: onnx.GraphProto) -> None:
        graph.output[0].name = _node(graph, "Tanh").output[0] = end

    return change


def _float_weight(graph: onnx.GraphProto) -> None:
    read = next(node for node in graph.node if node.output[0] == _last(graph, "Conv").input[1])
    read.op_type = "Cast"


HALVES: dict[str, Callable[[onnx.GraphProto], object]] = {
    "1-another-output": _rename("picture"),
    "2-another-function": _another_operator,
    "2-read-twice": lambda graph: graph.node.append(
        helper.make_node("Relu", [_last(graph, "Conv").output[0]], ["again"], "again")
    ),
    "2-step-may-be-fed": lambda graph: _fed(graph, _last(graph, "QuantizeLinear").input[1]),
    "2-something-between": lambda graph: setattr(_last(graph, "Transpose"), "op_type", "Relu"),
    "3-weight-may-be-fed": lambda graph: _fed(
        graph, next(n for n in graph.node if n.output[0] == _last(graph, "Conv").input[1]).input[0]
    ),
    "3-weight-is-computed": _float_weight,
}


@pytest.mark.parametrize("case", HALVES)
def test_the_halves_are_refused(case: str) -> None:
    model, _ = quantized(float_graph())
    assert split_output_into_halves(model)[1]
    HALVES[case](model.graph)
    assert split_output_into_halves(model) == (model, False)


def test_the_halves_refuse_a_last_layer_that_is_float() -> None:
    model = float_graph()
    assert split_output_into_halves(model) == (model, False)
    new, _ = quantize_layers(model, generous(model, 8.0), layer_inputs(model.graph))
    assert split_output_into_halves(new) == (new, False)
    assert fuse_tanh_and_pixels(new)[1]
