"""Which recipe draws the best faces in equal time? `python -m benchmarks.studies.recipes --data faces.zip --features F`

Each variation changes one thing of `edge` without its DiffAugment, and is trained for as many steps as `avatar-train`
takes on two cores of a CPU in the time of `--steps` plain ones. The training itself is done in PyTorch, with the same
networks, losses and order: on an accelerator dozens of runs take minutes, so it wants CUDA. Some runs go on at once, a
CUDA graph a step.
"""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from avatar_runtime.imaging.arrays import UInt8, from_network, grid
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.latents import latents, series
from avatar_runtime.output.atomic import make_folder, write_file
from avatar_training.config import TrainConfig
from avatar_training.metrics.kid import FeatureNetwork, kid
from benchmarks.baselines.pytorch import state_dict
from benchmarks.baselines.pytorch_training import PyTorchGan
from benchmarks.suite.tables import Table

EXCESS_WEIGHT = 1.0
DRAWS, TRANSLATION, CUTOUT = 7, 1 / 8, 0.35
"""As in avatar_training.objective, which needs MindSpore; a machine for this may have none."""
NAMES, SHOWN = 1000, 64


@dataclass(frozen=True)
class Variation:
    """What is not plain."""

    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig."""
    cost: float = 1.0
    """How many times as long as a plain one a step takes in MindSpore, measured on two cores with AVX2."""
    decay: float = 0.0
    """Last part of the run in which the learning rate falls to 0."""
    augment: float = 0.0
    """Last part of the run with DiffAugment."""


VARIATIONS = {
    "plain": Variation(),
    "batch 8": Variation({"batch_size": 8}, 0.6),
    "batch 32": Variation({"batch_size": 32}, 1.83),
    "batch 64": Variation({"batch_size": 64}, 3.42),
    "ndf 16": Variation({"ndf": 16}, 0.76),
    "ndf 48": Variation({"ndf": 48}, 1.24),
    "ndf 64": Variation({"ndf": 64}, 1.79),
    "average 0.9995": Variation({"ema_decay": 0.9995}),
    "average 0.9999": Variation({"ema_decay": 0.9999}),
    "decay, last quarter": Variation(decay=0.25),
    "decay, last half": Variation(decay=0.5),
    "decay, all": Variation(decay=1.0),
    "no flips": Variation({"flip": False}),
    "DiffAugment": Variation(cost=1.13, augment=1.0),
    "DiffAugment, last quarter": Variation(cost=1.03, augment=0.25),
    "rate 1e-4": Variation({"learning_rate": 1e-4}),
    "rate 4e-4": Variation({"learning_rate": 4e-4}),
    "real faces labelled 1": Variation({"real_label": 1.0}),
    "hinge, spectral norm": Variation({"loss": "hinge", "spectral_norm": True}, 0.91),
    "truncation from 0.7": Variation({"min_truncation": 0.7}),
    "activations to 3": Variation({"activation_limit": 3.0}),
}


class Probe(PyTorchGan):
    """A run of a recipe whose inputs all lie in tables on the device, so that a step is one call without arguments.

    Three steps from the same weights and numbers agree with `Gan`'s within 0.0003 in the discriminator's weights.
    """

    def __init__(
        self, name: str, config: TrainConfig, augment_from: int, images: Tensor, pair: Mapping[str, Any] | None
    ) -> None:
        self.name = name
        torch.manual_seed(config.seed)
        super().__init__(config, torch.channels_last)
        if pair is not None:
            for network, prefix in ((self.generator, "generator."), (self.discriminator, "discriminator.")):
                arrays = {name: array for name, array in pair.items() if name.startswith(prefix)}
                network.load_state_dict(state_dict(arrays), strict=False)
        if config.spectral_norm:
            for i, layer in enumerate(self.discriminator):
                if isinstance(layer, nn.Conv2d):
                    spectral_norm(layer)
                elif isinstance(layer, nn.BatchNorm2d):
                    self.discriminator[i] = nn.Identity()
        self.images, self.device, self.augment_from = images, images.device, augment_from
        for network in (self.generator, self.discriminator):
            network.to(self.device)
        self.average = [value.clone() for value in self._averaged()]
        steps, size = config.steps or 1, config.batch_size
        draw = torch.Generator(self.device).manual_seed(config.seed)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=draw, device=self.device)

        scale = 1 - (1 - config.min_truncation) * uniform(steps, size, 1)
        self.z = torch.randn((steps, size, config.latent_dim), generator=draw, device=self.device) * scale
        # Epoch after epoch, each in an order of its own.
        epochs = -(-steps * size // len(images))
        order = [torch.randperm(len(images), generator=draw, device=self.device) for _ in range(epochs)]
        self.order = torch.cat(order)[: steps * size].reshape(steps, size)
        self.mirrored = uniform(steps, size) < (0.5 if config.flip else 0)
        self.draws = uniform(steps, 2, size, DRAWS) if augment_from < steps else None
        self.rates = torch.tensor([config.learning_rate_at(i, steps) for i in range(steps)], device=self.device)
        kept = [min(config.ema_decay, (1 + i) / (10 + i)) for i in range(steps)]
        self.kept = torch.tensor(kept, device=self.device)
        self.now = torch.zeros(1, dtype=torch.long, device=self.device)
        self.rate = torch.tensor(config.learning_rate, device=self.device)
        fused, betas = self.device.type == "cuda", (config.beta1, config.beta2)
        self.adam_g, self.adam_d = (
            torch.optim.Adam(network.parameters(), lr=self.rate, betas=betas, fused=fused, capturable=fused)
            for network in (self.generator, self.discriminator)
        )

    def advance(self, augmented: bool) -> None:
        """One step."""
        config, now = self.config, self.now
        self.rate.copy_(self.rates[now][0])
        draws = self.draws[now][0] if augmented and self.draws is not None else (None, None)

        def judge(images: Tensor, uniform: Tensor | None) -> Tensor:
            return self.discriminator(images if uniform is None else diff_augment(images, uniform)).reshape(-1, 1)

        fake, excess = self._generate(self.z[now][0][:, :, None, None])
        logits = judge(fake, draws[1])
        g_loss = -logits.mean() if config.loss == "hinge" else self._cross_entropy(logits, 1.0)
        self.adam_g.zero_grad()
        (g_loss + EXCESS_WEIGHT * excess).backward(inputs=list(self.generator.parameters()))
        self.adam_g.step()
        real, mirrored = self.images[self.order[now][0]].float() / 127.5 - 1, self.mirrored[now][0]
        real = torch.where(mirrored[:, None, None, None], real.flip(3), real)
        real = real.contiguous(memory_format=self.memory_format)
        judged = judge(real, draws[0]), judge(fake.detach(), draws[1])
        if config.loss == "hinge":
            d_loss = F.relu(1 - judged[0]).mean() + F.relu(1 + judged[1]).mean()
        else:
            d_loss = self._cross_entropy(judged[0], config.real_label) + self._cross_entropy(judged[1], 0.0)
        self.adam_d.zero_grad()
        (d_loss / 2).backward()
        self.adam_d.step()
        with torch.no_grad():
            kept = self.kept[now][0]
            torch._foreach_mul_(self.average, kept)
            torch._foreach_add_(self.average, torch._foreach_mul(self._averaged(), 1 - kept))
        now.add_(1)

    def _generate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        limit, excess, x = self.config.activation_limit, torch.zeros((), device=self.device), z
        for layer in self.generator:
            x = layer(x)
            if limit and isinstance(layer, nn.ReLU):
                excess = excess + F.relu(x - limit).square().sum() / len(z)
        return x, excess

    def capture(self) -> None:
        """Make CUDA graphs of the step, without and with augmentation as they are needed, and begin anew."""
        self.stream, steps = torch.cuda.Stream(), self.config.steps or 1
        state = [*self._averaged(), *self.discriminator.state_dict().values(), *self.average, self.now]
        before = [value.clone() for value in state]
        self.graphs = {}
        for augmented in {step >= self.augment_from for step in (0, steps - 1)}:
            with torch.cuda.stream(self.stream):
                for _ in range(3):
                    self.advance(augmented)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self.stream):
                self.advance(augmented)
            self.graphs[augmented] = graph
        for value, first in zip(state, before, strict=True):
            value.copy_(first)
        for adam in (self.adam_g, self.adam_d):
            for moments in adam.state.values():
                for value in moments.values():
                    value.zero_()
        torch.cuda.synchronize()

    def run(self) -> Iterator[None]:
        """All steps; each is only begun when it is yielded."""
        for step in range(self.config.steps or 0):
            augmented = step >= self.augment_from
            if self.device.type == "cuda":
                with torch.cuda.stream(self.stream):
                    self.graphs[augmented].replay()
            else:
                self.advance(augmented)
            yield

    def draw(self) -> UInt8:
        """The averaged generator's images of the names kid/0, kid/1 …: uint8 [NAMES, H, W, C]."""
        if self.device.type == "cuda":
            self.stream.synchronize()
        own = [value.clone() for value in self._averaged()]
        z = torch.from_numpy(latents(list(series("kid", NAMES)), self.config.latent_dim)).to(self.device)
        self.generator.eval()
        with torch.no_grad():
            for value, mean in zip(self._averaged(), self.average, strict=True):
                value.copy_(mean)
            drawn = torch.cat([self.generator(part[:, :, None, None]) for part in z.split(250)]).cpu().numpy()
            for value, mine in zip(self._averaged(), own, strict=True):
                value.copy_(mine)
        self.generator.train()
        return from_network(drawn, (-1.0, 1.0))


