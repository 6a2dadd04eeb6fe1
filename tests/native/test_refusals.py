"""What the engine cannot draw it refuses with a code and a sentence; and it believes no file."""

import contextlib
import ctypes
import json
import random
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from avatar_export.formats.ort_file import convert
from avatar_runtime.generator import embedded_model
from avatar_runtime.model_file.metadata import KEY
from fuzz.mutations import mutated
from native import engine as codes
from native.engine import NATIVE, EngineError, Model
from native.graphs import plain
from tiny_model import bright_scorer, tiny_weights, write_tiny_model


def refusal(engine: ctypes.CDLL, file: bytes | onnx.ModelProto) -> int:
    with pytest.raises(EngineError) as caught:
        Model(engine, file if isinstance(file, bytes) else file.SerializeToString())
    assert re.fullmatch(r"[ -~]{20,120}", str(caught.value))
    return caught.value.code


def promise(model: onnx.ModelProto, **changes: object) -> onnx.ModelProto:
    """The model with another metadata; None takes a key out."""
    metadata = {**json.loads(model.metadata_props[0].value), **changes}
    helper.set_model_props(model, {KEY: json.dumps({k: v for k, v in metadata.items() if v is not None})})
    return model


@pytest.mark.parametrize(("precision", "output"), [("fp32", "uint8"), ("fp16", "uint8"), ("fp32", "float32")])
def test_float_models(one_engine: ctypes.CDLL, tmp_path: Path, precision: str, output: str) -> None:
    write_tiny_model(tmp_path / "a.onnx", tiny_weights(ngf=1, latent_dim=3), output, precision)
    expected = codes.FLOAT_OUTPUT if output == "float32" else codes.PRECISION
    file = (tmp_path / "a.onnx").read_bytes()
    assert refusal(one_engine, file) == expected
    lying = promise(onnx.load_from_string(file), precision="int8", output="uint8")
    assert refusal(one_engine, lying) in (codes.PRECISION, codes.OPERATOR, codes.METADATA)


def test_other_files(one_engine: ctypes.CDLL, tmp_path: Path) -> None:
    foreign = plain()
    del foreign.metadata_props[:]
    write_tiny_model(tmp_path / "a.onnx", tiny_weights(ngf=1, latent_dim=3))
    ort_file, _ = convert((tmp_path / "a.onnx").read_bytes())
    for file, code in (
        (b"", codes.DAMAGED),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), codes.DAMAGED),
        (b"<!DOCTYPE html><title>404</title>", codes.DAMAGED),
        (embedded_model().read_bytes()[:-1], codes.DAMAGED),
        (embedded_model().read_bytes()[:100_000], codes.DAMAGED),
        (ort_file, codes.ORT_FORMAT),
        (foreign, codes.FOREIGN),
        (bright_scorer(), codes.FOREIGN),
        (promise(plain(), format_version=2), codes.NEWER),
        (promise(plain(), format_version="1"), codes.METADATA),
        (promise(plain(), format_version=None), codes.METADATA),
        (promise(plain(), image_size=16), codes.METADATA),
        (promise(plain(), channels=10**12), codes.METADATA),
        (promise(plain(), latent_dim=[7]), codes.METADATA),
        (promise(plain(), latent_dim=7), codes.OPERATOR),
    ):
        assert refusal(one_engine, file) == code


def test_operators_it_does_not_know(one_engine: ctypes.CDLL) -> None:
    def changed(kind: str, **changes: object) -> onnx.ModelProto:
        model = plain()
        node = next(node for node in model.graph.node if node.op_type == kind)
        for name, value in changes.items():
            if name in ("domain", "op_type"):
                setattr(node, name, value)
            else:
                node.attribute.append(helper.make_attribute(name, value))
        return model

    for model in (
        changed("Round", op_type="Erf"),
        changed("Round", domain="com.example"),
        changed("Gemm", alpha=2.0),
        changed("Gemm", transB=1),
        changed("Gemm", secret=1),
        changed("Transpose", perm=[0, 2, 3, 3]),
        changed("Transpose", perm=[0, 2, 3, 1, 4]),
    ):
        assert refusal(one_engine, model) == codes.OPERATOR


def test_numbers_that_are_not_as_promised(one_engine: ctypes.CDLL) -> None:
    model = plain()
    model.graph.initializer[0].dims[0] = 2
    assert refusal(one_engine, model) == codes.DAMAGED
    for step in (0, -1, np.nan, np.inf):
        model = plain()
        quantize = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
        tensor = next(t for t in model.graph.initializer if t.name == quantize.input[1])
        tensor.CopyFrom(numpy_helper.from_array(np.array([step], np.float32), tensor.name))
        assert refusal(one_engine, model) == codes.OPERATOR


def test_sums_beyond_32_bits(one_engine: ctypes.CDLL, int8_models: dict[str, Path]) -> None:
    model = onnx.load(int8_models["32-grey"])
    bias = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT32 and "bias" in t.name)
    array = numpy_helper.to_array(bias).copy()
    array[0] = 2**31 - 1
    bias.raw_data = array.astype("<i4").tobytes()
    assert refusal(one_engine, model) == codes.SUMS


def test_memory_is_bounded_by_the_file(one_engine: ctypes.CDLL, int8_models: dict[str, Path]) -> None:
    """A Conv with borders makes an image larger, a hundred of them huge."""
    model = onnx.load(int8_models["64-narrow"])
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "pads":
                attribute.ints[:] = [15] * 4
    assert refusal(one_engine, model) in (codes.OPERATOR, codes.TOO_LARGE, codes.METADATA)
    for path in int8_models.values():
        file = path.read_bytes()
        assert Model(one_engine, file).memory_size <= 32 * len(file) + 2**22


def test_every_error_has_a_sentence(one_engine: ctypes.CDLL) -> None:
    header = (NATIVE / "avatar.h").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"^    AVATAR_\w+ = (\d+)", header, re.M)}
    assert listed == set(range(codes.MEMORY + 1))
    sentences = {one_engine.avatar_error_text(code) for code in listed}
    assert len(sentences) == len(listed)
    assert one_engine.avatar_error_text(999) == b"unknown error"


def test_too_little_memory(one_engine: ctypes.CDLL) -> None:
    file = plain().SerializeToString()
    needed, model = ctypes.c_size_t(), ctypes.c_void_p()
    assert one_engine.avatar_measure(file, len(file), ctypes.byref(needed)) == codes.OK
    memory = np.zeros(needed.value + 32, np.uint8)
    start = memory.ctypes.data + -memory.ctypes.data % 16
    for place, size in ((start, needed.value - 1), (start + 4, needed.value), (None, needed.value)):
        assert one_engine.avatar_load(file, len(file), place, size, ctypes.byref(model)) == codes.MEMORY
        assert model.value is None


def test_damaged_files(one_engine: ctypes.CDLL, int8_models: dict[str, Path]) -> None:
    """The damage that `pytest -m fuzz` does to onnxruntime's files; tests/native/fuzz/run.sh does far more."""
    sound, rng, drawn = int8_models["64-narrow"].read_bytes(), random.Random(0), 0
    for _ in range(2000):
        model = None
        with contextlib.suppress(EngineError):
            model = Model(one_engine, mutated(sound, rng))
        if model:
            model.draw(np.ones((1, model.latent_dim), np.float32))
            drawn += 1
    assert 0 < drawn < 2000
