"""From grades to a steered checkpoint: critic, direction, trade-off, map of latents, report."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from avatar_runtime.errors import AvatarError
from avatar_runtime.output.atomic import write_file
from avatar_training.data.real_faces import real_faces
from avatar_training.metrics.features import FeatureNetwork
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.changed_pair import new_folder, write_pair
from avatar_training.steering.activations import ActivationNetwork
from avatar_training.steering.critic import Critic
from avatar_training.steering.curve import STRENGTHS, Measurement, Point, suggested_strength
from avatar_training.steering.direction import Direction, affine_map, compose, find_direction
from avatar_training.steering.drawing import Drawing
from avatar_training.steering.grades import read_grades
from avatar_training.steering.report_page import write_report
from avatar_training.steering.summary import summarise
from avatar_training.steering.validation import half_critic, learn_critic

_CHUNK = 480


class SteeringError(AvatarError):
    """A checkpoint cannot be steered as asked."""


@dataclass(frozen=True)
class SteerConfig:
    """What to steer, by what, and how far."""

    checkpoint: Path
    """Folder of a run or a trained pair."""
    grades: tuple[Path, ...]
    """Grading folders, or archives of latents and grades."""
    network: Path
    """An ONNX image classifier."""
    out: Path
    """A folder that does not exist yet."""
    graded_checkpoint: Path | None = None
    """The pair that drew an archive's latents, if it is not checkpoint."""
    real: Path | None = None
    """Real faces to measure KID, precision and recall against."""
    strength: float | None = None
    """None for the largest that keeps keep_recall."""
    strengths: tuple[float, ...] = STRENGTHS
    """The strengths to measure."""
    keep_recall: float = 0.8
    """The share of the recall that the suggested strength keeps."""
    tensors: tuple[str, ...] = ()
    """Activations of the network to use; by default the widest of stride 8 and of stride 16."""
    fresh_faces: int = 4800
    """New faces from which the direction is found."""
    faces: int = 2000
    """Faces measured at each strength."""
    real_faces: int = 3400
    """Real faces they are measured against."""


@dataclass(frozen=True)
class Steered:
    """What was found and done."""

    critic: Critic
    """Trained on all grades."""
    direction: Direction
    """Found by that critic; the checkpoint's map uses it."""
    learner: Critic
    """Trained on half of the graders, or of the sheets if there is one grader."""
    judge: Critic
    """Trained on the other half."""
    points: tuple[Point, ...]
    """The curve; the first point is the unsteered faces'."""
    suggested: float | None
    strength: float


def steer(
    config: SteerConfig,
    on_message: Callable[[str], None] = lambda message: None,
    on_faces: Callable[[int, int], None] = lambda done, total: None,
) -> Steered:
    """Learn from grades which direction of latent space breaks faces, and write a checkpoint that stays away from it.

    The folder gets generator.ckpt (with the map of latents), discriminator.ckpt and config.json, as avatar-export takes
    them, and critic.npz (with critic-learner.npz and critic-judge.npz, each of half of the graders), direction.npy,
    steering.json and report.html.

    Args:
        config: What to steer, by what, and how far.
        on_message: Called with sentences for the user.
        on_faces: Called with how many of the faces to look at are done, graded and real ones among them, and how many
            there are.

    Raises:
        TrainingError: out exists.
        SteeringError: No strength is given and none can be suggested.
        AvatarError: Something cannot be read, is too little to learn from, or cannot be written.
    """
    if config.real is None and config.strength is None:
        raise SteeringError("without real faces no strength can be suggested; give real faces or a strength")
    with new_folder(config.out) as folder:
        return _steer(config, folder, on_message, on_faces)


