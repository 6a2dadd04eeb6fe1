"""The forms a model can be exported in, and the forms for each target. Imports neither onnx nor MindSpore."""

from collections.abc import Mapping
from dataclasses import dataclass

from avatar_runtime.errors import InputError
from avatar_runtime.model_file.metadata import OUTPUT_NAMES

FORMATS = ("onnx", "ort", "mindir")
"""Each is also the extension of its files."""
PRECISIONS = ("int8", "fp16", "fp32")
"""From the smallest file to the largest. fp16 is stored in half precision and computed in float32."""
AUTO = "auto"
"""Instead of a precision: the fastest here that is within its tolerance."""


@dataclass(frozen=True)
class Variant:
    """One form of a model."""

    format: str = "onnx"
    """Of the file; one of FORMATS."""
    precision: str = "fp32"
    """Number format of the weights: one of PRECISIONS, or AUTO."""
    output: str = "uint8"
    """Type of its output: "uint8" (pixels, [N, H, W, C]) or "float32" (the network's own, [N, C, H, W])."""
    accelerator: bool = False
    """Whether it is for an NPU: one image at a time, and only operators that NNAPI and CoreML have."""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(f"format must be one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.precision not in (*PRECISIONS, AUTO):
            raise InputError(f"precision must be one of {', '.join((*PRECISIONS, AUTO))}, not {self.precision!r}")
        if self.precision != "fp32" and (self.format == "mindir" or self.accelerator):
            kind = "an accelerator's file" if self.accelerator else "a .mindir file"
            raise InputError(f"{kind} is fp32, not {self.precision}")
        if self.output not in OUTPUT_NAMES:
            raise InputError(f"output_dtype must be one of {', '.join(OUTPUT_NAMES)}, not {self.output!r}")


TARGETS: Mapping[str, Mapping[str, Variant]] = {
    "desktop": {"int8.onnx": Variant(precision="int8"), "fp32.onnx": Variant()},
    "web": {"int8.onnx": Variant(precision="int8")},
    "mobile": {"int8.onnx": Variant(precision="int8")},
    "accelerator": {"fp32.onnx": Variant(output="float32", accelerator=True)},
}
"""The files for each target: what runs best on one kind of device."""
