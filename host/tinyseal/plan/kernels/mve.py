"""Kernels of ours for cores with vectors (Cortex-M55: MVE, Helium).

Eight sums at a time, their weights and all that ends them laid out on the host as one stream
that is read once from front to back. Zero points are folded into where each sum starts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.board import Board
from tinyseal.graph.fixedpoint import Requant, requantize, requantize_s8, wrap32
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.arithmetic import ADD_LEFT_SHIFT, Add, Mul
from tinyseal.graph.ops.binary import BinaryConv
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import AveragePool2D, MaxPool2D, Pool
from tinyseal.plan.kernels.dense import Dense, Weighted, by_channel, is_pointwise, pixels
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import window_lag
from tinyseal.plan.kernels.reference_binary import conv_instructions, conv_scratch

LANES: Final = 16  # bytes of a vector
PIXELS: Final = 2  # NN_MVE_PRODUCT_PIXELS
QUAD: Final = 4  # NN_MVE_PRODUCT_CHANNELS
ROWS: Final = 4  # NN_MVE_DEPTHWISE_ROWS
_WORDS: Final = 4  # of a vector
_SLACK: Final = 64  # NN_MVE_DEPTHWISE_SLACK
MEANS: Final = 8  # NN_MVE_POOL_MEANS
_MOST_TAPS: Final = 255  # NN_MVE_POOL_MOST
_HALF: Final = Requant(1 << 30, 0)  # of the operand that has the larger scale
SUMS: Final = 8  # NN_MVE_SUMS
BIN_CHANNELS: Final = 4  # NN_MVE_BIN_CHANNELS
_EVEN_FIRST: Final = (0, 2, 4, 6, 1, 3, 5, 7)  # as narrowing moves bring them together
_NEAR: Final = 8  # vectors in reach of one address
_MOST_UNROLLED: Final = 16  # vectors of a dense layer
_MOST_STEPS: Final = 4  # of nn_mve_depthwise
_MOST_VECTORS: Final = 72  # that a block goes through: 14 instructions each
_MOST_APART: Final = 2**16 - QUAD  # of what an offset of 16 bits reaches
_MOST_CHANNELS: Final = 2**15  # offsets of 16 bits reach the next pixel


class Flags(enum.IntFlag):
    """`enum nn_mve_flags`."""

    SIGNED = 1
    CLAMPED = 2
    PARTIAL = 4
    REPEATED = 8


@dataclass(frozen=True)
class Shape:
    """What an instance of nn_mve_product_s8 is made for: vectors of a pixel."""

    rows: int
    steps: int
    tail: int  # bytes of a row's last vector, 0 for all

    @property
    def vectors(self) -> int:
        return self.rows * self.steps

    @property
    def row_bytes(self) -> int:
        return self.steps * LANES


@dataclass(frozen=True, eq=False)
class Channels:
    """Where each channel's sum starts, its multiplier and its right shift; `weights` with zeros
    for the channels that have one value whatever the input."""

    start: Array  # int32
    multiplier: Array  # int32
    shift: Array  # int32, in [1, 31]
    weights: Array  # int8 [channels, depth]


def channels(p: Weighted) -> Channels | None:
    """None where a channel is shifted to the left.

    Sums are exact whatever their size: they wrap, and the whole sum fits 32 bits. A channel
    without a right shift, as training leaves dead ones, is taken if it has only one value.
    """
    weights = by_channel(p)
    wide = weights.astype(np.int64)
    start = p.in_offset * wide.sum(axis=1) + (0 if p.bias is None else p.bias)
    shift = -p.shifts.astype(np.int64)
    multiplier = p.multipliers.astype(np.int64)
    if shift.min() < 1:
        highest = np.maximum(wide * 127, wide * -128).sum(axis=1)
        lowest = np.minimum(wide * 127, wide * -128).sum(axis=1)
        low, high = (
            requantize_s8(start + side, p.multipliers, p.shifts, p.out_offset, -128, 127)
            for side in (lowest, highest)
        )
        left = shift < 1
        # Monotonic, if nothing is shifted out to the left: between equal ends nothing else comes.
        if not np.all((low == high) & (shift >= 0), where=left):
            return None
        # 4 v, halved twice: v, exactly.
        start = np.where(left, 4 * (low.astype(np.int64) - p.out_offset), start)
        multiplier, shift = np.where(left, 1 << 30, multiplier), np.where(left, 1, shift)
        weights = np.where(left[:, None], 0, weights).astype(np.int8)
    return Channels(
        wrap32(start).astype(np.int32), multiplier.astype(np.int32), shift.astype(np.int32), weights
    )


def flags(p: Weighted, block: int = QUAD) -> Flags:
    """How a block of so many channels ends."""
    made = Flags(0)
    if p.act_min < p.out_offset:
        made |= Flags.SIGNED
    if p.act_min > -128 or p.act_max < 127:
        made |= Flags.CLAMPED
    if len(p.multipliers) % block:
        made |= Flags.PARTIAL
    return made


def shape(p: Dense) -> Shape:
    """A pixel's rows in the image, or its column where it is gathered into whole vectors."""
    if isinstance(p, FullyConnected):
        return Shape(1, -(-p.in_depth // LANES), p.in_depth % LANES)
    return _rows(p) if is_direct(p) else _column(p)


def _rows(p: Conv2D) -> Shape:
    run = p.filter_w * p.in_ch
    return Shape(p.filter_h, -(-run // LANES), run % LANES)


def _column(p: Conv2D) -> Shape:
    return Shape(1, -(-p.filter_h * p.filter_w * p.in_ch // LANES), 0)


def is_direct(p: Conv2D) -> bool:
    """Whether a pixel's rows are read where they lie, rather than gathered first: they can be,
    and it costs less than to gather."""
    if p.dilation_w > 1 and p.filter_w > 1:
        return False
    rows, column = (
        -(-p.out_ch // QUAD) * _block(made, flags(p)) / PIXELS for made in (_rows(p), _column(p))
    )
    return rows < column + _gather_instructions(p)


def column_bytes(p: Conv2D) -> int:
    return shape(p).vectors * LANES


def stream(p: Dense) -> Array:
    """int8, `stream` of `struct nn_mve_product`."""
    of, made = channels(p), shape(p)
    assert of is not None
    spare = -len(of.start) % QUAD
    rows = of.weights.reshape(len(of.weights), made.rows, -1)
    padded = np.pad(rows, ((0, spare), (0, 0), (0, made.row_bytes - rows.shape[2])))
    weights = padded.reshape(-1, QUAD, made.vectors, LANES).transpose(0, 2, 1, 3)
    start, multiplier, shift = _quads(of, spare)
    return np.concatenate(
        [
            _bytes(np.repeat(start, PIXELS, axis=1)),
            weights.reshape(len(start), -1),
            _bytes(multiplier),
            _bytes(-shift),
        ],
        axis=1,
    )


def _quads(of: Channels, spare: int) -> tuple[Array, Array, Array]:
    start, multiplier, shift = (
        np.pad(words, (0, spare)).reshape(-1, QUAD) for words in (of.start, of.multiplier, of.shift)
    )
    return start, multiplier, shift


def _bytes(words: Array) -> Array:
    """int32 [n, m] as they lie in memory, int8 [n, 4 m]."""
    return np.ascontiguousarray(words, dtype="<i4").view(np.int8)


def ends(p: Weighted) -> Array:
    """int16, `ends` of `struct nn_mve_product`."""
    parts = (
        _offsets(len(p.multipliers)),
        _offsets(0),
        np.full(LANES // 2, p.out_offset),
        _limits(p).view("<i2"),
    )
    return np.concatenate(parts).astype("<i2")


def planes(p: DepthwiseConv2D) -> int:
    return -(-p.filter_h // ROWS)


def steps(p: DepthwiseConv2D) -> int:
    """Vectors that an output sees."""
    return -(-planes(p) * p.filter_w // _WORDS)


def columns(p: DepthwiseConv2D) -> int:
    """Of the scratch."""
    seen = (p.out_w - 1) * p.stride_w + (p.filter_w - 1) * p.dilation_w + 1
    return max(p.pad_w + p.in_w, seen)


def words_apart(p: DepthwiseConv2D) -> int:
    return p.stride_w * p.in_ch if p.out_w > 1 else 0


def is_tall(p: DepthwiseConv2D) -> bool:
    """Whether pairs are one output above the other: two rows of them see the same words."""
    return (
        p.stride_h == p.dilation_h == 1
        and p.filter_h < ROWS
        and p.out_h >= PIXELS
        and p.out_w * p.out_ch < _MOST_APART
        and -(-p.out_h // PIXELS) * p.out_w <= p.out_h * -(-p.out_w // PIXELS)
    )


def taps(p: DepthwiseConv2D) -> Array:
    """int32 [steps * 4], `taps` of `struct nn_mve_depthwise`: what is not needed lies at 0."""
    of_plane = np.arange(planes(p)) * _plane_bytes(p)
    of_column = np.arange(p.filter_w) * 4 * p.dilation_w * p.in_ch
    offsets = (of_plane[:, None] + of_column).ravel()
    return np.pad(offsets, (0, steps(p) * _WORDS - offsets.size)).astype(np.int32)


def depthwise_stream(p: DepthwiseConv2D) -> Array:
    """int8, `stream` of `struct nn_mve_depthwise`."""
    of = channels(p)
    assert of is not None
    spare = -len(of.start) % QUAD
    filters = of.weights.reshape(-1, p.filter_h, p.filter_w)
    rows = np.pad(filters, ((0, spare), (0, -p.filter_h % ROWS), (0, 0)))
    words = rows.reshape(len(rows), planes(p), ROWS, p.filter_w).transpose(0, 1, 3, 2)
    flat = words.reshape(len(rows), -1)
    weights = np.pad(flat, ((0, 0), (0, steps(p) * LANES - flat.shape[1])))
    start, multiplier, shift = _quads(of, spare)
    below = p.out_w * p.out_ch if is_tall(p) else p.out_ch if p.out_w > 1 else 0
    last = _ends(p, below)
    return np.concatenate(
        [
            _bytes(np.repeat(start, PIXELS, axis=1)),
            weights.reshape(len(start), -1),
            _bytes(multiplier),
            _bytes(-shift),
            np.tile(last, (len(start), 1)),
        ],
        axis=1,
    )


def _ends(p: DepthwiseConv2D, apart: int) -> Array:
    """int8: offsets of a quad's sums, then its limits if it has any."""
    offsets = _offsets(apart).astype("<u2").view(np.int8)
    return np.concatenate([offsets, _limits(p)]) if Flags.CLAMPED in flags(p) else offsets


def _offsets(apart: int) -> Array:
    """Of the sums in the output: by channel, then pixel."""
    return np.repeat(np.arange(QUAD), PIXELS) + np.tile(np.arange(PIXELS), QUAD) * apart


def _limits(p: Weighted) -> Array:
    return np.repeat([p.act_min, p.act_max], LANES).astype(np.int8)


def fc_loops(p: FullyConnected) -> tuple[int, int]:
    """Loops over the input, and the vectors of each: as few in all as can be, then few loops."""
    vectors = -(-p.in_depth // LANES)
    if vectors <= _NEAR:
        return 1, vectors
    ways = [(-(-vectors // n), n) for n in range(2, _MOST_UNROLLED + 1)]
    return min(ways, key=lambda way: (way[0] * way[1] * SUMS * 2 + way[0], way[0]))


def fc_is_long(p: FullyConnected) -> bool:
    """Its input is out of one address's reach."""
    return p.in_depth > _NEAR * LANES


def fc_stream(p: FullyConnected) -> Array:
    """int8, `stream` of `struct nn_mve_fc`."""
    of = channels(p)
    assert of is not None
    loops, unrolled = fc_loops(p)
    vectors = loops * unrolled
    spare = -len(of.start) % SUMS
    padded = np.pad(of.weights, ((0, spare), (0, vectors * LANES - p.in_depth)))
    weights = padded.reshape(-1, SUMS, vectors, LANES).transpose(0, 2, 1, 3)
    start, multiplier, shift = (
        np.pad(words, (0, spare)).reshape(-1, SUMS) for words in (of.start, of.multiplier, of.shift)
    )
    parts = [
        _bytes(start),
        weights.reshape(len(start), -1),
        _bytes(multiplier[:, _EVEN_FIRST]),
        _bytes(-shift[:, _EVEN_FIRST]),
    ]
    if Flags.CLAMPED in flags(p):
        parts.append(np.tile(_limits(p), (len(start), 1)))
    return np.concatenate(parts, axis=1)


def bin_sums(p: BinaryConv) -> int:
    """Accumulators of a pixel: whole lanes."""
    return p.output.channels + -p.output.channels % BIN_CHANNELS


def bin_weights(p: BinaryConv) -> Array:
    """int32 words [fours of channels, words of a channel, 4]; zeros behind the last channel."""
    flat = p.weights.reshape(p.output.channels, -1)
    padded = np.pad(flat, ((0, bin_sums(p) - len(flat)), (0, 0)))
    return padded.reshape(-1, BIN_CHANNELS, flat.shape[1]).transpose(0, 2, 1)


def pair_flags(p: Add | Mul) -> Flags:
    made = Flags(0)
    if p.act_min < p.out_offset:
        made |= Flags.SIGNED
    if p.act_min > -128 or p.act_max < 127:
        made |= Flags.CLAMPED
    return made


def mul_flags(p: Mul) -> Flags:
    return pair_flags(p) | (Flags.REPEATED if 0 in row_steps(p) else Flags(0))


def row_steps(p: Mul) -> tuple[int, int]:
    """Of each operand within a row: 0 where it repeats, else 1."""
    return p.walk.a_strides[-1], p.walk.b_strides[-1]


def looked_up(p: Add) -> int:
    """Which operand goes by the table: the one of the smaller scale."""
    return 1 if p.a_requant == _HALF else 0


def add_table(p: Add) -> Array:
    """int32 [256], `table` of `struct nn_mve_add`."""
    offset, other, of = (
        (p.b_offset, p.a_offset, p.b_requant)
        if looked_up(p)
        else (p.a_offset, p.b_offset, p.a_requant)
    )
    value = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
    scaled = requantize((value + offset) << ADD_LEFT_SHIFT, of.multiplier, of.shift)
    return ((-scaled if p.subtract else scaled) + (other << ADD_LEFT_SHIFT - 1)).astype(np.int32)


def _supported(p: Dense, board: Board) -> bool:
    return (
        board.core.has_mve
        and len(p.multipliers) < _MOST_CHANNELS
        and shape(p).vectors <= _MOST_VECTORS
        and channels(p) is not None
    )


def _conv(p: Conv2D, board: Board) -> bool:
    return p.groups == 1 and _supported(p, board)


def _pointwise(p: Conv2D, board: Board) -> bool:
    return is_pointwise(p) and _conv(p, board)


def _fc_batches(p: FullyConnected, board: Board) -> bool:
    return p.batches > 1 and p.filter_offset == 0 and _supported(p, board)


def _depthwise(p: DepthwiseConv2D, board: Board) -> bool:
    return (
        board.core.has_mve
        and p.depth_multiplier == 1
        and p.out_ch < _MOST_CHANNELS
        and steps(p) <= _MOST_STEPS
        and channels(p) is not None
    )


def _plane_bytes(p: DepthwiseConv2D) -> int:
    return 4 * columns(p) * p.in_ch + _SLACK


def _depthwise_scratch(p: DepthwiseConv2D, board: Board) -> int:
    row_of_zeros = p.in_w * p.in_ch if p.pad_h or p.pad_bottom else 0
    return planes(p) * _plane_bytes(p) + row_of_zeros


def _depthwise_lag(p: DepthwiseConv2D, board: Board) -> int:
    """A row of outputs, or two, is written when all that it sees has been read."""
    rows = PIXELS if is_tall(p) else 1
    made = np.arange(0, p.out_h, rows)  # rows that are there when these are begun
    first = np.minimum(made, p.out_h - rows)
    needed = np.clip(first * p.stride_h - p.pad_h, 0, p.in_h) * p.in_w * p.in_ch
    image = p.out_h * p.out_w * p.out_ch - p.in_h * p.in_w * p.in_ch
    ahead = made * p.out_w * p.out_ch - needed
    behind = np.arange(p.batches)[:, None] * image + ahead
    return max(0, int(behind.max(initial=0)))


def _add(p: Add, board: Board) -> bool:
    """The operand that is not looked up is only shifted, and not subtracted."""
    table = looked_up(p)
    return (
        board.core.has_mve
        and p.walk.is_dense
        and (p.b_requant, p.a_requant)[table] == _HALF
        and not (p.subtract and table == 0)
        and p.out_requant.shift < 0
    )


def _mul(p: Mul, board: Board) -> bool:
    return board.core.has_mve and p.requant.shift < 0


def _has_mve(p: BinaryConv, board: Board) -> bool:
    return board.core.has_mve


def _average(p: Pool, board: Board) -> bool:
    return board.core.has_mve and p.filter_h * p.filter_w <= _MOST_TAPS


def _greatest(p: Pool, board: Board) -> bool:
    return board.core.has_mve


def _fc(p: FullyConnected, board: Board) -> bool:
    return board.core.has_mve and p.filter_offset == 0 and channels(p) is not None


def _fc_scratch(p: FullyConnected, board: Board) -> int:
    loops, unrolled = fc_loops(p)
    whole = loops * unrolled * LANES
    return 0 if whole == p.in_depth else whole


def _conv_scratch(p: Conv2D, board: Board) -> int:
    return PIXELS * column_bytes(p)


def _pair_lag(p: Conv2D, board: Board) -> int:
    """A pair of pixels is written when the first has been read; so may be its second half."""
    return window_lag(p, board) + p.out_ch


def _fc_lag(p: FullyConnected, board: Board) -> int:
    ends = np.arange(p.batches)
    return int(((ends + PIXELS) * p.out_depth - ends * p.in_depth).max())


def _product_instructions(p: Dense, rows: int, width: int) -> float:
    """`rows` calls for `width` pixels each."""
    quads = -(-len(p.multipliers) // QUAD)
    return rows * (-(-width // PIXELS) * (11 + quads * _block(shape(p), flags(p))) + 60)


def _block(made: Shape, how: Flags) -> float:
    """Instructions of a quad of channels."""
    block = 20.0 + 14 * made.vectors
    if made.vectors > _NEAR or made.rows > 1:
        block += 2 * made.rows - 1
    block += 4 * (Flags.SIGNED in how) + 2 * (Flags.CLAMPED in how) + 2 * (Flags.PARTIAL in how)
    return block + made.rows * (made.tail > 0)


def _gather_instructions(p: Conv2D) -> float:
    """Of one pixel that sees no padding."""
    return 45.0 + p.filter_h * (5 + 3 * -(-p.filter_w * p.in_ch // LANES))


def _pointwise_instructions(p: Dense, board: Board) -> float:
    return _product_instructions(p, 1, pixels(p))


def _conv_instructions(p: Conv2D, board: Board) -> float:
    at_border = p.out_w if not is_direct(p) else min(p.out_w, 2 * PIXELS * (p.pad_w > 0))
    rows = p.batches * p.out_h
    gather = rows * at_border * (_gather_instructions(p) + 40)
    return _product_instructions(p, rows, p.out_w) + gather


def _fc_instructions(p: FullyConnected, board: Board) -> float:
    how, (loops, unrolled) = flags(p, SUMS), fc_loops(p)
    block = 21.0 + loops * (unrolled * 17 + 2 * fc_is_long(p)) + fc_is_long(p)
    block += 4 * (Flags.SIGNED in how) + 4 * (Flags.CLAMPED in how) + 2 * (Flags.PARTIAL in how)
    copied = 3 * -(-p.in_depth // LANES) if _fc_scratch(p, board) else 0
    return p.batches * (-(-p.out_depth // SUMS) * block + copied + 25) + 40


def _depthwise_instructions(p: DepthwiseConv2D, board: Board) -> float:
    how, vectors = flags(p), steps(p)
    tall = is_tall(p)
    block = 22.0 - tall + 20 * vectors + 6 * (vectors > 1)
    block += 4 * (Flags.SIGNED in how) + 4 * (Flags.CLAMPED in how) + 2 * (Flags.PARTIAL in how)
    pairs = (p.out_w if tall else -(-p.out_w // PIXELS)) * (10 + -(-p.out_ch // QUAD) * block)
    fill = planes(p) * (80 + -(-p.in_w * p.in_ch // LANES) * 9)
    rows = -(-p.out_h // PIXELS) if tall else p.out_h
    return p.batches * rows * (fill + pairs + 70) + 100


def _add_instructions(p: Add, board: Board) -> float:
    how = pair_flags(p)
    block = 21 + 4 * (Flags.SIGNED in how) + 2 * (Flags.CLAMPED in how)
    blocks, rest = divmod(p.walk.elements, SUMS)
    return 60.0 + blocks * block + rest * 35


def _mul_instructions(p: Mul, board: Board) -> float:
    how = mul_flags(p)
    block = 15 + 4 * (Flags.SIGNED in how) + 2 * (Flags.CLAMPED in how)
    blocks, rest = divmod(p.walk.dims[-1], SUMS)
    rows = p.walk.elements // p.walk.dims[-1]
    return 20.0 + rows * (60 + blocks * block + rest * 30)


def _bin_scratch(p: BinaryConv, board: Board) -> int:
    return conv_scratch(p, bin_sums(p))


def _bin_instructions(p: BinaryConv, board: Board) -> float:
    return conv_instructions(p, bin_sums(p) // BIN_CHANNELS, 12.0)


def _pool_instructions(p: Pool, lanes: int, each: float) -> float:
    groups = -(-p.in_ch // lanes)
    patch = each + p.filter_h * (5 + 5.0 * p.filter_w)
    return p.batches * p.out_h * p.out_w * (70 + groups * patch) + 60


def _average_instructions(p: Pool, board: Board) -> float:
    return _pool_instructions(p, MEANS, 65)


def _greatest_instructions(p: Pool, board: Board) -> float:
    return _pool_instructions(p, LANES, 25)


KERNELS: Final = (
    Kernel(
        KernelSet.TUNED,
        "nn_mve_product_s8",
        Conv2D,
        instructions=_pointwise_instructions,
        supports=_pointwise,
        lag=_pair_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_product_s8",
        FullyConnected,
        instructions=_pointwise_instructions,
        supports=_fc_batches,
        lag=_fc_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_conv_s8",
        Conv2D,
        instructions=_conv_instructions,
        supports=_conv,
        scratch=_conv_scratch,
        lag=_pair_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_depthwise_s8",
        DepthwiseConv2D,
        instructions=_depthwise_instructions,
        supports=_depthwise,
        scratch=_depthwise_scratch,
        lag=_depthwise_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_fc_s8",
        FullyConnected,
        instructions=_fc_instructions,
        supports=_fc,
        scratch=_fc_scratch,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_add_s8",
        Add,
        instructions=_add_instructions,
        supports=_add,
        in_place=(0, 1),
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_mul_s8",
        Mul,
        instructions=_mul_instructions,
        supports=_mul,
        in_place=(0, 1),
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_bin_conv",
        BinaryConv,
        instructions=_bin_instructions,
        supports=_has_mve,
        scratch=_bin_scratch,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_pool_average_s8",
        AveragePool2D,
        instructions=_average_instructions,
        supports=_average,
        lag=window_lag,
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_mve_pool_max_s8",
        MaxPool2D,
        instructions=_greatest_instructions,
        supports=_greatest,
        lag=window_lag,
    ),
)
