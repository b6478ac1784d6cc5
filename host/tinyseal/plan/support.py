"""Which operators of a model run on a board: all the trouble at once, before anything is built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from tinyseal.board import Board
from tinyseal.errors import PlanError, UnsupportedError
from tinyseal.graph.ir import DType, Graph, Op
from tinyseal.graph.lowering import Alias
from tinyseal.graph.ops import lower
from tinyseal.graph.tflite import READERS, ListedOp, import_tflite, list_operators
from tinyseal.plan.choose import candidates
from tinyseal.plan.kernels import KernelSet

CONSTANT_SHAPES: Final = "convert with a fixed input shape, so that the converter folds it"
ON_THE_HOST: Final = "leave it out of the model and compute it from the raw outputs"
CAST: Final = "quantise the whole model to int8, or cast before the model"

# The nearest supported way to the same result, by TFLite's name.
WAYS_OUT: Final[dict[str, str]] = {
    "ABS": "use MAXIMUM(x, -x)",
    "ADD_N": "chain ADD",
    "ARG_MAX": ON_THE_HOST,
    "ARG_MIN": ON_THE_HOST,
    "BATCH_MATMUL": "use FULLY_CONNECTED with constant weights",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "use two UNIDIRECTIONAL_SEQUENCE_LSTM",
    "BROADCAST_TO": "ADD, SUB, MUL, MINIMUM and MAXIMUM broadcast by themselves",
    "CAST": CAST,
    "CONV_3D": "use CONV_2D over one axis folded into the channels",
    "DEPTH_TO_SPACE": "use TRANSPOSE_CONV, or RESHAPE and TRANSPOSE",
    "DIV": "use MUL by the reciprocal of a constant",
    "ELU": "use RELU, LEAKY_RELU or HARD_SWISH",
    "EXP": "use LOGISTIC or SOFTMAX",
    "FILL": CONSTANT_SHAPES,
    "GATHER": "use SLICE or STRIDED_SLICE with constant positions",
    "GELU": "use HARD_SWISH, or MUL(x, LOGISTIC(1.702 x))",
    "L2_NORMALIZATION": ON_THE_HOST,
    "L2_POOL_2D": "use AVERAGE_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION": "use batch normalisation, which folds into the convolution",
    "LOG_SOFTMAX": "use SOFTMAX, or read the logits",
    "LSTM": "use UNIDIRECTIONAL_SEQUENCE_LSTM (a Keras LSTM with a fixed batch size)",
    "MIRROR_PAD": "use PAD",
    "NEG": "use SUB from a constant zero",
    "NON_MAX_SUPPRESSION_V4": ON_THE_HOST,
    "NON_MAX_SUPPRESSION_V5": ON_THE_HOST,
    "RANGE": CONSTANT_SHAPES,
    "REDUCE_MAX": "use MAX_POOL_2D over the whole plane",
    "REDUCE_MIN": "use MAX_POOL_2D of the negated tensor",
    "RELU_N1_TO_1": "use MINIMUM and MAXIMUM with constants",
    "RNN": "use UNIDIRECTIONAL_SEQUENCE_LSTM",
    "SHAPE": CONSTANT_SHAPES,
    "SPACE_TO_BATCH_ND": "give the convolution its dilation instead",
    "BATCH_TO_SPACE_ND": "give the convolution its dilation instead",
    "SPACE_TO_DEPTH": "use RESHAPE and TRANSPOSE",
    "SPLIT_V": "use SPLIT into equal parts, or SLICE",
    "SQUARE": "use MUL(x, x)",
    "SQUARED_DIFFERENCE": "use SUB, then MUL with itself",
    "TILE": "use CONCATENATION of the tensor with itself",
    "TOPK_V2": ON_THE_HOST,
    "UNIDIRECTIONAL_SEQUENCE_RNN": "use UNIDIRECTIONAL_SEQUENCE_LSTM",
    "WHILE": "use UNIDIRECTIONAL_SEQUENCE_LSTM (a Keras LSTM with unroll=False, fixed batch size)",
}

IN_OTHER_OPERATORS: Final = "express it in supported operators"
NOT_INT8: Final = {
    DType.F32: "quantise the model to int8: weights and activations, inputs and outputs",
    DType.U8: "quantise to int8; the old uint8 scheme is not supported",
    DType.S16: "quantise activations to int8",
}
KNOWN_VERSIONS: Final = {kind.value: reader.version for kind, reader in READERS.items()}


@dataclass(frozen=True)
class Verdict:
    """One operator: `problem` is None if it runs, else why not, and `way_out` the nearest cure."""

    node: int
    operator: str
    version: int
    output: str  # name of the first output tensor
    problem: str | None = None
    way_out: str | None = None


def judge(
    data: bytes, name: str, board: Board, wanted: KernelSet | None
) -> tuple[tuple[Verdict, ...], Graph | None]:
    """A verdict for every operator, and the graph if the importer could read it.

    ModelError for a malformed file.
    """
    listed = list_operators(data, name)
    if any(op.problem for op in listed):
        return tuple(_imported(op) for op in listed), None
    graph = import_tflite(data, name)
    return tuple(_lowered(graph, op, board, wanted) for op in graph.ops), graph


def _imported(op: ListedOp) -> Verdict:
    if op.problem is None:
        return Verdict(op.index, op.name, op.version, op.output)
    way_out = WAYS_OUT.get(op.name, IN_OTHER_OPERATORS)
    if op.name in KNOWN_VERSIONS:
        way_out = f"convert so that it has version {KNOWN_VERSIONS[op.name]} or lower"
    return Verdict(op.index, op.name, op.version, op.output, op.problem, way_out)


def _lowered(graph: Graph, op: Op, board: Board, wanted: KernelSet | None) -> Verdict:
    output = graph.tensor(op.outputs[0]).name if op.outputs else ""
    verdict = Verdict(op.index, op.kind.value, op.version, output)
    try:
        item = lower(graph, op)
        if not isinstance(item.params, Alias):
            candidates(item, board, wanted)
    except (UnsupportedError, PlanError) as e:
        return replace(verdict, problem=_bare(str(e), graph, op, board), way_out=_cure(graph, op))
    return verdict


def _bare(message: str, graph: Graph, op: Op, board: Board) -> str:
    """`message` without the place it names, which the verdict names itself."""
    place = f"{graph.name}: node {op.index}"
    for prefix in (f"{place} ({op.kind.value}): ", f"{place}: ", f"{board.name}: "):
        message = message.removeprefix(prefix)
    return message.partition("; supported: ")[0]


def _cure(graph: Graph, op: Op) -> str:
    tensors = [graph.tensor(i) for i in (*op.inputs, *op.outputs) if i is not None]
    for dtype, cure in NOT_INT8.items():
        if any(t.dtype is dtype and not t.is_constant for t in tensors):
            return cure
    return WAYS_OUT.get(op.kind.value, IN_OTHER_OPERATORS)
