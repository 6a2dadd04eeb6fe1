"""A run: what it leaves, how it ends, and that a resumed one is the one never interrupted."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from avatar_runtime.latents import latents
from avatar_training import device
from avatar_training.config import TrainConfig
from avatar_training.loop import Progress, train
from avatar_training.networks.discriminator import Discriminator
from avatar_training.networks.gan import Gan
from avatar_training.networks.generator import Generator
from avatar_training.run_folder import checkpoint
from avatar_training.step import TrainingStep

from .conftest import STEPS, MakeConfig, losses, stats, weights
from .feature_network import write_feature_network


def test_a_run_leaves_all_it_promises(whole_run: Path) -> None:
    run = json.loads((whole_run / "config.json").read_text())
    assert TrainConfig.from_dict(run["config"]).steps == STEPS
    assert run["dataset"]["images"] == 22
    for name, size in [("preview.png", (256, 256)), ("dataset.png", (640, 192)), ("progress.gif", (256, 256))]:
        with Image.open(whole_run / name) as image:
            assert image.size == size
    with Image.open(whole_run / "progress.gif") as image:
        assert getattr(image, "n_frames", 1) == 5  # steps 0, 4, 8, 12, 14
    assert (whole_run / "losses.png").stat().st_size > 10_000
    assert [p.name for p in checkpoint.snapshots(whole_run / "snapshots")] == [
        "step-00000014.ckpt",
        "step-00000012.ckpt",
    ]
    assert len(losses(whole_run)) == STEPS
    assert not list(whole_run.rglob("*.tmp*"))


def test_mindspore_alone_loads_what_a_run_leaves(whole_run: Path) -> None:
    for network, name in [(Generator(32, ngf=8), "generator.ckpt"), (Discriminator(32, ndf=8), "discriminator.ckpt")]:
        left_over, _ = mindspore.load_param_into_net(network, mindspore.load_checkpoint(str(whole_run / name)))
        assert left_over == []
    arrays = checkpoint.read(whole_run / "generator.ckpt")
    assert arrays["pixel_range"].tolist() == [-1, 1]
    assert arrays["steps"] == STEPS


def test_preview_face_3_is_the_runtimes_face_3(whole_run: Path) -> None:
    draw = checkpoint.generator_network(checkpoint.read(whole_run / "generator.ckpt"), 32, 3, 100, 8)
    face = (draw(latents(["3"], 100))[0].transpose(1, 2, 0) + 1) * 127.5
    with Image.open(whole_run / "preview.png") as preview:
        tile = np.asarray(preview)[:32, 96:128]
    assert np.abs(tile - face).max() < 1


def test_a_stopped_and_resumed_run_is_the_uninterrupted_one(
    whole_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    first = train(tiny_config(), tmp_path, on_step=seen.append, should_stop=lambda: len(seen) == 6)
    assert (first.step, first.finished) == (6, False)
    assert (tmp_path / "generator.ckpt").exists()
    assert train(tiny_config(), tmp_path, resume=True).finished
    assert weights(tmp_path) == weights(whole_run)
    assert losses(tmp_path) == losses(whole_run)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_saves_when_asked_to_stop(pictures: Path, tmp_path: Path, number: signal.Signals) -> None:
    sizes = ["--batch-size", "4", "--image-size", "32", "--ngf", "8", "--ndf", "8", "--steps", "1000000"]
    options = ["--data", str(pictures), "--out", str(tmp_path / "run"), *sizes]
    process = subprocess.Popen(
        [sys.executable, "-c", "from avatar_training.cli import main; main()", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    stats = tmp_path / "run" / "stats.jsonl"
    while process.poll() is None and not (stats.exists() and len(stats.read_text().splitlines()) >= 5):
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    # While a graph runs MindSpore turns a SIGINT into a SIGTERM.
    assert process.returncode in (128 + number, 128 + signal.SIGTERM)
    assert "continue with: avatar-train --resume --out" in said
    newest = checkpoint.snapshots(tmp_path / "run" / "snapshots")[0]
    assert checkpoint.snapshot_step(newest) == len(losses(tmp_path / "run"))
    assert (tmp_path / "run" / "generator.ckpt").exists()


def test_a_finished_run_can_be_made_longer(whole_run: Path, tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(steps=9), tmp_path)
    (tmp_path / "report.html").unlink()
    assert train(tiny_config(steps=9), tmp_path, resume=True).step == 9
    assert "9 of 9" in (tmp_path / "report.html").read_text()
    train(tiny_config(), tmp_path, resume=True)
    assert weights(tmp_path) == weights(whole_run)


def test_the_learning_rate_may_be_told_to_fall_while_it_has_not_begun_to(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    train(tiny_config(lr_decay_steps=8), tmp_path / "whole")
    seen: list[Progress] = []
    train(tiny_config(), tmp_path / "parts", on_step=seen.append, should_stop=lambda: len(seen) == 6)
    train(tiny_config(lr_decay_steps=8), tmp_path / "parts", resume=True)
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    last = checkpoint.read(tmp_path / "whole/snapshots/step-00000014.ckpt")
    assert {float(last[f"adam_{which}.learning_rate"]) for which in ("g", "d")} == {float(np.float32(2e-4 / 8))}


def test_a_run_may_begin_with_the_networks_of_another(whole_run: Path, tiny_config: MakeConfig, tmp_path: Path) -> None:
    train(tiny_config(init_from=str(whole_run), steps=1, snapshot_every=1), tmp_path / "run")
    first = checkpoint.read(tmp_path / "run/snapshots/step-00000000.ckpt")
    for name in ("generator.ckpt", "discriminator.ckpt"):
        for parameter, array in checkpoint.read(whole_run / name).items():
            if parameter not in ("pixel_range", "steps"):
                assert (first[parameter] == array).all()
                assert name == "discriminator.ckpt" or (first[f"ema.{parameter}"] == array).all()
    assert weights(tmp_path / "run") != weights(whole_run)


@pytest.mark.parametrize("broken", ["no folder", "no discriminator", "another width", "another range"])
def test_networks_that_do_not_fit_are_no_beginning(
    whole_run: Path, tiny_config: MakeConfig, tmp_path: Path, broken: str
) -> None:
    pair = tmp_path / "pair"
    if broken != "no folder":
        pair.mkdir()
        arrays = checkpoint.read(whole_run / "generator.ckpt")
        if broken == "another range":
            arrays["pixel_range"] = np.array([0, 1], np.float32)
        checkpoint.save(pair / "generator.ckpt", {name: mindspore.Tensor(array) for name, array in arrays.items()})
    if broken in ("another width", "another range"):
        (pair / "discriminator.ckpt").write_bytes((whole_run / "discriminator.ckpt").read_bytes())
    with pytest.raises(checkpoint.CheckpointError, match="pair"):
        train(tiny_config(init_from=str(pair), ngf=9 if broken == "another width" else 8), tmp_path / "run")
    assert not (tmp_path / "run/config.json").exists()


def test_a_feature_network_may_come_with_a_resume_and_changes_no_step(
    whole_run: Path, tiny_config: MakeConfig, tmp_path: Path
) -> None:
    features = str(write_feature_network(tmp_path / "f.onnx"))
    train(tiny_config(steps=6, kid_network=features, kid_every=0), tmp_path / "run")
    assert not (tmp_path / "run/best.ckpt").exists()
    train(tiny_config(kid_network=features, kid_every=4), tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(whole_run)
    assert [row["step"] for row in stats(tmp_path / "run", "kid")] == [6, 8, 12, 14]  # at once, then on schedule
    assert checkpoint.read(tmp_path / "run/best.ckpt")["steps"] in (6, 8, 12, 14)


def test_the_average_follows_its_formula(tiny_config: MakeConfig) -> None:
    device.select("CPU")
    gan = Gan(tiny_config(ema_decay=0.3))
    training = TrainingStep(gan)
    mean, real = {}, np.random.default_rng(0).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    for parameter in gan.generator.get_parameters():
        mean[parameter.name] = parameter.asnumpy().copy()
    for step in range(4):
        training.run(step, real, 2e-4)
        decay = np.float32(min(0.3, (1 + step) / (10 + step)))
        for parameter in gan.generator.get_parameters():
            name = parameter.name
            mean[name] = mean[name] * decay + parameter.asnumpy() * (1 - decay)
    for name, value in gan.averaged_generator(4).items():
        if name in mean:
            np.testing.assert_allclose(value.asnumpy(), mean[name], rtol=1e-5, atol=1e-7)


def test_activations_are_held_below_their_limit(tiny_config: MakeConfig) -> None:
    device.select("CPU")
    real = np.random.default_rng(0).uniform(-1, 1, (4, 3, 32, 32)).astype(np.float32)
    z = Tensor(np.random.default_rng(1).standard_normal((4, 100, 1, 1)).astype(np.float32))
    excess = {}
    for limit in (0.0, 1.5):
        gan = Gan(tiny_config(activation_limit=limit))
        training = TrainingStep(gan)
        for step in range(20):
            training.run(step, real, 2e-3)
        excess[limit] = mindspore.jit(gan.generator.with_excess)(z, 1.5)[1].asnumpy().item()
    assert excess[1.5] < 0.5 * excess[0.0]


@pytest.mark.parametrize(
    ("recipe", "changes"),
    [
        ("tutorial", {"channels": 1}),
        ("long", {"channels": 1}),
        ("edge", {"amp": True, "spectral_norm": True, "diff_augment": False}),
    ],
    ids=["tutorial", "long", "mixed precision"],
)
def test_every_kind_of_run_resumes_exactly(
    recipe: str, changes: dict[str, Any], pictures: Path, tmp_path: Path
) -> None:
    sizes = {"batch_size": 4, "image_size": 32, "ngf": 8, "ndf": 8, "steps": 6, "snapshot_every": 3}
    config = TrainConfig.from_recipe(recipe, data=str(pictures), **sizes, **changes)
    train(config, tmp_path / "whole")
    train(dataclasses.replace(config, steps=3), tmp_path / "parts")
    train(config, tmp_path / "parts", resume=True)
    assert weights(tmp_path / "whole") == weights(tmp_path / "parts")


def test_without_an_average_the_generator_itself_is_saved(pictures: Path, tmp_path: Path) -> None:
    config = TrainConfig(str(pictures), batch_size=4, image_size=32, ngf=8, ndf=8, steps=3, ema_decay=0.0)
    train(config, tmp_path)
    state = checkpoint.read(checkpoint.snapshots(tmp_path / "snapshots")[0])
    saved = checkpoint.read(tmp_path / "generator.ckpt")
    for name in saved.keys() - {"pixel_range", "steps"}:
        assert (saved[name] == state[name]).all()
