"""One factor for all sums of a layer, as the tuned kernels take it (firmware: nn_scale.h)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.board import Board
from tinyseal.graph.fixedpoint import Requant, requantize
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.arithmetic import ADD_LEFT_SHIFT, Add, Mul
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.reference_elementwise import walk_instructions
from tinyseal.plan.kernels.scalar import SHAPES


@dataclass(frozen=True)
class Scale:
    """`struct nn_scale`."""

    multiplier: int
    rounding: int
    left: int
    right: int
    sign: int


def scale(requant: Requant, largest: int, offset: int = 0) -> Scale | None:
    """`requant`, then plus `offset`; None where a value of `largest` magnitude is outside the
    range in which it is exact."""
    left, right = max(requant.shift, 0), max(-requant.shift, 0)
    rounding = 1 + (1 << right if right else 0) + (offset << right + 1)
    # A product's high word stays below 2^30.
    if largest << left + 2 >= 2**31 or abs(rounding) >= 2**30 - 2:
        return None
    return Scale(requant.multiplier, rounding, left + 2, right + 1, -2 if right else 0)


def mul_largest(p: Mul) -> int:
    """Magnitude that no product exceeds."""
    a, b = (max(offset + 127, 128 - offset) for offset in (p.a_offset, p.b_offset))
    return a * b


def mul_scale(p: Mul) -> Scale | None:
    return scale(p.requant, mul_largest(p), p.out_offset)


def add_tables(p: Add) -> tuple[Array, Array]:
    """int32 [256] of each operand: what each of its bytes, unsigned, adds."""
    values = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
    a, b = (
        requantize(values + offset << ADD_LEFT_SHIFT, by.multiplier, by.shift).astype(np.int32)
        for offset, by in ((p.a_offset, p.a_requant), (p.b_offset, p.b_requant))
    )
    return a, -b if p.subtract else b


def add_scale(p: Add) -> Scale | None:
    a, b = (int(np.abs(table).max()) for table in add_tables(p))
    return scale(p.out_requant, a + b, p.out_offset)


def is_tuned(board: Board) -> bool:
    """Whether there are kernels of ours for its core."""
    core = board.core
    return core.has_dsp or core.has_mve or core in SHAPES


def _mul(p: Mul, board: Board) -> bool:
    return is_tuned(board) and not board.core.has_mve and mul_scale(p) is not None


def _add(p: Add, board: Board) -> bool:
    """Where an operand repeats, or no shift serves for either: tables of both."""
    return is_tuned(board) and add_scale(p) is not None


def _add_instructions(p: Add, board: Board) -> float:
    shape = SHAPES.get(board.core)
    return walk_instructions(p.walk, 14.5 if shape is None else 12 + shape.output)


def _mul_instructions(p: Mul, board: Board) -> float:
    shape = SHAPES.get(board.core)
    return walk_instructions(p.walk, 14.5 if shape is None else 12 + shape.output)


KERNELS: Final = (
    Kernel(
        KernelSet.TUNED,
        "nn_scale_add_s8",
        Add,
        instructions=_add_instructions,
        supports=_add,
        in_place=(0, 1),
    ),
    Kernel(
        KernelSet.TUNED,
        "nn_scale_mul_s8",
        Mul,
        instructions=_mul_instructions,
        supports=_mul,
        in_place=(0, 1),
    ),
)
