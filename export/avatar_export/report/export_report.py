"""The HTML report of an export: what each pass did, how far the model is from the original, and how fast it is."""

import base64
import os
import platform
from collections import Counter
from collections.abc import Mapping
from html import escape
from math import log10
from pathlib import Path
from string import Template

import numpy as np
import onnx

from avatar_export.pipeline import Stages
from avatar_export.report.graph_size import figures
from avatar_export.report.inspection import describe
from avatar_export.source.original import Original
from avatar_export.validation.parity import Float32, Network, ParityReport, parity_latents, side_by_side
from avatar_export.validation.speed import latency
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.model_file.metadata import ModelSpec

SHOWN = 8
"""How many of the worst latents are shown."""
BATCH_SIZE = 64
"""Latents drawn at once: the size at which the reference has its images already."""


def report_page(
    metadata: ModelSpec, parity: ParityReport, stages: Stages, original: Original, exported: Network
) -> str:
    """Make one HTML page about a model that needs no other file."""
    z = parity_latents(metadata.latent_dim, parity.series)
    drawn = np.stack([_pixels(network, z, metadata) for network in (original.reference, exported)])  # [2, N, H, W, C]
    levels = np.abs(drawn[1].astype(np.int16) - drawn[0]).reshape(len(z), -1)  # [N, values]
    largest, means = levels.max(axis=1), levels.mean(axis=1)
    worst = np.lexsort((-means, -largest))[:SHOWN]
    amplification = 255 // max(int(largest.max()), 1)
    unit = "levels" if metadata.output == "uint8" else "of the network's range"
    psnr = "no difference" if parity.psnr_db is None else f"PSNR {parity.psnr_db:.1f} dB"
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{metadata.name}: {metadata.precision}, {metadata.output}"),
        verdict_class="passed" if parity.passed else "refused",
        verdict=("Within the tolerance." if parity.passed else f"Refused: {escape('; '.join(parity.failures))}.")
        + f" Largest difference {parity.max_difference:.3g} {unit}, limit {parity.limit:.3g}; "
        + f"mean {parity.mean_difference:.2g}; {psnr}.",
        compared=f"Compared with the original network in MindSpore on {parity.latents} latents, avatars "
        f"{parity.series}/0, {parity.series}/1, …, at batch sizes {', '.join(map(str, parity.batch_sizes))}.",
        stages="".join(_stage(name, model) for name, model in stages),
        stages_note="MFLOP: millions of multiplications and additions in convolutions and matrix products, per image."
        if stages
        else "MindSpore exported this file itself, so there are no passes.",
        levels=_bars(parity.level_histogram),
        latents=_bars(dict(sorted(Counter(largest.tolist()).items()))),
        amplified=f"times {amplification}",
        worst="".join(
            _figure(f"{parity.series}/{i}: up to {largest[i]}, mean {means[i]:.3g}", drawn[:, i], amplification)
            for i in worst
        ),
        latency="".join(_latencies(original.network, exported, metadata.latent_dim, size) for size in (1, BATCH_SIZE)),
        machine=escape(f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}"),
        metadata="".join(f"<dt>{escape(key)}<dd>{escape(value)}\n" for key, value in describe(metadata).items()),
    )


def _pixels(network: Network, z: Float32, metadata: ModelSpec) -> UInt8:
    parts = [network(z[i : i + BATCH_SIZE]) for i in range(0, len(z), BATCH_SIZE)]
    return np.concatenate([p if p.dtype == np.uint8 else from_network(p, metadata.pixel_range) for p in parts])


def _stage(name: str, model: onnx.ModelProto) -> str:
    size = figures(model)
    return (
        f"<tr><td>{escape(name.replace('_', ' '))}<td>{size.nodes}<td>{size.parameters:,}<td>{size.size / 1e6:.2f} MB"
        f"<td>{size.flops / 1e6:.1f}\n"
    )


def _bars(histogram: Mapping[int, int]) -> str:
    total = sum(histogram.values())
    return "".join(
        f'<tr><td>{level}<td class="bar"><i style="width:{100 * log10(count + 1) / log10(total + 1):.1f}%"></i>'
        f"<td>{count:,}<td>{_percent(count / total)}\n"
        for level, count in histogram.items()
    )


def _percent(share: float) -> str:
    return f"{100 * share:.4f}%" if share > 0.99995 or share < 0.001 else f"{100 * share:.2f}%"


def _figure(caption: str, drawn: UInt8, amplification: int) -> str:
    images = side_by_side(drawn[0], drawn[1], amplification)
    pictures = [base64.b64encode(encode(image, ".png")).decode() for image in images]
    shown = "".join(
        f'<img alt="{alt}" src="data:image/png;base64,{picture}">'
        for alt, picture in zip(("original", "exported", "difference"), pictures, strict=True)
    )
    return f"<figure><div>{shown}</div><figcaption>{caption}</figcaption></figure>\n"


def _latencies(original: Network, exported: Network, latent_dim: int, batch_size: int) -> str:
    times = latency({"original": original, "exported": exported}, latent_dim, batch_size)
    return (
        f"<tr><td>{batch_size}<td>{times['original']:.2f} ms<td>{times['exported']:.2f} ms"
        f"<td>{times['exported'] / times['original']:.2f}\n"
    )
