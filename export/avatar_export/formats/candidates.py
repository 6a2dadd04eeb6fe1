"""A model in each file format: how it draws before there is a file, and how the file is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from avatar_export.formats import ort_file
from avatar_export.formats.onnx_file import check_model, write_model
from avatar_export.pipeline import Stages, build_graph
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation.parity import Network
from avatar_export.variants import Variant
from avatar_runtime.model_file.metadata import ModelSpec
from avatar_runtime.output.atomic import write_file
from avatar_runtime.session import open_session, run


@dataclass(frozen=True)
class Candidate:
    """A model that is not validated yet."""

    draw: Network
    """Draws what the file will draw."""
    stages: Stages
    """Its graph after each pass; empty if MindSpore made the file."""
    write: Callable[[Path, ModelSpec], ModelSpec]
    """Write the file, whole or not at all, with this metadata and a golden check; returns the metadata in it."""


def build_candidate(weights: GeneratorWeights, variant: Variant) -> Candidate:
    """The model of a variant, in its format."""
    if variant.format == "mindir":
        return mindir_candidate(weights, variant.output)
    stages = build_graph(weights, variant)
    if variant.format == "ort":
        return ort_candidate(stages)
    model = stages[-1][1]
    draw = partial(run, open_session(check_model(model)))
    return Candidate(draw, stages, lambda path, metadata: write_model(path, model, metadata))


def ort_candidate(stages: Stages) -> Candidate:
    """The graph optimised for a reduced onnxruntime; a .config file beside it lists the operators it needs."""
    model = stages[-1][1]
    data, operators = ort_file.convert(check_model(model))

    def write(path: Path, metadata: ModelSpec) -> ModelSpec:
        metadata = write_model(path, model, metadata, lambda data: ort_file.convert(data)[0])
        write_file(path.with_suffix(".config"), operators.encode())
        return metadata

    return Candidate(partial(run, open_session(data)), stages, write)


def mindir_candidate(weights: GeneratorWeights, output: str) -> Candidate:
    """MindSpore's own format, drawn by MindSpore; a .mindir.json file beside it holds the metadata."""
    from avatar_export.formats import mindir_file  # it imports MindSpore

    data = mindir_file.export(weights, output)
    draw = mindir_file.load(data)
    return Candidate(draw, (), lambda path, metadata: mindir_file.write(path, data, draw, metadata))