def diff_augment(images: Tensor, draws: Tensor) -> Tensor:
    """avatar_training.objective.augmentation.diff_augment in PyTorch."""
    u, side = draws[:, :, None, None, None], images.shape[-1]
    images = images + (u[:, 0] - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (u[:, 1] * 2) + grey
    mean = images.mean((1, 2, 3), keepdim=True)
    images = (images - mean) * (u[:, 2] + 0.5) + mean
    places = torch.arange(side, device=images.device)
    reach, size = int(side * TRANSLATION + 0.5), int(side * CUTOUT + 0.5)
    offsets = (draws[:, 3:5] * (2 * reach + 1)).long() - reach
    rows, columns = ((places + offsets[:, i : i + 1]).clamp(0, side - 1) for i in (0, 1))
    images = images.gather(2, rows[:, None, :, None].expand_as(images))
    images = images.gather(3, columns[:, None, None, :].expand_as(images))
    corner = (draws[:, 5:7] * (side + 1 - size % 2)).long() - size // 2
    inside = [(places >= corner[:, i : i + 1]) & (places < corner[:, i : i + 1] + size) for i in (0, 1)]
    return images * (1 - (inside[0][:, None, :, None] & inside[1][:, None, None, :]).float())


def _faces(path: Path) -> npt.NDArray[np.uint8]:
    """The images of a zip: uint8 [N, 3, 64, 64]. (avatar_training.data.dataset needs MindSpore.)"""
    archive = zipfile.ZipFile(path)
    files = [archive.read(name) for name in sorted(archive.namelist()) if not name.endswith("/")]

    def decode(file: bytes) -> npt.NDArray[np.uint8]:
        return np.asarray(Image.open(io.BytesIO(file)).convert("RGB").resize((64, 64), Image.Resampling.BICUBIC))

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(decode, files))).transpose(0, 3, 1, 2)


