"""The activations of an image classifier halfway through it, pooled: what a critic scores.

Pictures go in grey, so that a critic cannot learn a colour, and a second time mirrored.
"""

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, shape_inference
from PIL import Image

from avatar_runtime.errors import AvatarError, ModelFileError
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.model_file.reading import read_file
from avatar_training.errors import shortened
from avatar_training.onnx_session import open_session

POOL = 4
"""Each activation is averaged over the cells of a grid of this many rows and columns."""

INPUT_SIZE = 128
PIXEL_RANGE = (-1.0, 1.0)
"""Black and white as the classifier gets them, whatever it was trained on: critics work best with these."""

GREY = (0.299, 0.587, 0.114)
"""The weight of red, green and blue in grey: ITU-R BT.601, as in JPEG."""

STRIDES = (8, 16)
"""By default one activation of each of these strides is used: 8 sees eyes and mouths, 16 whole faces."""

Floats = npt.NDArray[np.float32]

_BATCH = 32


class ActivationsError(AvatarError):
    """A file is not an image classifier whose activations can be read."""


class ActivationNetwork:
    """Computes the pooled activations of pictures with an ONNX classifier, on the CPU.

    Pictures go straight to the classifier's first convolution (or the padding before it), which must take [N, 3, H, W]
    float32; any scaling and resizing before that is skipped.

    Args:
        path: The ONNX file.
        tensors: Names of the activations, each [N, C, S, S] with S a multiple of 4 at an input of 128 pixels. Default:
            the last of the widest activations of stride 8 and of stride 16 (in MobileNetV2
            `block_6_expand_relu` and `block_13_expand_relu`).

    Raises:
        ActivationsError: The file cannot be read, is not such a classifier, or has no such activation.
    """

    def __init__(self, path: Path, tensors: tuple[str, ...] = ()) -> None:
        self.path = path
        try:
            data = read_file(path)
            model = onnx.load_from_string(data)
        except ModelFileError as err:
            raise ActivationsError(f"cannot use the classifier {path}: {err}") from err
        except Exception as err:  # protobuf's DecodeError
            raise ActivationsError(f"{path} is not an ONNX model") from err
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            entry = _entry(model, path)
            shapes = _shapes(model, entry, path)
        except (ValueError, IndexError) as err:  # names that are not text, nodes without inputs
            raise ActivationsError(f"{path} is a damaged ONNX model ({shortened(err)})") from err
        self.tensors = tensors or _widest(shapes, path)
        for name in self.tensors:
            shape = shapes.get(name)
            if shape is None or shape[2] != shape[3] or shape[2] % POOL:
                found = f"is {list(shape)}" if shape else "is not in it"
                raise ActivationsError(
                    f"{path}: the activation {name} {found}; it must be [N, C, S, S] with S a multiple of {POOL} "
                    f"where the input has {INPUT_SIZE} pixels a side"
                )
        self.length = sum(shapes[name][1] * POOL * POOL for name in self.tensors)
        """How many numbers describe a picture."""
        cut = _cut(model, entry, self.tensors)
        try:
            self._session = open_session(cut.SerializeToString())
            self(np.zeros((1, 8, 8, 3), np.uint8))
        except Exception as err:  # onnxruntime raises a dozen unrelated classes
            raise ActivationsError(f"{path} cannot run ({shortened(err)})") from err

    def __call__(self, images: UInt8) -> Floats:
        """The pooled activations of pictures, uint8 [N, H, W, C]: the mean over each picture and its mirror image.

        Returns float32 [N, F]: for each tensor in turn its [C, 4, 4], flattened with the channel first.
        """
        parts = [self._run(images[start : start + _BATCH]) for start in range(0, len(images), _BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, self.length), np.float32)

    def _run(self, images: UInt8) -> Floats:
        x = prepare(images)
        both = np.concatenate([x, x[..., ::-1]])
        pooled = [_pool(activation) for activation in self._session.run(list(self.tensors), {"entry": both})]
        features = np.concatenate(pooled, axis=1)
        return np.asarray((features[: len(x)] + features[len(x) :]) / 2, np.float32)


