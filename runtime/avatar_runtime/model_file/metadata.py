"""ModelSpec: the contract that travels inside a model file, in the ONNX field `metadata_props`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from avatar_runtime.errors import ModelFileError

FORMAT_VERSION = 1
KEY = "avatar-edge"
"""The metadata key whose value is the contract as one JSON object."""

INPUT_NAME = "z"
MAX_SIZES = {"latent_dim": 65_536, "image_size": 4096, "channels": 3}
MAX_BATCH = 4096
"""A contract that claims more is not believed: the memory would be taken at the first avatar."""

OUTPUT_NAMES = {"uint8": "images", "float32": "image"}


@dataclass(frozen=True)
class GoldenCheck:
    """A few names and what they must look like, so that any runtime can verify itself offline."""

    names: tuple[str, ...]
    """Names, drawn at truncation 1."""
    sha256: tuple[str, ...]
    """SHA-256 of each name's uint8 [H, W, C] image in C order, where the file was made."""
    png: tuple[str, ...]
    """The same images as PNG files in base64: what a CPU that differs is measured against."""
    tolerance: int
    """Levels (of 255) by which another CPU's image may differ."""


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
    """The self-check, if the file carries one."""

    def to_metadata(self) -> dict[str, str]:
        """The spec as `metadata_props`: one JSON object under one key."""
        contract = {"format_version": FORMAT_VERSION, **asdict(self)}
        return {KEY: json.dumps(contract, ensure_ascii=True, sort_keys=True)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> "ModelSpec":
        """Read the spec out of `metadata_props`.

        Raises ModelFileError if the contract is missing, damaged, or of a newer format.
        """
        contract = read_contract(metadata, "generator")
        try:
            known = {f.name: contract[f.name] for f in fields(cls) if f.name in contract}
            known["pixel_range"] = (float(known["pixel_range"][0]), float(known["pixel_range"][1]))
            known["passes"] = tuple(known.get("passes", ()))
            if known.get("golden") is not None:
                golden = known["golden"]
                names, digests, pictures = (tuple(golden[key]) for key in ("names", "sha256", "png"))
                known["golden"] = GoldenCheck(names, digests, pictures, int(golden["tolerance"]))
            spec = cls(**known)
            spec._validate()
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError) as err:
            raise ModelFileError(f"its avatar-edge contract is damaged ({err}); export the model again") from err
        return spec

    def _validate(self) -> None:
        check_sizes(asdict(self), "latent_dim", "image_size", "channels")
        for name, value, allowed in (
            ("output", self.output, self.output in OUTPUT_NAMES),
            ("batch", self.batch, self.batch is None or (type(self.batch) is int and 0 < self.batch <= MAX_BATCH)),
            ("pixel_range", self.pixel_range, self.pixel_range in ((-1.0, 1.0), (0.0, 1.0))),
        ):
            if not allowed:
                raise ValueError(f"{name} is {value!r}")


def read_contract(metadata: Mapping[str, str], kind: str) -> dict[str, Any]:
    """The contract out of `metadata_props`, if it is that of a model of this kind, "generator" or "critic".

    Raises ModelFileError if the contract is missing, no JSON object, of a newer format, or of another kind.
    """
    if KEY not in metadata:
        raise ModelFileError(
            "it is an ONNX model, but not one of avatar-edge: it carries no contract; "
            "make one from a checkpoint with avatar-export"
        )
    try:
        contract: dict[str, Any] = json.loads(metadata[KEY])
        newer = contract["format_version"] > FORMAT_VERSION
    except (ValueError, TypeError, LookupError, RecursionError) as err:
        raise ModelFileError(f"its avatar-edge contract is damaged ({err}); export the model again") from err
    if newer:
        raise ModelFileError(
            f"it is an avatar-edge model of format {contract['format_version']}, newer than this version reads "
            f"({FORMAT_VERSION}); upgrade with: pip install --upgrade avatar-edge"
        )
    found = contract.get("kind", "generator")
    if found != kind:
        raise ModelFileError(f"it is a {found} of avatar-edge, where a {kind} is needed")
    return contract


def check_sizes(contract: Mapping[str, Any], *names: str) -> None:
    """Raise ModelFileError unless these sizes in a contract are whole numbers within MAX_SIZES."""
    for name in names:
        value = contract.get(name)
        if type(value) is not int or not 1 <= value <= MAX_SIZES[name] or (name == "channels" and value == 2):
            raise ModelFileError(f"its avatar-edge contract is damaged ({name} is {value!r}); export the model again")
