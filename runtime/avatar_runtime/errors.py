"""The errors of avatar-edge. Every message says what is wrong, where, and what to do."""


class AvatarError(Exception):
    """The base of all errors here: catch it to catch them all."""


class InputError(AvatarError, ValueError):
    """An argument cannot be used: a count, a name, a truncation, a grid that would be too large."""


class ModelFileError(AvatarError):
    """A model file cannot be read, is not an ONNX model, or carries no sound metadata of avatar-edge."""


class ProviderError(AvatarError):
    """This installation of onnxruntime does not have an execution provider that was asked for."""


class DownloadError(AvatarError):
    """A file cannot be fetched, or is not the one that was asked for."""


class OutputError(AvatarError):
    """A file cannot be written where it should be."""


class MissingExtraError(AvatarError, ImportError):
    """A package is not installed that only one of the extras needs."""
