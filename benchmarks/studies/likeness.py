"""Do two names look the same, and does the model repeat training images? `python -m benchmarks.studies.likeness`

Prints the distances between a thousand avatars, and from each to the nearest training image, beside the same distances
for real faces. Writes two pictures to look at: the closest pairs of avatars, and the avatars closest to a training
image, each with the three nearest images.
"""

from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from sklearn.metrics.pairwise import euclidean_distances

Matrix = npt.NDArray[np.float32]

_FILE = click.Path(exists=True, path_type=Path)
SERIES, COUNT = "kid", 1000
SHOWN = 12
"""Pairs and avatars in a picture."""


@click.command()
@click.option("--data", type=_FILE, required=True, help="The training images.")
@click.option("--features", type=_FILE, required=True, help="An ONNX feature network.")
@click.option("--model", type=_FILE, help="A model file.  [default: the embedded one]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/likeness"), show_default=True)
def main(data: Path, features: Path, model: Path | None, out: Path) -> None:
    """Compare avatars with each other and with the training images."""
    from avatar_runtime import AvatarGenerator
    from avatar_runtime.imaging.arrays import grid
    from avatar_runtime.imaging.encoding import encode
    from avatar_runtime.output.atomic import make_folder, write_file
    from avatar_training.data import dataset
    from avatar_training.metrics.features import FeatureNetwork

    generator, network = AvatarGenerator.load(model), FeatureNetwork(features)
    drawn = np.concatenate(list(generator.stream(COUNT, seed=SERIES)))
    images = dataset.load(data, generator.spec.image_size, generator.spec.channels).images
    chosen = np.random.default_rng(0).permutation(len(images))[:COUNT]
    real, rest = images[chosen], np.delete(images, chosen, axis=0)
    make_folder(out)

    seen = [network(faces) for faces in (drawn, real)]
    between = [euclidean_distances(own) for own in seen]
    for own in between:
        np.fill_diagonal(own, np.inf)
    _print("Features: distance to the nearest other face", between[0].min(1), between[1].min(1))
    nearest = between[0].argmin(1)
    pairs = sorted({(min(i, j), max(i, j)) for i, j in enumerate(nearest)}, key=lambda pair: between[0][pair])[:SHOWN]
    write_file(out / "pairs.png", encode(grid(drawn[np.ravel(pairs)], 2 * SHOWN // 3, 2), ".png"))

    # Training mirrors half of the images, so an avatar may repeat a mirrored one.
    both = np.concatenate([rest, rest[:, :, ::-1]])
    to_avatars, to_real = (_pixel_distances(faces, both) for faces in (drawn, real))
    _print("Pixels: levels to the nearest training image", to_avatars.min(1), to_real.min(1))
    closest = to_avatars.min(1).argsort()[:SHOWN]
    rows = [np.concatenate([drawn[i : i + 1], both[to_avatars[i].argsort()[:3]]]) for i in closest]
    write_file(out / "training.png", encode(grid(np.concatenate(rows), 12, 2), ".png"))
    click.echo(f"wrote {out}/pairs.png, and {out}/training.png: an avatar, then its three nearest training images")


def _print(what: str, generated: Matrix, real: Matrix) -> None:
    click.echo(what)
    for name, values in (("avatars", generated), ("real", real)):
        points = np.percentile(values, (0, 1, 50))
        click.echo(f"  {name}: least {points[0]:.2f}, 1% {points[1]:.2f}, median {points[2]:.2f}")


def _pixel_distances(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> Matrix:
    """Root mean square difference in levels, of images [N, H, W, C] and [M, H, W, C]: [N, M]."""
    drawn, images = (faces.reshape(len(faces), -1) for faces in (a, b))  # stays uint8: as float32 it would take 2.8 GB
    parts = [euclidean_distances(drawn, images[i : i + 4096]) for i in range(0, len(images), 4096)]
    return np.asarray(np.concatenate(parts, axis=1) / np.sqrt(drawn.shape[1]), np.float32)


if __name__ == "__main__":
    main()
