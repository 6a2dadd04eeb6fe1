"""Opens model files with onnxruntime and runs them. No other file imports onnxruntime."""

import ctypes
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from avatar_runtime.cpus import MAX_THREADS, check_can_start, check_threads, cpu_limit
from avatar_runtime.errors import AvatarError, InputError, ModelFileError, ProviderError
from avatar_runtime.model_file.metadata import INPUT_NAME, OUTPUT_NAMES, ModelSpec, ScorerSpec
from avatar_runtime.model_file.reading import read_model
from avatar_runtime.model_file.safety import check_graph
from avatar_runtime.telemetry import telemetry_off

with telemetry_off():
    import onnxruntime as ort

Session: TypeAlias = ort.InferenceSession

MAX_MEMORY = 2**32
"""Bytes that all sessions together may take."""

_FATAL = 4  # onnxruntime logs what it also raises; we pass the exception on, once


def open_session(model: Path | bytes, providers: Sequence[str] | None = None, threads: int | None = None) -> Session:
    """Open a model.

    Args:
        model: The path of the file, or its bytes.
        providers: onnxruntime execution providers in order of preference; by default the CPU's alone.
        threads: Threads inside an operator. By default onnxruntime starts one per core, but at most as many as the
            process has CPUs.

    Returns:
        The session, whose memory is limited together with that of all others: see MAX_MEMORY.

    Raises:
        InputError: threads is not from 1 to MAX_THREADS.
        ProviderError: onnxruntime does not have a provider.
        ModelFileError: The model cannot be read or run, or `check_graph` refuses it.
        AvatarError: The process may not start so many threads.
    """
    check_threads(threads)
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    cpus = cpu_limit()
    if threads is None and cpus < (os.cpu_count() or 1):
        threads = min(cpus, MAX_THREADS)
    if threads is not None:
        options.intra_op_num_threads = threads
        if threads > cpus:  # or waiting ones keep the CPUs busy: 64 threads on 2 CPUs take 27 times as long
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    check_can_start((threads or cpus) - 1)
    if _limit_memory() == os.getpid():
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("optimization.constant_folding_max_output_size_in_bytes", str(MAX_MEMORY // 16))
    # Before 1.27 onnxruntime knows no such limit. Without folding an fp16 file is drawn 1.5 times as slowly, no other.
    version = tuple(int(part) for part in ort.__version__.split(".")[:2])
    disabled = ["ConstantFolding"] if version < (1, 27) else []
    providers = check_providers(providers)
    data = model if isinstance(model, bytes) else read_model(model)
    check_graph(data)
    with _refusing(f"it is not an ONNX model that onnxruntime {ort.__version__} can load"):
        # Without enable_fallback=0 a failure is printed and tried again.
        session = Session(data, options, providers=providers, enable_fallback=0, disabled_optimizers=disabled)
    keep_after_fork(session)
    return session


@cache
def _limit_memory() -> int:
    """Limit what the sessions of this process take together, and return its id.

    A graph of a few nodes can ask for any amount of memory, which shows only when it runs. A forked child has sessions
    of its own kind: another thread may have held the allocator's lock when it was forked.
    """
    where = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(where, ort.OrtArenaCfg({"max_mem": MAX_MEMORY}))
    return os.getpid()


def keep_after_fork(session: Session) -> None:
    """Make sure that a forked child never destroys the session.

    A session waits for its threads when it is destroyed, and a fork does not copy threads: the child would hang.
    """
    _sessions_to_keep().add(session)


@cache
def _sessions_to_keep() -> "weakref.WeakSet[Session]":
    sessions: weakref.WeakSet[Session] = weakref.WeakSet()

    def keep() -> None:
        for session in sessions:
            # Not a list of them: the interpreter empties those when it ends.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
        sessions.clear()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=keep)
    return sessions


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Make a ModelFileError of whatever onnxruntime raises in the block, unless memory is what it lacks."""
    try:
        yield
    except Exception as err:  # a dozen unrelated classes, bare RuntimeError and UnicodeDecodeError among them
        if isinstance(err, MemoryError) or any(sign in str(err) for sign in ("bad_alloc", "bfc_arena")):
            raise AvatarError("the model needs more memory than is free, or than 4 GiB; draw fewer at a time") from err
        raise ModelFileError(f"{what} ({' '.join(str(err).split())})") from err


def check_providers(providers: Sequence[str] | None) -> list[str]:
    """The providers, or the CPU's if None. Raises ProviderError for one that this onnxruntime does not have."""
    if providers is None:
        return ["CPUExecutionProvider"]
    if isinstance(providers, str):
        raise InputError(f"providers must be a list; for one write [{providers!r}]")
    available = ort.get_available_providers()
    missing = [provider for provider in providers if provider not in available]
    if missing or not providers:
        raise ProviderError(
            f"execution provider {', '.join(missing) or '(none given)'} is not in this onnxruntime {ort.__version__}; "
            f"available: {', '.join(available)}"
        )
    return list(providers)


def check_interface(session: Session, spec: ModelSpec) -> None:
    """Raise ModelFileError unless the graph takes and gives what its metadata says."""
    size, channels = spec.image_size, spec.channels
    pixels = [size, size, channels] if spec.output == "uint8" else [channels, size, size]
    element = "tensor(uint8)" if spec.output == "uint8" else "tensor(float)"
    batch = "any" if spec.batch is None else spec.batch
    ends = [(INPUT_NAME, "tensor(float)", [spec.latent_dim]), (OUTPUT_NAMES[spec.output], element, pixels)]
    promised = [(name, kind, [batch, *shape]) for name, kind, shape in ends]
    if (found := _interface(session)) != promised:
        raise ModelFileError(f"its graph does not fit its metadata ({found} instead of {promised}); export it again")


def check_scorer(session: Session, spec: ScorerSpec) -> None:
    """Raise ModelFileError unless the graph takes and gives what the metadata of a scorer says."""
    images = ("images", "tensor(uint8)", ["any", spec.image_size, spec.image_size, spec.channels])
    promised = [images, ("score", "tensor(float)", ["any"])]
    if (found := _interface(session)) != promised:
        raise ModelFileError(f"its graph is not the scorer that its metadata describes ({found} instead of {promised})")


def _interface(session: Session) -> list[tuple[str, str, list[Any]]]:
    """Name, type and shape of each input and output; a batch size that is not fixed is "any"."""
    found = []
    with _refusing("its graph has names that are not text"):
        for value in (*session.get_inputs(), *session.get_outputs()):
            batch = [size if isinstance(size, int) else "any" for size in value.shape[:1]]
            found.append((value.name, value.type, [*batch, *value.shape[1:]]))
    return found


def metadata(session: Session) -> Mapping[str, str]:
    """The model's `metadata_props`."""
    with _refusing("its metadata is not text"):
        found: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    return found


def run(session: Session, z: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """The graph's output, [N, ...], for latents float32 [N, latent_dim]. A graph of a fixed batch runs several times.

    Raises ModelFileError if onnxruntime fails, or if the output does not have the shape that the graph states.
    """
    batch, shape = session.get_inputs()[0].shape[0], session.get_outputs()[0].shape[1:]
    if isinstance(batch, int):
        padded = np.concatenate([z, np.zeros((-len(z) % batch, z.shape[1]), np.float32)])
        pieces = np.split(padded, len(padded) // batch)
    else:
        pieces = [z]
    with _refusing("it cannot be run"):
        drawn = [session.run(None, {INPUT_NAME: piece})[0] for piece in pieces]
    output: npt.NDArray[Any] = drawn[0] if len(drawn) == 1 else np.concatenate(drawn)
    if list(output.shape[1:]) != shape or len(output) < len(z):
        raise ModelFileError(f"it gives {list(output.shape)} where its graph says {shape} for each of {len(z)} images")
    return output[: len(z)]


def score(session: Session, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Score images uint8 [N, H, W, C]: float32 [N]. Raises ModelFileError if the scorer gives anything else."""
    with _refusing("it cannot be run"):
        scores: npt.NDArray[np.float32] = session.run(None, {"images": images})[0]
    if scores.shape != (len(images),) or not np.isfinite(scores).all():
        raise ModelFileError("the scorer does not give one finite score for each image")
    return scores
