"""A model in each file format: what the gate draws with while there is no file yet, and how the file is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx

from avatar_export.formats import ort_file
from avatar_export.formats.onnx_file import check_model, write_model
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation.parity import Network
from avatar_runtime.model_file.metadata import ModelSpec
from avatar_runtime.output.atomic import write_file
from avatar_runtime.session import open_session, run

Stages = tuple[tuple[str, onnx.ModelProto], ...]
"""A graph after each rewrite, with the rewrite's name: first the plain graph, last the finished one."""


@dataclass(frozen=True)
class Candidate:
    """A model that is not proved yet."""

    draw: Network
    """What the file will draw."""
    stages: Stages
    """How its graph came about; empty if MindSpore made it."""
    write: Callable[[Path, ModelSpec], ModelSpec]
    """Write the file, whole or not at all, with this contract and a golden check; returns the contract in it."""


def onnx_candidate(stages: Stages) -> Candidate:
    """The graph as it is."""
    model = stages[-1][1]
    draw = partial(run, open_session(check_model(model)))
    return Candidate(draw, stages, lambda path, spec: write_model(path, model, spec))


def ort_candidate(stages: Stages) -> Candidate:
    """The graph optimised for a reduced onnxruntime; beside the file, .config lists the operators that it needs."""
    model = stages[-1][1]
    data, operators = ort_file.convert(check_model(model))

    def write(path: Path, spec: ModelSpec) -> ModelSpec:
        spec = write_model(path, model, spec, lambda data: ort_file.convert(data)[0])
        write_file(path.with_suffix(".config"), operators.encode())
        return spec

    return Candidate(partial(run, open_session(data)), stages, write)


def mindir_candidate(weights: GeneratorWeights, output: str) -> Candidate:
    """MindSpore's own format, read back by MindSpore; beside the file, .mindir.json holds the contract."""
    from avatar_export.formats import mindir_file  # it brings MindSpore in

    data = mindir_file.export(weights, output)
    draw = mindir_file.load(data)
    return Candidate(draw, (), lambda path, spec: mindir_file.write(path, data, draw, spec))
