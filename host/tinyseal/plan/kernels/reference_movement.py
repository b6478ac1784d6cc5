"""Portable kernels that move elements: copies and resizing."""

from __future__ import annotations

import math
from typing import Final

from tinyseal.board import Board
from tinyseal.graph.ops.movement import Move
from tinyseal.graph.ops.resize import ResizeBilinear, ResizeNearest
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.reference_elementwise import ROW_INSTRUCTIONS

CALL_INSTRUCTIONS: Final = 15.0  # memcpy, besides the bytes
BYTE_INSTRUCTIONS: Final = 0.5  # memcpy by words


def _move(params: Move, board: Board) -> float:
    total = 0.0
    if params.fill is not None:
        total += BYTE_INSTRUCTIONS * math.prod(params.out_shapes[0]) * params.dtype.bytes
    for copy in params.copies:
        walk = copy.walk
        contiguous = walk.a_strides[-1] == walk.b_strides[-1] == 1
        runs = walk.elements / walk.dims[-1] if contiguous else walk.elements
        total += CALL_INSTRUCTIONS * runs + BYTE_INSTRUCTIONS * walk.elements * params.dtype.bytes
        total += ROW_INSTRUCTIONS * walk.elements / math.prod(walk.dims[-2:])
    return total


def _nearest(params: ResizeNearest, board: Board) -> float:
    pixels = params.batches * params.rows.size * params.columns.size
    pixel_bytes = params.depth * params.dtype.bytes
    return float(pixels * (CALL_INSTRUCTIONS + BYTE_INSTRUCTIONS * pixel_bytes))


def _bilinear(params: ResizeBilinear, board: Board) -> float:
    pixels = params.batches * params.out_height * params.out_width
    return pixels * (50.0 + 20.0 * params.depth)


KERNELS: Final = (
    Kernel(KernelSet.REFERENCE, "nn_copy", Move, instructions=_move),
    Kernel(KernelSet.REFERENCE, "nn_resize_nearest", ResizeNearest, instructions=_nearest),
    Kernel(KernelSet.REFERENCE, "nn_resize_bilinear_s8", ResizeBilinear, instructions=_bilinear),
)
