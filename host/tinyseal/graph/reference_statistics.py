"""What a capsule carries of its training: how inputs and outputs were distributed, and how far a
window of inferences may be from that.

The limits come from the calibration samples themselves: windows drawn from one half of them are
held against the other half, many times, and the limits are such that FALSE_ALARMS of such windows
pass one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tinyseal.errors import ModelError
from tinyseal.graph.ir import DType, Graph
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.statistics import (
    BINS,
    FADE,
    MAX_SHARES,
    PAST,
    SHARE_ONE,
    UNIT,
    Floats,
    Ints,
    Layout,
    bins_of,
    float_distances,
    input_features,
    layout_of,
    output_features,
)

WINDOW: Final = 256
MAX_WINDOW: Final = 1024
MIN_SAMPLES: Final = 64
MAX_SAMPLES: Final = 4096  # that the model is run on
FALSE_ALARMS: Final = 0.001  # of windows, with all limits together
SPLITS: Final = 20  # of the samples into halves
STREAM: Final = 200  # windows of each
STREAM_START: Final = 8  # before the slow histogram is filled
SEED: Final = 6


@dataclass(frozen=True)
class Feature:
    edges: tuple[int, ...]
    low: int
    high: int


@dataclass(frozen=True)
class Distribution:
    shares: tuple[int, ...]
    limits: tuple[int, ...]


@dataclass(frozen=True)
class Reference:
    """As struct capsule_reference."""

    window: int
    channels: int
    groups: int
    features: tuple[Feature, ...]
    distributions: tuple[Distribution, ...]

    @property
    def layout(self) -> Layout:
        return Layout(self.channels, self.groups)


def quantised(graph: Graph, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Samples as input 0 takes them. ModelError if they do not go with it."""
    tensor = graph.tensor(graph.inputs[0])
    if tensor.dtype not in (DType.S8, DType.U8) or len(graph.inputs) != 1:
        raise ModelError(
            f"{graph.name}: statistics need one input of int8 or uint8; it has "
            f"{len(graph.inputs)}, the first of {tensor.dtype.name}"
        )
    elements = tensor.elements
    if samples.ndim < 2 or samples[0].size != elements:
        raise ModelError(
            f"calibration samples: shape {samples.shape}; expected (samples, "
            f"{', '.join(map(str, tensor.shape[1:]))})"
        )
    flat = samples.reshape(len(samples), *tensor.shape[1:])
    if flat.dtype == tensor.dtype.value:
        return flat
    if not np.issubdtype(flat.dtype, np.floating) or tensor.quant is None:
        raise ModelError(
            f"calibration samples: {flat.dtype}; expected float or {np.dtype(tensor.dtype.value)}"
        )
    scaled = np.round(flat / tensor.quant.scale) + tensor.quant.zero_point
    limits = np.iinfo(tensor.dtype.value)
    return np.clip(scaled, limits.min, limits.max).astype(tensor.dtype.value)


