"""How large a model file may be, and what its graph may contain: the operators of feed-forward networks of images.

A model file may come from anybody. Loops, branches, nested graphs, functions and operators that make large tensors out
of small numbers can run for ever or take all memory, and no generator or scorer needs them.
"""

from dataclasses import dataclass

from avatar_runtime.errors import ModelFileError

MAX_FILE_BYTES = 2**29
"""The largest file that is read, 512 MiB: ten times the widest generator that we know."""
MAX_NODES = 2048
"""Thirteen times the int8 graph of the embedded model."""
MAX_TENSOR = 2**26
"""Numbers in one constant tensor: 256 MB of float32."""
MAX_TOTAL = 2**27
"""Numbers in all constant tensors together."""

_STANDARD = """
BatchNormalization Conv ConvInteger ConvTranspose Gemm GroupNormalization InstanceNormalization LayerNormalization
MatMul MatMulInteger QLinearConv QLinearMatMul

Clip Elu Erf Gelu HardSigmoid HardSwish LeakyRelu PRelu Relu Selu Sigmoid Softmax Softplus Tanh

Abs Add Cast Ceil Div DequantizeLinear DynamicQuantizeLinear Exp Floor Log Max Min Mul Neg Pow QuantizeLinear Reciprocal
Round Sqrt Sub

AveragePool GlobalAveragePool GlobalMaxPool MaxPool ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum

Concat Constant DepthToSpace Flatten Gather Identity Pad Reshape Resize Shape Slice SpaceToDepth Split Squeeze Transpose
Unsqueeze
"""
_FUSED = """
BiasGelu DequantizeLinear DynamicQuantizeMatMul FusedConv FusedGemm FusedMatMul Gelu MatMulIntegerToFloat NhwcFusedConv
NhwcMaxPool QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv QLinearGlobalAveragePool QLinearLeakyRelu
QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QuantizeLinear QuickGelu
"""
"""What onnxruntime makes of the standard operators in an .ort."""
_OPERATORS = {"": frozenset(_STANDARD.split()), "com.microsoft": frozenset(_FUSED.split())}


@dataclass
class GraphLimits:
    """Counts what a graph contains. Every method raises ModelFileError for what goes beyond the limits above."""

    nodes: int = 0
    numbers: int = 0

    def add_node(self, domain: str, operator: str) -> None:
        """Count one node."""
        if operator not in _OPERATORS.get("" if domain == "ai.onnx" else domain, ()):
            name = f"{domain}.{operator}" if domain else operator
            raise ModelFileError(f"its graph uses the operator {name[:60]!r}, which no model of avatar-edge needs")
        self.nodes += 1
        self.check_nodes(self.nodes)

    def check_nodes(self, count: int) -> None:
        """Refuse a graph that claims more nodes than are allowed."""
        if count > MAX_NODES:
            raise ModelFileError(f"its graph has more than {MAX_NODES} nodes, which no model of avatar-edge needs")

    def add_tensor(self, name: str, dims: list[int], data_bytes: int) -> None:
        """Count a constant tensor of a shape that is stored in so many bytes."""
        count = 1
        for dim in dims:
            count *= dim
        if count < 0 or count > 2 * data_bytes:  # the smallest type has four bits
            raise ModelFileError(f"its tensor {name[:60]!r} claims {_shown(count)} numbers in {data_bytes} bytes")
        self.numbers += count
        if count > MAX_TENSOR or self.numbers > MAX_TOTAL:
            raise ModelFileError(
                f"its tensor {name[:60]!r} takes it beyond {MAX_TOTAL} numbers, or {MAX_TENSOR} in one"
            )


def nested_graph() -> ModelFileError:
    """The refusal of a graph inside a node, as loops and branches have."""
    return ModelFileError("its graph has a loop, a branch or a function in it, which no model of avatar-edge needs")


def _shown(count: int) -> str:
    return str(count) if abs(count) < 10**30 else "far too many"
