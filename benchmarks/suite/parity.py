"""How far each file's pixels are from the original's, for any batch size, thread count and graph optimization."""

from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np

from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.latents import latents, series
from avatar_runtime.output.atomic import write_file
from benchmarks.baselines import ORIGINAL, OUR_FILES, REFERENCE, Contender, networks
from benchmarks.suite import image_difference
from benchmarks.suite.latency import pixels
from benchmarks.suite.models import Models
from benchmarks.suite.process import Process
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table
from benchmarks.suite.timing import TurnError, exactly

READ = (
    "The same latents through each file and through MindSpore's own network, with the last tanh in float64 because "
    "MindSpore's float32 tanh is up to 1e-4 off. No choice of the exporter has seen these latents. Differences are in "
    "levels of 255, over all values of all pixels."
)
SERIES, LATENTS = "benchmark", 10_000
VARIED = 256
"""Latents that are drawn again in each variation."""
OPTIMIZATIONS = {"none": "ORT_DISABLE_ALL", "basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED"}
"""Graph optimization levels besides the default, and onnxruntime's names for them."""
WORST = 10
"""Faces in worst-FILE.png: MindSpore's, the file's, and the difference."""


def measure(setting: Setting, make_models: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Compare each of our files with the original."""
    models = make_models()
    z = latents(list(series(SERIES, LATENTS // 10 if setting.quick else LATENTS)), models.latent_dim)
    if reason := ORIGINAL.missing():
        raise TurnError(reason)
    failed = dict(models.failed)
    say(f"MindSpore draws {len(z):,}")
    expected = _draw(REFERENCE, setting, models, z)
    drawn: dict[str, UInt8] = {}
    rows: dict[str, Any] = {}
    for contender in [contender for contender in OUR_FILES if contender.file not in failed]:
        name = str(contender.file)
        say(f"{name} draws {len(z):,}")
        try:
            drawn[name] = _draw(contender, setting, models, z)
        except TurnError as err:
            failed[name] = str(err)
            continue
        same = next((other for other in rows if np.array_equal(drawn[other], drawn[name])), None)
        if same is not None:
            rows[name] = {**rows[same], "same_as": rows[same]["same_as"]}
            continue
        say(f"comparing {name}")
        worst = image_difference.worst(expected, drawn[name], WORST)
        rows[name] = {**image_difference.difference(expected, drawn[name]), "worst": worst, "same_as": name}
        sheet = image_difference.sheet(expected[worst], drawn[name][worst])
        write_file(setting.out / f"worst-{name}.png", encode(sheet, ".png"))
    varied = {
        name: _vary(name, setting, models, z[:VARIED], drawn[name][:VARIED], expected[:VARIED], say) for name in rows
    }
    ratios = {f"{name}, mean difference of 255 levels": row["mean"] / 255 for name, row in rows.items()}
    return {
        "skipped": {},
        "failed": failed,
        "latents": len(z),
        "rows": rows,
        "varied": varied,
        "ratios": {name: exactly(value).to_dict() for name, value in ratios.items()},
    }


def _draw(contender: Contender, setting: Setting, models: Models, z: Any) -> UInt8:
    with closing(contender.start(models, setting.threads, setting.out / "logs")) as process:
        parts = [process.ask(pixels, z[i : i + 640], models.pixel_range) for i in range(0, len(z), 640)]
    return np.concatenate(parts)


def _vary(
    name: str, setting: Setting, models: Models, z: Any, usual: UInt8, expected: UInt8, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Run a file with other batch sizes, thread counts and optimizations; compare with its usual pixels."""
    default = "ORT_ENABLE_ALL"
    variations = [(f"batch {batch}", setting.threads, default, batch) for batch in (1, 7)]
    variations += [
        (f"{count} thread{'s' * (count > 1)}", count, default, 64) for count in (1, 2, 4) if count != setting.threads
    ]
    if name.endswith(".onnx"):  # an .ort file is optimized already
        variations += [(f"optimizations: {kind}", setting.threads, level, 64) for kind, level in OPTIMIZATIONS.items()]
    found = []
    for what, threads, optimization, batch in variations:
        say(f"{name}, {what}")
        log = setting.out / "logs/varied.txt"
        opening = partial(networks.open_onnxruntime, models, threads, name, optimization)
        with closing(Process(opening, log=log, threads=threads)) as process:
            images = process.ask(pixels, z, models.pixel_range, batch).astype(np.int16)
        changed = np.abs(images - usual)
        found.append({
            "what": what,
            "changed": float((changed > 0).mean()),
            "from_usual": int(changed.max()),
            "from_original": int(np.abs(images - expected).max()),
        })  # fmt: skip
    return found


def tables(part: dict[str, Any]) -> list[Table]:
    """Differences from the original, and variations."""
    rows = []
    for name, row in part["rows"].items():
        psnr = "equal" if row["psnr_db"] is None else f"{row['psnr_db']:.1f} dB"
        cells = [f"{row['max']}", f"{row['mean']:.2g}", *(f"{value:g}" for value in row["percentiles"].values())]
        rows.append([name, *cells, f"{row['within_one']:.4%}", psnr, f"{row['ssim']:.5f}", f"{row['least_ssim']:.4f}"])
    rows += [[name, f"failed: {reason}", *[""] * 9] for name, reason in part["failed"].items()]
    header = ["", "max", "mean", "50%", "90%", "99%", "99.9%", "at most 1", "PSNR", "SSIM", "least SSIM"]
    note = "; ".join(
        f"{name} draws the same pixels as {row['same_as']}"
        for name, row in part["rows"].items()
        if row["same_as"] != name
    )
    lines = [
        [f"{name}, {row['what']}", f"{row['changed']:.4%}", f"{row['from_usual']}", f"{row['from_original']}"]
        for name, variations in part["varied"].items()
        for row in variations
    ]
    return [
        Table(f"Levels off the original, {part['latents']:,} latents", header, rows, note),
        Table(
            f"The same file with other settings, {VARIED} latents",
            ["", "values changed", "levels off its usual pixels", "levels off the original"],
            lines,
        ),
    ]


def headline(part: dict[str, Any]) -> str:
    """The differences of fp32 and int8."""
    rows = part["rows"]
    said = [
        f"{name} {rows[name]['mean']:.2g} levels of 255 on average, {rows[name]['max']} at most"
        for name in ("fp32.onnx", "int8.onnx")
        if name in rows
    ]
    return f"Difference from the original's pixels over {part['latents']:,} faces: {'; '.join(said)}."
