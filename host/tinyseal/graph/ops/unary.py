"""int8 -> int8 functions of one value, each a 256-byte table: the table is TFLM's arithmetic,
worked out here for every input.

Source: TFLM's logistic_common.cc, tanh.cc, activations_common.cc, leaky_relu_common.cc,
hard_swish_common.cc, quantize_common.cc and the loops they call in kernels/internal/reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tinyseal.graph.fixedpoint import (
    divide_by_pot,
    logistic,
    quantize_multiplier,
    requantize,
    tanh,
    wrap32,
)
from tinyseal.graph.ir import Graph, LeakyReluAttrs, Op, OpKind, Quant
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import input_tensor, quant, requant, require_s8, unsupported

Values = npt.NDArray[np.int64]

INPUT_INTEGER_BITS: Final = 4  # of LOGISTIC and TANH


@dataclass(frozen=True)
class Lut(Params):
    """`nn_lut_s8`: `table` holds the results for -128 to 127, in that order."""

    table: tuple[int, ...]
    elements: int

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        table = np.array(self.table, dtype=np.int8)
        return [table[inputs[0].astype(np.int64) + 128]]


def _round(x: float) -> int:
    """C's round() for x >= 0: half up."""
    whole = math.floor(x)
    return whole + (x - whole >= 0.5)


def _sigmoidal(x: Values, x_quant: Quant) -> tuple[Values, Values]:
    """The argument with four integer bits, and -1, 0 or 1 where x is below, in or above its
    range."""
    mantissa, shift = math.frexp(x_quant.scale * 2.0 ** (31 - INPUT_INTEGER_BITS))
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    limit = (2**INPUT_INTEGER_BITS - 1) * 2.0 ** (31 - INPUT_INTEGER_BITS)
    radius = math.floor(limit / 2.0**shift)
    centred = x - x_quant.zero_point
    side = np.where(centred <= -radius, -1, np.where(centred >= radius, 1, 0))
    inside = np.where(side == 0, centred, 0)
    return requantize(inside, multiplier, min(shift, 30)), side


def logistic_table(x: Values, x_quant: Quant, out_quant: Quant) -> Values:
    argument, side = _sigmoidal(x, x_quant)
    inside = divide_by_pot(logistic(argument, INPUT_INTEGER_BITS), 31 - 8) - 128
    return np.where(side < 0, -128, np.where(side > 0, 127, np.clip(inside, -128, 127)))


def tanh_table(x: Values, x_quant: Quant, out_quant: Quant) -> Values:
    argument, side = _sigmoidal(x, x_quant)
    inside = divide_by_pot(tanh(argument, INPUT_INTEGER_BITS), 31 - 7)
    return np.where(side < 0, -128, np.where(side > 0, 127, np.clip(inside, -128, 127)))


def relu_table(x: Values, x_quant: Quant, out_quant: Quant) -> Values:
    # TFLM divides in single precision here, in double for QUANTIZE.
    factor = quantize_multiplier(float(np.float32(x_quant.scale) / np.float32(out_quant.scale)))
    out = requantize(x - x_quant.zero_point, factor.multiplier, factor.shift)
    return np.clip(wrap32(out + out_quant.zero_point), max(-128, out_quant.zero_point), 127)


def relu6_table(x: Values, x_quant: Quant, out_quant: Quant) -> Values:
    """TFLM clamps the bytes by the input's quantisation and takes the output's for the same."""
    with np.errstate(over="ignore"):
        six = np.float32(6.0) / np.float32(x_quant.scale)
    upper = min(max(_round(min(float(six), 2.0**30)) + x_quant.zero_point, -128), 127)
    return np.where(x > upper, upper, np.where(x < x_quant.zero_point, x_quant.zero_point, x))


def leaky_relu_table(x: Values, x_quant: Quant, out_quant: Quant, alpha: float) -> Values:
    # All in single precision, from left to right.
    x_scale, out_scale = np.float32(x_quant.scale), np.float32(out_quant.scale)
    above = quantize_multiplier(float(x_scale / out_scale))
    slope = float(x_scale * np.float32(alpha) / out_scale)
    below = quantize_multiplier(abs(slope))
    centred = x - x_quant.zero_point
    rising = requantize(centred, above.multiplier, above.shift)
    falling = requantize(centred, below.multiplier, below.shift) * (-1 if slope < 0 else 1)
    out = wrap32(np.where(centred >= 0, rising, falling) + out_quant.zero_point)
    return np.clip(out, -128, 127)


def requantize_table(x: Values, x_quant: Quant, out_quant: Quant) -> Values:
    factor = quantize_multiplier(x_quant.scale / out_quant.scale)
    out = requantize(x - x_quant.zero_point, factor.multiplier, factor.shift)
    return np.clip(wrap32(out + out_quant.zero_point), -128, 127)


