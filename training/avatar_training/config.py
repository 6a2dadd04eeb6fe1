"""TrainConfig: everything a training run depends on, and the three recipes.

Imports no MindSpore.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from avatar_training import rng

RUNS = Path("runs")
"""Where runs go by default."""

FACES_URL = "https://download.mindspore.cn/dataset/Faces/faces.zip"
"""The archive of MindSpore's tutorial: 70,171 faces."""

RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Measured best for hours of CPU: small batches, because updates count more than images, a moving average, and
    # DiffAugment, without which the discriminator soon knows too well and the generator may collapse.
    "edge": {"steps": 20_000, "diff_augment": True},
    # For days on an accelerator: DiffAugment lets a GAN look at the same faces hundreds of times.
    "long": {
        "epochs": 200,
        "batch_size": 64,
        "loss": "hinge",
        "real_label": 1.0,
        "spectral_norm": True,
        "diff_augment": True,
        "ema_decay": 0.9999,
    },
    # MindSpore's tutorial "DCGAN生成漫画头像", number for number, except that pixels are in [-1, 1], the range of tanh.
    "tutorial": {
        "epochs": 10,
        "batch_size": 128,
        "ndf": 64,
        "loss": "bce",
        "real_label": 1.0,
        "flip": False,
        "ema_decay": 0.0,
    },
}

LOSSES = ("bce", "bce-logits", "hinge")
IMAGE_SIZES = (32, 64, 128)
DEVICE_TARGETS = ("auto", "CPU", "GPU", "Ascend")

