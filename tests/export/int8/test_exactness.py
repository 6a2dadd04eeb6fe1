"""What fp16, int8 and the whole pipeline compute, against onnx's own reference, on random architectures.

`pytest` tries a few small ones; `pytest -m slow tests/export/int8/test_exactness.py` tries many, up to 128x128.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from avatar_export.formats.onnx_file import check_model
from avatar_export.graph import plain_graph
from avatar_export.int8.calibration import conv_moments
from avatar_export.int8.fuse_tanh_and_pixels import fuse_tanh_and_pixels
from avatar_export.int8.quantize_layers import layer_inputs, quantize_layers
from avatar_export.int8.split_output_into_halves import split_output_into_halves
from avatar_export.passes.append_uint8_head import append_uint8_head
from avatar_export.passes.editing import copy_of
from avatar_export.passes.store_weights_in_fp16 import store_weights_in_fp16
from avatar_export.variants import PRECISIONS
from avatar_runtime.imaging.arrays import from_network
from avatar_runtime.latents import latents, series
from avatar_runtime.session import open_session, run
from rewriting import float_graph, generous, rewritten
from tiny_model import build_model, tiny_weights

Check = Callable[..., None]

STEP = 127.5 * 8 / 255
"""Of an activation with the ranges below, in levels, where tanh is steepest."""

MANY = 24
"""So many different levels average errors of rounding out; a latent of one number can give an image of one level."""

FEW = settings(deadline=None, phases=[Phase.generate])  # shrinking a failure would take minutes
amounts = pytest.mark.parametrize(
    ("examples", "sizes"), [(2, [32]), pytest.param(50, [32, 64, 128], marks=pytest.mark.slow)]
)


def on_random_architectures(check: Check, examples: int, sizes: list[int]) -> None:
    given(
        image_size=st.sampled_from(sizes),
        ngf=st.integers(1, 3),
        channels=st.sampled_from([1, 3]),
        latent_dim=st.integers(1, 40),
        seed=st.integers(0, 99),
    )(settings(FEW, max_examples=examples)(check))()


def quantized(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    return quantize_layers(model, generous(model, 4.0), layer_inputs(model.graph)[:1], conv_moments(model))


def with_exact_sums(model: onnx.ModelProto) -> onnx.ModelProto:
    """A quantized model whose last sums go to tanh as they are."""
    model = copy_of(model)
    *_, quantize = (node for node in model.graph.node if node.op_type == "QuantizeLinear")
    *_, dequantize = (node for node in model.graph.node if node.op_type == "DequantizeLinear")
    for node in (quantize, dequantize):
        node.op_type = "Identity"
        del node.input[1:]
    return model


def images(model: onnx.ModelProto) -> np.ndarray[Any, Any]:
    """What onnx's own reference makes of a model and one latent.

    It has DequantizeLinear from opset 19 on, which means the same for these numbers as our opset's.
    """
    newer = copy_of(model)
    newer.opset_import[0].version = 19
    (drawn,) = ReferenceEvaluator(newer).run(None, {"z": latent(model)})
    return np.asarray(drawn)


def latent(model: onnx.ModelProto) -> np.ndarray[Any, np.dtype[np.float32]]:
    return latents(list(series("test", 1)), model.graph.input[0].type.tensor_type.shape.dim[1].dim_value)


def off(drawn: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> Any:
    """Levels that pixels are off."""
    return np.abs(drawn.astype(int) - expected)


@amounts
def test_half_storage_is_the_rounded_weights(examples: int, sizes: list[int]) -> None:
    def check(**architecture: Any) -> None:
        model = float_graph(**architecture)
        new = rewritten(store_weights_in_fp16, model)
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype == np.float32:
                tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16).astype(np.float32), tensor.name))
        np.testing.assert_array_equal(images(new), images(model))

    on_random_architectures(check, examples, sizes)


@amounts
def test_quantization_is_rounding(examples: int, sizes: list[int]) -> None:
    def check(**architecture: Any) -> None:
        model = float_graph(**architecture)
        new = rewritten(quantized, model)
        difference = np.abs(images(new) - images(model))
        assert difference.mean() < 0.06  # of a range of 2
        assert difference.any() or np.ptp(images(model)) == 0  # a dead network draws one colour, exactly

    on_random_architectures(check, examples, sizes)


@amounts
def test_two_halves_are_one_table_with_half_the_step(examples: int, sizes: list[int]) -> None:
    def check(**architecture: Any) -> None:
        model, _ = quantized(float_graph(**architecture))
        whole, halves = (
            images(rewritten(fuse_tanh_and_pixels, model)),
            images(rewritten(split_output_into_halves, model)),
        )
        exact = images(append_uint8_head(with_exact_sums(model), (-1.0, 1.0))[0])
        assert off(whole, exact).max() <= STEP / 2 + 1
        assert off(halves, exact).max() <= STEP / 4 + 1
        assert off(halves, whole).max() <= STEP / 2 + STEP / 4 + 1
        if len(np.unique(whole)) >= MANY:
            assert abs(halves.mean() - whole.mean()) < 0.5
            assert len(np.unique(halves)) > len(np.unique(whole))
        plain = images(append_uint8_head(model, (-1.0, 1.0))[0])
        assert off(whole, plain).max() <= 1  # a half may round either way

    on_random_architectures(check, examples, sizes)


@amounts
@pytest.mark.parametrize("precision", PRECISIONS)
def test_onnxruntime_draws_what_the_standard_says_and_that_is_near_the_network(
    precision: str, examples: int, sizes: list[int]
) -> None:
    def check(**architecture: Any) -> None:
        weights = tiny_weights(**architecture)
        model, _ = build_model(weights, "uint8", precision)
        expected, drawn = images(model), run(open_session(check_model(model)), latent(model))
        assert drawn.shape == (1, weights.image_size, weights.image_size, weights.channels)
        assert off(drawn, expected).max() <= (STEP if precision == "int8" else 1)  # a step where it is a tie
        assert (drawn == expected).mean() > 0.99
        network = from_network(images(plain_graph(weights)), (-1.0, 1.0))
        assert off(drawn, network).mean() < (4 if precision == "int8" else 0.1)

    on_random_architectures(check, examples, sizes)
