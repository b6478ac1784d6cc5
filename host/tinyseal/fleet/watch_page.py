"""The statistics of the fleet as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from tinyseal.fleet.telemetry import STATISTICS
from tinyseal.fleet.watch import Watched, Window, fleet_verdict

MAX_WINDOWS: Final = 200  # of a chart, the last ones


def render(devices: Sequence[Watched]) -> str:
    environment = Environment(
        loader=PackageLoader("tinyseal.fleet"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("observe.html.j2").render(
        verdict=fleet_verdict(devices), devices=[_device(d) for d in devices]
    )


def _device(device: Watched) -> dict[str, Any]:
    facts = device.to_json()
    charts: list[tuple[str, Callable[[Window], float | None]]] = [
        *((f"{s.upper()}, the largest", _worst(s)) for s in STATISTICS),
        ("Latency p50, ms", lambda w: _latency(w, 50)),
        ("Latency p99, ms", lambda w: _latency(w, 99)),
        ("Confidence, mean", _confidence),
        ("Queries of a window", lambda w: w.record.count),
        ("Energy of an inference, nJ", lambda w: w.record.energy_nj),
    ]
    recent = device.windows[-MAX_WINDOWS:]
    drawn = [_chart(title, [value(w) for w in recent]) for title, value in charts]
    return {
        "facts": facts,
        "p50": _milliseconds(facts["latency_p50"]),
        "p99": _milliseconds(facts["latency_p99"]),
        "charts": [c for c in drawn if c is not None],
    }


def _worst(statistic: str) -> Callable[[Window], float | None]:
    return lambda w: w.worst[statistic] if w.record.distances else None


def _latency(window: Window, percent: float) -> float | None:
    latency = window.record.latency
    return 1000 * latency.percentile(percent) if latency else None


def _confidence(window: Window) -> float | None:
    classes = window.record.classes or ()
    total = sum(c.count for c in classes)
    return sum(c.mean * c.count for c in classes) / total if total else None


def _milliseconds(seconds: float | None) -> str:
    return f"{1000 * seconds:.3f}" if seconds is not None else "-"


def _chart(title: str, values: Sequence[float | None]) -> dict[str, str] | None:
    """A line from 0 up; None where no window has the value."""
    there = [(i, v) for i, v in enumerate(values) if v is not None]
    if not there:
        return None
    most = max(v for _, v in there) or 1.0
    step = 100 / max(len(values) - 1, 1)
    points = " ".join(f"{i * step:.2f},{98 - 96 * v / most:.2f}" for i, v in there)
    return {"title": title, "last": f"{there[-1][1]:.4g}", "points": points}
