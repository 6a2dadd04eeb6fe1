"""A model file of format 1, the oldest that this version promises to read, stored as bytes.

format_1.onnx is a tiny int8 generator with random weights, written at commit 99bae02. Never write it again: a
new version has to open this very file.
"""

import hashlib
from pathlib import Path

from avatar_runtime import AvatarGenerator

FILE = Path(__file__).with_name("format_1.onnx")
SHA256 = "e7046ab1092dc7a47cd9e8fc6dea18515edc1dd59abbb83b11f5823974288358"


def test_a_model_file_of_the_oldest_format_opens_and_draws_what_it_promises() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == SHA256, "the file was written again"
    generator = AvatarGenerator.load(FILE)
    assert (generator.spec.name, generator.spec.precision) == ("tiny", "int8")
    assert generator.model_id == "tiny@1"
    assert generator.spec.golden is not None
    assert generator.verify() <= generator.spec.golden.tolerance
    assert generator.generate(["alice", "bob"]).shape == (2, 32, 32, 3)
