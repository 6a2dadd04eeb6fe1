"""MINDIR: MindSpore's own export of the generator, from latent to image, read back and written with its contract."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from avatar_export.formats.onnx_file import GOLDEN_NAMES, ModelCheckError, golden_images
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.validation.parity import Float32, Network
from avatar_runtime.imaging.arrays import UInt8, from_network
from avatar_runtime.latents import latents
from avatar_runtime.model_file.metadata import KEY, ModelSpec
from avatar_runtime.output.atomic import replacing
from avatar_training.run_folder.checkpoint import generator_cell


class LatentsToImages(nn.Cell):
    """z float32 [N, latent_dim] -> what a model file gives: uint8 [N, H, W, C] or float32 [N, C, H, W]."""

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
    """The bytes of a MINDIR file of any batch size.

    Pixels come from MindSpore's own float32 tanh, which every device and MindSpore Lite have and which is at most a
    level off; the network's own numbers need the tanh in float64, since 1e-4 (see `generator_cell`) is more than their
    gate allows.
    """
    generator = generator_cell(weights.arrays(), *weights.architecture, exact_tanh=output == "float32")
    network = LatentsToImages(generator, weights, output).set_train(False)
    latents = Tensor(shape=[None, weights.latent_dim], dtype=mindspore.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.mindir")
        mindspore.export(network, latents, file_name=str(path.with_suffix("")), file_format="MINDIR")
        return path.read_bytes()


def load(data: bytes) -> Network:
    """The network in a MINDIR file's bytes."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.mindir")
        path.write_bytes(data)
        cell = nn.GraphCell(mindspore.load(str(path)))

    def network(z: Float32) -> Float32:
        return np.asarray(cell(Tensor(z)).asnumpy())

    return network


def write(path: Path, data: bytes, network: Network, spec: ModelSpec) -> ModelSpec:
    """Write a MINDIR file, and beside it path.json with the contract, a golden check and the file's SHA-256.

    Returns the contract with its golden check. Raises ModelCheckError or OutputError.
    """

    def golden(draw: Network) -> ModelSpec:
        images = [draw(latents([name], spec.latent_dim)) for name in GOLDEN_NAMES]
        pixels: list[UInt8] = images if spec.output == "uint8" else [from_network(i, spec.pixel_range) for i in images]
        return replace(spec, golden=golden_images([image[0] for image in pixels]))

    spec = golden(network)
    contract = {"file_sha256": hashlib.sha256(data).hexdigest(), **json.loads(spec.to_metadata()[KEY])}
    with replacing(path) as model, replacing(path.with_name(f"{path.name}.json")) as sidecar:
        model.write_bytes(data)
        sidecar.write_text(json.dumps(contract, indent=2) + "\n", encoding="utf-8")
        read_back = ModelSpec.from_metadata({KEY: sidecar.read_text(encoding="utf-8")})
        if golden(load(model.read_bytes())) != spec or read_back != spec:
            raise ModelCheckError(f"{path} does not read back as it was written; it was not kept")
    return spec
