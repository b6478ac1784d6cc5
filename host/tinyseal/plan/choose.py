"""Which kernels can run a layer, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyseal.board import Board
from tinyseal.errors import PlanError
from tinyseal.graph.lowering import Lowered
from tinyseal.plan.cost import estimate
from tinyseal.plan.kernels import KERNELS, Kernel, KernelSet
from tinyseal.plan.tuning import NO_TUNING, Measured, Tuning, Unit

AUTO = "auto"


@dataclass(frozen=True)
class Candidate:
    """A kernel that can run a layer. `is_tuned`: it was chosen by measurement."""

    kernel: Kernel
    instructions: float
    is_tuned: bool = False


def kernel_set(name: str) -> KernelSet | None:
    """The set called `name`, None for "auto"; PlanError lists the choices."""
    choices = {AUTO: None, **{s.value: s for s in KernelSet}}
    if name not in choices:
        raise PlanError(f"no kernel set {name!r}; kernels: {', '.join(choices)}")
    return choices[name]


def candidates(
    item: Lowered,
    board: Board,
    wanted: KernelSet | None,
    tuning: Tuning = NO_TUNING,
    kernels: Sequence[Kernel] = KERNELS,
) -> list[Candidate]:
    """The kernels that can run `item` on `board`, fewest instructions first: those measured, or
    else estimated.

    `wanted` None takes them from all sets, and then `tuning`'s choice comes first; otherwise from
    that set, or from the reference set for a layer the wanted set has no kernel for.
    """
    able = [
        k for k in kernels if isinstance(item.params, k.params) and k.supports(item.params, board)
    ]
    sets = [None] if wanted is None else [wanted, KernelSet.REFERENCE]
    for allowed in sets:
        found = [k for k in able if allowed is None or k.set is allowed]
        if found:
            break
    else:
        having = sorted({k.set.value for k in able})
        way_out = f"try kernels={having[0]}" if having else "no kernel set has one"
        raise PlanError(
            f"{board.name}: no kernel runs {item.op.label} on {board.core.value}; {way_out}"
        )
    measured = tuning.of(item.params) if wanted is None else None
    listed = [
        Candidate(
            k,
            _instructions(k, item, board, tuning.unit, measured),
            measured is not None and k.function == measured.choice,
        )
        for k in found
    ]
    return sorted(listed, key=lambda c: (not c.is_tuned, c.instructions))


def _instructions(
    kernel: Kernel, item: Lowered, board: Board, unit: Unit, measured: Measured | None
) -> float:
    cost = measured.costs.get(kernel.function) if measured is not None else None
    if cost is None:
        return estimate(kernel, item.params, board)
    return cost if unit == "instructions" else cost / board.cost.cycles_per_instruction
