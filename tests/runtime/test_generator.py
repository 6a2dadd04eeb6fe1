"""AvatarGenerator: the same name is the same picture, and what cannot be drawn is refused in one sentence."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar_runtime import AvatarGenerator, InputError, ModelFileError, ProviderError
from avatar_runtime.imaging.arrays import UInt8
from avatar_runtime.session import open_session
from tiny_model import tiny_weights, write_tiny_model

NAMES = ["alice", "", "アリス", "x" * 100_000, "a\0b", "\ud800", *(f"S/{i}" for i in range(60))]


@pytest.fixture(scope="module")
def avatars(generator: AvatarGenerator) -> UInt8:
    return generator.generate(NAMES)


def test_avatars_are_different_pictures_in_the_shape_of_the_spec(generator: AvatarGenerator, avatars: UInt8) -> None:
    assert (generator.spec.image_size, generator.spec.channels, generator.spec.latent_dim) == (32, 3, 100)
    assert avatars.shape == (len(NAMES), 32, 32, 3)
    assert avatars.dtype == np.uint8
    assert len(np.unique(avatars, axis=0)) == len(NAMES)
    assert avatars.std(axis=(1, 2, 3)).min() > 10


def test_a_name_alone_is_the_picture_it_is_among_others(generator: AvatarGenerator, avatars: UInt8) -> None:
    np.testing.assert_array_equal(np.concatenate([generator.generate([name]) for name in NAMES]), avatars)
    np.testing.assert_array_equal(generator.generate(NAMES[::-1]), avatars[::-1])
    np.testing.assert_array_equal(generator.generate(NAMES[:1] * 70), np.repeat(avatars[:1], 70, 0))


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_streaming_draws_the_same_pictures_in_parts(
    generator: AvatarGenerator, avatars: UInt8, batch_size: int
) -> None:
    parts = list(generator.stream(iter(NAMES), batch_size=batch_size))
    assert [len(part) for part in parts[:-1]] == [batch_size] * (len(parts) - 1)
    np.testing.assert_array_equal(np.concatenate(parts), avatars)


def test_another_load_and_number_of_threads_draw_the_same_pictures(tiny_model: Path, avatars: UInt8) -> None:
    for threads in (1, 2):
        again = AvatarGenerator.load(str(tiny_model), threads=threads, providers=["CPUExecutionProvider"])
        np.testing.assert_array_equal(again.generate(NAMES), avatars)


@pytest.mark.parametrize(("seed", "prefix"), [("S", "S"), (7, "7"), ("", ""), ("a/b", "a/b")])
def test_a_number_means_a_series(generator: AvatarGenerator, seed: str | int, prefix: str) -> None:
    expected = generator.generate([f"{prefix}/{i}" for i in range(3)])
    np.testing.assert_array_equal(generator.generate(3, seed=seed), expected)
    np.testing.assert_array_equal(generator.generate(np.int64(3), seed=seed), expected)  # type: ignore[arg-type]
    np.testing.assert_array_equal(generator.generate(2), generator.generate(["0/0", "0/1"]))


def test_the_way_between_two_faces_begins_and_ends_with_them(generator: AvatarGenerator) -> None:
    ends = generator.generate(["alice", "bob"])
    way = generator.interpolate("alice", "bob", 70)
    assert way.shape == (70, 32, 32, 3)
    np.testing.assert_array_equal(way[[0, -1]], ends)
    np.testing.assert_array_equal(generator.interpolate("alice", "bob", 2), ends)
    np.testing.assert_array_equal(generator.interpolate("bob", "alice", 2), ends[::-1])
    steps = np.abs(np.diff(way.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert 0 < steps.max() < np.abs(np.diff(ends.astype(int), axis=0)).mean() / 10  # no leap anywhere


def test_a_mixed_face_is_the_one_on_the_way(generator: AvatarGenerator) -> None:
    way = generator.interpolate("alice", "アリス", 5, truncation=0.7)
    for i, expected in enumerate(way):
        np.testing.assert_array_equal(generator.mix("alice", "アリス", i / 4, truncation=0.7), expected)


@pytest.mark.parametrize("frames", [1, 0, -3, 2.5, True, "3", None])
def test_a_bad_number_of_frames_is_refused(generator: AvatarGenerator, frames: Any) -> None:
    with pytest.raises(InputError, match=r"the number of frames must be a whole number of at least 2, not "):
        generator.interpolate("alice", "bob", frames)


@pytest.mark.parametrize(
    ("a", "b", "t", "truncation", "message"),
    [
        ("alice", 7, 0.5, 1.0, "a name must be a string, not 7"),
        ("alice", "bob", -0.1, 1.0, "must be a number from 0 to 1, not -0.1"),
        ("alice", "bob", 0.5, 3.0, "truncation must be"),
    ],
)
def test_a_bad_mixture_is_refused(
    generator: AvatarGenerator, a: Any, b: Any, t: Any, truncation: float, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        generator.mix(a, b, t, truncation=truncation)


def test_truncation_draws_towards_the_average_face(generator: AvatarGenerator, avatars: UInt8) -> None:
    average = generator.generate(NAMES[:10], truncation=0).astype(int)
    assert (average == average[0]).all()
    distance = [np.abs(generator.generate(NAMES[:10], truncation=t) - average).mean() for t in (0, 0.3, 0.6, 1)]
    assert distance == sorted(distance)
    np.testing.assert_array_equal(generator.generate(NAMES[:10], truncation=1.0), avatars[:10])


@pytest.mark.parametrize("pixel_range", [(-1.0, 1.0), (0.0, 1.0)])
def test_a_float32_model_gives_the_pixels_of_the_uint8_one(tmp_path: Path, pixel_range: tuple[float, float]) -> None:
    weights = replace(tiny_weights(), pixel_range=pixel_range)
    for output in ("uint8", "float32"):
        write_tiny_model(tmp_path / f"{output}.onnx", weights, output)
    exact, converted = (AvatarGenerator.load(tmp_path / f"{output}.onnx") for output in ("uint8", "float32"))
    assert converted.spec.output == "float32"
    np.testing.assert_array_equal(converted.generate(NAMES), exact.generate(NAMES))


def test_a_grey_model_gives_grey_pictures(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "grey.onnx", tiny_weights(channels=1))
    generator = AvatarGenerator.load(tmp_path / "grey.onnx")
    assert generator.generate(2).shape == (2, 32, 32, 1)
    assert [image.mode for image in generator.images(2)] == ["L", "L"]


def test_pil_images_hold_the_same_pixels(generator: AvatarGenerator, avatars: UInt8) -> None:
    for image, expected in zip(generator.images(NAMES), avatars, strict=True):
        assert (image.mode, image.size) == ("RGB", (32, 32))
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_a_stream_is_lazy_and_may_be_endless(generator: AvatarGenerator) -> None:
    taken = []

    def endless() -> Iterator[str]:
        for i in count():
            taken.append(i)
            yield f"S/{i}"

    stream = generator.stream(endless(), batch_size=4)
    assert taken == []
    np.testing.assert_array_equal(np.concatenate(list(islice(stream, 2))), generator.generate(8, seed="S"))
    assert taken == list(range(8))
    assert len(next(generator.stream(10**18))) == 64


def test_no_names_give_no_avatars(generator: AvatarGenerator) -> None:
    assert generator.generate([]).shape == (0, 32, 32, 3)
    assert generator.generate([]).dtype == np.uint8
    assert generator.images([]) == []


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (0, {}, "the number of avatars must be at least 1, not 0"),
        (-1, {}, "the number of avatars must be at least 1, not -1"),
        (True, {}, "the number of avatars must be at least 1, not True"),
        (1.0, {}, "names must be a list of strings"),
        (b"alice", {}, "names must be a list of strings"),
        (None, {}, "names must be a list of strings"),
        ("alice", {}, r"names must be a list of strings; for one avatar write \['alice'\]"),
        (3, {"seed": None}, "a seed must be text or a whole number, not None"),
        (3, {"seed": 1.5}, "a seed must be text or a whole number, not 1.5"),
        (["alice"], {"truncation": math.nan}, "truncation must be a finite number from 0 to 2, not nan"),
        (["alice"], {"truncation": 2.1}, "truncation must be a finite number from 0 to 2, not 2.1"),
        (["alice"], {"batch_size": 0}, "batch_size must be at least 1, not 0"),
    ],
)
def test_bad_arguments_are_refused_at_the_call(
    generator: AvatarGenerator, names: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        generator.stream(names, **options)


def test_the_golden_check_in_the_file_reproduces(generator: AvatarGenerator) -> None:
    golden = generator.spec.golden
    assert golden is not None
    assert len(golden.names) == len(golden.sha256) >= 3
    images = generator.generate(golden.names)
    assert tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in images) == golden.sha256
    assert generator.verify() == 0


def test_a_model_without_golden_images_does_not_verify(generator: AvatarGenerator) -> None:
    with pytest.raises(ModelFileError, match="carries no golden images"):
        AvatarGenerator(generator._session, replace(generator.spec, golden=None), "").verify()


@pytest.mark.parametrize("wrong", [{"latent_dim": 99}, {"image_size": 64}, {"channels": 1}, {"output": "float32"}])
def test_a_metadata_that_does_not_fit_its_graph_is_refused(generator: AvatarGenerator, wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match="does not fit its metadata"):
        AvatarGenerator(generator._session, replace(generator.spec, **wrong), "")


@pytest.mark.parametrize("part", [0.0001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_model_is_refused(tiny_model: Path, tmp_path: Path, part: float) -> None:
    data = tiny_model.read_bytes()
    (tmp_path / "part.onnx").write_bytes(data[: int(part * len(data))])
    with pytest.raises(ModelFileError, match=r"part\.onnx: it is not an ONNX model"):
        AvatarGenerator.load(tmp_path / "part.onnx")


@pytest.mark.parametrize(
    ("path", "message"), [(".", "it is a folder, not a file"), ("no\0such.onnx", "cannot read it")]
)
def test_a_path_that_is_no_file_is_refused(path: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        AvatarGenerator.load(path)


def test_a_model_of_another_latent_scheme_is_refused(tiny_model: Path, generator: AvatarGenerator) -> None:
    with pytest.raises(ModelFileError, match="by the scheme 'other-2', and this version by 'avatar-edge-latent-1'"):
        AvatarGenerator(open_session(tiny_model), replace(generator.spec, latent_scheme="other-2"), "")


@pytest.mark.parametrize("providers", [["NoSuchProvider"], ["CPUExecutionProvider", "NoSuchProvider"], []])
def test_a_missing_provider_is_refused_and_the_available_ones_listed(tiny_model: Path, providers: list[str]) -> None:
    with pytest.raises(ProviderError, match=r"is not in this onnxruntime .* available: .*CPUExecutionProvider"):
        AvatarGenerator.load(tiny_model, providers=providers)


def test_a_model_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ModelFileError, match=r"no model and no file 'nosuch'; there are anime-faces-"):
        AvatarGenerator.load("nosuch")


@pytest.mark.parametrize("model", [5, "", True, ["anime-faces-128@1"]])
def test_what_names_no_model_is_refused(model: Any) -> None:
    with pytest.raises(InputError, match="a model is an id such as anime-faces"):
        AvatarGenerator.load(model)


def test_providers_that_are_no_list_are_refused(tiny_model: Path) -> None:
    with pytest.raises(InputError, match=r"providers must be a list; for one write \['CPUExecutionProvider'\]"):
        AvatarGenerator.load(tiny_model, providers="CPUExecutionProvider")


@pytest.mark.parametrize("count", [10**12, 10**30])
def test_more_than_memory_holds_is_refused_before_anything_is_drawn(generator: AvatarGenerator, count: int) -> None:
    with pytest.raises(InputError, match=r"avatars do not fit in memory at once; draw any number with stream\(\)"):
        generator.generate(count)
    with pytest.raises(InputError, match="do not fit in memory"):
        generator.interpolate("a", "b", count)


@pytest.mark.parametrize("threads", [0, -1, 10**12, "2", 1.5, True])
def test_a_bad_number_of_threads_is_refused(tiny_model: Path, threads: Any) -> None:
    with pytest.raises(InputError, match=f"threads must be from 1 to 256, not {threads!r}"):
        AvatarGenerator.load(tiny_model, threads=threads)
