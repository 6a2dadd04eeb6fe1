"""The precisions: what is in their graphs, their tolerances, and which one auto takes."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from avatar_export.formats.onnx_file import check_model
from avatar_export.int8.calibration import activation_ranges, sensitive_layers
from avatar_export.int8.quantize_layers import layer_inputs
from avatar_export.pipeline import build_graph
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation import speed
from avatar_export.validation.parity import compare
from avatar_export.validation.tolerances import TOLERANCES, tolerance_of
from avatar_export.variants import PRECISIONS, Variant
from avatar_runtime import InputError
from avatar_runtime.latents import latents
from avatar_runtime.session import open_session, run
from tiny_model import build_model, plain_network, tiny_weights

ARCHITECTURES = [(32, 8, 3, 100), (64, 4, 1, 33), (128, 2, 3, 16)]


@pytest.fixture(scope="module")
def weights() -> GeneratorWeights:
    return tiny_weights(ngf=16)


@pytest.fixture(scope="module")
def int8_model(weights: GeneratorWeights) -> onnx.ModelProto:
    """The int8 graph of the weights; nobody changes it."""
    return build_model(weights, "uint8", "int8")[0]


def of_type(model: onnx.ModelProto, kind: int) -> int:
    """Bytes of the constants of a type."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer if tensor.data_type == kind)


