"""What the device counts of a model's inputs and outputs: its integers, in numpy.

firmware/SPEC.md, "Statistics", has the definitions; firmware/services/observe.c is the other
implementation of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BINS: Final = 8  # CAPSULE_BINS
MAX_SHARES: Final = 16
MAX_GROUPS: Final = 8
MAX_CHANNELS: Final = 4096
MAX_ROWS: Final = 512
LOG_BITS: Final = 20
SHARE_ONE: Final = 32768
LN2_Q16: Final = 45426
UNIT: Final = 4096  # of a distance: 1
STATISTICS: Final = ("psi", "ks", "js", "slow")  # of classes mix in the place of ks
FADE: Final = 4  # of a window, the share of the slow histogram: 1 / 4
PAST: Final = 32  # and of the past of classes, once there are so many windows
PAST_ONE: Final = 65536

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layout:
    """How input 0 is taken apart."""

    channels: int
    groups: int


def layout_of(shape: Sequence[int]) -> Layout | None:
    """The last dimension that is not 1, in groups of neighbours; None if it is too wide."""
    wide = [n for n in shape if n > 1]
    channels = wide[-1] if wide else 1
    return Layout(channels, min(channels, MAX_GROUPS)) if channels <= MAX_CHANNELS else None


@lru_cache(1 << 18)
def log_2(x: int) -> int:
    """LOG_BITS of fraction, rounded down, as the device works it out."""
    result = x.bit_length() - 1
    x <<= 31 - result
    for _ in range(LOG_BITS):
        square = x * x >> 31
        carry = square >> 32
        result = result << 1 | carry
        x = square >> carry
    return result


_LOGS: Final = np.array([0, *(log_2(n) for n in range(1, 256))], dtype=np.int64)


def input_features(layout: Layout, values: npt.NDArray[Any]) -> Ints:
    """(samples, 2 * groups): level and spread of each group, from int8 or uint8 inputs."""
    flat = values.reshape(len(values), -1)
    signed = (flat ^ 0x80).view(np.int8) if flat.dtype == np.uint8 else flat
    rows = signed.shape[1] // layout.channels
    step = -(-rows // MAX_ROWS)
    taken = signed[:, : rows * layout.channels].reshape(-1, rows, layout.channels)[:, ::step]
    out = np.empty((len(values), 2 * layout.groups), dtype=np.int64)
    for g in range(layout.groups):
        first, end = (i * layout.channels // layout.groups for i in (g, g + 1))
        group = taken[:, :, first:end].reshape(len(values), -1).astype(np.int64)
        n = group.shape[1]
        total, squares = group.sum(axis=1), (group * group).sum(axis=1)
        out[:, 2 * g] = (total + 128 * n) * 16 // n - 2048
        spread = (n * squares - total * total) * 256 // n // n
        out[:, 2 * g + 1] = [math.isqrt(int(s)) for s in spread]
    return out


def output_features(values: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """The class of each sample, at most MAX_SHARES; and (samples, 2): confidence and entropy."""
    flat = values.reshape(len(values), -1)
    scores = flat if flat.dtype == np.uint8 else flat.view(np.uint8) ^ 0x80
    wide = scores.astype(np.int64)
    best, total = wide.argmax(axis=1), wide.sum(axis=1)
    some = np.maximum(total, 1)
    confidence = wide.max(axis=1) * 255 // some
    weighted = (wide * _LOGS[wide]).sum(axis=1) // some
    logs = np.array([log_2(int(t)) for t in some], dtype=np.int64)
    entropy = np.where(total > 0, (logs - weighted) >> (LOG_BITS - 12), 0)
    count = flat.shape[1]
    classes = best * MAX_SHARES // count if count > MAX_SHARES else best
    return classes.astype(np.int64), np.stack([confidence, entropy], axis=1)


def bins_of(values: Ints, edges: Sequence[int]) -> Ints:
    return np.searchsorted(np.asarray(edges), values, side="right").astype(np.int64)


def share(cell: int, total: int, bins: int, unit: int) -> int:
    return max(1, (cell * 2 + unit) * SHARE_ONE // (total * 2 + unit * bins))


def faded(was: int, cell: int, is_first: bool) -> int:
    """What a cell of the slow histogram is after a window with `cell` counts."""
    return cell * 16 if is_first else was + int((cell * 16 - was) / FADE)


def remembered(was: int, cell: int, windows: int) -> int:
    """What a cell of the past is after a window with `cell` counts, when there were `windows`."""
    return was + int((cell * PAST_ONE - was) / min(windows + 1, PAST))


def distances(counts: Sequence[int], slow: Sequence[int], shares: Sequence[int],
              past: Sequence[int] | None) -> tuple[int, ...]:  # fmt: skip
    """PSI, KS (of classes, which have a past: mix), JS and slow PSI in 1 / UNIT, to the last bit as
    on the device; `slow` with this window in it, `past` without."""
    total, total_slow, bins = sum(counts), sum(slow), len(counts)
    psi = late = js = apart = ks = mix = 0
    for i, (count, old, q) in enumerate(zip(counts, slow, shares, strict=True)):
        p, r = share(count, total, bins, 1), share(old, total_slow, bins, 16)
        both = log_2(p + q)
        psi += (p - q) * (log_2(p) - log_2(q))
        late += (r - q) * (log_2(r) - log_2(q))
        if past is not None:
            b = share(past[i], sum(past), bins, PAST_ONE)
            mix += (r - b) * (log_2(r) - log_2(b))
        js += p * (log_2(2 * p) - both) + q * (log_2(2 * q) - both)
        apart += p - q
        ks = max(ks, abs(apart))
    values = (
        _psi(psi),
        ks >> 3 if past is None else _psi(mix),
        math.isqrt(max(0, js) >> (15 + LOG_BITS + 1 - 24)),
        _psi(late),
    )
    return tuple(min(max(0, v), 0xFFFF) for v in values)


def _psi(total: int) -> int:
    return (total >> 15) * LN2_Q16 >> 24


def float_distances(counts: Ints, slow: Floats, shares: Floats, past: Floats | None) -> Floats:
    """The same in floating point: (windows, bins) of counts, slow and past, to (windows, 4)."""
    p, r = _float_shares(counts), _float_shares(slow)
    q = shares / shares.sum()
    mean = (p + q) / 2
    psi = ((p - q) * np.log(p / q)).sum(axis=1)
    late = ((r - q) * np.log(r / q)).sum(axis=1)
    if past is None:
        second = np.abs((p - q).cumsum(axis=1)).max(axis=1)
    else:
        b = _float_shares(past)
        second = ((r - b) * np.log(r / b)).sum(axis=1)
    js = (p * np.log2(p / mean) + q * np.log2(q / mean)).sum(axis=1) / 2
    return np.stack([psi, second, np.sqrt(np.maximum(js, 0)), late], axis=1)


def _float_shares(cells: Ints | Floats) -> Floats:
    shares: Floats = (cells + 0.5) / (cells.sum(axis=1, keepdims=True) + 0.5 * cells.shape[1])
    return shares
