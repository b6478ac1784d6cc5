"""Which of its candidates each layer gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from tinyseal.plan.choose import Candidate
from tinyseal.plan.cost import kernel_code_bytes
from tinyseal.plan.kernels import Kernel
from tinyseal.plan.lifetimes import Layer
from tinyseal.plan.model import Plan

MAX_TRIALS: Final = 400  # layouts, so that large networks take bounded work

Options = Sequence[Sequence[Layer]]  # of each layer, the best first
Choice = tuple[int, ...]  # a candidate of each layer
LayOut = Callable[[Choice], Plan]
Width = Callable[[int, int], int]  # bytes that step and candidate hold at once, at least


def fastest(options: Options) -> Choice:
    return (0,) * len(options)


def cheapest_that_fits(options: Options, lay_out: LayOut, width: Width, budget: int) -> Plan:
    """The plan of the fewest instructions found that fits; if none is found, the smallest."""
    starts = [*_narrowing(options, width, budget), _leanest(options)]
    fitting = [choice for choice in starts if lay_out(choice).fits]
    if not fitting:
        smallest = _shrink(options, lay_out, min(starts, key=lambda c: _size(lay_out(c))))
        if not lay_out(smallest).fits:
            return lay_out(smallest)
        fitting = [smallest]
    plans = [_take_back(options, lay_out, choice, lambda plan: plan.fits) for choice in fitting]
    return min(plans, key=lambda plan: plan.instructions)


def smallest_arena(options: Options, lay_out: LayOut, width: Width) -> Plan:
    """The plan of the smallest arena found, and of these the one of the fewest instructions."""
    starts = [*_narrowing(options, width, None), _leanest(options)]
    choice = _shrink(options, lay_out, min(starts, key=lambda c: _size(lay_out(c))))
    least = _size(lay_out(choice))
    return _take_back(options, lay_out, choice, lambda plan: _size(plan) <= least)


def _size(plan: Plan) -> tuple[bool, int]:
    return not plan.fits, sum(plan.arena_bytes)


def _narrowing(options: Options, width: Width, budget: int | None) -> Iterator[Choice]:
    """Choices whose widest step is ever narrower, from `budget` or the fastest on: no arena is
    below its widest step."""
    limit = budget
    choice: Choice | None = None
    while True:
        narrower = tuple(_first_within(s, len(c), width, limit) for s, c in enumerate(options))
        if narrower == choice:
            return
        choice = narrower
        yield choice
        limit = max((width(s, k) for s, k in enumerate(choice)), default=0) - 1


def _first_within(step: int, count: int, width: Width, limit: int | None) -> int:
    """The best candidate that is no wider, or else the narrowest."""
    if limit is None:
        return 0
    for candidate in range(count):
        if width(step, candidate) <= limit:
            return candidate
    return min(range(count), key=lambda candidate: width(step, candidate))


def _leanest(options: Options) -> Choice:
    """Whatever lets input and output overlap, with the least scratch: chains of such layers can
    be narrower than their steps tell one by one."""
    return tuple(
        min(range(len(listed)), key=lambda k: (listed[k].lag is None, listed[k].scratch, k))
        for listed in options
    )


def _shrink(options: Options, lay_out: LayOut, choice: Choice) -> Choice:
    """Changes one layer at a time for as long as that makes the arena smaller."""
    trials = 0
    before: Choice | None = None
    while before != choice:
        before = choice
        for step, listed in enumerate(options):
            for candidate in range(len(listed)):
                tried = (*choice[:step], candidate, *choice[step + 1 :])
                trials += tried != choice
                if trials > MAX_TRIALS:
                    return choice
                if _size(lay_out(tried)) < _size(lay_out(choice)):
                    choice = tried
    return choice


def _take_back(
    options: Options, lay_out: LayOut, choice: Choice, is_good: Callable[[Plan], bool]
) -> Plan:
    """Gives layers better candidates, those that lost most first, as long as the plan is good."""

    def loss(step: int) -> float:
        return options[step][choice[step]].instructions - options[step][0].instructions

    trials = 0
    for step in sorted((s for s, k in enumerate(choice) if k), key=loss, reverse=True):
        for better in range(choice[step]):
            trials += 1
            tried = (*choice[:step], better, *choice[step + 1 :])
            if trials <= MAX_TRIALS and is_good(lay_out(tried)):
                choice = tried
                break
    return lay_out(choice)


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
