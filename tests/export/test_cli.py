import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result

from avatar_export import exporter, pipeline
from avatar_export.cli import main
from avatar_export.exporter import Options
from avatar_export.source import original as original_module
from avatar_export.validation import speed
from avatar_runtime import AvatarGenerator, InputError
from avatar_runtime.command.progress import ProgressBar
from avatar_runtime.imaging.arrays import from_network
from avatar_runtime.latents import latents
from avatar_runtime.session import open_session, run
from rewriting import mistaken
from tiny_model import plain_network, tiny_arrays

mindspore = pytest.importorskip("mindspore")

NAMES = ["alice", "bob", "アリス", "parity/0"]
RUN_RECORD = {
    "config": {"data": "/data/faces.zip", "recipe": "edge", "batch_size": 16, "seed": 5},
    "dataset": {"images": 123, "sha256": "feed"},
}


def network(
    image_size: int = 32,
    channels: int = 3,
    latent_dim: int = 100,
    ngf: int = 8,
    refined: bool = False,
    bounded: bool = False,
) -> Any:
    """MindSpore's generator, with weights that give its pictures contrast."""
    from avatar_training import device
    from avatar_training.networks.generator import Generator
    from avatar_training.run_folder.checkpoint import load_into

    device.select("CPU")
    generator = Generator(image_size, channels, latent_dim, ngf, refined=refined, bounded=bounded)
    arrays = tiny_arrays(image_size, ngf, channels, latent_dim, refined=refined, bounded=bounded)
    load_into(generator.get_parameters(), arrays, Path("tiny"))
    return generator.set_train(False)


