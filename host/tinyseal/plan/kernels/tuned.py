"""Kernels of ours for cores with packed 16-bit products (Cortex-M4, M7, M33).

Zero points are folded on the host: the input's into where each sum starts, the output's into what
the last rounding adds. That leaves seven instructions to requantise, under the ranges that
`channels` proves; a layer outside them is left to the other sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.board import Board
from tinyseal.graph.fixedpoint import requantize
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.arithmetic import ADD_LEFT_SHIFT, Add
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import AveragePool2D, MaxPool2D, Pool
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
    reach,
)
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import block_lag, window_lag
from tinyseal.plan.kernels.linear import linear_words

PIXELS: Final = 4  # NN_TUNED_PRODUCT_PIXELS
_GROUP: Final = 4  # inputs widened at a time
LINE_SHIFT: Final = 8  # of linear outputs, where the weights are halves
_BYTES_SHIFT: Final = 4  # and of channels a, where they are bytes
_UNROLLED: Final = 64  # inputs the product goes through without a branch
WIDE_GAIN: Final = 7  # instructions an inference that a byte of flash has to save
_QUAD: Final = 4  # channels of nn_tuned_fc at a time
_MOST_TAPS: Final = 255  # of an average: times 128 it fits 16 bits
_TAPS: Final = 3  # of a depthwise filter, each way
_PLANES: Final = 2048  # bytes of scratch that whole planes may take


@dataclass(frozen=True)
class _Pairs:
    """Channels two by two: a and b of the first pair, of the second... An odd last channel is b,
    with the one before it, or zeros, as a."""

    rows: Array  # int8 [channels, depth]
    words: Array  # int64 [channels, 4]
    reach: Array  # int64 [2, channels]

    @property
    def fit_bytes(self) -> bool:
        """Whether 256 b + a fits a half, and the sum of those tells the sum of b."""
        a, b = self.rows[0::2], self.rows[1::2]
        most = np.abs(self.reach[:, 1::2] * (self.words[1::2, 1] > 0)).max()
        return not ((b == -128) & (a < 0)).any() and bool(most < 2**23 - 2**10)


def _pairs(p: Dense) -> _Pairs | None:
    rows = by_channel(p)
    words = channels(p, rows)
    if words is None:
        return None
    ends = reach(p, rows)
    padded = np.pad(rows[:, _gathered(p)], ((0, 0), (0, depth(p) - rows.shape[1])))
    count = len(rows)
    if count == 1:
        padded, words = np.pad(padded, ((1, 0), (0, 0))), np.pad(words, ((1, 0), (0, 0)))
        ends, count = np.pad(ends, ((0, 0), (1, 0))), 2
    order = [*range(count - count % 2), *([count - 2, count - 1] if count % 2 else [])]
    return _Pairs(padded[order], words[order], ends[:, order])


def _gathered(p: Dense) -> Array:
    """The order in which inputs are widened: of each filter row whole words, then what they
    leave."""
    run = p.filter_w * p.in_ch if isinstance(p, Conv2D) else p.in_depth
    inputs = np.arange(p.weights[0].size).reshape(-1, run)
    return np.hstack([inputs[:, : run & -4].ravel(), inputs[:, run & -4 :].ravel()])


def product_pairs(p: Dense, wide: bool) -> tuple[bool, Array]:
    """Whether outputs are linear, and int32 [pairs, words] (firmware: nn_tuned_product.h): of
    channels a and b the starts, the weights, and each one's multiplier, rounding and shift.

    Of four weights of each the bytes are a0 b0 a2 b2 a1 b1 a3 b3, `_joined`; the wide halves are
    a0 a2 b0 b2 a1 a3 b1 b3.
    """
    pairs = _pairs(p)
    assert pairs is not None
    if wide:
        is_linear, gain, words = _gained(p, pairs.words, pairs.reach)
        halves = (pairs.rows << gain[:, None]).astype("<i2")
    else:
        gain = np.resize([0, 8], len(pairs.rows))
        is_linear, words = _scaled(p, pairs.words, pairs.reach, gain, _BYTES_SHIFT + gain)
        words[1::2, 0] += words[0::2, 0]
        halves = _joined(pairs.rows)
    ends = words.reshape(-1, 2, 4).astype("<i4")
    groups = halves.reshape(len(ends), 2, -1, 2, 2)  # pair, channel, group, k + 2, k + 1
    order_of = (0, 2, 4, 1, 3) if wide else (0, 2, 4, 3, 1)
    shuffled = groups.transpose(order_of).astype("<i2" if wide else "i1")
    weights = shuffled.reshape(len(ends), -1).view("<i4")
    return is_linear, np.hstack([ends[:, :, 0], weights, ends[:, :, 1:].reshape(-1, 6)])


def _gained(p: Weighted, words: Array, ends: Array) -> tuple[bool, Array, Array]:
    """Whether outputs are linear, by how much to shift each channel's weights, which are halves,
    to the left, and its words with that."""
    gain = np.maximum(0, LINE_SHIFT + 1 - words[:, 3])
    is_linear, lines = _scaled(p, words, ends, gain, np.full_like(gain, LINE_SHIFT))
    return (True, gain, lines) if is_linear else (False, np.ones_like(gain), words * (2, 1, 1, 1))


def _scaled(
    p: Weighted, words: Array, ends: Array, gain: Array, shift: Array
) -> tuple[bool, Array]:
    """Whether outputs are linear, with such shifts, and the words of sums that are 2^gain times
    as large."""
    lines = linear_words(words, ends, gain, shift) if is_rectified(p) else None
    if lines is not None:
        return True, lines
    return False, np.hstack([words[:, :1] << gain[:, None], words[:, 1:]])


@dataclass(frozen=True)
class Axis:
    """`struct nn_tuned_axis`."""

    in_: int
    out: int
    stride: int
    pad: int
    in_step: int
    out_step: int


@dataclass(frozen=True)
class Lines:
    """How a depthwise convolution goes through its image: along lines, `rows` or columns, and
    from line to line, `channels` (a multiple of 4) before it turns to the others, of which so
    many lines are kept in `slots`."""

    rows: bool
    along: Axis
    across: Axis
    channels: int
    slots: int

    @property
    def words(self) -> int:
        """Of a channel in a widened line: what whole pairs of outputs read."""
        return -(-self.along.out // 2) * self.along.stride + 1

    @property
    def inputs(self) -> tuple[int, int]:
        """Words of a widened line that hold two inputs, and whether one is left behind them."""
        pad = self.along.pad
        return divmod(min(self.along.in_, 2 * self.words - pad) - pad % 2, 2)

    @property
    def scratch(self) -> int:
        return 4 * self.slots * self.channels * self.words


def row_lines(p: DepthwiseConv2D) -> Lines:
    """All channels, row after row, in a ring of rows."""
    return _lines(p, True, p.in_ch + -p.in_ch % _GROUP, _TAPS)


def group_lines(p: DepthwiseConv2D) -> Lines:
    """Four channels at a time, in a ring of rows or columns, whichever run faster."""
    return _faster(p, [_lines(p, rows, _GROUP, _TAPS) for rows in (True, False)])


def plane_lines(p: DepthwiseConv2D) -> Lines:
    """Four channels at a time, all of their rows or columns."""
    heights = {True: (p.out_h - 1) * p.stride_h, False: (p.out_w - 1) * p.stride_w}
    return _faster(p, [_lines(p, rows, _GROUP, _TAPS + n) for rows, n in heights.items()])


def _faster(p: DepthwiseConv2D, ways: list[Lines]) -> Lines:
    return min(
        (lines for lines in ways if lines.along.stride <= 2),
        key=lambda lines: _lines_instructions(p, lines),
    )


def _lines(p: DepthwiseConv2D, rows: bool, channels: int, slots: int) -> Lines:
    x = Axis(p.in_w, p.out_w, p.stride_w, p.pad_w, p.in_ch, p.out_ch)
    y = Axis(p.in_h, p.out_h, p.stride_h, p.pad_h, p.in_w * p.in_ch, p.out_w * p.out_ch)
    return Lines(rows, *((x, y) if rows else (y, x)), channels, slots)


def depthwise_words(p: DepthwiseConv2D, rows: bool) -> tuple[bool, Array]:
    """Whether outputs are linear, and int32 [out_ch, 10]: the words of `channels`, then of each
    filter line the pairs of halves (w0, w1) and (w1, w2)."""
    weights = by_channel(p)
    words = channels(p, weights)
    assert words is not None
    is_linear, gain, words = _gained(p, words, reach(p, weights))
    taps = weights.reshape(-1, 3, 3) if rows else weights.reshape(-1, 3, 3).transpose(0, 2, 1)
    halves = (taps[:, :, [0, 1, 1, 2]] << gain[:, None, None]).astype("<i2")
    return is_linear, np.hstack([words.astype("<i4"), halves.reshape(-1, 12).view("<i4")])


def depthwise_quads(p: DepthwiseConv2D) -> tuple[bool, Array]:
    """Whether outputs are linear, and int32 [quads, words] (firmware: nn_tuned_depthwise_any.h):
    the first four channels, then from the last one back all others by fours."""
    weights = by_channel(p)
    words = channels(p, weights)
    assert words is not None
    is_linear, gain, words = _gained(p, words, reach(p, weights))
    count, rest = p.out_ch, p.out_ch % _QUAD
    order = [*(range(_QUAD) if rest and count > rest else ()), *range(rest, count)]
    if count < _QUAD:
        order = [*range(count), *[0] * (_QUAD - count)]
    taps = (weights << gain[:, None]).astype("<i2")[order].reshape(-1, 2, 2, weights.shape[1])
    halves = taps.transpose(0, 3, 2, 1).reshape(len(taps), -1).view("<i4")
    ends = words[order].astype("<i4").reshape(-1, _QUAD, 4)
    scales = ends[:, :, 1:3] if is_linear else ends[:, :, 1:]
    return is_linear, np.hstack([ends[:, :, 0], halves, scales.reshape(len(ends), -1)])


def _quads(p: FullyConnected) -> _Pairs | None:
    """Channels two by two, zeros behind the last to a multiple of 4."""
    words, more = channels(p, p.weights), -p.out_depth % _QUAD
    if words is None:
        return None
    spare = ((0, more), (0, 0))
    ends = np.pad(reach(p, p.weights), ((0, 0), (0, more)))
    return _Pairs(np.pad(p.weights, spare), np.pad(words, spare), ends)


def fc_arrays(p: FullyConnected) -> tuple[Array, Array]:
    """Weights and words of the channels by fours: int8 [quads, in_depth / 4, 2 pairs, inputs 0, 2,
    1, 3, 2 channels] and int32 [quads * 4, 4]."""
    quads = _quads(p)
    assert quads is not None
    words = quads.words.copy()
    words[1::2, 0] = (words[1::2, 0] << 8) + words[0::2, 0]
    joined = _joined(quads.rows).reshape(-1, 2, 2, p.in_depth // _GROUP, 2, 2)
    return joined.transpose(0, 3, 1, 5, 4, 2), words.astype(np.int32)


def _joined(rows: Array) -> Array:
    """Those of b less one where a is negative: the two together are a half, 256 b + a."""
    joined = rows.astype(np.int16)
    joined[1::2] -= joined[0::2] < 0
    return joined.astype(np.int8)


def add_table(p: Add) -> tuple[int, Array]:
    """The position of the operand that goes through the table, and int32 [256]: of each of its
    bytes what adds to the other, doubled, shifted left by 20 (firmware: nn_tuned_add.h)."""
    sides = ((p.a_offset, p.a_requant), (p.b_offset, p.b_requant))
    position = 1 if p.a_requant.shift == 0 else 0
    offset, requant = sides[position]
    values = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64) + offset
    scaled = requantize(values << ADD_LEFT_SHIFT, requant.multiplier, requant.shift)
    shifted_offset = sides[1 - position][0] << ADD_LEFT_SHIFT
    return position, (2 * scaled + shifted_offset).astype(np.int32)


def add_rounding(p: Add) -> int:
    """What the last rounding adds: half, and the zero point."""
    shift = -p.out_requant.shift
    return (1 << shift >> 1) + (p.out_offset << shift)


def depth(p: Dense) -> int:
    """Inputs of an output, rounded up to what is widened at a time."""
    inputs = int(p.weights[0].size)
    return inputs + -inputs % _GROUP


def _has_dsp(board: Board) -> bool:
    return board.core.has_dsp and not board.core.has_mve


def _supported(p: Weighted, board: Board) -> bool:
    return _has_dsp(board) and channels(p, by_channel(p)) is not None


def _product(p: Dense, board: Board) -> bool:
    pairs = _pairs(p) if _has_dsp(board) else None
    return pairs is not None and pairs.fit_bytes


def _product_wide(p: Dense, board: Board) -> bool:
    """Where halves for weights, a byte more each, save at least WIDE_GAIN instructions a byte,
    one of 12 for 16 products; or bytes do not fit."""
    pairs = _pairs(p) if _has_dsp(board) else None
    return pairs is not None and (pixels(p) / 16 >= WIDE_GAIN or not pairs.fit_bytes)


def _conv(p: Conv2D, board: Board) -> bool:
    return is_solid(p) and _product(p, board)


def _conv_wide(p: Conv2D, board: Board) -> bool:
    return is_solid(p) and _product_wide(p, board)


def _conv_1x1(p: Conv2D, board: Board) -> bool:
    return is_pointwise(p) and _product(p, board)


def _conv_1x1_wide(p: Conv2D, board: Board) -> bool:
    return is_pointwise(p) and _product_wide(p, board)


def _fc_batches(p: FullyConnected, board: Board) -> bool:
    return p.batches > 1 and p.filter_offset == 0 and _product(p, board)


def _fc(p: FullyConnected, board: Board) -> bool:
    plain = p.filter_offset == 0 and p.in_depth % _GROUP == 0
    quads = _quads(p) if plain and _has_dsp(board) else None
    return quads is not None and quads.fit_bytes


def _depthwise_any(p: DepthwiseConv2D, board: Board) -> bool:
    """What the others do not take: on a 3x3 layer of theirs its few bytes of scratch cost more
    than they save."""
    return p.depth_multiplier == 1 and _supported(p, board) and not _depthwise(p, board)


def _depthwise(p: DepthwiseConv2D, board: Board) -> bool:
    plain = p.depth_multiplier == p.dilation_h == p.dilation_w == 1
    size = p.filter_h == p.filter_w == 3 and p.stride_w in (1, 2)
    return plain and size and _supported(p, board)


def _depthwise_planes(p: DepthwiseConv2D, board: Board) -> bool:
    return _depthwise(p, board) and plane_lines(p).scratch <= _PLANES


def _depthwise_groups(p: DepthwiseConv2D, board: Board) -> bool:
    """Where a line of outputs takes the place of the line of inputs in their midst."""
    steady = p.stride_h == p.stride_w == p.pad_h == p.pad_w == 1
    return steady and (p.in_h, p.in_w) == (p.out_h, p.out_w) and _depthwise(p, board)


def _add(p: Add, board: Board) -> bool:
    """One operand shifts by 20, as the larger scale's does; the sum's high word, below 2^28, has
    room for the rounding."""
    shifts = 0 in (p.a_requant.shift, p.b_requant.shift)
    rounds = p.out_requant.shift <= -1 and abs(add_rounding(p)) < 2**31 - 2**28
    return _has_dsp(board) and p.walk.is_dense and not p.subtract and shifts and rounds


def _pool(p: Pool, board: Board) -> bool:
    return _has_dsp(board)


def _average_pool(p: Pool, board: Board) -> bool:
    return _has_dsp(board) and p.filter_h * p.filter_w <= _MOST_TAPS


def _columns(p: Dense, board: Board) -> int:
    return 2 * PIXELS * depth(p)


def _conv_scratch(p: Conv2D, board: Board) -> int:
    run = p.filter_w * p.in_ch
    return _columns(p, board) + PIXELS * (depth(p) if run % _GROUP else run)


def _conv_lag(p: Conv2D, board: Board) -> int:
    return block_lag(p, PIXELS)


def _depthwise_any_scratch(p: DepthwiseConv2D, board: Board) -> int:
    distances = 2 * 8 * p.filter_h * p.filter_w  # on the host, where tests run; else half of it
    return distances + p.in_ch + -p.in_ch % _GROUP


def _depthwise_scratch(p: DepthwiseConv2D, board: Board) -> int:
    return row_lines(p).scratch


def _depthwise_groups_scratch(p: DepthwiseConv2D, board: Board) -> int:
    return group_lines(p).scratch


def _depthwise_planes_scratch(p: DepthwiseConv2D, board: Board) -> int:
    return plane_lines(p).scratch


def _depthwise_lag(p: DepthwiseConv2D, board: Board) -> int:
    """A row of outputs is written when all the rows it sees have been read."""
    ends = np.arange(1, p.batches * p.out_h + 1)
    y = (ends - 1) % p.out_h
    read = np.minimum(y * p.stride_h - p.pad_h + p.filter_h, p.in_h)
    read = np.where(y == p.out_h - 1, p.in_h, read) + (ends - 1) // p.out_h * p.in_h
    behind = ends * p.out_w * p.out_ch - read * p.in_w * p.in_ch
    return max(0, int(behind[:-1].max(initial=0)))


def _fc_lag(p: FullyConnected, board: Board) -> int:
    return batches_lag(p, PIXELS)


def _product_cost(p: Dense, step: float) -> float:
    """`step` instructions for two inputs of four pixels in two channels."""
    inputs, pairs = depth(p), -(-len(p.weights) // 2)
    full, rest = divmod(pixels(p), PIXELS)
    groups = full + (rest > 0)
    widen = groups * (100 + 4.0 * inputs)
    pair = step / 2 * inputs + 70 + 3 * (inputs // _UNROLLED)
    last = 0.0 if rest == 0 else 3.5 * inputs + 40 if rest == 1 else pair
    return widen + pairs * (full * pair + last) + 50.0


def _product_instructions(p: Dense, board: Board) -> float:
    return _product_cost(p, 12)


def _product_wide_instructions(p: Conv2D, board: Board) -> float:
    return _product_cost(p, 11)


def _fc_instructions(p: FullyConnected, board: Board) -> float:
    quads = -(-p.out_depth // _QUAD)
    return p.batches * quads * (4.0 * p.in_depth + 85) + 60.0


def _conv_instructions(p: Conv2D, board: Board) -> float:
    return _gather_instructions(p) + _product_cost(p, 12)


def _conv_wide_instructions(p: Conv2D, board: Board) -> float:
    return _gather_instructions(p) + _product_cost(p, 11)


def _gather_instructions(p: Conv2D) -> float:
    return pixels(p) * (40.0 + p.filter_h * 15)


def _lines_instructions(p: DepthwiseConv2D, lines: Lines) -> float:
    along, across = lines.along, lines.across
    pairs, odd = divmod(along.out, 2)
    pair, last = (30, 20) if p.out_offset == -128 else (33, 21)
    passes, groups = -(-p.in_ch // lines.channels), -(-p.in_ch // _GROUP)
    starts = across.out if lines.slots == _TAPS else 1  # of a channel
    channel = across.out * (16 + pair * pairs + last * odd) + 22 * starts
    widened = across.in_ + (2 if starts > 1 else 0)
    widen = widened * (groups * (60 + 17 * (lines.words - 1)) + 30 * passes)
    return p.batches * (p.out_ch * channel + widen + passes * (60 + 100 * starts)) + 60.0


def _depthwise_any_instructions(p: DepthwiseConv2D, board: Board) -> float:
    quads, rest = divmod(p.out_ch, _QUAD)
    taps = p.filter_h * p.filter_w
    pixel = 50 + (quads + (rest > 0)) * (22 + 9 * taps) + (40 if rest else 0)
    if quads == 0:
        pixel = 60 + rest * (30 + 10 * taps)
    border = 1 - _inside(p) / (p.out_h * p.out_w)
    return p.batches * p.out_h * p.out_w * (pixel + border * (20 + 12 * taps)) + 100.0 + 10 * taps


def _inside(p: DepthwiseConv2D) -> int:
    """Output pixels of an image whose windows show no padding."""
    rows = np.arange(p.out_h) * p.stride_h - p.pad_h
    columns = np.arange(p.out_w) * p.stride_w - p.pad_w
    seen_h = (rows >= 0) & (rows + (p.filter_h - 1) * p.dilation_h < p.in_h)
    seen_w = (columns >= 0) & (columns + (p.filter_w - 1) * p.dilation_w < p.in_w)
    return int(seen_h.sum() * seen_w.sum())


def _depthwise_instructions(p: DepthwiseConv2D, board: Board) -> float:
    return _lines_instructions(p, row_lines(p))


def _depthwise_groups_instructions(p: DepthwiseConv2D, board: Board) -> float:
    return _lines_instructions(p, group_lines(p))


def _depthwise_planes_instructions(p: DepthwiseConv2D, board: Board) -> float:
    return _lines_instructions(p, plane_lines(p))


def _add_instructions(p: Add, board: Board) -> float:
    return (7.5 if p.out_offset == -128 else 8.5) * p.walk.elements + 40.0


def _pool_instructions(p: Pool, board: Board) -> float:
    pixels = p.batches * p.out_h * p.out_w
    return pixels * (60 + p.in_ch / _GROUP * (60 + p.filter_h * (8 + 1.5 * _GROUP * p.filter_w)))


KERNELS: Final = (
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_add_s8",
        Add,
        instructions=_add_instructions,
        supports=_add,
        in_place=(0, 1),
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_pool_average_s8",
        AveragePool2D,
        instructions=_pool_instructions,
        supports=_average_pool,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_pool_max_s8",
        MaxPool2D,
        instructions=_pool_instructions,
        supports=_pool,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_conv_1x1_s8",
        Conv2D,
        instructions=_product_instructions,
        supports=_conv_1x1,
        scratch=_columns,
        lag=_conv_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_conv_1x1_wide_s8",
        Conv2D,
        instructions=_product_wide_instructions,
        supports=_conv_1x1_wide,
        scratch=_columns,
        lag=_conv_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_conv_1x1_s8",
        FullyConnected,
        instructions=_product_instructions,
        supports=_fc_batches,
        scratch=_columns,
        lag=_fc_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_fc_s8",
        FullyConnected,
        instructions=_fc_instructions,
        supports=_fc,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_conv_s8",
        Conv2D,
        instructions=_conv_instructions,
        supports=_conv,
        scratch=_conv_scratch,
        lag=_conv_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_conv_wide_s8",
        Conv2D,
        instructions=_conv_wide_instructions,
        supports=_conv_wide,
        scratch=_conv_scratch,
        lag=_conv_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_depthwise_any_s8",
        DepthwiseConv2D,
        instructions=_depthwise_any_instructions,
        supports=_depthwise_any,
        scratch=_depthwise_any_scratch,
        lag=window_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_depthwise_s8",
        DepthwiseConv2D,
        instructions=_depthwise_instructions,
        supports=_depthwise,
        scratch=_depthwise_scratch,
        lag=_depthwise_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_depthwise_groups_s8",
        DepthwiseConv2D,
        instructions=_depthwise_groups_instructions,
        supports=_depthwise_groups,
        scratch=_depthwise_groups_scratch,
        in_place=(0,),
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_tuned_depthwise_planes_s8",
        DepthwiseConv2D,
        instructions=_depthwise_planes_instructions,
        supports=_depthwise_planes,
        scratch=_depthwise_planes_scratch,
        in_place=(0,),
    ),
)
