import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avatar_export.source.checkpoint import generator_weights
from avatar_export.source.find_generator import UnsuitableCheckpointError
from avatar_export.source.original import read_weights
from tiny_model import tiny_arrays

Arrays = dict[str, npt.NDArray[np.float32]]

TANH = (-1.0, 1.0)


def zeros(*shape: int) -> npt.NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def sentence(arrays: Arrays, pixel_range: tuple[float, float] | None = TANH) -> str:
    with pytest.raises(UnsuitableCheckpointError) as caught:
        generator_weights(arrays, pixel_range=pixel_range)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("image_size", "ngf", "latent_dim"),
    [(32, 8, 100), (64, 4, 37), (128, 2, 1), (32, 5, 128), (64, 1, 64)],
)
def test_architecture_is_read_off_the_shapes(image_size: int, ngf: int, latent_dim: int, channels: int) -> None:
    weights = generator_weights(tiny_arrays(image_size, ngf, channels, latent_dim), "digest", TANH)
    assert weights.architecture == (image_size, channels, latent_dim, ngf)
    assert weights.sha256 == "digest"
    assert [layer.norm is None for layer in weights.layers] == [False] * (len(weights.layers) - 1) + [True]


def test_half_precision_is_widened() -> None:
    halves = {name: array.astype(np.float16) for name, array in tiny_arrays().items()}
    assert all(a.dtype == np.float32 for a in generator_weights(halves, pixel_range=TANH).arrays().values())


@pytest.mark.parametrize("format_", ["ckpt", "safetensors"])
def test_bfloat16_is_widened(tmp_path: Path, format_: str) -> None:
    mindspore = pytest.importorskip("mindspore")
    from avatar_training import device

    device.select("CPU")
    arrays = tiny_arrays()
    if format_ == "ckpt":
        tensors = [{"name": k, "data": mindspore.Tensor(a).astype(mindspore.bfloat16)} for k, a in arrays.items()]
        mindspore.save_checkpoint(tensors, str(tmp_path / "half.ckpt"))
    else:
        header, data = {}, b""
        for name, array in arrays.items():
            upper = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
            header[name] = {"dtype": "BF16", "shape": array.shape, "data_offsets": [len(data), len(data) + len(upper)]}
            data += upper
        text = json.dumps(header).encode()
        (tmp_path / "half.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    read = read_weights(tmp_path / f"half.{format_}", "-1..1").arrays()
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        assert read[name].dtype == np.float32
        np.testing.assert_allclose(read[name], array, rtol=2**-7)
        assert not (read[name].view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize("stored", [(-1.0, 1.0), (0.0, 1.0)])
def test_stored_pixel_range_is_used_unless_overridden(stored: tuple[float, float]) -> None:
    arrays = {**tiny_arrays(), "pixel_range": np.array(stored, np.float32)}
    assert generator_weights(arrays).pixel_range == stored
    other = (0.0, 1.0) if stored == TANH else TANH
    assert generator_weights(arrays, pixel_range=other).pixel_range == other


def test_missing_pixel_range_asks_for_the_option() -> None:
    assert "--pixel-range 0..1" in sentence(tiny_arrays(), None)


@pytest.mark.parametrize("stored", [[0, 255], [1, 0], [-1, 0, 1], [], 1, [[-1, 1]]])
def test_unknown_stored_pixel_range_is_refused(stored: object) -> None:
    arrays = {**tiny_arrays(), "pixel_range": np.array(stored, np.float32)}
    assert "pixel range" in sentence(arrays, None)


def test_the_age_in_steps_is_read() -> None:
    aged: dict[str, Any] = {**tiny_arrays(), "steps": np.array(7)}
    assert generator_weights(aged, pixel_range=(0.0, 1.0)).steps == 7
    assert generator_weights(tiny_arrays(), pixel_range=(0.0, 1.0)).steps is None


@pytest.mark.parametrize("prefix", ["", "optim_d."])
def test_a_discriminator_is_recognised(prefix: str) -> None:
    message = sentence({f"{prefix}discriminator.0.weight": zeros(8, 3, 4, 4)})
    assert "discriminator" in message
    assert "generator.ckpt" in message


@pytest.mark.parametrize(
    ("arrays", "shown"),
    [({}, "none at all"), ({"conv1.weight": zeros(3), "fc.bias": zeros(2)}, "conv1.weight, fc.bias")],
)
def test_something_unrelated_is_told_by_its_names(arrays: Arrays, shown: str) -> None:
    assert shown in sentence(arrays)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.bool_, np.complex64])