def prepare(images: UInt8) -> Floats:
    """Pictures as the classifier gets them: grey in all three channels, float32 [N, 3, 128, 128] in [-1, 1].

    Resized bilinearly with half-pixel centres (and antialiased where they get smaller).
    """
    levels = images.astype(np.float32)
    grey = levels[..., 0] if images.shape[3] == 1 else levels @ np.array(GREY, np.float32)
    if grey.shape[1:] != (INPUT_SIZE, INPUT_SIZE):
        size = (INPUT_SIZE, INPUT_SIZE)
        grey = np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BILINEAR)) for one in grey])
    low, high = PIXEL_RANGE
    scaled = np.float32(low) + grey * np.float32((high - low) / 255)
    return np.ascontiguousarray(np.broadcast_to(scaled[:, None], (len(grey), 3, INPUT_SIZE, INPUT_SIZE)))


def _pool(activation: Floats) -> Floats:
    n, channels, side, _ = activation.shape
    cells = activation.reshape(n, channels, POOL, side // POOL, POOL, side // POOL)
    pooled: Floats = cells.mean(axis=(3, 5), dtype=np.float32)
    return pooled.reshape(n, -1)  # [N, C * 4 * 4]


def _entry(model: onnx.ModelProto, path: Path) -> str:
    """The tensor that the first convolution, or the padding before it, reads."""
    nodes = list(model.graph.node)
    first = next((i for i, node in enumerate(nodes) if node.op_type == "Conv"), None)
    if first is None:
        raise ActivationsError(f"{path} has no convolution: it is not an image classifier")
    entry: str = nodes[first].input[0]
    for node in reversed(nodes[:first]):
        if node.op_type == "Pad" and entry in node.output:
            entry = node.input[0]
    return entry


def _shapes(model: onnx.ModelProto, entry: str, path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the activations after entry, in order, for one picture."""
    cut = _cut(model, entry, tuple(output for node in model.graph.node for output in node.output[:1]), batch=1)
    try:
        graph = shape_inference.infer_shapes(cut, data_prop=True).graph
    except Exception as err:  # onnx raises its own and bare RuntimeErrors
        raise ActivationsError(f"{path} is not a sound ONNX model ({shortened(err)})") from err
    known = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output)}
    shapes = {}
    for node in cut.graph.node:
        dims = [dim.dim_value for dim in known[node.output[0]].shape.dim] if node.output[0] in known else []
        if len(dims) == 4 and all(dims):
            shapes[node.output[0]] = tuple(dims)
    return shapes


def _widest(shapes: dict[str, tuple[int, ...]], path: Path) -> tuple[str, ...]:
    chosen = []
    for stride in STRIDES:
        side = INPUT_SIZE // stride
        found = [(shape[1], i, name) for i, (name, shape) in enumerate(shapes.items()) if shape[2:] == (side, side)]
        if not found:
            raise ActivationsError(
                f"{path} has no activation of {side} x {side} where the input has {INPUT_SIZE} pixels a side; "
                "name the activations to use with --tensor"
            )
        chosen.append(max(found)[2])
    return tuple(chosen)


def _cut(model: onnx.ModelProto, entry: str, outputs: tuple[str, ...], batch: int | str = "n") -> onnx.ModelProto:
    """The part of the classifier from entry, renamed to `entry`, to the outputs that need it."""
    behind, kept = {entry}, []
    for node in model.graph.node:  # in topological order, as ONNX demands
        if behind & set(node.input):
            behind.update(node.output)
    behind.remove(entry)
    needed = set(outputs) & behind
    for node in reversed(model.graph.node):
        if needed & set(node.output) and entry not in node.output:
            kept.append(node)
            needed.update(name for name in node.input if name != entry)
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    del cut.graph.node[:], cut.graph.input[:], cut.graph.output[:], cut.graph.value_info[:]
    for node in reversed(kept):
        copy = cut.graph.node.add()
        copy.CopyFrom(node)
        copy.input[:] = ["entry" if name == entry else name for name in node.input]
    weights = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del cut.graph.initializer[:]
    cut.graph.initializer.extend(weights)
    shape = [batch, 3, INPUT_SIZE, INPUT_SIZE]
    cut.graph.input.append(helper.make_tensor_value_info("entry", TensorProto.FLOAT, shape))
    cut.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name in behind
    )
    return cut
