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
from tinyseal.graph.fixedpoint import requantize_s8, wrap32
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import window_lag

LANES: Final = 16  # bytes of a vector
PIXELS: Final = 2  # NN_MVE_PRODUCT_PIXELS
QUAD: Final = 4  # NN_MVE_PRODUCT_CHANNELS
_MOST_VECTORS: Final = 72  # that a block goes through: 14 instructions each
_MOST_CHANNELS: Final = 2**15  # offsets of 16 bits reach the next pixel

Weighted = Conv2D | DepthwiseConv2D | FullyConnected


class Flags(enum.IntFlag):
    """`enum nn_mve_flags`."""

    SIGNED = 1
    CLAMPED = 2
    PARTIAL = 4


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


def by_channel(p: Weighted) -> Array:
    """int8 [channels, depth]."""
    if isinstance(p, DepthwiseConv2D):
        return p.weights.reshape(-1, p.out_ch).T
    return p.weights.reshape(p.weights.shape[0], -1)


def flags(p: Weighted) -> Flags:
    """How a block of four channels ends."""
    made = Flags(0)
    if p.act_min < p.out_offset:
        made |= Flags.SIGNED
    if p.act_min > -128 or p.act_max < 127:
        made |= Flags.CLAMPED
    if len(p.multipliers) % QUAD:
        made |= Flags.PARTIAL
    return made


def shape(p: Conv2D | FullyConnected) -> Shape:
    """A pixel's rows in the image, or its column where it is gathered into whole vectors."""
    if isinstance(p, FullyConnected):
        return Shape(1, -(-p.in_depth // LANES), p.in_depth % LANES)
    run = p.filter_w * p.in_ch
    if is_direct(p):
        return Shape(p.filter_h, -(-run // LANES), run % LANES)
    return Shape(1, -(-p.filter_h * run // LANES), 0)


def is_direct(p: Conv2D) -> bool:
    """Whether a pixel's rows are read where they lie, rather than gathered first."""
    run = p.filter_w * p.in_ch
    return (p.dilation_w == 1 or p.filter_w == 1) and (p.filter_h == 1 or run % LANES == 0)


def column_bytes(p: Conv2D) -> int:
    return shape(p).vectors * LANES


def stream(p: Conv2D | FullyConnected) -> Array:
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
    return words.astype("<i4").view(np.int8)


def ends(p: Weighted) -> Array:
    """int16, `ends` of `struct nn_mve_product`."""
    out_ch = len(p.multipliers)
    channel = np.repeat(np.arange(QUAD), PIXELS)
    pixel = np.tile(np.arange(PIXELS), QUAD)
    limits = np.repeat([[p.act_min], [p.act_max]], LANES, axis=1).astype(np.int8)
    parts = (
        channel + pixel * out_ch,
        channel,
        np.full(LANES // 2, p.out_offset),
        *limits.view("<i2"),
    )
    return np.concatenate(parts).astype("<i2")


def pixels(p: Conv2D | FullyConnected) -> int:
    """Output pixels; of a dense layer, its batches."""
    return p.batches * p.out_h * p.out_w if isinstance(p, Conv2D) else p.batches


def is_pointwise(p: Conv2D) -> bool:
    """Its pixels are those of the input, in one row."""
    return p.filter_h == p.filter_w == p.stride_h == p.stride_w == 1


def _supported(p: Conv2D | FullyConnected, board: Board) -> bool:
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


def _conv_scratch(p: Conv2D, board: Board) -> int:
    return PIXELS * column_bytes(p)


def _pair_lag(p: Conv2D, board: Board) -> int:
    """A pair of pixels is written when the first has been read; so may be its second half."""
    return window_lag(p, board) + p.out_ch


def _fc_lag(p: FullyConnected, board: Board) -> int:
    ends = np.arange(p.batches)
    return int(((ends + PIXELS) * p.out_depth - ends * p.in_depth).max())


def _product_instructions(p: Conv2D | FullyConnected, rows: int, width: int) -> float:
    """`rows` calls for `width` pixels each."""
    made, how = shape(p), flags(p)
    block = 20.0 + 14 * made.vectors
    if made.vectors > 8 or made.rows > 1:
        block += 2 * made.rows - 1
    block += 4 * (Flags.SIGNED in how) + 2 * (Flags.CLAMPED in how) + 2 * (Flags.PARTIAL in how)
    block += made.rows * (made.tail > 0)
    quads = -(-len(p.multipliers) // QUAD)
    return rows * (-(-width // PIXELS) * (30 + quads * block) + 40)


def _pointwise_instructions(p: Conv2D | FullyConnected, board: Board) -> float:
    return _product_instructions(p, 1, pixels(p))


def _conv_instructions(p: Conv2D, board: Board) -> float:
    gathered = 60.0 + p.filter_h * (15 + 3 * -(-p.filter_w * p.in_ch // LANES))
    at_border = p.out_w if not is_direct(p) else min(p.out_w, 2 * PIXELS * (p.pad_w > 0))
    rows = p.batches * p.out_h
    return _product_instructions(p, rows, p.out_w) + rows * at_border * (gathered + 20)


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
)
