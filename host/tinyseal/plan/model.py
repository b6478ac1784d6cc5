"""The plan: which kernel runs each layer, and where every byte lies."""

from __future__ import annotations

from dataclasses import dataclass

from tinyseal.board import Board
from tinyseal.graph.ir import Graph
from tinyseal.graph.lowering import Lowered
from tinyseal.plan.kernels.kernel import Kernel


@dataclass(frozen=True)
class Buffer:
    """A range of one arena region: `region` indexes Board.arena_regions."""

    region: int
    offset: int
    bytes: int


@dataclass(frozen=True, eq=False)
class Step:
    """One layer: kernel(inputs) -> outputs, with scratch."""

    index: int  # position among the steps that run (aliases do not)
    lowered: Lowered
    kernel: Kernel
    scratch: Buffer | None
    instructions: float  # estimate

    @property
    def label(self) -> str:
        return self.lowered.op.label


@dataclass(frozen=True, eq=False)
class Plan:
    graph: Graph
    board: Board
    steps: tuple[Step, ...]
    buffers: dict[int, Buffer]  # by tensor: activations, state and aliases; not constants
    arena_bytes: tuple[int, ...]  # per region
    state_bytes: tuple[int, ...]  # per region: the first bytes, kept between inferences
    arena_lower_bound: int  # bytes no plan can go below: the widest step's tensors

    @property
    def macs(self) -> int:
        return sum(step.lowered.params.macs for step in self.steps)
