"""Packing blocks of known size and lifetime into as few bytes as can be found.

This is offline dynamic storage allocation, which is NP-hard; networks are small, and the lower
bound (the widest step) is usually met, which proves the packing optimal. The search is greedy
first-fit under several orders, then a bounded local search over the best order; it counts work,
never time, so that the same graph gives the same bytes on every machine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ALIGN: Final = 16  # CAPSULE_ALIGN
SEARCH_WORK: Final = 400_000  # block comparisons of the local search: about 0.1 s


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


def widest_step(blocks: Sequence[Block]) -> tuple[int, int]:
    """The step that holds most, and its bytes: no packing into one region can be lower."""
    steps = sorted({b.first for b in blocks}) or [0]
    needs = [stack_bytes([blocks[i].bytes for i in held(blocks, s) if blocks[i].bytes])
             for s in steps]  # fmt: skip
    most = max(needs)
    return steps[needs.index(most)], most


def pack(blocks: Sequence[Block], thorough: bool = True) -> Packing:
    """Offsets, multiples of ALIGN, so that no two blocks that meet overlap.

    Pinned blocks come first, in their order. `thorough` adds the local search.
    """
    meets = [
        [j for j, other in enumerate(blocks) if j != i and other.bytes and block.meets(other)]
        if block.bytes
        else []
        for i, block in enumerate(blocks)
    ]
    _, bound = widest_step(blocks)
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
        packing = _first_fit(blocks, meets, [*pinned, *candidate])
        if best is None or packing.bytes < best.bytes:
            best, order = packing, candidate
        if best.bytes <= bound:
            return best
    assert best is not None
    if not thorough or len(free) < 2:
        return best

    # Local search: what reaches the top is moved to an earlier place in the order.
    chance = random.Random(0)
    rounds = SEARCH_WORK // (len(blocks) + sum(map(len, meets)) + 1)
    packing = best
    for _ in range(rounds):
        top = [k for k, i in enumerate(order) if packing.offsets[i] + blocks[i].bytes
               == packing.bytes and k > 0]  # fmt: skip
        k = chance.choice(top) if top and chance.random() < 0.7 else chance.randrange(len(order))
        to = chance.randrange(k) if k > 0 else chance.randrange(len(order))
        moved = [i for i in order if i != order[k]]
        moved.insert(to, order[k])
        tried = _first_fit(blocks, meets, [*pinned, *moved])
        if tried.bytes <= packing.bytes:
            packing, order = tried, moved
        if packing.bytes <= bound:
            break
    return min(best, packing, key=lambda p: p.bytes)


def _first_fit(blocks: Sequence[Block], meets: list[list[int]], order: Sequence[int]) -> Packing:
    """Each block, in order, at the lowest offset that is free during all its steps."""
    offsets = [-1] * len(blocks)
    height = 0
    for i in order:
        size = blocks[i].bytes
        taken = sorted((offsets[j], blocks[j].bytes) for j in meets[i] if offsets[j] >= 0)
        offset = 0
        for start, length in taken:
            if start - offset >= size:
                break
            offset = max(offset, align_up(start + length))
        offsets[i] = offset
        if size:
            height = max(height, offset + size)
    return Packing(tuple(offsets), height)


def place(blocks: Sequence[Block], budgets: Sequence[int]) -> Placement:
    """Spreads `blocks` over regions, fastest first, each with its budget in bytes.

    Everything goes into the first region if it fits there. Otherwise blocks claim the fast
    region in order of heat and the rest spills; if that does not fit, other orders are tried,
    and last the plan that exceeds the budgets least is returned for the caller to refuse.
    """
    everything = range(len(blocks))
    plans = [_spread(blocks, [list(everything)] + [[] for _ in budgets[1:]])]
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
                trial = [blocks[j] for j in (*share, i)]
                if widest_step(trial)[1] <= budget and pack(trial, False).bytes <= budget:
                    share.append(i)
            shares.append(share)
            rest = [i for i in rest if i not in share]
        plans.append(_spread(blocks, [*shares, rest]))
        if plans[-1].excess(budgets) == 0:
            return plans[-1]
    return min(plans, key=lambda p: p.excess(budgets))


def _spread(blocks: Sequence[Block], shares: Sequence[Sequence[int]]) -> Placement:
    """Packs each region's share by itself."""
    regions, offsets = [0] * len(blocks), [0] * len(blocks)
    heights, floors = [], []
    for region, share in enumerate(shares):
        members = sorted(share)
        packing = pack([blocks[i] for i in members])
        for i, offset in zip(members, packing.offsets, strict=True):
            regions[i], offsets[i] = region, offset
        heights.append(packing.bytes)
        pinned = [offsets[i] + blocks[i].bytes for i in members if blocks[i].pinned]
        floors.append(max(pinned, default=0))
    return Placement(tuple(regions), tuple(offsets), tuple(heights), tuple(floors))
