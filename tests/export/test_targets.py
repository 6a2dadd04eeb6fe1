import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from avatar_export import targets
from avatar_export.cli import main
from avatar_export.exporter import Options, id_of
from avatar_export.formats.onnx_file import ModelCheckError, check_model
from avatar_export.passes.convert_to_sub_pixel_convolution import convert_to_sub_pixel_convolution
from avatar_export.passes.fix_batch_to_one import fix_batch_to_one
from avatar_export.pipeline import build_graph
from avatar_export.source.original import Original
from avatar_export.targets import export_target, replacing_folder
from avatar_export.validation import speed
from avatar_export.validation.mobile_usability import check_usability
from avatar_export.validation.parity import ParityError
from avatar_export.variants import TARGETS, Variant
from avatar_runtime import AvatarGenerator, InputError, ModelFileError, OutputError
from avatar_runtime.imaging.arrays import from_network
from avatar_runtime.latents import latents
from native.engine import Model, compile_engine, compiler
from rewriting import Rewrite
from tiny_model import tiny_original

RANDOM_WEIGHTS = Options({"max_levels": 99, "mean_levels": 9, "psnr": 20})
"""What int8 makes of weights that nobody trained."""
NAMES = ["alice", "bob", "アリス"]


@pytest.fixture(autouse=True)
def original(monkeypatch: pytest.MonkeyPatch) -> Original:
    tiny = tiny_original()
    monkeypatch.setattr(targets, "open_original", lambda *_: tiny)
    monkeypatch.setattr(speed, "SECONDS", 0)
    return tiny


