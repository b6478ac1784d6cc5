"""Kernels of ours for cores without packed products: RV32IMC, Cortex-M0 and M3, Xtensa.

Two pixels share a word, so that one multiplication makes two products (nn_scalar_product.h). How
many of them a word can add up depends on the weights, which the host knows: it cuts the terms
into groups. Zero points are folded as in `tuned`.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    channels,
    is_pointwise,
    is_rectified,
    is_solid,
    pixels,
)
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import block_lag


@dataclass(frozen=True)
class Shape:
    """How much the kernels do at a time on a core, and the instructions of their parts: read off
    the assembly, and from `tinyseal bench` where a compiler wrote them."""

    pairs: int  # of pixels, NN_SCALAR_PAIRS
    fc_channels: int  # NN_SCALAR_SHAPES
    step: float  # two inputs into the sums of two channels
    group: float
    channels: float  # two of them, besides groups and outputs
    output: float  # requantised and stored
    word: float  # packed
    fc_input: float  # into the sums of fc_channels
    column: float  # of a depthwise row: one output
    row: float  # of a depthwise channel
    sign: float  # more for an output that is not rectified


_RV32: Final = Shape(3, 8, 37, 24, 65, 12.5, 7, 26, 37, 80, 3)
_MLA: Final = Shape(3, 4, 20, 38, 50, 9, 6, 10.75, 34, 75, 2)
_THUMB1: Final = Shape(1, 4, 18, 13, 60, 40, 8, 20, 80, 180, 3)
# A dense layer's inputs and weights, each used once, cost the LX106 three instructions to load:
# the portable kernel is as fast.
_XTENSA: Final = Shape(1, 0, 25, 11, 45, 40, 8, 0, 80, 125, 3)
SHAPES: Final[dict[Core, Shape]] = {
    Core.RV32IMC: _RV32,
    Core.M3: _MLA,
    Core.M0: _THUMB1,
    Core.M0PLUS: _THUMB1,
    Core.LX106: _XTENSA,
    Core.LX6: _XTENSA,
}
_STEP: Final = 2  # terms of a group are whole steps
_MOST_STEPS: Final = 63  # of a group: its bytes of weights fit a byte
# Weights of a group: 128 * 255 keeps a sum within 16 bits, whatever the inputs.
_MOST_MAGNITUDE: Final = 255
_BITS: Final = 29  # of a sum, which is multiplied by 4


@dataclass(frozen=True, eq=False)
class Product:
    """`struct nn_scalar_product`."""

    depth: int
    out_ch: int
    weights: Array  # uint8
    channels: Array  # int32 [out_ch, rounded up to even, 4]


def requants(p: Weighted) -> npt.NDArray[np.int64] | None:
    """The words of nn_scalar.h for each channel, or None where one leaves their ranges.

    Behind one shift: of the roundings that `channels` gives twice as much, and the half of the
    first one, which is 1 there.
    """
    words = channels(p, by_channel(p), _BITS)
    if words is None:
        return None
    return np.asarray(words * np.array([1, 1, 2, 1]) + np.array([0, 0, 1, 1]))


def product(p: Dense) -> Product:
    """Weights by pairs of channels, each group behind its length; a channel of zeros beside an
    odd last one."""
    rows = by_channel(p)
    words = requants(p)
    assert words is not None
    starts = _group_starts(rows)
    pairs = _steps(rows)
    stream: list[npt.NDArray[np.uint8]] = []
    for steps, is_start in zip(pairs, starts, strict=True):
        ends = [*np.flatnonzero(is_start)[1:], len(steps)]
        for first, last in zip(np.flatnonzero(is_start), ends, strict=True):
            terms = steps[first:last].transpose(0, 2, 1).astype(np.int8)  # step, term, channel
            stream += [np.array([terms.size], np.uint8), terms.reshape(-1).view(np.uint8)]
    return Product(
        pairs.shape[1] * _STEP,
        len(rows),
        np.concatenate(stream),
        np.pad(words, ((0, len(rows) % 2), (0, 0))).astype(np.int32),
    )


def depthwise_arrays(p: DepthwiseConv2D) -> tuple[Array, Array]:
    """int8 [out_ch, 9] and the words of the channels, int32 [out_ch, 4]."""
    words = requants(p)
    assert words is not None
    return by_channel(p), words.astype(np.int32)


def fc_arrays(p: FullyConnected, board: Board) -> tuple[Array, Array]:
    """Weights int8 [blocks, in_depth, channels of a block] and words int32 [channels, 4], zeros
    behind the last channel."""
    words, block = requants(p), SHAPES[board.core].fc_channels
    assert words is not None
    spare = ((0, -p.out_depth % block), (0, 0))
    blocks = np.pad(p.weights, spare).reshape(-1, block, p.in_depth)
    return blocks.transpose(0, 2, 1), np.pad(words, spare).astype(np.int32)


def depth(p: Dense) -> int:
    """Inputs of an output, rounded up to whole steps."""
    terms = int(p.weights[0].size)
    return terms + terms % _STEP


def fits(rows: Array) -> bool:
    """Whether no step alone is too much for its group; `rows` is [out_ch, depth]."""
    return bool(_magnitudes(rows).max() <= _MOST_MAGNITUDE)


def _steps(rows: Array) -> Array:
    """[pairs of channels, steps, 2 channels, _STEP terms]"""
    padded = np.pad(rows, ((0, len(rows) % 2), (0, -rows.shape[1] % _STEP)))
    return padded.reshape(len(padded) // 2, 2, -1, _STEP).transpose(0, 2, 1, 3)


def _magnitudes(rows: Array) -> npt.NDArray[np.int64]:
    """Of the weights of each step: [pairs of channels, steps, 2 channels]."""
    steps: npt.NDArray[np.int64] = np.abs(_steps(rows).astype(np.int64))
    return np.asarray(steps.sum(axis=3))


def _group_starts(rows: Array) -> npt.NDArray[np.bool_]:
    """Where groups start: [pairs of channels, steps]. As few as possible: each goes on for as
    long as the weights of both channels let it."""
    magnitudes = _magnitudes(rows)
    starts = np.zeros(magnitudes.shape[:2], dtype=bool)
    total = np.zeros(magnitudes.shape[::2], dtype=np.int64)
    length = np.full(len(magnitudes), _MOST_STEPS)
    for step in range(magnitudes.shape[1]):
        total += magnitudes[:, step]
        length += 1
        start = (total.max(axis=1) > _MOST_MAGNITUDE) | (length > _MOST_STEPS)
        total[start], length[start] = magnitudes[start, step], 1
        starts[:, step] = start
    return starts


def _supported(p: Dense, board: Board) -> bool:
    rows = by_channel(p)
    return board.core in SHAPES and fits(rows) and requants(p) is not None


def _conv(p: Conv2D, board: Board) -> bool:
    return is_solid(p) and _supported(p, board)


def _conv_1x1(p: Conv2D, board: Board) -> bool:
    return is_pointwise(p) and _supported(p, board)


def _fc_batches(p: FullyConnected, board: Board) -> bool:
    return p.batches > 1 and p.filter_offset == 0 and _supported(p, board)


def _fc(p: FullyConnected, board: Board) -> bool:
    pays = board.core in SHAPES and SHAPES[board.core].fc_channels > 0
    return pays and p.filter_offset == 0 and requants(p) is not None


def _depthwise(p: DepthwiseConv2D, board: Board) -> bool:
    plain = p.depth_multiplier == p.dilation_h == p.dilation_w == 1
    size = p.filter_h == p.filter_w == 3 and p.stride_w in (1, 2)
    right = (p.out_w - 1) * p.stride_w - p.pad_w + 2  # the last column that is seen
    if not (plain and size and p.pad_w in (0, 1) and right <= p.in_w):
        return False
    return board.core in SHAPES and requants(p) is not None


def _columns(p: Dense, board: Board) -> int:
    return 4 * SHAPES[board.core].pairs * depth(p)


def _conv_scratch(p: Conv2D, board: Board) -> int:
    return _columns(p, board) + 2 * SHAPES[board.core].pairs * p.filter_w * p.in_ch


def _conv_lag(p: Conv2D, board: Board) -> int:
    return block_lag(p, 2 * SHAPES[board.core].pairs)


def _fc_lag(p: FullyConnected, board: Board) -> int:
    return batches_lag(p, 2 * SHAPES[board.core].pairs)


def _depthwise_lag(p: DepthwiseConv2D, board: Board) -> int:
    """A row of outputs is written while the rows it sees are read."""
    rows = np.arange(p.batches * p.out_h)
    image, y = np.divmod(rows, p.out_h)
    first = image * p.in_h + np.clip(y * p.stride_h - p.pad_h, 0, p.in_h)
    behind = (rows + 1) * p.out_w * p.out_ch - first * p.in_w * p.in_ch
    return max(0, int(behind.max()))


def groups(p: Dense) -> int:
    """In the weights of all pairs of channels."""
    return int(_group_starts(by_channel(p)).sum())


def _output(p: Weighted, shape: Shape) -> float:
    return shape.output if is_rectified(p) else shape.output + shape.sign


def _product_instructions(p: Dense, board: Board) -> float:
    shape, out_ch = SHAPES[board.core], len(p.weights)
    blocks = -(-pixels(p) // 2) / shape.pairs
    inner = -(-out_ch // 2) * (shape.step * depth(p) / _STEP + shape.channels)
    outputs = pixels(p) * out_ch * _output(p, shape)
    packed = shape.pairs * (shape.word * depth(p) + 20) + 60
    return blocks * (inner + shape.group * groups(p) + packed) + outputs + 50.0


def _conv_instructions(p: Conv2D, board: Board) -> float:
    gather = pixels(p) * (50 + p.filter_h * 25)
    return gather + _product_instructions(p, board)


def _fc_instructions(p: FullyConnected, board: Board) -> float:
    shape = SHAPES[board.core]
    blocks = -(-p.out_depth // shape.fc_channels)
    outputs = p.out_depth * (_output(p, shape) + 6)
    return p.batches * (blocks * (p.in_depth * shape.fc_input + 40) + outputs) + 60.0


def _depthwise_instructions(p: DepthwiseConv2D, board: Board) -> float:
    shape = SHAPES[board.core]
    column = shape.column + 0.2 * (p.stride_w - 1) * shape.column
    column += 0 if is_rectified(p) else shape.sign
    return p.batches * p.out_h * (p.out_ch * (shape.row + column * p.out_w) + 100) + 50.0


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
)
