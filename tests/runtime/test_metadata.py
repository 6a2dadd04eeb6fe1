"""ModelSpec: the metadata in a model file's metadata."""

import json
import math
import re
import struct
from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from avatar_export.cli import main as avatar_export
from avatar_export.formats.golden import golden_images
from avatar_runtime import ModelFileError, ModelSpec
from avatar_runtime.command.cli import main as avatar_gen
from avatar_runtime.imaging.encoding import encode
from avatar_runtime.model_file.metadata import FORMAT_VERSION, KEY, ScorerSpec
from avatar_runtime.serve.cli import main as avatar_serve

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
    golden=golden_images([np.full((64, 64, 3), level, np.uint8) for level in (0, 9, 99, 255)]),
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
    metadata = json.loads(SHORT.to_metadata()[KEY])
    for name in ("version", "precision", "passes", "checkpoint_sha256", "parity", "license", "provenance", "golden"):
        del metadata[name]
    assert ModelSpec.from_metadata({KEY: json.dumps(metadata)}) == SHORT


def test_the_id_is_name_and_version_and_a_file_without_a_version_is_version_1() -> None:
    metadata = json.loads(replace(FULL, name="faces", version=12).to_metadata()[KEY])
    assert ModelSpec.from_metadata({KEY: json.dumps(metadata)}).id == "faces@12"
    del metadata["version"]
    assert ModelSpec.from_metadata({KEY: json.dumps(metadata)}).id == "faces@1"


@pytest.mark.parametrize("metadata", [{}, {"producer": "someone"}])
def test_a_foreign_model_is_told_apart(metadata: dict[str, str]) -> None:
    with pytest.raises(ModelFileError, match="not one of avatar-edge"):
        ModelSpec.from_metadata(metadata)


def test_a_newer_format_asks_for_an_upgrade() -> None:
    with pytest.raises(ModelFileError, match=r"of format 2, newer than .* pip install --upgrade avatar-edge"):
        ModelSpec.from_metadata(edited(format_version=FORMAT_VERSION + 1, pixel_range="in a new way"))


NOT_JSON = ["", "{", FULL.to_metadata()[KEY][:-1], "[" * 100_000]
OTHER_JSON = ["null", "[]", "7", '"text"', "{}", '{"format_version": NaN}', '{"format_version": 1}']


@pytest.mark.parametrize("text", NOT_JSON + OTHER_JSON, ids=lambda text: text[:25])
def test_damaged_json_is_refused(text: str) -> None:
    with pytest.raises(ModelFileError, match="metadata is damaged"):
        ModelSpec.from_metadata({KEY: text})


DAMAGED: dict[str, list[Any]] = {
    "format_version": ["1", None, True, 0],
    "version": [0, "2", 2.0, True, None, 10**6],
    "latent_dim": [0, -1, "100", 100.5, True],
    "image_size": [0, None],
    "channels": [2, 3.0, "3"],
    "output": ["float16", []],
    "pixel_range": [[-1], [1, -1], [0, math.inf], [0, 10**400], None, "all"],
    "passes": [5, [1, 2], "fold", ["a"] * 201, ["\ud800"]],
    "golden": [
        [],
        {},
        {"names": ["a"], "sha256": ["b"], "png": [], "tolerance": math.inf},
        {"names": 1, "sha256": 2, "png": 3, "tolerance": 3},
    ],
    "batch": [0, 4097, "2"],
    "name": [7, ["a"], "a\ud800", "a" * 201],
    "license": [7, ["MIT"], "\udfff"],
    "provenance": ["x" * 20_001],
    "latent_scheme": [None],
    "precision": [{}],
    "checkpoint_sha256": ["ab", 7],
    "parity": [
        [],
        "none",
        {"a": "\ud800"},
        {"a": math.nan},
        {"a": 10**400},
        {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}},
        {"levels": [0] * 20_000},
    ],
    "kind": [7, "tree"],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in DAMAGED.items() for value in values],
    ids=lambda value: ascii(value)[:20],
)
def test_a_damaged_field_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match="metadata is damaged"):
        ModelSpec.from_metadata(edited(**{field: value}))


