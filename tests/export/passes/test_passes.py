from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from avatar_export.formats.onnx_file import check_model
from avatar_export.passes.append_uint8_head import append_uint8_head
from avatar_export.passes.convert_to_sub_pixel_convolution import convert_to_sub_pixel_convolution
from avatar_export.passes.fix_batch_to_one import fix_batch_to_one
from avatar_export.passes.fold_batch_norm import fold_batch_norm
from avatar_export.passes.fold_latent_map import fold_latent_map
from avatar_export.passes.project_latent_to_gemm import project_latent_to_gemm
from avatar_export.passes.split_transposed_convolution import split_transposed_convolution
from avatar_runtime.imaging.arrays import from_network
from avatar_runtime.session import open_session
from rewriting import Change, Rewrite, assert_refused, fed, read_twice, rewritten
from tiny_model import model_of

FEW = settings(deadline=None, max_examples=20)


def pixels(model: onnx.ModelProto) -> tuple[onnx.ModelProto, bool]:
    return append_uint8_head(model, (-1.0, 1.0))


def graph_of(nodes: list[onnx.NodeProto], x: list[Any], y: list[Any], **constants: npt.NDArray[Any]) -> onnx.ModelProto:
    """A model from `x` to `image`."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("x", x), ("image", y))]
    return model_of(nodes, ends[0], ends[1:], constants)


def normal(seed: int, *shape: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def normed(
    seed: int = 0, wide: int = 4, narrow: int = 4, kernel: int = 3, bias: bool = True, **conv: Any
) -> onnx.ModelProto:
    """ConvTranspose -> BatchNormalization -> Relu."""
    constants = {"weight": normal(seed, wide, narrow, kernel, kernel)}
    constants |= {"bias": normal(seed, narrow)} if bias else {}
    norm = {key: normal(seed + i, narrow) for i, key in enumerate(("scale", "shift", "mean"))}
    norm["variance"] = np.abs(normal(seed + 3, narrow)) + np.float32(0.1)
    nodes = [
        helper.make_node("ConvTranspose", ["x", *constants], ["conv_out"], "conv", **conv),
        helper.make_node("BatchNormalization", ["conv_out", *norm], ["norm_out"], "norm", epsilon=1e-3),
        helper.make_node("Relu", ["norm_out"], ["image"], "relu"),
    ]
    return graph_of(nodes, ["batch", wide, 3, 2], ["batch", None, None, None], **constants, **norm)


def projected(
    seed: int = 0, latent_dim: int = 4, maps: int = 6, bias: bool = True, kernel: int = 4, **conv: Any
) -> onnx.ModelProto:
    """Reshape to a pixel -> ConvTranspose -> Relu."""
    constants = {"weight": normal(seed, latent_dim, maps, kernel, kernel)}
    constants |= {"bias": normal(seed, maps)} if bias else {}
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["pixel"], "reshape"),
        helper.make_node("ConvTranspose", ["pixel", *constants], ["conv_out"], "conv", **conv),
        helper.make_node("Relu", ["conv_out"], ["image"], "relu"),
    ]
    shape = np.array([-1, latent_dim, 1, 1], np.int64)
    return graph_of(nodes, ["batch", latent_dim], ["batch", None, None, None], shape=shape, **constants)


def doubled(
    seed: int = 0, wide: int = 4, narrow: int = 3, bias: bool = True, rows: int = 3, columns: int = 2, **conv: Any
) -> onnx.ModelProto:
    """ConvTranspose of stride 2 -> Relu."""
    constants = {"weight": normal(seed, wide, narrow, 4, 4)}
    constants |= {"bias": normal(seed, narrow)} if bias else {}
    geometry = {"strides": [2, 2], "pads": [1] * 4, **conv}
    nodes = [
        helper.make_node("ConvTranspose", ["x", *constants], ["conv_out"], "conv", **geometry),
        helper.make_node("Relu", ["conv_out"], ["image"], "relu"),
    ]
    return graph_of(nodes, ["batch", wide, rows, columns], ["batch", None, None, None], **constants)


def two_gemms(
    seed: int = 0,
    sizes: tuple[int, int, int] = (4, 3, 5),
    turned: tuple[bool, bool] = (True, False),
    biased: tuple[bool, bool] = (True, True),
) -> onnx.ModelProto:
    """Gemm -> Gemm, each with its matrix transposed or not, and with a bias or not."""
    nodes, constants = [], {}
    for i, (wide, narrow, name) in enumerate(zip(sizes, sizes[1:], ("first", "second"), strict=False)):
        constants[f"{name}_matrix"] = normal(seed + i, *((narrow, wide) if turned[i] else (wide, narrow)))
        inputs = [("x", "first_out")[i], f"{name}_matrix"]
        if biased[i]:
            constants[f"{name}_bias"] = normal(seed + 2 + i, narrow)
            inputs.append(f"{name}_bias")
        nodes.append(helper.make_node("Gemm", inputs, [("first_out", "image")[i]], name, transB=int(turned[i])))
    return graph_of(nodes, ["batch", sizes[0]], ["batch", sizes[2]], **constants)


def identity(*shape: int) -> onnx.ModelProto:
    return graph_of([helper.make_node("Identity", ["x"], ["image"], "identity")], ["batch", *shape], ["batch", *shape])


def assert_equal(model: onnx.ModelProto, new: onnx.ModelProto) -> None:
    """To the reference, both compute the same from the same random numbers."""
    x = normal(0, *(dim.dim_value or 3 for dim in new.graph.input[0].type.tensor_type.shape.dim))
    drawn, expected = (np.asarray(ReferenceEvaluator(each).run(None, {"x": x})) for each in (new, model))
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


SEED, BIAS, FOUR = st.integers(0, 99), st.booleans(), st.integers(1, 4)
doubled_at_random = given(seed=SEED, wide=FOUR, narrow=st.integers(1, 6), bias=BIAS, rows=FOUR, columns=FOUR)


@FEW
@given(
    stride=st.integers(1, 2), padding=st.integers(0, 1),
    seed=SEED, wide=FOUR, narrow=FOUR, kernel=st.integers(2, 4), bias=BIAS,
)  # fmt: skip
def test_folding_keeps_the_numbers(stride: int, padding: int, **sizes: Any) -> None:
    model = normed(**sizes, strides=[stride] * 2, pads=[padding] * 4)
    new = rewritten(fold_batch_norm, model)
    assert kinds(new) == ["ConvTranspose", "Relu"]
    assert len(new.graph.initializer) == 2
    assert_equal(model, new)


@FEW
@given(seed=SEED, sizes=st.tuples(FOUR, FOUR, FOUR), turned=st.tuples(BIAS, BIAS), biased=st.tuples(BIAS, BIAS))
def test_two_gemms_become_one(**gemms: Any) -> None:
    model = two_gemms(**gemms)
    new = rewritten(fold_latent_map, model)
    assert kinds(new) == ["Gemm"]
    assert_equal(model, new)


@FEW
@given(stride=st.integers(1, 3), seed=SEED, latent_dim=FOUR, maps=FOUR, bias=BIAS, kernel=FOUR)
def test_projection_keeps_the_numbers(stride: int, **sizes: Any) -> None:
    model = projected(**sizes, strides=[stride] * 2)
    new = rewritten(project_latent_to_gemm, model)
    assert kinds(new) == ["Gemm", "Reshape", "Relu"]
    assert_equal(model, new)


@FEW
@doubled_at_random
def test_sub_pixel_keeps_the_numbers(**sizes: Any) -> None:
    model = doubled(**sizes)
    new = rewritten(convert_to_sub_pixel_convolution, model)
    assert kinds(new) == ["Conv", "DepthToSpace", "Slice", "Relu"]
    assert_equal(model, new)


@FEW
@doubled_at_random
def test_phases_keep_the_numbers(**sizes: Any) -> None:
    model = doubled(**sizes)
    new = rewritten(split_transposed_convolution, model)
    convolutions = 1 if sizes["narrow"] <= 4 else 4  # up to 4 channels the phases are one
    assert kinds(new).count("Conv") == kinds(new).count("Relu") == convolutions
    assert not {"ConvTranspose", "DepthToSpace"} & set(kinds(new))
    assert_equal(model, new)


def test_a_relu_that_is_not_alone_stays_behind_the_phases() -> None:
    model = doubled(narrow=5)
    read_twice("conv_out")(model.graph)
    new = rewritten(split_transposed_convolution, model)
    assert kinds(new)[-2:] == ["Relu", "Neg"]
    assert_equal(model, new)


def test_batch_of_one_keeps_the_numbers() -> None:
    model = doubled()
    new = rewritten(fix_batch_to_one, model)
    assert new.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert_equal(model, new)


def _node(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    node: onnx.NodeProto = next(node for node in graph.node if node.name == name)
    return node


def _set(name: str, **attributes: Any) -> Change:
    return lambda graph: _node(graph, name).attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())


def _drop(name: str, *attributes: str) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        node = _node(graph, name)
        kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
        del node.attribute[:]
        node.attribute.extend(kept)

    return change


def _replace(name: str, **attributes: Any) -> Change:
    return _together(_drop(name, *attributes), _set(name, **attributes))


def _batch(end: str, size: int | str | None) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        value = getattr(graph, end)[0]
        shape = [dim.dim_value or dim.dim_param or None for dim in value.type.tensor_type.shape.dim]
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, [size, *shape[1:]]))

    return change


def _initializer(name: str, array: npt.NDArray[Any]) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return change


def _computed(name: str, user: str) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        inputs = _node(graph, user).input
        inputs[list(inputs).index(name)] = "computed"
        graph.node.insert(0, helper.make_node("Identity", [name], ["computed"]))

    return change


def _shown(value: str, rank: int = 4) -> Change:
    return lambda graph: graph.output.append(helper.make_tensor_value_info(value, TensorProto.FLOAT, [None] * rank))


def _together(*changes: Change) -> Change:
    return lambda graph: [change(graph) for change in changes]


def _rectified(graph: onnx.GraphProto) -> None:
    graph.node.insert(1, helper.make_node("Relu", ["conv_out"], ["rectified"]))
    _node(graph, "norm").input[0] = "rectified"


def _input(*shape: int | str) -> Change:
    return lambda graph: graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))


def _output(name: str, dtype: int, *shape: int) -> Change:
    def change(graph: onnx.GraphProto) -> None:
        graph.input[0].CopyFrom(helper.make_tensor_value_info("x", dtype, ["batch", *shape]))
        graph.output[0].CopyFrom(helper.make_tensor_value_info(name, dtype, ["batch", *shape]))
        graph.node[0].output[0] = name

    return change


FOLDING = {
    "1-groups": _together(_set("conv", group=2), _initializer("weight", normal(0, 4, 2, 3, 3))),
    "1-weight-may-be-fed": fed("weight"),
    "1-weight-is-computed": _computed("weight", "conv"),
    "1-bias-is-computed": _computed("bias", "conv"),
    "2-second-consumer": read_twice("conv_out"),
    "2-graph-output": _shown("conv_out"),
    "2-another-node-between": _rectified,
    "3-training": _together(
        _set("norm", training_mode=1),
        lambda graph: _node(graph, "norm").output.extend(["running_mean", "running_variance"]),
    ),
    **{f"3-{name}-may-be-fed": fed(name) for name in ("scale", "shift", "mean", "variance")},
    "3-scale-is-computed": _computed("scale", "norm"),
}
PROJECTION = {
    "1-shape-may-be-fed": fed("shape"),
    "1-another-shape": _initializer("shape", np.array([0, 4, 1, 1])),
    "1-four-pixels": _together(
        _initializer("shape", np.array([-1, 1, 2, 2])), _initializer("weight", normal(0, 1, 6, 4, 4))
    ),
    "1-not-an-input": _computed("x", "reshape"),
    "1-not-rank-2": _input("batch", 2, 2),
    "2-second-consumer": read_twice("pixel"),
    "2-graph-output": _shown("pixel"),
    "2-groups": _together(_set("conv", group=2), _initializer("weight", normal(0, 4, 3, 4, 4))),
    "2-weight-may-be-fed": fed("weight"),
    "2-bias-is-computed": _computed("bias", "conv"),
    "3-padding": _set("conv", pads=[1, 0, 0, 0]),
    "3-output-padding": _set("conv", strides=[2, 2], output_padding=[1, 0]),
    "3-dilation": _set("conv", dilations=[1, 2]),
    "3-output-shape": _set("conv", strides=[4, 4], output_shape=[4, 4]),
    "3-auto-pad": _set("conv", strides=[2, 2], auto_pad="SAME_UPPER"),
}
SUB_PIXEL = {
    "1-kernel": _initializer("weight", normal(0, 4, 3, 3, 3)),
    "1-stride": _replace("conv", strides=[1, 1]),
    "1-padding": _replace("conv", pads=[0, 0, 0, 0]),
    "1-uneven-padding": _replace("conv", pads=[1, 1, 0, 0]),
    "2-groups": _together(
        _set("conv", group=2), _initializer("weight", normal(0, 4, 3, 4, 4)), _initializer("bias", normal(0, 6))
    ),
    "2-dilation": _set("conv", dilations=[1, 2]),
    "2-output-padding": _set("conv", output_padding=[1, 0]),
    "2-output-shape": _set("conv", output_shape=[6, 4]),
    "2-auto-pad": _together(_drop("conv", "pads"), _set("conv", auto_pad="SAME_UPPER")),
    "3-weight-may-be-fed": fed("weight"),
    "3-weight-is-computed": _computed("weight", "conv"),
    "3-bias-is-computed": _computed("bias", "conv"),
}
TWO_GEMMS = {
    "1-first-is-shown": _shown("first_out", rank=2),
    "1-matrix-may-be-fed": fed("second_matrix"),
    "1-bias-is-computed": _computed("first_bias", "first"),
    "2-alpha": _set("first", alpha=2.0),
    "2-beta": _set("second", beta=0.5),
}
PHASES = SUB_PIXEL | {"4-height-is-not-known": _input("batch", 4, "height", 2)}
BATCH = {
    "1-already-fixed": _batch("input", 2),
    "1-another-name": _batch("output", "images"),
    "1-no-name": _batch("input", None),
}
HEAD = {
    "1-another-name": _output("picture", TensorProto.FLOAT, 3, 4, 4),
    "1-another-type": _output("image", TensorProto.DOUBLE, 3, 4, 4),
    "1-another-rank": _output("image", TensorProto.FLOAT, 4, 4),
    "1-two-outputs": _shown("x"),
}


REFUSALS: list[tuple[Rewrite, Callable[[], onnx.ModelProto], dict[str, Change]]] = [
    (fold_batch_norm, normed, FOLDING),
    (project_latent_to_gemm, projected, PROJECTION),
    (convert_to_sub_pixel_convolution, doubled, SUB_PIXEL),
    (split_transposed_convolution, doubled, PHASES),
    (fix_batch_to_one, doubled, BATCH),
    (fold_latent_map, two_gemms, TWO_GEMMS),
    (pixels, lambda: identity(3, 4, 4), HEAD),
]


@pytest.mark.parametrize(
    ("rewrite", "suitable", "change"),
    [
        pytest.param(rewrite, suitable, change, id=f"{rewrite.__name__}-{case}")
        for rewrite, suitable, changes in REFUSALS
        for case, change in changes.items()
    ],
)
def test_a_pass_refuses(rewrite: Rewrite, suitable: Callable[[], onnx.ModelProto], change: Change) -> None:
    model = suitable()
    model.graph.initializer.append(numpy_helper.from_array(normal(0, 1), "unused"))
    assert_refused(rewrite, model, change)
    check_model(model)


def _levels(x: npt.NDArray[np.float32], pixel_range: tuple[float, float]) -> None:
    model = rewritten(lambda model: append_uint8_head(model, pixel_range), identity(*x.shape[1:]))
    images = open_session(check_model(model)).run(None, {"x": x})[0]
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, from_network(x, pixel_range))


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0)])
def test_head_rounds_halves_as_the_runtime_does(low: float, high: float) -> None:
    halves = (low + (np.arange(-2, 258) + 0.5) * (high - low) / 255).astype(np.float32)
    around = [np.nextafter(halves, np.float32(side)) for side in (-np.inf, np.inf)]
    scaled = (halves - np.float32(low)) * np.float32(255 / (high - low))
    assert {0.5, 1.5} <= set(np.remainder(scaled, 2))  # true halves, above even levels and above odd ones
    outside = np.array([-1e30, -np.inf, np.inf, 1e30, -1.001, 1.001], np.float32)
    _levels(np.concatenate([halves, *around, outside]).reshape(2, 3, -1, 1), (low, high))


@FEW
@given(
    seed=st.integers(0, 99),
    channels=st.sampled_from([1, 3]),
    pixel_range=st.sampled_from([(-1.0, 1.0), (0.0, 1.0)]),
)
def test_head_gives_the_runtimes_pixels(seed: int, channels: int, pixel_range: tuple[float, float]) -> None:
    _levels(normal(seed, 2, channels, 5, 4), pixel_range)
