"""Kernels of ours for cores without packed products: RV32IMC, Cortex-M0 and M3, Xtensa.

Three pixels share two words, so that two multiplications make three products
(nn_scalar_product.h). How many of them the words can add up depends on the weights, which the
host knows: it cuts the inputs into chunks, mostly one. Zero points are folded as in `tuned`.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from tinyseal.board import Board, Core
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.dense import (
    Dense,
    Weighted,
    batches_lag,
    by_channel,
    is_pointwise,
    is_solid,
    pixels,
)
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import block_lag
from tinyseal.plan.kernels.scalar_ends import Ends, ends


@dataclass(frozen=True)
class Shape:
    """How much the kernels do at a time on a core, and the instructions of their parts: read off
    the assembly, and from `tinyseal bench` where a compiler wrote them."""

    triples: int  # of pixels, NN_SCALAR_TRIPLES
    channels: int  # NN_SCALAR_CHANNELS
    fc_channels: int  # NN_SCALAR_FC_CHANNELS
    by_halves: bool  # products of more than 32 bits, NN_SCALAR_BY_HALVES
    term: float  # an input into all sums
    block: float  # of channels, besides inputs and outputs
    output: float  # requantised and stored
    word: float  # packed
    fc_input: float  # into the sums of fc_channels
    column: float  # of a depthwise row: one output
    row: float  # of a depthwise channel
    tap: float  # of a depthwise window, into the sums of _TAP_CHANNELS
    long: float  # more for an output whose end is not short


_RV32: Final = Shape(2, 4, 8, False, 40.75, 90, 17, 7, 26, 37, 80, 22, 3)
_MLA: Final = Shape(2, 2, 4, False, 12.75, 60, 14, 6, 10.75, 34, 75, 21, 2)
_THUMB1: Final = Shape(1, 2, 4, True, 12.75, 70, 29, 8, 20, 60, 180, 40, 18)
# A dense layer's inputs and weights, each used once, cost the LX106 three instructions to load:
# the portable kernel is as fast.
_XTENSA: Final = Shape(2, 2, 0, True, 22.75, 80, 29, 8, 0, 60, 125, 44, 18)
SHAPES: Final[dict[Core, Shape]] = {
    Core.RV32IMC: _RV32,
    Core.M3: _MLA,
    Core.M0: _THUMB1,
    Core.M0PLUS: _THUMB1,
    Core.LX106: _XTENSA,
    Core.LX6: _XTENSA,
}
_TAP_CHANNELS: Final = 4
_POINTER: Final = 8  # bytes, at most
_STEP: Final = 4  # inputs that the assembly takes at once
_HALF: Final = 1 << 20  # a chunk's sums stay below it; each starts at so much
# Weights of a chunk: whatever the inputs are.
_MOST_MAGNITUDE: Final = (_HALF - 1) // 128


@dataclass(frozen=True, eq=False)
class Product:
    """`struct nn_scalar_product`."""

    depth: int
    chunk: int
    weights: Array  # uint8 [blocks of channels, depth, channels of a block]
    channels: Array  # int32 [out_ch, 4]


def ends_on(p: Weighted, board: Board) -> Ends | None:
    return ends(p, SHAPES[board.core].by_halves) if board.core in SHAPES else None


def words(made: npt.NDArray[np.int64]) -> Array:
    """int32, with the same bits."""
    return (made & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def product(p: Dense, board: Board) -> Product:
    end, rows = ends_on(p, board), by_channel(p)
    assert end is not None
    block = SHAPES[board.core].channels
    padded = np.pad(rows, ((0, -len(rows) % block), (0, -rows.shape[1] % _STEP)))
    blocks = padded.reshape(-1, block, depth(p)).transpose(0, 2, 1)
    starts = np.array([_HALF * chunks(p), 0, 0, 0])
    return Product(
        depth(p),
        _chunk(p),
        (blocks.astype(np.int16) + 128).astype(np.uint8),
        words(end.words - starts),
    )


def channel_words(p: Weighted, board: Board) -> Array:
    """int32 [out_ch, 4]"""
    end = ends_on(p, board)
    assert end is not None
    return words(end.words)


def fc_arrays(p: FullyConnected, board: Board) -> tuple[Array, Array]:
    """Weights int8 [blocks, in_depth, channels of a block] and words int32 [channels, 4], zeros
    behind the last channel."""
    end, block = ends_on(p, board), SHAPES[board.core].fc_channels
    assert end is not None
    spare = ((0, -p.out_depth % block), (0, 0))
    blocks = np.pad(p.weights, spare).reshape(-1, block, p.in_depth)
    return blocks.transpose(0, 2, 1), words(np.pad(end.words, spare))


def depth(p: Dense) -> int:
    """Inputs of an output, rounded up to whole steps."""
    terms = int(p.weights[0].size)
    return terms + -terms % _STEP


def chunks(p: Dense) -> int:
    return -(-depth(p) // _chunk(p))


@lru_cache(maxsize=512)
def _chunk(p: Dense) -> int:
    """As many inputs as no channel's sum is too much for, wherever a chunk begins."""
    steps = np.pad(by_channel(p), ((0, 0), (0, -p.weights[0].size % _STEP)))
    magnitudes = np.abs(steps.astype(np.int64)).reshape(len(steps), -1, _STEP).sum(axis=2)
    total = np.pad(magnitudes.cumsum(axis=1), ((0, 0), (1, 0)))

    def most(length: int) -> int:
        return int((total[:, length:] - total[:, :-length]).max())

    return _STEP * bisect_right(range(1, len(magnitudes[0]) + 1), _MOST_MAGNITUDE, key=most)


def _supported(p: Dense, board: Board) -> bool:
    return ends_on(p, board) is not None