@pytest.mark.parametrize("output", ["uint8", "float32"])
@pytest.mark.parametrize("pixel_range", [(-1.0, 1.0), (0.0, 1.0)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_each_precision_is_as_near_as_its_tolerance_wants(
    precision: str, pixel_range: tuple[float, float], output: str
) -> None:
    weights = replace(tiny_weights(ngf=16), pixel_range=pixel_range)
    model, _ = build_model(weights, output, precision)
    # Random weights know no faces: their int8 reaches 38 dB, not 45.
    limits = {"max_levels": 40.0, "mean_levels": 3.0, "psnr": 36.0} if precision == "int8" else {}
    network = partial(run, open_session(check_model(model)))
    report = compare(network, plain_network(weights), weights, output, tolerance_of(precision, limits))
    assert report.failures == []
    assert (report.max_difference > 0) or precision == "fp32"


@pytest.mark.parametrize(("image_size", "ngf", "channels", "latent_dim"), ARCHITECTURES)
def test_int8_computes_in_bytes_whatever_the_architecture(
    image_size: int, ngf: int, channels: int, latent_dim: int
) -> None:
    weights = tiny_weights(image_size, ngf, channels, latent_dim)
    model, applied = build_model(weights, "uint8", "int8")
    assert applied[-3:] == ("split_transposed_convolution", "quantize_int8", "split_output_into_halves")
    floats = sum(array.size for array in weights.arrays().values())
    assert of_type(model, TensorProto.INT8) >= 0.8 * floats  # one byte for each weight
    kinds = {node.op_type for node in model.graph.node}
    assert not {"ConvTranspose", "BatchNormalization", "Tanh", "Relu"} & kinds
    images = run(open_session(check_model(model)), latents(["alice"] * 3, latent_dim))
    assert images.shape == (3, image_size, image_size, channels)
    assert images.std() > 10
    np.testing.assert_array_equal(images[1:], images[:2])


@pytest.mark.parametrize("channels_last", [True, False])
def test_two_products_of_int8_fit_in_16_bits(int8_model: onnx.ModelProto, channels_last: bool) -> None:
    """So AVX2 without VNNI does not saturate: it adds those of neighbours in memory, two by two."""
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in int8_model.graph.initializer]
    kernels = [array.astype(int) for array in arrays if array.dtype == np.int8 and array.ndim == 4]
    kernels = [array for array in kernels if np.abs(array).max() > 1]  # the last only subtracts
    assert len(kernels) == 9  # four phases of two layers, and the halves
    for kernel in kernels:
        ordered = kernel.transpose(0, 2, 3, 1) if channels_last else kernel
        pairs = ordered.reshape(len(kernel), -1, 2)
        assert 255 * np.maximum(pairs, 0).sum(axis=2).max() <= 2**15 - 1
        assert 255 * np.minimum(pairs, 0).sum(axis=2).min() >= -(2**15)
        assert np.abs(pairs).max() > 64


@pytest.mark.parametrize("variant", [*(Variant(precision=p) for p in PRECISIONS), Variant(accelerator=True)], ids=str)
def test_a_bounded_generator_is_as_near_in_every_variant(variant: Variant) -> None:
    weights = tiny_weights(ngf=16, refined=True, bounded=True)
    plain, limits = plain_network(weights), {"max_levels": 20.0, "mean_levels": 2.0, "psnr": 40.0}
    stages = build_graph(weights, variant)
    kinds = [node.op_type for node in stages[-1][1].graph.node]
    assert "Relu" not in kinds
    assert ("Clip" in kinds) == (variant.precision != "int8")
    network = partial(run, open_session(check_model(stages[-1][1])))
    tolerance = tolerance_of(variant.precision, limits if variant.precision == "int8" else {})
    sizes = (1,) if variant.accelerator else (1, 7)
    report = compare(network, plain, weights, variant.output, tolerance, batch_sizes=sizes)
    assert report.failures == []
    assert not np.allclose(
        plain(latents(["a"], 100)), plain_network(replace(weights, bounded=False))(latents(["a"], 100))
    )


def test_fp16_is_half_the_size(weights: GeneratorWeights) -> None:
    whole, half = (build_model(weights, "uint8", precision)[0].ByteSize() for precision in ("fp32", "fp16"))
    assert half < 0.6 * whole


def test_a_layer_stays_float_where_that_is_worth_it(weights: GeneratorWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    folded = build_model(weights, "float32")[0]
    ranges = activation_ranges(folded)
    inputs = layer_inputs(folded.graph)
    assert set(inputs) < set(ranges)
    for worth, kept in ((-100.0, ["z"]), (100.0, [])):
        monkeypatch.setattr("avatar_export.int8.calibration.MIN_GAIN_DB", worth)
        assert sensitive_layers(folded, ranges, (-1.0, 1.0)) == kept


@pytest.mark.parametrize(
    ("limits", "failure"),
    [
        ({"max_levels": 0}, "more than 0"),
        ({"mean_levels": 0.0}, "on average"),
        ({"psnr": 200.0}, "PSNR"),
        ({"within_one_level": 1.0}, "within one level"),
    ],
)
def test_each_limit_of_a_tolerance_can_fail(
    weights: GeneratorWeights, int8_model: onnx.ModelProto, limits: Mapping[str, float], failure: str
) -> None:
    loose = {"max_levels": 255.0, "mean_levels": 255.0, "psnr": 0.0, "within_one_level": 0.0}
    network = partial(run, open_session(check_model(int8_model)))
    tolerance = tolerance_of("int8", {**loose, **limits})
    report = compare(network, plain_network(weights), weights, "uint8", tolerance, [64])
    assert not report.passed
    assert len(report.failures) == 1
    assert failure in report.failures[0]


@pytest.mark.parametrize(("name", "value"), [("psnr_db", 45.0), ("psnr", -1.0), ("mean_levels", float("nan"))])
def test_an_unknown_limit_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=r"max_levels, .*psnr"):
        tolerance_of("int8", {name: value})
    assert tolerance_of("int8", {"psnr": 46}).psnr == 46
    assert tolerance_of("int8", {}) == TOLERANCES["int8"]


@pytest.mark.parametrize(
    ("milliseconds", "best"),
    [((1.0, 2.0, 3.0), "int8"), ((3.0, 2.0, 1.0), "fp32"), ((1.04, 1.03, 1.0), "int8"), ((9.0, 1.03, 1.0), "fp16")],
)
def test_the_fastest_is_kept_and_the_smallest_of_equals(
    monkeypatch: pytest.MonkeyPatch, milliseconds: tuple[float, ...], best: str
) -> None:
    monkeypatch.setattr(speed, "latency", lambda *_: dict(zip(PRECISIONS, milliseconds, strict=True)))
    kept, reasons = speed.fastest(dict.fromkeys(PRECISIONS, np.copy), 4)
    assert kept == best
    assert set(reasons) == set(PRECISIONS) - {best}
    assert all(f"({best}: " in reason and "batch size 64" in reason for reason in reasons.values())


@pytest.mark.parametrize(
    ("form", "kind"), [({"format": "mindir"}, r"\.mindir"), ({"accelerator": True}, "accelerator")]
)
def test_forms_that_are_fp32_alone_say_so(form: Mapping[str, Any], kind: str) -> None:
    with pytest.raises(InputError, match=f"{kind}.* is fp32, not int8"):
        Variant(precision="int8", **form)
    with pytest.raises(InputError, match="precision must be one of"):
        Variant(precision="int4")
