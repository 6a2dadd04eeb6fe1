"""The model files that are compared: one generator in every form, written by avatar-export's own code."""

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar_runtime.errors import AvatarError
from benchmarks.suite.process import quiet_environment

PLAIN = "plain.onnx"
"""The graph as a plain converter writes it: ConvTranspose, BatchNormalization, Relu, …"""
WEIGHTS = "weights.npz"
"""The checkpoint's arrays under its own names."""
OURS = ("fp32.onnx", "fp16.onnx", "int8.onnx", "int8.ort")
"""Our files, as `avatar-export --precision` and `--format` make them."""


@dataclass(frozen=True)
class Models:
    """A folder with OURS, PLAIN and WEIGHTS, and facts about the generator."""

    folder: Path
    latent_dim: int
    pixel_range: tuple[float, float]
    architecture: tuple[int, int, int, int]
    """image_size, channels, latent_dim and ngf."""
    flops: int
    """Multiplications and additions for one image in the plain graph."""
    sizes: dict[str, int]
    """Bytes of each file, and of the checkpoint."""
    limits: dict[str, float]
    """The most levels (of 255) by which each of our files may differ from the original."""
    failed: dict[str, str]
    """A reason for each file that could not be written."""


def make(checkpoint: Path, folder: Path) -> Models:
    """Write a checkpoint's generator in every form, in a separate process: MindSpore's threads would stay in this one.

    Raises AvatarError if the checkpoint cannot be read.
    """
    with quiet_environment(), multiprocessing.get_context("spawn").Pool(1) as pool:
        made = pool.apply(_make, (checkpoint, folder))
    if isinstance(made, str):
        raise AvatarError(made)
    return Models(folder, **made)


def _make(checkpoint: Path, folder: Path) -> dict[str, Any] | str:
    try:
        return _made(checkpoint, folder)
    except ImportError as err:
        return (
            f'the original and the exporter need {err.name}, which is not installed; pip install "avatar-edge[bench]"'
        )
    except AvatarError as err:  # some of its children cannot be pickled
        return str(err)


def _made(checkpoint: Path, folder: Path) -> dict[str, Any]:
    import numpy as np
    import onnx

    from avatar_export.exporter import export_variant
    from avatar_export.graph import plain_graph
    from avatar_export.report.graph_size import figures
    from avatar_export.source.original import generator_file, open_original
    from avatar_export.variants import Variant

    folder.mkdir(parents=True, exist_ok=True)
    original = open_original(checkpoint)
    weights = original.weights
    plain = plain_graph(weights)
    onnx.save(plain, folder / PLAIN)
    arrays: dict[str, Any] = weights.arrays()  # as savez also has options, of other types
    np.savez(folder / WEIGHTS, **arrays)
    limits, failed = {}, {}
    for name in OURS:
        path = folder / name
        path.unlink(missing_ok=True)
        try:
            export = export_variant(original, Variant(path.suffix[1:], path.stem), path)
        except AvatarError as err:
            failed[name] = str(err)
        else:
            limits[name] = export.parity.limit
    paths = {path.name: path for path in folder.iterdir() if path.suffix in (".onnx", ".ort", ".npz")}
    side, channels, latent_dim, ngf = weights.architecture
    return {
        "latent_dim": latent_dim,
        "pixel_range": weights.pixel_range,
        "architecture": (side, channels, latent_dim, ngf),
        "flops": figures(plain).flops,
        "sizes": {"checkpoint": generator_file(checkpoint).stat().st_size}
        | {name: path.stat().st_size for name, path in paths.items()},
        "limits": limits,
        "failed": failed,
    }
