"""SOFTMAX."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import (
    divide_by_pot,
    exp_on_negative_values,
    high_mul,
    one_over_one_plus_x,
    quantize_multiplier,
    requantize,
)
from tinyseal.graph.ir import DType, Graph, Op, OpKind, SoftmaxAttrs
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import input_tensor, quant, require, require_s8

# Differences to the row's maximum are Q5.26, sums of exponentials Q12.19.
_DIFF_BITS: Final = 5
_SUM_BITS: Final = 12
# Zero point and scale of the output, fixed by TFLite.
_OUTPUTS: Final = {DType.S8: (-128, 1.0 / 256), DType.S16: (-32768, 1.0 / 65536)}


@dataclass(frozen=True, eq=False)
class Softmax(Params):
    """Softmax along the last of `shape`, int8 in, `out_dtype` (int8 or int16) out.

    The real difference to the row's maximum is diff * multiplier * 2**(shift - 31) in Q5.26;
    differences under diff_min count as minus infinity.
    """

    shape: tuple[int, ...]
    multiplier: int
    shift: int
    diff_min: int
    out_dtype: DType

    @property
    def depth(self) -> int:
        return self.shape[-1]

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])

    @property
    def exponentials(self) -> Array:
        """exp of the differences 0, -1, -2, ... in Q0.31, int32 [1..256].

        It ends where neither a sum (12 bits dropped) nor an output (15 or more) feels them.
        """
        diffs = -np.arange(min(256, 1 - self.diff_min))
        table = exp_on_negative_values(requantize(diffs, self.multiplier, self.shift), _DIFF_BITS)
        return table[table >= 1 << (_SUM_BITS - 1)].astype(np.int32)

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].reshape(self.rows, self.depth).astype(np.int64)
        diff = x - x.max(axis=1, keepdims=True)
        exps = exp_on_negative_values(requantize(diff, self.multiplier, self.shift), _DIFF_BITS)
        exps = np.where(diff >= self.diff_min, exps, 0)
        sums = divide_by_pot(exps, _SUM_BITS).sum(axis=1, keepdims=True)
        headroom = 32 - np.frexp(sums)[1].astype(np.int64)  # leading zeros: sums are exact
        scale = one_over_one_plus_x((sums << headroom) - (1 << 31))
        bits = self.out_dtype.bytes * 8
        out = divide_by_pot(high_mul(scale, exps), _SUM_BITS - headroom + 31 - bits)
        low = -(1 << (bits - 1))
        return [np.minimum(out + low, -low - 1).astype(self.out_dtype.value).reshape(self.shape)]


def lower_softmax(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, SoftmaxAttrs)
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x)
    require(graph, op, out.dtype in _OUTPUTS, f"output {out.name} is {out.dtype.value}")
    x_quant, out_quant = quant(graph, op, x), quant(graph, op, out)
    zero_point, scale = _OUTPUTS[out.dtype]
    require(
        graph,
        op,
        out_quant.zero_point == zero_point and abs(out_quant.scale - scale) <= 1e-3 * scale,
        f"the output's scale and zero point are {out_quant.scale:g}, {out_quant.zero_point}; "
        f"TFLite fixes them at {scale:g}, {zero_point}",
    )
    require(
        graph,
        op,
        len(x.shape) >= 1 and x.shape == out.shape and 0 < x.shape[-1] < 1 << _SUM_BITS,
        f"shapes {x.shape} and {out.shape}: must be equal, the last dimension in [1, 4095]",
    )
    # beta is a float32 in the file, the product a double (PreprocessSoftmaxScaling).
    factor = min(op.attrs.beta * x_quant.scale * (1 << (31 - _DIFF_BITS)), 2.0**31 - 1)
    require(graph, op, factor > 1, f"beta times the input's scale is {factor / 2**26:g}, too small")
    requant = quantize_multiplier(factor)
    radius = ((1 << _DIFF_BITS) - 1) * (1 << (31 - _DIFF_BITS)) / (1 << requant.shift)
    params = Softmax(x.shape, requant.multiplier, requant.shift, -math.floor(radius), out.dtype)
    return Lowered(op, params, (x.index,), op.outputs)


LOWERINGS: Final[dict[OpKind, Lowering]] = {OpKind.SOFTMAX: lower_softmax}
