"""ADD, SUB, MUL, MINIMUM, MAXIMUM and PRELU: two int8 tensors, either of which may repeat.

Source: TFLM's add_common.cc, sub_common.cc, mul_common.cc, prelu_common.cc and the loops they
call in kernels/internal/reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import Requant, quantize_multiplier, requantize, requantize_s8
from tinyseal.graph.ir import ArithmeticAttrs, Graph, Op, OpKind, Tensor
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import (
    activation_range,
    input_tensor,
    quant,
    requant,
    require_s8,
    unsupported,
)
from tinyseal.graph.walk import Walk, broadcast

ADD_LEFT_SHIFT: Final = 20  # headroom TFLM gives int8 operands before it rescales them


def _operands(graph: Graph, op: Op) -> tuple[Tensor, Tensor, Tensor]:
    """Both inputs and the output, all int8."""
    a, b, out = input_tensor(graph, op, 0), input_tensor(graph, op, 1), graph.tensor(op.outputs[0])
    require_s8(graph, op, a, b, out)
    return a, b, out


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
    a, b, out = _operands(graph, op)
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


@dataclass(frozen=True)
class Mul(Params):
    """Mirrors `struct nn_mul`: a * b; operands repeat as in `walk`."""

    a_offset: int
    b_offset: int
    out_offset: int
    requant: Requant
    act_min: int
    act_max: int
    walk: Walk

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        a = inputs[0].astype(np.int64) + self.a_offset
        b = inputs[1].astype(np.int64) + self.b_offset
        return [
            requantize_s8(
                a * b,
                self.requant.multiplier,
                self.requant.shift,
                self.out_offset,
                self.act_min,
                self.act_max,
            )
        ]


def lower_mul(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, ArithmeticAttrs)
    a, b, out = _operands(graph, op)
    a_quant, b_quant, out_quant = (quant(graph, op, t) for t in (a, b, out))
    act_min, act_max = activation_range(graph, op, op.attrs.activation, out_quant)
    params = Mul(
        a_offset=-a_quant.zero_point,
        b_offset=-b_quant.zero_point,
        out_offset=out_quant.zero_point,
        requant=requant(graph, op, a_quant.scale * b_quant.scale / out_quant.scale),
        act_min=act_min,
        act_max=act_max,
        walk=broadcast(a.shape, b.shape),
    )
    return Lowered(op, params, (a.index, b.index), op.outputs)


@dataclass(frozen=True)
class MinMax(Params):
    """MINIMUM or MAXIMUM of the raw bytes: like TFLM, it takes all scales for equal."""

    maximum: bool
    walk: Walk

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        return [(np.maximum if self.maximum else np.minimum)(inputs[0], inputs[1])]


def lower_minmax(graph: Graph, op: Op) -> Lowered:
    a, b, _ = _operands(graph, op)
    params = MinMax(op.kind is OpKind.MAXIMUM, broadcast(a.shape, b.shape))
    return Lowered(op, params, (a.index, b.index), op.outputs)


@dataclass(frozen=True)
class Prelu(Params):
    """Mirrors `struct nn_prelu`: x from zero up, alpha * x below; alpha repeats as in `walk`."""

    in_offset: int
    alpha_offset: int
    out_offset: int
    positive: Requant
    negative: Requant
    walk: Walk

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].astype(np.int64) + self.in_offset
        alpha = inputs[1].astype(np.int64) + self.alpha_offset

        def rescale(value: Array, requant: Requant) -> Array:
            return requantize_s8(
                value, requant.multiplier, requant.shift, self.out_offset, -128, 127
            )

        return [np.where(x >= 0, rescale(x, self.positive), rescale(x * alpha, self.negative))]


def lower_prelu(graph: Graph, op: Op) -> Lowered:
    x, alpha, out = _operands(graph, op)
    x_quant, alpha_quant, out_quant = (quant(graph, op, t) for t in (x, alpha, out))
    params = Prelu(
        in_offset=-x_quant.zero_point,
        alpha_offset=-alpha_quant.zero_point,
        out_offset=out_quant.zero_point,
        positive=requant(graph, op, x_quant.scale / out_quant.scale),
        negative=requant(graph, op, x_quant.scale * alpha_quant.scale / out_quant.scale),
        walk=broadcast(x.shape, alpha.shape),
    )
    return Lowered(op, params, (x.index, alpha.index), op.outputs)


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.ADD: lower_add,
    OpKind.SUB: lower_add,
    OpKind.MUL: lower_mul,
    OpKind.MINIMUM: lower_minmax,
    OpKind.MAXIMUM: lower_minmax,
    OpKind.PRELU: lower_prelu,
}
