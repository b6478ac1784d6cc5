"""The fleet's figures as other people's monitoring takes them: OpenMetrics and OTLP, each by its
official library.

A histogram of latencies adds up all windows. A device counts by eighths of octaves of its own
clock; what lies in one of these goes to the bound that is not below its end.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Final

from tinyseal import __version__
from tinyseal.errors import FleetError, UsageError
from tinyseal.fleet.telemetry import CAUSES, OCTAVE_BINS, STATISTICS
from tinyseal.fleet.watch import VERDICTS, Watched

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricsData
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric as Exposed

# Seconds.
BOUNDS: Final = tuple(m * 10.0**e for e in range(-6, 2) for m in (1.0, 2.0, 5.0))
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0"
TIMEOUT: Final = 20  # seconds that a receiver may take


class Kind(Enum):
    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Histogram:
    counts: tuple[int, ...]  # by BOUNDS, and what is beyond
    total: float
    shortest: float
    longest: float


@dataclass(frozen=True)
class Point:
    labels: Mapping[str, str]
    value: float | Histogram
    began: datetime  # to count


@dataclass(frozen=True)
class Family:
    name: str  # with its unit, without the ending of its kind
    kind: Kind
    unit: str
    help: str
    points: tuple[Point, ...]


Told = Iterator[tuple[Mapping[str, str], float | Histogram]]  # with labels besides the device's


def families(devices: Sequence[Watched], now: datetime) -> list[Family]:
    """Those that some device has a value of."""
    built = (
        _family("device", Kind.GAUGE, "", "1 for every device that is known", devices, _info),
        _family("verdict", Kind.GAUGE, "", "1 for the verdict on drift that holds", devices,
                _verdict),
        _family("drift_distance", Kind.GAUGE, "", "largest distance of the last window to training",
                devices, _distances),
        _family("confidence", Kind.GAUGE, "", "mean of the last window, 0 to 1", devices,
                lambda d: _plain(d.confidence)),
        _family("queries", Kind.COUNTER, "", "inferences of the windows that were told", devices,
                lambda d: _plain(d.queries)),
        _family("windows", Kind.COUNTER, "", "windows of inferences that were told", devices,
                lambda d: _plain(len(d.windows))),
        _family("windows_drifted", Kind.COUNTER, "", "windows beyond a limit", devices,
                lambda d: _plain(sum(bool(w.record.drifted) for w in d.windows))),
        _family("unusual_inputs", Kind.COUNTER, "", "inputs that training had none like", devices,
                lambda d: _plain(sum(w.record.unusual or 0 for w in d.windows))),
        _family("starts", Kind.COUNTER, "", "starts, by the cause of the reset", devices, _starts),
        _family("inference_duration_seconds", Kind.HISTOGRAM, "seconds", "of inferences", devices,
                _durations),
        _family("inference_energy_joules", Kind.GAUGE, "joules",
                "of an inference of the last window", devices, _joules),
        _family("stack_used_bytes", Kind.GAUGE, "bytes", "most ever used", devices, _stack),
        _family("record_age_seconds", Kind.GAUGE, "seconds", "since a record came", devices,
                lambda d: _plain(None if (h := d.silent(now)) is None else 3600 * h)),
    )  # fmt: skip
    return [f for f in built if f.points]


def _family(
    name: str,
    kind: Kind,
    unit: str,
    text: str,
    devices: Sequence[Watched],
    tell: Callable[[Watched], Told],
) -> Family:
    points = []
    for device in devices:
        came = [w.pulled for w in (*device.windows, *device.starts)]
        if came:
            points += [
                Point({"device": device.id, **labels}, value, min(came))
                for labels, value in tell(device)
            ]
    return Family(name, kind, unit, text, tuple(points))


def _plain(value: float | None) -> Told:
    if value is not None:
        yield {}, float(value)


def _info(device: Watched) -> Told:
    yield (
        {
            "board": device.board or "",
            "model": device.model or "",
            "firmware": device.firmware or "",
        },
        1.0,
    )


def _verdict(device: Watched) -> Told:
    for verdict in VERDICTS:
        yield {"verdict": verdict}, float(device.verdict == verdict)


def _distances(device: Watched) -> Told:
    for statistic in (*STATISTICS, "mix"):
        value = device.worst(statistic)
        if value is not None:
            yield {"statistic": statistic}, value


def _starts(device: Watched) -> Told:
    told = [s.record.cause for s in device.starts]
    for cause in (*CAUSES.values(), *sorted({*filter(None, told)} - {*CAUSES.values()})):
        yield {"cause": cause}, float(told.count(cause))


def _durations(device: Watched) -> Told:
    counts, total = [0] * (len(BOUNDS) + 1), 0.0
    told = [w.record.latency for w in device.windows if w.record.latency is not None]
    for latency in told:
        total += latency.mean * sum(latency.bins)
        for i, count in enumerate(latency.bins):
            end = 2 ** ((latency.first + i + 1) / OCTAVE_BINS) / latency.hz
            counts[bisect_left(BOUNDS, min(end, latency.longest))] += count
    if told:
        shortest, longest = min(t.shortest for t in told), max(t.longest for t in told)
        yield {}, Histogram(tuple(counts), total, shortest, longest)


def _joules(device: Watched) -> Told:
    return _plain(device.energy_nj / 1e9 if device.energy_nj is not None else None)


def _stack(device: Watched) -> Told:
    memory = device.last.record.memory if device.last else None
    return _plain(memory["stack"] if memory else None)


def exposition(found: Sequence[Family], accept: str) -> tuple[bytes, str]:
    """Prometheus' text, or OpenMetrics where OPEN_METRICS is accepted; and its content type."""
    from prometheus_client.exposition import choose_encoder

    encode, form = choose_encoder(accept)
    return encode(_registry(found)), form


