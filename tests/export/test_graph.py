import numpy as np
import numpy.typing as npt
import onnx
import pytest

from avatar_export.formats.onnx_file import ModelCheckError, check_model
from avatar_export.graph import plain_graph
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_runtime.session import open_session, run
from tiny_model import build_model, tiny_weights

Float64 = npt.NDArray[np.float64]


def transposed_convolution(x: Float64, weight: Float64, stride: int, padding: int) -> Float64:
    """V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", section 4: every pixel stamps the
    kernel. x [N, in, H, W], weight [in, out, 4, 4]."""
    n, _, height, width = x.shape
    out = np.zeros((n, weight.shape[1], (height - 1) * stride + 4, (width - 1) * stride + 4))
    for i in range(height):
        for j in range(width):
            stamp = np.einsum("nc,cmkl->nmkl", x[:, :, i, j], weight)
            out[:, :, i * stride : i * stride + 4, j * stride : j * stride + 4] += stamp
    return out[:, :, padding : out.shape[2] - padding, padding : out.shape[3] - padding]


def numpy_generator(weights: GeneratorWeights, z: npt.NDArray[np.float32]) -> Float64:
    """[N, latent_dim] -> [N, C, H, W], in double precision."""
    if weights.latent_map is not None:
        z = z @ weights.latent_map.weight.T + weights.latent_map.bias
    x = z.astype(np.float64)[..., None, None]
    for i, layer in enumerate(weights.layers):
        stride, padding = (1, 0) if i == 0 else (2, 1)
        x = transposed_convolution(x, layer.weight.astype(np.float64), stride, padding)
        if layer.norm is not None:
            norm = (layer.norm.gamma, layer.norm.beta, layer.norm.mean, layer.norm.variance)
            gamma, beta, mean, variance = (a.astype(np.float64)[:, None, None] for a in norm)
            x = np.maximum(gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta, 0)
    return np.tanh(x)


def normal(count: int, latent_dim: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(count).standard_normal((count, latent_dim), np.float32)


ARCHITECTURES = [(32, 8, 3, 100), (32, 5, 1, 7), (64, 2, 3, 33), (128, 1, 1, 16)]


@pytest.mark.parametrize(("image_size", "ngf", "channels", "latent_dim"), ARCHITECTURES)
def test_the_graph_is_the_network_plain_and_rewritten(
    image_size: int, ngf: int, channels: int, latent_dim: int
) -> None:
    weights = tiny_weights(image_size, ngf, channels, latent_dim)
    z = normal(3, latent_dim)
    expected = numpy_generator(weights, z)
    assert np.ptp(expected) > 0.5  # a flat picture would prove nothing
    rewritten, applied = build_model(weights, "float32")
    for model in (plain_graph(weights), rewritten):
        images = run(open_session(check_model(model)), z)
        assert images.dtype == np.float32
        assert images.shape == (3, channels, image_size, image_size)
        np.testing.assert_allclose(images, expected, rtol=0, atol=1e-5)
    assert applied == ("fold_batch_norm", "project_latent_to_gemm", "split_transposed_convolution")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_latent_map_is_drawn_and_costs_nothing(precision: str) -> None:
    plain, mapped = tiny_weights(latent_dim=33), tiny_weights(latent_dim=33, latent_map=True)
    z = normal(3, 33)
    expected = numpy_generator(mapped, z)
    assert np.abs(expected - numpy_generator(plain, z)).max() > 0.5
    model, passes = build_model(mapped, "float32", precision)
    assert "fold_latent_map" in passes
    off = np.abs(run(open_session(check_model(model)), z) - expected)
    assert off.max() < {"fp32": 1e-5, "fp16": 0.02, "int8": 0.3}[precision]
    assert off.mean() < {"fp32": 1e-6, "fp16": 0.002, "int8": 0.03}[precision]
    unmapped, _ = build_model(plain, "float32", precision)
    assert [node.op_type for node in model.graph.node] == [node.op_type for node in unmapped.graph.node]


@pytest.mark.parametrize("output", ["float32", "uint8"])
@pytest.mark.parametrize("batch", [1, 3, 17])
def test_any_batch_gives_each_latent_the_same_image(output: str, batch: int) -> None:
    model, _ = build_model(tiny_weights(), output)
    session = open_session(check_model(model))
    z = normal(batch, 100)
    images = run(session, z)
    alone = np.concatenate([run(session, z[i : i + 1]) for i in range(batch)])
    assert images.shape == ((batch, 3, 32, 32) if output == "float32" else (batch, 32, 32, 3))
    np.testing.assert_allclose(images.astype(np.float64), alone, rtol=0, atol=1 if output == "uint8" else 1e-5)


def _shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("output", "name", "dtype", "shape"),
    [
        ("float32", "image", onnx.TensorProto.FLOAT, ["batch", 1, 64, 64]),
        ("uint8", "images", onnx.TensorProto.UINT8, ["batch", 64, 64, 1]),
    ],
)
def test_model_has_the_interface_that_runtimes_expect(
    output: str, name: str, dtype: int, shape: list[str | int]
) -> None:
    model, applied = build_model(tiny_weights(64, 2, 1, 33), output)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    (z,), (images,) = model.graph.input, model.graph.output
    assert (z.name, z.type.tensor_type.elem_type, _shape(z)) == ("z", onnx.TensorProto.FLOAT, ["batch", 33])
    assert (images.name, images.type.tensor_type.elem_type, _shape(images)) == (name, dtype, shape)
    kinds = [node.op_type for node in model.graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds[0] == "Gemm"
    assert ("append_uint8_head" in applied) == (output == "uint8")


def test_a_graph_that_onnx_refuses_is_an_error() -> None:
    model = plain_graph(tiny_weights())
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    with pytest.raises(ModelCheckError, match=r"onnx\.checker"):
        check_model(model)
