"""A classifier amid MindSpore's graph: read from its file, its activations, and the gradient through it."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mindspore
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from mindspore import Tensor, nn, ops

from avatar_runtime.imaging.arrays import UInt8
from avatar_training.networks.feature_network import FeatureNetworkError, read_network
from avatar_training.networks.frozen_features import FrozenFeatures, MindSporeLayers, OnnxruntimeLayers
from avatar_training.networks.frozen_graph import Add, Clip, Convolution, FrozenNetwork
from avatar_training.steering.activations import ActivationNetwork, ActivationsError

from ..classifier import ACTIVATIONS, write_classifier

Array = npt.NDArray[np.float32]

pytestmark = pytest.mark.usefixtures("on_cpu")

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)


def activations(classifier: Path, images: UInt8) -> list[Array]:
    return list(ort.InferenceSession(classifier).run(list(ACTIVATIONS), {"images": images}))


def entered(images: UInt8) -> Tensor:
    """What the classifier's first convolution gets of images: its own scale is 0 to 1."""
    return Tensor((images.astype(np.float32) / 255).transpose(0, 3, 1, 2))


def test_activations_are_those_of_onnxruntime(classifier: Path) -> None:
    found = FrozenFeatures(classifier, ACTIVATIONS)(entered(IMAGES))
    for mine, theirs in zip(found, activations(classifier, IMAGES), strict=True):
        np.testing.assert_allclose(mine.asnumpy(), theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())


def test_a_grey_image_stands_for_three_equal_channels(classifier: Path) -> None:
    grey = np.repeat(IMAGES[..., :1], 3, axis=3)
    mine = FrozenFeatures(classifier, ACTIVATIONS, grey=True)(entered(grey)[:, :1])
    np.testing.assert_allclose(mine[1].asnumpy(), activations(classifier, grey)[1], rtol=1e-3, atol=1e-3)


def convolution(shape: tuple[int, ...], strides: tuple[int, int], pads: tuple[int, int, int, int] | None,
                groups: int = 1) -> Convolution:  # fmt: skip
    rng = np.random.default_rng(shape)
    weight, bias = (rng.normal(0, 0.5, size).astype(np.float32) for size in (shape, shape[:1]))
    return Convolution(weight, bias, strides, pads, groups)


EVERY_KIND = FrozenNetwork(
    layers=(
        convolution((6, 3, 3, 3), (2, 2), None),
        Clip(0.0, 6.0),
        convolution((12, 2, 3, 3), (1, 1), (1, 1, 1, 1), groups=3),
        Clip(-1.0, np.inf),
        convolution((6, 12, 1, 1), (1, 1), (0, 0, 0, 0)),
        Add(),
        convolution((6, 1, 3, 2), (3, 2), (0, 1, 2, 0), groups=6),
        Clip(-np.inf, np.inf),
        convolution((4, 6, 1, 1), (1, 1), (1, 0, 0, 1)),
    ),
    sources=((0,), (1,), (2,), (3,), (4,), (2, 5), (6,), (7,), (8,)),
    outputs=(6, 9, 2),
)


def gradient(layers: nn.Cell, images: Array) -> Array:
    """That of the sum of the activations' squares, as a compiled step finds it."""

    def squares(x: Tensor) -> Tensor:
        total = ops.zeros((), mindspore.float32)
        for activation in layers(x):
            total += (activation * activation).sum()
        return total

    return np.asarray(mindspore.jit(mindspore.grad(squares))(Tensor(images)).asnumpy())


@pytest.mark.parametrize("side", [16, 19])
@pytest.mark.parametrize("outputs", [(6, 9, 2), (9,)])
def test_onnxruntime_and_mindspore_find_the_same_activations_and_gradients(side: int, outputs: tuple[int, ...]) -> None:
    some = FrozenNetwork(EVERY_KIND.layers, EVERY_KIND.sources, outputs)
    images = np.random.default_rng(side).normal(size=(5, 3, side, side + 2)).astype(np.float32)
    mine, theirs = OnnxruntimeLayers(some), MindSporeLayers(some)
    for one, other in zip(mine(Tensor(images)), theirs(Tensor(images)), strict=True):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gradient(mine, images), gradient(theirs, images), rtol=1e-3, atol=1e-3)


def test_gradients_through_a_classifier_are_those_of_mindspore(classifier: Path) -> None:
    layers = read_network(classifier, ACTIVATIONS)
    images = entered(IMAGES).asnumpy()
    expected = gradient(MindSporeLayers(layers), images)
    found = gradient(FrozenFeatures(classifier, ACTIVATIONS), images)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("last", "names", "said"),
    [
        ("Sigmoid", ("late",), r"operator Sigmoid \('late'\)"),
        ("Relu", ("early", "nose"), "computes no nose"),
        ("Relu", ("entry",), "no convolution before entry"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, last: str, names: tuple[str, ...], said: str) -> None:
    path = write_classifier(tmp_path / "classifier.onnx", last)
    with pytest.raises(FeatureNetworkError, match=said):
        FrozenFeatures(path, names)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "classifier.onnx"
    with pytest.raises(FeatureNetworkError, match="cannot use"):
        FrozenFeatures(path, ACTIVATIONS)
    path.write_bytes(b"not a protobuf")
    with pytest.raises(FeatureNetworkError, match="not an ONNX model"):
        FrozenFeatures(path, ACTIVATIONS)


def cut_weights(model: onnx.ModelProto) -> None:
    model.graph.initializer[-1].raw_data = b"1"


def feed_a_pad_itself(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "Pad").input[0] = "padded"


def take_inputs_away(model: onnx.ModelProto) -> None:
    del next(node for node in model.graph.node if node.op_type == "Conv").input[:]


def make_variances_negative(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_variance"):
            tensor.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(tensor), tensor.name))


@pytest.mark.parametrize("damage", [cut_weights, feed_a_pad_itself, take_inputs_away, make_variances_negative])
def test_a_damaged_classifier_is_a_sentence(tmp_path: Path, damage: Callable[[onnx.ModelProto], None]) -> None:
    path = write_classifier(tmp_path / "classifier.onnx")
    model = onnx.load(path)
    damage(model)
    onnx.save(model, path)
    with pytest.raises(FeatureNetworkError) as refusal:
        FrozenFeatures(path, ACTIVATIONS)
    assert "\n" not in str(refusal.value)
    with suppress(ActivationsError):
        ActivationNetwork(path)
