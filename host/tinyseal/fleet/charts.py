"""Places of all that a chart of values over windows is drawn of, for a template to lay out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

# In the chart's own units.
WIDTH: Final = 380
HEIGHT: Final = 150
LEFT: Final = 44
RIGHT: Final = 10
TOP: Final = 8
BOTTOM: Final = 20
STEPS: Final = 4
ROW: Final = 13  # of a chart of marks
NAMES: Final = 92  # room for the names of its rows

PREFIXES: Final = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


@dataclass(frozen=True)
class Series:
    name: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Axis:
    """What all charts of a device have in common: its windows, from the left to the right."""

    numbers: Sequence[int]  # of the windows
    shaded: Sequence[bool]  # those that drifted
    lines: Sequence[tuple[float, str]]  # restarts: before which window, and why

    @property
    def count(self) -> int:
        return len(self.numbers)


def scaled(most: float) -> tuple[float, str]:
    """Unit for values up to `most`, and its prefix."""
    return next((p for p in PREFIXES if most >= p[0]), PREFIXES[-1] if most else PREFIXES[0])


def short(value: float) -> str:
    """Three digits, or what is before the point."""
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def line_chart(
    title: str, unit: str, series: Sequence[Series], axis: Axis, top: float | None = None
) -> dict[str, Any] | None:
    """Lines from 0 up to `top`, or to the next round number; None where no window has a value."""
    there = [v for s in series for v in s.values if v is not None]
    if not there:
        return None
    ticks = round_steps(max(there) if top is None else top)
    high = ticks[-1]
    digits = max(len(f"{t:.6g}".partition(".")[2]) for t in ticks)
    places = _across(axis.count, LEFT, WIDTH - RIGHT)

    def down(value: float) -> float:
        return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(value, high) / high), 1)

    step = (WIDTH - LEFT - RIGHT) / axis.count
    return {
        "title": title,
        "unit": unit,
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "floor": HEIGHT - BOTTOM,
        "y": [{"at": down(t), "text": f"{t:,.{digits}f}"} for t in ticks],
        "x": _numbers(axis, places, HEIGHT - 6),
        "series": [
            {"name": s.name, "path": _path(s.values, places, down), **_last(s.values, places, down)}
            for s in series
        ],
        "shaded": _runs(axis.shaded, LEFT, step),
        "restarts": _restarts(axis, LEFT, step),
        "columns": [
            {
                "x": round(LEFT + i * step, 1),
                "width": round(step, 1),
                "text": f"window {number}: " + ", ".join(
                    f"{s.name} {short(v)}" for s in series if (v := s.values[i]) is not None
                ),
            }
            for i, number in enumerate(axis.numbers)
        ],
    }  # fmt: skip


def mark_chart(
    title: str, rows: Sequence[tuple[str, Sequence[bool]]], axis: Axis
) -> dict[str, Any] | None:
    """A row for each name, with a mark in every window that has it; rows without any stay out."""
    marked = [(name, marks) for name, marks in rows if any(marks)]
    if not marked:
        return None
    step = (WIDTH - NAMES - RIGHT) / axis.count
    places = _across(axis.count, NAMES, WIDTH - RIGHT)
    height = len(marked) * ROW + BOTTOM + 4
    return {
        "title": title,
        "width": WIDTH,
        "height": height,
        "left": NAMES,
        "right": WIDTH - RIGHT,
        "x": _numbers(axis, places, height - 6),
        "rows": [
            {"name": name, "y": i * ROW + 3, "marks": _runs(marks, NAMES, step)}
            for i, (name, marks) in enumerate(marked)
        ],
    }


def round_steps(most: float) -> list[float]:
    """From 0 by round steps to the first one that is not below `most`."""
    if most <= 0:
        return [0.0, 1.0]
    raw = most / STEPS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(f * power for f in (1, 2, 2.5, 5, 10) if f * power >= raw * (1 - 1e-9))
    return [i * step for i in range(math.ceil(most / step - 1e-9) + 1)]


def _across(count: int, left: float, right: float) -> list[float]:
    step = (right - left) / count
    return [round(left + (i + 0.5) * step, 1) for i in range(count)]


def _numbers(axis: Axis, places: Sequence[float], y: float) -> list[dict[str, Any]]:
    """Of the first, the last, and one or two windows between."""
    last = axis.count - 1
    shown = sorted({round(last * i / 3) for i in range(4)}) if last > 3 else range(axis.count)
    return [{"at": places[i], "y": y, "text": f"{axis.numbers[i]:,}"} for i in shown]


def _path(values: Sequence[float | None], places: Sequence[float], down: Any) -> str:
    """Broken where a value is missing."""
    words, pen = [], "M"
    for x, value in zip(places, values, strict=True):
        if value is None:
            pen = "M"
            continue
        words.append(f"{pen}{x} {down(value)}")
        pen = "L"
    return "".join(words)


def _last(values: Sequence[float | None], places: Sequence[float], down: Any) -> dict[str, Any]:
    there = [(x, v) for x, v in zip(places, values, strict=True) if v is not None]
    x, value = there[-1] if there else (0.0, None)
    return {
        "x": x,
        "y": down(value) if value is not None else 0,
        "last": short(value) if value is not None else None,
    }


def _runs(marks: Sequence[bool], left: float, step: float) -> list[dict[str, float]]:
    """Neighbours are one."""
    out: list[dict[str, float]] = []
    begin = None
    for i, mark in enumerate([*marks, False]):
        if mark and begin is None:
            begin = i
        elif not mark and begin is not None:
            x, width = left + begin * step, (i - begin) * step
            out.append({"x": round(x, 1), "width": round(max(width, 1.0), 1)})
            begin = None
    return out


def _restarts(axis: Axis, left: float, step: float) -> list[dict[str, Any]]:
    return [{"x": round(left + before * step, 1), "cause": cause} for before, cause in axis.lines]
