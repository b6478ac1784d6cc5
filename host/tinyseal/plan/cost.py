"""Estimated instructions, cycles and code size of layers, before anything is built.

Each kernel states the instructions of one call from its loops (`Kernel.instructions`), the
portable ones for a plain load-store core. CALIBRATION corrects that by a factor per kernel and
core: the instructions that `tinyseal bench --kernels reference --json` counts, over those stated,
summed over the layers of the MLPerf Tiny models that the kernel runs. To calibrate anew, run it
for each board and model and divide the layers' `instructions` by `Kernel.instructions` of the
plan's steps. CORE_FACTORS stands in where nothing has been measured; Cortex-M3, M7 and M33 run
portable code as the M4 does, Cortex-M0+ as the M0. Cycles are instructions times the board's
`cost.cycles_per_instruction`.

Code sizes come from the `size.json` of the same builds. Both are estimates, and good enough to
choose a kernel and to see whether a model is far from fitting; the build gives the exact figures.
"""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board, Core
from tinyseal.graph.lowering import Params
from tinyseal.plan.kernels.kernel import Kernel, KernelSet
from tinyseal.plan.kernels.stream import Call, Stream, loops
from tinyseal.plan.model import Plan

# Instructions against the M4's, on average over the kernels measured.
CORE_FACTORS: Final[dict[Core, float]] = {
    Core.M0: 2.0,  # two-address Thumb, eight low registers, no multiply-accumulate
    Core.M0PLUS: 2.0,
    Core.M3: 1.0,
    Core.M4: 1.0,
    Core.M7: 1.0,
    Core.M33: 1.0,
    Core.M55: 1.0,
    Core.RV32IMC: 1.2,  # no indexed addressing, no multiply-accumulate
    Core.LX106: 1.5,  # not measured: as RV32IMC, with a narrower instruction set
    Core.LX6: 1.5,  # as LX106, whose instructions are used
    Core.HOST: 1.0,
}
# Cores whose instruction set makes portable code that of another.
ALIKE: Final[dict[Core, Core]] = {
    Core.M0PLUS: Core.M0,
    Core.M3: Core.M4,
    Core.M7: Core.M4,
    Core.M33: Core.M4,
}

M0, M4, M55, RV32 = Core.M0, Core.M4, Core.M55, Core.RV32IMC
# What these state is for each core already: plan/kernels/scalar.py, SHAPES; sums.py, Form.
STATED: Final = (
    "nn_scalar_conv_1x1_s8",
    "nn_scalar_conv_s8",
    "nn_scalar_depthwise_any_s8",
    "nn_scalar_depthwise_s8",
    "nn_scalar_fc_s8",
    "nn_scale_add_s8",
    "nn_scale_mul_s8",
    "nn_sums_lstm_s8",
    "nn_sums_svdf_s8",
    "nn_sums_svdf_s8_s16",
)
CALIBRATION: Final[dict[str, dict[Core, float]]] = {
    "nn_add_s8": {M4: 0.98, M55: 0.94, RV32: 1.20},
    # Not measured: the product of these two is nn_cmsis_conv_s8's.
    "arm_convolve_1x1_s8": {M0: 2.06},
    "arm_convolve_1x1_s8_fast": {M0: 2.06},
    "arm_depthwise_conv_3x3_s8": {M0: 3.01},
    "arm_fully_connected_s8": {M0: 1.86},
    "nn_cmsis_conv_s8": {M0: 2.06},
    "nn_conv_s8": {M0: 1.70, M4: 0.93, M55: 0.87, RV32: 1.34},
    "nn_depthwise_s8": {M0: 1.72, M4: 1.06, M55: 0.97, RV32: 1.17},
    "nn_fc_s8": {M0: 1.58, M4: 0.78, M55: 0.74, RV32: 0.93},
    "nn_pool_average_s8": {M0: 1.99, M4: 1.47, M55: 1.15, RV32: 1.15},
    **dict.fromkeys(STATED, dict.fromkeys(Core, 1.0)),
    "nn_softmax_s8": {M0: 0.99, M4: 0.56, M55: 0.55, RV32: 0.55},
}

