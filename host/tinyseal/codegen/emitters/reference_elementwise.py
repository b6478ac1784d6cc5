"""Calls of the portable elementwise kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.walk import emit_walk
from tinyseal.graph.fixedpoint import Requant
from tinyseal.graph.ops.arithmetic import Add


def emit_add(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Add)

    def right(requant: Requant) -> int:
        # A factor that rounds to 0 gives 0 at any shift; 0 would mean one half.
        return 31 if requant.multiplier == 0 else -requant.shift

    e.header("kernels/nn_add.h")
    op = e.struct(
        "nn_add",
        "op",
        count=p.walk.elements,
        a_offset=p.a_offset,
        a_multiplier=p.a_requant.multiplier,
        a_right=right(p.a_requant),
        b_offset=p.b_offset,
        b_multiplier=p.b_requant.multiplier,
        b_right=right(p.b_requant),
        out_offset=p.out_offset,
        out_multiplier=p.out_requant.multiplier,
        out_right=right(p.out_requant),
        act_min=p.act_min,
        act_max=p.act_max,
    )
    function = e.step.kernel.function
    walk = "" if p.walk.is_dense else f"&{emit_walk(e, p.walk)}, "
    e.statement(f"{function}(&{op}, {walk}{e.input(0)}, {e.input(1)}, {e.output()});")


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_add_s8": emit_add,
    "nn_add_subtract_s8": emit_add,
    "nn_add_broadcast_s8": emit_add,
    "nn_add_subtract_broadcast_s8": emit_add,
}
