"""Arm's CMSIS-NN 4.0.0: which of its functions gives the reference's bytes for which layer.

Its fast paths are chosen here, on the host, so that firmware carries no path it does not take.
`supports` is exact: it leaves out whatever a function gets wrong, ignores or lacks (a second
batch in the pools, filter zero points, per-channel dense layers, groups, depths over 16 bits).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tinyseal.board import Board
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.pooling import AveragePool2D, MaxPool2D, Pool
from tinyseal.graph.ops.window import Window
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import window_lag

# Public functions the generated code and firmware/runtime/cmsis_nn call.
FUNCTIONS: Final = (
    "arm_avgpool_s8",
    "arm_convolve_1_x_n_s8",
    "arm_convolve_1x1_s8",
    "arm_convolve_1x1_s8_fast",
    "arm_depthwise_conv_3x3_s8",
    "arm_depthwise_conv_s8",
    "arm_depthwise_conv_s8_opt",
    "arm_fully_connected_s8",
    "arm_max_pool_s8",
)

# Sizes and positions that CMSIS-NN keeps in 16 bits.
_MAX_SIZE: Final = 2**15 - 1
# CH_IN_BLOCK_MVE of arm_nnsupportfunctions.h.
_MVE_BLOCK: Final = 124
# nn_cmsis_conv_s8 hands over several pixels at a time: on DSP the product first sums up every
# weight anew, which 16 pixels make a seventh of the work. It takes more where it costs no memory.
_CONV_SCRATCH: Final = 3584
_CONV_COLUMNS: Final = 16
_CONV_MOST_COLUMNS: Final = 64


def gathered_depth(p: Conv2D, board: Board) -> int:
    """Bytes a gathered output pixel takes in nn_cmsis_conv_s8.

    The DSP product takes four at a time, and two or three left over cost more than four.
    """
    taps = p.filter_h * p.filter_w * p.in_ch
    return taps + (-taps % 4) if board.core.has_dsp and not board.core.has_mve else taps


def per_tensor(p: FullyConnected) -> bool:
    """One multiplier and shift for all outputs."""
    return bool(np.all(p.multipliers == p.multipliers[0]) and np.all(p.shifts == p.shifts[0]))


def _sizes(p: Window) -> bool:
    return max(p.in_h, p.in_w, p.in_ch, p.out_h, p.out_w, p.out_ch) <= _MAX_SIZE


def _undilated(p: Window) -> bool:
    return p.dilation_h == p.dilation_w == 1


def _on_arm(p: object, board: Board) -> bool:
    return board.core.is_arm


def _conv(p: Conv2D, board: Board) -> bool:
    return _on_arm(p, board) and p.groups == 1 and _sizes(p)


def _conv_1x1(p: Conv2D, board: Board) -> bool:
    # With one tap, dilation means nothing.
    return _conv(p, board) and p.filter_h == p.filter_w == 1 and not p.is_padded


def _conv_1x1_fast(p: Conv2D, board: Board) -> bool:
    return _conv_1x1(p, board) and p.stride_h == p.stride_w == 1


def _conv_1x1_strided(p: Conv2D, board: Board) -> bool:
    return _conv_1x1(p, board) and not _conv_1x1_fast(p, board)


def _conv_1_x_n(p: Conv2D, board: Board) -> bool:
    # Elsewhere than on MVE it is arm_convolve_s8 by another name.
    return (
        _conv(p, board)
        and board.core.has_mve
        and p.in_h == p.filter_h == p.out_h == 1
        and p.out_w % 4 == 0
        and p.dilation_w == 1
        and p.filter_w * p.in_ch <= _MAX_SIZE
    )


def _depthwise(p: DepthwiseConv2D, board: Board) -> bool:
    return _on_arm(p, board) and _sizes(p)


def _depthwise_plain(p: DepthwiseConv2D, board: Board) -> bool:
    return _depthwise(p, board) and p.batches == 1 and p.depth_multiplier == 1 and _undilated(p)


def _depthwise_3x3(p: DepthwiseConv2D, board: Board) -> bool:
    # Of a row it may leave out the first and the last tap, no more.
    return (
        _depthwise_plain(p, board)
        and not board.core.has_mve
        and p.filter_h == p.filter_w == 3
        and max(p.pad_w, p.pad_right) <= 1
    )


def _depthwise_opt(p: DepthwiseConv2D, board: Board) -> bool:
    return _depthwise_plain(p, board) and board.core.has_dsp


def _fc(p: FullyConnected, board: Board) -> bool:
    return _on_arm(p, board) and p.filter_offset == 0


def _fc_per_tensor(p: FullyConnected, board: Board) -> bool:
    return _fc(p, board) and per_tensor(p)


def _fc_vectors(p: FullyConnected, board: Board) -> bool:
    return _fc_per_tensor(p, board) and board.core.has_mve


def _fc_product(p: FullyConnected, board: Board) -> bool:
    # A multiplier and a shift for each output: too much flash to spend where all are the same.
    return _fc(p, board) and not (_fc_vectors(p, board) and p.batches == 1)


def _pool(p: Pool, board: Board) -> bool:
    return _on_arm(p, board) and p.batches == 1 and _sizes(p)


def _conv_scratch(p: Conv2D, board: Board) -> int:
    depth = gathered_depth(p, board)
    columns = 4 if board.core.has_mve else max(4, _CONV_SCRATCH // depth & ~3)
    return min(columns, _CONV_COLUMNS, p.batches * p.out_h * p.out_w) * depth


def _conv_more_scratch(p: Conv2D, board: Board, free: int) -> int:
    depth = gathered_depth(p, board)
    columns = min(_CONV_MOST_COLUMNS, free // depth & ~3)
    return min(columns, p.batches * p.out_h * p.out_w) * depth


def _depthwise_opt_scratch(p: DepthwiseConv2D, board: Board) -> int:
    # arm_depthwise_conv_s8_opt_get_buffer_size
    taps = p.filter_h * p.filter_w
    return 4 * _MVE_BLOCK * taps if board.core.has_mve else 2 * p.in_ch * taps


def _average_pool_scratch(p: Pool, board: Board) -> int:
    # arm_avgpool_s8_get_buffer_size
    return 4 * p.in_ch if board.core.has_dsp and not board.core.has_mve else 0


def _quads_lag(p: Conv2D | FullyConnected, board: Board) -> int | None:
    """The product goes through the whole image once for each two channels; on MVE it finishes
    four pixels, then one at a time."""
    if not board.core.has_mve:
        return None
    if isinstance(p, FullyConnected):
        rows, read, written = p.batches, p.in_depth, p.out_depth
    else:
        rows, read, written = p.batches * p.out_h * p.out_w, p.in_ch, p.out_ch
    ends = [(first, min(first + 4, rows)) for first in range(0, rows - rows % 4, 4)]
    ends += [(row, row + 1) for row in range(rows - rows % 4, rows)]
    return max(end * written - first * read for first, end in ends)


def _rows_lag(p: Conv2D, board: Board) -> int:
    """A row of output pixels after the other, each row's pixels in no order."""
    ends = [
        ((batch * p.out_h + y + 1) * p.out_w * p.out_ch)
        - (batch * p.in_h + y * p.stride_h) * p.in_w * p.in_ch
        for batch in range(p.batches)
        for y in range(p.out_h)
    ]
    return max(0, *ends)


