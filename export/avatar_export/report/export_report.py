"""The page to look at before a model is shipped: what the passes did, how far the result is, and how fast."""

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

from avatar_export.formats.candidates import Stages
from avatar_export.report.graph_size import figures
from avatar_export.report.inspection import describe
from avatar_export.source.original import Original
from avatar_export.validation.parity import Float32, Network, ParityReport, parity_latents, side_by_side
from avatar_export.validation.speed import latency
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.model_file.metadata import ModelSpec

WORST = 8
"""How many latents are shown."""
BATCH = 64
"""Latents drawn at once; the gate has drawn the original's at this size already."""


def report_page(
    spec: ModelSpec,
    parity: ParityReport,
    stages: Stages,
    original: Original,
    exported: Network,
) -> str:
    """One HTML page that needs no other file. stages are the graph after each pass, with the pass's name."""
    z = parity_latents(spec.latent_dim)
    drawn = [_pixels(network, z, spec) for network in (original.drawn, exported)]  # uint8 [N, H, W, C] each
    levels = np.abs(drawn[1].astype(np.int16) - drawn[0]).reshape(len(z), -1)  # [N, values]
    largest, means = levels.max(axis=1), levels.mean(axis=1)
    worst = np.lexsort((-means, -largest))[:WORST]
    amplification = 255 // max(int(largest.max()), 1)
    unit = "levels" if spec.output == "uint8" else "of the network's range"
    psnr = "no difference at all" if parity.psnr_db is None else f"PSNR {parity.psnr_db:.1f} dB"
    template = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{spec.name}: {spec.precision}, {spec.output}"),
        verdict_class="passed" if parity.passed else "refused",
        verdict=("Within its gate." if parity.passed else f"Refused: {escape('; '.join(parity.failures))}.")
        + f" Largest difference {parity.max_difference:.3g}, limit {parity.limit:.3g} {unit}; "
        + f"mean {parity.mean_difference:.2g}; {psnr}.",
        compared=f"{parity.latents} latents, drawn at batch sizes {', '.join(map(str, parity.batch_sizes))}, compared "
        "with the original network in MindSpore.",
        stages="".join(_stage(name, model) for name, model in stages),
        stages_note="MFLOP: million multiplications and additions in convolutions and matrix products, an image."
        if stages
        else "MindSpore wrote this file itself; no graph of ours is in it.",
        levels=_bars(parity.level_histogram),
        latents=_bars(dict(sorted(Counter(largest.tolist()).items()))),
        amplified=f"a level shown as {amplification}",
        worst="".join(
            _figure(f"parity/{i}: up to {largest[i]}, mean {means[i]:.3g}", drawn[0][i], drawn[1][i], amplification)
            for i in worst
        ),
        latency="".join(_latencies(original.network, exported, spec.latent_dim, batch) for batch in (1, BATCH)),
        machine=escape(f"{os.cpu_count()} cores of {platform.machine()}, {platform.system()}"),
        contract="".join(f"<dt>{escape(key)}<dd>{escape(value)}\n" for key, value in describe(spec).items()),
    )


def _pixels(network: Network, z: Float32, spec: ModelSpec) -> UInt8:
    parts = [network(z[i : i + BATCH]) for i in range(0, len(z), BATCH)]
    return np.concatenate([p if p.dtype == np.uint8 else from_network(p, spec.pixel_range) for p in parts])


def _stage(name: str, model: onnx.ModelProto) -> str:
    of = figures(model)
    return (
        f"<tr><td>{escape(name.replace('_', ' '))}<td>{of.nodes}<td>{of.parameters:,}<td>{of.size / 1e6:.2f} MB"
        f"<td>{of.flops / 1e6:.1f}\n"
    )


def _bars(histogram: Mapping[int, int]) -> str:
    total = sum(histogram.values())
    return "".join(
        f'<tr><td>{level}<td class="bar"><i style="width:{100 * log10(count + 1) / log10(total + 1):.1f}%"></i>'
        f"<td>{count:,}<td>{_percent(count / total)}\n"
        for level, count in histogram.items()
    )


def _percent(part: float) -> str:
    return f"{100 * part:.4f}%" if part > 0.99995 or part < 0.001 else f"{100 * part:.2f}%"


def _figure(caption: str, original: UInt8, exported: UInt8, amplification: int) -> str:
    images = side_by_side(original, exported, amplification)
    pictures = [base64.b64encode(encode(image, ".png")).decode() for image in images]
    shown = "".join(
        f'<img alt="{alt}" src="data:image/png;base64,{picture}">'
        for alt, picture in zip(("original", "exported", "difference"), pictures, strict=True)
    )
    return f"<figure><div>{shown}</div><figcaption>{caption}</figcaption></figure>\n"


def _latencies(original: Network, exported: Network, latent_dim: int, batch: int) -> str:
    taken = latency({"original": original, "exported": exported}, latent_dim, batch)
    return (
        f"<tr><td>{batch}<td>{taken['original']:.2f} ms<td>{taken['exported']:.2f} ms"
        f"<td>{taken['exported'] / taken['original']:.2f}\n"
    )
