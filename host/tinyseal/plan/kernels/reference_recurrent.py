"""Portable kernels that keep state."""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board
from tinyseal.graph.ops.recurrent import Lstm, Svdf
from tinyseal.plan.kernels.kernel import Kernel, KernelSet


def _svdf_instructions(params: Svdf, board: Board) -> float:
    filters = params.batches * params.filters
    return 6.0 * params.macs + 60.0 * filters + 40.0 * params.batches * params.units


def _lstm_instructions(params: Lstm, board: Board) -> float:
    return 6.0 * params.macs + 420.0 * params.batches * params.steps * params.cells


def _state_is_s8(params: Svdf, board: Board) -> bool:
    return params.time.dtype.itemsize == 1


def _state_is_s16(params: Svdf, board: Board) -> bool:
    return params.time.dtype.itemsize == 2


KERNELS: Final = (
    Kernel(KernelSet.REFERENCE, "nn_svdf_s8", Svdf, _svdf_instructions, _state_is_s8),
    Kernel(KernelSet.REFERENCE, "nn_svdf_s8_s16", Svdf, _svdf_instructions, _state_is_s16),
    Kernel(KernelSet.REFERENCE, "nn_lstm_s8", Lstm, _lstm_instructions),
)
