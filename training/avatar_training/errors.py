"""Errors of a training run that no single module owns."""

from avatar_runtime.errors import AvatarError


class TrainingError(AvatarError):
    """A run cannot start, continue or be resumed."""


class Diverged(TrainingError):
    """Training has gone wrong in a way that more steps do not repair."""


def shortened(err: Exception) -> str:
    """What another library says, in one line of at most 250 characters."""
    text = " ".join(str(err).split())
    return text if len(text) <= 250 else f"{text[:249]}…"
