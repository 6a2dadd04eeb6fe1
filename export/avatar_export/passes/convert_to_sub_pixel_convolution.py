"""Turns transposed convolutions into rearranged convolutions with four times the channels, which NPUs can run."""

import numpy as np
import onnx
from onnx import helper

from avatar_export.passes.editing import add_constant, constants, graph_pass, is_doubling, replace_nodes


@graph_pass
def convert_to_sub_pixel_convolution(model: onnx.ModelProto) -> bool:
    """Rewrite ConvTranspose as Conv -> DepthToSpace (DCR) -> Slice.

    W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural
    Network", CVPR 2016, section 3.2. Row 2q + a of the uncropped output needs rows q and q - 1 of the input, with
    rows a and a + 2 of the kernel; the same for columns. Preconditions, for each ConvTranspose:
    1 to 3 of `is_doubling`.
    """
    graph, changed = model.graph, False
    for old in [node for node in graph.node if is_doubling(graph, node)]:
        known = constants(graph)
        weight = known[old.input[1]]  # [in, out, 4, 4]
        # Kernel row 2m + a serves output row a from input row q - m; a Conv's kernel starts with the earlier row.
        taps = weight.reshape(*weight.shape[:2], 2, 2, 2, 2)[:, :, ::-1, :, ::-1]  # [in, out, q - 1 or q, a, …, c]
        taps = taps.transpose(3, 5, 1, 0, 2, 4).reshape(-1, len(weight), 2, 2)  # [(a, c, out), in, 2, 2]
        inputs = [old.input[0], add_constant(graph, f"{old.name}.sub_pixel_weight", taps)]
        if len(old.input) == 3:
            inputs.append(add_constant(graph, f"{old.name}.sub_pixel_bias", np.tile(known[old.input[2]], 4)))
        bounds = {"starts": [1, 1], "ends": [-1, -1], "axes": [2, 3]}
        slices = [add_constant(graph, f"{old.name}.{k}", np.array(v, np.int64)) for k, v in bounds.items()]
        phases, image = f"{old.name}.phases", f"{old.name}.uncropped"
        new = [
            helper.make_node("Conv", inputs, [phases], f"{old.name}.phases", kernel_shape=[2, 2], pads=[1] * 4),
            helper.make_node("DepthToSpace", [phases], [image], f"{old.name}.interleave", blocksize=2, mode="DCR"),
            helper.make_node("Slice", [image, *slices], [old.output[0]], f"{old.name}.crop"),
        ]
        replace_nodes(graph, [old], new)
        changed = True
    return changed
