"""MEAN, SUM."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.fixedpoint import requantize_s8
from tinyseal.graph.ir import Graph, Op, OpKind, ReduceAttrs
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import constant, input_tensor, quant, requant, require, require_s8

_LOOPS: Final = 3  # kept and reduced loops of nn_reduce_s8; enough for any rank up to 6


@dataclass(frozen=True)
class Loop:
    """A dimension, or adjacent ones merged: `count` steps of `stride` elements."""

    count: int
    stride: int


@dataclass(frozen=True)
class Reduce(Params):
    """Sum over `reduced` for every position of `kept`, outermost first, then requantised.

    Mirrors `struct nn_reduce`. MEAN differs only in its multiplier and shift, which hold the
    division.
    """

    kept: tuple[Loop, ...]
    reduced: tuple[Loop, ...]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    axes: tuple[int, ...]
    in_offset: int  # minus the input's zero point, times the elements of one sum
    out_offset: int
    multiplier: int
    shift: int

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        acc = inputs[0].astype(np.int64).sum(axis=self.axes) + self.in_offset
        out = requantize_s8(acc, self.multiplier, self.shift, self.out_offset, -128, 127)
        return [out.reshape(self.out_shape)]


def loops(shape: Sequence[int], axes: Sequence[int]) -> tuple[tuple[Loop, ...], tuple[Loop, ...]]:
    """(kept, reduced) of `shape`, neighbours of one kind merged, outermost first."""
    kept: list[Loop] = []
    reduced: list[Loop] = []
    stride = math.prod(shape)
    sizes = [(axis in axes, size) for axis, size in enumerate(shape) if size != 1]
    for is_reduced, group in itertools.groupby(sizes, key=lambda item: item[0]):
        count = math.prod(size for _, size in group)
        stride //= count
        (reduced if is_reduced else kept).append(Loop(count, stride))
    return tuple(kept), tuple(reduced)


def _lower(graph: Graph, op: Op, is_mean: bool) -> Lowered:
    assert isinstance(op.attrs, ReduceAttrs)
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, out)
    require(graph, op, 0 not in x.shape, f"input {x.name} is empty")
    rank = len(x.shape)
    given = [int(a) for a in np.ravel(constant(graph, op, 1))]
    require(graph, op, all(-rank <= a < rank for a in given), f"axes {given} of {rank} dimensions")
    axes = tuple(sorted({a % rank for a in given}))
    kept_sizes = [1 if a in axes else size for a, size in enumerate(x.shape)]
    require(
        graph,
        op,
        math.prod(kept_sizes) == out.elements,
        f"output {out.shape} does not follow from input {x.shape} and axes {given}",
    )
    kept, reduced = loops(x.shape, axes)
    require(
        graph,
        op,
        max(len(kept), len(reduced)) <= _LOOPS,
        f"input {x.shape} with axes {given} needs more than {_LOOPS} loops of a kind",
    )
    count = math.prod(loop.count for loop in reduced)
    require(graph, op, count < 1 << 23, f"sums of {count} elements overflow 32 bits")
    x_quant, out_quant = quant(graph, op, x), quant(graph, op, out)
    factor = requant(graph, op, x_quant.scale / out_quant.scale)
    multiplier, shift = factor.multiplier, factor.shift
    if is_mean:
        # QuantizedMeanOrSum: the division by `count` goes into the multiplier, whose lost bits
        # the shift gives back.
        bits = min(count.bit_length() - 1, 31 + shift)
        multiplier, shift = (multiplier << bits) // count, shift - bits
    params = Reduce(
        kept=kept,
        reduced=reduced,
        in_shape=x.shape,
        out_shape=out.shape,
        axes=axes,
        in_offset=-x_quant.zero_point * count,
        out_offset=out_quant.zero_point,
        multiplier=multiplier,
        shift=shift,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_mean(graph: Graph, op: Op) -> Lowered:
    return _lower(graph, op, is_mean=True)


def lower_sum(graph: Graph, op: Op) -> Lowered:
    return _lower(graph, op, is_mean=False)


LOWERINGS: Final[dict[OpKind, Lowering]] = {OpKind.MEAN: lower_mean, OpKind.SUM: lower_sum}
