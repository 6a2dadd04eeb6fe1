"""Train a DCGAN on faces in MindSpore: `TrainConfig` says what, `train` does it, `avatar-train` is the command."""

from avatar_training.config import TrainConfig

__all__ = ["TrainConfig"]
