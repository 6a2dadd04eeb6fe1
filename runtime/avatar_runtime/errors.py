"""The one error family of avatar-edge: every message says what is wrong, where, and what to do."""


class AvatarError(Exception):
    """Anything avatar-edge refuses to do. Catch this to catch them all."""


class InputError(AvatarError, ValueError):
    """An argument is unusable: a count, a name, a truncation, a grid that would be too large."""


class ModelFileError(AvatarError):
    """A model file cannot be read, is no ONNX model, or carries no sound metadata of avatar-edge."""


class ProviderError(AvatarError):
    """An onnxruntime execution provider was asked for that this installation does not have."""


class OutputError(AvatarError):
    """A file cannot be written where it was asked for."""