def _1_x_n_lag(p: Conv2D, board: Board) -> int:
    return window_lag(p, board) + 3 * p.out_ch  # four pixels at a time


def _depthwise_opt_lag(p: DepthwiseConv2D, board: Board) -> int | None:
    blocked = board.core.has_mve and p.in_ch > _MVE_BLOCK  # a block of channels after the other
    return None if blocked else window_lag(p, board)


def _outputs(p: Window) -> int:
    return p.batches * p.out_h * p.out_w * p.out_ch


def _product(board: Board, rows: int, outputs: int, depth: int) -> float:
    """arm_nn_mat_mult_nt_t_s8: `rows` times `outputs` sums of `depth` products."""
    if board.core.has_mve:
        steps = -(-depth // 16)
        quads, rest = divmod(rows, 4)
        return quads * outputs * (10.0 * steps + 59) + rest * outputs * (5.0 * steps + 36) + 60
    each = 1.4 if board.core.has_dsp else 3.0
    return outputs * (rows * (each * depth + 44) + 2.5 * depth + 25) + 60


def _product_instructions(p: Conv2D | FullyConnected, board: Board) -> float:
    if isinstance(p, FullyConnected):
        return _product(board, p.batches, p.out_depth, p.in_depth)
    return _product(board, p.batches * p.out_h * p.out_w, p.out_ch, p.in_ch)


def _strided_product_instructions(p: Conv2D, board: Board) -> float:
    return p.batches * p.out_h * _product(board, p.out_w, p.out_ch, p.in_ch)


def _conv_instructions(p: Conv2D, board: Board) -> float:
    depth = gathered_depth(p, board)
    pixels, columns = p.batches * p.out_h * p.out_w, _conv_scratch(p, board) // depth
    runs = p.filter_w * p.in_ch
    gather = 60.0 + p.filter_h * (15 + (3 * runs / 16 if board.core.has_mve else 1.5 * runs))
    full, rest = divmod(pixels, columns)
    products = full * _product(board, columns, p.out_ch, depth)
    return pixels * gather + products + (_product(board, rest, p.out_ch, depth) if rest else 0)


def _conv_1_x_n_instructions(p: Conv2D, board: Board) -> float:
    return _product(board, p.batches * p.out_w, p.out_ch, p.filter_w * p.in_ch) + 60.0 * p.out_w


def _depthwise_3x3_instructions(p: DepthwiseConv2D, board: Board) -> float:
    each = 3.0 if board.core.has_dsp else 6.5
    return _outputs(p) * (9 * each + 45)


def _depthwise_opt_instructions(p: DepthwiseConv2D, board: Board) -> float:
    taps = p.filter_h * p.filter_w
    if board.core.has_mve:
        quads = -(-p.out_h * p.out_w // 4)
        blocks = -(-p.in_ch // _MVE_BLOCK)
        gather = 4 * blocks * taps * (20 + 3 * min(p.in_ch, _MVE_BLOCK) / 16)
        return quads * (gather + -(-p.in_ch // 4) * (20.0 * taps + 90))
    return _outputs(p) * (taps * 5.5 + 30)


def _depthwise_instructions(p: DepthwiseConv2D, board: Board) -> float:
    if p.batches == 1 and p.depth_multiplier % 4 == 0 and _undilated(p):
        return _outputs(p) * (p.filter_h * p.filter_w * 4.0 + 40)
    return _outputs(p) * (p.filter_h * p.filter_w * 11.0 + 90)


def _fc_instructions(p: FullyConnected, board: Board) -> float:
    if board.core.has_mve:
        each = 39.0 / 48
    else:
        each = 1.9 if board.core.has_dsp else 3.5
    return p.batches * p.out_depth * (each * p.in_depth + 45)


def _fc_vectors_instructions(p: FullyConnected, board: Board) -> float:
    blocks = -(-p.out_depth // 32)
    return p.batches * (_product(board, 1, p.out_depth, p.in_depth) + 60 * blocks) + 200


def _average_pool_instructions(p: Pool, board: Board) -> float:
    taps = p.filter_h * p.filter_w
    each = 1.1 if board.core.has_mve else (6.0 if board.core.has_dsp else 14.0)
    return _outputs(p) * (each * taps + 15)


def _max_pool_instructions(p: Pool, board: Board) -> float:
    each = 0.6 if board.core.has_mve else 4.0
    return _outputs(p) * (each * p.filter_h * p.filter_w + 6)


def _kernel(
    function: str,
    params: type[Any],
    supports: Callable[[Any, Board], bool],
    instructions: Callable[[Any, Board], float],
    **more: Any,
) -> Kernel:
    return Kernel(
        KernelSet.CMSIS_NN, function, params, instructions=instructions, supports=supports, **more
    )


KERNELS: Final = (
    _kernel(
        "arm_convolve_1x1_s8_fast", Conv2D, _conv_1x1_fast, _product_instructions, lag=_quads_lag
    ),
    _kernel(
        "arm_convolve_1x1_s8",
        Conv2D,
        _conv_1x1_strided,
        _strided_product_instructions,
        lag=_rows_lag,
    ),
    _kernel("arm_convolve_1_x_n_s8", Conv2D, _conv_1_x_n, _conv_1_x_n_instructions, lag=_1_x_n_lag),
    _kernel(
        "nn_cmsis_conv_s8",
        Conv2D,
        _conv,
        _conv_instructions,
        scratch=_conv_scratch,
        more_scratch=_conv_more_scratch,
        lag=window_lag,
    ),
    _kernel(
        "arm_depthwise_conv_3x3_s8",
        DepthwiseConv2D,
        _depthwise_3x3,
        _depthwise_3x3_instructions,
        lag=window_lag,
    ),
    _kernel(
        "arm_depthwise_conv_s8_opt",
        DepthwiseConv2D,
        _depthwise_opt,
        _depthwise_opt_instructions,
        scratch=_depthwise_opt_scratch,
        lag=_depthwise_opt_lag,
    ),
    _kernel(
        "arm_depthwise_conv_s8",
        DepthwiseConv2D,
        _depthwise,
        _depthwise_instructions,
        lag=window_lag,
    ),
    _kernel("arm_fully_connected_s8", FullyConnected, _fc_per_tensor, _fc_instructions),
    _kernel("nn_cmsis_fc_s8", FullyConnected, _fc_vectors, _fc_vectors_instructions),
    _kernel(
        "arm_convolve_1x1_s8_fast",
        FullyConnected,
        _fc_product,
        _product_instructions,
        lag=_quads_lag,
    ),
    _kernel(
        "arm_avgpool_s8",
        AveragePool2D,
        _pool,
        _average_pool_instructions,
        scratch=_average_pool_scratch,
        lag=window_lag,
    ),
    _kernel("arm_max_pool_s8", MaxPool2D, _pool, _max_pool_instructions, lag=window_lag),
)