CHANGEABLE = frozenset(
    {"data", "steps", "epochs", "lr_decay_steps", "snapshot_every", "keep", "rollback"}
    | {"device_target", "amp", "kid_network", "kid_every"}
    | {"critic", "critic_network"}  # The files may move; `run_folder` compares their digests.
)
"""Fields that may differ when a run is resumed: apart from rounding, none changes a step that lies before the decay."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run. `from_recipe` starts from a recipe; the defaults are `edge` but for the augmentation."""

    data: str
    """A folder of images or a zip."""
    recipe: str = "edge"
    """The recipe that the defaults came from."""
    steps: int | None = None
    """Steps to train in all; None if `epochs` says it."""
    epochs: int | None = None
    """Passes over the data in all; None if `steps` says it."""
    batch_size: int = 16
    """Images in a step."""
    image_size: int = 64
    """Height and width in pixels: 32, 64 or 128."""
    channels: int = 3
    """1 for grey, 3 for RGB."""
    latent_dim: int = 100
    """Length of a latent vector."""
    min_truncation: float = 1.0
    """Least truncation of the latents: each is scaled by one between this and 1, so that truncated ones give faces."""
    activation_limit: float = 0.0
    """Above this the generator's hidden activations are penalised, which makes int8's steps finer; 0 for no limit."""
    ngf: int = 64
    """Width of the generator: channels of its last hidden layer."""
    ndf: int = 32
    """Width of the discriminator: channels of its first layer."""
    seed: int = 0
    """Decides the initial weights and every random number of every step."""
    device_target: str = "auto"
    """CPU, GPU, Ascend, or auto for the best one there is."""
    amp: bool | None = None
    """Mixed precision: float16 where it is fast, with a loss scaler. None for: not on a CPU, where it is not."""
    loss: str = "bce-logits"
    """bce (of probabilities, the tutorial's), bce-logits or hinge."""
    real_label: float = 0.9
    """What the discriminator is told a real image is, for the two cross-entropies."""
    learning_rate: float = 2e-4
    """Adam's, for both networks."""
    init_from: str | None = None
    """Folder with the generator.ckpt and discriminator.ckpt of a trained pair to begin from; None for fresh weights."""
    lr_decay_steps: int = 0
    """Last steps of a run, over which the learning rate falls in a straight line to 0."""
    beta1: float = 0.5
    """Adam's decay of the first moment."""
    beta2: float = 0.999
    """Adam's decay of the second moment."""
    flip: bool = True
    """Mirror half of the real images."""
    spectral_norm: bool = False
    """Spectral normalisation in place of batch normalisation in the discriminator."""
    diff_augment: bool = False
    """Differentiable augmentation of real and generated images."""
    critic: str | None = None
    """A critic learnt from grades (.npz), which generated images are trained to please; None for none."""
    critic_network: str | None = None
    """The ONNX classifier whose activations the critic weighs; needed with a critic."""
    reward_weight: float = 0.6
    """Weight of the critic's term in the generator's loss."""
    reward_images: int = 8
    """Generated images of a batch that the critic sees in a step; divides batch_size."""
    ema_decay: float = 0.999
    """Most that the moving average of the generator keeps of itself at a step; 0 for no average."""
    snapshot_every: int = 200
    """Steps from one preview and snapshot to the next."""
    kid_network: str | None = None
    """An ONNX feature network by whose KID best.ckpt is chosen; None for no best.ckpt."""
    kid_every: int = 2000
    """Steps from one KID to the next; 0 for none."""
    keep: int = 2
    """Snapshots kept: the newest, and those before it in case the newest is damaged."""
    rollback: bool = False
    """When training diverges, go back to the last good snapshot and on with other random numbers."""
    rollbacks: tuple[int, ...] = ()
    """The steps to which the run has gone back so far: written by the run itself."""

    def __post_init__(self) -> None:
        _check(self.recipe in RECIPES, "recipe", self.recipe, f"one of {', '.join(RECIPES)}")
        _check(self.loss in LOSSES, "loss", self.loss, f"one of {', '.join(LOSSES)}")
        _check(self.image_size in IMAGE_SIZES, "image_size", self.image_size, "32, 64 or 128")
        _check(self.channels in (1, 3), "channels", self.channels, "1 or 3")
        _check(
            self.device_target in DEVICE_TARGETS,
            "device_target",
            self.device_target,
            f"one of {', '.join(DEVICE_TARGETS)}",
        )
        for name in ("batch_size", "latent_dim", "ngf", "ndf", "snapshot_every", "keep"):
            _check(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        pair = (self.critic is None) == (self.critic_network is None)
        _check(pair, "critic_network", self.critic_network, "given with critic, and only then")
        fits = self.critic is None or (self.reward_images >= 1 and self.batch_size % self.reward_images == 0)
        _check(fits, "reward_images", self.reward_images, f"a divisor of batch_size, {self.batch_size}")
        # A batch norm over one value a channel would divide by zero.
        _check(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2")
        _check((self.steps is None) != (self.epochs is None), "steps", self.steps, "set where epochs is not")
        length = self.steps if self.steps is not None else self.epochs
        _check(
            length is not None and length >= 1,
            "steps" if self.epochs is None else "epochs",
            length,
            "at least 1",
        )
        for name in ("kid_every", "lr_decay_steps"):
            _check(getattr(self, name) >= 0, name, getattr(self, name), "at least 0")
        _check(0 <= self.seed < 2**63, "seed", self.seed, "from 0 to 2^63 - 1")
        for name in (
            "learning_rate",
            "beta1",
            "beta2",
            "real_label",
            "ema_decay",
            "min_truncation",
            "activation_limit",
            "reward_weight",
        ):
            value = getattr(self, name)
            high = math.inf if name in ("learning_rate", "activation_limit", "reward_weight") else 1.0
            _check(math.isfinite(value) and 0 <= value <= high, name, value, f"from 0 to {high}")
        for name in ("beta1", "beta2", "ema_decay"):
            _check(getattr(self, name) < 1, name, getattr(self, name), "below 1")
        object.__setattr__(self, "rollbacks", tuple(self.rollbacks))  # JSON has only lists
        steps = all(isinstance(step, int) and step >= 0 for step in self.rollbacks)
        _check(steps, "rollbacks", self.rollbacks, "steps, each at least 0")
        _check(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")

    @classmethod
    def from_recipe(cls, recipe: str, **changes: Any) -> "TrainConfig":
        """The recipe's settings with changes on top; a None means no change. Raises ValueError as the class does."""
        settings = {**RECIPES.get(recipe, {}), **{k: v for k, v in changes.items() if v is not None}}
        for given, other in (("steps", "epochs"), ("epochs", "steps")):
            if changes.get(given) is not None and changes.get(other) is None:
                settings.pop(other, None)
        return cls(recipe=recipe, **settings)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """The inverse of `to_dict`. Raises ValueError for a field that is unknown, missing or out of range."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
        try:
            return cls(**values)
        except TypeError as err:
            raise ValueError(str(err)) from err

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    def with_changes(self, **changes: Any) -> "TrainConfig":
        """A copy with other values; setting steps clears epochs and the other way round."""
        if changes.get("steps") is not None:
            changes.setdefault("epochs", None)
        elif changes.get("epochs") is not None:
            changes.setdefault("steps", None)
        return replace(self, **changes)

    def seed_at(self, step: int) -> int:
        """What decides the random numbers of a step: seed, or, from a step the run has gone back to, another one."""
        return rng.reseeded(self.seed, sum(back_to <= step for back_to in self.rollbacks))

    def total_steps(self, steps_per_epoch: int) -> int:
        """The steps of the whole run."""
        return self.steps if self.steps is not None else steps_per_epoch * (self.epochs or 0)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step of a run of so many: the last is at 1 / lr_decay_steps of the full one."""
        return self.learning_rate * min(1.0, (steps - step) / max(1, self.lr_decay_steps))

    def differences(self, other: "TrainConfig") -> dict[str, tuple[Any, Any]]:
        """Fields in which the two would compute different steps: name -> (mine, the other's)."""
        mine, theirs = self.to_dict(), other.to_dict()
        return {
            k: (mine[k], theirs[k])
            for k in mine
            if k not in CHANGEABLE | {"recipe", "rollbacks"} and mine[k] != theirs[k]
        }


def _check(good: bool, name: str, value: Any, expected: str) -> None:
    if not good:
        raise ValueError(f"{name} is {value!r}; it must be {expected}")
