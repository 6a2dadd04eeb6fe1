"""Checkpoints: networks in files that MindSpore loads by itself, and snapshots from which a run resumes exactly."""

import hashlib
import logging
import operator
import os
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import numpy.typing as npt
import safetensors
from google.protobuf.message import DecodeError
from mindspore import Parameter, Tensor, nn, ops
from mindspore.train.checkpoint_pb2 import Checkpoint
from mindspore.train.serialization import tensor_to_np_type
from safetensors import SafetensorError

from avatar_runtime.errors import AvatarError
from avatar_runtime.output.atomic import make_folder, replacing
from avatar_training import device
from avatar_training.networks.generator import PIXEL_RANGE, Generator

_NAME = re.compile(r"step-(\d+)\.ckpt")

_CRC = b"crc_num"
"""save_checkpoint(crc_check=True) ends a file with this and, in ten bytes, the CRC-32 of everything before."""

_DIGEST = "digest"
"""The last entry of a file that `save` wrote: the SHA-256 of all bytes before it. Every MindSpore reads such a file."""

MAX_BYTES = 2**31
"""The largest checkpoint that is read: eight times a snapshot of the tutorial's networks."""

_SAFETENSORS_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}


class CheckpointError(AvatarError):
    """A checkpoint cannot be read, or does not fit."""


Arrays = Mapping[str, npt.NDArray[np.generic]]


def save(path: Path, arrays: Mapping[str, Parameter | Tensor]) -> None:
    """Write named tensors as a MindSpore checkpoint with a digest, whole or not at all. Raises OutputError."""
    with replacing(path) as temporary:
        entries = [{"name": name, "data": value} for name, value in arrays.items()]
        logger = logging.getLogger(f"ME.mindspore.log.{os.getpid()}")
        logger.disabled = True  # MindSpore would also print what it raises
        try:
            mindspore.save_checkpoint(entries, str(temporary))
        except RuntimeError as err:
            raise OSError(str(err)) from err
        finally:
            logger.disabled = False
            temporary.with_suffix(".tmp").unlink(missing_ok=True)  # MindSpore leaves it behind when it fails
        temporary.chmod(0o644)  # MindSpore leaves 0400
        with temporary.open("rb+") as file:
            file.write(_digest_entry(file.read()))
            file.flush()
            os.fsync(file.fileno())


def read(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Read the named arrays of a .ckpt or .safetensors checkpoint. Raises CheckpointError.

    MindSpore's load_checkpoint is not used: it copies a tensor's bytes without comparing their number with the shape,
    so a damaged or hostile .ckpt corrupts memory (350 mutations of a sound file were enough). Only its description
    of the format is.
    """
    return parse(path, read_bytes(path))


def read_bytes(path: Path) -> bytes:
    """The bytes of a checkpoint file of at most MAX_BYTES. Raises CheckpointError."""
    if path.suffix not in (".ckpt", ".safetensors"):
        raise CheckpointError(f"{path} is not a checkpoint: its name should end in .ckpt or .safetensors")
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist or is not a file")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise CheckpointError(
                f"{path} has {size / 1e6:.0f} MB; checkpoints of up to {MAX_BYTES / 1e6:.0f} MB are read"
            )
        return path.read_bytes()
    except OSError as err:
        raise CheckpointError(f"{path} cannot be read: {err.strerror or err}") from err


def parse(path: Path, data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """The named arrays in the bytes of a checkpoint file. Raises CheckpointError, with its path."""
    try:
        arrays = _parse_safetensors(data) if path.suffix == ".safetensors" else _parse(data)
    except (DecodeError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise CheckpointError(f"{path} is damaged or not a checkpoint") from err
    if not arrays:
        raise CheckpointError(f"{path} is damaged or not a checkpoint: it holds no arrays")
    return arrays


def read_snapshot(path: Path) -> Arrays:
    """The named arrays of a snapshot, which ends in a digest unless it was cut off. Raises CheckpointError."""
    data = read_bytes(path)
    arrays = parse(path, data)
    if not _checksum_size(data):
        raise CheckpointError(f"{path} is damaged: its end is missing")
    return arrays


def read_pair(folder: Path) -> Arrays:
    """Read a trained pair of networks, generator.ckpt and discriminator.ckpt, from a folder such as a run's.

    A latent map that steering added is left out: it is made for the finished network, and made again after training.
    Raises CheckpointError if one cannot be read, or if the pair was trained on pixels of another range than [-1, 1].
    """
    arrays = {k: v for k, v in read(folder / "generator.ckpt").items() if not k.startswith("latent_map.")}
    pixel_range = np.ravel(arrays.get("pixel_range", ())).tolist()
    if pixel_range != list(PIXEL_RANGE):
        raise CheckpointError(f"{folder} holds no pair to start from: its pixels range over {pixel_range}, not [-1, 1]")
    return {**arrays, **read(folder / "discriminator.ckpt")}


def _parse(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays in the bytes of a .ckpt; a large one comes in several entries, each with the whole shape."""
    size = _checksum_size(data)
    data, checksum = data[: len(data) - size], data[len(data) - size :]
    if size and checksum != (_crc_entry(data) if checksum.startswith(_CRC) else _digest_entry(data)):
        raise ValueError("the checksum does not match")
    tensors: dict[str, list[Any]] = {}
    for entry in Checkpoint.FromString(data).value:
        if entry.HasField("tensor"):
            tensors.setdefault(entry.tag, []).append(entry.tensor)
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, parts in tensors.items():
        shape, kind = list(parts[0].dims), parts[0].tensor_type
        if not isinstance(name, str):  # protobuf gives bytes where they are not UTF-8
            raise ValueError(f"the name {name!r} is not text")
        if kind == "str":
            continue
        content = b"".join(part.tensor_content for part in parts)
        shape = [] if shape == [0] else shape  # [0] is how MindSpore writes a scalar
        if kind == "BFloat16":
            arrays[name] = _widened(content, shape)
            continue
        dtype = tensor_to_np_type(kind)
        if dtype is None:
            raise ValueError(f"no tensor has the type {kind}")
        arrays[name] = np.frombuffer(content, dtype).reshape(shape)
    return arrays


def _checksum_size(data: bytes) -> int:
    """How many of the last bytes are a checksum, `save`'s or MindSpore's, whether or not it matches."""
    if data[-17:-10] == _CRC:
        return 17
    entry = _digest_entry(b"")
    frame = entry[: -hashlib.sha256().digest_size]
    same = sum(map(operator.eq, data[-len(entry) :], frame))
    return len(entry) if same >= len(frame) - 4 else 0  # a damaged one is still known


def _crc_entry(data: bytes) -> bytes:
    return _CRC + zlib.crc32(data).to_bytes(10, "big")


def _digest_entry(data: bytes) -> bytes:
    entry = Checkpoint()
    tensor = entry.value.add(tag=_DIGEST).tensor
    tensor.dims.append(hashlib.sha256().digest_size)
    tensor.tensor_type = "UInt8"
    tensor.tensor_content = hashlib.sha256(data).digest()
    return bytes(entry.SerializeToString(deterministic=True))


def _parse_safetensors(data: bytes) -> dict[str, npt.NDArray[np.generic]]:
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for name, tensor in safetensors.deserialize(data):  # type: ignore[no-untyped-call]
        kind, content, shape = tensor["dtype"], tensor["data"], tensor["shape"]
        if kind == "BF16":
            arrays[name] = _widened(content, shape)
        else:
            arrays[name] = np.frombuffer(content, _SAFETENSORS_TYPES[kind]).reshape(shape)
    return arrays


def _widened(content: bytes, shape: list[int]) -> npt.NDArray[np.float32]:
    """bfloat16, which NumPy does not have, as float32: it is the upper half of one."""
    return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)


