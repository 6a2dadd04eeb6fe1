"""Does a process that draws for long hold more and more? `python -m benchmarks.studies.soak --minutes 30`"""

import os
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from avatar_runtime import AvatarGenerator, InputError
from avatar_runtime.generator import embedded_model
from avatar_runtime.output.bulk import draw_files, numbered
from avatar_runtime.output.picture import Picture


def held() -> tuple[float, int, int]:
    """This process's memory in MiB, open descriptors and threads; on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        len(list(Path("/proc/self/fd").iterdir())),
        len(list(Path("/proc/self/task").iterdir())),
    )


def mixed_call(generator: AvatarGenerator, folder: Path, model: Path, rng: random.Random) -> None:
    """Make a random call of the library."""
    names = [f"name {rng.random()}" for _ in range(rng.choice([1, 2, 7, 64, 100]))]
    match rng.randrange(8):
        case 0:
            generator.generate(names, truncation=rng.random())
        case 1:
            generator.interpolate(names[0], names[-1], rng.randrange(2, 70))
        case 2:
            generator.mix(names[0], names[-1], rng.random())
        case 3:
            for file in draw_files(generator, numbered("S", 20), folder, rng.choice([".png", ".webp", ".jpg"])):
                file.path.unlink()
        case 4:
            Picture(tuple(names)).render(generator, ".png")
        case 5:
            with AvatarGenerator.load(model, threads=rng.choice([None, 1, 2])) as another:
                another.images(names[:2])
        case 6:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(generator.generate, [[name] for name in names]))
        case _:
            try:
                generator.generate(names, truncation=3)
            except InputError:
                next(generator.stream(names, batch_size=3))


@click.command()
@click.option("--minutes", type=float, default=30.0, show_default=True, help="How long.")
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="Another model than the embedded one.")
def main(minutes: float, model: Path | None) -> None:
    """Call the library at random and print what the process holds. The first fifth of the time is warm-up."""
    model = model or embedded_model()
    rng, calls = random.Random(0), 0
    rows: list[tuple[float, int, int]] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, AvatarGenerator.load(model) as generator:
        while (passed := time.monotonic() - began) < minutes * 60:
            mixed_call(generator, Path(folder), model, rng)
            calls += 1
            if passed > minutes * 12 and passed > minutes * (12 + len(rows)):
                rows.append(held())
                print(f"{passed:6.0f} s, {calls:7} calls: {rows[-1][0]:.1f} MiB, {rows[-1][1]} descriptors, ", end="")
                print(f"{rows[-1][2]} threads", flush=True)
    half = len(rows) // 2
    early, late = (max(row[0] for row in part) for part in (rows[:half], rows[half:]))
    print(f"memory: {100 * (late / early - 1):+.1f}% from the first half to the second; ", end="")
    print(f"descriptors {rows[0][1]} to {rows[-1][1]}, threads {rows[0][2]} to {rows[-1][2]}")


if __name__ == "__main__":
    main()
