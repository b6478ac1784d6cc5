"""FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import quantize_multiplier, requantize
from tinyseal.graph.ir import FullyConnectedAttrs, Graph, Op, OpKind
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import (
    activation_range,
    constant,
    input_tensor,
    optional_input,
    quant,
    require_s8,
)


@dataclass(frozen=True, eq=False)
class FullyConnected(Params):
    """Mirrors `struct nn_fc`; weights [out_depth, in_depth] int8, bias [out_depth] int32."""

    batches: int
    in_depth: int
    out_depth: int
    in_offset: int
    filter_offset: int
    out_offset: int
    act_min: int
    act_max: int
    multipliers: Array  # int32, one or out_depth
    shifts: Array
    weights: Array
    bias: Array | None
    out_shape: tuple[int, ...]

    @property
    def macs(self) -> int:
        return self.batches * self.in_depth * self.out_depth

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].reshape(self.batches, self.in_depth).astype(np.int64) + self.in_offset
        acc = x @ (self.weights.astype(np.int64) + self.filter_offset).T
        if self.bias is not None:
            acc = acc + self.bias
        out = requantize(acc, self.multipliers, self.shifts) + self.out_offset
        return [np.clip(out, self.act_min, self.act_max).astype(np.int8).reshape(self.out_shape)]


def lower_fully_connected(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, FullyConnectedAttrs)
    x, w = input_tensor(graph, op, 0), input_tensor(graph, op, 1)
    bias = optional_input(graph, op, 2)
    out = graph.tensor(op.outputs[0])
    require_s8(graph, op, x, w, out)
    x_quant, w_quant, out_quant = (quant(graph, op, t) for t in (x, w, out))
    weights = constant(graph, op, 1)
    out_depth, in_depth = weights.shape
    # TFLM multiplies in double precision: input * weight, then divides by the output's.
    requants = [
        quantize_multiplier(x_quant.scale * scale / out_quant.scale) for scale in w_quant.scales
    ]
    act_min, act_max = activation_range(graph, op, op.attrs.activation, out_quant)
    params = FullyConnected(
        batches=out.elements // out_depth,
        in_depth=in_depth,
        out_depth=out_depth,
        in_offset=-x_quant.zero_point,
        filter_offset=-w_quant.zero_point,
        out_offset=out_quant.zero_point,
        act_min=act_min,
        act_max=act_max,
        multipliers=np.array([r.multiplier for r in requants], dtype=np.int32),
        shifts=np.array([r.shift for r in requants], dtype=np.int32),
        weights=weights,
        bias=None if bias is None else constant(graph, op, 2),
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


LOWERINGS: Final[dict[OpKind, Lowering]] = {OpKind.FULLY_CONNECTED: lower_fully_connected}
