"""Measure the averaged generator's KID from time to time, and keep the best generator as best.ckpt."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mindspore import Tensor

from avatar_runtime.latents import latents, series
from avatar_runtime.output.atomic import write_file
from avatar_training.archive import ArchiveError, pack_arrays, read_arrays
from avatar_training.data.dataset import Faces
from avatar_training.metrics.features import FeatureNetwork, Features
from avatar_training.metrics.kid import kid
from avatar_training.networks.gan import Gan
from avatar_training.run_folder import checkpoint

COUNT = 1000
"""Number of generated faces, those of `avatar-gen --seed kid`, and of real ones if there are as many."""

_BATCH = 64
"""The batch size of previews, for which the graph is already compiled."""


class Best:
    """Measures a run's generator and keeps best.ckpt, the generator.ckpt with the lowest KID.

    best.ckpt holds its KID and the digest of the feature network, so that a resumed run replaces it only by a better
    one. If another network chose it, it is renamed to best.1.ckpt, …, because KIDs over two networks do not compare.

    Raises FeaturesError if the network cannot run, or OutputError.
    """

    def __init__(
        self, out: Path, network: FeatureNetwork, faces: Faces, on_message: Callable[[str], None] = lambda message: None
    ) -> None:
        self.path, self.network = out / "best.ckpt", network
        self.real = self._real_features(out / "real-features.npz", faces)
        self.lowest = self._read(on_message)
        """The KID of best.ckpt; None if there is no best.ckpt yet."""

    def measure(self, gan: Gan, step: int) -> dict[str, float | str]:
        """Measure KID over COUNT faces, always of the same latents. Returns a row for stats.jsonl."""
        names = tuple(series("kid", -(-COUNT // _BATCH) * _BATCH))
        z = latents(names, gan.config.latent_dim)
        parts = [self.network(gan.draw(z[i : i + _BATCH])[: COUNT - i]) for i in range(0, len(z), _BATCH)]
        value, deviation = kid(self.real, np.concatenate(parts))
        if self.lowest is None or value < self.lowest:
            digest = np.frombuffer(bytes.fromhex(self.network.sha256), np.uint8)
            record = {"kid": Tensor(np.float64(value)), "features_sha256": Tensor(digest)}
            checkpoint.save(self.path, {**gan.averaged_generator(step), **record})
            self.lowest = value
        return {"kid": round(value, 6), "kid_std": round(deviation, 6), "kid_network": self.network.sha256[:12]}

    def _real_features(self, cache: Path, faces: Faces) -> Features:
        # Cached: a network of MobileNetV2's size takes 20 s for 1,000 faces, as long as the rest of the start.
        key = f"{self.network.sha256} {faces.sha256}"
        try:
            saved = read_arrays(cache)
            if str(saved["key"]) == key:
                return np.asarray(saved["features"], np.float32)
        except (OSError, ValueError, KeyError, ArchiveError):
            pass  # missing or damaged: compute it again
        chosen = np.random.default_rng(0).choice(len(faces.images), min(COUNT, len(faces.images)), replace=False)
        features = self.network(faces.images[chosen])
        write_file(cache, pack_arrays(key=key, features=features))
        return features

    def _read(self, on_message: Callable[[str], None]) -> float | None:
        if not self.path.exists():
            return None
        try:
            arrays = checkpoint.read(self.path)
            if arrays["features_sha256"].tobytes().hex() == self.network.sha256:
                if math.isfinite(lowest := float(arrays["kid"])):
                    return lowest
                raise ValueError("its KID is not finite")
            reason = "was chosen by another feature network"
        except (checkpoint.CheckpointError, KeyError, ValueError, TypeError):
            reason = "cannot be read"
        free = next(old for i in range(1, 10**6) if not (old := self.path.with_stem(f"best.{i}")).exists())
        on_message(f"{self.path} {reason}; it is now {self.path.rename(free)}")
        return None
