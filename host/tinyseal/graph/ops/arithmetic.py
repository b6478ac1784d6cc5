"""ADD and SUB. Source: TFLM's add_common.cc, sub_common.cc and reference/integer_ops/add.h."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import Requant, quantize_multiplier, requantize
from tinyseal.graph.ir import ArithmeticAttrs, Graph, Op, OpKind
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import (
    activation_range,
    binary_operands,
    quant,
    require_s8,
    unsupported,
)
from tinyseal.graph.walk import Walk, broadcast

ADD_LEFT_SHIFT: Final = 20  # headroom TFLM gives int8 operands before it rescales them


@dataclass(frozen=True)
class Add(Params):
    """Mirrors `struct nn_add`: a + b, or a - b with `subtract`; operands repeat as in `walk`."""

    subtract: bool
    a_offset: int
    a_requant: Requant
    b_offset: int
    b_requant: Requant
    out_offset: int
    out_requant: Requant
    act_min: int
    act_max: int
    walk: Walk

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        def operand(value: Array, offset: int, requant: Requant) -> Array:
            shifted = (value.astype(np.int64) + offset) << ADD_LEFT_SHIFT
            return requantize(shifted, requant.multiplier, requant.shift)

        a = operand(inputs[0], self.a_offset, self.a_requant)
        b = operand(inputs[1], self.b_offset, self.b_requant)
        total = a - b if self.subtract else a + b
        out = requantize(total, self.out_requant.multiplier, self.out_requant.shift)
        return [np.clip(out + self.out_offset, self.act_min, self.act_max).astype(np.int8)]


def lower_add(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, ArithmeticAttrs)
    a, b, out = binary_operands(graph, op)
    require_s8(graph, op, a, b, out)
    a_quant, b_quant, out_quant = (quant(graph, op, t) for t in (a, b, out))
    subtract = op.kind is OpKind.SUB
    # TFLM works these out in double precision for ADD and in single for SUB.
    real = np.float32 if subtract else np.float64
    a_scale, b_scale, out_scale = (real(q.scale) for q in (a_quant, b_quant, out_quant))
    twice_max = real(2) * max(a_scale, b_scale)
    out_factor = float(twice_max / (real(1 << ADD_LEFT_SHIFT) * out_scale))
    out_requant = quantize_multiplier(out_factor)
    if out_requant.multiplier and out_requant.shift > -1:
        raise unsupported(
            graph,
            op,
            f"scale {out_quant.scale:g} of {out.name} is too fine for those of the inputs, "
            f"{a_quant.scale:g} and {b_quant.scale:g}; requantise the model",
        )
    act_min, act_max = activation_range(graph, op, op.attrs.activation, out_quant)
    params = Add(
        subtract=subtract,
        a_offset=-a_quant.zero_point,
        a_requant=quantize_multiplier(float(a_scale / twice_max)),
        b_offset=-b_quant.zero_point,
        b_requant=quantize_multiplier(float(b_scale / twice_max)),
        out_offset=out_quant.zero_point,
        out_requant=out_requant,
        act_min=act_min,
        act_max=act_max,
        walk=broadcast(a.shape, b.shape),
    )
    return Lowered(op, params, (a.index, b.index), op.outputs)


LOWERINGS: Final[dict[OpKind, Lowering]] = {OpKind.ADD: lower_add, OpKind.SUB: lower_add}
