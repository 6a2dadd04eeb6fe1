"""Turn a trained generator into a model file that is proved equal to it: `exporter.export_model` does it.

`avatar-export` is the command. The exporter is not imported here, so that the command can say when onnx is missing.
"""

from avatar_export.validation.parity import ParityError, ParityReport

__all__ = ["ParityError", "ParityReport"]