@pytest.mark.parametrize("target", TARGETS)
def test_every_file_is_in_the_manifest_and_draws_the_original(tmp_path: Path, original: Original, target: str) -> None:
    options = replace(RANDOM_WEIGHTS, name="tiny", version=3)
    made = export_target(Path("any.ckpt"), target, tmp_path / "made", options)
    manifest = json.loads((tmp_path / "made/manifest.json").read_text())
    assert manifest == made.manifest
    assert {*manifest["files"], "manifest.json"} == {path.name for path in (tmp_path / "made").iterdir()}
    expected = from_network(original.network(latents(NAMES, 7)), original.weights.pixel_range).astype(int)
    for name, entry in manifest["files"].items():
        data = (tmp_path / "made" / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        if name not in TARGETS[target]:
            continue
        generator = AvatarGenerator.load(tmp_path / "made" / name)
        assert generator.spec.parity == entry["parity"]
        assert generator.model_id == entry["id"] == f"tiny-{Path(name).stem}@3"
        assert entry["latency_ms"].keys() == manifest["mindspore_latency_ms"].keys() == {"1", "64"}
        assert np.abs(generator.generate(NAMES) - expected).max() <= entry["parity"]["limit"] + 1
    assert [export.path.parent for export in made.exports] == [tmp_path / "made"] * len(TARGETS[target])


def test_a_batch_of_one_draws_any_number(tmp_path: Path) -> None:
    export_target(Path("any.ckpt"), "accelerator", tmp_path / "npu")
    generator = AvatarGenerator.load(tmp_path / "npu/fp32.onnx")
    assert (generator.spec.batch, generator.model_id) == (1, "npu-fp32@1")
    assert onnx.load(tmp_path / "npu/fp32.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    alone = [generator.generate([name])[0] for name in NAMES]
    np.testing.assert_array_equal(generator.generate(NAMES), alone)


@pytest.mark.parametrize(
    "passes", [(convert_to_sub_pixel_convolution,), (fix_batch_to_one,)], ids=["any batch", "transposed"]
)
def test_what_an_accelerator_cannot_run_is_refused(
    tmp_path: Path, original: Original, passes: tuple[Rewrite, ...]
) -> None:
    model = dict(build_graph(original.weights, Variant(output="float32")))["project_latent_to_gemm"]
    for rewrite in passes:
        model, _ = rewrite(model)
    (tmp_path / "x.onnx").write_bytes(check_model(model))
    with pytest.raises(ModelCheckError, match=r"NNAPI can run \d of \d+ nodes"):
        check_usability(tmp_path / "x.onnx")


def test_the_engine_in_phones_draws_the_file_for_phones(tmp_path: Path) -> None:
    if compiler() is None:
        pytest.skip("needs a C compiler")
    export_target(Path("any.ckpt"), "mobile", tmp_path / "phone", RANDOM_WEIGHTS)
    path = tmp_path / "phone" / "int8.onnx"
    images = Model(compile_engine(tmp_path), path.read_bytes()).draw(latents(NAMES, 7))
    np.testing.assert_array_equal(images, AvatarGenerator.load(path).generate(NAMES))


def test_what_is_no_model_is_no_model_for_an_accelerator(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("a letter to a friend")
    with pytest.raises(ModelCheckError, match="nothing about NNAPI"):
        check_usability(tmp_path / "x.onnx")


def test_an_older_export_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "npu"
    with replacing_folder(folder) as old:
        (old / "old.onnx").write_bytes(b"old")
        (old / "manifest.json").write_text('{"files": {"old.onnx": {}}}')
    export_target(Path("any.ckpt"), "accelerator", folder)
    assert sorted(path.name for path in folder.iterdir()) == ["fp32.onnx", "manifest.json"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_link_to_a_folder_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "npu").mkdir()
    (tmp_path / "link").symlink_to("npu")
    for _ in range(2):
        made = export_target(Path("any.ckpt"), "accelerator", tmp_path / "link")
        assert made.folder == tmp_path / "link"
        assert sorted(path.name for path in (tmp_path / "npu").iterdir()) == ["fp32.onnx", "manifest.json"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "npu"]
    assert (tmp_path / "link").is_symlink()


def test_metadata_with_another_batch_size_is_refused_by_it(tmp_path: Path) -> None:
    made = export_target(Path("any.ckpt"), "accelerator", tmp_path / "npu")
    path = tmp_path / "npu" / "fp32.onnx"
    model = onnx.load(path)
    onnx.helper.set_model_props(model, replace(made.exports[0].metadata, batch=8).to_metadata())
    onnx.save(model, path)
    with pytest.raises(ModelFileError, match=r"'z', 'tensor\(float\)', \[1, 7\].* instead of .*'z', .*\[8, 7\]"):
        AvatarGenerator.load(path)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"letter.txt": "a letter"}, "letter.txt"),
        ({"letter.txt": "a letter", "manifest.json": '{"files": {"fp32.onnx": {}}}'}, "letter.txt"),
        ({"manifest.json": "[]", "fp32.onnx": ""}, "fp32.onnx"),
    ],
)
def test_a_folder_of_something_else_is_refused(tmp_path: Path, content: Mapping[str, str], shown: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(InputError, match=rf"mine has the file {shown}"):
        export_target(Path("any.ckpt"), "accelerator", folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == content


def test_a_failed_export_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise ModelCheckError("refused")

    export_target(Path("any.ckpt"), "accelerator", tmp_path / "npu")
    before = {path.name: path.read_bytes() for path in (tmp_path / "npu").iterdir()}
    monkeypatch.setattr(targets, "check_usability", refuse)
    with pytest.raises(ModelCheckError):
        export_target(Path("any.ckpt"), "accelerator", tmp_path / "npu")
    assert {path.name: path.read_bytes() for path in (tmp_path / "npu").iterdir()} == before
    assert list(tmp_path.iterdir()) == [tmp_path / "npu"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        export_target(Path("any.ckpt"), "accelerator", tmp_path / "file" / "npu")
    with pytest.raises(InputError, match="is a file"):
        export_target(Path("any.ckpt"), "accelerator", tmp_path / "file")
    with pytest.raises(InputError, match="report"):
        export_target(Path("any.ckpt"), "accelerator", tmp_path / "npu", Options(report=tmp_path / "npu" / "report"))


def test_no_original_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, original: Original) -> None:
    wrong = Original(original.weights, original.network, lambda z: -original.reference(z), "")
    monkeypatch.setattr(targets, "open_original", lambda *_: wrong)
    with pytest.raises(ParityError):
        export_target(Path("any.ckpt"), "accelerator", tmp_path / "npu")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "option", [("--format", "ort"), ("--out", "x.onnx"), ("--output-dtype", "float32"), ("--precision", "fp32")]
)
@pytest.mark.parametrize("target", ["accelerator", "html"])
def test_a_target_and_a_single_file_do_not_go_together(target: str, option: tuple[str, str]) -> None:
    result = CliRunner().invoke(main, ["--target", target, "made", *option])
    assert result.exit_code == 2
    assert option[0] in result.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("stem", "name", "version"),
    [
        ("faces@2", "faces", 2),
        ("faces", "faces", 1),
        ("a@b@3", "a@b@3", 1),
        ("é@2", "é@2", 1),
        ("n" * 300, "n" * 200, 1),
    ],
)
def test_a_files_name_is_the_models_id(stem: str, name: str, version: int) -> None:
    assert id_of(stem) == (name, version)
