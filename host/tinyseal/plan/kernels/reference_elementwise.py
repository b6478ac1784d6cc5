"""Portable kernels that take one element, or one of each operand, at a time."""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board
from tinyseal.graph.ops.arithmetic import Add
from tinyseal.plan.kernels.kernel import Kernel, KernelSet

ROW_INSTRUCTIONS: Final = 40.0  # nn_walk_next and the set-up of a row


def _add(subtract: bool, dense: bool, function: str) -> Kernel:
    def supports(params: Add, board: Board) -> bool:
        return params.subtract is subtract and params.walk.is_dense is dense

    def instructions(params: Add, board: Board) -> float:
        rows = params.walk.elements / params.walk.dims[-1]
        per_element = 27.0 if dense else 44.0
        return per_element * params.walk.elements + (0.0 if dense else ROW_INSTRUCTIONS * rows)

    return Kernel(
        KernelSet.REFERENCE,
        function,
        Add,
        instructions=instructions,
        supports=supports,
        in_place=(0, 1),
    )


KERNELS: Final = (
    _add(False, True, "nn_add_s8"),
    _add(True, True, "nn_add_subtract_s8"),
    _add(False, False, "nn_add_broadcast_s8"),
    _add(True, False, "nn_add_subtract_broadcast_s8"),
)