def test_weights_that_are_no_floating_point_numbers_are_refused(kind: type[np.generic]) -> None:
    arrays: dict[str, Any] = tiny_arrays()
    arrays["generator.3.weight"] = arrays["generator.3.weight"].astype(kind)
    assert f"generator.3.weight holds numbers of the type {np.dtype(kind)}" in sentence(arrays)


def test_a_checkpoint_of_pytorch_is_called_that() -> None:
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    arrays = {}
    for name, array in tiny_arrays().items():
        place, kind = name.rsplit(".", 1)
        arrays[f"{place}.{names.get(kind, kind)}"] = array
    assert "from PyTorch" in sentence(arrays)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "name", ["generator.3.weight", "generator.4.gamma", "generator.1.moving_variance", "latent_map.bias"]
)
def test_weights_that_are_not_finite_are_refused(name: str, value: float) -> None:
    arrays = tiny_arrays(latent_map=True)
    arrays[name].flat[1] = value
    assert name in sentence(arrays)


def _set(name: str, array: npt.NDArray[np.float32]) -> Callable[[Arrays], object]:
    return lambda arrays: arrays.update({name: array})


def _drop(*names: str) -> Callable[[Arrays], object]:
    return lambda arrays: [arrays.pop(name) for name in names]


@pytest.mark.parametrize(
    ("damage", "shown"),
    [
        (_drop("generator.1.moving_mean"), "generator.1.moving_mean is missing"),
        (_drop("generator.7.beta"), "generator.7.beta is missing"),
        (_set("generator.4.gamma", zeros(8)), "generator.4.gamma has shape [8]; it should have shape [16]"),
        (_set("generator.4.moving_variance", zeros(16) - 1), "generator.4.moving_variance holds negative"),
        (_set("generator.3.weight", zeros(31, 16, 4, 4)), "gives 32 channels, generator.3.weight takes 31"),
        (_set("generator.3.weight", zeros(32, 16, 3, 3)), "generator.3.weight has shape [32, 16, 3, 3]"),
        (_set("generator.0.weight", zeros(100, 512)), "generator.0.weight has shape [100, 512]"),
        (_set("generator.9.weight", zeros(8, 2, 4, 4)), "2 channels"),
        (_set("generator.9.weight", zeros(8, 4, 4, 4)), "4 channels"),
        (_drop("generator.3.weight"), "[0, 6, 9]"),
        (_drop("generator.0.weight"), "[3, 6, 9]"),
        (_drop("generator.3.weight", "generator.6.weight", "generator.9.weight"), "[0]"),
        (_drop(*(f"generator.{i}.weight" for i in (0, 3, 6, 9))), "[]"),
        (_set("generator.0.bias", zeros(32)), "generator.0.bias"),
        (_set("generator.10.gamma", zeros(3)), "generator.10.gamma"),
        (_set("latent_map.weight", zeros(100, 100)), "latent_map.bias is missing"),
        (_set("latent_map.weight", zeros(99, 100)), "latent_map.weight has shape [99, 100]"),
    ],
)
def test_what_is_no_dcgan_is_refused_with_the_arrays_name(damage: Callable[[Arrays], object], shown: str) -> None:
    arrays = tiny_arrays()
    damage(arrays)
    assert shown in sentence(arrays)


def test_the_bound_of_activations_is_read_and_another_is_refused() -> None:
    weights = generator_weights(tiny_arrays(bounded=True), pixel_range=TANH)
    assert weights.bounded
    assert generator_weights(weights.arrays(), pixel_range=TANH).bounded
    assert not generator_weights(tiny_arrays(), pixel_range=TANH).bounded
    for bad in (zeros(1), zeros(2), zeros(0)):
        assert "activation_bound is" in sentence({**tiny_arrays(), "activation_bound": bad})
