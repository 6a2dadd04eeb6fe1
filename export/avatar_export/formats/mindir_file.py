"""MINDIR: MindSpore's own export of the generator. The metadata is in a JSON file beside it."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from avatar_export.formats.golden import GOLDEN_NAMES, golden_images
from avatar_export.formats.onnx_file import ModelCheckError
from avatar_export.formats.scratch import scratch_folder
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation.parity import Float32, Network
from avatar_runtime.imaging.arrays import from_network
from avatar_runtime.latents import latents
from avatar_runtime.model_file.metadata import KEY, ModelSpec
from avatar_runtime.output.atomic import replacing
from avatar_training.run_folder.checkpoint import generator_cell


class LatentsToImages(nn.Cell):
    """z float32 [N, latent_dim] -> uint8 [N, H, W, C] or float32 [N, C, H, W], as in a model file."""

    def __init__(self, generator: nn.Cell, weights: GeneratorWeights, output: str) -> None:
        super().__init__()
        self.generator = generator
        self.latent_dim = weights.latent_dim
        self.low, high = weights.pixel_range
        self.scale = 255 / (high - self.low)
        self.in_levels = output == "uint8"

    def construct(self, z: Tensor) -> Tensor:
        """[N, latent_dim] -> images."""
        image = self.generator(z.reshape((-1, self.latent_dim, 1, 1)))
        if not self.in_levels:
            return image
        levels = ops.clamp(ops.round((image - self.low) * self.scale), 0, 255)
        return levels.astype(mindspore.uint8).transpose((0, 2, 3, 1))


def export(weights: GeneratorWeights, output: str) -> bytes:
    """The bytes of a MINDIR file for any batch size.

    A uint8 output uses MindSpore's own float32 tanh, which every device and MindSpore Lite have and which is at most a
    level off. A float32 output needs the tanh in float64: an error of 1e-4 (see `generator_cell`) is more than the
    tolerance.
    """
    generator = generator_cell(weights.arrays(), *weights.architecture, exact_tanh=output == "float32")
    network = LatentsToImages(generator, weights, output).set_train(False)
    z = Tensor(shape=[None, weights.latent_dim], dtype=mindspore.float32)
    syntax = mindspore.get_context("jit_syntax_level")
    with scratch_folder() as folder:
        path = folder / "model.mindir"
        try:
            mindspore.export(network, z, file_name=str(path.with_suffix("")), file_format="MINDIR")
        except RuntimeError as err:  # what MindSpore makes of a write that fails
            raise OSError(str(err).strip().splitlines()[0]) from err
        finally:
            # If this fails, MindSpore goes on with a stricter syntax, in which a step in float16 does not compile.
            mindspore.set_context(jit_syntax_level=syntax)
        return path.read_bytes()


def load(data: bytes) -> Network:
    """The network in a MINDIR file's bytes."""
    with scratch_folder() as folder:
        path = folder / "model.mindir"
        path.write_bytes(data)
        cell = nn.GraphCell(mindspore.load(str(path)))

    def network(z: Float32) -> Float32:
        return np.asarray(cell(Tensor(z)).asnumpy())

    return network


def write(path: Path, data: bytes, network: Network, metadata: ModelSpec) -> ModelSpec:
    """Write a MINDIR file, and beside it path.json with the metadata, a golden check and the file's SHA-256.

    Returns the metadata with its golden check. Raises ModelCheckError or OutputError.
    """

    def with_golden(draw: Network) -> ModelSpec:
        pixels = [draw(latents([name], metadata.latent_dim)) for name in GOLDEN_NAMES]
        if metadata.output == "float32":
            pixels = [from_network(image, metadata.pixel_range) for image in pixels]
        return replace(metadata, golden=golden_images([image[0] for image in pixels]))

    metadata = with_golden(network)
    stored = {"file_sha256": hashlib.sha256(data).hexdigest(), **json.loads(metadata.to_metadata()[KEY])}
    with replacing(path) as model, replacing(path.with_name(f"{path.name}.json")) as sidecar:
        model.write_bytes(data)
        sidecar.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
        read_back = ModelSpec.from_metadata({KEY: sidecar.read_text(encoding="utf-8")})
        if with_golden(load(model.read_bytes())) != metadata or read_back != metadata:
            raise ModelCheckError(f"{path} does not read back as it was written; it was not kept")
    return metadata
