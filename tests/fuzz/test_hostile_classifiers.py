"""Hostile ONNX classifiers for feature heads, rewards and steering, damaged in their fields: `pytest -m fuzz`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.mutations import FUZZ, assert_sentence
from training.classifier import ACTIVATIONS, write_classifier

pytest.importorskip("mindspore")

pytestmark = [pytest.mark.fuzz, pytest.mark.filterwarnings("ignore")]

NUMBERS = st.sampled_from([0, 1, -1, 3, 2**31, 2**40, 2**62])
KINDS = ["Conv", "Relu", "Clip", "Add", "Pad", "BatchNormalization", "Loop", "Constant"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    return onnx.load(write_classifier(tmp_path_factory.mktemp("classifier") / "sound.onnx"))


def damaged(draw: Callable[[st.SearchStrategy[Any]], Any], sound: onnx.ModelProto) -> bytes:
    """Tensors of other shapes, types and lengths; nodes of other kinds, inputs, attributes and order; other bytes."""
    model = onnx.ModelProto()
    model.CopyFrom(sound)
    graph = model.graph
    for _ in range(draw(st.integers(1, 3))):
        tensor, node = draw(st.sampled_from(list(graph.initializer))), draw(st.sampled_from(list(graph.node)))
        match draw(st.sampled_from(["shape", "type", "cut", "input", "no input", "attribute", "kind", "order"])):
            case "shape":
                tensor.dims[:] = draw(st.lists(NUMBERS, max_size=5))
            case "type":
                tensor.data_type = draw(st.integers(0, 24))
            case "cut":
                tensor.raw_data = tensor.raw_data[: draw(st.integers(0, 40))]
            case "input" if node.input:
                names = ["", "x", *(other.name for other in graph.initializer), *node.output]
                node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from(names))
            case "no input":
                del node.input[:]
            case "attribute" if node.attribute:
                attribute = draw(st.sampled_from(list(node.attribute)))
                attribute.ints[:] = draw(st.lists(NUMBERS, max_size=5))
                attribute.i = draw(NUMBERS)
            case "kind":
                node.op_type = draw(st.sampled_from(KINDS))
            case "order":
                graph.node.insert(draw(st.integers(0, len(graph.node))), node)
    data = bytearray(model.SerializeToString())
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        data[draw(st.integers(0, min(len(data), 3000) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


@FUZZ
@given(data=st.data())
def test_a_classifier_is_read_or_its_fault_named(
    tmp_path_factory: pytest.TempPathFactory, sound: onnx.ModelProto, data: st.DataObject
) -> None:
    from avatar_training.networks.feature_network import FeatureNetworkError
    from avatar_training.networks.frozen_features import FrozenFeatures
    from avatar_training.steering.activations import ActivationNetwork, ActivationsError

    path: Path = tmp_path_factory.getbasetemp() / "damaged.onnx"
    path.write_bytes(damaged(data.draw, sound))
    for read, error in ((FrozenFeatures, FeatureNetworkError), (ActivationNetwork, ActivationsError)):
        try:
            read(path, ACTIVATIONS)
        except error as err:
            assert_sentence(err)