def _config(variation: Variation, steps: int, decay: float, seed: int, base: Mapping[str, Any]) -> TrainConfig:
    steps = round(steps / variation.cost)
    changes = {**base, **variation.changes, "steps": steps, "seed": seed}
    return TrainConfig(data="", lr_decay_steps=round(steps * (variation.decay or decay)), **changes)


@click.command(context_settings={"show_default": True})
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="A zip of faces.")
@click.option("--features", type=click.Path(exists=True, path_type=Path), required=True, help="As of avatar-train.")
@click.option("--init-from", type=click.Path(exists=True, path_type=Path), help="An .npz of checkpoint.read_pair's.")
@click.option("--base", default="{}", help="Fields of TrainConfig that all have, as JSON.")
@click.option("--decay", type=click.FloatRange(0, 1), default=0.0, help="Last part of a run with a falling rate.")
@click.option("--steps", type=click.IntRange(min=1), default=20_000, help="Of a plain run: others take as long.")
@click.option("--seeds", type=click.IntRange(min=1), default=2, help="Runs of each.")
@click.option("--only", type=click.Choice(list(VARIATIONS)), multiple=True, help="Not all of the variations.")
@click.option("--abreast", type=click.IntRange(min=1), default=6, help="Runs that go on at once.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/recipes"))
def main(
    data: Path, features: Path, init_from: Path | None, base: str, decay: float, steps: int,
    seeds: int, only: tuple[str, ...], abreast: int, out: Path,
) -> None:  # fmt: skip
    """Train every variation and compare."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, faces = FeatureNetwork(features), _faces(data)
    pair = dict(np.load(init_from)) if init_from else None
    make_folder(out)
    chosen = np.random.default_rng(0).permutation(len(faces))[:NAMES]
    real = network(np.ascontiguousarray(faces[chosen].transpose(0, 2, 3, 1)))
    images = torch.from_numpy(np.ascontiguousarray(faces)).to(device)
    found: dict[str, list[float]] = {}

    def judge(name: str, seed: int, drawn: UInt8) -> None:
        found.setdefault(name, []).append(kid(real, network(drawn))[0])
        click.echo(f"{name}, seed {seed}: {found[name][-1]:.4f}")
        write_file(out / f"{name}-{seed}.png", encode(grid(drawn[:SHOWN], 8, 2), ".png"))

    def begin(name: str, seed: int) -> Probe:
        variation = VARIATIONS[name]
        config = _config(variation, steps, decay, seed, json.loads(base))
        length = config.steps or 0
        probe = Probe(name, config, length - round(length * variation.augment), images, pair)
        if device.type == "cuda":
            probe.capture()
        return probe

    waiting = (begin(name, seed) for seed in range(seeds) for name in only or VARIATIONS)
    judged = list[Future[None]]()
    with ThreadPoolExecutor(2) as pool:
        running = [(probe, probe.run()) for probe in islice(waiting, abreast)]
        while running:
            for probe, run in list(running):
                if next(run, running) is running:
                    judged.append(pool.submit(judge, probe.name, probe.config.seed, probe.draw()))
                    running.remove((probe, run))
                    running += [(new, new.run()) for new in islice(waiting, 1)]
        for future in judged:
            future.result()
    rows = [[name, f"{VARIATIONS[name].cost:.2f}", str(_config(VARIATIONS[name], steps, decay, 0, {}).steps),
             ", ".join(f"{value:.4f}" for value in values), f"{np.mean(values):.4f}"]
            for name, values in sorted(found.items(), key=lambda item: np.mean(item[1]))]  # fmt: skip
    click.echo(Table("Recipes", ["", "time of a step", "steps", "KID", "mean"], rows).markdown())


if __name__ == "__main__":
    main()
