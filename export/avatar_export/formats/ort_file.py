"""The .ort format: an optimised graph that a reduced build of onnxruntime, on a phone, can run."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from avatar_export.formats.onnx_file import ModelCheckError

# Fixed: optimised now, so that the phone's build needs no optimizer. The tool is a command: as a library it prints and
# configures logging.
_CONVERT = (
    "onnxruntime.tools.convert_onnx_models_to_ort",
    "--optimization_style=Fixed",
    "--enable_type_reduction",
)


def convert(model: bytes) -> tuple[bytes, str]:
    """An ONNX model in the .ort format, and the operators and types it needs, for onnxruntime's build.py.

    The text is what --include_ops_by_config --enable_reduced_operator_type_support takes. Raises ModelCheckError if
    onnxruntime cannot convert the model or if the result runs on this kind of processor alone.
    """
    with TemporaryDirectory() as folder:
        source = Path(folder, "model.onnx")
        source.write_bytes(model)
        done = subprocess.run(
            [sys.executable, "-m", *_CONVERT, f"--output_dir={folder}", str(source)],
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ModelCheckError(f"onnxruntime cannot convert the model to the .ort format: {reason}")
        config = Path(folder, "model.required_operators_and_types.config").read_text()
        operators = "".join(f"{line}\n" for line in config.splitlines() if not line.startswith("#"))  # not our paths
        if "com.microsoft.nchwc" in operators:
            raise ModelCheckError(
                "the .ort holds com.microsoft.nchwc operators, which only x86-64 has; not for a phone"
            )
        return Path(folder, "model.ort").read_bytes(), operators
