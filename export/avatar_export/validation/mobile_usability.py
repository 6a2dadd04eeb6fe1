"""Checks with onnxruntime's own tool that NNAPI and CoreML can run every node of a graph."""

import os
import re
import subprocess
import sys
from pathlib import Path

from avatar_export.formats.onnx_file import ModelCheckError

PROVIDERS = ("NNAPI", "CoreML NeuralNetwork", "CoreML MLProgram")

_COUNT = re.compile(r"total of (\d+)/(\d+) nodes can be handled by the (.+) EP")


def check_usability(path: Path) -> None:
    """Raise ModelCheckError unless each of PROVIDERS can run the whole model in one piece."""
    # A command: as a library it configures logging.
    checker = [sys.executable, "-m", "onnxruntime.tools.check_onnx_model_mobile_usability", str(path)]
    quiet = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(checker, env=quiet, capture_output=True, text=True, check=False)
    report = done.stdout + done.stderr
    # If a shape is dynamic, a second count follows: of the model with fixed shapes.
    counts = {provider: (int(supported), int(nodes)) for supported, nodes, provider in _COUNT.findall(report)[::-1]}
    for provider in PROVIDERS:
        if provider not in counts:
            reason = (report.strip().splitlines() or ["no reason given"])[-1]
            raise ModelCheckError(f"onnxruntime's mobile checker says nothing about {provider}: {reason}")
        supported, nodes = counts[provider]
        if supported < nodes:
            reasons = sorted(set(re.findall(r"(?:Unsupported ops|Ops with unsupported rank): .+", report)))
            why = "; ".join(reasons) or "a shape is dynamic"
            raise ModelCheckError(f"{provider} can run {supported} of {nodes} nodes ({why})")
