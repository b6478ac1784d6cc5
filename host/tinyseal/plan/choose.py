"""Which kernel runs a layer."""

from __future__ import annotations

from collections.abc import Sequence

from tinyseal.board import Board
from tinyseal.errors import PlanError
from tinyseal.graph.lowering import Lowered
from tinyseal.plan.cost import estimate
from tinyseal.plan.kernels import KERNELS, Kernel, KernelSet

AUTO = "auto"


def kernel_set(name: str) -> KernelSet | None:
    """The set called `name`, None for "auto"; PlanError lists the choices."""
    choices = {AUTO: None, **{s.value: s for s in KernelSet}}
    if name not in choices:
        raise PlanError(f"no kernel set {name!r}; kernels: {', '.join(choices)}")
    return choices[name]


def choose(
    item: Lowered,
    board: Board,
    wanted: KernelSet | None,
    kernels: Sequence[Kernel] = KERNELS,
    *,
    lean: bool = False,
) -> Kernel:
    """The kernel of fewest estimated instructions among those that can run `item` on `board`.

    `wanted` None takes it from all sets; otherwise from that set, or from the reference set for
    a layer the wanted set has no kernel for. `lean` puts memory before instructions: kernels
    that let input and output overlap come first, and of these the one with the least scratch.
    """

    def dearness(kernel: Kernel) -> tuple[bool, int, float]:
        spreads = lean and kernel.lag(item.params, board) is None
        scratch = kernel.scratch(item.params, board) if lean else 0
        return spreads, scratch, estimate(kernel, item.params, board)

    able = [
        k for k in kernels if isinstance(item.params, k.params) and k.supports(item.params, board)
    ]
    sets = [None] if wanted is None else [wanted, KernelSet.REFERENCE]
    for allowed in sets:
        candidates = [k for k in able if allowed is None or k.set is allowed]
        if candidates:
            return min(candidates, key=dearness)
    having = sorted({k.set.value for k in able})
    way_out = f"try kernels={having[0]}" if having else "no kernel set has one"
    raise PlanError(
        f"{board.name}: no kernel runs {item.op.label} on {board.core.value}; {way_out}"
    )
