"""How far behind its reading a portable kernel writes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyseal.board import Board
from tinyseal.graph.ops.window import Window


def window_lag(params: Window, board: Board) -> int:
    """Lag of a kernel that finishes one output pixel after the other, in the order they lie.

    While pixel p is made, (p + 1) * out_ch bytes are written at most, and the first byte that
    this or a later pixel reads has to be behind them.
    """
    first_needed = _first_needed(params)
    written = (np.arange(len(first_needed)) + 1) * params.out_ch
    return max(0, int((written - first_needed).max()))


def block_lag(params: Window, pixels: int) -> int:
    """Lag of a kernel that reads all that `pixels` output pixels see before it writes them."""
    first_needed = _first_needed(params)[pixels::pixels]
    written = (np.arange(len(first_needed)) + 1) * pixels * params.out_ch
    return max(0, int((written - first_needed).max(initial=0)))


def _first_needed(params: Window) -> npt.NDArray[np.int64]:
    """The first input byte that each output pixel or a later one reads."""
    rows, columns = _first_tap(params, 0), _first_tap(params, 1)
    image = params.in_h * params.in_w * params.in_ch
    reads = (rows[:, None] * params.in_w + columns[None, :]) * params.in_ch
    seen = (rows[:, None] < params.in_h) & (columns[None, :] < params.in_w)
    reads = np.where(seen, reads, image).ravel()
    starts = (np.arange(params.batches)[:, None] * image + reads[None, :]).ravel()
    return np.minimum.accumulate(starts[::-1])[::-1]


def _first_tap(params: Window, axis: int) -> npt.NDArray[np.int64]:
    """Input row (axis 0) or column that each output's window starts with, padding left out."""
    out, stride, pad, dilation = (
        (params.out_h, params.stride_h, params.pad_h, params.dilation_h),
        (params.out_w, params.stride_w, params.pad_w, params.dilation_w),
    )[axis]
    origin = np.arange(out, dtype=np.int64) * stride - pad
    return np.where(origin < 0, origin % dilation, origin)
