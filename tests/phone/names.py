"""What a program in another language is tested with: for each name a line of how often it is repeated, the name in
hexadecimal UTF-16 and the digest of its latent.
"""

import json
from pathlib import Path

fixture = json.loads((Path(__file__).parents[1] / "runtime/latents_fixture.json").read_text("utf-8"))
assert fixture["latent_dim"] == 100
entries = [(entry.get("times", 1), entry["name"], entry["sha256"]) for entry in fixture["latents"]]
entries += [(1, name, digest) for name, digest in fixture["more"]]
for times, name, digest in entries:
    print(times, name.encode("utf-16-be", "surrogatepass").hex(), digest)
