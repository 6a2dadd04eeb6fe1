"""Equalized channels: the same network, channels nearer to one another, and what is left alone."""

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from avatar_export.graph import plain_graph
from avatar_export.int8.calibration import channel_maxima
from avatar_export.int8.equalize_channels import equalize_channels
from avatar_export.passes.fold_batch_norm import fold_batch_norm
from avatar_runtime.latents import latents, series
from tiny_model import tiny_weights


def folded(seed: int = 0) -> onnx.ModelProto:
    return fold_batch_norm(plain_graph(tiny_weights(seed=seed)))[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_network_stays_and_its_channels_draw_nearer(seed: int) -> None:
    model = folded(seed)
    before, maxima = model.SerializeToString(), channel_maxima(model)
    new, changed = equalize_channels(model, maxima)
    assert changed
    assert model.SerializeToString() == before
    z = latents(list(series("test", 4)), model.graph.input[0].type.tensor_type.shape.dim[1].dim_value)
    drawn, expected = (ReferenceEvaluator(each).run(None, {"z": z}) for each in (new, model))
    np.testing.assert_allclose(np.asarray(drawn), np.asarray(expected), atol=1e-5)
    apart, nearer = (
        sum(np.ptp(np.log(np.maximum(found, 1e-3 * found.max()))) for found in each.values())
        for each in (maxima, channel_maxima(new))
    )
    assert nearer < apart


@pytest.mark.parametrize("missing", ["maxima", "a constant", "one reader", "a bias", "one group"])
def test_without_a_precondition_the_pair_stays_as_it_is(missing: str) -> None:
    model = folded()
    graph, maxima = model.graph, channel_maxima(model)
    convs = [node for node in graph.node if node.op_type == "ConvTranspose"]
    if missing == "maxima":
        maxima = {}
    for conv in convs:
        if missing == "a constant":
            graph.input.append(helper.make_tensor_value_info(conv.input[1], onnx.TensorProto.FLOAT, None))
        elif missing == "one reader":
            graph.output.append(helper.make_tensor_value_info(conv.output[0], onnx.TensorProto.FLOAT, None))
        elif missing == "a bias":
            del conv.input[2:]
        elif missing == "one group":
            conv.attribute.append(helper.make_attribute("group", 2))
    same, changed = equalize_channels(model, maxima)
    assert not changed
    assert same == model
