"""The passes of fp16 and int8: a refusal for each precondition."""

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
from rewriting import Change, assert_refused, fed, float_graph, generous, read_twice
from tiny_model import model_of


def quantized(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    return quantize_layers(model, generous(model, 8.0))


def _node(graph: onnx.GraphProto, kind: str, place: int = 0) -> onnx.NodeProto:
    node: onnx.NodeProto = [node for node in graph.node if node.op_type == kind][place]
    return node


def _last(graph: onnx.GraphProto, kind: str) -> onnx.NodeProto:
    return _node(graph, kind, -1)


def _attribute(kind: str, **attributes: Any) -> Change:
    made = [helper.make_attribute(key, value) for key, value in attributes.items()]
    return lambda graph: _node(graph, kind).attribute.extend(made)


def _another_operator(graph: onnx.GraphProto) -> None:
    _node(graph, "Tanh").op_type = "Erf"


QUANTIZATION: dict[str, Change] = {
    "1-weight-may-be-fed": lambda graph: fed(_node(graph, "Conv").input[1])(graph),
    "1-bias-may-be-fed": lambda graph: fed(_node(graph, "Gemm").input[2])(graph),
    "1-another-operator": _another_operator,
    "2-alpha": _attribute("Gemm", alpha=0.5),
    "2-beta": _attribute("Gemm", beta=2.0),
    "3-read-twice": lambda graph: read_twice(_node(graph, "Conv").output[0], "Relu")(graph),
}


@pytest.mark.parametrize("case", QUANTIZATION)
def test_quantization_refuses(case: str) -> None:
    model = float_graph(ngf=8)
    ranges = generous(model, 8.0)
    assert_refused(lambda model: quantize_layers(model, ranges), model, QUANTIZATION[case])


@pytest.mark.parametrize("missing", range(5))
def test_quantization_refuses_what_it_has_no_range_of(missing: int) -> None:
    model = float_graph(ngf=8)
    ranges = dict(generous(model, 8.0))
    del ranges[list(ranges)[missing]]
    assert quantize_layers(model, ranges) == (model, False)


@pytest.mark.parametrize("value", [np.inf, -7e4, np.nan])
def test_half_storage_leaves_what_half_precision_cannot_hold(value: float) -> None:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    model = model_of([helper.make_node("Add", ["x", "c"], ["y"])], x, [y], {"c": np.array([1, value], np.float32)})
    assert store_weights_in_fp16(model) == (model, False)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones(2, np.float32), "c"))
    assert store_weights_in_fp16(model)[1]
    fed("c")(model.graph)
    assert store_weights_in_fp16(model) == (model, False)


def test_the_sigmoid_head_refuses_a_float_network_and_another_output() -> None:
    model = float_graph()
    assert fuse_tanh_and_pixels(model) == (model, False)
    pixels, _ = append_uint8_head(quantized(model)[0], (-1.0, 1.0))
    assert fuse_tanh_and_pixels(pixels) == (pixels, False)


def _rename(end: str) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        graph.output[0].name = _node(graph, "Tanh").output[0] = end

    return change


def _weight(graph: onnx.GraphProto) -> onnx.NodeProto:
    """What gives the last convolution its weight."""
    weight = _last(graph, "Conv").input[1]
    node: onnx.NodeProto = next(node for node in graph.node if node.output[0] == weight)
    return node


HALVES: dict[str, Change] = {
    "1-another-output": _rename("picture"),
    "2-another-function": _another_operator,
    "2-read-twice": lambda graph: read_twice(_last(graph, "Conv").output[0], "Relu")(graph),
    "2-step-may-be-fed": lambda graph: fed(_last(graph, "QuantizeLinear").input[1])(graph),
    "2-something-between": lambda graph: setattr(_last(graph, "Transpose"), "op_type", "Relu"),
    "3-weight-may-be-fed": lambda graph: fed(_weight(graph).input[0])(graph),
    "3-weight-is-computed": lambda graph: setattr(_weight(graph), "op_type", "Cast"),
}


@pytest.mark.parametrize("case", HALVES)
def test_the_halves_are_refused(case: str) -> None:
    assert_refused(split_output_into_halves, quantized(float_graph())[0], HALVES[case])


def test_the_halves_refuse_a_last_layer_that_is_float() -> None:
    model = float_graph()
    assert split_output_into_halves(model) == (model, False)
    new, _ = quantize_layers(model, generous(model, 8.0), layer_inputs(model.graph))
    assert split_output_into_halves(new) == (new, False)
    assert fuse_tanh_and_pixels(new)[1]
