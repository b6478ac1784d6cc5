"""Portable kernels that multiply and accumulate.

Instructions are those of RV32IMC at -O2: per multiply-accumulate, per output, per filter row.
"""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board
from tinyseal.graph.ops.convolution import Conv2D, Convolution, DepthwiseConv2D, TransposeConv
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import window_lag


def _fc_instructions(params: FullyConnected, board: Board) -> float:
    return 5.0 * params.macs + 25.0 * params.batches * params.out_depth


def _outputs(params: Convolution) -> int:
    return params.batches * params.out_h * params.out_w * params.out_ch


def _conv_instructions(params: Conv2D, board: Board) -> float:
    return 5.0 * params.macs + (70.0 + 15.0 * params.filter_h) * _outputs(params)


def _depthwise_instructions(params: DepthwiseConv2D, board: Board) -> float:
    per_mac = 6.25 if params.depth_multiplier == 1 else 9.0
    return per_mac * params.macs + 55.0 * _outputs(params)


def _transpose_conv_instructions(params: TransposeConv, board: Board) -> float:
    return 5.0 * params.macs + 100.0 * _outputs(params)


KERNELS: Final = (
    Kernel(KernelSet.REFERENCE, "nn_fc_s8", FullyConnected, instructions=_fc_instructions),
    Kernel(
        KernelSet.REFERENCE,
        "nn_conv_s8",
        Conv2D,
        instructions=_conv_instructions,
        lag=window_lag,
    ),
    Kernel(
        KernelSet.REFERENCE,
        "nn_depthwise_s8",
        DepthwiseConv2D,
        instructions=_depthwise_instructions,
        lag=window_lag,
    ),
    Kernel(
        KernelSet.REFERENCE,
        "nn_transpose_conv_s8",
        TransposeConv,
        instructions=_transpose_conv_instructions,
    ),
)
