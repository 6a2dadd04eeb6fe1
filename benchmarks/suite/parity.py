"""How far each file's pixels are from the original's, whatever the batch, threads, optimizations or onnxruntime."""

import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from avatar_runtime.imaging.encoding import encode
from avatar_runtime.latents import latents, series
from avatar_runtime.output.atomic import write_file
from benchmarks.baselines import ORIGINAL, REFERENCE, RIVALS
from benchmarks.suite import quality
from benchmarks.suite.latency import pixels
from benchmarks.suite.models import OURS, Models
from benchmarks.suite.plots import Bar, Bars
from benchmarks.suite.process import Network, Process
from benchmarks.suite.samples import TurnError, exactly
from benchmarks.suite.setting import Setting
from benchmarks.suite.tables import Table

READ = (
    "The same latents through each file and through MindSpore's own network, its last tanh in float64 (its float32 "
    "tanh is up to 1e-4 off). Differences are in levels of 255, over all values of all pixels. KID is the distance of "
    "two sets of faces over the features of the network given: it compares only with itself, and its deviation is "
    "over subsets."
)
INPUTS = ("features", "data", "pythons")
SERIES, LATENTS = "benchmark", 10_000
VARIED = 256
"""Latents that are drawn again in each variation."""
LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
"""Of graph optimization, and onnxruntime's names for them."""
WORST = 10
KID_FACES = 1000

ELSEWHERE = """
import sys, numpy, onnxruntime
z = numpy.load(sys.argv[1])
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
drawn = [session.run(None, {"z": z[i : i + 64]})[0] for i in range(0, len(z), 64)]
numpy.save(sys.argv[3], numpy.concatenate(drawn))
print(onnxruntime.__version__)
"""


