"""QUANTIZE and DEQUANTIZE. Source: TFLM's quantize_common.cc, reference/requantize.h, quantize.h
and dequantize.h."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import Requant, requantize, wrap32
from tinyseal.graph.ir import DType, Graph, Op, OpKind
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import input_tensor, quant, requant, unsupported
from tinyseal.graph.ops.unary import lower_unary

REQUANTIZED: Final = (
    (DType.S8, DType.S16),
    (DType.S8, DType.S32),
    (DType.S16, DType.S8),
)


@dataclass(frozen=True)
class Requantize(Params):
    """Mirrors `struct nn_quantize`: integers to integers of another size."""

    elements: int
    in_dtype: DType
    out_dtype: DType
    in_offset: int
    out_offset: int
    requant: Requant

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].astype(np.int64) + self.in_offset
        scaled = requantize(x, self.requant.multiplier, self.requant.shift)
        limits = np.iinfo(self.out_dtype.value)
        out = np.clip(wrap32(scaled + self.out_offset), limits.min, limits.max)
        return [out.astype(self.out_dtype.value)]


@dataclass(frozen=True)
class QuantizeFloat(Params):
    """`nn_quantize_f32_s8`. Where TFLM's conversion to int32 would overflow, and has no defined
    result, this saturates."""

    elements: int
    scale: float
    zero_point: int

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        with np.errstate(over="ignore", invalid="ignore"):
            x = np.nan_to_num(inputs[0] / np.float32(self.scale), nan=0.0)
        x = np.clip(x, -512, 512).astype(np.float64)
        rounded = np.copysign(np.floor(np.abs(x) + 0.5), x).astype(np.int64)
        return [np.clip(rounded + self.zero_point, -128, 127).astype(np.int8)]


@dataclass(frozen=True)
class Dequantize(Params):
    """`nn_quantize_s8_f32`."""

    elements: int
    scale: float
    zero_point: int

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        # TFLM multiplies in double and rounds once; the double product is exact.
        centred = inputs[0].astype(np.float64) - self.zero_point
        return [(centred * np.float64(self.scale)).astype(np.float32)]


def lower_quantize(graph: Graph, op: Op) -> Lowered:
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    if x.dtype is DType.S8 and out.dtype is DType.S8:
        return lower_unary(graph, op)
    out_quant = quant(graph, op, out)
    params: Params
    if x.dtype is DType.F32 and out.dtype is DType.S8:
        params = QuantizeFloat(x.elements, out_quant.scale, out_quant.zero_point)
    elif (x.dtype, out.dtype) in REQUANTIZED:
        x_quant = quant(graph, op, x)
        params = Requantize(
            elements=x.elements,
            in_dtype=x.dtype,
            out_dtype=out.dtype,
            in_offset=-x_quant.zero_point,
            out_offset=out_quant.zero_point,
            requant=requant(graph, op, x_quant.scale / out_quant.scale),
        )
    else:
        raise unsupported(
            graph, op, f"{x.name} is {x.dtype.value} and {out.name} is {out.dtype.value}"
        )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_dequantize(graph: Graph, op: Op) -> Lowered:
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    if x.dtype is not DType.S8 or out.dtype is not DType.F32:
        raise unsupported(
            graph, op, f"{x.name} is {x.dtype.value} and {out.name} is {out.dtype.value}"
        )
    x_quant = quant(graph, op, x)
    params = Dequantize(x.elements, x_quant.scale, x_quant.zero_point)
    return Lowered(op, params, (x.index,), op.outputs)


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.QUANTIZE: lower_quantize,
    OpKind.DEQUANTIZE: lower_dequantize,
}
