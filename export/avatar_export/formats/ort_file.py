"""Converts to the .ort format: an optimised graph that a reduced build of onnxruntime, on a phone, can run."""

import os
import subprocess
import sys

from avatar_export.formats.onnx_file import ModelCheckError
from avatar_export.formats.scratch import scratch_folder

# Fixed: optimised now, so that the phone's build needs no optimizer. The tool is a command: as a library it prints and
# configures logging.
_CONVERT = ("onnxruntime.tools.convert_onnx_models_to_ort", "--optimization_style=Fixed", "--enable_type_reduction")


def convert(model: bytes) -> tuple[bytes, str]:
    """Convert an ONNX model to the .ort format.

    Returns:
        The .ort file, and the operators and types it needs: a configuration file for onnxruntime's build.py with
        --include_ops_by_config and --enable_reduced_operator_type_support.

    Raises:
        ModelCheckError: onnxruntime cannot convert the model, or the result only runs on this type of processor.
        OutputError: No temporary file can be written.
    """
    with scratch_folder() as folder:
        source = folder / "model.onnx"
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
            if "Failed to save" in reason or "No space left" in reason:
                raise OSError("onnxruntime cannot save the model that it has converted")
            raise ModelCheckError(f"onnxruntime cannot convert the model to the .ort format: {reason}")
        config = (folder / "model.required_operators_and_types.config").read_text(encoding="utf-8")
        # The comments name our temporary files.
        operators = "".join(f"{line}\n" for line in config.splitlines() if not line.startswith("#"))
        if "com.microsoft.nchwc" in operators:
            raise ModelCheckError(
                "the .ort file has com.microsoft.nchwc operators, which only x86-64 can run, not a phone"
            )
        return (folder / "model.ort").read_bytes(), operators