def measure(setting: Setting, made: Callable[[], Models], say: Callable[[str], None]) -> dict[str, Any]:
    """Each of our files beside the original."""
    models = made()
    z = latents(list(series(SERIES, LATENTS // 10 if setting.quick else LATENTS)), models.latent_dim)
    if reason := ORIGINAL.missing():
        raise TurnError(reason)
    skipped: dict[str, str] = {}
    failed = dict(models.failed)
    say(f"MindSpore draws {len(z):,}")
    expected = _drawn(REFERENCE.name, setting, models, z)
    drawn: dict[str, Any] = {}
    pictures: dict[str, str] = {}
    rows: dict[str, Any] = {}
    for name in [name for name in OURS if name not in failed]:
        say(f"{name} draws {len(z):,}")
        rival = next(rival for rival in RIVALS if rival.file == name)
        try:
            drawn[name] = _drawn(rival.name, setting, models, z)
        except TurnError as err:
            failed[name] = str(err)
            continue
        same = next((other for other in rows if np.array_equal(drawn[other], drawn[name])), None)
        if same is not None:
            rows[name] = {**rows[same], "same_as": rows[same]["same_as"]}
            continue
        say(f"comparing {name}")
        worst = quality.worst(expected, drawn[name], WORST)
        rows[name] = {**quality.difference(expected, drawn[name]), "worst": worst, "same_as": name}
        picture = f"worst-{name}.png"
        pictures[picture] = f"The {WORST} worst faces of {name}: MindSpore's, the file's, their difference made bright."
        sheet = quality.sheet(expected[worst], drawn[name][worst])
        write_file(setting.out / picture, encode(sheet, ".png"))
    varied = {}
    for name in rows:
        varied[name] = _varied(name, setting, models, z[:VARIED], drawn[name][:VARIED], expected[:VARIED], skipped, say)
    kids = _kids(setting, {"MindSpore": expected, **drawn}, rows, skipped, say)
    ratios = {f"{name}, mean difference of 255 levels": row["mean"] / 255 for name, row in rows.items()}
    return {
        "skipped": skipped,
        "failed": failed,
        "latents": len(z),
        "rows": rows,
        "varied": varied,
        "kid": kids,
        "pictures": pictures,
        "ratios": {name: exactly(value).to_dict() for name, value in ratios.items()},
    }


def _drawn(name: str, setting: Setting, models: Models, z: Any) -> Any:
    rival = next(rival for rival in (REFERENCE, *RIVALS) if rival.name == name)
    with closing(rival.start(models, setting.threads, setting.out / "logs")) as process:
        parts = [process.ask(pixels, z[i : i + 640], models.pixel_range) for i in range(0, len(z), 640)]
    return np.concatenate(parts)


def open_with(path: str, threads: int, level: str) -> Network:
    """A file in a session with these settings."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda z: session.run(None, {"z": z})[0]


def _varied(
    name: str,
    setting: Setting,
    models: Models,
    z: Any,
    usual: Any,
    expected: Any,
    skipped: dict[str, str],
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """A file in other batches, threads, optimizations and onnxruntimes: how far from itself and MindSpore."""
    path = models.folder / name
    found = []

    def compared(what: str, images: Any) -> None:
        from_usual = np.abs(images.astype(np.int16) - usual)
        found.append({
            "what": what,
            "changed": float((from_usual > 0).mean()),
            "from_usual": int(from_usual.max()),
            "from_original": int(np.abs(images.astype(np.int16) - expected).max()),
        })  # fmt: skip

    settings = [(f"batch {batch}", setting.threads, "all", batch) for batch in (1, 7)]
    settings += [
        (f"{count} thread{'s' * (count > 1)}", count, "all", 64) for count in (1, 2, 4) if count != setting.threads
    ]
    if path.suffix == ".onnx":  # an .ort file is optimized already
        settings += [(f"optimizations: {level}", setting.threads, level, 64) for level in LEVELS if level != "all"]
    for what, threads, level, batch in settings:
        say(f"{name}, {what}")
        opened = Process(open_with, str(path), threads, level, log=setting.out / "logs/varied.txt", threads=threads)
        with closing(opened) as process:
            compared(what, process.ask(pixels, z, models.pixel_range, batch))
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/z.npy", z)
        for python in setting.pythons:
            arguments = [str(python), "-c", ELSEWHERE, f"{folder}/z.npy", str(path), f"{folder}/drawn.npy"]
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            if done.returncode:
                said = done.stderr.strip().splitlines() or ["no reason given"]
                skipped[f"{name} by {python.name}"] = said[-1][:300]
            else:
                compared(f"onnxruntime {done.stdout.split()[-1]}", np.load(f"{folder}/drawn.npy"))
    return found


def _kids(
    setting: Setting, sets: dict[str, Any], rows: dict[str, Any], skipped: dict[str, str], say: Callable[[str], None]
) -> dict[str, Any]:
    """KID of each set of faces against the original's next ones and against real ones."""
    if setting.features is None:
        skipped["KID"] = "no --features FILE.onnx was given"
        return {}
    from avatar_training.metrics.kid import FeatureNetwork, kid

    network = FeatureNetwork(setting.features)
    count = min(KID_FACES, len(next(iter(sets.values()))) // 2)
    say(f"features of {count} other faces of MindSpore's")
    others = {"other faces of the original": network(sets[ORIGINAL.name][count : 2 * count])}
    if setting.data is None:
        skipped["KID against real faces"] = "no --data was given"
    else:
        say(f"features of {count} real faces")
        others["real faces"] = network(_real_faces(setting.data, count, *sets[ORIGINAL.name].shape[2:]))
    found = {}
    for name, images in sets.items():
        if name in rows and rows[name]["same_as"] != name:
            continue
        say(f"features of {count} faces of {name}")
        features = network(images[:count])
        found[name] = {other: kid(real, features) for other, real in others.items()}
    return {"features": setting.features.name, "features_sha256": network.sha256, "faces": count, "sets": found}


def _real_faces(data: Path, count: int, size: int, channels: int) -> Any:
    """So many images of a folder or zip, chosen at random: uint8 [N, size, size, channels]. All would take 14 s."""
    from avatar_training.data import dataset

    source = dataset.open_source(data)
    with tempfile.TemporaryDirectory() as folder:
        for name in np.random.default_rng(0).permutation(source.names)[:count].tolist():
            (Path(folder) / name.replace("/", "-")).write_bytes(source.read(name))
        return dataset.load(Path(folder), size, channels).images


def tables(part: dict[str, Any]) -> list[Table]:
    """Differences, variations, KID."""
    rows = []
    for name, row in part["rows"].items():
        psnr = "equal" if row["psnr_db"] is None else f"{row['psnr_db']:.1f} dB"
        cells = [f"{row['max']}", f"{row['mean']:.2g}", *(f"{value:g}" for value in row["percentiles"].values())]
        rows.append([name, *cells, f"{row['within_one']:.4%}", psnr, f"{row['ssim']:.5f}", f"{row['least_ssim']:.4f}"])
    rows += [[name, f"failed: {reason}", *[""] * 9] for name, reason in part["failed"].items()]
    header = ["", "max", "mean", "50%", "90%", "99%", "99.9%", "at most 1", "PSNR", "SSIM", "least SSIM"]
    note = "; ".join(
        f"{n} draws the same pixels as {r['same_as']}" for n, r in part["rows"].items() if r["same_as"] != n
    )
    found = [Table(f"Levels off the original, {part['latents']:,} latents", header, rows, note)]
    lines = [
        [f"{name}, {row['what']}", f"{row['changed']:.4%}", f"{row['from_usual']}", f"{row['from_original']}"]
        for name, variations in part["varied"].items()
        for row in variations
    ]
    header = ["", "values changed", "levels off as usual", "levels off the original"]
    found.append(Table(f"The same file run otherwise, {VARIED} latents", header, lines))
    if part["kid"]:
        sets = part["kid"]["sets"]
        others = list(next(iter(sets.values())))
        lines = [
            # Adding 0 after rounding makes 0 of -0.
            [name, *(f"{round(row[other][0], 4) + 0:.4f} ± {row[other][1]:.4f}" for other in others)]
            for name, row in sets.items()
        ]
        found.append(Table(f"KID of {part['kid']['faces']} faces over {part['kid']['features']}", ["", *others], lines))
    return found


def headline(part: dict[str, Any]) -> str:
    """How far fp32 and int8 are."""
    rows = part["rows"]
    said = [f"{name} {rows[name]['mean']:.2g} levels of 255 on average, {rows[name]['max']} at most"
            for name in ("fp32.onnx", "int8.onnx") if name in rows]  # fmt: skip
    return f"Off the original's pixels over {part['latents']:,} faces: {'; '.join(said)}."


def bars(part: dict[str, Any]) -> dict[str, Bars]:
    """Mean and largest difference."""
    panels = []
    for title, key in (("mean", "mean"), ("largest", "max")):
        exact = {name: exactly(row[key]) for name, row in part["rows"].items()}
        panels.append((title, [Bar(name, value, True) for name, value in exact.items()]))
    return {"parity": Bars("Difference from MindSpore's pixels", panels, "levels of 255")}
