"""Models by id, such as "anime-faces-128@1": which are known, and where their files lie.

A model folder holds files called ID.onnx, and may hold models.json, the registry: what is known of each id. There are
two: the package's, and the user's (`model_folder`), where downloads go.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from avatar_runtime.errors import AvatarError, InputError, ModelFileError
from avatar_runtime.model_file.json_fields import Fields
from avatar_runtime.model_file.limits import MAX_FILE_BYTES
from avatar_runtime.model_file.reading import read_file

FOLDER_VARIABLE = "AVATAR_EDGE_MODELS"
REGISTRY = "models.json"
MAX_CHARACTERS = 2**20
"""The longest registry that is read: some thousand models."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}@[1-9][0-9]{0,5}")
_CACHES = {"win32": ("LOCALAPPDATA", "~/AppData/Local"), "darwin": ("", "~/Library/Caches")}
"""Where caches go, by system: a variable, and a folder if it is not set."""
_PACKAGE = Path(__file__).parents[1] / "models"


@dataclass(frozen=True)
class KnownModel:
    """What a registry says of a model."""

    sha256: str
    """SHA-256 of the file. It never changes."""
    size: int
    """Bytes of the file."""
    url: str = ""
    """Its web address, if it can be fetched."""
    shape: str = ""
    """Height, width and channels of an image, such as "128x128x3"."""
    license: str = ""
    """Terms under which it may be used."""
    quality: str = ""
    """How good its faces are, in words."""


@dataclass(frozen=True)
class ModelFile:
    """Where a model lies, and what must be found there."""

    path: Path
    """The file."""
    id: str | None = None
    """The id that was asked for; None if a path was."""
    sha256: str | None = None
    """The digest that the file must have; None if no registry knows the model."""

    def check_bytes(self, sha256: str) -> None:
        """Raise ModelFileError if a registry knows the model by another digest than the file's."""
        if self.sha256 not in (None, sha256):
            raise ModelFileError(
                f"it is damaged, or not the released {self.id}: its SHA-256 is {sha256}, not {self.sha256}; "
                "delete it and put the right file there"
            )

    def check_id(self, id: str) -> None:
        """Raise ModelFileError if another model was asked for than what the file says that it is."""
        if self.id not in (None, id):
            raise ModelFileError(f"it says that it is {id}; rename it to {id}.onnx")


def is_id(text: object) -> bool:
    """Whether this is a text of the form NAME@VERSION; the name has letters and digits of ASCII, dots, - and _."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def id_parts(id: str) -> tuple[str, int]:
    """The name and the version in an id: ids sorted by them have a name's newest version last."""
    name, _, version = id.rpartition("@")
    return name, int(version)


def default_model() -> str:
    """The id of the model that draws where none is named."""
    return _package_registry()[0]


def find_model(model: str | Path | None = None) -> ModelFile:
    """Where a model lies.

    Args:
        model: An id, looked up in the package and in `model_folder`; or a name without a version, for the newest in the
            package; or a path; or None, for the default.

    Raises:
        InputError: It is neither text nor a path.
        ModelFileError: The id is not known, or its file is not on this machine.
    """
    if model is None:
        model = default_model()
    if isinstance(model, os.PathLike):
        return ModelFile(Path(model))
    if not isinstance(model, str) or model == "":
        raise InputError(f"a model is an id such as {default_model()}, or the path of a file, not {model!r}")
    if not is_id(model):
        path = Path(model)
        versions = [id for id in _package_registry()[1] if id_parts(id)[0] == model]
        looks_like_path = path.suffix != "" or path.parent != Path()
        if (looks_like_path and not versions) or _exists(path):
            return ModelFile(path)
        if not versions:
            raise ModelFileError(f"there is no model and no file {model!r}; there are {_ids(known_models())}")
        model = max(versions, key=id_parts)
    known = _package_registry()[1].get(model)
    path = _PACKAGE / f"{model}.onnx"
    if known is None or not _exists(path):
        path = model_folder() / path.name
        known = known_models().get(model)
    if not _exists(path):
        raise missing(model, path)
    return ModelFile(path, model, None if known is None else known.sha256)


def known_models() -> Mapping[str, KnownModel]:
    """What the registries of the package and of `model_folder` say of each id.

    Raises ModelFileError if the second is damaged, or says something else than the first of a model in both.
    """
    _, known = _package_registry()
    path = model_folder() / REGISTRY
    if not _exists(path):
        return known
    _, more = read_registry(path)
    for id in known.keys() & more.keys():
        if known[id].sha256 != more[id].sha256:
            raise ModelFileError(f"{path}: {id} has another SHA-256 than in the package; a version never changes")
    return {**more, **known}


def read_registry(path: Path) -> tuple[str, Mapping[str, KnownModel]]:
    """The id of the default and the models of a registry. Raises ModelFileError."""
    try:
        fields = Fields.from_json(read_file(path).decode(), MAX_CHARACTERS)
        models = fields.optional_object("models") or fields.refuse("models")
        return fields.text("default", 300, default=""), {id: _known(models, id) for id in models}
    except (ModelFileError, ValueError) as err:
        raise ModelFileError(f"{path} is not a registry of models ({err})") from err


def model_folder() -> Path:
    """The user's model folder: AVATAR_EDGE_MODELS, or avatar-edge/models among the user's caches. It may not exist.

    Raises AvatarError if there is no home folder to put it in.
    """
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder)
    variable, usual = _CACHES.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    caches = Path(os.environ.get(variable, ""))
    try:
        caches = caches if caches.is_absolute() else Path(usual).expanduser()
    except RuntimeError as err:
        raise AvatarError(f"there is no home folder for models: set {FOLDER_VARIABLE} to a folder") from err
    return caches / "avatar-edge" / "models"


def released_model(sha256: str) -> str | None:
    """The id of the model with this digest, if the package's registry has it."""
    return next((id for id, known in _package_registry()[1].items() if known.sha256 == sha256), None)


def in_package(id: str) -> bool:
    """Whether the package carries this model."""
    return (_PACKAGE / f"{id}.onnx").exists()


def missing(id: str, path: Path) -> ModelFileError:
    """The error that a model is not at this path, where it would be looked for."""
    known = known_models()
    if id in known:
        return ModelFileError(f"{id} is not on this machine: `avatar-gen models fetch {id}`, or put its file at {path}")
    return ModelFileError(f"there is no model {id}; there are {_ids(known)}. Put a file of your own at {path}")


@cache
def _package_registry() -> tuple[str, Mapping[str, KnownModel]]:
    return read_registry(_PACKAGE / REGISTRY)


def _ids(known: Mapping[str, KnownModel]) -> str:
    return ", ".join(sorted(known))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as err:  # a folder that may not be looked into, a name that is too long
        raise ModelFileError(f"cannot look into {path.parent}: {getattr(err, 'strerror', None) or err}") from err


def _known(models: Fields, id: str) -> KnownModel:
    entry = models.optional_object(id)
    if entry is None or not is_id(id):
        models.refuse(id, "not an entry of the form NAME@VERSION")
    if not entry.text("url", 2000, default="").isprintable():
        entry.refuse("url", "not a web address")
    return KnownModel(
        entry.digest("sha256"),
        entry.whole("size", 1, MAX_FILE_BYTES),
        *(entry.text(name, 1000, default="") for name in ("url", "shape", "license", "quality")),
    )
