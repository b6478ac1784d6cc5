"""Which tensors share memory, and from which step to which each piece of it is held.

Steps are numbered as they run; the caller writes graph inputs in step -1 and reads graph outputs
after the last step, so those are held to there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tinyseal.graph.ir import Graph
from tinyseal.graph.lowering import Lowered
from tinyseal.plan.arena import Block
from tinyseal.plan.kernels.kernel import Kernel

BEFORE = -1  # the step in which the caller writes the inputs


@dataclass(frozen=True)
class Layer:
    """A lowered op that runs, its kernel, and what the planner must know of the call."""

    lowered: Lowered
    kernel: Kernel
    scratch: int  # bytes
    instructions: float
    lag: int | None = None  # Kernel.lag
    is_tuned: bool = False  # chosen by measurement


@dataclass(frozen=True)
class Shares:
    """Blocks, and which block each tensor and each layer's scratch lies in."""

    blocks: tuple[Block, ...]
    of_tensor: dict[int, int]
    of_scratch: dict[int, int]  # by layer
    slides: dict[tuple[int, int], int]  # arena.Slides


@dataclass
class _Storage:
    """Memory of a tensor and its aliases, while the analysis runs."""

    bytes: int
    first: int
    last: int
    state: bool = False  # kept from one inference to the next
    touches: float = 0.0  # instructions of the layers that use it


Prefer = Literal["first", "last", "never"]


def share(graph: Graph, layers: Sequence[Layer], aliases: dict[int, int], prefer: Prefer) -> Shares:
    """Lifetimes of all tensors of `layers`; `aliases` maps a tensor to the one it shares with.

    `prefer` says which dying input an in-place operator overwrites, if it has the choice.
    """
    end = len(layers)
    storages: dict[int, _Storage] = {}

    def hold(tensor: int, step: int) -> None:
        root = graph.tensor(aliases.get(tensor, tensor))
        if root.index not in storages:
            storages[root.index] = _Storage(root.bytes, step, step, root.is_variable)
        storages[root.index].last = step

    for index in graph.inputs:
        hold(index, BEFORE)
    for step, layer in enumerate(layers):
        for index in layer.lowered.inputs:
            if not graph.tensor(index).is_constant:
                hold(index, step)
        for index in (*layer.lowered.outputs, *layer.lowered.state):
            hold(index, step)
    for index in graph.outputs:
        hold(index, end)
    for held in storages.values():
        if held.state:
            held.first, held.last = BEFORE, end

    for layer in layers:
        tensors = {*layer.lowered.inputs, *layer.lowered.outputs, *layer.lowered.state}
        for root in {aliases.get(i, i) for i in tensors} & storages.keys():
            storages[root].touches += layer.instructions

    def dying(step: int, layer: Layer, position: int, in_step: Sequence[int]) -> int | None:
        """The storage that input `position` leaves to the only output, if it does: read for the
        last time here, and at no other position than those the kernel reads in step."""
        inputs, outputs = layer.lowered.inputs, layer.lowered.outputs
        if position >= len(inputs) or len(outputs) != 1:
            return None
        if graph.tensor(inputs[position]).is_constant or inputs[position] == outputs[0]:
            return None
        root, target = aliases.get(inputs[position], inputs[position]), storages[outputs[0]]
        source = storages[root]
        read_at = {p for p, i in enumerate(inputs) if aliases.get(i, i) == root}
        ends = source.last == step and target.first == step and read_at <= set(in_step)
        return root if ends and not source.state and not target.state else None

    # In place: the output continues the input's storage. `heir` follows such chains.
    heir: dict[int, int] = {}
    slides: dict[tuple[int, int], int] = {}
    for step, layer in enumerate(layers) if prefer != "never" else ():
        positions = layer.kernel.in_place
        for position in positions if prefer == "first" else reversed(positions):
            left = dying(step, layer, position, positions)
            output = layer.lowered.outputs[0]
            if left is not None and storages[left].bytes == storages[output].bytes:
                heir[output] = left
                break
        else:
            left = dying(step, layer, 0, (0,))
            if left is not None and layer.lag is not None:
                slides[layer.lowered.outputs[0], left] = layer.lag

    blocks: list[_Storage] = []
    block_of: dict[int, int] = {}
    # By first step, so that a chain's head has its block before its heirs ask for it.
    for root in sorted(storages, key=lambda r: (storages[r].first, r)):
        held = storages[root]
        if root in heir:
            block_of[root] = block_of[heir[root]]
            blocks[block_of[root]].last = held.last
            blocks[block_of[root]].touches += held.touches
        else:
            block_of[root] = len(blocks)
            blocks.append(held)
    of_scratch = {}
    for step, layer in enumerate(layers):
        if layer.scratch:
            of_scratch[step] = len(blocks)
            blocks.append(_Storage(layer.scratch, step, step, touches=layer.instructions))
    of_tensor = {
        **{root: block_of[root] for root in storages},
        **{alias: block_of[root] for alias, root in aliases.items() if root in block_of},
    }
    return Shares(
        tuple(
            Block(b.bytes, b.first, b.last, b.state, b.touches / max(b.bytes, 1)) for b in blocks
        ),
        of_tensor,
        of_scratch,
        {(block_of[out], block_of[into]): lag for (out, into), lag in slides.items()},
    )
