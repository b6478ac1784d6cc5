"""Calls of the portable kernels that gather many values into one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.graph.ops.pooling import Pool
from tinyseal.graph.ops.reduction import Loop, Reduce
from tinyseal.graph.ops.softmax import Softmax

REDUCE_LOOPS: Final = 3  # NN_REDUCE_LOOPS


def emit_pool(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Pool)
    e.header("kernels/nn_pool.h")
    op = e.struct("nn_pool", "op", **window_fields(p), act_min=p.act_min, act_max=p.act_max)
    e.statement(f"{e.step.kernel.function}(&{op}, {e.input(0)}, {e.output()});")


def _loops(loops: tuple[Loop, ...]) -> str:
    """A C initialiser; unused loops come first, so that the innermost one does the work."""
    padded = (Loop(1, 0),) * (REDUCE_LOOPS - len(loops)) + loops
    return "{ " + ", ".join(f"{{ {loop.count}, {loop.stride} }}" for loop in padded) + " }"


def emit_reduce(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Reduce)
    e.header("kernels/nn_reduce.h")
    op = e.struct(
        "nn_reduce",
        "op",
        kept=_loops(p.kept),
        reduced=_loops(p.reduced),
        in_offset=p.in_offset,
        out_offset=p.out_offset,
        multiplier=p.multiplier,
        shift=p.shift,
    )
    e.statement(f"nn_reduce_s8(&{op}, {e.input(0)}, {e.output()});")


def emit_softmax(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Softmax)
    e.header("kernels/nn_softmax.h")
    exps = p.exponentials
    op = e.struct(
        "nn_softmax",
        "op",
        rows=p.rows,
        depth=p.depth,
        terms=exps.size,
        exps=e.array("exps", np.append(exps, np.int32(0))),
    )
    e.statement(f"{e.step.kernel.function}(&{op}, {e.input(0)}, {e.output()});")


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_pool_average_s8": emit_pool,
    "nn_pool_max_s8": emit_pool,
    "nn_reduce_s8": emit_reduce,
    "nn_softmax_s8": emit_softmax,
    "nn_softmax_s8_s16": emit_softmax,
}