def outputs_of(graph: Graph, samples: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Output 0 of every sample. ModelError if it is not of int8 or uint8."""
    output = graph.tensor(graph.outputs[0])
    if output.dtype not in (DType.S8, DType.U8):
        raise ModelError(
            f"{graph.name}: statistics need an output of int8 or uint8, its is {output.dtype.name}"
        )
    model = Interpreter(graph)
    shape = graph.tensor(graph.inputs[0]).shape
    return np.stack([model.invoke([s.reshape(shape)])[0].reshape(-1) for s in samples])


@dataclass(frozen=True)
class Observed:
    """What the device takes of each sample."""

    values: Ints  # (samples, features)
    classes: Ints
    class_count: int


def observe(graph: Graph, layout: Layout, samples: npt.NDArray[Any]) -> Observed:
    outputs = outputs_of(graph, samples)
    classes, judged = output_features(outputs)
    values = np.concatenate([input_features(layout, samples), judged], axis=1)
    return Observed(values, classes, min(outputs.shape[1], MAX_SHARES))


def build_reference(graph: Graph, samples: npt.NDArray[Any], window: int = WINDOW) -> Reference:
    """ModelError for a model or samples that there can be no statistics of."""
    if len(samples) < MIN_SAMPLES:
        raise ModelError(f"{len(samples)} calibration samples: expected {MIN_SAMPLES} at least")
    if not 1 < window <= MAX_WINDOW:
        raise ModelError(f"window of {window} inferences: expected 2 to {MAX_WINDOW}")
    rng = np.random.default_rng(SEED)
    taken = quantised(graph, samples)
    if len(taken) > MAX_SAMPLES:
        taken = taken[np.sort(rng.choice(len(taken), MAX_SAMPLES, replace=False))]
    layout = layout_of(taken.shape[1:])
    if layout is None:
        raise ModelError(f"{graph.name}: its input is too wide for statistics: {taken.shape[1:]}")
    seen = observe(graph, layout, taken)
    features = tuple(map(_feature, seen.values.T))
    cells = [bins_of(v, f.edges) for v, f in zip(seen.values.T, features, strict=True)]
    cells.append(seen.classes)
    bins = [BINS] * len(features) + [seen.class_count]
    limits = _limits(rng, cells, bins, window)
    return Reference(
        window,
        layout.channels,
        layout.groups,
        features,
        tuple(
            Distribution(_shares(c, n, window), tuple(int(v) for v in limit))
            for c, n, limit in zip(cells, bins, limits, strict=True)
        ),
    )


def _feature(values: Ints) -> Feature:
    """Edges at the eighths; a value that many samples share is one bin, and the next ones stay
    empty."""
    edges = [int(np.quantile(values, i / BINS, method="higher")) for i in range(1, BINS)]
    return Feature(tuple(edges), int(values.min()), int(values.max()))


def _shares(cells: Ints, bins: int, window: int) -> tuple[int, ...]:
    """Half a count more in each bin, as of a window: so bins that stay empty here and there have
    the same share, however many samples there were."""
    counts = np.bincount(cells, minlength=bins) * window / len(cells)
    shares = np.floor((counts * 2 + 1) * SHARE_ONE / (2 * window + bins)).astype(np.int64)
    return tuple(int(max(1, s)) for s in shares)


def _limits(rng: np.random.Generator, cells: list[Ints], bins: list[int], window: int) -> Ints:
    """(distributions, 4), in 1 / UNIT."""
    half = len(cells[0]) // 2
    found: list[list[Floats]] = [[] for _ in cells]
    for _ in range(SPLITS):
        order = rng.permutation(len(cells[0]))
        old, new = order[:half], order[half:]
        drawn = rng.choice(new, (STREAM, window))
        for i, (cell, count) in enumerate(zip(cells, bins, strict=True)):
            shares = np.array(_shares(cell[old], count, window), dtype=np.float64)
            counts = _histograms(cell[drawn], count)
            slow = _slow(counts)
            past = _past(counts) if i == len(cells) - 1 else None
            rows = float_distances(counts, slow, shares, past)
            found[i].append(rows[STREAM_START:])
    rows = np.stack([np.concatenate(f) for f in found])  # (distributions, windows, 4)
    usual = np.maximum(np.quantile(rows, 0.99, axis=1), 4 / UNIT)
    worst = (rows / usual[:, None, :]).max(axis=(0, 2))
    factor = max(1.0, float(np.quantile(worst, 1 - FALSE_ALARMS)))
    return np.minimum(np.ceil(usual * factor * UNIT), 0xFFFF).astype(np.int64)


def _histograms(cells: Ints, bins: int) -> Ints:
    """(windows, n) to (windows, bins)."""
    return np.stack([(cells == b).sum(axis=1) for b in range(bins)], axis=1).astype(np.int64)


def _slow(counts: Ints) -> Floats:
    slow = np.empty(counts.shape)
    state = counts[0].astype(np.float64)
    for i, row in enumerate(counts):
        state = row.astype(np.float64) if i == 0 else state + (row - state) / FADE
        slow[i] = state
    return slow


def _past(counts: Ints) -> Floats:
    """What there was before each window."""
    past = np.zeros(counts.shape)
    for i, row in enumerate(counts[:-1]):
        past[i + 1] = past[i] + (row - past[i]) / min(i + 1, PAST)
    return past
