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
    instructions: float  # measured by tuning, or estimated
    is_tuned: bool = False  # the kernel was chosen by measurement

    @property
    def label(self) -> str:
        return self.lowered.op.label


@dataclass(frozen=True)
class Held:
    """A buffer and the steps it is held for: -1 is before the first, len(steps) after the last.

    Tensors that share memory (aliases, in-place operators) are one Held.
    """

    name: str  # of what is in it first: `conv_2d_0 output`, `softmax_9 scratch`, `input image`
    buffer: Buffer
    first: int
    last: int


def arena_budgets(board: Board, ram: int | None) -> tuple[int, ...]:
    """Arena bytes of each region, of `ram` in all, the fastest region first."""
    budgets = []
    for memory in board.arena_regions:
        budgets.append(memory.arena_bytes if ram is None else min(memory.arena_bytes, ram))
        ram = None if ram is None else ram - budgets[-1]
    return tuple(budgets)


@dataclass(frozen=True, eq=False)
class Plan:
    graph: Graph
    board: Board
    steps: tuple[Step, ...]
    buffers: dict[int, Buffer]  # by tensor: activations, state and aliases; not constants
    held: tuple[Held, ...]
    arena_bytes: tuple[int, ...]  # per region
    state_bytes: tuple[int, ...]  # per region: the first bytes, kept between inferences
    arena_lower_bound: int  # bytes no plan can go below: the widest step's tensors
    ram: int | None = None  # bytes the arena may take by the user's wish

    @property
    def macs(self) -> int:
        return sum(step.lowered.params.macs for step in self.steps)

    @property
    def instructions(self) -> float:
        """Estimate for one inference."""
        return sum(step.instructions for step in self.steps)

    @property
    def budgets(self) -> tuple[int, ...]:
        """Arena bytes the board has, per region, and no more than the user's wish."""
        return arena_budgets(self.board, self.ram)

    @property
    def fits(self) -> bool:
        return all(n <= free for n, free in zip(self.arena_bytes, self.budgets, strict=True))
