"""Hostile metadata and graphs from strategies that know the formats: `pytest -m fuzz`."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from avatar_export.formats.ort_file import convert
from avatar_runtime import AvatarGenerator, ModelFileError, ModelSpec
from avatar_runtime.model_file.limits import MAX_NODES
from avatar_runtime.model_file.metadata import KEY
from avatar_runtime.model_file.safety import check_graph
from fuzz.mutations import FUZZ, assert_sentence

pytestmark = pytest.mark.fuzz

TEXTS = st.text(st.characters(), max_size=30) | st.sampled_from(["\ud800", "\0", "\x1b[2J", "</script>", "a" * 30_000])
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63), 10**400, True, 0, 1, 3, 64])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)
OPERATORS = ["Relu", "Conv", "Concat", "Reshape", "Loop", "If", "Scan", "Tile", "Expand", "RandomNormal", "F0", "Gemm"]


@pytest.fixture(scope="module")
def sound(tiny_model: Path) -> dict[str, Any]:
    return dict(json.loads(AvatarGenerator.load(tiny_model, threads=1).spec.to_metadata()[KEY]))


@FUZZ
@given(data=st.data())
def test_any_value_in_any_field_is_taken_or_refused(sound: dict[str, Any], data: st.DataObject) -> None:
    content = json.loads(json.dumps(sound))
    for _ in range(data.draw(st.integers(1, 3))):
        golden = content.get("golden")
        place = golden if isinstance(golden, dict) and data.draw(st.booleans()) else content
        if not place:
            break
        field = data.draw(st.sampled_from(sorted(place)))
        old = place[field]
        if isinstance(old, list) and old and data.draw(st.booleans()):
            old[data.draw(st.integers(0, len(old) - 1))] = data.draw(JSON)
        elif data.draw(st.booleans()):
            place[field] = data.draw(JSON)
        else:
            del place[field]
    try:
        spec = ModelSpec.from_metadata({KEY: json.dumps(content)})
    except ModelFileError as err:
        assert_sentence(err, "strict")
        return
    assert ModelSpec.from_metadata(spec.to_metadata()) == spec
    if spec.golden is not None:
        try:
            spec.golden.images()
        except ModelFileError as err:
            assert_sentence(err, "strict")


@st.composite
def graphs(draw: st.DrawFn, depth: int = 0) -> onnx.GraphProto:
    nodes = []
    for _ in range(draw(st.integers(0, 6))):
        node = helper.make_node(draw(st.sampled_from(OPERATORS)), ["z"], ["y"], domain=draw(st.sampled_from(["", "f"])))
        if draw(st.booleans()):
            node.domain = ""
        kind = draw(st.sampled_from(["none", "none", "none", "ints", "tensor", "graph", "graphs"]))
        if kind == "ints":
            node.attribute.append(helper.make_attribute("pads", draw(st.lists(st.integers(0, 2**62), min_size=1))))
        elif kind == "tensor":
            node.attribute.append(helper.make_attribute("value", draw(tensors())))
        elif kind.startswith("graph") and depth < 3:
            inner = draw(graphs(depth=depth + 1))
            node.attribute.append(helper.make_attribute("body", [inner] if kind == "graphs" else inner))
        nodes.append(node)
    graph = helper.make_graph(nodes, "g", [], [], draw(st.lists(tensors(), max_size=3)))
    if draw(st.integers(0, 9)) == 0:
        graph.node.extend(helper.make_node("Relu", ["z"], ["y"]) for _ in range(MAX_NODES + 1))
    return graph


@st.composite
def tensors(draw: st.DrawFn) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, raw_data=bytes(draw(st.integers(0, 64))))
    tensor.dims.extend(draw(st.lists(st.sampled_from([0, 1, 2, 4, 2**31, 2**62, -1]), max_size=10)))
    if draw(st.integers(0, 9)) == 0:
        tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


@FUZZ
@given(graph=graphs(), functions=st.integers(0, 9))
def test_a_graph_passes_only_if_it_is_a_plain_network(graph: onnx.GraphProto, functions: int) -> None:
    model = helper.make_model(graph)
    if functions == 0:
        model.functions.append(helper.make_function("f", "F0", [], [], [], [helper.make_opsetid("", 17)]))
    try:
        check_graph(model.SerializeToString())
    except ModelFileError as err:
        assert_sentence(err, "strict")
        return
    assert not model.functions
    assert len(graph.node) <= MAX_NODES
    for node in graph.node:
        assert (node.domain, node.op_type in ("Relu", "Conv", "Concat", "Reshape", "Gemm")) == ("", True)
        for attribute in node.attribute:
            assert not attribute.graphs
            assert not attribute.HasField("g")
    for tensor in graph.initializer:
        assert not tensor.external_data


@FUZZ
@given(data=st.data())
def test_a_damaged_ort_file_is_refused_or_read_to_its_end(ort_file: bytes, data: st.DataObject) -> None:
    damaged = bytearray(ort_file)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(damaged) - 8))
        size = data.draw(st.sampled_from([1, 2, 4, 8]))
        damaged[place : place + size] = data.draw(st.binary(min_size=size, max_size=size))
    try:
        check_graph(bytes(damaged[: data.draw(st.sampled_from([len(damaged), len(damaged) // 2, 40]))]))
    except ModelFileError as err:
        assert_sentence(err, "strict")


@pytest.fixture(scope="module")
def ort_file(tiny_model: Path) -> bytes:
    return convert(tiny_model.read_bytes())[0]
