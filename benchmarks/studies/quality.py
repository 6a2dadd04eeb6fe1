"""How many faces do people call broken? `python -m benchmarks.studies.quality FOLDER --data FACES --model FILE …`

The first call writes a grading folder: faces of each model among real ones. People grade it with `avatar-train grade`,
which shows them in random order without their names. Every further call prints the table: for each model and grader the
shares of broken, doubtful and fine faces with Wilson intervals, the graders' agreement, and, with --features, KID,
precision, recall, density and coverage against real faces that the models were not trained on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from avatar_runtime import AvatarGenerator
from avatar_runtime.command.terminal import SETTINGS, Command
from avatar_runtime.errors import InputError
from avatar_runtime.generator import embedded_model
from avatar_runtime.imaging.arrays import UInt8
from benchmarks.suite.tables import Table

REAL = "real"
GRADES = ("broken", "doubtful", "fine")
METRICS = ("KID", "precision", "recall", "density", "coverage")
Counts = Mapping[tuple[str, str], Counter[int]]
"""(source, grader) -> how often each grade was given."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(cls=Command, extra="bench", context_settings=SETTINGS)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--data", type=click.Path(exists=True, path_type=Path), required=True, help="Real faces, never trained on."
)
@click.option("--model", "models", type=_FILE, multiple=True, help="A model file.  [default: the embedded one]")
@click.option("--faces", type=click.IntRange(min=1), default=256, help="Faces of each model to grade.")
@click.option("--real", type=click.IntRange(min=1), default=64, help="Real faces to grade.")
@click.option("--seed", default="quality", help="The series that the models draw.")
@click.option("--features", type=_FILE, help="An ONNX feature network: also compute KID, precision and recall.")
@click.option("--count", type=click.IntRange(min=100), default=2000, help="Faces of each model for these.")
def main(
    folder: Path,
    data: Path,
    models: tuple[Path, ...],
    faces: int,
    real: int,
    seed: str,
    features: Path | None,
    count: int,
) -> None:
    """Grade models blind among real faces, in FOLDER, and print what people and metrics say."""
    models = models or (embedded_model(),)
    if not (folder / "faces.npz").exists():
        write_faces(folder, data, models, faces, real, seed)
        click.echo(f"wrote {len(models) * faces + real} faces to {folder}", err=True)
    found = [table.markdown() for table in grade_tables(read_counts(folder), read_agreement(folder))]
    if not found:
        click.echo(f"nobody has graded {folder} yet: avatar-train grade --out {folder} --grader YOUR_NAME", err=True)
    if features is not None:
        found.append(metric_table(data, models, features, count, seed).markdown())
    click.echo("\n\n".join(found))


def write_faces(folder: Path, data: Path, models: Sequence[Path], faces: int, real: int, seed: str) -> None:
    """Begin a grading folder with faces of the models and of the data, all of the largest model's size.

    Raises:
        InputError: Two models have the same file name.
        DataError: The data holds too few faces.
        OutputError: The folder cannot be written.
    """
    from avatar_training.steering.grading import create_folder
    from avatar_training.steering.real_faces import real_faces

    if len({path.stem for path in models} | {REAL}) <= len(models):
        raise InputError(f"models must differ in their file names, and none may be called {REAL}")
    drawn = {path.stem: AvatarGenerator.load(path).generate(faces, seed=seed) for path in models}
    size = max(images.shape[1] for images in drawn.values())
    names = [f"{source}/{i}" for source in drawn for i in range(faces)]
    images = np.concatenate([resized(images, size) for images in drawn.values()])
    create_folder(folder, names, images, " and ".join(drawn), real_faces(data, real, size, images.shape[-1]))


def resized(images: UInt8, size: int) -> UInt8:
    """Images [N, H, W, 3] at another size, by Lanczos resampling."""
    if images.shape[1] == size:
        return images
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)) for image in images]
    )


