"""TrainConfig: everything a training run depends on, and the three recipes.

Imports no MindSpore.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from avatar_runtime.errors import InputError, ModelFileError
from avatar_runtime.model_file.metadata import MAX_LATENT_DIM
from avatar_runtime.model_file.reading import read_file
from avatar_training import rng
from avatar_training.errors import TrainingError

RUNS = Path("runs")
"""Default folder of runs."""

FACES_URL = "https://download.mindspore.cn/dataset/Faces/faces.zip"
"""The archive of MindSpore's tutorial: 70,171 faces."""

RECIPES: Mapping[str, Mapping[str, Any]] = {
    # Best of those measured for hours on a CPU: small batches, because updates count more than images; a moving
    # average; and DiffAugment, without which the discriminator overfits and the generator may collapse.
    "edge": {"steps": 20_000, "diff_augment": True},
    # For days on an accelerator: with DiffAugment a GAN can see the same faces hundreds of times without overfitting.
    "long": {
        "epochs": 200,
        "batch_size": 64,
        "loss": "hinge",
        "real_label": 1.0,
        "spectral_norm": True,
        "diff_augment": True,
        "ema_decay": 0.9999,
    },
    # MindSpore's tutorial "DCGAN生成漫画头像", with its numbers, except that pixels are in [-1, 1], the range of tanh.
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

GENERATORS = ("tutorial", "refined")
LOSSES = ("bce", "bce-logits", "hinge")
IMAGE_SIZES = (32, 64, 128)
DEVICE_TARGETS = ("auto", "CPU", "GPU", "Ascend")

_CHOICES: Mapping[str, Sequence[Any]] = {
    **{"recipe": tuple(RECIPES), "generator": GENERATORS, "loss": LOSSES, "device_target": DEVICE_TARGETS},
    **{"image_size": IMAGE_SIZES, "channels": (1, 3)},
}
_LEAST = {
    **{"batch_size": 2},  # a batch norm over one value a channel would divide by zero
    **dict.fromkeys(("latent_dim", "ngf", "ndf", "snapshot_every", "keep", "reward_images"), 1),
    **dict.fromkeys(("kid_every", "lr_decay_steps", "seed"), 0),
}
_MOST = {
    **dict.fromkeys(("learning_rate", "activation_limit", "reward_weight"), math.inf),
    **dict.fromkeys(("beta1", "beta2", "real_label", "ema_decay", "min_truncation"), 1.0),
}

FILES = ("critic", "critic_network", "feature_heads")
"""Fields with a file, besides the images, that the steps depend on: see `file_digests`."""

CHANGEABLE = frozenset(
    {"data", "steps", "epochs", "lr_decay_steps", "snapshot_every", "keep", "rollback"}
    | {"device_target", "amp", "kid_network", "kid_every", *FILES}
)
"""Fields that a resumed run may change; `record.refuse_changes` says which files may differ. Apart from rounding and
another critic, none changes a step before the decay begins."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings of one run. The defaults are those of the recipe `edge`, without its augmentation."""

    data: str
    """A folder of images or a zip."""
    recipe: str = "edge"
    """Recipe that the settings started from."""
    steps: int | None = None
    """Total number of steps; None if `epochs` is set."""
    epochs: int | None = None
    """Total number of passes over the data; None if `steps` is set."""
    batch_size: int = 16
    """Images per step, over all workers."""
    image_size: int = 64
    """Height and width in pixels: 32, 64 or 128."""
    channels: int = 3
    """1 for grey, 3 for RGB."""
    latent_dim: int = 100
    """Length of a latent vector."""
    min_truncation: float = 1.0
    """Each latent is scaled by a random factor from this to 1, so that truncated latents give faces, too."""
    activation_limit: float = 0.0
    """Hidden activations of the generator above this are penalised, which makes int8 more accurate; 0 for no limit."""
    generator: str = "tutorial"
    """tutorial, or refined, which has residual blocks besides."""
    bounded: bool = False
    """The generator's ReLUs give no more than 1, so that int8 exports come nearer to it."""
    ngf: int = 64
    """Width of the generator: channels of its last hidden layer."""
    ndf: int = 32
    """Width of the discriminator: channels of its first layer."""
    mirror: bool = False
    """The discriminators see each image beside its mirror image; for faces that look straight ahead."""
    seed: int = 0
    """Seed of the first weights and of every random number in every step."""
    device_target: str = "auto"
    """CPU, GPU, Ascend, or auto for the best one available."""
    amp: bool | None = None
    """Mixed precision (float16 with loss scaling). None: on, except on a CPU, where it is not faster."""
    loss: str = "bce-logits"
    """bce (of probabilities, the tutorial's), bce-logits or hinge."""
    real_label: float = 0.9
    """Label of real images for the discriminator, in the two cross-entropies."""
    learning_rate: float = 2e-4
    """Adam's learning rate, for both networks."""
    init_from: str | None = None
    """Folder with the generator.ckpt and discriminator.ckpt to start from; None for random weights."""
    lr_decay_steps: int = 0
    """Number of last steps over which the learning rate falls linearly to 0."""
    beta1: float = 0.5
    """Adam's decay rate of the first moment."""
    beta2: float = 0.999
    """Adam's decay rate of the second moment."""
    flip: bool = True
    """Mirror each real image with probability 1/2."""
    spectral_norm: bool = False
    """Spectral instead of batch normalisation in the discriminator."""
    diff_augment: bool = False
    """Differentiable augmentation of real and generated images."""
    feature_heads: str | None = None
    """ONNX file of a MobileNetV2 through which further discriminators see; None for none."""
    critic: tuple[str, ...] = ()
    """Critics trained on grades (.npz), which the generator learns to please. Two of different classifiers wear out
    more slowly."""
    critic_network: tuple[str, ...] = ()
    """For each critic, the ONNX classifier whose activations it weighs."""
    reward_weight: float = 0.6
    """Weight of the critics' mean in the generator's loss."""
    reward_images: int = 8
    """Generated images of a batch that each critic sees in a step; divides batch_size."""
    ema_decay: float = 0.999
    """Decay of the generator's moving average per step; 0 for no average."""
    snapshot_every: int = 200
    """Steps between two snapshots, each with a preview."""
    kid_network: str | None = None
    """ONNX file of the feature network for the KID that chooses best.ckpt; None for no best.ckpt."""
    kid_every: int = 2000
    """Steps between two measurements of KID; 0 for none."""
    keep: int = 2
    """Number of snapshots to keep: more than one, in case the newest is damaged."""
    rollback: bool = False
    """When training diverges, go back to the last good snapshot and continue with another seed."""
    rollbacks: tuple[int, ...] = ()
    """Steps that the run has gone back to so far. The run itself writes them."""

    def __post_init__(self) -> None:
        for name, kind in _LISTS.items():
            if isinstance(value := getattr(self, name), list):  # JSON has no tuples
                object.__setattr__(self, name, tuple(value))
            values = getattr(self, name)
            good = isinstance(values, tuple) and all(isinstance(value, kind) for value in values)
            self._check(name, good, f"a list of {kind.__name__}")
        for name, kinds in _KINDS.items():
            self._check(name, type(getattr(self, name)) in kinds, " or ".join(kind.__name__ for kind in kinds))
        for name, choices in _CHOICES.items():
            self._check(name, getattr(self, name) in choices, f"one of {', '.join(map(str, choices))}")
        for name, least in _LEAST.items():
            self._check(name, getattr(self, name) >= least, f"at least {least}")
        for name, most in _MOST.items():
            self._check(name, math.isfinite(value := getattr(self, name)) and 0 <= value <= most, f"from 0 to {most}")
        for name, most in (("latent_dim", MAX_LATENT_DIM), ("ngf", 4096), ("ndf", 4096)):
            self._check(name, getattr(self, name) <= most, f"at most {most:,}")
        for name in ("steps", "epochs"):
            self._check(name, (getattr(self, name) or 0) <= 10**9, "at most 10^9")
        for name in ("beta1", "beta2", "ema_decay"):
            self._check(name, getattr(self, name) < 1, "below 1")
        self._check("learning_rate", self.learning_rate > 0, "above 0")
        self._check("seed", self.seed < 2**63, "at most 2^63 - 1")
        self._check("steps", (self.steps is None) != (self.epochs is None), "set where epochs is not")
        for name in ("steps", "epochs"):
            self._check(name, getattr(self, name) is None or getattr(self, name) >= 1, "at least 1")
        self._check("critic_network", len(self.critic_network) == len(self.critic), "given once for each critic")
        fits = not self.critic or self.batch_size % self.reward_images == 0
        self._check("reward_images", fits, f"a divisor of batch_size, {self.batch_size}")
        self._check("rollbacks", all(step >= 0 for step in self.rollbacks), "steps, each at least 0")

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            raise InputError(f"{name} is {getattr(self, name)!r}; it must be {expected}")

    @classmethod
    def from_recipe(cls, recipe: str, data: str, **changes: Any) -> "TrainConfig":
        """The recipe's settings with these changes, where None means no change. Raises InputError for a bad value."""
        settings = cls(data, recipe, **RECIPES.get(recipe, {}))
        return settings.with_changes(**{name: value for name, value in changes.items() if value is not None})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Read what `to_dict` gave. Raises InputError for a field that is unknown, missing or out of range."""
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"unknown field {', '.join(sorted(unknown))}")
        try:
            return cls(**values)
        except TypeError as err:
            raise InputError(str(err)) from err

    def file_digests(self) -> dict[str, str]:
        """SHA-256 of the files in FILES: field -> digests. Raises TrainingError if one cannot be read."""
        heads = (self.feature_heads,) if self.feature_heads is not None else ()
        paths = {"critic": self.critic, "critic_network": self.critic_network, "feature_heads": heads}
        return {name: " ".join(file_digest(Path(path)) for path in paths[name]) for name in FILES if paths[name]}

    def changed_files(self, digests: Mapping[str, str]) -> list[str]:
        """The fields of FILES whose files have other digests than these, or none."""
        own = self.file_digests()
        return [name for name in FILES if own.get(name) != digests.get(name)]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    def with_changes(self, **changes: Any) -> "TrainConfig":
        """A copy with other values. Setting steps clears epochs, and vice versa."""
        if changes.get("steps") is not None:
            changes.setdefault("epochs", None)
        elif changes.get("epochs") is not None:
            changes.setdefault("steps", None)
        return replace(self, **changes)

    def seed_at(self, step: int) -> int:
        """The seed of a step's random numbers. It changes at each step that the run has gone back to."""
        return rng.reseeded(self.seed, sum(rollback <= step for rollback in self.rollbacks))

    def total_steps(self, steps_per_epoch: int) -> int:
        """The steps of the whole run."""
        return self.steps if self.steps is not None else steps_per_epoch * (self.epochs or 0)

    def differences(self, other: "TrainConfig") -> dict[str, tuple[Any, Any]]:
        """Fields that make the two compute different steps: name -> (own value, other value)."""
        mine, theirs = self.to_dict(), other.to_dict()
        return {
            k: (mine[k], theirs[k])
            for k in mine
            if k not in CHANGEABLE | {"recipe", "rollbacks"} and mine[k] != theirs[k]
        }


def as_options(names: Sequence[str]) -> str:
    """Names of fields as a phrase of options."""
    return " and ".join(f"--{name.replace('_', '-')}" for name in names)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises TrainingError if it cannot be read or is not a regular file."""
    try:
        return hashlib.sha256(read_file(path)).hexdigest()
    except ModelFileError as err:
        raise TrainingError(f"cannot use {path}: {err}") from err


def _kinds(hint: Any) -> tuple[type, ...]:
    kinds = get_args(hint) or (hint,)
    return (*kinds, int) if float in kinds else kinds


_LISTS: Mapping[str, type] = {"critic": str, "critic_network": str, "rollbacks": int}
_KINDS = {name: _kinds(hint) for name, hint in get_type_hints(TrainConfig).items() if name not in _LISTS}
"""The types that each field may have: a config.json may hold anything."""
