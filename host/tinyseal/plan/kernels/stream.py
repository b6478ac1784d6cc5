"""Several layers as one: rows of each in a line buffer, from which those after it are fed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tinyseal.board import Board
from tinyseal.graph.lowering import Array, Lowered, Params
from tinyseal.plan.kernels.kernel import Kernel, KernelSet

LONGEST: Final = 64  # calls in a loop


@dataclass(frozen=True)
class Place:
    """Where rows begin: bytes from the start of the stream's input, output or line buffers."""

    memory: Literal["input", "output", "lines"]
    offset: int


@dataclass(frozen=True, eq=False)
class Call:
    """A few rows of one of the layers, by a kernel of its own."""

    lowered: Lowered
    params: Params  # the layer's, cut down to these rows; one object for each cut
    kernel: Kernel
    sources: tuple[Place, ...]  # of its inputs
    target: Place

    @property
    def places(self) -> tuple[Place, ...]:
        return (*self.sources, self.target)

    @property
    def work(self) -> tuple[object, ...]:
        """What it does, wherever."""
        return id(self.params), self.kernel.function


@dataclass(frozen=True, eq=False)
class Move:
    """Rows that are needed again go to the start of their line buffer, which is below them."""

    source: Place
    target: Place
    bytes: int

    @property
    def places(self) -> tuple[Place, ...]:
        return self.source, self.target

    @property
    def work(self) -> tuple[object, ...]:
        return (self.bytes,)


@dataclass(frozen=True, eq=False)
class Loop:
    """`calls`, `count` times; each time their places lie `strides` bytes further on."""

    calls: tuple[Call | Move, ...]
    strides: tuple[tuple[int, ...], ...]  # of each call's places
    count: int


@dataclass(frozen=True, eq=False)
class Stream(Params):
    """What these layers make for one another is never there as a whole: one input, one output."""

    layers: tuple[Lowered, ...]
    calls: tuple[Call | Move, ...]
    lines: int  # bytes of the line buffers
    scratch: int  # bytes that a call takes at most
    lag: int
    instructions: float

    @property
    def macs(self) -> int:
        return sum(item.params.macs for item in self.layers)

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        values: dict[int, Array] = {}
        for item in self.layers:
            known = [values.get(index, inputs[0]) for index in item.inputs]
            values[item.outputs[0]] = item.params.run(known, state)[0]
        return [values[self.layers[-1].outputs[0]]]


def loops(calls: Sequence[Call | Move]) -> Iterator[Loop]:
    """`calls` in their order, what repeats as loops."""
    works = [(call.work, tuple(place.memory for place in call.places)) for call in calls]
    at = 0
    while at < len(calls):
        left = len(calls) - at
        found = [(_count(calls, works, at, n), n) for n in range(1, min(left // 2, LONGEST) + 1)]
        count, length = max(found, key=lambda f: ((f[0] - 1) * f[1], -f[1]), default=(1, 1))
        length = length if count > 1 else 1
        strides = (
            [_strides(calls, k, length) for k in range(at, at + length)] if count > 1 else [()]
        )
        yield Loop(tuple(calls[at : at + length]), tuple(strides), count)
        at += count * length


def _count(calls: Sequence[Call | Move], works: Sequence[object], at: int, length: int) -> int:
    """How often the `length` calls from `at` on follow one another."""
    end = at + length
    while end < len(calls) and works[end] == works[end - length]:
        first = at + (end - at) % length
        if _strides(calls, end - length, length) != _strides(calls, first, length):
            break
        end += 1
    return (end - at) // length


def _strides(calls: Sequence[Call | Move], at: int, length: int) -> tuple[int, ...]:
    pairs = zip(calls[at].places, calls[at + length].places, strict=True)
    return tuple(after.offset - before.offset for before, after in pairs)


def _scratch(p: Stream, board: Board) -> int:
    return p.lines + p.scratch


KERNELS: Final = (
    Kernel(
        KernelSet.REFERENCE,
        "stream",
        Stream,
        instructions=lambda p, board: p.instructions,
        scratch=_scratch,
        lag=lambda p, board: p.lag,
    ),
)
