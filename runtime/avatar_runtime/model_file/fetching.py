"""Fetches a model by its id into the user's model folder. Nothing else in the runtime opens a connection."""

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from avatar_runtime.errors import DownloadError, InputError
from avatar_runtime.extras import needs
from avatar_runtime.model_file.registry import find_model, in_package, is_id, known_models, missing, model_folder
from avatar_runtime.output.atomic import make_folder

if TYPE_CHECKING:
    from avatar_runtime.download import OnMessage, OnReceived

MIRROR_VARIABLE = "AVATAR_EDGE_MODEL_URL"


def address(name: str, url: str) -> str:
    """Where a file comes from: its own address, or AVATAR_EDGE_MODEL_URL/name if that is set."""
    mirror = os.environ.get(MIRROR_VARIABLE, "").rstrip("/")
    return f"{mirror}/{name}" if mirror else url


def fetch_model(
    id: str, *, on_message: "OnMessage" = lambda message: None, on_received: "OnReceived" = lambda received, total: None
) -> Path:
    """Fetch a model, unless it is on this machine, and return its path. Then `AvatarGenerator.load(id)` opens it.

    It comes from the address in the registry, or from AVATAR_EDGE_MODEL_URL/ID.onnx if that is set. It is kept only
    if it is the file whose SHA-256 the registry states.

    Args:
        id: Such as "anime-faces-128@1".
        on_message: Called with sentences for the user.
        on_received: Called with the bytes received so far and in all; None if the server does not say.

    Raises:
        InputError: This is not an id.
        ModelFileError: No registry knows the model, or one is damaged.
        DownloadError: It cannot be fetched, or another file comes. Nothing is kept.
        MissingExtraError: pooch is not installed.
        OutputError: The folder cannot be written.
    """
    if not is_id(id):
        raise InputError(f"{id!r} names no model: an id is a name and a version, such as anime-faces-128@1")
    if in_package(id):
        return find_model(id).path
    path = model_folder() / f"{id}.onnx"
    known = known_models().get(id)
    if known is None:
        raise missing(id, path)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256:
        return path
    url = address(path.name, known.url)
    if not url:
        raise DownloadError(f"no address for {id} is known: set {MIRROR_VARIABLE} to a mirror's, or put it at {path}")
    with needs("fetch", f"fetching {url} into {path}"):
        from avatar_runtime.download import download_file
    make_folder(path.parent)
    download_file(url, path, sha256=known.sha256, size=known.size, on_message=on_message, on_received=on_received)
    return path
