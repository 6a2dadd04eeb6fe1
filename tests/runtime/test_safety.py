"""A model file is refused before onnxruntime sees it if it is not whole, or not only a network."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from avatar_export.formats.ort_file import convert
from avatar_runtime import AvatarGenerator, ModelFileError
from avatar_runtime.model_file.safety import check_graph

Change = Callable[[onnx.ModelProto], object]


def weight(model: onnx.ModelProto) -> TensorProto:
    tensor: TensorProto = next(tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    return tensor


def outside(location: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = weight(model)
        Path("weights.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def nested(operator: str) -> Change:
    """Another graph inside a node, which a loop runs for ever."""

    def change(model: onnx.ModelProto) -> None:
        body = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "body", [], [])
        model.graph.node.append(helper.make_node(operator, ["z"], ["never"], body=body))

    return change


def function(model: onnx.ModelProto) -> None:
    """A function that calls itself twice over, forty deep."""
    for i in range(40):
        calls = [helper.make_node(f"F{i + 1}", ["x"], ["y"], domain="f") for _ in range(2)]
        model.functions.append(helper.make_function("f", f"F{i}", ["x"], ["y"], calls, [helper.make_opsetid("f", 1)]))


def foreign(operator: str, domain: str = "") -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(operator, ["z"], ["more"], domain=domain))

    return change


def many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend(helper.make_node("Relu", ["z"], [f"more{i}"]) for i in range(3000))


def claims(*dims: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        del weight(model).dims[:]
        weight(model).dims.extend(dims)

    return change


def sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(numpy_helper.to_array(weight(model))[:1], "values")
    indices = numpy_helper.from_array(numpy_helper.to_array(weight(model)).astype("int64")[:1], "indices")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2**40]))


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        *((outside(place), "another file") for place in ("weights.bin", "../weights.bin", "/etc/passwd", "")),
        *((nested(operator), "loop, a branch or a function") for operator in ("Loop", "Scan", "If", "Relu")),
        (function, "loop, a branch or a function"),
        *((foreign(operator), f"operator '{operator}'") for operator in ("Tile", "Expand", "RandomNormal", "Range")),
        (foreign("ConstantOfShape"), "which no model of avatar-edge needs"),
        (foreign("Relu", "evil"), "operator 'evil.Relu'"),
        (many_nodes, "more than 2048 nodes"),
        (claims(2**40), "claims 1099511627776 numbers"),
        (claims(2**31, 2**31), "claims"),
        (claims(-1), "claims"),
        (sparse, "sparse"),
    ],
)
def test_a_model_of_more_than_its_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path, change: Change, shown: str
) -> None:
    monkeypatch.chdir(tmp_path)
    model = onnx.load(tiny_model)
    change(model)
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match=shown):
        AvatarGenerator.load("x.onnx")


TWO_GRAPHS = b"\x3a\0" * 2


@pytest.mark.parametrize(
    "data", [b"\x0b\x0c", b"\x0a", b"\x0a\xff", b"\xff" * 12, b"\x0a\x05abc", b"\x09abc", TWO_GRAPHS]
)
def test_what_is_no_protobuf_or_not_one_graph_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="not an ONNX model"):
        check_graph(data)


def test_every_way_to_write_a_shape_is_read() -> None:
    packed = b"\x0a\x05" + b"\xff\xff\xff\xff\x0f"
    single = b"\x08\xff\xff\xff\xff\x0f"
    for dims in (packed, single):
        graph = b"\x2a" + bytes([len(dims)]) + dims
        with pytest.raises(ModelFileError, match="claims 4294967295 numbers"):
            check_graph(b"\x3a" + bytes([len(graph)]) + graph)


def test_an_ort_file_is_checked_as_an_onnx_file_is(tmp_path: Path, tiny_model: Path) -> None:
    data = convert(tiny_model.read_bytes())[0]
    check_graph(data)
    for old, new in ((b"Gemm", b"Loop"), (b"FusedConv", b"FusedGone"), (b"Transpose", b"ReverseIt")):
        assert old in data
        with pytest.raises(ModelFileError, match=f"uses the operator '.*{new.decode()}'"):
            check_graph(data.replace(old, new))
    for size in range(8, len(data), 97):
        with pytest.raises(ModelFileError):
            check_graph(data[:size] if size < 2000 else data[: len(data) - size])


PROGRAM = """
import sys
from avatar_runtime import AvatarError, AvatarGenerator, session

session.MAX_MEMORY = 2**26  # instead of 4 GiB
try:
    AvatarGenerator.load(sys.argv[1], threads=1).generate(1)
except AvatarError as err:
    print(err)
"""


@pytest.mark.parametrize("start", ["z", "w"], ids=["activations", "weights"])
def test_a_graph_that_doubles_stops_at_a_limit(tmp_path: Path, tiny_model: Path, start: str) -> None:
    model = onnx.load(tiny_model)
    gemm = next(node for node in model.graph.node if "z" in node.input)
    gemm.input[0] = "z2"
    doubling = [helper.make_node("Concat", [f"x{i}", f"x{i}"], [f"x{i + 1}"], axis=1) for i in range(40)]
    doubling[0].input[:] = [start, start]
    most = helper.make_node("ReduceMax", ["x40"], ["most"], axes=[1])
    for node in [helper.make_node("Add", ["most", "z"], ["z2"]), most, *reversed(doubling)]:
        model.graph.node.insert(0, node)
    model.graph.initializer.append(helper.make_tensor("w", TensorProto.FLOAT, [1, 100], [0.0] * 100))
    onnx.save(model, tmp_path / "x.onnx")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "x.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "the model needs more memory than is free, or than 4 GiB; draw fewer at a time\n"
    assert done.stderr == ""
