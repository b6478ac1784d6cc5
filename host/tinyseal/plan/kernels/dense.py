"""Weighted layers as the tuned sets take them: rows of weights by channel, zero points folded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyseal.graph.fixedpoint import requantize_s8
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected

Dense = Conv2D | FullyConnected
Weighted = Dense | DepthwiseConv2D


def by_channel(p: Weighted) -> Array:
    """int8 [channels, depth]."""
    if isinstance(p, DepthwiseConv2D):
        return p.weights.reshape(-1, p.out_ch).T
    return p.weights.reshape(p.weights.shape[0], -1)


def pixels(p: Weighted) -> int:
    """Output pixels; of a dense layer, its batches."""
    return p.batches if isinstance(p, FullyConnected) else p.batches * p.out_h * p.out_w


def starts(p: Weighted, weights: Array) -> Array:
    """Of the sum of each channel, the input's zero point folded in; `weights` is
    [out_ch, depth]."""
    wide = weights.astype(np.int64)
    sums: Array = p.in_offset * wide.sum(axis=1)
    return sums if p.bias is None else sums + p.bias


def reach(p: Weighted, weights: Array) -> Array:
    """int64 [2, out_ch]: the least that the sum of each channel can come to, and the most."""
    wide = weights.astype(np.int64)
    below = np.minimum(wide * 127, wide * -128).sum(axis=1)
    above = np.maximum(wide * 127, wide * -128).sum(axis=1)
    return np.stack([below, above]) + starts(p, weights)


def channels(p: Weighted, weights: Array, bits: int = 30) -> npt.NDArray[np.int64] | None:
    """Start, multiplier, rounding and shift of every channel (firmware: nn_tuned.h), or None
    where a channel leaves the ranges in which they are exact. `weights` is [out_ch, depth].

    Exact needs |sum| < 2^bits (30: it is doubled), a right shift of 1 or more, and room in
    bits + 2 for quotient, half and shifted zero point together. A channel that has one value
    whatever the input, as training leaves dead ones, gets it from its rounding alone.
    """
    start, ends = starts(p, weights), reach(p, weights)
    multiplier, shift = p.multipliers.astype(np.int64), -p.shifts.astype(np.int64)
    values = requantize_s8(ends.copy(), p.multipliers, p.shifts, p.out_offset, -128, 127)
    # Monotonic, if nothing is shifted out to the left: between equal ends nothing else comes.
    constant = (values[0] == values[1]) & (shift >= 0)
    start, multiplier = np.where(constant, 0, start), np.where(constant, 0, multiplier)
    shift, offset = np.where(constant, 1, shift), np.where(constant, values[0], p.out_offset)
    most = np.abs(np.where(constant, 0, ends)).max(axis=0)
    if most.max() >= 2**bits or shift.min() < 1:
        return None
    high = ((most * multiplier + (1 << 30)) >> 31) + 1  # of the product, and one for its sign
    rounding = (np.int64(1) << (shift - 1)) + (offset.astype(np.int64) << shift)
    if (high + np.abs(rounding)).max() >= 2 ** (bits + 1):
        return None
    return np.stack([start, multiplier, rounding, shift], axis=1)


def is_rectified(p: Weighted) -> bool:
    """Whether what is negative saturates, however it is rounded."""
    return p.out_offset == -128


def is_solid(p: Conv2D) -> bool:
    """Whether each filter row sees one run of bytes."""
    return p.groups == 1 and (p.dilation_w == 1 or p.filter_w == 1)


def is_pointwise(p: Conv2D) -> bool:
    return p.groups == 1 and p.filter_h == p.filter_w == p.stride_h == p.stride_w == 1


def batches_lag(p: FullyConnected, block: int) -> int:
    """Lag of a kernel that reads `block` batches before it writes them."""
    ends = np.arange(block, p.batches, block)
    return max(0, int((ends * (p.out_depth - p.in_depth)).max(initial=0)))