def draw(generator: Any, z: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.asarray(generator(mindspore.Tensor(z[..., None, None])).asnumpy())


def save_run(folder: Path, generator: Any) -> None:
    """What avatar-train leaves of a run, as far as an export reads it."""
    from avatar_training.run_folder.checkpoint import save

    folder.mkdir(parents=True)
    pixel_range = mindspore.Tensor(np.array([-1, 1], np.float32))
    steps = mindspore.Tensor(np.int64(60))
    parameters = {parameter.name: parameter for parameter in generator.get_parameters()}
    save(folder / "generator.ckpt", {**parameters, "pixel_range": pixel_range, "steps": steps})
    (folder / "config.json").write_text(json.dumps(RUN_RECORD))


@pytest.fixture(scope="module")
def original() -> Any:
    return network()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, original: Any) -> Path:
    """A folder of checkpoints, each made by MindSpore itself."""
    from avatar_training.networks.discriminator import Discriminator

    folder = tmp_path_factory.mktemp("saved")
    save_run(folder / "run", original)
    mindspore.save_checkpoint(original, str(folder / "tutorial.ckpt"))
    mindspore.save_checkpoint(original, str(folder / "tutorial.safetensors"), format="safetensors")
    trained = network()
    optimizer = mindspore.nn.Adam(trained.trainable_params())
    optimizer.update_parameters_name("optim_g.")
    mindspore.save_checkpoint(trained, str(folder / "optimised.ckpt"))
    discriminator = Discriminator(32, 3, 8)
    mindspore.save_checkpoint(discriminator, str(folder / "discriminator.ckpt"))
    training = mindspore.nn.Cell()
    training.network, training.discriminator = network(), discriminator
    training.optimizer = mindspore.nn.Adam(training.network.trainable_params())
    mindspore.save_checkpoint(training, str(folder / "training.ckpt"))
    diverged = network()
    weight = diverged.generator[3].weight
    weight.set_data(mindspore.Tensor(np.full(weight.shape, np.nan, np.float32)))
    mindspore.save_checkpoint(diverged, str(folder / "diverged.ckpt"))
    for suffix in (".ckpt", ".safetensors"):
        data = (folder / f"tutorial{suffix}").read_bytes()
        (folder / f"truncated{suffix}").write_bytes(data[: len(data) // 2])
        (folder / f"shortened{suffix}").write_bytes(data[:-1])
        (folder / f"empty{suffix}").write_bytes(b"")
        (folder / f"text{suffix}").write_text("a letter to a friend\n")
    (folder / "letter.txt").write_text("a letter to a friend\n")
    (folder / "unsaved").mkdir()
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain graph in the place of MindSpore's, for what comes after the comparison."""
    monkeypatch.setattr(original_module, "mindspore_network", plain_network)


def export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.usefixtures("quick")
def test_the_comparison_shows_its_progress(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(ProgressBar, "show", lambda bar, done, total, note="": shown.append((done, total)))
    result = export("--checkpoint", saved / "run", "--out", tmp_path / "a.onnx")
    assert result.exit_code == 0, result.output
    assert shown[-1] == (3000, 3000)


def sentence(result: Result, exit_code: int) -> str:
    """The one sentence of a refusal; only wrong usage shows the usage above it."""
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == exit_code
    lines = [line for line in result.output.splitlines() if not line.startswith("checkpoint ")]
    if exit_code == 2:
        assert lines[0].startswith("Usage:")
    else:
        assert len(lines) == 1
    assert lines[-1].startswith("Error: ")
    return lines[-1]


@pytest.mark.parametrize(
    ("checkpoint", "pixel_range", "output"),
    [
        ("run", None, "uint8"),
        ("run", "0..1", "float32"),
        ("tutorial.ckpt", "0..1", "uint8"),
        ("optimised.ckpt", "-1..1", "float32"),
        ("tutorial.safetensors", "0..1", "uint8"),
        ("training.ckpt", "-1..1", "uint8"),
    ],
)
def test_exported_model_draws_what_mindspore_draws(
    tmp_path: Path, saved: Path, original: Any, checkpoint: str, pixel_range: str | None, output: str
) -> None:
    out = tmp_path / "night.onnx"
    options = ("--pixel-range", pixel_range) if pixel_range else ()
    result = export(
        "--format", "onnx", "--checkpoint", saved / checkpoint, "--out", out, "--output-dtype", output, *options
    )
    assert result.exit_code == 0, result.output
    assert ("generator found under optimizer.network.generator." in result.output) == (checkpoint == "training.ckpt")
    generator, z = AvatarGenerator.load(out), latents(NAMES, 100)
    assert generator.spec.pixel_range == ((0, 1) if pixel_range == "0..1" else (-1, 1))
    images = from_network(draw(original, z), generator.spec.pixel_range)
    assert np.abs(generator.generate(NAMES).astype(int) - images).max() <= 1
    assert images.std() > 20  # noise, but not flat
    assert list(tmp_path.iterdir()) == [out]
    if output == "float32":
        # MindSpore's Tanh on the CPU is a rational approximation, 1e-4 off where |x| is near 5.
        exact = np.tanh(draw(network().generator[:-1], z).astype(np.float64))
        np.testing.assert_allclose(run(open_session(out), z), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", [(64, 1, 37, 4), (128, 3, 16, 1)])
def test_other_architectures_are_within_the_tolerance(tmp_path: Path, architecture: tuple[int, int, int, int]) -> None:
    save_run(tmp_path / "run", network(*architecture))
    exported = exporter.export_model(tmp_path / "run", tmp_path / "other.onnx")
    spec = exported.metadata
    assert (spec.image_size, spec.channels, spec.latent_dim) == architecture[:3]
    assert exported.parity.passed
    assert exported.size == (tmp_path / "other.onnx").stat().st_size


@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_refined_generator_is_within_the_tolerance_in_every_engine(
    tmp_path: Path, precision: str, bounded: bool
) -> None:
    save_run(tmp_path / "run", network(refined=True, bounded=bounded))
    out = tmp_path / "refined.onnx"
    options = Options({"max_levels": 99, "mean_levels": 9, "psnr": 20})
    exported = exporter.export_model(tmp_path / "run", out, precision, options=options)
    assert exported.parity.passed
    assert ("fold_residual_adds" in exported.metadata.passes) == (precision == "int8")


def test_metadata_says_where_the_model_comes_from(tmp_path: Path, saved: Path, quick: None) -> None:
    out = tmp_path / "night.onnx"
    options = ["--model-name", "Nacht", "--model-version", "4", "--license", "CC0-1.0"]
    result = export("--checkpoint", saved / "run", "--out", out, *options)
    spec = AvatarGenerator.load(out).spec
    assert (spec.id, spec.license) == ("Nacht@4", "CC0-1.0")
    assert spec.provenance == "faces.zip: 123 images (SHA-256 feed), recipe edge, 60 steps of batch size 16, seed 5"
    assert spec.checkpoint_sha256 == hashlib.sha256((saved / "run/generator.ckpt").read_bytes()).hexdigest()
    assert spec.passes == (
        "fold_batch_norm",
        "project_latent_to_gemm",
        "split_transposed_convolution",
        "append_uint8_head",
    )
    assert spec.precision == "fp32"
    assert (spec.parity["latents"], spec.parity["batch_sizes"]) == (1000, [1, 7, 64])
    assert sum(spec.parity["level_histogram"].values()) == 3 * 1000 * 32 * 32 * 3
    for shown in (f"{out}: Nacht@4, 32x32x3, latent 100", "max ", "mean ", "PSNR", "0 levels apart: "):
        assert shown in result.output


@pytest.mark.parametrize(("psnr", "kept"), [(30, "int8"), (60, "fp16"), (300, None)])
def test_auto_takes_the_fastest_within_its_tolerance_and_says_why_not_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: Path, quick: None, psnr: int, kept: str | None
) -> None:
    times = {"int8": 1.0, "fp16": 2.0, "fp32": 3.0}
    monkeypatch.setattr(speed, "latency", lambda networks, *_: {name: times[name] for name in networks})
    limits = [text for name in ("max_levels", "mean_levels") for text in ("--tolerance", name, "99")]
    out = tmp_path / "x.onnx"
    result = export(
        "--checkpoint", saved / "run", "--out", out, "--precision", "auto", *limits, "--tolerance", "psnr", str(psnr)
    )
    if kept is None:
        assert "PSNR" in sentence(result, 1)
        assert not out.exists()
        return
    assert result.exit_code == 0, result.output
    spec = AvatarGenerator.load(out).spec
    assert spec.precision == kept
    assert spec.parity["tolerance"]["psnr"] == psnr
    rejected = [line for line in result.output.splitlines() if "was not chosen: " in line]
    assert [line.split()[0] for line in rejected] == [name for name in times if name != kept]
    assert all(("less than 60" if line.startswith("int8") else "ms at batch size 1 ") in line for line in rejected)


def test_provenance_says_how_a_pair_came_about(saved: Path, tmp_path: Path) -> None:
    record = json.loads((saved / "run/config.json").read_text())
    record["config"] |= {"init_from": "runs/night", "critic": ["critics/critic-a.npz", "b.npz"]}
    record |= {"interpolation": {"start": "night", "share": 0.75}, "steering": {"strength": 1.5, "graders": ["a", "b"]}}
    (tmp_path / "config.json").write_text(json.dumps(record))
    told = original_module.describe_run(tmp_path / "generator.ckpt", 60)
    assert told.endswith(
        "60 steps of batch size 16, seed 5, started from night, rewarded by critic-a.npz and b.npz, "
        "0.75 of the way from night, steered to 1.5 by 2 graders"
    )


def test_name_and_provenance_without_a_run(tmp_path: Path, saved: Path, quick: None) -> None:
    arguments = ("--checkpoint", saved / "tutorial.ckpt", "--pixel-range", "0..1")
    export(*arguments, "--out", tmp_path / "plain.onnx")
    export(*arguments, "--out", tmp_path / "told.onnx", "--provenance", "my own drawings")
    plain, told = (AvatarGenerator.load(tmp_path / f"{name}.onnx").spec for name in ("plain", "told"))
    assert (plain.name, plain.provenance) == ("plain", "")
    assert (told.name, told.provenance) == ("told", "my own drawings")


@pytest.mark.parametrize(
    ("option", "text", "shown"),
    [
        ("--model-name", "n" * 201, "the name has 201 characters; a model file holds at most 200"),
        ("--license", "l" * 20_001, "the license has 20001 characters"),
        ("--provenance", b"caf\xe9".decode("utf-8", "surrogateescape"), "the provenance is not UTF-8"),
    ],
)
def test_a_text_that_no_file_can_hold_is_refused(
    tmp_path: Path, saved: Path, quick: None, option: str, text: str, shown: str
) -> None:
    result = export("--checkpoint", saved / "run", "--out", tmp_path / "x.onnx", option, text)
    assert shown in sentence(result, 2)
    assert not list(tmp_path.iterdir())


def test_a_file_whose_name_is_no_utf_8_still_gets_a_name(tmp_path: Path, saved: Path, quick: None) -> None:
    for i, stem in enumerate((b"caf\xe9".decode("utf-8", "surrogateescape"), "n" * 220)):
        exported = exporter.export_model(saved / "run", tmp_path / f"{stem}.onnx")
        assert exported.metadata.name == ("caf?", "n" * 200)[i]


def test_newest_run_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: Path, original: Any, quick: None
) -> None:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("a", "newest", "b")):
        save_run(Path("runs") / name, original)
        os.utime(Path("runs") / name / "generator.ckpt", (0, 2000 if name == "newest" else i))
    Path("runs/unsaved").mkdir()
    result = export()
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"checkpoint {Path('runs/newest/generator.ckpt')}\n")
    assert AvatarGenerator.load("generator.onnx").spec.name == "generator"


