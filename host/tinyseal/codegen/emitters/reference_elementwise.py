"""Calls of the portable elementwise kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.walk import emit_walk
from tinyseal.codegen.literals import c_float
from tinyseal.graph.fixedpoint import Requant
from tinyseal.graph.ops.arithmetic import Add, MinMax, Mul, Prelu
from tinyseal.graph.ops.quantize import Dequantize, QuantizeFloat, Requantize
from tinyseal.graph.ops.unary import Lut


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


def emit_mul(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Mul)
    e.header("kernels/nn_mul.h")
    op = e.struct(
        "nn_mul",
        "op",
        a_offset=p.a_offset,
        b_offset=p.b_offset,
        out_offset=p.out_offset,
        multiplier=p.requant.multiplier,
        shift=p.requant.shift,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    walk = emit_walk(e, p.walk)
    e.statement(f"nn_mul_s8(&{op}, &{walk}, {e.input(0)}, {e.input(1)}, {e.output()});")


def emit_minmax(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, MinMax)
    e.header("kernels/nn_minmax.h")
    walk = emit_walk(e, p.walk)
    function = e.step.kernel.function
    e.statement(f"{function}(&{walk}, {e.input(0)}, {e.input(1)}, {e.output()});")


def emit_prelu(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Prelu)
    e.header("kernels/nn_prelu.h")
    op = e.struct(
        "nn_prelu",
        "op",
        in_offset=p.in_offset,
        alpha_offset=p.alpha_offset,
        out_offset=p.out_offset,
        positive_multiplier=p.positive.multiplier,
        positive_shift=p.positive.shift,
        negative_multiplier=p.negative.multiplier,
        negative_shift=p.negative.shift,
    )
    walk = emit_walk(e, p.walk)
    e.statement(f"nn_prelu_s8(&{op}, &{walk}, {e.input(0)}, {e.input(1)}, {e.output()});")


def emit_lut(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Lut)
    e.header("kernels/nn_lut.h")
    # C indexes by the byte read as unsigned.
    table = e.array("table", np.roll(np.array(p.table, dtype=np.int8), 128))
    e.statement(f"nn_lut_s8({table}, {e.input(0)}, {e.output()}, {p.elements});")


def emit_requantize(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Requantize)
    e.header("kernels/nn_quantize.h")
    op = e.struct(
        "nn_quantize",
        "op",
        count=p.elements,
        in_offset=p.in_offset,
        out_offset=p.out_offset,
        multiplier=p.requant.multiplier,
        shift=p.requant.shift,
    )
    e.statement(f"{e.step.kernel.function}(&{op}, {e.input(0)}, {e.output()});")


def emit_float(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, QuantizeFloat | Dequantize)
    e.header("kernels/nn_quantize.h")
    e.statement(
        f"{e.step.kernel.function}({c_float(p.scale)}, {p.zero_point}, "
        f"{e.input(0)}, {e.output()}, {p.elements});"
    )


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_add_s8": emit_add,
    "nn_add_subtract_s8": emit_add,
    "nn_add_broadcast_s8": emit_add,
    "nn_add_subtract_broadcast_s8": emit_add,
    "nn_mul_s8": emit_mul,
    "nn_minmax_min_s8": emit_minmax,
    "nn_minmax_max_s8": emit_minmax,
    "nn_prelu_s8": emit_prelu,
    "nn_lut_s8": emit_lut,
    "nn_quantize_s8_s16": emit_requantize,
    "nn_quantize_s8_s32": emit_requantize,
    "nn_quantize_s16_s8": emit_requantize,
    "nn_quantize_f32_s8": emit_float,
    "nn_quantize_s8_f32": emit_float,
}