def _registry(found: Sequence[Family]) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry
    from prometheus_client.registry import Collector

    class Given(Collector):
        def collect(self) -> Iterator[Exposed]:
            return map(_exposed, found)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Given())
    return registry


def _exposed(family: Family) -> Exposed:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    names, unit = tuple(family.points[0].labels), family.unit
    name = f"tinyseal_{family.name}"
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, family.help, labels=names, unit=unit)
        for point in family.points:
            assert isinstance(point.value, Histogram)
            seen, buckets = 0, []
            for bound, count in zip((*BOUNDS, float("inf")), point.value.counts, strict=True):
                seen += count
                buckets.append((f"{bound:g}" if bound < float("inf") else "+Inf", float(seen)))
            histogram.add_metric([*point.labels.values()], buckets, point.value.total)
        return histogram
    plain = (CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily)(
        name, family.help, labels=names, unit=unit
    )
    for point in family.points:
        assert isinstance(point.value, float)
        plain.add_metric([*point.labels.values()], point.value)
    return plain


def push(found: Sequence[Family], endpoint: str, now: datetime) -> int:
    """Sends all to an OTLP receiver (HTTP, protobuf): how many points. FleetError if it does not
    take them."""
    import logging

    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics.export import MetricExportResult

    if not endpoint.startswith(("http://", "https://")):
        raise UsageError(f"{endpoint}: expected as http://collector:4318/v1/metrics")
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("opentelemetry")
    log.addHandler(handler)
    was, log.propagate = log.propagate, False
    exporter = OTLPMetricExporter(endpoint=endpoint, timeout=TIMEOUT)
    try:
        result = exporter.export(_metrics_data(found, now))
    finally:
        exporter.shutdown()
        log.removeHandler(handler)
        log.propagate = was
    if result is not MetricExportResult.SUCCESS:
        raise FleetError(f"{endpoint}: {(said or ['does not take the metrics'])[-1]}")
    return sum(len(f.points) for f in found)


def _metrics_data(found: Sequence[Family], now: datetime) -> MetricsData:
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    resource = Resource.create({"service.name": "tinyseal", "service.version": __version__})
    scope = InstrumentationScope("tinyseal.observe", __version__)
    metrics = [_otlp(f, _ns(now)) for f in found]
    return MetricsData([ResourceMetrics(resource, [ScopeMetrics(scope, metrics, "")], "")])


def _otlp(family: Family, now: int) -> Metric:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
        Sum,
    )
    from opentelemetry.sdk.metrics.export import Histogram as OtlpHistogram

    whole = AggregationTemporality.CUMULATIVE
    name = f"tinyseal.{family.name.removesuffix('_' + family.unit)}"
    unit = {"seconds": "s", "joules": "J", "bytes": "By"}.get(family.unit, "1")
    if family.kind is Kind.HISTOGRAM:
        drawn = [
            HistogramDataPoint(
                p.labels, _ns(p.began), now, sum(p.value.counts), p.value.total,
                p.value.counts, BOUNDS, p.value.shortest, p.value.longest,
            )
            for p in family.points
            if isinstance(p.value, Histogram)
        ]  # fmt: skip
        return Metric(name, family.help, unit, OtlpHistogram(drawn, whole))
    points = [
        NumberDataPoint(p.labels, _ns(p.began), now, p.value)
        for p in family.points
        if isinstance(p.value, float)
    ]
    data = Sum(points, whole, True) if family.kind is Kind.COUNTER else Gauge(points)
    return Metric(name, family.help, unit, data)


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