@pytest.mark.parametrize("field", ["name", "latent_dim", "image_size", "channels", "output", "pixel_range"])
def test_a_missing_field_is_named(field: str) -> None:
    metadata = json.loads(FULL.to_metadata()[KEY])
    del metadata[field]
    with pytest.raises(ModelFileError, match=f"metadata is damaged .*{field}"):
        ModelSpec.from_metadata({KEY: json.dumps(metadata)})


def base64_png(side: int, channels: int = 3) -> str:
    return b64encode(encode(np.zeros((side, side, channels), np.uint8), ".png")).decode()


def bomb(width: int, height: int) -> str:
    """A PNG of the right size whose header says another."""
    data = bytearray(b64decode(base64_png(64)))
    data[16:24] = struct.pack(">II", width, height)
    return b64encode(data).decode()


GOLDEN = json.loads(FULL.to_metadata()[KEY])["golden"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"png": ["no base64!"] * 4}, "golden.png is not base64"),
        ({"png": ["\xe9"] * 4}, "golden.png is not base64"),
        ({"png": [""] * 4}, "golden.png is not a PNG image"),
        ({"png": [b64encode(b"GIF89a" * 99).decode()] * 4}, "golden.png is not a PNG image"),
        ({"png": [base64_png(32)] * 4}, "golden.png is an image of 32x32 pixels, where the model draws 64x64"),
        ({"png": [bomb(14_000, 14_000)] * 4}, "golden.png is an image of 14000x14000 pixels"),
        ({"png": [base64_png(64, 1)] * 4}, "golden.png is not an image of 8 bits a channel and"),
        ({"png": [base64_png(64, 4)] * 4}, "golden.png is not an image of 8 bits a channel and"),
        ({"png": [base64_png(64)] * 3}, "golden.png is a list of 3 for 4 names"),
        ({"png": ["A" * 10**6] * 4}, "golden.png is"),
        ({"sha256": ["ab" * 32] * 5}, "golden.sha256 is a list of 5 for 4 names"),
        ({"names": [], "sha256": [], "png": []}, "golden.names is empty"),
        ({"names": ["a"] * 10**6}, "golden.names is"),
        ({"names": ["\ud800"] * 4}, "golden.names is"),
        ({"names": ["a" * 1001] * 4}, "golden.names is"),
        ({"tolerance": 1.5}, "golden.tolerance is 1.5"),
        ({"tolerance": 256}, "golden.tolerance is 256"),
        ({"tolerance": True}, "golden.tolerance is True"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_hostile_golden_check_is_refused_before_an_image_is_opened(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=re.escape(f"metadata is damaged ({message}")) as caught:
        ModelSpec.from_metadata(edited(golden={**GOLDEN, **changes}))
    assert len(str(caught.value)) < 250
    str(caught.value).encode()  # it can be printed


@pytest.mark.parametrize(
    "command", ["avatar-gen --check", "avatar-gen --info", "avatar-export --inspect", "avatar-serve"]
)
@pytest.mark.parametrize("damage", ["header", "pixels", "digest"])
def test_every_reader_says_what_is_wrong_with_the_golden_images(
    tmp_path: Path, tiny_model: Path, command: str, damage: str
) -> None:
    model = onnx.load(tiny_model)
    metadata = json.loads(model.metadata_props[0].value)
    if damage == "digest":
        metadata["golden"]["sha256"][2] = "ab" * 32
    else:
        data = bytearray(b64decode(metadata["golden"]["png"][2]))
        data[20 if damage == "header" else -40] ^= 0xFF
        metadata["golden"]["png"][2] = b64encode(data).decode()
    model.metadata_props[0].value = json.dumps(metadata)
    onnx.save(model, tmp_path / "x.onnx")
    name, *options = command.split()
    if name == "avatar-serve":
        pytest.importorskip("uvicorn", reason="needs the extra [serve]")
    runner = {"avatar-gen": avatar_gen, "avatar-export": avatar_export, "avatar-serve": avatar_serve}[name]
    given = options if options == ["--inspect"] else [*options, "--model"]
    result = CliRunner().invoke(runner, [*given, str(tmp_path / "x.onnx")])
    assert "golden" in result.output
    assert "Traceback" not in result.output
    assert result.exit_code == 1 or (options == ["--inspect"] and damage != "header")  # it tells all and "FAILED"


def test_a_scorers_spec_survives_its_metadata() -> None:
    spec = ScorerSpec(64, 3)
    assert ScorerSpec.from_metadata(spec.to_metadata()) == spec