# Code flash of a kernel with its helpers, on the M4; the set's average where not measured.
CODE_BYTES: Final[dict[str, int]] = {
    "memcpy": 0,  # the C library's is there anyway
    "nn_conv_s8": 1520,
    "nn_depthwise_s8": 1220,
    "nn_fc_s8": 620,
    "nn_mve_add_s8": 350,  # these on the M55
    "nn_mve_bin_conv": 3000,
    "nn_mve_conv_s8": 2000,
    "nn_mve_depthwise_s8": 1220,
    "nn_mve_fc_s8": 800,
    "nn_mve_mul_s8": 420,
    "nn_mve_pool_average_s8": 370,
    "nn_mve_pool_max_s8": 340,
    "nn_mve_product_s8": 600,
    "nn_pool_average_s8": 512,
    "nn_scalar_conv_1x1_s8": 4420,  # on RV32IMC, as the next ones
    "nn_scalar_conv_s8": 5110,
    "nn_scalar_depthwise_any_s8": 1560,
    "nn_scalar_depthwise_s8": 2890,
    "nn_scalar_fc_s8": 1160,
    "nn_scale_add_s8": 250,
    "nn_scale_mul_s8": 250,
    "nn_softmax_s8": 520,
    "nn_sums_lstm_s8": 2700,
    "nn_sums_svdf_s8": 1900,
    "nn_sums_svdf_s8_s16": 1900,
    "nn_tuned_add_s8": 150,
    "nn_tuned_conv_1x1_s8": 3100,
    "nn_tuned_conv_1x1_wide_s8": 2850,
    "nn_tuned_conv_s8": 4320,
    "nn_tuned_conv_wide_s8": 4060,
    "nn_tuned_depthwise_any_s8": 2400,
    "nn_tuned_depthwise_groups_s8": 2520,
    "nn_tuned_depthwise_planes_s8": 2520,
    "nn_tuned_depthwise_s8": 2520,
    "nn_tuned_fc_s8": 1690,
    "nn_tuned_pool_average_s8": 820,
    "nn_tuned_pool_max_s8": 770,
}
SET_CODE_BYTES: Final[dict[KernelSet, int]] = {
    KernelSet.REFERENCE: 900,
    KernelSet.CMSIS_NN: 2100,
    KernelSet.TUNED: 2000,
}
LAYER_BYTES: Final = 110  # one generated layer: its function and parameter struct
TABLE_BYTES: Final = 500  # the capsule's table, names, tensors


def estimate(kernel: Kernel, params: Params, board: Board) -> float:
    """Instructions of one call of `kernel`."""
    measured = CALIBRATION.get(kernel.function, {})
    core = ALIKE.get(board.core, board.core)
    return kernel.instructions(params, board) * measured.get(core, CORE_FACTORS[board.core])


def kernel_code_bytes(kernel: Kernel) -> int:
    """Estimated code flash of a kernel with its helpers."""
    return CODE_BYTES.get(kernel.function, SET_CODE_BYTES[kernel.set])


def code_bytes(plan: Plan) -> int:
    """Estimated code flash of the capsule: each kernel once, each layer's calls, the table."""
    kernels: dict[str, Kernel] = {}
    calls = 0
    for step in plan.steps:
        params = step.lowered.params
        if isinstance(params, Stream):
            made = [call for loop in loops(params.calls) for call in loop.calls]
            kernels |= {c.kernel.function: c.kernel for c in made if isinstance(c, Call)}
            calls += len(made)
        else:
            kernels[step.kernel.function] = step.kernel
            calls += 1
    return TABLE_BYTES + LAYER_BYTES * calls + sum(map(kernel_code_bytes, kernels.values()))
