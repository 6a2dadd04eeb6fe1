"""A model file must hold all that it is: no data in other files, no claim to more data than it has.

onnxruntime opens whatever path an ONNX file names for its weights, relative to the working directory when it is given
the file's bytes; only newer releases refuse paths that lead outside. A digest of the file would not cover them either.
No exporter of ours writes such files, so they are refused before onnxruntime sees them. onnx is not among the runtime's
dependencies: this walks the few messages of onnx.proto that can hold a tensor.
"""

from collections.abc import Iterator

from avatar_runtime.errors import ModelFileError
from avatar_runtime.model_file.reading import is_ort

# Message -> field number -> the message in that field.
_FIELDS = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
}
_DIMS, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 8, 13, 14
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_self_contained(data: bytes) -> None:
    """Raise ModelFileError if an ONNX file keeps data in other files, claims more than it has, or is malformed."""
    if is_ort(data):  # no protobuf, and no data elsewhere
        return
    waiting = [("ModelProto", memoryview(data))]
    while waiting:
        message, content = waiting.pop()
        if message == "SparseTensorProto":
            raise ModelFileError("it holds a sparse tensor, which no model of avatar-edge has")
        if message == "TensorProto":
            _check_tensor(content)
            continue
        for field, value in _fields(content):
            if isinstance(value, memoryview) and field in _FIELDS[message]:
                waiting.append((_FIELDS[message][field], value))


def _check_tensor(content: memoryview) -> None:
    elements, name = 1, ""
    for field, value in _fields(content):
        if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and value):
            raise ModelFileError("it keeps weights in another file, which may be any file; only whole models are drawn")
        if field == _NAME and isinstance(value, memoryview):
            name = bytes(value).decode(errors="replace")
        if field == _DIMS:
            for dim in [value] if isinstance(value, int) else _packed(value):
                elements *= dim
    if elements > 2 * len(content):  # the smallest type has four bits
        raise ModelFileError(f"its tensor {name!r} claims {elements} numbers in {len(content)} bytes")


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of a protobuf message: number, and the value or the bytes."""
    position = 0
    while position < len(content):
        key, position = _varint(content, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(content, position)
            yield key >> 3, value
            continue
        if kind == _LENGTH:
            length, position = _varint(content, position)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            length = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ModelFileError("it is not an ONNX model, or is damaged")
        if position + length > len(content):
            raise ModelFileError("it is not an ONNX model, or is cut short")
        yield key >> 3, content[position : position + length]
        position += length


def _packed(content: memoryview) -> Iterator[int]:
    position = 0
    while position < len(content):
        value, position = _varint(content, position)
        yield value


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(content):
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ModelFileError("it is not an ONNX model, or is damaged")