def test_of_a_run_the_best_generator_is_taken_and_said(tmp_path: Path, original: Any, quick: None) -> None:
    save_run(tmp_path / "run", original)
    best = tmp_path / "run/best.ckpt"
    (tmp_path / "run/generator.ckpt").replace(best)
    (tmp_path / "run/generator.ckpt").write_bytes(b"the newest, and worse")
    result = export("--checkpoint", tmp_path / "run", "--out", tmp_path / "best.onnx")
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"checkpoint {best}\n")
    spec = AvatarGenerator.load(tmp_path / "best.onnx").spec
    assert spec.checkpoint_sha256 == hashlib.sha256(best.read_bytes()).hexdigest()


@pytest.mark.parametrize("runs", [[], ["runs"], ["runs/unsaved"]])
def test_no_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in runs:
        Path(folder).mkdir(parents=True)
    assert "avatar-train" in sentence(export(), 1)


@pytest.mark.parametrize(
    ("checkpoint", "shown"),
    [
        ("discriminator.ckpt", "a discriminator's checkpoint"),
        ("diverged.ckpt", "generator.3.weight holds NaN"),
        *(
            (f"{kind}{suffix}", "damaged")
            for kind in ("truncated", "shortened", "empty", "text")
            for suffix in (".ckpt", ".safetensors")
        ),
        ("letter.txt", "not a checkpoint"),
        ("missing.ckpt", "does not exist"),
        ("unsaved", "has not saved one yet"),
        ("tutorial.ckpt", "--pixel-range 0..1"),
    ],
)
def test_unsuitable_checkpoint_is_refused(tmp_path: Path, saved: Path, checkpoint: str, shown: str) -> None:
    message = sentence(export("--checkpoint", saved / checkpoint, "--out", tmp_path / "x.onnx"), 1)
    assert shown in message
    assert checkpoint in message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("out", "exit_code"),
    [
        ("model.pb", 2),
        ("model", 2),
        ("folder", 2),
        ("folder.onnx", 1),
        ("missing/model.onnx", 1),
        ("file/model.onnx", 1),
        ("n" * 300 + ".onnx", 1),
    ],
)
def test_unsuitable_target_is_refused(tmp_path: Path, saved: Path, quick: None, out: str, exit_code: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    assert out in sentence(export("--checkpoint", saved / "run", "--out", tmp_path / out), exit_code)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "tflite"),
        ("--format", "ort", "--out", "x.onnx"),
        ("--output-dtype", "int8"),
        ("--pixel-range", "0..255"),
        ("--precision", "int4"),
        ("--tolerance", "psnr_db", "45"),
        ("--target", "html", "--help"),
        ("surplus",),
    ],
)
def test_wrong_usage_is_refused(options: tuple[str, ...]) -> None:
    sentence(export(*options), 2)


