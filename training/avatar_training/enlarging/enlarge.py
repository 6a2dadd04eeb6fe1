"""Enlarge a trained generator: its faces stay, drawn at twice the size with the lines that Real-ESRGAN gives them.

The generator grows (`run_folder.growing`), and its last layers learn to draw what Real-ESRGAN (`enlarging.teacher`)
makes of the small generator's faces: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
2015, with a super-resolution network as the teacher. No discriminator takes part; docs/training.md has its grades.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mindspore
import numpy as np
import numpy.typing as npt
from mindspore import Tensor, nn, ops

from avatar_runtime.imaging.arrays import UInt8
from avatar_training import rng
from avatar_training.config import IMAGE_SIZES
from avatar_training.enlarging.teacher import Teacher
from avatar_training.errors import TrainingError
from avatar_training.networks.generator import PIXEL_RANGE, Generator, hidden_layers
from avatar_training.run_folder import checkpoint
from avatar_training.run_folder.changed_pair import new_folder, write_pair
from avatar_training.run_folder.growing import grow
from avatar_training.run_folder.record import shapes_of
from avatar_training.steering.drawing import MAP_BIAS, MAP_WEIGHT, Drawing

Floats = npt.NDArray[np.float32]

BATCH = 16
FACES = 160 * BATCH
"""So many faces are drawn and enlarged, each when its turn comes first; then they come again. A face takes the teacher
a quarter of a second on one core."""

LEARNING_RATE = 2e-3
RISING, FALLING = 50, 0.4
"""The rate rises over the first steps, and falls to 0 over the last part of all."""

HIDDEN_LAYERS = 2
"""So many hidden layers learn, with their residual blocks, and the last layer: at 128 pixels, those that draw 32x32,
64x64 and 128x128. With one more it learns more slowly."""

EDGES = 1.0
"""Weight of the differences between neighbouring pixels in the loss, beside the pixels'."""

MIN_TRUNCATION = 0.6
"""Each latent is scaled by a random factor from this to 1, so that truncated faces are learnt, too."""

KEPT = ("pixel_range", "steps", MAP_WEIGHT, MAP_BIAS)
"""Entries of generator.ckpt that stay, besides the layers."""

LAST = 4
"""The result is measured on the faces of so many last steps."""


@dataclass(frozen=True)
class Enlarged:
    """The result."""

    image_size: int
    """Height and width of the new faces."""
    psnr: float
    """How near the faces of the last four steps come to the teacher's, in decibels."""


def enlarge(
    folder: Path,
    out: Path,
    steps: int = 1500,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Enlarged:
    """Write generator.ckpt, discriminator.ckpt and config.json of a pair that draws folder's faces at twice the size.

    A latent map that steering added stays. The discriminator has only grown: it is there to train on.

    Args:
        folder: a run's or a trained pair's.
        out: a new folder.
        steps: of 16 faces each.
        seed: of the faces.
        on_step: called with the number of steps done and of all.

    Raises:
        TrainingError: out exists, there is no larger size, or the faces are grey.
        CheckpointError: the pair cannot be read, or is too narrow to grow.
        UpscalingError: Real-ESRGAN cannot be loaded.
        OutputError: out cannot be written.
    """
    with new_folder(out) as new:
        return _enlarge(folder, new, steps, seed, on_step)


def _enlarge(folder: Path, new: Path, steps: int, seed: int, on_step: Callable[[int, int], None]) -> Enlarged:
    small = Drawing(folder)
    size = 2 * small.config.image_size
    if size not in IMAGE_SIZES:
        raise TrainingError(f"{folder} draws {small.config.image_size} pixels already; there is no larger size")
    if small.config.channels != 3:
        raise TrainingError(f"{folder} draws grey faces, and Real-ESRGAN takes colours alone")
    config = small.config.with_changes(**shapes_of(folder, size))
    pair = grow(checkpoint.read_pair(folder), size, seed, folder)
    shape = (size, config.channels, config.latent_dim, config.ngf)
    refined, bounded = checkpoint.is_refined(pair), checkpoint.is_bounded(pair)
    generator = Generator(*shape, channels_last=True, refined=refined, bounded=bounded)
    checkpoint.load_into(generator.get_parameters(), pair, folder)
    lesson, teacher, errors = Lesson(generator), Teacher(), []
    batches: list[tuple[Floats, UInt8]] = []
    for step in range(steps):
        if len(batches) * BATCH < FACES:
            w = small.mapped(rng.latents(seed, step, BATCH, config.latent_dim, MIN_TRUNCATION))
            batches.append((w, np.stack([teacher(face) for face in small.draw_mapped(w)])))
        rate = LEARNING_RATE * min(1.0, (step + 1) / RISING, (steps - step) / (FALLING * steps))
        errors.append(lesson.learn(*batches[step % (FACES // BATCH)], rate))
        on_step(step + 1, steps)
    learnt = {parameter.name: parameter.asnumpy() for parameter in generator.get_parameters()}
    others = {name: array for name, array in small.arrays.items() if name in KEPT}
    beside = {name: array for name, array in pair.items() if name not in learnt and name not in KEPT}
    history = {"pair": folder.resolve().name, "steps": steps, "seed": seed}
    write_pair(new, {**learnt, **others}, beside, {**small.record, "config": config.to_dict(), "enlarging": history})
    return Enlarged(size, float(-10 * np.log10(np.mean(errors[-LAST:]))))


class Lesson:
    """Teaches a generator's last layers to draw given pictures. Its batch norms keep their statistics."""

    def __init__(self, generator: Generator) -> None:
        generator.set_train(False)
        first = 3 * (hidden_layers(generator.image_size) - HIDDEN_LAYERS)
        self.weights = [parameter for parameter in generator.trainable_params() if _layer(parameter.name) >= first]
        self.generator, self.adam = generator, nn.Adam(self.weights, LEARNING_RATE, beta1=0.9, beta2=0.99)
        self.gradients = mindspore.value_and_grad(self.loss, None, self.adam.parameters, has_aux=True)
        self.step = mindspore.jit(self._step)

    def learn(self, w: Floats, wanted: UInt8, rate: float) -> float:
        """One step, for what the first layer gets, float32 [N, latent_dim], and pictures uint8 [N, S, S, C].

        Returns the mean square of the error before the step, where 1 is the distance from black to white.
        """
        low, high = PIXEL_RANGE
        pixels = (wanted.transpose(0, 3, 1, 2).astype(np.float32) * ((high - low) / 255) + low).astype(np.float32)
        error = self.step(Tensor(w[..., None, None]), Tensor(pixels), Tensor(np.float32(rate)))
        return float(error.asnumpy()) / (high - low) ** 2

    def loss(self, w: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean absolute error of pixels and of their differences, which are the lines; and the mean square error."""
        error = self.generator(w) - pixels
        across, down = error[:, :, :, 1:] - error[:, :, :, :-1], error[:, :, 1:] - error[:, :, :-1]
        edges = ops.abs(across).mean() + ops.abs(down).mean()
        return ops.abs(error).mean() + EDGES * edges, ops.square(error).mean()

    def _step(self, w: Tensor, pixels: Tensor, rate: Tensor) -> Tensor:
        (_, error), gradients = self.gradients(w, pixels)
        ops.assign(self.adam.learning_rate, rate)
        self.adam(gradients)
        return error


def _layer(name: str) -> int:
    """The number of the layer that a parameter belongs to; a residual block belongs to the layer before its ReLU."""
    kind, number = name.split(".")[:2]
    return 3 * int(number) if kind == "residual_blocks" else int(number)
