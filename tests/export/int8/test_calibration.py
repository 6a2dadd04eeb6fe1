"""What int8 measures on calibration latents holds for other faces."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from avatar_export.int8.calibration import activation_ranges, channel_maxima
from avatar_export.int8.quantize_layers import layer_inputs
from avatar_runtime.latents import latents, series
from avatar_runtime.session import open_session
from rewriting import float_graph

FACES = 2000


def faces_beyond(model: onnx.ModelProto, largest: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> int:
    """How many faces have a value above largest, float32 [C] or [1] for each tensor."""
    del model.graph.output[:]
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in largest)
    session, z = open_session(model.SerializeToString()), latents(list(series("others", FACES)), 100)
    beyond = np.zeros(FACES, bool)
    for start in range(0, FACES, 100):
        tensors = session.run(list(largest), {"z": z[start : start + 100]})
        for values, most in zip(tensors, largest.values(), strict=True):
            beyond[start : start + 100] |= (values.max(axis=(2, 3)) > most).any(axis=1)
    return int(beyond.sum())


def test_hardly_a_face_is_beyond_the_ranges() -> None:
    model = float_graph()
    ranges = activation_ranges(model)
    names = [name for name in layer_inputs(model.graph) if name != "z"]
    assert faces_beyond(model, {name: np.array([ranges[name][1]], np.float32) for name in names}) <= 2


def test_hardly_a_face_is_beyond_a_channels_maximum() -> None:
    model = float_graph()
    maxima = channel_maxima(model)
    channels = sum(map(len, maxima.values()))
    assert faces_beyond(model, maxima) <= 2 * channels * FACES / 10_000
