"""One rounding that gives what two of them give.

TFLite rounds twice: the product, then the shift. Behind a zero point of -128 what is negative
saturates, and so an output only tells between which of 255 thresholds its sum lies. A line

    ((sum + extra) * multiplier + 2^31 >> 32) + rounding >> shift

that passes each of them at the same sum gives the same bytes, with a shift that all channels
share: the instruction that saturates shifts as well.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from tinyseal.graph.lowering import Array

_ZERO: Final = -128
_STEPS: Final = np.arange(1, 256, dtype=np.int64)  # outputs over _ZERO
_MOST: Final = 20  # of e and of a shift: what is compared fits 63 bits
_EXTRAS: Final = (1 << 8, 1 << 16)  # tried, the few first
_NEAR: Final = sorted(range(-64, 65), key=abs)  # multipliers that are tried

Numbers = npt.NDArray[np.int64]


def linear_words(words: Array, reach: Array, gain: Array, shift: Array) -> Numbers | None:
    """`dense.channels` for sums 2^gain times as large and a shift by `shift`, or None where a
    channel has no such line. `reach` is [2, channels]: the least sum of each, and the most."""
    if (np.abs(reach * (words[:, 1] > 0)).max(axis=0) + _EXTRAS[-1] >= 2**31 >> gain).any():
        return None
    lines = []
    for numbers in np.vstack([words.T, reach[1], gain, shift]).astype(np.int64).T.tolist():
        line = _line(*numbers)
        if line is None:
            return None
        lines.append(line)
    return np.array(lines, dtype=np.int64)


def _line(
    start: int, multiplier: int, rounding: int, e: int, above: int, gain: int, shift: int
) -> tuple[int, int, int, int] | None:
    if multiplier == 0:
        return 0, 0, rounding >> e << shift, shift
    if e > _MOST or not 0 <= shift <= _MOST or 1 + shift - gain > e:
        return None
    thresholds = -((2**30 - ((2 * _STEPS - 1) << (e + 30))) // multiplier)
    exact = multiplier >> (e - 1 - shift + gain)
    for near in _NEAR:
        slope = exact + near
        if not 0 < slope < 2**31:
            continue
        found = _offset(thresholds, above, slope << gain, shift)
        extra = None if found is None else _extra(*found, slope)
        if found is not None and extra is not None:
            added = -(-(found[0] - extra * slope - 2**31) // 2**32)
            return (start << gain) + extra, slope, added + (_ZERO << shift), shift
    return None


def _offset(thresholds: Numbers, above: int, slope: int, shift: int) -> tuple[int, int] | None:
    """Least and greatest number that a line of `slope` may have at sum 0."""
    heights = _STEPS << (32 + shift)
    reached = thresholds <= above
    least = heights - thresholds * slope
    most = heights - (np.minimum(thresholds, above + 1) - 1) * slope - 1
    high = int(most.min())
    low = int(least[reached].max(initial=high - 2**32))
    return (low, high) if low <= high else None


def _extra(low: int, high: int, slope: int) -> int | None:
    """What to add to each sum, so that a whole number of 2^32 brings the line there."""
    for count in _EXTRAS:
        extras = np.arange(count, dtype=np.int64)
        fits = np.flatnonzero((extras * slope + (2**31 - low)) % 2**32 <= high - low)
        if fits.size:
            return int(extras[fits[0]])
    return None
