"""Graph + Board -> Plan: kernels chosen, lifetimes analysed, arena packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Final, get_args

from tinyseal.board import Board
from tinyseal.errors import PlanError
from tinyseal.graph.ir import Graph, Op, OpKind
from tinyseal.graph.lowering import Alias, Lowered
from tinyseal.graph.ops import lower
from tinyseal.plan.arena import (
    NO_SLIDES,
    Block,
    Placement,
    align_up,
    held,
    lower_bound,
    place,
    stack_bytes,
    step_bytes,
    widest_step,
)
from tinyseal.plan.choose import Candidate, candidates
from tinyseal.plan.goal import FASTEST, Goal, Optimise
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.kernels.copy import Copy
from tinyseal.plan.lifetimes import BEFORE, Layer, Prefer, Shares, share
from tinyseal.plan.model import Buffer, Held, Plan, Step, arena_budgets
from tinyseal.plan.search import (
    Route,
    Way,
    cheapest_that_fits,
    fastest,
    least_code,
    smallest_arena,
    smallest_nearly_as_fast,
    spans_worth_streaming,
    worthwhile,
)
from tinyseal.plan.stream import Streams

MAX_INPUTS: Final = 32  # MODEL_MAX_INPUTS
COPY_VERSION: Final = 1
SMALL: Final = 16 << 10  # bytes of arena that are not worth the search for fewer
PREFERENCES: Final[tuple[Prefer, ...]] = get_args(Prefer)


def plan(
    graph: Graph,
    board: Board,
    kernels: KernelSet | None = None,
    *,
    goal: Goal = FASTEST,
    reuse: bool = True,
) -> Plan:
    """A plan that fits `board` and `goal`, or PlanError with the numbers.

    `kernels` None takes the best kernel for each layer, whichever set it is from. `reuse` False
    gives every tensor memory of its own, so that inner tensors can be read after the inference.
    """
    if len(graph.inputs) > MAX_INPUTS:
        raise PlanError(
            f"{graph.name}: {len(graph.inputs)} inputs; the firmware takes {MAX_INPUTS} at most"
        )
    made = draft(graph, board, kernels, goal=goal, reuse=reuse)
    if not made.fits:
        raise PlanError(refusal(made))
    return made


def draft(
    graph: Graph,
    board: Board,
    kernels: KernelSet | None = None,
    *,
    goal: Goal = FASTEST,
    reuse: bool = True,
) -> Plan:
    """As `plan`, but where nothing fits, the smallest plan found is returned: see `Plan.fits`."""
    lowered, aliases = _resolve_aliases(graph, [lower(graph, op) for op in graph.ops])
    options = [candidates(item, board, kernels, goal.tuning) for item in lowered]
    if goal.optimise is Optimise.SIZE:
        made = _best(graph, board, lowered, aliases, least_code(options), goal, reuse)
        if made.fits:
            return made
    streams = Streams(graph, lowered, aliases, board, kernels)
    return _best(graph, board, lowered, aliases, options, goal, reuse, streams)


def _best(
    graph: Graph,
    board: Board,
    lowered: Sequence[Lowered],
    aliases: dict[int, int],
    options: Sequence[Sequence[Candidate]],
    goal: Goal,
    reuse: bool,
    streams: Streams | None = None,
) -> Plan:
    layers = [
        [_layer(item, board, candidate) for candidate in listed]
        for item, listed in zip(lowered, options, strict=True)
    ]
    best = [listed[0] for listed in layers]

    def way(first: int, end: int, layer: Layer) -> Way:
        shares = share(graph, [*best[:first], layer, *best[end:]], aliases, PREFERENCES[0])
        width = step_bytes(shares.blocks, first, shares.slides)
        # A kernel chosen by measurement is best, and a stream no faster than its layers,
        # whatever is estimated of others and of small parts.
        least = sum(alone.instructions for alone in best[first:end])
        return Way(layer, end, max(layer.instructions, least), width)

    @cache
    def lay_out(route: Route) -> Plan:
        chosen = [way.layer for way in route]
        return _lay_out(graph, board, chosen, aliases, reuse, goal.ram)

    ways = [[way(k, k + 1, layer) for layer in listed] for k, listed in enumerate(layers)]
    made = lay_out(fastest(ways))
    is_ram = goal.optimise is Optimise.RAM
    # What was measured of layers alone is no measure of a stream of them.
    is_enough = (
        goal.optimise is Optimise.SIZE or sum(made.arena_bytes) <= SMALL or bool(goal.tuning.layers)
    )
    if not reuse or (made.fits and is_enough and not is_ram):
        return made
    budget = sum(made.budgets)
    if streams is not None:
        limit = budget if not made.fits and not is_ram else None
        borders = _border_bytes(share(graph, best, aliases, "never"), len(best))
        for first, end in spans_worth_streaming(ways, borders, streams.allows, limit):
            several = [
                _layer(item, board, *candidates(item, board, None))
                for item in streams.of(first, end)
            ]
            ways[first] += worthwhile([way(first, end, layer) for layer in several])
    if is_ram:
        return smallest_arena(ways, lay_out)
    if made.fits:
        return smallest_nearly_as_fast(ways, lay_out)
    return cheapest_that_fits(ways, lay_out, budget)


def _border_bytes(shares: Shares, count: int) -> list[int]:
    """Bytes of tensors that are held from before each step, and the end, to behind it."""
    tensors = [shares.blocks[block] for block in set(shares.of_tensor.values())]
    return [
        stack_bytes([b.bytes for b in tensors if b.first < step <= b.last])
        for step in range(count + 1)
    ]


def _layer(item: Lowered, board: Board, candidate: Candidate) -> Layer:
    kernel = candidate.kernel
    return Layer(
        item,
        kernel,
        kernel.scratch(item.params, board),
        candidate.instructions,
        kernel.lag(item.params, board),
        candidate.is_tuned,
    )


def _lay_out(
    graph: Graph,
    board: Board,
    layers: Sequence[Layer],
    aliases: dict[int, int],
    reuse: bool,
    ram: int | None,
) -> Plan:
    budgets = arena_budgets(board, ram)
    preferences: tuple[Prefer, ...] = PREFERENCES if reuse else ("never",)
    best: tuple[Shares, tuple[Block, ...], Placement] | None = None
    bounds: list[int] = []
    seen: list[Shares] = []
    for preference in preferences:
        shares = share(graph, layers, aliases, preference)
        if shares in seen:
            continue
        seen.append(shares)
        blocks = shares.blocks
        if not reuse:
            blocks = tuple(
                Block(b.bytes, BEFORE, len(layers), b.pinned, b.heat) for b in shares.blocks
            )
        slides = shares.slides if reuse else NO_SLIDES
        bounds.append(lower_bound(blocks, slides))
        if best is not None and sum(best[2].bytes) <= bounds[-1]:
            continue  # no packing of these blocks can be smaller
        placement = place(blocks, budgets, slides)
        if best is None or _rank(placement, budgets) < _rank(best[2], budgets):
            best = (shares, blocks, placement)
    assert best is not None
    shares, blocks, placement = best
    blocks, placement = _widen_scratch(layers, shares, blocks, placement, board)

    def buffer(block: int, size: int) -> Buffer:
        return Buffer(placement.regions[block], placement.offsets[block], size)

    buffers = {
        index: buffer(block, graph.tensor(index).bytes)
        for index, block in sorted(shares.of_tensor.items())
    }
    steps = tuple(
        Step(
            i,
            layer.lowered,
            layer.kernel,
            buffer(shares.of_scratch[i], blocks[shares.of_scratch[i]].bytes)
            if i in shares.of_scratch
            else None,
            layer.instructions,
            layer.is_tuned,
        )
        for i, layer in enumerate(layers)
    )
    names = _block_names(graph, layers, shares)
    return Plan(
        graph,
        board,
        steps,
        buffers,
        tuple(Held(names[i], buffer(i, b.bytes), b.first, b.last) for i, b in enumerate(blocks)),
        placement.bytes,
        placement.pinned_bytes,
        min(bounds),
        ram,
    )


def refusal(made: Plan) -> str:
    """Why `made` does not fit its board: need, have, the largest tensor at the widest step."""
    blocks = [Block(h.buffer.bytes, h.first, h.last) for h in made.held]
    step, _ = widest_step(blocks)
    largest = max((made.held[i] for i in held(blocks, step)), key=lambda h: h.buffer.bytes)
    regions = made.board.arena_regions
    need_all = sum(made.arena_bytes)
    if made.ram is not None and need_all > made.ram:
        label = made.steps[step].label if 0 <= step < len(made.steps) else "the inputs"
        return (
            f"{made.board.name}: arena needs {need_all} B at least, ram= allows {made.ram} B: "
            f"{need_all - made.ram} B too many; widest at {label}; largest: {largest.name}, "
            f"{largest.buffer.bytes} B; try ram={need_all} or a smaller input"
        )
    if len(regions) == 1:
        need = f"arena needs {made.arena_bytes[0]} B, {regions[0].arena_bytes} B free"
    else:
        free = " + ".join(f"{m.name} {m.arena_bytes} B" for m in regions)
        need = f"arena needs {need_all} B, free: {free}"
    return (
        f"{made.board.name}: {need}; largest: {largest.name}, {largest.buffer.bytes} B; "
        "try a smaller input or a board with more RAM"
    )


def _widen_scratch(
    layers: Sequence[Layer],
    shares: Shares,
    blocks: tuple[Block, ...],
    placement: Placement,
    board: Board,
) -> tuple[tuple[Block, ...], Placement]:
    """Gives scratch the widest gap its step leaves, where a kernel runs faster with more of it.

    The arena does not grow: scratch lives for one step, so nothing else has to move.
    """
    wider, offsets = list(blocks), list(placement.offsets)
    for step, own in shares.of_scratch.items():
        layer, region = layers[step], placement.regions[own]
        if layer.kernel.more_scratch is None:
            continue
        others = sorted(
            (offsets[i], offsets[i] + wider[i].bytes)
            for i in held(blocks, step)
            if i != own and placement.regions[i] == region
        )
        gaps, free = [], 0
        for start, end in (*others, (placement.bytes[region], 0)):
            gaps.append((start - free, free))
            free = max(free, align_up(end))
        room, offset = max(gaps)
        size = layer.kernel.more_scratch(layer.lowered.params, board, room)
        if size > layer.scratch:
            wider[own] = replace(blocks[own], bytes=size)
            offsets[own] = offset
    return tuple(wider), replace(placement, offsets=tuple(offsets))


def _rank(placement: Placement, budgets: Sequence[int]) -> tuple[int, int, int]:
    """Smaller is better: fits, spills least out of the fastest memory, is small."""
    return placement.excess(budgets), sum(placement.bytes[1:]), sum(placement.bytes)


def _resolve_aliases(
    graph: Graph, lowered: Sequence[Lowered]
) -> tuple[list[Lowered], dict[int, int]]:
    """The steps that run, and for each alias the tensor whose memory it shares.

    An alias of a constant or of state becomes a copy: a constant has no RAM to share, and state
    changes under the alias. So does a constant that is itself a graph output. An alias of a
    graph input shares its memory even if it is a graph output: nothing overwrites it.
    """
    steps: list[Lowered] = []
    aliases: dict[int, int] = {}
    for item in lowered:
        if not isinstance(item.params, Alias):
            steps.append(item)
            continue
        source, output = item.inputs[0], item.outputs[0]
        tensor = graph.tensor(source)
        if tensor.is_constant or tensor.is_variable:
            state = (source,) if tensor.is_variable else ()
            inputs = () if tensor.is_variable else (source,)
            steps.append(Lowered(item.op, Copy(item.params.shape), inputs, (output,), state))
        else:
            aliases[output] = aliases.get(source, source)
    for number, index in enumerate(dict.fromkeys(graph.outputs)):
        tensor = graph.tensor(index)
        if tensor.is_constant:
            op = Op(len(graph.ops) + number, OpKind.RESHAPE, COPY_VERSION, (index,), (index,))
            steps.append(Lowered(op, Copy(tensor.shape), (index,), (index,)))
    return steps, aliases


def _block_names(graph: Graph, layers: Sequence[Layer], shares: Shares) -> list[str]:
    """What each block holds first, in the words of messages and drawings."""
    names = [""] * len(shares.blocks)

    def name(block: int, text: str) -> None:
        names[block] = names[block] or text

    for index in graph.inputs:
        name(shares.of_tensor[index], f"input {graph.tensor(index).name}")
    for step, layer in enumerate(layers):
        label = layer.lowered.op.label
        for index in layer.lowered.state:
            name(shares.of_tensor[index], f"{label} state {graph.tensor(index).name}")
        for position, index in enumerate(layer.lowered.outputs):
            number = f" {position}" if len(layer.lowered.outputs) > 1 else ""
            name(shares.of_tensor[index], f"{label} output{number}")
        if step in shares.of_scratch:
            name(shares.of_scratch[step], f"{label} scratch")
    return names
