"""Graph + Board -> Plan."""

from __future__ import annotations

from collections.abc import Sequence

from tinyseal.board import Board
from tinyseal.errors import PlanError
from tinyseal.graph.ir import Graph
from tinyseal.graph.lowering import Alias, Lowered
from tinyseal.graph.ops import lower
from tinyseal.plan.kernels import KERNELS, Kernel, KernelSet
from tinyseal.plan.model import Buffer, Plan, Step

ALIGN = 16


def plan(graph: Graph, board: Board, kernels: KernelSet | None = None) -> Plan:
    """Chooses a kernel for each layer (`kernels` None: the cheapest) and lays out the arena."""
    lowered = [lower(graph, op) for op in graph.ops]
    steps: list[Step] = []
    offset = 0
    buffers: dict[int, Buffer] = {}

    def place(size: int) -> Buffer:
        nonlocal offset
        buffer = Buffer(0, offset, size)
        offset = -(-(offset + size) // ALIGN) * ALIGN
        return buffer

    for index in graph.inputs:
        buffers[index] = place(graph.tensor(index).bytes)
    for item in lowered:
        if isinstance(item.params, Alias):
            buffers[item.outputs[0]] = buffers[item.inputs[0]]
            continue
        kernel = choose(item, board, kernels)
        for index in (*item.outputs, *item.state):
            if index not in buffers:
                buffers[index] = place(graph.tensor(index).bytes)
        scratch = kernel.scratch(item.params, board)
        steps.append(
            Step(
                len(steps),
                item,
                kernel,
                place(scratch) if scratch else None,
                kernel.instructions(item.params, board),
            )
        )
    return Plan(graph, board, tuple(steps), buffers, (offset,), (0,), offset)


def choose(
    item: Lowered, board: Board, wanted: KernelSet | None, kernels: Sequence[Kernel] = KERNELS
) -> Kernel:
    """The cheapest supported kernel, from `wanted` where that set has one."""
    able = [
        k for k in kernels if isinstance(item.params, k.params) and k.supports(item.params, board)
    ]
    preferred = [k for k in able if k.set is wanted] or able
    if wanted is not None and wanted is not KernelSet.REFERENCE and not preferred:
        preferred = [k for k in able if k.set is KernelSet.REFERENCE]
    if not preferred:
        raise PlanError(f"{board.name}: no kernel for {item.op.label}")
    return min(preferred, key=lambda k: k.instructions(item.params, board))
