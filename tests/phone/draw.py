"""draw.py OUT MODEL …: latents of the fixture's names and 64 faces of each model, on this processor, as .npz."""

import json
import platform
import sys
from pathlib import Path

import numpy as np

from avatar_runtime import AvatarGenerator
from avatar_runtime.latents import latents

out, *models = sys.argv[1:]
fixture = json.loads(Path(__file__).parents[1].joinpath("runtime", "latents_fixture.json").read_text("utf-8"))
names = [entry["name"] * entry.get("times", 1) for entry in fixture["latents"]] + [name for name, _ in fixture["more"]]
found = {"machine": np.array(platform.machine()), "latents": latents(names, fixture["latent_dim"])}
for model in models:
    generator = AvatarGenerator.load(model)
    print(f"{platform.machine()}: {Path(model).name} draws its golden images {generator.verify()} levels off")
    found[model] = generator.generate(64, seed="phone")
np.savez_compressed(out, allow_pickle=False, **found)
