"""ModelSpec: the contract in a model file's metadata."""

import json
import math
from typing import Any

import pytest

from avatar_runtime import ModelFileError, ModelSpec
from avatar_runtime.model_file.metadata import FORMAT_VERSION, KEY, GoldenCheck

FULL = ModelSpec(
    name="faces ☺",
    latent_dim=100,
    image_size=64,
    channels=3,
    output="uint8",
    pixel_range=(-1.0, 1.0),
    latent_scheme="some-scheme-1",
    precision="fp16",
    passes=("one", "two"),
    checkpoint_sha256="ab" * 32,
    parity={"max_difference": 1, "levels": [10, 2]},
    license="MIT",
    provenance="drawn by hand",
    golden=GoldenCheck(("", "アリス"), ("cd" * 32, "ef" * 32), ("aGk=", "aGk="), 1),
)
SHORT = ModelSpec("grey", 1, 32, 1, "float32", (0.0, 1.0), "some-scheme-1")


def edited(**changes: Any) -> dict[str, str]:
    return {KEY: json.dumps({**json.loads(FULL.to_metadata()[KEY]), **changes})}


@pytest.mark.parametrize("spec", [FULL, SHORT], ids=["full", "short"])
def test_a_spec_survives_its_metadata(spec: ModelSpec) -> None:
    metadata = spec.to_metadata()
    assert ModelSpec.from_metadata(metadata) == spec
    assert list(metadata) == [KEY]
    assert metadata[KEY].isascii()
    assert json.loads(metadata[KEY])["format_version"] == FORMAT_VERSION


def test_unknown_fields_and_keys_are_ignored() -> None:
    metadata = edited(invented_later=[1, 2]) | {"somebody": "else"}
    assert ModelSpec.from_metadata(metadata) == FULL


def test_optional_fields_may_be_missing() -> None:
    contract = json.loads(SHORT.to_metadata()[KEY])
    for name in ("precision", "passes", "checkpoint_sha256", "parity", "license", "provenance", "golden"):
        del contract[name]
    assert ModelSpec.from_metadata({KEY: json.dumps(contract)}) == SHORT


@pytest.mark.parametrize("metadata", [{}, {"producer": "someone"}])
def test_a_foreign_model_is_told_apart(metadata: dict[str, str]) -> None:
    with pytest.raises(ModelFileError, match="not one of avatar-edge"):
        ModelSpec.from_metadata(metadata)


def test_a_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(ModelFileError, match=r"of format 2, newer than .* pip install --upgrade avatar-edge"):
        ModelSpec.from_metadata(edited(format_version=FORMAT_VERSION + 1, pixel_range="in a new way"))


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "7", '"text"', "{}", '{"format_version": 1}', FULL.to_metadata()[KEY][:-1], "[" * 100_000],
    ids=lambda text: text[:25],
)
def test_damaged_json_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match="contract is damaged"):
        ModelSpec.from_metadata({KEY: text})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format_version", "1"),
        ("format_version", None),
        ("latent_dim", 0),
        ("latent_dim", -1),
        ("latent_dim", "100"),
        ("latent_dim", 100.5),
        ("image_size", 0),
        ("image_size", None),
        ("channels", 2),
        ("channels", 3.0),
        ("channels", "3"),
        ("output", "float16"),
        ("output", []),
        ("pixel_range", [-1]),
        ("pixel_range", [1, -1]),
        ("pixel_range", [0, math.inf]),
        ("pixel_range", [0, 10**400]),
        ("pixel_range", None),
        ("pixel_range", "all"),
        ("passes", 5),
        ("golden", []),
        ("golden", {}),
        ("golden", {"names": ["a"], "sha256": ["b"], "png": [], "tolerance": math.inf}),
        ("golden", {"names": 1, "sha256": 2, "png": 3, "tolerance": 3}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_damaged_field_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match="contract is damaged"):
        ModelSpec.from_metadata(edited(**{field: value}))


@pytest.mark.parametrize("field", ["name", "latent_dim", "image_size", "channels", "output", "pixel_range"])
def test_a_missing_field_is_named(field: str) -> None:
    contract = json.loads(FULL.to_metadata()[KEY])
    del contract[field]
    with pytest.raises(ModelFileError, match=f"contract is damaged .*{field}"):
        ModelSpec.from_metadata({KEY: json.dumps(contract)})
