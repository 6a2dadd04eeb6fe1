from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from avatar_runtime import AvatarGenerator, ModelFileError
from avatar_runtime.model_file.safety import check_self_contained

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


def outside_in_a_subgraph(model: onnx.ModelProto) -> None:
    graph = onnx.GraphProto(name="inner")
    graph.initializer.add(data_type=TensorProto.FLOAT, dims=[1], name="inner").external_data.add(key="location")
    model.graph.node.append(helper.make_node("If", [], [], then_branch=graph))


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
        (outside_in_a_subgraph, "another file"),
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


@pytest.mark.parametrize("data", [b"\x0b\x0c", b"\x0a", b"\x0a\xff", b"\xff" * 12, b"\x0a\x05abc", b"\x09abc"])
def test_what_is_no_protobuf_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFileError, match="not an ONNX model"):
        check_self_contained(data)


def test_every_way_to_write_a_shape_is_read() -> None:
    packed = b"\x0a\x05" + b"\xff\xff\xff\xff\x0f"
    single = b"\x08\xff\xff\xff\xff\x0f"
    for dims in (packed, single):
        graph = b"\x2a" + bytes([len(dims)]) + dims
        with pytest.raises(ModelFileError, match="claims 4294967295 numbers"):
            check_self_contained(b"\x3a" + bytes([len(graph)]) + graph)
