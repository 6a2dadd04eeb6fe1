"""Draw anime avatars from a model file, with numpy, onnxruntime and Pillow alone."""

from avatar_runtime.errors import AvatarError, InputError, ModelFileError, OutputError, ProviderError
from avatar_runtime.generator import AvatarGenerator
from avatar_runtime.spec import ModelSpec

__version__ = "0.1.0"
__all__ = [
    "AvatarError",
    "AvatarGenerator",
    "InputError",
    "ModelFileError",
    "ModelSpec",
    "OutputError",
    "ProviderError",
    "__version__",
]
