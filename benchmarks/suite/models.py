"""What the rivals run: one generator's weights in every form, exported and proved by avatar-export's own code."""

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar_runtime.errors import AvatarError
from benchmarks.suite.process import own_environment

PLAIN = "plain.onnx"
"""ConvTranspose, BatchNormalization, Relu … as any converter writes them."""
WEIGHTS = "weights.npz"
"""The checkpoint's arrays under its own names."""
OURS = ("fp32.onnx", "fp16.onnx", "int8.onnx", "int8.ort")
"""Our files, as `avatar-export --precision` and `--target mobile` make them."""
LIMITS = {"int8": {"max_levels": 14.0}}
"""Where the embedded model was exported with other limits than its gate's: 12 levels, and its worst are 14 off."""


@dataclass(frozen=True)
class Models:
    """A folder with OURS, PLAIN and WEIGHTS, and what is known of the generator."""

    folder: Path
    latent_dim: int
    pixel_range: tuple[float, float]
    architecture: tuple[int, int, int, int]
    """image_size, channels, latent_dim and ngf."""
    flops: int
    """Of one image, as the plain graph computes it: multiplications and additions."""
    sizes: dict[str, int]
    """Bytes of each file, and of the checkpoint."""
    limits: dict[str, float]
    """The most levels (of 255) by which each of our files may differ from the original: its gate's."""
    failed: dict[str, str]
    """The files that were not made, and why."""


def make(checkpoint: Path, folder: Path) -> Models:
    """Make all forms of a checkpoint's generator, in a process of its own: MindSpore's threads would stay in this one.

    Raises AvatarError if the checkpoint cannot be read.
    """
    with own_environment(), multiprocessing.get_context("spawn").Pool(1) as pool:
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
            variant = Variant(path.suffix[1:], path.stem)
            export = export_variant(original, variant, path, name=path.stem, limits=LIMITS.get(variant.precision, {}))
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
