"""Layers whose rows can be streamed, so that the tensors between them need no memory.

The last layer is run a few rows of outputs at a time. Before each, the rows that it sees are made
by the layers before it, and so on up to the first: those not made before; the others are still in
line buffers. No row is made twice, so streaming costs calls and moves, and what a kernel does anew
for each call. What is made for an operator that works in place goes where its output will be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final, TypeGuard

from tinyseal.board import Board
from tinyseal.graph.ir import DType, Graph
from tinyseal.graph.lowering import Lowered, Params
from tinyseal.graph.ops.arithmetic import Add, MinMax, Mul
from tinyseal.graph.ops.unary import Lut
from tinyseal.graph.ops.window import Window
from tinyseal.graph.walk import Walk
from tinyseal.plan.arena import align_up
from tinyseal.plan.choose import candidates
from tinyseal.plan.kernels import Kernel, KernelSet
from tinyseal.plan.kernels.stream import Call, Move, Place, Stream

ByElement = Add | Mul | MinMax | Lut

ROWS: Final = (1, 2, 4, 8)  # that a call makes at most
SPARE: Final = 6  # rows that line buffers have beyond their need, so that rows move less often
CALL: Final = 12.0  # instructions
MOVE: Final = 0.6  # a byte, where the C library moves words


@dataclass(frozen=True)
class _Part:
    """A kernel for a few rows of a layer."""

    params: Params
    kernel: Kernel
    scratch: int
    instructions: float


class Streams:
    """The streams that a graph's layers allow on a board."""

    def __init__(
        self,
        graph: Graph,
        lowered: Sequence[Lowered],
        aliases: Mapping[int, int],
        board: Board,
        kernels: KernelSet | None,
    ) -> None:
        self._graph = graph
        self._lowered = lowered
        self._board = board
        self._kernels = kernels
        self._shared = {*graph.outputs, *aliases.values()}  # tensors that others have to find
        self._readers: dict[int, set[int]] = {}
        for step, item in enumerate(lowered):
            for index in item.inputs:
                self._readers.setdefault(index, set()).add(step)
        self.row_bytes = cache(self._bytes_of_row)
        self.parts = cache(self._parts)
        self._goes_by_rows = cache(self._can_go_by_rows)

    def allows(self, first: int, end: int) -> bool:
        """Whether steps `first` to `end` can be one: they go from one image to another, and what
        they make in between is theirs alone."""
        layers = self._lowered[first:end]
        if not all(map(self._goes_by_rows, layers)):
            return False
        inner = {item.outputs[0] for item in layers[:-1]}
        span = set(range(first, end))
        used_within = all(self._readers.get(index, {-1}) <= span for index in inner)
        return used_within and not inner & self._shared and len(self._sources(layers)) == 1

    def of(self, first: int, end: int) -> Iterator[Lowered]:
        """Steps `first` to `end` as one, in the ways that no other beats in all respects; the
        fewest instructions first."""
        layers = self._lowered[first:end]
        (source,) = self._sources(layers)
        schedules = []
        for rows in ROWS:
            if rows < self.rows(layers[-1].outputs[0]):
                least = _Schedule(self, layers, source, rows)
                roomy = {index: height + SPARE for index, height in least.heights.items()}
                schedules += [least, _Schedule(self, layers, source, rows, roomy)]
        found = [(schedule, need) for schedule in schedules for need in schedule.needs()]
        kept: list[_Need] = []
        for schedule, need in sorted(found, key=lambda f: (f[1].instructions, f[1].bytes)):
            if not any(k.bytes <= need.bytes and k.lag <= need.lag for k in kept):
                kept.append(need)
                yield schedule.lowered(need)

    @staticmethod
    def _sources(layers: Sequence[Lowered]) -> set[int]:
        inner = {item.outputs[0] for item in layers[:-1]}
        return {index for item in layers for index in item.inputs} - inner

    def _can_go_by_rows(self, item: Lowered) -> bool:
        tensors = [self._graph.tensor(i) for i in (*item.inputs, *item.outputs)]
        images = all(
            t.dtype is DType.S8 and len(t.shape) == 4 and t.shape[0] == 1 and not t.is_constant
            for t in tensors
        )
        alone = len(item.outputs) == 1 and not item.state
        return images and alone and (isinstance(item.params, Window) or _by_element(item.params))

    def rows(self, tensor: int) -> int:
        return self._graph.tensor(tensor).shape[1]

    def _bytes_of_row(self, tensor: int) -> int:
        return self._graph.tensor(tensor).bytes // self.rows(tensor)

    def in_place(self, item: Lowered) -> frozenset[int]:
        """Input positions that the output can take the place of, whatever kernel runs."""
        able = candidates(item, self._board, self._kernels)
        return frozenset.intersection(*(frozenset(c.kernel.in_place) for c in able))

    def _parts(self, item: Lowered, rows: int, in_rows: int, pad_h: int) -> list[_Part]:
        """The kernels for `rows` rows of outputs of `item`, the fastest first."""
        params = item.params
        if isinstance(params, Window):
            params = replace(params, in_h=in_rows, out_h=rows, pad_h=pad_h)
        elif isinstance(params, Lut):
            params = replace(params, elements=rows * self.row_bytes(item.outputs[0]))
        elif _by_element(params):
            walk = Walk((rows * self.row_bytes(item.outputs[0]),), (1,), (1,))
            params = replace(params, walk=walk)  # type: ignore[arg-type]  # all have one
        able = candidates(replace(item, params=params), self._board, self._kernels)
        return [
            _Part(params, c.kernel, c.kernel.scratch(params, self._board), c.instructions)
            for c in able
        ]


