"""avatar-train: reads the options, calls `loop.train` and shows progress."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from avatar_runtime.command.base import SETTINGS, Command, group, version_option
from avatar_runtime.command.progress import ProgressBar, say
from avatar_training import device
from avatar_training.classifier.cli import classifier
from avatar_training.config import (
    DEVICE_TARGETS,
    FACES_URL,
    GENERATORS,
    IMAGE_SIZES,
    LOSSES,
    RECIPES,
    RUNS,
    TrainConfig,
)
from avatar_training.enlarging.cli import enlarge
from avatar_training.errors import TrainingError
from avatar_training.preparation.cli import prepare
from avatar_training.run_folder.record import newest_run, read_record, shapes_of
from avatar_training.signals import StopRequest
from avatar_training.steering.cli import grade, learn_map, steer

_FOLDER = click.Path(path_type=Path, file_okay=False)
_FROM_0, _FROM_1 = ({"type": click.IntRange(min=least), "metavar": "N"} for least in (0, 1))


_data = group("Data and length", configurable=True)
_where = group("The run")
_network = group("Networks", configurable=True)
_loss = group("Losses and optimiser", configurable=True)
_reward = group("Reward", configurable=True)
_keep = group("Snapshots and the best generator", configurable=True)
_machine = group("Machine and chance", configurable=True)


class _Group(Command, click.Group):
    """Trains when no other command is named."""


@click.group(
    cls=_Group,
    extra="train",
    table="train",
    invoke_without_command=True,
    context_settings={**SETTINGS, "show_default": False},
)
@_data("--data", metavar="DIR_OR_ZIP", help="Training images.  [default with --resume: the run's]")
@_data(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    help="edge: hours on a CPU. long: days on an accelerator. tutorial: as in MindSpore's.  [default: edge]",
)
@_data("--steps", **_FROM_1, help="Total number of steps.  [default: the recipe's]")
@_data("--epochs", **_FROM_1, help="Passes over the data, instead of --steps.")
@_data("--batch-size", type=click.IntRange(min=2), metavar="N", help="Images per step.")
@_data("--flip/--no-flip", default=None, help="Mirror images at random.")
@_where("--out", type=_FOLDER, metavar="DIR", help="Run folder.  [default: runs/RECIPE; with --resume, the newest run]")
@_where(
    "--download",
    metavar="[URL]",
    is_flag=False,
    flag_value=FACES_URL,
    help="First download the zip to the path in --data, from URL or by default the tutorial's 70,171 faces.",
)
@_where(
    "--init-from",
    metavar="DIR",
    help="Start from the generator.ckpt and discriminator.ckpt in DIR; with a larger --image-size they grow.",
)
@_where("--resume", is_flag=True, help="Continue from the newest snapshot.")
@_where("--restart", is_flag=True, help="Start over; a run already in --out is renamed, not deleted.")
@_where("--dry-run", is_flag=True, help="Print the configuration and stop.")
@_network(
    "--image-size", type=click.Choice(IMAGE_SIZES), help="Height and width in pixels.  [default: 64, or as --init-from]"
)
@_network("--channels", type=click.Choice([1, 3]), help="1 for grey, 3 for RGB.  [default: 3]")
@_network("--latent-dim", **_FROM_1, help="Length of a latent vector.  [default: 100]")
@_network(
    "--generator",
    type=click.Choice(GENERATORS),
    help="refined adds residual blocks to the tutorial's.  [default: tutorial]",
)
@_network(
    "--bounded/--no-bounded",
    default=None,
    help="The generator's ReLUs give no more than 1, so that int8 exports come nearer to it: see avatar-train bound.",
)
@_network("--ngf", **_FROM_1, help="Width of the generator.  [default: 64]")
@_network("--ndf", **_FROM_1, help="Width of the discriminator.")
@_network(
    "--mirror/--no-mirror",
    default=None,
    help="Discriminators see each image beside its mirror image, to notice eyes that differ; for frontal faces.",
)
@_network(
    "--spectral-norm/--no-spectral-norm",
    default=None,
    help="Spectral instead of batch normalisation in the discriminator.",
)
@_loss("--loss", type=click.Choice(LOSSES), help="Adversarial loss.")
@_loss(
    "--real-label", type=click.FloatRange(0, 1), metavar="P", help="Label of real images; below 1 is label smoothing."
)
@_loss("--learning-rate", type=float, metavar="R", help="Adam's learning rate, for both networks.")
@_loss("--lr-decay-steps", **_FROM_0, help="Lower the learning rate to 0 over the last N steps.  [default: 0]")
@_loss("--beta1", type=float, metavar="B", help="Adam's decay rate of the first moment.")
@_loss("--beta2", type=float, metavar="B", help="Adam's decay rate of the second moment.")
@_loss(
    "--min-truncation",
    type=click.FloatRange(0, 1),
    metavar="T",
    help="Scale each latent by a random factor from T to 1, so that avatar-gen --truncation T also draws faces.  "
    "[default: 1]",
)
@_loss(
    "--activation-limit",
    type=float,
    metavar="A",
    help="Penalise hidden activations above A, which makes int8 exports more accurate; 0 for no limit.  [default: 0]",
)
@_loss(
    "--diff-augment/--no-diff-augment",
    default=None,
    help="Augment real and generated images in the same way (DiffAugment).",
)
@_loss(
    "--feature-heads",
    metavar="FILE.onnx",
    help="Also judge images by the features of this MobileNetV2 (Projected GANs).",
)
@_loss("--ema-decay", type=float, metavar="D", help="Decay of the generator's moving average; 0 for no average.")
@_reward(
    "--critic",
    multiple=True,
    metavar="FILE.npz",
    help="Train the generator to please a critic, itself trained on grades; several times for several.",
)
@_reward(
    "--critic-network",
    multiple=True,
    metavar="FILE.onnx",
    help="The classifier whose activations the critic weighs; once for each critic.",
)
@_reward("--reward-weight", type=float, metavar="W", help="Weight of the critics' mean.  [default: 0.6]")
@_reward("--reward-images", **_FROM_1, help="Images of a batch that each critic sees.  [default: 8]")
@_keep("--snapshot-every", **_FROM_1, help="Steps between two snapshots.  [default: 200]")
@_keep("--keep", **_FROM_1, help="Number of snapshots to keep.  [default: 2]")
@_keep(
    "--rollback/--no-rollback",
    default=None,
    help="If training diverges, go back to the last good snapshot, at most 3 times.",
)
@_keep(
    "--kid-network",
    metavar="FILE.onnx",
    help="Measure KID over the features of this network, and keep the best generator as best.ckpt.",
)
@_keep("--kid-every", **_FROM_0, help="Steps between two measurements of KID; 0 for none.  [default: 2000]")
@_machine(
    "--device-target", type=click.Choice(DEVICE_TARGETS), help="auto takes Ascend, else GPU, else CPU.  [default: auto]"
)
@_machine(
    "--check-device", is_flag=True, help="Say what devices there are, compare a few steps with the CPU's, and stop."
)
@_machine("--amp/--no-amp", default=None, help="Mixed precision with loss scaling.  [default: on, except on CPU]")
@_machine("--seed", **_FROM_0, help="Seed of every random number.  [default: 0]")
@version_option
def main(
    download: str | None,
    out: Path | None,
    resume: bool,
    restart: bool,
    dry_run: bool,
    check_device: bool,
    **options: Any,
) -> None:
    """Train a DCGAN on images of faces.

    A run can be stopped and resumed at any time. Options without a default use the recipe's value; --dry-run shows it.

    \b
    Examples:
      avatar-train --data faces.zip --steps 60
      avatar-train --data faces.zip --download --out runs/night
      avatar-train --out runs/night --resume --steps 40000
      avatar-train --data more.zip --init-from runs/night --out runs/more
      avatar-train --data more.zip --init-from runs/night --image-size 128 --out runs/larger
      avatar-train --check-device
    """
    os.environ.setdefault("GLOG_v", "3")  # MindSpore's C++ code warns about its own internals
    context = click.get_current_context()
    typed = {param.name for param in context.command.params if _is_typed(context, param)}
    if other := context.invoked_subcommand:
        if typed:
            raise click.UsageError(f"avatar-train {other} takes its options after its name")
        return
    if check_device:
        from avatar_training.device_check import check_device as check

        for sentence in check(options["device_target"] or "auto"):
            click.echo(sentence)
        return
    if resume and restart:
        raise click.UsageError("--resume continues a run and --restart starts over: use one of them")
    if typed >= {"steps", "epochs"}:
        raise click.UsageError("--steps and --epochs both say how long to train: use one of them")
    for length, other in (("steps", "epochs"), ("epochs", "steps")):
        if length in typed:
            options[other] = None
    # A run that resumes has its own configuration, which the project's defaults do not change.
    given = {name: value for name, value in options.items() if value is not None and (name in typed or not resume)}
    if resume:
        out = out or newest_run(RUNS)
        config = _saved_config(out, given)
    else:
        if "data" not in given:
            raise click.UsageError("--data DIR_OR_ZIP is missing: name a folder of images or a zip")
        fitting = shapes_of(Path(given["init_from"]), given.get("image_size")) if "init_from" in given else {}
        config = TrainConfig.from_recipe(
            **{"recipe": "edge", **given, **fitting, **{name: given[name] for name in given if name in typed}}
        )
        out = out or RUNS / config.recipe
    if not dry_run:
        device.prepare(config.device_target)
        import avatar_training.loop  # noqa: F401  # a missing package is told before all else
    if device.is_leader():
        click.echo(json.dumps({"out": str(out), **config.to_dict()}, indent=2))
    if dry_run:
        return
    if download:  # in every worker: on one machine the others wait for the first; another machine has its own disk
        _download(download, Path(config.data))
    _run(config, out, resume, restart)


def _is_typed(context: click.Context, param: click.Parameter) -> bool:
    return context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE


@main.command(cls=Command, extra="train", short_help="Write a pair of networks between two pairs.")
@click.argument("start", type=_FOLDER, metavar="START")
@click.argument("end", type=_FOLDER, metavar="END")
@click.option("--share", type=click.FloatRange(0, 1), default=0.5, show_default=True, metavar="S", help="Share of END.")
@click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="New folder.")
def interpolate(start: Path, end: Path, share: float, out: Path) -> None:
    """Write the pair of networks between two pairs, where END was trained on from START.

    A reward trades variety for whole faces; a pair in between often keeps most of both.

    \b
    Example:
      avatar-train interpolate training/pretrained/anime-faces-64 runs/reward --share 0.6 --out runs/between
    """
    from avatar_training.run_folder.interpolation import interpolate as write_between

    write_between(start, end, share, out)
    click.echo(out)


@main.command(cls=Command, extra="train", short_help="Bound a generator's activations, for int8.")
@click.option("--checkpoint", type=_FOLDER, required=True, metavar="DIR", help="Folder of a run or of a trained pair.")
@click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="New folder for the bounded pair.")
def bound(checkpoint: Path, out: Path) -> None:
    """Write a pair that draws the faces of DIR with activations of at most 1.

    Eight bits then suffice for what its layers give, and an int8 export comes nearer to it. One value in
    a thousand is cut off, which nobody sees. Training goes on from it with --init-from.

    \b
    Example:
      avatar-train bound --checkpoint runs/night --out runs/bounded
    """
    from avatar_training.enlarging.bounding import bound_pair

    psnr = bound_pair(checkpoint, out)
    click.echo(f"{click.format_filename(out)}: {psnr:.1f} dB from the faces before")


main.add_command(classifier)
main.add_command(prepare)
main.add_command(enlarge)
main.add_command(grade)
main.add_command(steer)
main.add_command(learn_map)


def _download(url: str, path: Path) -> None:
    from avatar_training.data.download import download

    with ProgressBar("fetching", show_pos=False) as bar:
        files = download(url, path, on_message=say, on_received=bar.show_bytes)
    click.echo(f"{path}: {files} files, undamaged", err=True)


def _run(config: TrainConfig, out: Path, resume: bool, restart: bool) -> None:
    from avatar_training.loop import Progress, train

    reading, training = ProgressBar("reading"), ProgressBar("training")

    def on_step(progress: Progress) -> None:
        losses = f"G {progress.g_loss:.3f}, D {progress.d_loss:.3f}"
        training.show(progress.step, progress.steps, f"{progress.images_per_second:.1f} images/s, {losses}")

    with StopRequest() as stop, reading, training:
        result = train(
            config,
            out,
            resume=resume,
            restart=restart,
            on_message=say,
            on_decoded=reading.show,
            on_step=on_step,
            should_stop=stop,
        )
    if not device.is_leader():
        return
    best = " and best.ckpt" if (out / "best.ckpt").exists() else ""
    click.echo(f"step {result.step}: {out}/generator.ckpt{best}; look at {out}/report.html")
    if not result.finished:
        click.echo(f"stopped; continue with: avatar-train --resume --out {out}")
        sys.exit(128 + (stop.number or signal.SIGTERM))  # 0 where another worker got the signal


def _saved_config(out: Path, given: dict[str, Any]) -> TrainConfig:
    """The run's configuration, changed by the given options; `train` refuses changes that are not allowed."""
    run = read_record(out)
    if run is None:
        raise TrainingError(f"{out} holds no run to resume; leave out --resume to start one")
    saved = TrainConfig.from_dict(run["config"])
    if given.pop("recipe", saved.recipe) != saved.recipe:
        raise TrainingError(
            f"{out} was started with the recipe {saved.recipe}; resume it unchanged, or start over with --restart"
        )
    return saved.with_changes(**given)
