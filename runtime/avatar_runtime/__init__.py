"""Draw anime avatars from a model file, with numpy, onnxruntime and Pillow alone."""

from typing import TYPE_CHECKING, Any

from avatar_runtime.errors import AvatarError, DownloadError, InputError, ModelFileError, OutputError, ProviderError

if TYPE_CHECKING:
    from avatar_runtime.generator import AvatarGenerator
    from avatar_runtime.model_file.metadata import ModelSpec

__version__ = "1.0.0"
__all__ = [
    "AvatarError",
    "AvatarGenerator",
    "DownloadError",
    "InputError",
    "ModelFileError",
    "ModelSpec",
    "OutputError",
    "ProviderError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """What needs numpy, onnxruntime and Pillow, when it is first asked for: `avatar-gen --help` does not, 130 ms."""
    if name not in ("AvatarGenerator", "ModelSpec"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from avatar_runtime import generator

    globals()[name] = found = getattr(generator, name)
    return found
