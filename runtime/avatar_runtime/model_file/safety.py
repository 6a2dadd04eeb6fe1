"""A model file is checked before onnxruntime sees it: it must hold all that it is, and nothing that it does not need.

onnxruntime opens whatever path an ONNX file names for its weights, relative to the working directory when it is given
the file's bytes; only newer releases refuse paths that lead outside. A digest of the file would not cover them either.
onnx is not among the runtime's dependencies: this walks the few messages of onnx.proto that a model may have, and
`ort_format` those of an .ort.
"""

from collections.abc import Iterator

from avatar_runtime.errors import ModelFileError
from avatar_runtime.model_file.limits import GraphLimits, nested_graph
from avatar_runtime.model_file.ort_format import check_ort
from avatar_runtime.model_file.reading import is_ort

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE_INITIALIZER = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_SPARSE = (5, 10), (6, 11), (22, 23)
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 1, 8, 13, 14

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5


def check_graph(data: bytes) -> None:
    """Check the bytes of an ONNX or .ort file.

    Raises:
        ModelFileError: The file is malformed, keeps data in other files, claims more data than it has, or holds
            operators, nested graphs, functions or amounts that `limits` does not allow.
    """
    limits = GraphLimits()
    if is_ort(data):
        check_ort(data, limits)
        return
    graphs = 0
    for field, value in _fields(memoryview(data)):
        if field in (_MODEL_TRAINING, _MODEL_FUNCTIONS):
            raise nested_graph()
        if field == _MODEL_GRAPH:
            graphs += 1
            _check_graph(_message(value), limits)
    if graphs != 1:
        raise ModelFileError("it is not an ONNX model: it holds no graph")


def _check_graph(content: memoryview, limits: GraphLimits) -> None:
    for field, value in _fields(content):
        if field == _GRAPH_SPARSE_INITIALIZER:
            raise _sparse()
        if field == _GRAPH_INITIALIZER:
            _check_tensor(_message(value), limits)
        elif field == _GRAPH_NODE:
            _check_node(_message(value), limits)


def _check_node(content: memoryview, limits: GraphLimits) -> None:
    operator = domain = ""
    for field, value in _fields(content):
        if field == _NODE_ATTRIBUTE:
            _check_attribute(_message(value), limits)
        elif field == _NODE_OPERATOR:
            operator = _text(value)
        elif field == _NODE_DOMAIN:
            domain = _text(value)
    limits.add_node(domain, operator)


def _check_attribute(content: memoryview, limits: GraphLimits) -> None:
    for field, value in _fields(content):
        if field in _ATTRIBUTE_GRAPHS:
            raise nested_graph()
        if field in _ATTRIBUTE_SPARSE:
            raise _sparse()
        if field in _ATTRIBUTE_TENSORS:
            _check_tensor(_message(value), limits)


def _check_tensor(content: memoryview, limits: GraphLimits) -> None:
    dims: list[int] = []
    name = ""
    for field, value in _fields(content):
        if field == _TENSOR_EXTERNAL_DATA or (field == _TENSOR_DATA_LOCATION and value):
            raise ModelFileError("it keeps weights in another file, which may be any file; only whole models are drawn")
        if field == _TENSOR_NAME:
            name = _text(value)
        if field == _TENSOR_DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
            if len(dims) > 8:
                raise ModelFileError("one of its tensors has more than 8 dimensions")
    limits.add_tensor(name, dims, len(content))


def _sparse() -> ModelFileError:
    return ModelFileError("it holds a sparse tensor, which no model of avatar-edge has")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ModelFileError("it is not an ONNX model, or is damaged")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)[:1000]).decode(errors="replace")


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