def _steer(
    config: SteerConfig, folder: Path, on_message: Callable[[str], None], on_faces: Callable[[int, int], None]
) -> Steered:
    asked = () if config.strength is None else (config.strength,)
    strengths = sorted({*config.strengths, *asked})
    drawing, network = Drawing(config.checkpoint), ActivationNetwork(config.network, config.tensors)
    discriminator = checkpoint.read(config.checkpoint / "discriminator.ckpt")
    features = FeatureNetwork(config.network) if config.real else None
    graded = drawing if config.graded_checkpoint is None else Drawing(config.graded_checkpoint)
    grades = read_grades(list(config.grades), graded.draw)
    for path in config.grades:
        for line in summarise(path) if path.is_dir() else ():
            on_message(line)
    on_message(f"{len(grades.grade)} graded faces, {grades.broken.sum()} of them broken")
    done, real_count = 0, config.real_faces if config.real else 0
    total = len(grades.images) + config.fresh_faces + real_count + config.faces * (1 + len(strengths))

    def count(faces: int) -> None:
        nonlocal done
        done += faces
        on_faces(done, total)

    count(0)
    parts = []
    for start in range(0, len(grades.images), _CHUNK):
        parts.append(network(grades.images[start : start + _CHUNK]))
        count(len(parts[-1]))
    activations = np.concatenate(parts)
    del parts
    critic = learn_critic(network, activations, grades)
    on_message(f"critic: {critic.validation}")
    learner, judge = (half_critic(network, activations, grades, half) for half in (0, 1))
    del activations
    direction, trial = _directions(drawing, network, (critic, learner), config.fresh_faces, count)
    on_message(
        f"direction: R2 {direction.r2:.2f}; its cosine with that of half the graders is {direction.v @ trial.v:.2f}"
    )

    real = None
    if config.real is not None and features is not None:
        sizes = (drawing.config.image_size, drawing.config.channels)
        real = (real_faces(config.real, config.real_faces, *sizes), features)
    measurement = Measurement(drawing, network, judge, config.faces, real)
    count(real_count)
    points = [measurement.point(measurement.before, None)]
    count(config.faces)
    for tried in strengths:
        points.append(measurement.point(measurement.faces(trial.v, tried), tried))
        recall = "" if points[-1].recall is None else f", recall {points[-1].recall:.2f}"
        judged = f"{points[-1].broken:.1%} broken according to the other {judge.validation.unseen}s"
        on_message(f"strength {tried}: {judged}{recall}")
        count(config.faces)
    suggested = suggested_strength(points, config.keep_recall)
    strength = config.strength if config.strength is not None else suggested
    if strength is None:
        raise SteeringError(
            f"no strength of {', '.join(map(str, config.strengths))} keeps {config.keep_recall:.0%} of recall; give "
            "lower --strengths, a lower --keep-recall or a --strength"
        )
    steered = Steered(critic, direction, learner, judge, tuple(points), suggested, strength)
    _write(folder, config, steered, drawing, discriminator, measurement)
    return steered


def _directions(
    drawing: Drawing,
    network: ActivationNetwork,
    critics: tuple[Critic, ...],
    count: int,
    on_faces: Callable[[int], None],
) -> list[Direction]:
    """The direction of each critic, over the same fresh faces."""
    mapped, logits = drawing.mapped_series("steer", count), []
    for start in range(0, count, _CHUNK):
        activations = network(drawing.draw_mapped(mapped[start : start + _CHUNK]))
        logits.append([critic.logits(activations) for critic in critics])
        on_faces(len(activations))
    return [find_direction(mapped, scores) for scores in np.concatenate(logits, axis=1)]


def _write(
    out: Path,
    config: SteerConfig,
    steered: Steered,
    drawing: Drawing,
    discriminator: checkpoint.Arrays,
    measurement: Measurement,
) -> None:
    steered.critic.save(out / "critic.npz")
    steered.learner.save(out / "critic-learner.npz")
    steered.judge.save(out / "critic-judge.npz")
    np.save(out / "direction.npy", steered.direction.v)
    record = {
        "strength": steered.strength,
        "suggested_strength": steered.suggested,
        "keep_recall": config.keep_recall,
        "steered_from": drawing.model,
        "grades_sha256": steered.critic.grades_sha256,
        "graders": steered.critic.graders,
        "auc": [steered.critic.validation.auc, steered.critic.validation.low, steered.critic.validation.high],
        "r2": steered.direction.r2,
        "judge": {
            "graders": steered.judge.graders,
            "auc": steered.judge.validation.auc,
            "unseen": steered.judge.validation.unseen,
        },
        "faces": config.faces,
        "real_faces": config.real_faces if config.real else 0,
        "curve": [asdict(point) for point in steered.points],
    }
    write_file(out / "steering.json", (json.dumps(record, indent=2) + "\n").encode())
    steering = affine_map(steered.direction.v, steered.strength)
    generator = drawing.with_map(*compose(steering, (drawing.weight, drawing.bias)))
    write_pair(out, generator, discriminator, {**drawing.record, "steering": record})
    write_report(out / "report.html", config.out.name, steered.points, record, measurement, steered.direction.v)
