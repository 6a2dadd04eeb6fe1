"""Converts a trained generator to a model file and checks it: `exporter.export_model`.

Compares the export with the original on 1,000 latents and writes nothing if they differ by more than the tolerance.
`avatar-export` is the command. The exporter is not imported here, so that the command can say when onnx is missing.
"""

from avatar_export.validation.parity import ParityError, ParityReport

__all__ = ["ParityError", "ParityReport"]
