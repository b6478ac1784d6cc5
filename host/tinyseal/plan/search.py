"""Which of its ways a network takes: a kernel for each layer, or a stream for several.

Every layer or stream holds so many bytes while it runs, whatever the others do. No arena is below
the widest, and few are above it. So plans are tried in order of their instructions, of those whose
layers are narrow enough one by one: the first that fits when packed is the best there is. Where
too many do not fit, narrower limits and single changes lead on.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from tinyseal.plan.choose import Candidate
from tinyseal.plan.cost import kernel_code_bytes
from tinyseal.plan.kernels import Kernel
from tinyseal.plan.lifetimes import Layer
from tinyseal.plan.model import Plan

MAX_STREAMED: Final = 12  # layers
NEARLY: Final = 1.002
MAX_TRIALS: Final = 50  # layouts, so that large networks take bounded work


@dataclass(frozen=True, eq=False)
class Way:
    """From the first step of a layer, or a stream of several, to the step behind it."""

    layer: Layer
    end: int
    cost: float  # instructions
    width: int  # bytes held while it runs


Ways = Sequence[Sequence[Way]]  # by the step they start from, the best first
Route = tuple[Way, ...]  # from the first step to the last
LayOut = Callable[[Route], Plan]


def worthwhile(ways: Sequence[Way]) -> list[Way]:
    """Of ways between the same steps, those that no other is both narrower and cheaper than; the
    best first."""
    kept: list[Way] = []
    for way in sorted(ways, key=lambda w: (w.cost, w.width)):
        if not kept or way.width < kept[-1].width:
            kept.append(way)
    return kept


def spans_worth_streaming(
    ways: Ways, borders: Sequence[int], allows: Callable[[int, int], bool], limit: int | None
) -> Iterator[tuple[int, int]]:
    """First steps and ends of streams that may help to stay within `limit` bytes, or to come as
    low as can be: a span whose every layer is narrow enough with its best kernel needs no stream.

    `ways` has each layer by itself; `borders` the bytes of tensors held across each step's start.
    """
    count = len(ways)
    spans = [
        (first, end)
        for first in range(count)
        for end in range(first + 2, min(count, first + MAX_STREAMED) + 1)
        if allows(first, end)
    ]
    if limit is None:
        least = [0] * (count + 1)
        for step in reversed(range(count)):
            ends = [end for first, end in spans if first == step]
            alone = max(min(way.width for way in ways[step]), least[step + 1])
            streams = (max(borders[step], borders[end], least[end]) for end in ends)
            least[step] = min(alone, *streams) if ends else alone
        limit = least[0]
    for first, end in spans:
        wide = any(listed[0].width > limit for listed in ways[first:end])
        if wide and max(borders[first], borders[end]) < max(w[0].width for w in ways[first:end]):
            yield first, end


def fastest(ways: Ways) -> Route:
    """Each layer by itself, with its best kernel."""
    return tuple(listed[0] for listed in ways)


def smallest_nearly_as_fast(ways: Ways, lay_out: LayOut) -> Plan:
    """Of the plans that take at most NEARLY times the fewest instructions, the smallest found."""
    first = fastest(ways)
    most = NEARLY * sum(way.cost for way in first)
    plans = [lay_out(first)]
    for route in islice(_narrowing(ways, None), MAX_TRIALS):
        if sum(way.cost for way in route) > most:
            break
        plans.append(lay_out(route))
    return min(plans, key=_size)


def cheapest_that_fits(ways: Ways, lay_out: LayOut, budget: int) -> Plan:
    """The plan of the fewest instructions that fits; if none is found, the smallest."""
    for route in islice(_routes(ways, budget), MAX_TRIALS):
        if lay_out(route).fits:
            return lay_out(route)
    starts = [*_narrowing(ways, budget), _leanest(ways)]
    fitting = [route for route in starts if lay_out(route).fits]
    if not fitting:
        return smallest_arena(ways, lay_out)
    plans = [_take_back(ways, lay_out, route, lambda plan: plan.fits) for route in fitting]
    return min(plans, key=lambda plan: plan.instructions)


def smallest_arena(ways: Ways, lay_out: LayOut) -> Plan:
    """The plan of the smallest arena found, and of these the one of the fewest instructions."""
    limit = _bottleneck(ways)
    for route in islice(_routes(ways, limit), MAX_TRIALS):
        if _size(lay_out(route)) == (False, limit):
            return lay_out(route)  # no arena is smaller, and no route as small is faster
    starts = [*islice(_routes(ways, limit), MAX_TRIALS), *_narrowing(ways, None), _leanest(ways)]
    route = _shrink(ways, lay_out, min(starts, key=lambda r: _size(lay_out(r))))
    least = _size(lay_out(route))
    for tried in islice(_routes(ways, least[1]), MAX_TRIALS):
        if _size(lay_out(tried)) <= least:
            return lay_out(tried)
    return _take_back(ways, lay_out, route, lambda plan: _size(plan) <= least)


def _size(plan: Plan) -> tuple[bool, int]:
    return not plan.fits, sum(plan.arena_bytes)


def _routes(ways: Ways, limit: float) -> Iterator[Route]:
    """Routes whose layers are within `limit` bytes, in order of their instructions."""
    rest = [math.inf] * len(ways) + [0.0]  # instructions from a step to the end
    for step in reversed(range(len(ways))):
        within = (w.cost + rest[w.end] for w in ways[step] if w.width <= limit)
        rest[step] = min(within, default=math.inf)
    count = 0
    queue: list[tuple[float, int, float, int, Route]] = [(rest[0], 0, 0.0, 0, ())]
    while queue:
        total, _, cost, step, route = heapq.heappop(queue)
        if total == math.inf:
            return
        if step == len(ways):
            yield route
            continue
        for way in ways[step]:
            if way.width <= limit:
                count += 1
                so_far = cost + way.cost
                entry = (so_far + rest[way.end], count, so_far, way.end, (*route, way))
                heapq.heappush(queue, entry)


def _bottleneck(ways: Ways) -> int:
    """The least width that a route can have."""
    least = [0] * (len(ways) + 1)
    for step in reversed(range(len(ways))):
        least[step] = min(max(way.width, least[way.end]) for way in ways[step])
    return least[0]


def _narrowing(ways: Ways, budget: int | None) -> Iterator[Route]:
    """The best routes whose widest layer is ever narrower, from `budget` or the fastest on."""
    limit = math.inf if budget is None else budget
    while (route := next(_routes(ways, limit), None)) is not None:
        yield route
        limit = max((way.width for way in route), default=0) - 1


def _leanest(ways: Ways) -> Route:
    """Whatever lets input and output overlap, with the least scratch: chains of such layers can
    be narrower than they are one by one."""

    def rank(way: Way) -> tuple[bool, int, float]:
        return way.layer.lag is None, way.layer.scratch, way.cost

    return tuple(min((w for w in listed if w.end == step + 1), key=rank)
                 for step, listed in enumerate(ways))  # fmt: skip


def _changes(ways: Ways, route: Route, place: int) -> Iterator[tuple[Way, Route]]:
    """`route` with another way at `place`, the best first."""
    start = route[place - 1].end if place else 0
    for way in ways[start]:
        if way.end == route[place].end:
            yield way, (*route[:place], way, *route[place + 1 :])


def _shrink(ways: Ways, lay_out: LayOut, route: Route) -> Route:
    """Changes one layer at a time for as long as that makes the arena smaller."""
    trials = 0
    before: Route | None = None
    while before != route:
        before = route
        for place in range(len(route)):
            for way, tried in _changes(ways, route, place):
                trials += way is not route[place]
                if trials > MAX_TRIALS:
                    return route
                if _size(lay_out(tried)) < _size(lay_out(route)):
                    route = tried
    return route


def _take_back(ways: Ways, lay_out: LayOut, route: Route, is_good: Callable[[Plan], bool]) -> Plan:
    """Gives layers better ways, those that lost most first, as long as the plan is good."""

    def best(place: int) -> float:
        return next(_changes(ways, route, place))[0].cost

    trials = 0
    places = [place for place, way in enumerate(route) if way.cost > best(place)]
    for place in sorted(places, key=lambda p: best(p) - route[p].cost):
        for way, tried in _changes(ways, route, place):
            trials += 1
            if way is route[place] or trials > MAX_TRIALS:
                break
            if is_good(lay_out(tried)):
                route = tried
                break
    return lay_out(route)


def least_code(options: Sequence[Sequence[Candidate]]) -> list[list[Candidate]]:
    """Each layer's candidates among the kernels that together take the least flash."""
    kernels = {c.kernel.function: c.kernel for layer in options for c in layer}
    needs = {frozenset(c.kernel.function for c in layer) for layer in options}
    chosen = _cover(sorted(needs, key=lambda need: (len(need), sorted(need))), kernels)
    return [[c for c in layer if c.kernel.function in chosen] for layer in options]


def _cover(needs: Sequence[frozenset[str]], kernels: Mapping[str, Kernel]) -> frozenset[str]:
    """The functions of least code of which every need has one; needs of few come first."""
    best: tuple[int, frozenset[str]] | None = None

    def grow(chosen: frozenset[str], size: int) -> None:
        nonlocal best
        if best is not None and size >= best[0]:
            return
        open_need = next((need for need in needs if not need & chosen), None)
        if open_need is None:
            best = size, chosen
            return
        for name in sorted(open_need, key=lambda n: (kernel_code_bytes(kernels[n]), n)):
            grow(chosen | {name}, size + kernel_code_bytes(kernels[name]))

    grow(frozenset(), 0)
    assert best is not None
    return best[1]
