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
)

NONE: Final = "none"  # the name of the stream without drift
SLOW_START: Final = 8  # as OBSERVE_SLOW_START
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


class Judge(Protocol):
    name: str

    def begin(self) -> None: ...

    def window(self, taken: Taken, drawn: Ints) -> bool:
        """Whether it is told of drift by this window."""


@dataclass(frozen=True)
class Detection:
    """Of one kind of drift, by one judge."""

    drift: str
    judge: str
    streams: int
    seen: int  # within LONGEST windows
    mean: float | None  # windows until then
    most: int | None


@dataclass(frozen=True)
class DriftBench:
    model: str
    samples: int  # of the reference
    window: int
    clean: int  # windows without drift
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
    progress: Callable[[str], None] = lambda text: None,
) -> DriftBench:
    """`streams`: samples by the name of their drift, those without by NONE. ModelError for what
    there can be no statistics of."""
    if NONE not in streams:
        raise ModelError(f"streams: none is named {NONE!r}; there are {', '.join(streams)}")
    progress("reference")
    reference = build_reference(graph, samples, window)
    sets = {}
    for name, values in streams.items():
        progress(name)
        sets[name] = _take(graph, reference.layout, quantised(graph, values))
    pools = {name: (name, np.arange(len(t.classes))) for name, t in sets.items()}
    pools.update(_mixes(sets[NONE].classes))
    whole, exact = Integers(reference), Exact(reference)
    usual, strict = _adwins(sets[NONE], window, clean, progress)
    judges: tuple[Judge, ...] = (whole, exact, usual, strict)
    rng = np.random.default_rng(SEED)
    progress("no drift")
    alarms = {j.name: 0 for j in judges}
    agreement = _Agreement(reference)

    def step(name: str, pool: Ints) -> list[bool]:
        drawn = rng.choice(pool, window)
        told = [j.window(sets[name], drawn) for j in judges]
        agreement.compare(whole.found, exact.found, told[0] == told[1])
        return told

    for j in judges:
        j.begin()
    for _ in range(clean):
        for j, is_told in zip(judges, step(*pools[NONE]), strict=True):
            alarms[j.name] += is_told
    detections = []
    for drift in list(pools)[1:]:
        progress(drift)
        delays: list[list[int | None]] = [[] for _ in judges]
        for _ in range(repeats):
            for j in judges:
                j.begin()
            for _ in range(BEFORE):
                step(*pools[NONE])
            first: list[int | None] = [None] * len(judges)
            for number in range(1, LONGEST + 1):
                told = step(*pools[drift])
                first = [f or (number if t else None) for f, t in zip(first, told, strict=True)]
            for row, delay in zip(delays, first, strict=True):
                row.append(delay)
        detections += [
            _detection(drift, j.name, row) for j, row in zip(judges, delays, strict=True)
        ]
    return DriftBench(
        graph.name, len(samples), window, clean,
        {name: round(1000 * n / clean, 2) for name, n in alarms.items()},
        tuple(detections), agreement.compared, agreement.agreed, round(agreement.difference, 4),
    )  # fmt: skip


def _detection(drift: str, judge: str, delays: list[int | None]) -> Detection:
    seen = [d for d in delays if d is not None]
    mean = round(float(np.mean(seen)), 1) if seen else None
    return Detection(drift, judge, len(delays), len(seen), mean, max(seen, default=None))


def _mixes(classes: Ints) -> dict[str, tuple[str, Ints]]:
    """Other shares of the classes, as the model tells them: which samples are drawn from."""
    low = np.flatnonzero(classes < np.median(classes))
    if len(low) in (0, len(classes)):
        return {}
    return {
        "lower classes twice as often": (NONE, np.concatenate([np.arange(len(classes)), low])),
        "lower classes only": (NONE, low),
    }


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

    def window(self, taken: Taken, drawn: Ints) -> bool:
        r = self._reference
        self.found = []
        is_told = False
        for i, d in enumerate(r.distributions):
            is_ordered = i < len(r.features)
            cells = (
                bins_of(taken.values[drawn, i], r.features[i].edges)
                if is_ordered
                else taken.classes[drawn]
            )
            counts = np.bincount(cells, minlength=len(d.shares)).tolist()
            slow = [
                faded(s, c, self._windows == 0) for s, c in zip(self._slow[i], counts, strict=True)
            ]
            self._slow[i] = slow
            self.found.append(distances(counts, slow, d.shares, is_ordered))
            judged = zip(self.found[-1], d.limits, strict=True)
            is_told |= any(
                f > limit
                for s, (f, limit) in enumerate(judged)
                if s < 3 or self._windows >= SLOW_START
            )
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

    def window(self, taken: Taken, drawn: Ints) -> bool:
        r = self._reference
        self.found = []
        is_told = False
        for i, d in enumerate(r.distributions):
            is_ordered = i < len(r.features)
            cells = (
                np.searchsorted(np.array(r.features[i].edges), taken.exact[drawn, i], "right")
                if is_ordered
                else taken.classes[drawn]
            )
            counts = np.bincount(cells, minlength=len(d.shares))
            self._slow[i] = (
                counts.astype(np.float64)
                if self._windows == 0
                else self._slow[i] + (counts - self._slow[i]) / FADE
            )
            shares = np.array(d.shares, dtype=np.float64)
            found = float_distances(counts[None], self._slow[i][None], shares, is_ordered)[0]
            self.found.append(found)
            beyond = found > np.array(d.limits) / UNIT
            is_told |= bool(beyond[: 4 if self._windows >= SLOW_START else 3].any())
        self._windows += 1
        return is_told


class Adwin:
    """river's adaptive window, one for each feature and each class; told when any one is."""

    def __init__(self, delta: float) -> None:
        self.name = f"ADWIN {delta:g}"
        self._delta = delta

    def begin(self) -> None:
        self._detectors: list[Any] = []

    def window(self, taken: Taken, drawn: Ints) -> bool:
        from river.drift import ADWIN

        columns = [*taken.exact[drawn].T, *(taken.classes[drawn] == np.arange(MAX_SHARES)[:, None])]
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
        pool = np.arange(len(none.classes))
        alarms = sum(judge.window(none, rng.choice(pool, window)) for _ in range(clean))
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
