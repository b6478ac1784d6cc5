"""Estimated instructions, cycles and code size of layers, before anything is built.

Each kernel states the instructions of one call from its loops, counted for a plain load-store
core (`Kernel.instructions`). CALIBRATION corrects that by a factor per kernel and core class,
where `tinyseal bench` has measured one: factor = measured / stated, over the layers of the MLPerf
Tiny models that the kernel runs. CORE_FACTORS stands in where nothing has been measured.
Cycles are instructions times the board's `cost.cycles_per_instruction`.
"""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board, Core
from tinyseal.graph.lowering import Params
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.model import Plan

# Portable C against Armv7-M's instruction count.
CORE_FACTORS: Final[dict[Core, float]] = {
    Core.M0: 1.5,  # two-address Thumb, eight low registers, no multiply-accumulate
    Core.M3: 1.0,
    Core.M4: 1.0,
    Core.M7: 1.0,
    Core.M33: 1.0,
    Core.M55: 1.0,
    Core.RV32IMC: 1.2,  # no indexed addressing, no multiply-accumulate
    Core.LX106: 1.5,  # no indexed addressing, 16-bit multiplier feeds a library call
    Core.HOST: 1.0,
}

# (kernel's C function, core): measured / stated.
CALIBRATION: Final[dict[tuple[str, Core], float]] = {}

# Code flash of one kernel, its helpers included, where the size report has not told better.
CODE_BYTES: Final[dict[KernelSet, int]] = {
    KernelSet.REFERENCE: 500,
    KernelSet.CMSIS_NN: 1800,
    KernelSet.TUNED: 1500,
}
LAYER_BYTES: Final = 120  # one generated layer: its function and parameter struct
RUNTIME_BYTES: Final = 7000  # start-up, hal, application, protocol, C library


def estimate(kernel: Kernel, params: Params, board: Board) -> float:
    """Instructions of one call of `kernel`."""
    factor = CALIBRATION.get((kernel.function, board.core), CORE_FACTORS[board.core])
    return kernel.instructions(params, board) * factor


def code_bytes(plan: Plan) -> int:
    """Estimated code flash of the whole firmware: each kernel once, each layer's call, the rest."""
    kernels = {step.kernel.function: step.kernel.set for step in plan.steps}
    return (
        RUNTIME_BYTES
        + LAYER_BYTES * len(plan.steps)
        + sum(CODE_BYTES[which] for which in kernels.values())
    )