def read_answers(folder: Path) -> dict[str, dict[str, int]]:
    """The last grade that each grader gave to each face: grader -> face -> grade. Raises GradesError."""
    from avatar_training.steering import grades

    path, found = folder / grades.GRADES_FILE, dict[str, dict[str, int]]()
    answers = grades.standing(grades.read_answers(path)) if path.exists() else {}
    for (grader, face), answer in answers.items():
        if answer.grade is not None:
            found.setdefault(grader, {})[face] = answer.grade
    return found


def read_counts(folder: Path) -> Counts:
    """How often each grader gave each grade to each source. Raises GradesError."""
    counts: dict[tuple[str, str], Counter[int]] = {}
    for grader, given in read_answers(folder).items():
        for face, grade in given.items():
            counts.setdefault((face.rpartition("/")[0], grader), Counter())[grade] += 1
    return counts


def read_agreement(folder: Path) -> dict[tuple[str, str], tuple[int, float, float]]:
    """For each two graders: faces that both graded, share graded alike, and Cohen's kappa. Raises GradesError."""
    found = {}
    for (one, first), (other, second) in combinations(read_answers(folder).items(), 2):
        if both := sorted(first.keys() & second.keys()):
            a, b = (np.array([given[face] for face in both]) for given in (first, second))
            found[one, other] = (len(both), float((a == b).mean()), kappa(a, b))
    return found


def kappa(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> float:
    """Agreement of two graders beyond chance: 1 is perfect, 0 is chance.

    J. Cohen, "A Coefficient of Agreement for Nominal Scales", 1960.
    """
    by_chance = sum(float((a == grade).mean() * (b == grade).mean()) for grade in range(len(GRADES)))
    return 1.0 if by_chance == 1 else (float((a == b).mean()) - by_chance) / (1 - by_chance)


def grade_tables(counts: Counts, agreement: Mapping[tuple[str, str], tuple[int, float, float]]) -> list[Table]:
    """A row for each source and grader, and a row for each two graders."""
    from scipy.stats import binomtest

    rows = []
    for (source, grader), given in sorted(counts.items()):
        total = given.total()
        cells = []
        for grade in range(len(GRADES)):
            low, high = binomtest(given[grade], total).proportion_ci(method="wilson")
            cells.append(f"{given[grade] / total:.0%} ({low:.0%} to {high:.0%})")
        rows.append([source, grader, f"{total}", *cells])
    tables = [Table("Graded blind", ["faces", "grader", "graded", *GRADES], rows, "In brackets: 95% Wilson intervals.")]
    lines = [
        [f"{one} and {other}", f"{both}", f"{alike:.0%}", f"{kappa:.2f}"]
        for (one, other), (both, alike, kappa) in agreement.items()
    ]
    if lines:
        tables.append(Table("Agreement", ["graders", "faces", "graded alike", "Cohen's kappa"], lines))
    return tables if rows else []


def metric_table(data: Path, models: Sequence[Path], features: Path, count: int, seed: str) -> Table:
    """KID, precision, recall, density and coverage of each model against real faces, over the features of a network."""
    from avatar_training.metrics.kid import FeatureNetwork, kid
    from avatar_training.metrics.precision_recall import precision_recall
    from avatar_training.steering.real_faces import real_faces

    network, rows = FeatureNetwork(features), []
    for path in models:
        generator = AvatarGenerator.load(path)
        real = network(real_faces(data, count, generator.spec.image_size, generator.spec.channels))
        drawn = network(np.concatenate(list(generator.stream(count, seed=seed))))
        distance, deviation = kid(real, drawn)
        found = precision_recall(real, drawn)
        shares = [f"{getattr(found, name):.2f}" for name in METRICS[1:]]
        rows.append([path.stem, f"{distance:.4f} ± {deviation:.4f}", *shares])
    return Table(f"{count:,} faces beside real ones, features of {features.name}", ["faces", *METRICS], rows)


if __name__ == "__main__":
    main()
