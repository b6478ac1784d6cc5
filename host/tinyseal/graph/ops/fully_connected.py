"""FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import requantize_s8
from tinyseal.graph.ir import FullyConnectedAttrs, Graph, Op, OpKind
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import (
    activation_range,
    channel_requants,
    constant,
    input_tensor,
    optional_bias,
    quant,
    requant,
    require,
    require_accumulator,
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
    multipliers: Array  # int32, out_depth of them
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
        out = requantize_s8(
            acc, self.multipliers, self.shifts, self.out_offset, self.act_min, self.act_max
        )
        return [out.reshape(self.out_shape)]


def lower_fully_connected(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, FullyConnectedAttrs)
    x, w = input_tensor(graph, op, 0), input_tensor(graph, op, 1)
    out = graph.tensor(op.outputs[0])
    require_s8(graph, op, x, w, out)
    x_quant, w_quant, out_quant = (quant(graph, op, t) for t in (x, w, out))
    weights = constant(graph, op, 1)
    require(
        graph,
        op,
        weights.ndim == 2 and 0 not in weights.shape,
        f"weights {w.name} have shape {weights.shape}; expected [out, in]",
    )
    out_depth, in_depth = weights.shape
    batches, rest = divmod(x.elements, in_depth)
    require(
        graph,
        op,
        rest == 0 and batches * out_depth == out.elements and out.shape[-1:] == (out_depth,),
        f"output {out.shape} does not follow from input {x.shape} and weights {weights.shape}",
    )
    bias = optional_bias(graph, op, 2, out_depth)
    if len(w_quant.scales) > 1:
        filter_zero_point = 0
        multipliers, shifts = channel_requants(
            graph, op, x_quant, w_quant, out_quant, out_depth, axis=0
        )
    else:
        filter_zero_point = w_quant.zero_point
        # Here TFLM multiplies the scales in float32, unlike per channel
        # (GetQuantizedConvolutionMultipler).
        product = float(np.float32(x_quant.scale) * np.float32(w_quant.scale))
        factor = requant(graph, op, product / out_quant.scale)
        multipliers = np.full(out_depth, factor.multiplier, dtype=np.int32)
        shifts = np.full(out_depth, factor.shift, dtype=np.int32)
    require_accumulator(graph, op, weights, bias, filter_zero_point)
    act_min, act_max = activation_range(graph, op, op.attrs.activation, out_quant)
    params = FullyConnected(
        batches=batches,
        in_depth=in_depth,
        out_depth=out_depth,
        in_offset=-x_quant.zero_point,
        filter_offset=-filter_zero_point,
        out_offset=out_quant.zero_point,
        act_min=act_min,
        act_max=act_max,
        multipliers=multipliers,
        shifts=shifts,
        weights=weights,
        bias=bias,
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


LOWERINGS: Final[dict[OpKind, Lowering]] = {OpKind.FULLY_CONNECTED: lower_fully_connected}
