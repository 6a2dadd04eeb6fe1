"""The forms a model can be exported in. Imports neither onnx nor MindSpore."""

FORMATS = ("onnx", "ort", "mindir")
"""Each is also the extension of its files."""
