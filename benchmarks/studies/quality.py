"""How many faces do people call broken? `python -m benchmarks.studies.quality FOLDER --data FACES --model FILE …`

The first call writes a grading folder: faces of each model among real ones. People grade it with `avatar-train grade`,
which shows them in random order without their names. Every further call prints what they said, and, with --features,
KID, precision, recall, density and coverage against real faces that the models were not trained on.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image

from avatar_runtime import AvatarGenerator
from avatar_runtime.command.base import SETTINGS, Command
from avatar_runtime.errors import InputError
from avatar_runtime.generator import embedded_model
from avatar_runtime.imaging.arrays import UInt8
from benchmarks.suite.tables import Table

METRICS = ("KID", "precision", "recall", "density", "coverage")

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
    from avatar_training.steering.grades import FACES_FILE, GRADES_FILE
    from avatar_training.steering.summary import summarise

    models = models or (embedded_model(),)
    if not (folder / FACES_FILE).exists():
        write_faces(folder, data, models, faces, real, seed)
        click.echo(f"wrote {len(models) * faces + real} faces to {folder}", err=True)
    if (folder / GRADES_FILE).exists():
        click.echo("\n".join(summarise(folder)))
    else:
        click.echo(f"nobody has graded {folder} yet: avatar-train grade --out {folder} --grader YOUR_NAME", err=True)
    if features is not None:
        click.echo("\n" + metric_table(data, models, features, count, seed).markdown())


def write_faces(folder: Path, data: Path, models: Sequence[Path], faces: int, real: int, seed: str) -> None:
    """Begin a grading folder with faces of the models and of the data, all of the largest model's size.

    Raises:
        InputError: Two models have the same file name.
        DataError: The data holds too few faces.
        OutputError: The folder cannot be written.
    """
    from avatar_training.data.real_faces import real_faces
    from avatar_training.steering.grading import create_folder

    if len({path.stem for path in models} | {"real"}) <= len(models):
        raise InputError("models must differ in their file names, and none may be called real")
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


def metric_table(data: Path, models: Sequence[Path], features: Path, count: int, seed: str) -> Table:
    """KID, precision, recall, density and coverage of each model against real faces, over the features of a network."""
    from avatar_training.data.real_faces import real_faces
    from avatar_training.metrics.features import FeatureNetwork
    from avatar_training.metrics.kid import kid
    from avatar_training.metrics.precision_recall import precision_recall

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
