"""What a model file says of itself, as one JSON object in the ONNX field `metadata_props`.

A file may come from anybody, so the object is parsed once, here, into typed values within bounds.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from avatar_runtime.errors import ModelFileError
from avatar_runtime.model_file.golden import GoldenCheck
from avatar_runtime.model_file.json_fields import Fields

FORMAT_VERSION = 1
KEY = "avatar-edge"
"""The metadata key whose value is the JSON object."""
MAX_CHARACTERS = 2**25
"""The longest JSON that is read. Golden images of 1,024 pixels a side take half of it."""

INPUT_NAME = "z"
OUTPUT_NAMES = {"uint8": "images", "float32": "image"}
MAX_LATENT_DIM, MAX_IMAGE_SIZE, MAX_BATCH = 65_536, 4096, 4096
MAX_VERSION = 999_999
MAX_NAME, MAX_TEXT = 200, 20_000
"""Characters of the name, and of licence and provenance."""
PIXEL_RANGES = ((-1.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True)
class ModelSpec:
    """All that a runtime has to know of a model file."""

    name: str
    """What the model is called."""
    latent_dim: int
    """Length of a latent vector."""
    image_size: int
    """Height and width of an image in pixels."""
    channels: int
    """1 for grey, 3 for RGB."""
    output: str
    """"uint8": `images` [N, H, W, C], ready to show. "float32": `image` [N, C, H, W], the network's own tanh."""
    pixel_range: tuple[float, float]
    """The range of the training data: what black and white are in the network's own output."""
    latent_scheme: str
    """How a name becomes z: see `avatar_runtime.latents`."""
    version: int = 1
    """Which model of this name it is. Files made before models had versions are version 1."""
    batch: int | None = None
    """How many images the graph draws at once; None: any number."""
    precision: str = "fp32"
    """Number format of the weights."""
    passes: tuple[str, ...] = ()
    """Rewrites applied to the plain graph, in order."""
    checkpoint_sha256: str = ""
    """SHA-256 of the checkpoint file that the model was made from."""
    parity: Mapping[str, Any] = field(default_factory=dict)
    """What the comparison with the original network found."""
    license: str = ""
    """Terms under which the model may be used."""
    provenance: str = ""
    """The data it was trained on and how long."""
    golden: GoldenCheck | None = None
    """A few images by which any runtime can check itself, if the file carries them."""

    @property
    def id(self) -> str:
        """Name and version, such as "anime-faces-128@1": decides, with a name and a truncation, a face for ever."""
        return f"{self.name}@{self.version}"

    def to_metadata(self) -> dict[str, str]:
        """The spec as `metadata_props`: one JSON object under one key."""
        content = {"format_version": FORMAT_VERSION, **asdict(self)}
        return {KEY: json.dumps(content, ensure_ascii=True, sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "ModelSpec":
        """Read the spec out of `metadata_props`.

        Args:
            metadata: The file's properties; only KEY is read. Fields that this version does not know are ignored.

        Raises:
            ModelFileError: The metadata is missing, damaged, of a newer format, or that of a scorer.
        """
        fields = _read(metadata, "generator")
        try:
            return cls._from_fields(fields)
        except ValueError as err:
            raise _damaged(err) from err

    @classmethod
    def _from_fields(cls, fields: Fields) -> "ModelSpec":
        image_size, channels = _image_shape(fields)
        golden = fields.optional_object("golden")
        return cls(
            name=fields.text("name", MAX_NAME),
            version=fields.whole("version", 1, MAX_VERSION, default=1),
            latent_dim=fields.whole("latent_dim", 1, MAX_LATENT_DIM),
            image_size=image_size,
            channels=channels,
            output=fields.choice("output", tuple(OUTPUT_NAMES)),
            pixel_range=fields.pair("pixel_range", PIXEL_RANGES),
            latent_scheme=fields.text("latent_scheme", 100),
            batch=fields.whole("batch", 1, MAX_BATCH) if fields.get("batch") is not None else None,
            precision=fields.text("precision", 100, default="fp32"),
            passes=fields.texts("passes", most=200, characters=200, default=()),
            checkpoint_sha256=fields.digest("checkpoint_sha256", default=""),
            parity=fields.plain_object("parity"),
            license=fields.text("license", MAX_TEXT, default=""),
            provenance=fields.text("provenance", MAX_TEXT, default=""),
            golden=None if golden is None else GoldenCheck.from_fields(golden, image_size, channels),
        )


@dataclass(frozen=True)
class ScorerSpec:
    """What a runtime has to know of a scorer's file: see `ranking.Scorer`."""

    image_size: int
    """Height and width in pixels of the images that it scores."""
    channels: int
    """1 for grey, 3 for RGB."""

    def to_metadata(self) -> dict[str, str]:
        """The spec as `metadata_props`."""
        return {KEY: json.dumps({"format_version": FORMAT_VERSION, "kind": "scorer", **asdict(self)}, sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "ScorerSpec":
        """Read the spec out of `metadata_props`. Raises ModelFileError as `ModelSpec.from_metadata` does."""
        fields = _read(metadata, "scorer")
        try:
            return cls(*_image_shape(fields))
        except ValueError as err:
            raise _damaged(err) from err


def _read(metadata: Mapping[str, str], kind: str) -> Fields:
    """The fields of the metadata, if they are those of a model of this kind, "generator" or "scorer"."""
    if KEY not in metadata:
        raise ModelFileError(
            "it is an ONNX model, but not one of avatar-edge: it carries no metadata of ours; "
            "make one from a checkpoint with avatar-export"
        )
    try:
        fields = Fields.from_json(metadata[KEY], MAX_CHARACTERS)
        version = fields.whole("format_version", 1, 2**31)
        found = fields.choice("kind", ("generator", "scorer"), default="generator")
    except ValueError as err:
        raise _damaged(err) from err
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"it is an avatar-edge model of format {version}, newer than this version reads ({FORMAT_VERSION}); "
            "upgrade with: pip install --upgrade avatar-edge"
        )
    if found != kind:
        raise ModelFileError(f"it is a {found} of avatar-edge, where a {kind} is needed")
    return fields


def _image_shape(fields: Fields) -> tuple[int, int]:
    return fields.whole("image_size", 1, MAX_IMAGE_SIZE), fields.choice("channels", (1, 3))


def _damaged(err: Exception) -> ModelFileError:
    return ModelFileError(f"its avatar-edge metadata is damaged ({err}); export the model again")
