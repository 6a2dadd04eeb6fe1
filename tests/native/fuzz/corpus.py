"""corpus.py FOLDER: model files for run.sh to start from, sound ones and some with a damaged graph.

A changed byte seldom leaves protobuf's lengths whole, so the graphs' own damage is made here.
"""

import json
import random
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

sys.path.insert(0, str(Path(__file__).parents[2]))

from native.graphs import GRAPHS
from tiny_model import tiny_weights, write_tiny_model

SHAPES = [(32, 1, 3, 4), (32, 3, 1, 2), (64, 1, 1, 3)]
"""Image size, width, channels, latent size."""
DAMAGED = 1000
NUMBERS = (0, 1, -1, 2, 3, 15, 16, 255, 4096, 2**24, 2**31 - 1, 2**31, 2**32, 2**62, -(2**63))
STEPS = (0.0, -1.0, 1e-40, 1e-30, 1.0, 1e30, 3e38, np.inf, np.nan)


def without_golden(path: Path) -> onnx.ModelProto:
    """The model of a file, its metadata without pictures: they would be half of the bytes."""
    model = onnx.load(path)
    metadata = json.loads(model.metadata_props[0].value)
    metadata.update(golden=None, parity={})
    helper.set_model_props(model, {"avatar-edge": json.dumps(metadata)})
    return model


def change_attribute(graph: onnx.GraphProto, rng: random.Random) -> None:
    attribute = rng.choice([a for node in graph.node for a in node.attribute])
    if len(attribute.ints):
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    else:
        attribute.i = rng.choice(NUMBERS)


def change_input(graph: onnx.GraphProto, rng: random.Random) -> None:
    node = rng.choice(graph.node)
    names = [name for other in graph.node for name in (*other.input, *other.output)]
    node.input[rng.randrange(len(node.input))] = rng.choice(names)


def change_kind(graph: onnx.GraphProto, rng: random.Random) -> None:
    kinds = ("Relu", "Sigmoid", "Tanh", "Round", "Add", "Mul", "Sub", "Clip", "Cast", "Concat", "Reshape", "Transpose")
    rng.choice(graph.node).op_type = rng.choice(kinds)


def drop_node(graph: onnx.GraphProto, rng: random.Random) -> None:
    del graph.node[rng.randrange(len(graph.node))]


def add_node(graph: onnx.GraphProto, rng: random.Random) -> None:
    """Between two nodes: one that changes nothing in a sound graph's shapes, or one that does."""
    place = rng.randrange(len(graph.node))
    old = graph.node[place].output[0]
    kind = rng.choice(("Relu", "Sigmoid", "Round", "Tanh", "Add", "Concat"))
    inputs = [old] * (2 if kind in ("Add", "Concat") else 1)
    node = helper.make_node(kind, inputs, ["added"])
    if kind == "Concat":
        node.attribute.append(helper.make_attribute("axis", 1))
    for reader in graph.node[place + 1 :]:
        reader.input[:] = ["added" if name == old else name for name in reader.input]
    nodes = [*graph.node[: place + 1], node, *graph.node[place + 1 :]]
    del graph.node[:]
    graph.node.extend(nodes)


def change_constant(graph: onnx.GraphProto, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    array = np.frombuffer(tensor.raw_data, kind).copy()  # its shape may be damaged already
    if array.dtype == np.float32:
        array[rng.randrange(array.size)] = rng.choice(STEPS)
    elif array.size:
        limits = np.iinfo(array.dtype)
        array[rng.randrange(array.size)] = min(max(rng.choice(NUMBERS), limits.min), limits.max)
    tensor.raw_data = array.tobytes()


def change_shape(graph: onnx.GraphProto, rng: random.Random) -> None:
    tensor = rng.choice(graph.initializer)
    if rng.random() < 0.5:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    else:
        tensor.dims[:] = rng.sample(list(tensor.dims), len(tensor.dims))


CHANGES = (change_attribute, change_input, change_kind, drop_node, add_node, change_constant, change_shape)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return
    sound = []
    for shape in SHAPES:
        path = folder / f"{'-'.join(map(str, shape))}.onnx"
        write_tiny_model(path, tiny_weights(*shape), precision="int8")
        sound.append(without_golden(path))
        path.write_bytes(sound[-1].SerializeToString())
    for name, graph in GRAPHS.items():
        sound.append(graph())
        (folder / f"{name}.onnx").write_bytes(sound[-1].SerializeToString())
    rng = random.Random(0)
    for i in range(DAMAGED):
        model = onnx.ModelProto()
        model.CopyFrom(rng.choice(sound))
        for _ in range(rng.choice((1, 1, 2, 3))):
            rng.choice(CHANGES)(model.graph, rng)
        (folder / f"damaged-{i}.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
