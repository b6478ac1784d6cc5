"""AVERAGE_POOL_2D, MAX_POOL_2D."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from tinyseal.graph.ir import Graph, Op, OpKind, Pool2DAttrs
from tinyseal.graph.lowering import Array, Lowered, Lowering
from tinyseal.graph.ops.common import (
    activation_range,
    input_tensor,
    quant,
    require,
    require_s8,
)
from tinyseal.graph.ops.window import Window, padding_before, require_nhwc


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Window):
    """Mirrors `struct nn_pool`; out_ch == in_ch. Padding takes no part."""

    act_min: int
    act_max: int


@dataclass(frozen=True, eq=False, kw_only=True)
class AveragePool2D(Pool):
    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        total = np.zeros(self.out_shape, dtype=np.int64)
        count = np.zeros(self.out_shape, dtype=np.int64)
        for _, _, seen in self.taps(inputs[0].astype(np.int64), 0):
            total += seen
        for _, _, seen in self.taps(np.ones_like(inputs[0], dtype=np.int64), 0):
            count += seen
        # Half away from zero, but C's division: the half is itself cut to an integer.
        average = np.sign(total) * ((np.abs(total) + count // 2) // count)
        return [np.clip(average, self.act_min, self.act_max).astype(np.int8)]


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2D(Pool):
    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        greatest = np.full(self.out_shape, -128, dtype=np.int8)
        for _, _, seen in self.taps(inputs[0], -128):
            greatest = np.maximum(greatest, seen)
        return [np.clip(greatest, self.act_min, self.act_max).astype(np.int8)]


P = TypeVar("P", bound=Pool)


def _lower(graph: Graph, op: Op, params: type[P]) -> Lowered:
    assert isinstance(op.attrs, Pool2DAttrs)
    attrs = op.attrs
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, out)
    require_nhwc(graph, op, x, out)
    x_quant, out_quant = quant(graph, op, x), quant(graph, op, out)
    require(
        graph,
        op,
        abs(x_quant.scale - out_quant.scale) <= 1e-6 and x_quant.zero_point == out_quant.zero_point,
        f"input and output must be quantised alike, not {x_quant.scale:g}, "
        f"{x_quant.zero_point} and {out_quant.scale:g}, {out_quant.zero_point}",
    )
    require(
        graph,
        op,
        x.shape[0] == out.shape[0] and x.shape[3] == out.shape[3],
        f"output {out.shape} does not follow from input {x.shape}",
    )
    act_min, act_max = activation_range(graph, op, attrs.activation, out_quant)
    pad_h = padding_before(
        graph, op, attrs.padding, x.shape[1], out.shape[1], attrs.filter_h, attrs.stride_h
    )
    pad_w = padding_before(
        graph, op, attrs.padding, x.shape[2], out.shape[2], attrs.filter_w, attrs.stride_w
    )
    return Lowered(
        op,
        params(
            batches=x.shape[0],
            in_h=x.shape[1],
            in_w=x.shape[2],
            in_ch=x.shape[3],
            out_h=out.shape[1],
            out_w=out.shape[2],
            out_ch=out.shape[3],
            filter_h=attrs.filter_h,
            filter_w=attrs.filter_w,
            stride_h=attrs.stride_h,
            stride_w=attrs.stride_w,
            pad_h=pad_h,
            pad_w=pad_w,
            act_min=act_min,
            act_max=act_max,
        ),
        (x.index,),
        op.outputs,
    )


def lower_average_pool_2d(graph: Graph, op: Op) -> Lowered:
    return _lower(graph, op, AveragePool2D)


def lower_max_pool_2d(graph: Graph, op: Op) -> Lowered:
    return _lower(graph, op, MaxPool2D)


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.AVERAGE_POOL_2D: lower_average_pool_2d,
    OpKind.MAX_POOL_2D: lower_max_pool_2d,
}
