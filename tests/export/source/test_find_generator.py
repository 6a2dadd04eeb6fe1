"""A generator is found by its shapes, whatever cell it was saved in, and asked for where there are several."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from avatar_export.source.checkpoint import MAX_LAYERS, GeneratorWeights, generator_weights
from avatar_export.source.find_generator import UnsuitableCheckpointError
from tiny_model import tiny_arrays

Arrays = dict[str, npt.NDArray[np.float32]]

TANH = (-1.0, 1.0)


def renamed(arrays: Mapping[str, npt.NDArray[np.float32]], prefix: str, instead_of: str = "") -> Arrays:
    return {prefix + name.removeprefix(instead_of): array for name, array in arrays.items()}


def discriminator(prefix: str = "discriminator.") -> Arrays:
    """Convolutions [out, in, 4, 4] at 0, 2, 5, 8 with batch norms behind all but the first."""
    arrays: Arrays = {}
    for place, (wide, narrow) in zip((0, 2, 5, 8), ((3, 8), (8, 16), (16, 32), (32, 1)), strict=True):
        arrays[f"{prefix}{place}.weight"] = np.ones((narrow, wide, 4, 4), np.float32)
        for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
            arrays[f"{prefix}{place + 1}.{kind}"] = np.ones(narrow, np.float32)
    return arrays


def moments(arrays: Arrays, *names: str) -> Arrays:
    """What an Adam keeps of all that it trains."""
    trained = {name: array for name, array in arrays.items() if "moving" not in name}
    return {f"{moment}.{name}": array for moment in names for name, array in trained.items()}


def assert_is(weights: GeneratorWeights, arrays: Arrays, prefix: str) -> None:
    assert weights.prefix == prefix
    returned = weights.arrays()
    assert returned.keys() == arrays.keys()
    assert all(np.array_equal(returned[name], arrays[name]) for name in arrays)


@pytest.mark.parametrize(
    "prefix",
    ["network.generator.", "_backbone.generator.", "netG.", "generator.generator.", "netG.main.", "", "a.b.c."],
)
@pytest.mark.parametrize("latent_map", [False, True])
def test_the_cell_around_a_generator_does_not_matter(prefix: str, latent_map: bool) -> None:
    arrays = tiny_arrays(latent_dim=9, latent_map=latent_map)
    layers = {name: array for name, array in arrays.items() if name.startswith("generator.")}
    cell = ".".join(prefix.split(".")[:-2])
    maps = {name: array for name, array in arrays.items() if name not in layers}
    saved = renamed(layers, prefix, "generator.") | renamed(maps, f"{cell}." if cell else "")
    assert_is(generator_weights(saved, pixel_range=TANH), arrays, prefix)


@pytest.mark.parametrize("wrapper", ["", "network.", "cell_for_g.network."])
def test_a_whole_training_cell_has_one_generator(wrapper: str) -> None:
    arrays = tiny_arrays()
    saved = renamed(arrays | discriminator(), wrapper)
    saved |= moments(saved, "moment1", "moment2", "optimizer.moments")
    assert_is(generator_weights(saved, pixel_range=TANH), arrays, f"{wrapper}generator.")


def test_an_optimiser_that_renames_what_it_trains_leaves_the_statistics_where_they_were() -> None:
    arrays = tiny_arrays()
    saved = {name if "moving" in name else f"optim_g.{name}": array for name, array in arrays.items()}
    saved |= {f"optim_g.{name}": array for name, array in moments(arrays, "moment1", "moment2").items()}
    assert_is(generator_weights(saved | discriminator(), pixel_range=TANH), arrays, "optim_g.generator.")


def test_of_several_generators_one_must_be_chosen() -> None:
    fast, slow = tiny_arrays(seed=1), tiny_arrays(seed=2)
    saved = renamed(fast, "fast.") | renamed(slow, "slow.")
    with pytest.raises(UnsuitableCheckpointError, match=r"--prefix fast\.generator\. or slow\.generator\."):
        generator_weights(saved, pixel_range=TANH)
    assert_is(generator_weights(saved, pixel_range=TANH, prefix="slow."), slow, "slow.generator.")
    assert_is(generator_weights(saved, pixel_range=TANH, prefix="fast"), fast, "fast.generator.")
    with pytest.raises(UnsuitableCheckpointError, match=r"no name begins with medium; there are fast\.generator\."):
        generator_weights(saved, pixel_range=TANH, prefix="medium")


def test_the_average_of_a_snapshot_can_be_asked_for() -> None:
    arrays, average = tiny_arrays(seed=1), tiny_arrays(seed=2)
    saved = arrays | renamed(average, "ema.")
    with pytest.raises(UnsuitableCheckpointError, match=r"snapshot for resuming.*generator\.ckpt"):
        generator_weights(saved, pixel_range=TANH)
    assert_is(generator_weights(saved, pixel_range=TANH, prefix="ema."), average, "ema.generator.")


def test_a_damaged_generator_is_called_by_its_own_name() -> None:
    saved = renamed(tiny_arrays(), "network.")
    del saved["network.generator.4.beta"]
    with pytest.raises(UnsuitableCheckpointError, match=r"network\.generator\.4\.beta is missing"):
        generator_weights(saved, pixel_range=TANH)


def chain(*widths: int) -> Arrays:
    """Layers whose arrays take no memory, whatever their shapes."""
    arrays = {}
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        arrays[f"generator.{3 * i}.weight"] = np.broadcast_to(np.float32(1), (wide, narrow, 4, 4))
        for kind in ("gamma", "beta", "moving_mean", "moving_variance"):
            if i < len(widths) - 2:
                arrays[f"generator.{3 * i + 1}.{kind}"] = np.broadcast_to(np.float32(1), narrow)
    return arrays


@pytest.mark.parametrize(
    ("arrays", "shown"),
    [
        (chain(0, 8, 3), r"generator\.0\.weight has shape \[0, 8, 4, 4\]"),
        (chain(8, 0, 3), r"generator\.0\.weight has shape \[8, 0, 4, 4\]"),
        *((chain(*[1] * (layers + 1)), f"{layers} layers.*the most is {MAX_LAYERS}") for layers in (9, 20, 40, 200)),
        (chain(8, 8, 8, 8, 8, 8, 65_536, 3), r"65536 channels of 128x128; the most is 256"),
        (chain(2**20, 2**20, 3), "channels of 4x4; the most is"),
    ],
)
def test_a_size_that_nobody_trains_is_refused_by_its_shapes(arrays: Arrays, shown: str) -> None:
    with pytest.raises(UnsuitableCheckpointError, match=shown):
        generator_weights(arrays, pixel_range=TANH)


@pytest.mark.parametrize("steps", [np.inf, np.nan, -1, 0.5, 1e30, [1, 2], [], "seven", [[True, False]]])
def test_a_number_of_steps_that_is_none_is_said(steps: object) -> None:
    with pytest.raises(UnsuitableCheckpointError, match="training steps"):
        generator_weights({**tiny_arrays(), "steps": np.array(steps)}, pixel_range=TANH)