def _wrap16(a: Values) -> Values:
    return ((a + 2**15) & 0xFFFF) - 2**15


def _saturate16(a: Values) -> Values:
    return np.clip(a, -(2**15), 2**15 - 1)


def _high_mul16(a: Values, b: int) -> Values:
    """Half up, as the 32-bit one: SaturatingRoundingDoublingHighMul on int16."""
    return _saturate16((a * b + (1 << 14)) >> 15)


def _divide_by_pot16(a: Values, exponent: int) -> Values:
    """RoundingDivideByPOT on int16, whose mask wraps to 16 bits from exponent 16 on."""
    mask = int(_wrap16(np.array((1 << exponent) - 1)))
    return (a >> exponent) + ((a & mask) > (mask >> 1) + (a < 0))


def _multiplier16(multiplier: int) -> int:
    """DownScaleInt32ToInt16Multiplier."""
    return min((multiplier + (1 << 15)) >> 16, 2**15 - 1)


def hard_swish_table(x: Values, x_quant: Quant, out_quant: Quant) -> Values:
    """x * relu6(x + 3) / 6 in 16-bit fixed point. The output's scale must not be below a 128th
    of the input's."""
    hires_scale = np.float32(1.0 / 128.0) * np.float32(x_quant.scale)
    out_factor = quantize_multiplier(float(hires_scale / np.float32(out_quant.scale)))
    reluish_factor = quantize_multiplier(float(hires_scale / np.float32(3.0 / 32768.0)))
    hires = (x - x_quant.zero_point) << 7
    preshift = _high_mul16(hires, _multiplier16(out_factor.multiplier))
    reluish = hires
    if reluish_factor.shift > 0:
        reluish = _saturate16(reluish << (reluish_factor.shift - 1))
    reluish = _high_mul16(reluish, _multiplier16(reluish_factor.multiplier))
    if reluish_factor.shift > 0:
        reluish = _saturate16(reluish << 1)
    if reluish_factor.shift < 0:
        reluish = _divide_by_pot16(reluish, -reluish_factor.shift)
    gate = (reluish + (1 << 15)) >> 1
    product = gate * preshift
    truncated = np.where(product >= 0, product >> 15, -((-product) >> 15))
    out = _divide_by_pot16(truncated, -out_factor.shift) + out_quant.zero_point
    return np.clip(out, -128, 127)


TABLES: Final[dict[OpKind, Callable[[Values, Quant, Quant], Values]]] = {
    OpKind.LOGISTIC: logistic_table,
    OpKind.TANH: tanh_table,
    OpKind.RELU: relu_table,
    OpKind.RELU6: relu6_table,
    OpKind.HARD_SWISH: hard_swish_table,
    OpKind.QUANTIZE: requantize_table,
}


def lower_unary(graph: Graph, op: Op) -> Lowered:
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, out)
    x_quant, out_quant = quant(graph, op, x), quant(graph, op, out)
    _check(graph, op, x_quant, out_quant)
    values = np.arange(-128, 128, dtype=np.int64)
    if isinstance(op.attrs, LeakyReluAttrs):
        table = leaky_relu_table(values, x_quant, out_quant, op.attrs.alpha)
    else:
        table = TABLES[op.kind](values, x_quant, out_quant)
    return Lowered(op, Lut(tuple(table.tolist()), x.elements), (x.index,), op.outputs)


def _check(graph: Graph, op: Op, x_quant: Quant, out_quant: Quant) -> None:
    """What TFLM refuses, and where its arithmetic has no defined result."""
    if op.kind is OpKind.LOGISTIC and out_quant.zero_point != -128:
        raise unsupported(graph, op, f"output zero point is {out_quant.zero_point}, must be -128")
    if op.kind in (OpKind.LOGISTIC, OpKind.TANH) and x_quant.scale < 2.0**-28:
        raise unsupported(graph, op, f"input scale {x_quant.scale:g} is below 2^-28")
    if op.kind in (OpKind.RELU, OpKind.LEAKY_RELU, OpKind.QUANTIZE):
        alpha = op.attrs.alpha if isinstance(op.attrs, LeakyReluAttrs) else 1.0
        requant(graph, op, x_quant.scale / out_quant.scale)
        requant(graph, op, abs(alpha) * x_quant.scale / out_quant.scale)
    if op.kind is OpKind.HARD_SWISH and x_quant.scale / 128 >= out_quant.scale:
        raise unsupported(
            graph,
            op,
            f"output scale {out_quant.scale:g} is below a 128th of the input's, "
            f"{x_quant.scale:g}; requantise the model",
        )


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.LEAKY_RELU: lower_unary,
    **{kind: lower_unary for kind in TABLES if kind is not OpKind.QUANTIZE},
}