def load_into(parameters: Iterable[Parameter], arrays: Arrays, source: Path) -> None:
    """Set each parameter to the array of its name. Raises CheckpointError if one is missing or of another shape.

    A loss scaler's parameters may be missing, in a run that had no mixed precision so far; they keep their values.
    """
    parameters = [p for p in parameters if p.name in arrays or not p.name.startswith(device.LOSS_SCALE)]
    for parameter in parameters:
        array = arrays.get(parameter.name)
        if array is None or tuple(array.shape) != tuple(parameter.shape):
            found = "is missing" if array is None else f"has shape {list(array.shape)}"
            raise CheckpointError(f"{source}: {parameter.name} {found}; it should have shape {list(parameter.shape)}")
    for parameter in parameters:
        parameter.set_data(Tensor(arrays[parameter.name], parameter.dtype))


def is_refined(arrays: Arrays) -> bool:
    """Whether a generator with these arrays has residual blocks."""
    return any(name.startswith("residual_blocks.") for name in arrays)


def is_bounded(arrays: Arrays) -> bool:
    """Whether a generator with these arrays has ReLUs that give no more than 1."""
    return "activation_bound" in arrays


def generator_cell(
    arrays: Arrays, image_size: int, channels: int, latent_dim: int, ngf: int, *, exact_tanh: bool
) -> nn.Cell:
    """The generator with these weights, for inference on the CPU. Raises CheckpointError if the arrays do not fit.

    MindSpore's float32 Tanh on the CPU is an approximation with errors up to 1e-4 between 3 and 7, ten times the
    tolerance of an export; exact_tanh computes it in float64.
    """
    device.select("CPU")
    steered, refined, bounded = "latent_map.weight" in arrays, is_refined(arrays), is_bounded(arrays)
    shape = (image_size, channels, latent_dim, ngf)
    generator = Generator(*shape, latent_map=steered, refined=refined, bounded=bounded)
    load_into(generator.get_parameters(), arrays, Path("the generator"))
    if exact_tanh:
        generator.generator[-1] = _ExactTanh()
    return generator.set_train(False)


def generator_network(
    arrays: Arrays, image_size: int, channels: int, latent_dim: int, ngf: int
) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """The generator with these weights, and an exact tanh, as a function: the reference for exports.

    It takes z, float32 [N, latent_dim], and gives images, float32 [N, channels, image_size, image_size]. Raises
    CheckpointError if the arrays do not fit.
    """
    generator = generator_cell(arrays, image_size, channels, latent_dim, ngf, exact_tanh=True)

    def network(z: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        images: npt.NDArray[np.float32] = generator(Tensor(z[..., None, None])).asnumpy()
        return images

    return network


class _ExactTanh(nn.Cell):
    def construct(self, x: Tensor) -> Tensor:
        return ops.tanh(x.astype(mindspore.float64)).astype(mindspore.float32)


def snapshots(folder: Path) -> list[Path]:
    """The snapshots in a folder, newest first."""
    found = [path for path in folder.glob("step-*.ckpt") if _NAME.fullmatch(path.name)]
    return sorted(found, key=snapshot_step, reverse=True)


def snapshot_step(path: Path) -> int:
    """Number of steps that a snapshot has behind it."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise CheckpointError(f"{path} does not have a snapshot's name")
    return int(match[1])


def save_snapshot(folder: Path, step: int, arrays: Mapping[str, Parameter | Tensor], keep: int = 2) -> Path:
    """Write the state after `step` steps, and remove all but the newest `keep` snapshots."""
    make_folder(folder)
    path = folder / f"step-{step:08}.ckpt"
    save(path, arrays)
    for old in snapshots(folder)[keep:]:
        old.unlink(missing_ok=True)
    return path
