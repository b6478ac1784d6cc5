"""Portable kernels that multiply and accumulate."""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.kernel import Kernel, KernelSet


def _fc_instructions(params: FullyConnected, board: Board) -> float:
    return 7.0 * params.macs + 40.0 * params.batches * params.out_depth


KERNELS: Final = (
    Kernel(KernelSet.REFERENCE, "nn_fc_s8", FullyConnected, instructions=_fc_instructions),
)
