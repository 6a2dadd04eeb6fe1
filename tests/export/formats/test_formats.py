import json
import resource
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from avatar_export.cli import main
from avatar_export.formats import candidates, ort_file
from avatar_export.formats.candidates import build_candidate
from avatar_export.formats.golden import GOLDEN_NAMES
from avatar_export.formats.onnx_file import ModelCheckError
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation.parity import compare
from avatar_export.variants import Variant
from avatar_runtime import AvatarGenerator, ModelSpec, OutputError
from avatar_runtime.latents import SCHEME, latents
from avatar_runtime.session import open_session, run
from tiny_model import build_model, plain_network, tiny_weights

NAMES = ["alice", "bob", "アリス"]


@pytest.fixture(scope="module")
def weights() -> GeneratorWeights:
    return tiny_weights(ngf=2, latent_dim=7)


def metadata(weights: GeneratorWeights, output: str) -> ModelSpec:
    size, channels, latent_dim, _ = weights.architecture
    return ModelSpec("tiny", latent_dim, size, channels, output, weights.pixel_range, SCHEME)


def inspected(path: Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["--inspect", str(path)])
    return result.exit_code, result.output


@pytest.mark.parametrize("output", ["uint8", "float32"])
def test_an_ort_file_carries_its_metadata_and_draws_the_same(
    tmp_path: Path, weights: GeneratorWeights, output: str
) -> None:
    path = tmp_path / "tiny.ort"
    candidate = build_candidate(weights, Variant("ort", output=output))
    spec = candidate.write(path, metadata(weights, output))
    generator = AvatarGenerator.load(path)
    assert generator.spec == spec
    z = latents(NAMES, weights.latent_dim)
    np.testing.assert_array_equal(run(open_session(path), z), candidate.draw(z))
    assert compare(candidate.draw, plain_network(weights), weights, output).passed
    assert inspected(path)[0] == 0
    operators = (tmp_path / "tiny.config").read_text()
    assert "Conv{" in operators
    assert ('"outputs": {"0": ["uint8_t"]}' in operators) == (output == "uint8")  # reduced by type as well
    assert sorted(file.name for file in tmp_path.iterdir()) == ["tiny.config", "tiny.ort"]


def test_operators_of_one_processor_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tiny_weights(ngf=8)  # onnxruntime blocks channels by 8 or 16
    monkeypatch.setattr(ort_file, "_CONVERT", (*ort_file._CONVERT, "--target_platform=amd64"))
    model, _ = build_model(weights, "uint8")
    with pytest.raises(ModelCheckError, match="nchwc"):
        candidates.ort_candidate((("graph", model),))


@pytest.mark.parametrize("format_", ["ort", "mindir"])
@pytest.mark.parametrize("bytes_left", [1000, 20_000])
def test_a_full_disk_for_temporary_files_is_said(weights: GeneratorWeights, format_: str, bytes_left: int) -> None:
    mindspore = pytest.importorskip("mindspore")
    syntax = mindspore.get_context("jit_syntax_level")
    build_candidate(weights, Variant("mindir"))  # what is loaded only once writes files of its own
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, before[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write temporary files in .*: .*; free some space .* TMPDIR"):
            build_candidate(weights, Variant(format_))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert mindspore.get_context("jit_syntax_level") == syntax, "later graphs of this process compile differently"


def test_what_cannot_be_converted_is_said() -> None:
    with pytest.raises(ModelCheckError, match="cannot convert"):
        ort_file.convert(b"a letter to a friend")


@pytest.mark.parametrize("output", ["uint8", "float32"])
def test_a_mindir_file_draws_what_its_metadata_says(tmp_path: Path, weights: GeneratorWeights, output: str) -> None:
    pytest.importorskip("mindspore")
    from avatar_export.formats import mindir_file

    path = tmp_path / "tiny.mindir"
    candidate = build_candidate(weights, Variant("mindir", output=output))
    candidate.write(path, metadata(weights, output))
    assert compare(mindir_file.load(path.read_bytes()), plain_network(weights), weights, output).passed
    code, text = inspected(path)
    assert code == 0, text
    assert f"{output} [N, " in text
    assert json.loads((tmp_path / "tiny.mindir.json").read_text())["golden"]["names"] == list(GOLDEN_NAMES)
    path.write_bytes(path.read_bytes() + b"\0")
    assert "is not the file that tiny.mindir.json describes" in inspected(path)[1]
    (tmp_path / "tiny.mindir.json").unlink()
    assert inspected(path)[0] == 1
