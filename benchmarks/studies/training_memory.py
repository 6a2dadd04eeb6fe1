"""How much memory a run takes beside the arrays it must hold. `python -m benchmarks.studies.training_memory`

Two runs of the recipe edge, each in a process of its own: one on a few images, which shows what MindSpore and the
networks take, and one on many. Resident memory comes from /proc.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

import click

SIDE = 96
"""Of the pictures in the zip."""


def pictures(path: Path, count: int) -> None:
    """A zip of `count` JPEGs, a thousand of them different."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    files = []
    for _ in range(min(count, 1000)):
        coarse = Image.fromarray(draw.integers(0, 256, (12, 12, 3), dtype=np.uint8))
        buffer = BytesIO()
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i:06}.jpg", files[i % len(files)])


def resident(kind: str) -> int:
    """VmRSS, the memory this process has now, or VmHWM, the most it ever had; in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024 // 10**6


def one_run(data: str, out: str, image_size: int, ticks: int, tick: int) -> dict[str, object]:
    """Train in this process: memory after decoding, a few steps after each tick, and at most; in MB."""
    from avatar_training.config import TrainConfig
    from avatar_training.loop import Progress, train

    config = TrainConfig(data, steps=ticks * tick + 3, image_size=image_size, snapshot_every=tick)
    decoded: list[int] = []
    ticked: list[int] = []

    def on_step(progress: Progress) -> None:
        if progress.step % tick == 3:
            ticked.append(resident("VmRSS"))

    train(config, Path(out), on_message=lambda said: decoded.append(resident("VmHWM")), on_step=on_step)
    return {"decoded": decoded[0], "ticked": ticked, "peak": resident("VmHWM")}


@click.command()
@click.option("--images", type=click.IntRange(min=1000), default=70_000, show_default=True, help="In the large run.")
@click.option("--image-size", type=click.Choice([32, 64, 128]), default=64, show_default=True, help="Pixels a side.")
@click.option("--ticks", type=click.IntRange(min=1), default=4, show_default=True, help="Snapshots to see.")
@click.option("--tick", type=click.IntRange(min=4), default=5, show_default=True, help="Steps between two.")
def main(images: int, image_size: int, ticks: int, tick: int) -> None:
    """Measure the memory of a training run on the CPU."""
    peaks, arrays = [], []
    with tempfile.TemporaryDirectory() as folder:
        for count in (1000, images):
            data = Path(folder) / f"{count}.zip"
            pictures(data, count)
            arguments = (str(data), f"{folder}/{count}", image_size, ticks, tick)
            program = f"import json\nfrom {__spec__.name} import one_run\nprint(json.dumps(one_run(*{arguments})))"
            environment = {**os.environ, "GLOG_v": "3"}
            done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            peaks.append(found["peak"])
            arrays.append(count * image_size**2 * 3 / 1e6)
            print(
                f"{count} images of {SIDE}x{SIDE} as {image_size}x{image_size}, an array of {arrays[-1]:.0f} MB: ",
                end="",
            )
            print(f"{found['decoded']} MB when decoded, {found['ticked']} MB after each tick, {peaks[-1]} MB at most")
    more = (peaks[1] - peaks[0]) / (arrays[1] - arrays[0])
    print(f"more images take {more:.2f} of their own size; the run takes {peaks[1] / arrays[1]:.2f} of the array")


if __name__ == "__main__":
    main()
