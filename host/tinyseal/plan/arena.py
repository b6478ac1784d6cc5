"""Packing blocks of known size and lifetime into as few bytes as can be found.

This is offline dynamic storage allocation, which is NP-hard; networks are small, and the lower
bound is usually met, which proves the packing optimal. The search is greedy
first-fit under several orders, then a bounded local search over the best order; it counts work,
never time, so that the same graph gives the same bytes on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

ALIGN: Final = 16  # CAPSULE_ALIGN
SEARCH_WORK: Final = 300_000  # block comparisons of the local search
SEARCH_ROUNDS: Final = 2000  # and orders it tries at most: together below 0.3 s
SEARCH_PATIENCE: Final = 250  # orders that make nothing smaller before it stops


@dataclass(frozen=True)
class Block:
    """Memory held from step `first` to step `last`, both included; -1 is before the first."""

    bytes: int
    first: int
    last: int
    pinned: bool = False  # state: lies below everything that is not
    heat: float = 0.0  # accesses per byte: the hottest go into the fastest memory

    def meets(self, other: Block) -> bool:
        """Whether both are held in some step."""
        return self.first <= other.last and other.first <= self.last


# (i, j): lag. Blocks i and j meet in one step, in which a kernel reads j in order and writes i
# behind itself: they may overlap if i starts `lag` bytes or more below j.
# Source: diagonal memory optimisation, Blacker, Bridges and Hadfield, 2020.
Slides = Mapping[tuple[int, int], int]
NO_SLIDES: Final[Slides] = {}


@dataclass(frozen=True)
class Packing:
    offsets: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class Placement:
    """Where each block lies, over several regions; may exceed the budgets."""

    regions: tuple[int, ...]
    offsets: tuple[int, ...]
    bytes: tuple[int, ...]  # per region
    pinned_bytes: tuple[int, ...]  # per region: the pinned blocks, which come first

    def excess(self, budgets: Sequence[int]) -> int:
        return sum(max(0, need - free) for need, free in zip(self.bytes, budgets, strict=True))


def align_up(value: int) -> int:
    return -(-value // ALIGN) * ALIGN


def held(blocks: Sequence[Block], step: int) -> list[int]:
    """Indices of the blocks held in `step`."""
    return [i for i, b in enumerate(blocks) if b.first <= step <= b.last]


def stack_bytes(sizes: Sequence[int]) -> int:
    """Bytes of blocks that all live at once: only the topmost needs no padding after it."""
    if not sizes:
        return 0
    return sum(map(align_up, sizes)) - max(align_up(size) - size for size in sizes)


def step_bytes(blocks: Sequence[Block], step: int, slides: Slides = NO_SLIDES) -> int:
    """Bytes held in `step`: no packing into one region can be lower."""
    there = {i: blocks[i].bytes for i in held(blocks, step) if blocks[i].bytes}
    for (i, j), lag in slides.items():
        if i in there and j in there:
            # Together they span at least this; no other block fits between them.
            there[i] = max(there[i], min(lag, there[i]) + there.pop(j))
    return stack_bytes(list(there.values()))


def widest_step(blocks: Sequence[Block], slides: Slides = NO_SLIDES) -> tuple[int, int]:
    """The step that holds most, and its bytes."""
    steps = sorted({b.first for b in blocks}) or [0]
    needs = [step_bytes(blocks, s, slides) for s in steps]
    most = max(needs)
    return steps[needs.index(most)], most


def lower_bound(blocks: Sequence[Block], slides: Slides = NO_SLIDES) -> int:
    """Bytes no packing into one region can be below.

    That is the widest step. Along a chain of slides more is known: either some link of it does
    without overlap, and its step holds both blocks in full, or every block lies at least the lag
    below the one before it, and the lags add up.
    """
    bound = widest_step(blocks, slides)[1]
    following = {j: i for i, j in slides}
    apart = {
        j: step_bytes(blocks, blocks[i].first, {k: v for k, v in slides.items() if k != (i, j)})
        for i, j in slides
    }
    for start in following:
        at, spans, least = start, [blocks[start].bytes], apart[start]
        while at in following:
            least = min(least, apart[at])
            lag = align_up(min(slides[following[at], at], blocks[following[at]].bytes))
            at = following[at]
            spans = [span + lag for span in spans] + [blocks[at].bytes]
            bound = max(bound, min(least, max(spans)))
    return bound


def pack(blocks: Sequence[Block], thorough: bool = True, slides: Slides = NO_SLIDES) -> Packing:
    """Offsets, multiples of ALIGN, so that no two blocks that meet overlap, but as `slides` say.

    Pinned blocks come first, in their order. `thorough` adds the local search.
    """
    packing = _search(blocks, thorough, slides)
    if not slides or packing.bytes <= lower_bound(blocks, slides):
        return packing
    # Blocks that slide tempt a first fit into places that cost the others more.
    return min(packing, _search(blocks, thorough, NO_SLIDES), key=lambda p: p.bytes)


def _search(blocks: Sequence[Block], thorough: bool, slides: Slides) -> Packing:
    meets = [
        [j for j, other in enumerate(blocks) if j != i and other.bytes and block.meets(other)]
        if block.bytes
        else []
        for i, block in enumerate(blocks)
    ]
    bound = lower_bound(blocks, slides)
    pinned = [i for i, b in enumerate(blocks) if b.pinned]
    free = [i for i, b in enumerate(blocks) if not b.pinned]
    # The widest step each block takes part in: what lives at the peak is placed first.
    starts = sorted({b.first for b in blocks})
    widths = [(s, sum(blocks[i].bytes for i in held(blocks, s))) for s in starts]
    peak = [max(w for s, w in widths if b.first <= s <= b.last) for b in blocks]

    def span(i: int) -> int:
        return blocks[i].last - blocks[i].first + 1

    orders = [
        sorted(free, key=lambda i: (-blocks[i].bytes, blocks[i].first, i)),
        sorted(free, key=lambda i: (-peak[i], -blocks[i].bytes, i)),
        sorted(free, key=lambda i: (-blocks[i].bytes * span(i), blocks[i].first, i)),
        sorted(free, key=lambda i: (-span(i), -blocks[i].bytes, i)),
        sorted(free, key=lambda i: (blocks[i].first, -blocks[i].bytes, i)),
        sorted(free, key=lambda i: (-blocks[i].last, -blocks[i].bytes, i)),
    ]
    best, order = None, orders[0]
    for candidate in orders:
        packing = _first_fit(blocks, meets, slides, [*pinned, *candidate])
        if best is None or packing.bytes < best.bytes:
            best, order = packing, candidate
        if best.bytes <= bound:
            return best
    assert best is not None
    if not thorough or len(free) < 2:
        return best

    # Local search: what reaches the top is moved to an earlier place in the order.
    chance = random.Random(0)
    rounds = min(SEARCH_ROUNDS, SEARCH_WORK // (len(blocks) + sum(map(len, meets)) + 1))
    packing = best
    since = 0  # anything got smaller
    for _ in range(rounds):
        top = [k for k, i in enumerate(order) if packing.offsets[i] + blocks[i].bytes
               == packing.bytes and k > 0]  # fmt: skip
        k = chance.choice(top) if top and chance.random() < 0.7 else chance.randrange(len(order))
        to = chance.randrange(k) if k > 0 else chance.randrange(len(order))
        moved = [i for i in order if i != order[k]]
        moved.insert(to, order[k])
        tried = _first_fit(blocks, meets, slides, [*pinned, *moved])
        since = 0 if tried.bytes < packing.bytes else since + 1
        if tried.bytes <= packing.bytes:
            packing, order = tried, moved
        if packing.bytes <= bound or since > SEARCH_PATIENCE:
            break
    return min(best, packing, key=lambda p: p.bytes)


def _first_fit(
    blocks: Sequence[Block], meets: list[list[int]], slides: Slides, order: Sequence[int]
) -> Packing:
    """Each block, in order, at the lowest offset that is free during all its steps."""
    offsets = [-1] * len(blocks)
    height = 0
    for i in order:
        size = blocks[i].bytes
        # For each block in the way: offsets up to `low` and from `high` on are free.
        ways = []
        for j in meets[i]:
            if offsets[j] >= 0:
                below, above = slides.get((i, j), size), slides.get((j, i), blocks[j].bytes)
                low = offsets[j] - min(below, size)
                ways.append((low, offsets[j] + min(above, blocks[j].bytes)))
        ways.sort()
        offset = 0
        for low, high in ways:
            if offset <= low:
                break  # and so it is for all the rest
            offset = max(offset, align_up(high))
        offsets[i] = offset
        if size:
            height = max(height, offset + size)
    return Packing(tuple(offsets), height)


def place(blocks: Sequence[Block], budgets: Sequence[int], slides: Slides = NO_SLIDES) -> Placement:
    """Spreads `blocks` over regions, fastest first, each with its budget in bytes.

    Everything goes into the first region if it fits there. Otherwise blocks claim the fast
    region in order of heat and the rest spills; if that does not fit, other orders are tried,
    and last the plan that exceeds the budgets least is returned for the caller to refuse.
    """
    everything = range(len(blocks))
    plans = [_spread(blocks, slides, [list(everything)] + [[] for _ in budgets[1:]])]
    if plans[0].excess(budgets) == 0 or len(budgets) == 1:
        return plans[0]
    orders = [
        sorted(everything, key=lambda i: (-blocks[i].heat, blocks[i].bytes, i)),
        sorted(everything, key=lambda i: (blocks[i].bytes, i)),
        sorted(everything, key=lambda i: (-blocks[i].bytes, i)),
    ]
    for order in orders:
        rest, shares = order, []
        for budget in budgets[:-1]:
            share: list[int] = []
            for i in rest:
                members = [*share, i]
                trial, among = [blocks[j] for j in members], _among(slides, members)
                if widest_step(trial, among)[1] > budget:
                    continue
                if pack(trial, False, among).bytes <= budget:
                    share.append(i)
            shares.append(share)
            rest = [i for i in rest if i not in share]
        plans.append(_spread(blocks, slides, [*shares, rest]))
        if plans[-1].excess(budgets) == 0:
            return plans[-1]
    return min(plans, key=lambda p: p.excess(budgets))


def _among(slides: Slides, members: Sequence[int]) -> Slides:
    """`slides` between `members`, by their positions in it."""
    position = {block: k for k, block in enumerate(members)}
    return {
        (position[i], position[j]): lag
        for (i, j), lag in slides.items()
        if i in position and j in position
    }


def _spread(blocks: Sequence[Block], slides: Slides, shares: Sequence[Sequence[int]]) -> Placement:
    """Packs each region's share by itself."""
    regions, offsets = [0] * len(blocks), [0] * len(blocks)
    heights, floors = [], []
    for region, share in enumerate(shares):
        members = sorted(share)
        packing = pack([blocks[i] for i in members], True, _among(slides, members))
        for i, offset in zip(members, packing.offsets, strict=True):
            regions[i], offsets[i] = region, offset
        heights.append(packing.bytes)
        pinned = [offsets[i] + blocks[i].bytes for i in members if blocks[i].pinned]
        floors.append(max(pinned, default=0))
    return Placement(tuple(regions), tuple(offsets), tuple(heights), tuple(floors))
