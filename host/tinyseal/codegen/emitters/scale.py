"""Calls of the tuned kernels that requantise by one factor: `struct nn_scale`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.walk import emit_walk
from tinyseal.graph.ops.arithmetic import Add, Mul
from tinyseal.plan.kernels.scale import Scale, add_scale, add_tables, mul_scale

Fields = dict[str, int | str]


def scale_fields(name: str, by: Scale | None) -> Fields:
    assert by is not None
    return {f"{name}.{field}": value for field, value in asdict(by).items()}


def emit_mul(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Mul)
    e.header("kernels/nn_scale_mul.h")
    op = e.struct(
        "nn_scale_mul",
        "op",
        a_offset=p.a_offset,
        b_offset=p.b_offset,
        **scale_fields("by", mul_scale(p)),
        act_min=p.act_min,
        act_max=p.act_max,
    )
    walk = emit_walk(e, p.walk)
    e.statement(f"nn_scale_mul_s8(&{op}, &{walk}, {e.input(0)}, {e.input(1)}, {e.output()});")


def emit_add(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Add)
    e.header("kernels/nn_scale_add.h")
    a, b = add_tables(p)
    op = e.struct(
        "nn_scale_add",
        "op",
        a=e.array("a", a),
        b=e.array("b", b),
        **scale_fields("by", add_scale(p)),
        act_min=p.act_min,
        act_max=p.act_max,
    )
    walk = emit_walk(e, p.walk)
    e.statement(f"nn_scale_add_s8(&{op}, &{walk}, {e.input(0)}, {e.input(1)}, {e.output()});")


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_scale_add_s8": emit_add,
    "nn_scale_mul_s8": emit_mul,
}
