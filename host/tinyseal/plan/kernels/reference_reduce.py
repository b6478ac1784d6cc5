"""Portable kernels that gather many values into one: pools, sums and means, softmax."""

from __future__ import annotations

import math
from typing import Final

from tinyseal.board import Board
from tinyseal.graph.ir import DType
from tinyseal.graph.ops.pooling import AveragePool2D, MaxPool2D, Pool
from tinyseal.graph.ops.reduction import Reduce
from tinyseal.graph.ops.softmax import Softmax
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.lag import window_lag


def _pool_instructions(params: Pool, board: Board) -> float:
    outputs = params.batches * params.out_h * params.out_w * params.out_ch
    return (5.0 * params.filter_h * params.filter_w + 40.0) * outputs


def _reduce_instructions(params: Reduce, board: Board) -> float:
    return 2.5 * math.prod(params.in_shape) + 60.0 * math.prod(params.out_shape)


def _softmax_instructions(params: Softmax, board: Board) -> float:
    return params.rows * (400.0 + 60.0 * params.depth)


KERNELS: Final = (
    Kernel(
        KernelSet.REFERENCE,
        "nn_pool_average_s8",
        AveragePool2D,
        instructions=_pool_instructions,
        lag=window_lag,
    ),
    Kernel(
        KernelSet.REFERENCE,
        "nn_pool_max_s8",
        MaxPool2D,
        instructions=_pool_instructions,
        lag=window_lag,
    ),
    Kernel(KernelSet.REFERENCE, "nn_reduce_s8", Reduce, instructions=_reduce_instructions),
    Kernel(
        KernelSet.REFERENCE,
        "nn_softmax_s8",
        Softmax,
        instructions=_softmax_instructions,
        supports=lambda params, board: params.out_dtype is DType.S8,
        in_place=(0,),
    ),
    Kernel(
        KernelSet.REFERENCE,
        "nn_softmax_s8_s16",
        Softmax,
        instructions=_softmax_instructions,
        supports=lambda params, board: params.out_dtype is DType.S16,
    ),
)