def _by_element(params: Params) -> TypeGuard[ByElement]:
    """Whether element n of the output comes from element n of each input."""
    dense = isinstance(params, Add | Mul | MinMax) and params.walk.is_dense
    return dense or isinstance(params, Lut)


@dataclass(frozen=True, eq=False)
class _Rows:
    """A call; where things are: the tensor whose memory it is, and bytes."""

    lowered: Lowered
    parts: list[_Part]
    sources: tuple[tuple[int, int], ...]
    target: tuple[int, int]


@dataclass(frozen=True)
class _Need:
    """What a stream takes: bytes, of which so many are scratch, and instructions."""

    bytes: int
    scratch: int
    lag: int
    instructions: float


@dataclass(frozen=True)
class _Keep:
    """Bytes of a line buffer that are needed again, from `offset` on."""

    home: int
    offset: int
    bytes: int


class _Schedule:
    """The calls of one stream, `rows` rows at most by each.

    `capacity` has the rows of each line buffer; without, they have what they need at least, and
    what is kept moves whenever a row is added. `heights` then says how much that was.
    """

    def __init__(
        self,
        streams: Streams,
        layers: Sequence[Lowered],
        source: int,
        rows: int,
        capacity: Mapping[int, int] | None = None,
    ) -> None:
        self._streams = streams
        self._layers = layers
        self._source = source
        self._sink = layers[-1].outputs[0]
        self._rows = rows
        self._capacity = capacity
        self._producers = {item.outputs[0]: item for item in layers}
        self._home = self._homes()
        self._made = dict.fromkeys(self._producers, 0)  # rows
        self._base = dict.fromkeys(self._producers, 0)  # the first row in a line buffer
        self._top = dict.fromkeys(self._producers, 0)  # behind the last row there
        self.heights = {t: 0 for t, home in self._home.items() if home == t != self._sink}
        self._calls: list[_Rows | _Keep] = []
        self._written = 0  # bytes of the output
        self._lag = 0
        self._make(layers[-1], streams.rows(self._sink))
        self._starts, self._lines = {}, 0  # of the line buffers, and bytes of them all
        for home, height in self.heights.items():
            self._starts[home] = self._lines
            self._lines += align_up(height * streams.row_bytes(home))

    def _homes(self) -> dict[int, int]:
        """Of each tensor, the one in whose memory it is: where an operator works in place, what
        only it reads is where its output will be."""
        home = {t: t for t in self._producers}
        for item in reversed(self._layers):
            if not _by_element(item.params):
                continue
            for position in sorted(self._streams.in_place(item)):
                index = item.inputs[position]
                readers = [reader for reader in self._layers if index in reader.inputs]
                if index in home and readers == [item] and item.inputs.count(index) == 1:
                    home[index] = home[item.outputs[0]]
                    break
        return home

    def _make(self, item: Lowered, end: int) -> None:
        """Rows of `item` up to `end`, but those that nobody sees."""
        out = item.outputs[0]
        while self._made[out] < end:
            start = self._made[out]
            if out != self._sink:
                start = self._made[out] = max(start, min(self._needed(out), end))
            stop = min(start + self._rows, end)
            for index in item.inputs:
                if index in self._producers and start < stop:
                    self._make(self._producers[index], _seen(item, start, stop)[1])
            if start < stop:
                self._call(item, start, stop)
            self._made[out] = stop

    def _needed(self, tensor: int) -> int:
        """The first row of `tensor` that is still to be read."""
        readers = [item for item in self._layers if tensor in item.inputs]
        height = self._streams.rows(tensor)
        firsts = []
        for item in readers:
            made, rows = self._made[item.outputs[0]], self._streams.rows(item.outputs[0])
            firsts.append(_seen(item, made, rows)[0] if made < rows else height)
        return min(firsts)

    def _call(self, item: Lowered, start: int, stop: int) -> None:
        """Rows `start` to `stop` of `item`, whose inputs are there."""
        out = item.outputs[0]
        self._make_room(self._home[out], stop)
        sources = []
        for index in item.inputs:
            low, high = _seen(item, start, stop)
            sources.append(self._at(index, low))
        pad_h = 0
        if isinstance(item.params, Window):
            pad_h = low - (start * item.params.stride_h - item.params.pad_h)
        parts = self._streams.parts(item, stop - start, high - low, pad_h)
        self._calls.append(_Rows(item, parts, tuple(sources), self._at(out, start)))
        if self._home[out] == self._sink:
            self._written = stop * self._streams.row_bytes(self._sink)
        needed = self._needed(self._source)
        if needed < self._streams.rows(self._source):
            behind = self._written - needed * self._streams.row_bytes(self._source)
            self._lag = max(self._lag, behind)

    def _make_room(self, home: int, stop: int) -> None:
        """For rows of `home` up to `stop`."""
        if home == self._sink or stop <= self._top[home]:
            return
        low = min(self._needed(home), self._made[home])
        base, top = self._base[home], self._top[home]
        full = self._capacity is None or stop - base > self._capacity[home]
        if full and low > base:
            if top > low:
                size = self._streams.row_bytes(home)
                self._calls.append(_Keep(home, (low - base) * size, (top - low) * size))
            self._base[home] = low
        self._top[home] = stop
        self.heights[home] = max(self.heights[home], stop - self._base[home])

    def _at(self, tensor: int, row: int) -> tuple[int, int]:
        """The memory of a tensor, and the bytes to one of its rows there."""
        home = self._home.get(tensor, tensor)
        return home, (row - self._base.get(home, 0)) * self._streams.row_bytes(home)

    def needs(self) -> Iterator[_Need]:
        """With the fastest kernels of all, and with ever less scratch."""
        uses: dict[int, tuple[list[_Part], int]] = {}
        moves = 0.0
        for made in self._calls:
            if isinstance(made, _Keep):
                moves += CALL + MOVE * made.bytes
            else:
                _, count = uses.get(id(made.parts), ([], 0))
                uses[id(made.parts)] = made.parts, count + 1
        limit = math.inf
        while True:
            chosen = [(_within(parts, limit), count) for parts, count in uses.values()]
            some = [(part, count) for part, count in chosen if part is not None]
            if len(some) < len(chosen):
                return
            scratch = max(part.scratch for part, _ in some)
            cost = moves + sum(count * (CALL + part.instructions) for part, count in some)
            yield _Need(self._lines + scratch, scratch, self._lag, cost)
            limit = scratch - 1

    def lowered(self, need: _Need) -> Lowered:
        """The stream as a layer, within `need`."""

        def place(at: tuple[int, int]) -> Place:
            home, offset = at
            if home in self._starts:
                return Place("lines", self._starts[home] + offset)
            return Place("input" if home == self._source else "output", offset)

        calls: list[Call | Move] = []
        for made in self._calls:
            if isinstance(made, _Keep):
                source, target = (place((made.home, offset)) for offset in (made.offset, 0))
                calls.append(Move(source, target, made.bytes))
            else:
                part = _within(made.parts, need.scratch)
                assert part is not None
                sources = tuple(map(place, made.sources))
                target = place(made.target)
                calls.append(Call(made.lowered, part.params, part.kernel, sources, target))
        params = Stream(
            tuple(self._layers),
            tuple(calls),
            self._lines,
            need.scratch,
            self._lag,
            need.instructions,
        )
        last = self._layers[-1]
        return Lowered(last.op, params, (self._source,), last.outputs)


def _within(parts: Sequence[_Part], limit: float) -> _Part | None:
    """The fastest whose scratch is within `limit` bytes."""
    return next((part for part in parts if part.scratch <= limit), None)


def _seen(item: Lowered, first: int, end: int) -> tuple[int, int]:
    """The rows of its inputs that outputs `first` to `end` see."""
    p = item.params
    if not isinstance(p, Window):
        return first, end
    reach = (p.filter_h - 1) * p.dilation_h + 1
    low = max(0, first * p.stride_h - p.pad_h)
    return low, max(low, min(p.in_h, (end - 1) * p.stride_h - p.pad_h + reach))
