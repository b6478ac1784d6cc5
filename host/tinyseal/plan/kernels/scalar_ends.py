"""How the channels of the scalar kernels end: what makes a byte of a sum (nn_scalar.h)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from tinyseal.graph.fixedpoint import requantize_s8
from tinyseal.plan.kernels.dense import Weighted, by_channel, channels, is_rectified

Wide = npt.NDArray[np.int64]

_BITS: Final = 29  # of a sum, which is multiplied by 4
_LOWER: Final = 14  # bits of the lower part of a multiplier, NN_SCALAR_LOWER
_MOST_STEPS: Final = (1 << (32 - _LOWER)) - 1  # of a sum that is not clamped
_MOST_SHIFT: Final = 23  # a byte, plus 256, fits in front of it
_NEAR: Final = (0, 1, -1, 2, -2)  # multipliers that are tried


@dataclass(frozen=True, eq=False)
class Ends:
    words: Wide  # [channels, 4]
    is_short: bool


@lru_cache(maxsize=512)
def ends(p: Weighted, by_halves: bool) -> Ends | None:
    """Of a core with long products, or of one that makes them `by_halves`. None where a sum
    leaves the ranges in which they are exact."""
    words = channels(p, by_channel(p), _BITS)
    if words is None:
        return None
    short = _short(p) if by_halves else None
    if short is not None:
        return Ends(short, True)
    # Behind one shift: of the roundings that `channels` gives twice as much, and the half of
    # the first one, which is 1 there.
    once = np.asarray(words * np.array([1, 1, 2, 1]) + np.array([0, 0, 1, 1]))
    return Ends(once, not by_halves and is_rectified(p))


def _short(p: Weighted) -> Wide | None:
    """By two short products, where they give the reference's byte for every sum there can be.

    That byte only grows with the sum. A line is as good if it crosses into each byte where the
    reference does: those sums are found by halving, and the line is held against all of them, so
    that nothing is left to an estimate of errors.
    """
    start, lowest, highest = _reach(p)
    first, last = _bytes(p, lowest), _bytes(p, highest)
    crossings = _crossings(p, lowest, highest)
    words = []
    for c, slope in enumerate(np.ldexp(p.multipliers.astype(np.float64), p.shifts - 31)):
        ahead = crossings[: last[c] - first[c], c]
        behind = int(ahead[0]) - 1 if ahead.size else int(start[c])
        line = _line(int(first[c]) + 256, ahead - behind, float(slope))
        if line is None:
            return None
        words.append((int(start[c]) - behind, *line))
    return np.array(words, dtype=np.int64)


def _reach(p: Weighted) -> tuple[Wide, Wide, Wide]:
    """Of each channel: where its sum starts, and the least and the most that it can be."""
    weights = by_channel(p).astype(np.int64)
    start = p.in_offset * weights.sum(axis=1) + (0 if p.bias is None else p.bias)
    ends_of = weights * -128, weights * 127
    lowest, highest = (f(*ends_of).sum(axis=1) for f in (np.minimum, np.maximum))
    return start, start + lowest, start + highest


def _bytes(p: Weighted, sums: Wide) -> Wide:
    """The reference's; the last axis of `sums` is the channels."""
    made = requantize_s8(sums, p.multipliers, p.shifts, p.out_offset, -128, 127)
    return made.astype(np.int64)


def _crossings(p: Weighted, lowest: Wide, highest: Wide) -> Wide:
    """Of each channel the least sum that makes each byte behind the first: [255, channels]."""
    wanted = _bytes(p, lowest) + np.arange(1, 256)[:, None]
    below, above = np.broadcast_arrays(lowest, highest, wanted)[:2]
    while (above - below > 1).any():
        middle = (below + above) // 2
        is_there = _bytes(p, middle) >= wanted
        below, above = np.where(is_there, below, middle), np.where(is_there, middle, above)
    return np.asarray(above)


def _line(first: int, ahead: Wide, slope: float) -> tuple[int, int, int] | None:
    """The words behind the start, for values that are `first` at 0 and one more at each of
    `ahead`."""
    if not ahead.size:
        return 0, first << _MOST_SHIFT, _MOST_SHIFT
    most = int(ahead[-1])
    if most > _MOST_STEPS:
        return None
    shift = _MOST_SHIFT
    while slope * 2.0 ** (shift + _LOWER) >= 2**30 - len(_NEAR):
        shift -= 1
    if shift < 0:
        return None
    unit = 1 << (shift + _LOWER)
    values = first + np.arange(1, len(ahead) + 1)
    for near in _NEAR:
        multiplier = round(slope * unit) + near
        least = max(first * unit, int((values * unit - ahead * multiplier).max()))
        too_much = min(
            int((values * unit - (ahead - 1) * multiplier).min()),
            (int(values[-1]) + 1) * unit - most * multiplier,
        )
        offset = -(-least >> _LOWER)
        if offset << _LOWER < too_much:
            lower, upper = multiplier % (1 << _LOWER), multiplier >> _LOWER
            return lower << 16 | upper, offset, most << 8 | shift
    return None
