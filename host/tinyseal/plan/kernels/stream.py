"""Two layers as one: rows of the first in a line buffer, from which the second is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tinyseal.board import Board
from tinyseal.graph.lowering import Array, Lowered, Params
from tinyseal.graph.ops.window import Window
from tinyseal.plan.kernels.kernel import Kernel, KernelSet


@dataclass(frozen=True)
class Place:
    """Where rows begin: bytes from the start of the stream's input, output or line buffer."""

    memory: Literal["input", "output", "lines"]
    offset: int


@dataclass(frozen=True, eq=False)
class Call:
    """A few rows of one of the layers, by a kernel of its own."""

    lowered: Lowered
    params: Window  # the layer's, cut down to these rows
    kernel: Kernel
    source: Place
    target: Place


@dataclass(frozen=True)
class Move:
    """Rows that the next call needs again go to the start of the line buffer."""

    offset: int
    bytes: int


@dataclass(frozen=True, eq=False)
class Stream(Params):
    """What one layer makes and only the next one reads is never there as a whole."""

    first: Lowered
    second: Lowered
    calls: tuple[Call | Move, ...]
    lines: int  # bytes of the line buffer
    scratch: int  # bytes that a call takes at most
    lag: int
    instructions: float

    @property
    def macs(self) -> int:
        return self.first.params.macs + self.second.params.macs

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        return self.second.params.run(self.first.params.run(inputs, state), state)


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
