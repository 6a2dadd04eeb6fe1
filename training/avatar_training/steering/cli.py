"""avatar-train grade, steer and map: read the options, call the library, print the result."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from avatar_runtime.command.base import Command
from avatar_runtime.command.progress import ProgressBar, say

if TYPE_CHECKING:
    from avatar_training.steering.grading import Grading

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(cls=Command, extra="train", context_settings={"show_default": True})
@click.option("--out", type=_FOLDER, required=True, metavar="FOLDER", help="The grading folder, new or to continue.")
@click.option("--grader", required=True, metavar="NAME", help="Your name; each grader gets the faces in another order.")
@click.option("--model", type=_FILE, metavar="MODEL.onnx", help="Draw the faces of a new folder with this model file.")
@click.option("--checkpoint", type=_FOLDER, metavar="DIR", help="Draw them with this run or trained pair.")
@click.option("--real", type=click.Path(path_type=Path), metavar="DIR_OR_ZIP", help="Hide real faces among them.")
@click.option("--real-count", type=click.IntRange(min=1), metavar="N", help="How many.  [default: 1 for 16 faces]")
@click.option("--count", type=click.IntRange(1, 100_000), default=640, metavar="N", help="Faces to draw.")
@click.option("--series", default="grade", metavar="NAME", help="The faces are NAME/0, NAME/1, ….")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port of the page; 0: any free.")
@click.option("--sheets", type=_FOLDER, metavar="FOLDER", help="Write numbered sheets of 64 faces instead.")
@click.option("--take", type=_FILE, multiple=True, metavar="FILE", help="Read grades from a text file instead.")
def grade(
    out: Path,
    grader: str,
    model: Path | None,
    checkpoint: Path | None,
    real: Path | None,
    real_count: int | None,
    count: int,
    series: str,
    port: int,
    sheets: Path | None,
    take: tuple[Path, ...],
) -> None:
    """Ask people which faces are broken, doubtful or fine.

    Opens a page on this machine only; every answer is saved at once in FOLDER/grades.jsonl, so you can
    stop at any time and continue with the same command. Several people can grade one folder.

    \b
    Examples:
      avatar-train grade --checkpoint runs/night --real faces.zip --out grades/night --grader ana
      avatar-train grade --out grades/night --grader ben
      avatar-train grade --out grades/night --grader ben --sheets sheets
      avatar-train grade --out grades/night --grader ben --take numbers.txt
    """
    if model and checkpoint:
        raise click.UsageError("--model and --checkpoint both say which faces to grade: use one of them")
    if sheets and take:
        raise click.UsageError("--sheets writes faces and --take reads their grades: use one after the other")
    if real_count and not real:
        raise click.UsageError("--real-count needs --real DIR_OR_ZIP")
    from avatar_training.steering.grades import FACES_FILE
    from avatar_training.steering.grading import Grading
    from avatar_training.steering.summary import summarise

    if not (out / FACES_FILE).exists():
        if model is None and checkpoint is None:
            raise click.UsageError(f"{out} holds no faces yet; draw some with --model or --checkpoint")
        _begin(out, model, checkpoint, count, series, real, real_count or -(-count // 16))
    elif model or checkpoint or real:
        raise click.UsageError(f"{out} already holds faces: leave out --model, --checkpoint and --real")
    grading = Grading(out, grader)
    if sheets:
        from avatar_training.steering.sheets import write_sheets

        click.echo(f"{len(write_sheets(grading, sheets))} sheets in {sheets}; --take FILE reads the grades back")
        return
    if take:
        from avatar_training.steering.sheets import take_numbers

        for path in take:
            click.echo(f"{path}: {take_numbers(grading, path)} faces graded")
    else:
        _serve(grading, port)
    if grading.grades:
        click.echo("\n".join(summarise(out)))


@click.command(
    cls=Command,
    extra="train",
    short_help="Steer a generator to whole faces, by grades.",
    context_settings={"show_default": True},
)
@click.option("--checkpoint", type=_FOLDER, required=True, metavar="DIR", help="Folder of a run or a trained pair.")
@click.option(
    "--grades",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    metavar="FOLDER",
    help="A grading folder, or an .npz of latents, grade, grader and sheet; repeatable.",
)
@click.option(
    "--graded-checkpoint",
    type=_FOLDER,
    metavar="DIR",
    help="The pair that drew the latents of an .npz.  [default: --checkpoint]",
)
@click.option("--network", type=_FILE, required=True, metavar="FILE.onnx", help="The image classifier of the critic.")
@click.option(
    "--tensor",
    "tensors",
    multiple=True,
    metavar="NAME",
    help="An activation of it to use; repeatable.  [default: the widest of stride 8 and of stride 16]",
)
@click.option("--real", type=click.Path(path_type=Path), metavar="DIR_OR_ZIP", help="Real faces to compare with.")
@click.option("--strength", type=float, metavar="C", help="How far towards whole faces.  [default: as suggested]")
@click.option("--strengths", default="0.6,0.8,1,1.2,1.5", metavar="C,…", help="Strengths to measure.")
@click.option(
    "--keep-recall",
    type=click.FloatRange(0, 1),
    default=0.8,
    metavar="R",
    help="Suggest the largest strength that keeps this share of the recall.",
)
@click.option(
    "--faces", type=click.IntRange(min=64), default=2000, metavar="N", help="Faces measured at each strength."
)
@click.option("--real-faces", type=click.IntRange(min=6), default=3400, metavar="N", help="Real faces to compare with.")
@click.option(
    "--fresh-faces",
    type=click.IntRange(min=200),
    default=4800,
    metavar="N",
    help="Faces from which the direction is found.",
)
@click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="A new folder for the steered pair.")
def steer(
    checkpoint: Path,
    grades: tuple[Path, ...],
    graded_checkpoint: Path | None,
    network: Path,
    tensors: tuple[str, ...],
    real: Path | None,
    strength: float | None,
    strengths: str,
    keep_recall: float,
    faces: int,
    real_faces: int,
    fresh_faces: int,
    out: Path,
) -> None:
    """Make a trained generator draw whole faces, from grades of its faces.

    DIR gets generator.ckpt, discriminator.ckpt and config.json, as avatar-export takes them, the critic (critic.npz),
    and report.html: look at it before you use the rest.

    \b
    Examples:
      avatar-train steer --checkpoint runs/night --grades grades/night --network classifier.onnx \\
          --real faces.zip --out runs/steered
      avatar-train steer --checkpoint runs/night --grades grades/night --network classifier.onnx \\
          --strength 1.2 --out runs/steered
    """
    try:
        measured = tuple(float(word) for word in strengths.split(","))
    except ValueError as err:
        raise click.UsageError(f"--strengths {strengths}: numbers separated by commas, such as 0.6,1,1.5") from err
    if any(not 0 <= value <= 10 for value in (*measured, strength or 0)):
        raise click.UsageError("a strength is from 0 to 10 standard deviations; 0.6 to 1.5 are usual")
    if real is None and strength is None:
        raise click.UsageError("--real lets recall be measured and a strength suggested; without it, give --strength")
    from avatar_training.steering.steer import SteerConfig
    from avatar_training.steering.steer import steer as run

    config = SteerConfig(
        checkpoint, grades, network, out, graded_checkpoint, real, strength, measured, keep_recall, tensors,
        fresh_faces=fresh_faces, faces=faces, real_faces=real_faces,
    )  # fmt: skip
    with ProgressBar("steering") as steering:
        steered = run(config, say, steering.show)
    before, after = steered.points[0], next(p for p in steered.points if p.strength == steered.strength)
    unseen = steered.judge.validation.unseen
    change = f"{before.broken:.1%} -> {after.broken:.1%} broken according to the other {unseen}s"
    click.echo(f"strength {steered.strength:g}: {change}; look at {out}/report.html")


def _begin(
    out: Path, model: Path | None, checkpoint: Path | None, count: int, series: str, real: Path | None, real_count: int
) -> None:
    """Draw the faces of a new grading folder."""
    from avatar_training.data.real_faces import real_faces
    from avatar_training.steering.drawing import draw_checkpoint, draw_model
    from avatar_training.steering.grading import create_folder

    def watch(batches: list[list[str]]) -> Iterator[list[str]]:
        return ProgressBar("drawing", show_pos=False).watch(batches, len(batches))

    draw = partial(draw_model, model) if model else partial(draw_checkpoint, checkpoint or Path())
    drawn = draw(series, count, watch)
    hidden = None
    if real is not None:
        hidden = real_faces(real, real_count, drawn.images.shape[1], drawn.images.shape[3])
    create_folder(out, drawn.names, drawn.images, drawn.model, hidden)


def _serve(grading: "Grading", port: int) -> None:
    from avatar_training.steering.grading_server import GradingServer

    with GradingServer(grading, port) as server:
        click.echo(f"{grading.grader}: grade at {server.url} (Ctrl-C ends; answers are saved as they are given)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo()


@click.command(
    "map",
    cls=Command,
    extra="train",
    short_help="Lead latents to whole faces, by critics.",
    context_settings={"show_default": True},
)
@click.option("--checkpoint", type=_FOLDER, required=True, metavar="DIR", help="Folder of a run or a trained pair.")
@click.option(
    "--critic",
    type=_FILE,
    required=True,
    multiple=True,
    metavar="FILE.npz",
    help="What avatar-train steer learnt from grades; best two, of different classifiers.",
)
@click.option(
    "--critic-network",
    type=_FILE,
    required=True,
    multiple=True,
    metavar="FILE.onnx",
    help="The image classifier of each critic.",
)
@click.option(
    "--weight",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    metavar="W",
    help="Of the critics, against how much the faces change.",
)
@click.option("--steps", type=click.IntRange(min=1), default=400, metavar="N", help="Steps of 16 faces each.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of the faces.")
@click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="A new folder for the pair with the map.")
def learn_map(
    checkpoint: Path,
    critic: tuple[Path, ...],
    critic_network: tuple[Path, ...],
    weight: float,
    steps: int,
    seed: int,
    out: Path,
) -> None:
    """Write a pair whose generator sees each latent moved to where critics find its faces whole.

    The map is affine and learnt by gradient descent; the generator itself stays. It takes some two
    minutes on two cores with two critics.

    \b
    Example:
      avatar-train map --checkpoint runs/night --critic runs/steered/critic.npz \\
        --critic-network classifier.onnx --out runs/mapped
    """
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ code warns about its own internals
    with ProgressBar("learning") as bar:
        from avatar_training.steering.learned_map import learn_map as run

        learnt = run(checkpoint, out, critic, critic_network, weight, steps, seed, bar.show)
    click.echo(f"{click.format_filename(out)}: mean logit of the critics {learnt.before:.2f} -> {learnt.after:.2f}")