@pytest.mark.parametrize("options", [{"output_dtype": "float16"}, {"options": exporter.Options(pixel_range="0..255")}])
def test_library_refuses_wrong_options_too(tmp_path: Path, saved: Path, options: Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match="must be one of"):
        exporter.export_model(saved / "run", tmp_path / "x.onnx", **options)


@pytest.mark.parametrize("output", ["uint8", "float32"])
@pytest.mark.parametrize("old", [None, b"an older model"])
def test_a_wrong_pass_leaves_the_target_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved: Path, quick: None, output: str, old: bytes | None
) -> None:
    monkeypatch.setattr(pipeline, "project_latent_to_gemm", mistaken)
    out = tmp_path / "x.onnx"
    if old:
        out.write_bytes(old)
    message = sentence(export("--checkpoint", saved / "run", "--out", out, "--output-dtype", output), 1)
    assert "differs from MindSpore" in message
    assert "--report" in message
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([old] if old else [])


def test_report_that_cannot_be_written_is_an_error(tmp_path: Path, saved: Path, quick: None) -> None:
    (tmp_path / "file").touch()
    result = export("--checkpoint", saved / "run", "--out", tmp_path / "x.onnx", "--report", tmp_path / "file")
    assert "file" in sentence(result, 1)
    assert not (tmp_path / "x.onnx").exists()
