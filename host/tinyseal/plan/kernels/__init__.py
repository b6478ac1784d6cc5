"""Every C kernel the code generator can call, and what the planner must know of it."""

from __future__ import annotations

from typing import Final

from tinyseal.plan.kernels import (
    cmsis_nn,
    copy,
    mve,
    reference_binary,
    reference_dense,
    reference_elementwise,
    reference_movement,
    reference_recurrent,
    reference_reduce,
    scalar,
    scale,
    stream,
    sums,
    tuned,
)
from tinyseal.plan.kernels.kernel import Kernel, KernelSet

KERNELS: Final[tuple[Kernel, ...]] = (
    *cmsis_nn.KERNELS,
    *tuned.KERNELS,
    *scalar.KERNELS,
    *mve.KERNELS,
    *scale.KERNELS,
    *sums.KERNELS,
    *copy.KERNELS,
    *stream.KERNELS,
    *reference_dense.KERNELS,
    *reference_elementwise.KERNELS,
    *reference_recurrent.KERNELS,
    *reference_reduce.KERNELS,
    *reference_binary.KERNELS,
    *reference_movement.KERNELS,
)

__all__ = ["KERNELS", "Kernel", "KernelSet"]
