"""The passes of an export in one list: what turns the plain graph into the graph that is shipped."""

from collections.abc import Callable
from functools import partial

import onnx

from avatar_export.graph import plain_graph
from avatar_export.int8.equalize_channels import equalize_channels
from avatar_export.int8.fuse_tanh_and_pixels import fuse_tanh_and_pixels
from avatar_export.int8.quantize_int8 import quantize_int8
from avatar_export.int8.split_output_into_halves import split_output_into_halves
from avatar_export.passes.append_uint8_head import append_uint8_head
from avatar_export.passes.convert_to_sub_pixel_convolution import convert_to_sub_pixel_convolution
from avatar_export.passes.fix_batch_to_one import fix_batch_to_one
from avatar_export.passes.fold_batch_norm import fold_batch_norm
from avatar_export.passes.fold_latent_map import fold_latent_map
from avatar_export.passes.fold_residual_adds import fold_residual_adds
from avatar_export.passes.project_latent_to_gemm import project_latent_to_gemm
from avatar_export.passes.split_transposed_convolution import split_transposed_convolution
from avatar_export.passes.store_weights_in_fp16 import store_weights_in_fp16
from avatar_export.source.checkpoint import GeneratorWeights
from avatar_export.variants import Variant

Pass = Callable[[onnx.ModelProto], tuple[onnx.ModelProto, bool]]
"""model -> (a new model, whether anything was changed)."""

Stages = tuple[tuple[str, onnx.ModelProto], ...]
"""The graph after each pass that changed it, with the pass's name: the plain graph first, the finished one last."""


def passes(variant: Variant, pixel_range: tuple[float, float]) -> list[Pass]:
    """The passes that make a variant out of the plain graph, first to last.

    A pass whose preconditions do not hold leaves the graph as it is.
    """
    int8, fp16 = variant.precision == "int8", variant.precision == "fp16"
    pixels = variant.output == "uint8"
    from_tanh = pixel_range == (-1.0, 1.0)
    steps: list[tuple[bool, Pass]] = [
        (True, fold_batch_norm),
        (int8, fold_residual_adds),
        (int8, equalize_channels),
        (True, project_latent_to_gemm),
        (True, fold_latent_map),
        (not variant.accelerator, split_transposed_convolution),
        (variant.accelerator, convert_to_sub_pixel_convolution),
        (variant.accelerator, fix_batch_to_one),
        (int8, partial(quantize_int8, pixel_range=pixel_range)),
        (int8 and pixels and from_tanh, split_output_into_halves),
        (int8 and pixels and from_tanh, fuse_tanh_and_pixels),  # if the last layer is float, so has no halves
        (pixels, partial(append_uint8_head, pixel_range=pixel_range)),  # if neither of the two has made pixels
        (fp16, store_weights_in_fp16),
    ]
    return [rewrite for wanted, rewrite in steps if wanted]


def build_graph(weights: GeneratorWeights, variant: Variant) -> Stages:
    """Build the graph of a variant, without metadata. Returns all stages; the last is the finished graph."""
    stages = [("plain graph", plain_graph(weights))]
    for rewrite in passes(variant, weights.pixel_range):
        model, changed = rewrite(stages[-1][1])
        if changed:
            stages.append((getattr(rewrite, "func", rewrite).__name__, model))  # func: what a partial calls
    return tuple(stages)
