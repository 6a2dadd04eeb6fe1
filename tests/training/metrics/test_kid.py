"""KID and the network behind it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from avatar_runtime.errors import AvatarError
from avatar_training.metrics.features import FeatureNetwork, FeaturesError
from avatar_training.metrics.kid import kid
from tiny_model import model_of

from ..feature_network import write_feature_network


def faces(seed: int, count: int = 40, shift: float = 0.0, channels: int = 3, side: int = 32) -> Any:
    noise = np.random.default_rng(seed).normal(128 + shift, 40, (count, side, side, channels))
    return np.clip(noise, 0, 255).astype(np.uint8)


def distance_by_definition(x: Any, y: Any) -> float:
    """Equation 4 of the paper, one pair at a time."""

    def k(a: Any, b: Any) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def test_kid_is_the_papers_estimate() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(30, 7)).astype(np.float32), rng.normal(0.5, 1.2, size=(30, 7)).astype(np.float32)
    mean, deviation = kid(x, y)  # sets no larger than a subset: every subset is the whole set
    assert mean == pytest.approx(distance_by_definition(x.astype(np.float64), y.astype(np.float64)), rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-9)


def test_kid_grows_with_the_distance_and_is_near_zero_for_equals() -> None:
    rng = np.random.default_rng(4)
    real, same, near, far = (rng.normal(shift, 1, (520, 8)).astype(np.float32) for shift in (0, 0, 0.3, 1))
    assert abs(kid(real, same)[0]) < 0.01 < kid(real, near)[0] < kid(real, far)[0]
    assert kid(real, near)[1] > 0
    assert kid(real, near) == kid(real, near)


@pytest.mark.parametrize(
    ("shape", "element"),
    [
        (("n", "h", "w", 3), TensorProto.UINT8),
        (("n", 3, "h", "w"), TensorProto.UINT8),
        (("n", 3, 32, 32), TensorProto.FLOAT),
        ((7, "h", "w", 3), TensorProto.FLOAT),
        ((1, 3, 32, 32), TensorProto.UINT8),
    ],
)
def test_layouts_types_and_batch_sizes_give_the_same_features(tmp_path: Path, shape: Any, element: int) -> None:
    images = faces(0)
    expected = FeatureNetwork(write_feature_network(tmp_path / "plain.onnx"))(images)
    scale = 255.0 if element == TensorProto.FLOAT else 1.0  # float networks get levels / 255
    features = FeatureNetwork(write_feature_network(tmp_path / "other.onnx", shape, element, scale))(images)
    assert features.shape == (40, 48)
    np.testing.assert_allclose(features, expected, rtol=1e-5)


def test_images_are_resized_to_a_fixed_input_and_grey_becomes_rgb(tmp_path: Path) -> None:
    network = FeatureNetwork(write_feature_network(tmp_path / "f.onnx", ("n", 3, 48, 64)))
    grey = np.full((3, 32, 32, 1), 77, np.uint8)
    np.testing.assert_allclose(network(grey), 77, atol=1e-3)
    np.testing.assert_allclose(network(grey), network(np.repeat(grey, 3, axis=3)))


def constant_output(path: Path, shape: list[int]) -> None:
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, None)
    node = helper.make_node("Identity", ["zeros"], ["features"])
    onnx.save(model_of([node], images, [features], {"zeros": np.zeros(shape, np.float32)}, opset=18), path)


def test_what_is_no_feature_network_is_refused_in_a_sentence(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    constant_output(tmp_path / "map.onnx", [1, 8, 4, 4])
    constant_output(tmp_path / "short.onnx", [5, 8])
    write_feature_network(tmp_path / "half.onnx", element=TensorProto.FLOAT16)
    write_feature_network(tmp_path / "five.onnx", ("n", 5, "h", "w"))
    for path, message in [
        (tmp_path / "none.onnx", "cannot use the feature network"),
        (tmp_path, "cannot use the feature network"),
        (tmp_path / "text.onnx", "not an ONNX model"),
        (tmp_path / "map.onnx", r"gives \[1, 8, 4, 4\] for 1 images, not \[N, features\]"),
        (tmp_path / "short.onnx", r"gives \[5, 8\] for 1 images"),
        (tmp_path / "half.onnx", r"float16.* not \[N, 3, H, W\] or \[N, H, W, 3\] of uint8 or float"),
        (tmp_path / "five.onnx", "5, 'h', 'w'.* not"),
        (tiny_model, r"takes tensor\(float\) \['batch', 100\], not"),  # a generator, by mistake
    ]:
        with pytest.raises(FeaturesError, match=message) as refusal:
            FeatureNetwork(path)
        assert isinstance(refusal.value, AvatarError)
        assert "\n" not in str(refusal.value)
