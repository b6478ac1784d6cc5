"""Pairs of layers whose rows can be streamed, so that the tensor between them needs no memory.

The second layer is run a few rows of outputs at a time. Before each, the rows that it sees are
made by the first: those not seen before; the others are still in the line buffer. No row is made
twice, so streaming costs calls and moves, and what a kernel does anew for each call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeGuard

from tinyseal.board import Board
from tinyseal.graph.ir import Graph
from tinyseal.graph.lowering import Lowered, Params
from tinyseal.graph.ops.window import Window
from tinyseal.plan.arena import align_up
from tinyseal.plan.choose import candidates
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.kernels.stream import Call, Move, Place, Stream

ROWS: Final = (1, 2, 4)  # of outputs of the second layer at a time
CALL: Final = 12.0  # instructions
MOVE: Final = 2.0  # a word, in a loop of the C library that copies bytes where it is small


def streamed(
    graph: Graph,
    lowered: Sequence[Lowered],
    aliases: dict[int, int],
    board: Board,
    kernels: KernelSet | None,
    step: int,
) -> Iterator[list[Lowered]]:
    """`lowered` with layers `step` and `step + 1` streamed, in several ways; none if they cannot
    be: the tensor between them must be theirs alone, and both slide windows over one image."""
    if not 0 <= step < len(lowered) - 1:
        return
    first, second = lowered[step], lowered[step + 1]
    if not (_slides(first.params) and _slides(second.params)):
        return
    between = first.outputs[0]
    others = [item for k, item in enumerate(lowered) if k not in (step, step + 1)]
    shared = between in graph.outputs or between in aliases.values()
    if shared or second.inputs[0] != between or any(between in o.inputs for o in others):
        return
    for rows in ROWS:
        if rows < second.params.out_h:
            made = _stream(first, second, first.params, second.params, board, kernels, rows)
            item = Lowered(second.op, made, first.inputs, second.outputs)
            yield [*lowered[:step], item, *lowered[step + 2 :]]


def _slides(params: Params) -> TypeGuard[Window]:
    return isinstance(params, Window) and params.batches == 1


def _stream(
    first: Lowered,
    second: Lowered,
    p: Window,
    q: Window,
    board: Board,
    kernels: KernelSet | None,
    rows: int,
) -> Stream:
    in_row, row, out_row = p.in_w * p.in_ch, p.out_w * p.out_ch, q.out_w * q.out_ch
    calls: list[Call | Move] = []
    made, base, most, lag, scratch, cost = 0, 0, 0, 0, 0, 0.0

    def call(item: Lowered, params: Window, source: Place, target: Place) -> None:
        nonlocal scratch, cost
        chosen = candidates(replace(item, params=params), board, kernels)[0]
        scratch = max(scratch, chosen.kernel.scratch(params, board))
        cost += chosen.instructions + CALL
        calls.append(Call(item, params, chosen.kernel, source, target))

    for y in range(0, q.out_h, rows):
        end = min(y + rows, q.out_h)
        low, high = _seen(q, y, end)
        if high > made:
            if low > base and made > low:
                calls.append(Move((low - base) * row, (made - low) * row))
                cost += CALL + MOVE * (made - low) * row
            base = low if low > base else base
            made = max(made, low)
            from_row, to_row = _seen(p, made, high)
            call(
                first,
                _cut(p, made, high, from_row, to_row),
                Place("input", from_row * in_row),
                Place("lines", (made - base) * row),
            )
            made = high
        most = max(most, high - base)
        call(
            second,
            _cut(q, y, end, low, high),
            Place("lines", (low - base) * row),
            Place("output", y * out_row),
        )
        if made < p.out_h and end < q.out_h:
            lag = max(lag, end * out_row - _seen(p, made, p.out_h)[0] * in_row)
    return Stream(first, second, tuple(calls), align_up(most * row), scratch, lag, cost)


def _seen(p: Window, first: int, end: int) -> tuple[int, int]:
    """The rows of the input that outputs `first` to `end` see."""
    reach = (p.filter_h - 1) * p.dilation_h + 1
    low = max(0, first * p.stride_h - p.pad_h)
    return low, max(low, min(p.in_h, (end - 1) * p.stride_h - p.pad_h + reach))


def _cut(p: Window, first: int, end: int, low: int, high: int) -> Window:
    """`p` for output rows `first` to `end`, which see input rows `low` to `high`."""
    pad_h = low - (first * p.stride_h - p.pad_h)
    return replace(p, in_h=high - low, out_h=end - first, pad_h=pad_h)
