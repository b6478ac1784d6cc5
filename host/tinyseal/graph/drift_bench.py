"""How soon drift is seen, and how often none is taken for some: the device's statistics on streams
of samples, beside the same in floating point and a library made for it (river's ADWIN)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from tinyseal.errors import ModelError
from tinyseal.graph.ir import Graph
from tinyseal.graph.reference_statistics import (
    Reference,
    build_reference,
    outputs_of,
    quantised,
)
from tinyseal.graph.statistics import (
    FADE,
    MAX_SHARES,
    PAST,
    UNIT,
    Floats,
    Ints,
    Layout,
    bins_of,
    distances,
    faded,
    float_distances,
    input_features,
    output_features,
    remembered,
)

NONE: Final = "none"  # the name of the stream without drift
SLOW_START: Final = 8  # as OBSERVE_SLOW_START
EARLY, EARLY_CLASSES = (0, 1, 2), (0, 2)  # of the statistics, those judged before that, too
BEFORE: Final = 20  # windows without drift, before some begins
LONGEST: Final = 20  # windows that drift is waited for
SEED: Final = 1
ADWIN_DELTAS: Final = (2e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10, 1e-12)  # the first one is river's own


@dataclass(frozen=True)
class Taken:
    """A set of samples, as the judges look at them."""

    values: Ints  # (samples, features)
    classes: Ints
    exact: Floats  # as values, not rounded anywhere

    def rows(self, drawn: Ints) -> Taken:
        return Taken(self.values[drawn], self.classes[drawn], self.exact[drawn])

    def __add__(self, other: Taken) -> Taken:
        return Taken(
            np.concatenate([self.values, other.values]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.exact, other.exact]),
        )


class Judge(Protocol):
    name: str

    def begin(self) -> None: ...

    def window(self, taken: Taken) -> bool:
        """Whether it is told of drift by this window."""


@dataclass(frozen=True)
class Detection:
    """Of one kind of drift, by one judge."""

    drift: str
    judge: str
    streams: int
    seen: int  # within LONGEST windows, and the ramp's
    mean: float | None  # windows until then
    most: int | None


@dataclass(frozen=True)
class DriftBench:
    model: str
    samples: int  # of the reference
    window: int
    clean: int  # windows without drift
    ramp: int  # windows within which drift comes; 0: at once
    false_alarms: Mapping[str, float]  # of each judge, in 1,000 windows
    detections: tuple[Detection, ...]
    compared: int  # windows judged by the device's integers and in floating point
    agreed: int  # with the same verdict
    difference: float  # the largest of a distance below 1

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def drift_bench(
    graph: Graph,
    samples: npt.NDArray[Any],
    streams: Mapping[str, npt.NDArray[Any]],
    window: int,
    clean: int,
    repeats: int,
    ramp: int,
    progress: Callable[[str], None] = lambda text: None,
) -> DriftBench:
    """`streams`: samples by the name of their drift, those without by NONE. Drift comes at once or,
    within `ramp` windows, in more and more of their samples. ModelError for what there can be no
    statistics of."""
    if NONE not in streams:
        raise ModelError(f"streams: none is named {NONE!r}; there are {', '.join(streams)}")
    progress("reference")
    reference = build_reference(graph, samples, window)
    sets = {}
    for name, values in streams.items():
        progress(name)
        sets[name] = _take(graph, reference.layout, quantised(graph, values))
    pools = {**sets, **_mixes(sets[NONE])}
    whole, exact = Integers(reference), Exact(reference)
    usual, strict = _adwins(sets[NONE], window, clean, progress)
    judges: tuple[Judge, ...] = (whole, exact, usual, strict)
    rng = np.random.default_rng(SEED)
    progress("no drift")
    alarms = {j.name: 0 for j in judges}
    agreement = _Agreement(reference)

    def step(drift: str, count: int) -> list[bool]:
        """A window with `count` samples of the drift."""
        taken = _draw(rng, pools[NONE], window - count) + _draw(rng, pools[drift], count)
        told = [j.window(taken) for j in judges]
        agreement.compare(whole.found, exact.found, told[0] == told[1])
        return told

    for j in judges:
        j.begin()
    for _ in range(clean):
        for j, is_told in zip(judges, step(NONE, 0), strict=True):
            alarms[j.name] += is_told
    detections = []
    for drift in list(pools)[1:]:
        progress(drift)
        delays: list[list[int | None]] = [[] for _ in judges]
        for _ in range(repeats):
            for j in judges:
                j.begin()
            for _ in range(BEFORE):
                step(NONE, 0)
            first: list[int | None] = [None] * len(judges)
            for number in range(1, LONGEST + ramp + 1):
                told = step(drift, window * number // ramp if number < ramp else window)
                first = [f or (number if t else None) for f, t in zip(first, told, strict=True)]
            for row, delay in zip(delays, first, strict=True):
                row.append(delay)
        detections += [
            _detection(drift, j.name, row) for j, row in zip(judges, delays, strict=True)
        ]
    return DriftBench(
        graph.name, len(samples), window, clean, ramp,
        {name: round(1000 * n / clean, 2) for name, n in alarms.items()},
        tuple(detections), agreement.compared, agreement.agreed, round(agreement.difference, 4),
    )  # fmt: skip


def _detection(drift: str, judge: str, delays: list[int | None]) -> Detection:
    seen = [d for d in delays if d is not None]
    mean = round(float(np.mean(seen)), 1) if seen else None
    return Detection(drift, judge, len(delays), len(seen), mean, max(seen, default=None))


def _mixes(none: Taken) -> dict[str, Taken]:
    """Other shares of the classes, as the model tells them."""
    every = np.arange(len(none.classes))
    low = np.flatnonzero(none.classes < np.median(none.classes))
    if len(low) in (0, len(every)):
        return {}
    return {
        "lower classes twice as often": none.rows(np.concatenate([every, low])),
        "lower classes only": none.rows(low),
    }


def _draw(rng: np.random.Generator, pool: Taken, count: int) -> Taken:
    return pool.rows(rng.choice(len(pool.classes), count))


def _take(graph: Graph, layout: Layout, samples: npt.NDArray[Any]) -> Taken:
    outputs = outputs_of(graph, samples)
    classes, judged = output_features(outputs)
    values = np.concatenate([input_features(layout, samples), judged], axis=1)
    return Taken(values, classes, _exact_features(layout, samples, outputs))


def _exact_features(layout: Layout, samples: npt.NDArray[Any], outputs: npt.NDArray[Any]) -> Floats:
    """As input_features() and output_features(), in floating point."""
    flat = samples.reshape(len(samples), -1, layout.channels).astype(np.float64)
    if samples.dtype == np.uint8:
        flat -= 128
    columns = []
    for g in range(layout.groups):
        first, end = (i * layout.channels // layout.groups for i in (g, g + 1))
        group = flat[:, :, first:end].reshape(len(samples), -1)
        columns += [16 * group.mean(axis=1), 16 * group.std(axis=1)]
    scores = outputs.reshape(len(outputs), -1).astype(np.float64)
    scores -= np.iinfo(outputs.dtype).min
    shares = scores / np.maximum(scores.sum(axis=1, keepdims=True), 1)
    logs = np.log2(np.where(shares > 0, shares, 1))
    columns += [255 * shares.max(axis=1), -4096 * (shares * logs).sum(axis=1)]
    return np.stack(columns, axis=1)


class Integers:
    """What the device works out, to the last bit."""

    name = "device"

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.found: list[tuple[int, ...]] = []

    def begin(self) -> None:
        self._windows = 0
        self._slow = [[0] * len(d.shares) for d in self._reference.distributions]
        self._past = self._slow[-1]

    def window(self, taken: Taken) -> bool:
        r = self._reference
        self.found = []
        is_told = False
        for i, d in enumerate(r.distributions):
            is_ordered = i < len(r.features)
            cells = (
                bins_of(taken.values[:, i], r.features[i].edges) if is_ordered else taken.classes
            )
            counts = np.bincount(cells, minlength=len(d.shares)).tolist()
            slow = [
                faded(s, c, self._windows == 0) for s, c in zip(self._slow[i], counts, strict=True)
            ]
            self._slow[i] = slow
            self.found.append(distances(counts, slow, d.shares, None if is_ordered else self._past))
            judged = zip(self.found[-1], d.limits, strict=True)
            is_told |= any(
                f > limit
                for s, (f, limit) in enumerate(judged)
                if self._windows >= SLOW_START or s in (EARLY if is_ordered else EARLY_CLASSES)
            )
        self._past = [
            remembered(was, cell, self._windows)
            for was, cell in zip(self._past, counts, strict=True)
        ]
        self._windows += 1
        return is_told


class Exact:
    """The same in floating point from the samples on."""

    name = "floating point"

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.found: list[Floats] = []

    def begin(self) -> None:
        self._windows = 0
        self._slow = [np.zeros(len(d.shares)) for d in self._reference.distributions]
        self._past = self._slow[-1]

    def window(self, taken: Taken) -> bool:
        r = self._reference
        self.found = []
        is_told = False
        for i, d in enumerate(r.distributions):
            is_ordered = i < len(r.features)
            cells = (
                np.searchsorted(np.array(r.features[i].edges), taken.exact[:, i], "right")
                if is_ordered
                else taken.classes
            )
            counts = np.bincount(cells, minlength=len(d.shares))
            self._slow[i] = (
                counts.astype(np.float64)
                if self._windows == 0
                else self._slow[i] + (counts - self._slow[i]) / FADE
            )
            shares = np.array(d.shares, dtype=np.float64)
            past = None if is_ordered else self._past[None]
            found = float_distances(counts[None], self._slow[i][None], shares, past)[0]
            self.found.append(found)
            beyond = found > np.array(d.limits) / UNIT
            if self._windows < SLOW_START:
                beyond = beyond[list(EARLY if is_ordered else EARLY_CLASSES)]
            is_told |= bool(beyond.any())
        self._past = self._past + (counts - self._past) / min(self._windows + 1, PAST)
        self._windows += 1
        return is_told


class Adwin:
    """river's adaptive window, one for each feature and each class; told when any one is."""

    def __init__(self, delta: float) -> None:
        self.name = f"ADWIN {delta:g}"
        self._delta = delta

    def begin(self) -> None:
        self._detectors: list[Any] = []

    def window(self, taken: Taken) -> bool:
        from river.drift import ADWIN

        columns = [*taken.exact.T, *(taken.classes == np.arange(MAX_SHARES)[:, None])]
        if not self._detectors:
            self._detectors = [ADWIN(delta=self._delta) for _ in columns]  # type: ignore[no-untyped-call]
        is_told = False
        for detector, column in zip(self._detectors, columns, strict=True):
            for value in column.tolist():
                detector.update(float(value))
                is_told |= detector.drift_detected
        return is_told


def _adwins(
    none: Taken, window: int, clean: int, progress: Callable[[str], None]
) -> tuple[Adwin, Adwin]:
    """As it comes, and the most sensitive one with at most one false alarm in 1,000 windows."""
    for delta in ADWIN_DELTAS[1:]:
        progress(f"ADWIN {delta:g}")
        judge = Adwin(delta)
        judge.begin()
        rng = np.random.default_rng(SEED + 1)
        alarms = sum(judge.window(_draw(rng, none, window)) for _ in range(clean))
        if alarms <= clean / 1000:
            break
    return Adwin(ADWIN_DELTAS[0]), judge


class _Agreement:
    def __init__(self, reference: Reference) -> None:
        self.compared = self.agreed = 0
        self.difference = 0.0

    def compare(self, whole: list[tuple[int, ...]], exact: list[Floats], is_same: bool) -> None:
        self.compared += 1
        self.agreed += is_same
        a, b = np.array(whole) / UNIT, np.array(exact)
        self.difference = max(self.difference, float(np.where(b < 1, abs(a - b), 0).max()))
