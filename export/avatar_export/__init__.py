"""Turn a trained generator into a model file that is proved equal to it."""

from avatar_export.exporter import Export, export_onnx
from avatar_export.parity import ParityError, ParityReport

__all__ = ["Export", "ParityError", "ParityReport", "export_onnx"]
