"""Makes the default image classifier."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from avatar_runtime.download import OnMessage, OnReceived, download_file
from avatar_runtime.model_file.fetching import address
from avatar_runtime.output.atomic import replacing
from avatar_training.classifier.conversion import to_onnx
from avatar_training.classifier.package import NSFWJS, Package, read_model

VARIANTS = {"small": "mobilenet_v2", "mid": "mobilenet_v2_mid"}
"""The MobileNetV2s of the package, and their folders."""


def make_classifier(
    out: Path,
    variant: str = "small",
    *,
    package: Package = NSFWJS,
    on_message: OnMessage = lambda message: None,
    on_received: OnReceived = lambda received, total: None,
) -> str:
    """Fetch nsfwjs and write one of its classifiers as an ONNX file, the same bytes each time.

    The package comes from the npm registry, or from AVATAR_EDGE_MODEL_URL/nsfwjs-VERSION.tgz if that is set. It is read
    only if its digest is right, and not kept.

    It returns the SHA-256 of the file. variant is a key of VARIANTS; on_message and on_received are as in
    `download_file`.

    Raises:
        DownloadError: The package cannot be fetched, or another file comes.
        OutputError: `out` cannot be written.
        TrainingError: The package's model has a layer that cannot be converted.
    """
    with replacing(out) as temporary, TemporaryDirectory(prefix="nsfwjs-") as folder:
        temporary.touch()  # a place that cannot be written is told before anything is fetched
        tarball = Path(folder) / package.url.rpartition("/")[2]
        download_file(
            address(tarball.name, package.url),
            tarball,
            size=package.size,
            sha256=package.sha256,
            on_message=on_message,
            on_received=on_received,
        )
        data = to_onnx(read_model(tarball, VARIANTS[variant])).SerializeToString(deterministic=True)
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
