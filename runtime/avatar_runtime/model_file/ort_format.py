"""The nodes and tensors of an .ort file, which is a flatbuffer: read as far as `limits` has to judge them.

The layout of the tables: onnxruntime/core/flatbuffers/schema/ort.fbs. The encoding: "FlatBuffers Internals",
https://flatbuffers.dev/internals/.
"""

import struct
from collections.abc import Iterator

from avatar_runtime.errors import ModelFileError
from avatar_runtime.model_file.limits import GraphLimits, nested_graph

# Fields of the tables in ort.fbs, in the order in which they are declared.
_SESSION_MODEL = 1
_MODEL_GRAPH = 7
_GRAPH_INITIALIZERS, _GRAPH_NODES, _GRAPH_SPARSE_INITIALIZERS = 0, 2, 7
_NODE_DOMAIN, _NODE_OPERATOR, _NODE_ATTRIBUTES = 2, 5, 10
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 6, 7, 11, 12
_TENSOR_NAME, _TENSOR_DIMS, _TENSOR_RAW_DATA, _TENSOR_STRINGS, _TENSOR_EXTERNAL_OFFSET = 0, 2, 4, 5, 6

_MAX_ATTRIBUTES = 64


def check_ort(data: bytes, limits: GraphLimits) -> None:
    """Count the nodes and tensors of an .ort file. Raises ModelFileError as `safety.check_graph` does."""
    try:
        root = _Table(data, _unsigned(data, 0))
        model = root.table(_SESSION_MODEL)
        graph = model and model.table(_MODEL_GRAPH)
        if graph is None:
            raise ModelFileError("it is not an .ort model: it holds no graph")
        _check_graph(graph, limits)
    except struct.error as err:  # an offset that leads out of the file
        raise ModelFileError("it is a damaged .ort model") from err


def _check_graph(graph: "_Table", limits: GraphLimits) -> None:
    if graph.length(_GRAPH_SPARSE_INITIALIZERS):
        raise ModelFileError("it holds a sparse tensor, which no model of avatar-edge has")
    limits.check_nodes(graph.length(_GRAPH_NODES))
    for tensor in graph.tables(_GRAPH_INITIALIZERS, most=len(graph.data) // 4):
        _check_tensor(tensor, limits)
    for node in graph.tables(_GRAPH_NODES, most=len(graph.data) // 4):
        limits.add_node(node.text(_NODE_DOMAIN), node.text(_NODE_OPERATOR))
        for attribute in node.tables(_NODE_ATTRIBUTES, most=_MAX_ATTRIBUTES):
            if attribute.table(_ATTRIBUTE_GRAPH) or attribute.length(_ATTRIBUTE_GRAPHS):
                raise nested_graph()
            single = attribute.table(_ATTRIBUTE_TENSOR)
            if single:
                _check_tensor(single, limits)
            for tensor in attribute.tables(_ATTRIBUTE_TENSORS, most=_MAX_ATTRIBUTES):
                _check_tensor(tensor, limits)


def _check_tensor(tensor: "_Table", limits: GraphLimits) -> None:
    if tensor.has(_TENSOR_EXTERNAL_OFFSET) or tensor.length(_TENSOR_STRINGS):
        raise ModelFileError("it keeps weights in another file, or as text; only whole models are drawn")
    dims = tensor.integers(_TENSOR_DIMS, most=8)
    limits.add_tensor(tensor.text(_TENSOR_NAME), dims, tensor.length(_TENSOR_RAW_DATA))


class _Table:
    """A table of a flatbuffer. Every read out of the file is a struct.error."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self._fields = position - struct.unpack_from("<i", data, position)[0]
        if self._fields < 0:
            raise struct.error
        self._size: int = struct.unpack_from("<H", data, self._fields)[0]

    def has(self, field: int) -> bool:
        """Whether the table holds the field."""
        return self._at(field) is not None

    def table(self, field: int) -> "_Table | None":
        """The table in a field."""
        at = self._at(field)
        return None if at is None else _Table(self.data, at + _unsigned(self.data, at))

    def length(self, field: int) -> int:
        """How many elements the vector in a field claims."""
        start = self._vector(field)
        return 0 if start is None else _unsigned(self.data, start)

    def tables(self, field: int, most: int) -> "Iterator[_Table]":
        """The tables of the vector in a field."""
        start = self._vector(field)
        for i in range(self._bounded(field, most)):
            at = (start or 0) + 4 + 4 * i
            yield _Table(self.data, at + _unsigned(self.data, at))

    def integers(self, field: int, most: int) -> list[int]:
        """The vector of int64 in a field."""
        start = self._vector(field)
        return list(struct.unpack_from(f"<{self._bounded(field, most)}q", self.data, (start or 0) + 4))

    def text(self, field: int) -> str:
        """The string in a field, its first 1,000 bytes."""
        start = self._vector(field)
        if start is None:
            return ""
        length = min(_unsigned(self.data, start), 1000)
        return self.data[start + 4 : start + 4 + length].decode(errors="replace")

    def _bounded(self, field: int, most: int) -> int:
        length = self.length(field)
        if length > most:
            raise ModelFileError("it is a damaged .ort model")
        return length

    def _vector(self, field: int) -> int | None:
        at = self._at(field)
        return None if at is None else at + _unsigned(self.data, at)

    def _at(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry >= self._size:
            return None
        offset: int = struct.unpack_from("<H", self.data, self._fields + entry)[0]
        return self.position + offset if offset else None


def _unsigned(data: bytes, position: int) -> int:
    value: int = struct.unpack_from("<I", data, position)[0]
    return value
