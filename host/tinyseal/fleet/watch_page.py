"""The statistics of the fleet as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, groupby
from typing import Any, Final

from tinyseal.fleet.alerts import Alert
from tinyseal.fleet.charts import Axis, Series, line_chart, mark_chart, scaled, short
from tinyseal.fleet.pages import render
from tinyseal.fleet.watch import VERDICTS, Watched, Window, fleet_verdict

MAX_WINDOWS: Final = 120  # of a chart, the last ones
MAX_ROWS: Final = 1000  # of the table
MAX_CHARTED: Final = 40  # devices, the worst ones
MARKS: Final = {"steady": "●", "drifting": "▲", "drifted": "■", "unknown": "○"}

Value = Callable[[Window], float | None]


def watch_page(
    devices: Sequence[Watched],
    alerts: Sequence[Alert],
    now: datetime,
    refresh: int | None = None,
) -> str:
    """`refresh`: seconds after which a browser asks for it again, where it is served."""
    ordered = sorted(devices, key=lambda d: (-VERDICTS.index(d.verdict), -d.faults, d.id))
    alerting = {device: [*found] for device, found in groupby(alerts, lambda a: a.device)}
    counts = {v: sum(d.verdict == v for d in devices) for v in reversed(VERDICTS)}
    return render(
        "observe.html.j2",
        verdict=fleet_verdict(devices),
        counts=counts,
        marks=MARKS,
        total=len(devices),
        queries=sum(d.queries for d in devices),
        faults=sum(d.faults for d in devices),
        alerts=alerts,
        now=now,
        refresh=refresh,
        rows=[_row(d, now) for d in ordered[:MAX_ROWS]],
        more=max(0, len(devices) - MAX_ROWS),
        devices=[_device(d, alerting.get(d.id, []), now) for d in ordered[:MAX_CHARTED]],
        uncharted=max(0, len(devices) - MAX_CHARTED),
    )


def _row(device: Watched, now: datetime) -> dict[str, Any]:
    return {
        "facts": device.to_json(),
        "p50": _time(device.latency(50)),
        "p99": _time(device.latency(99)),
        "energy": _energy(device.energy_nj),
        "confidence": f"{device.confidence:.2f}" if device.confidence is not None else "-",
        "spark": _spark([_worst("psi")(w) for w in device.windows[-40:]]),
        "ago": _ago(device.silent(now)),
    }


def _device(device: Watched, alerts: Sequence[Alert], now: datetime) -> dict[str, Any]:
    return {**_row(device, now), "stack": _stack(device), "alerts": alerts,
            "charts": _charts(device)}  # fmt: skip


def _axis(device: Watched) -> Axis:
    """Restarts stand before the first window that came after them."""
    windows = device.windows[-MAX_WINDOWS:]
    first = len(device.windows) - len(windows) + 1
    lines = []
    for start in device.starts:
        before = sum((w.pulled, w.number) < (start.pulled, start.number) for w in windows)
        if windows and before + first > 1:
            lines.append((float(before), start.record.cause or "unknown cause"))
    return Axis(
        range(first, first + len(windows)), [bool(w.record.drifted) for w in windows], lines
    )


def _charts(device: Watched) -> list[dict[str, Any]]:
    windows = device.windows[-MAX_WINDOWS:]
    if not windows:
        return []
    axis = _axis(device)

    def drawn(value: Value) -> list[float | None]:
        return [value(w) for w in windows]

    def in_units(title: str, unit: str, named: Mapping[str, Value]) -> dict[str, Any] | None:
        values = {name: drawn(value) for name, value in named.items()}
        most = max((v for row in values.values() for v in row if v is not None), default=0.0)
        one, prefix = scaled(most)
        series = [
            Series(name, [None if v is None else v / one for v in row])
            for name, row in values.items()
        ]
        return line_chart(title, prefix + unit, series, axis)

    before = device.queries - sum(w.record.count or 0 for w in windows)
    queries = [before + n for n in accumulate(w.record.count or 0 for w in windows)]
    distances = [Series(_NAMES[s], drawn(_worst(s))) for s in _NAMES]
    confidence = [Series("mean", drawn(lambda w: w.confidence))]
    found = (
        line_chart("Drift", "largest distance", distances, axis),
        in_units("Latency", "s", {f"p{p}": _percentile(p) for p in (50, 90, 99)}),
        line_chart("Confidence", "0 to 1", confidence, axis, 1.0),
        line_chart("Queries", "in all", [Series("queries", queries)], axis),
        in_units("Energy", "J an inference", {"energy": _joules}),
        mark_chart("Where it drifts", _places(windows), axis),
    )
    return [c for c in found if c is not None]


_NAMES: Final = {"psi": "PSI", "ks": "KS", "js": "JS", "slow": "slow", "mix": "mix"}


def _worst(statistic: str) -> Value:
    return lambda w: w.worst[statistic] if w.record.distances else None


def _percentile(percent: float) -> Value:
    return lambda w: w.latency(percent)


def _joules(window: Window) -> float | None:
    nj = window.record.energy_nj
    return nj / 1e9 if nj is not None else None


def _places(windows: Sequence[Window]) -> list[tuple[str, list[bool]]]:
    """Of each distribution, in which windows it was beyond a limit."""
    count = max((len(w.record.distances or ()) for w in windows), default=0)
    names = [f"input {i // 2 + 1} {('level', 'spread')[i % 2]}" for i in range(max(0, count - 3))]
    return [
        (name, [bool((w.record.drifted or 0) >> i & 1) for w in windows])
        for i, name in enumerate([*names, "confidence", "entropy", "classes"][:count])
    ]


def _spark(values: Sequence[float | None]) -> str:
    """Points of a line 80 wide and 18 high."""
    there = [(i, v) for i, v in enumerate(values) if v is not None]
    most = max((v for _, v in there), default=0.0) or 1.0
    step = 80 / max(len(values) - 1, 1)
    return " ".join(f"{i * step:.1f},{17 - 16 * v / most:.1f}" for i, v in there)


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:,.3f}"


def _energy(nj: int | None) -> str:
    if nj is None:
        return "-"
    one, prefix = scaled(nj / 1e9)
    return f"{short(nj / 1e9 / one)} {prefix}J"


def _stack(device: Watched) -> str:
    memory = device.last.record.memory if device.last else None
    return f"{memory['stack']:,} of {memory['stack_bytes']:,} B" if memory else "-"


def _ago(hours: float | None) -> str:
    if hours is None:
        return "-"
    minutes = max(0.0, 60 * hours)
    return (
        f"{minutes:.0f} min" if minutes < 90 else
        f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} days"
    )  # fmt: skip
