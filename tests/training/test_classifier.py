"""avatar-train classifier: the package's network as ONNX with Keras's names, or one sentence and no file."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from avatar_runtime.errors import DownloadError, OutputError
from avatar_training.classifier.classifier import make_classifier
from avatar_training.classifier.package import NSFWJS, Package
from avatar_training.errors import TrainingError
from avatar_training.metrics.features import FeatureNetwork
from avatar_training.steering.activations import ActivationNetwork
from file_server import FileServer

from .conftest import avatar_train, refused
from .nsfwjs_package import STEPS, activations, keras, output, tensorflow, write_package


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The files of the folder `tmp_path`/out and of the one for temporary files."""
    for name in ("out", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return lambda: [path.name for name in ("out", "temporary") for path in sorted((tmp_path / name).iterdir())]


@pytest.fixture
def package(tmp_path: Path, file_server: FileServer, left: Any, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.delenv("AVATAR_EDGE_MODEL_URL", raising=False)
    package = write_package(tmp_path / "package.tgz", file_server.url)
    file_server.data = (tmp_path / "package.tgz").read_bytes()
    return package


@pytest.mark.parametrize(("variant", "network"), [("small", keras), ("mid", tensorflow)])
def test_each_activation_is_what_the_packages_network_computes(
    tmp_path: Path, package: Package, left: Any, variant: str, network: Any
) -> None:
    out = tmp_path / "out/classifier.onnx"
    sha256 = make_classifier(out, variant, package=package)
    assert left() == ["classifier.onnx"]
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    names = [output(name) for name, *_ in STEPS]
    model.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    session = ort.InferenceSession(model.SerializeToString())
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    expected = activations(images / 255, network()[1].values)
    for name, found in zip(["features", *names], session.run(None, {"images": images}), strict=True):
        ordered = found.transpose(0, 2, 3, 1) if found.ndim == 4 else found
        np.testing.assert_allclose(ordered, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
        assert (expected[name].reshape(-1, expected[name].shape[-1]).std(axis=0) > 1e-3).mean() > 0.5, f"{name} is dead"
    assert FeatureNetwork(out).sha256 == sha256
    assert ActivationNetwork(out).tensors == ("block_3_depthwise_relu", "block_6_depthwise_relu")


def test_the_same_package_gives_the_same_bytes(tmp_path: Path, package: Package) -> None:
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    assert make_classifier(first, package=package) == make_classifier(second, package=package)
    assert first.read_bytes() == second.read_bytes()


def test_a_mirror_takes_the_place_of_the_registry(
    tmp_path: Path, package: Package, file_server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_classifier(tmp_path / "a.onnx", package=package)
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", f"{file_server.url}/mirror/")
    make_classifier(tmp_path / "a.onnx", package=package)
    assert file_server.paths == ["/nsfwjs/-/nsfwjs-0.0.1.tgz", "/mirror/nsfwjs-0.0.1.tgz"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data + b"\0", "sends more than"),
        (lambda data: data[:999] + bytes([data[999] ^ 1]) + data[1000:], "is another file"),
    ],
)
def test_a_damaged_or_lying_download_is_told_and_leaves_nothing(
    tmp_path: Path,
    package: Package,
    file_server: FileServer,
    left: Any,
    damage: Callable[[bytes], bytes],
    message: str,
) -> None:
    file_server.data = damage(file_server.data)
    out = tmp_path / "out/classifier.onnx"
    with pytest.raises(DownloadError, match=message):
        make_classifier(out, package=package)
    assert left() == []
    out.write_bytes(b"an older one")
    with pytest.raises(DownloadError, match=message):
        make_classifier(out, package=package)
    assert (left(), out.read_bytes()) == (["classifier.onnx"], b"an older one")


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, package: Package, left: Any) -> None:
    def interrupted(received: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_classifier(tmp_path / "out/classifier.onnx", package=package, on_received=interrupted)
    assert left() == []


def test_a_place_that_cannot_be_written_is_told_before_anything_is_fetched(
    tmp_path: Path, package: Package, file_server: FileServer
) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        make_classifier(tmp_path / "missing/classifier.onnx", package=package)
    assert file_server.requests == []


def test_a_layer_that_is_not_known_is_refused_by_name(tmp_path: Path, file_server: FileServer, left: Any) -> None:
    topology, weights = keras()
    topology["model_config"]["config"]["layers"][3]["class_name"] = "LayerNormalization"
    package = write_package(tmp_path / "package.tgz", file_server.url, (topology, weights))
    file_server.data = (tmp_path / "package.tgz").read_bytes()
    with pytest.raises(TrainingError, match="layer Conv_BN is a LayerNormalization"):
        make_classifier(tmp_path / "out/classifier.onnx", package=package)
    assert left() == []


def test_the_command_takes_nothing_but_the_pinned_package(
    tmp_path: Path, package: Package, file_server: FileServer, left: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_EDGE_MODEL_URL", file_server.url)
    name = NSFWJS.url.rpartition("/")[2]
    result = avatar_train("classifier", "--out", tmp_path / "out/classifier.onnx")
    refused(result, f"{file_server.url}/{name} is another file")
    assert (result.stdout, left()) == ("", [])
    assert name in avatar_train("classifier", "--help").stdout