def _conv(p: Conv2D, board: Board) -> bool:
    return is_solid(p) and _supported(p, board)


def _conv_1x1(p: Conv2D, board: Board) -> bool:
    return is_pointwise(p) and _supported(p, board)


def _fc_batches(p: FullyConnected, board: Board) -> bool:
    return p.batches > 1 and p.filter_offset == 0 and _supported(p, board)


def _fc(p: FullyConnected, board: Board) -> bool:
    pays = board.core in SHAPES and SHAPES[board.core].fc_channels > 0
    return pays and p.filter_offset == 0 and ends_on(p, board) is not None


def _depthwise(p: DepthwiseConv2D, board: Board) -> bool:
    plain = p.depth_multiplier == p.dilation_h == p.dilation_w == 1
    size = p.filter_h == p.filter_w == 3 and p.stride_w in (1, 2)
    right = (p.out_w - 1) * p.stride_w - p.pad_w + 2  # the last column that is seen
    if not (plain and size and p.pad_w in (0, 1) and right <= p.in_w):
        return False
    return ends_on(p, board) is not None


def _depthwise_any(p: DepthwiseConv2D, board: Board) -> bool:
    return p.depth_multiplier == 1 and ends_on(p, board) is not None


def _pixels(board: Board) -> int:
    return 3 * SHAPES[board.core].triples


def _input_bytes(board: Board) -> int:
    """Of a column."""
    return 8 * SHAPES[board.core].triples


def _columns(p: Dense, board: Board) -> int:
    return _input_bytes(board) * (depth(p) + chunks(p))


def _conv_scratch(p: Conv2D, board: Board) -> int:
    made = _pixels(board) * p.filter_w * p.in_ch
    return max(_columns(p, board), _input_bytes(board) * depth(p) + made)


def _conv_lag(p: Conv2D, board: Board) -> int:
    return block_lag(p, _pixels(board))


def _fc_lag(p: FullyConnected, board: Board) -> int:
    return batches_lag(p, _pixels(board))


def _taps(p: DepthwiseConv2D, board: Board) -> int:
    return p.filter_h * p.filter_w * _POINTER + p.in_ch


def _depthwise_lag(p: DepthwiseConv2D, board: Board) -> int:
    """A row of outputs is written while the rows it sees are read."""
    rows = np.arange(p.batches * p.out_h)
    image, y = np.divmod(rows, p.out_h)
    first = image * p.in_h + np.clip(y * p.stride_h - p.pad_h, 0, p.in_h)
    behind = (rows + 1) * p.out_w * p.out_ch - first * p.in_w * p.in_ch
    return max(0, int(behind.max()))


def _long(p: Weighted, board: Board) -> float:
    end = ends_on(p, board)
    assert end is not None
    return 0 if end.is_short else SHAPES[board.core].long


def _output(p: Weighted, board: Board) -> float:
    return SHAPES[board.core].output + _long(p, board)


def _product_instructions(p: Dense, board: Board) -> float:
    shape, out_ch = SHAPES[board.core], len(p.weights)
    triples = -(-pixels(p) // 3)
    inner = -(-out_ch // shape.channels) * (shape.term * depth(p) + shape.block * chunks(p))
    outputs = pixels(p) * out_ch * _output(p, board)
    packed = 2 * shape.word * depth(p) + 20
    return triples * (inner / shape.triples + packed) + outputs + 50.0


def _conv_instructions(p: Conv2D, board: Board) -> float:
    gather = pixels(p) * (50 + p.filter_h * 25)
    return gather + _product_instructions(p, board)


def _fc_instructions(p: FullyConnected, board: Board) -> float:
    shape = SHAPES[board.core]
    blocks = -(-p.out_depth // shape.fc_channels)
    outputs = p.out_depth * (_output(p, board) + 6)
    return p.batches * (blocks * (p.in_depth * shape.fc_input + 40) + outputs) + 60.0


def _depthwise_instructions(p: DepthwiseConv2D, board: Board) -> float:
    shape = SHAPES[board.core]
    column = shape.column + 0.2 * (p.stride_w - 1) * shape.column
    column += _long(p, board)
    return p.batches * p.out_h * (p.out_ch * (shape.row + column * p.out_w) + 100) + 50.0


def _depthwise_any_instructions(p: DepthwiseConv2D, board: Board) -> float:
    shape, taps = SHAPES[board.core], p.filter_h * p.filter_w
    blocks, rest = divmod(p.out_ch, _TAP_CHANNELS)
    inner = (blocks + rest / 2) * (shape.tap * taps + 20)
    return pixels(p) * (inner + p.out_ch * _output(p, board) + 12 * taps + 40) + 50.0


KERNELS: Final = (
    Kernel(
        KernelSet.TUNED,
        "nn_scalar_conv_1x1_s8",
        Conv2D,
        instructions=_product_instructions,
        supports=_conv_1x1,
        scratch=_columns,
        lag=_conv_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_scalar_conv_1x1_s8",
        FullyConnected,
        instructions=_product_instructions,
        supports=_fc_batches,
        scratch=_columns,
        lag=_fc_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_scalar_fc_s8",
        FullyConnected,
        instructions=_fc_instructions,
        supports=_fc,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_scalar_conv_s8",
        Conv2D,
        instructions=_conv_instructions,
        supports=_conv,
        scratch=_conv_scratch,
        lag=_conv_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_scalar_depthwise_s8",
        DepthwiseConv2D,
        instructions=_depthwise_instructions,
        supports=_depthwise,
        lag=_depthwise_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_scalar_depthwise_any_s8",
        DepthwiseConv2D,
        instructions=_depthwise_any_instructions,
        supports=_depthwise_any,
        scratch=_taps,
        lag=_depthwise_lag,
    ),
)
