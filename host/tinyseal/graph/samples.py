"""Inputs that show a kernel's faults: the extremes, ramps, stripes, steps, and noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np

from tinyseal.graph.ir import DType, Graph, Tensor
from tinyseal.graph.lowering import Array

NOISE_INPUTS: Final = 3
MANY_INPUTS: Final = 32  # of each kind, for a thorough test
SEED: Final = 1


class Range(NamedTuple):
    min: int
    max: int


def sample_inputs(graph: Graph) -> list[tuple[str, list[Array]]]:
    """(name, one value for each of the graph's inputs), the same ones every time."""
    rng = np.random.default_rng(SEED)

    def fill(make: Callable[[Tensor, Range], Array]) -> list[Array]:
        tensors = [graph.tensor(i) for i in graph.inputs]
        return [make(t, _range(t.dtype)).astype(t.dtype.value) for t in tensors]

    def noise(tensor: Tensor, span: Range) -> Array:
        return rng.integers(span.min, span.max, tensor.shape, endpoint=True)

    return [
        ("lowest", fill(lambda t, r: np.full(t.shape, r.min))),
        ("highest", fill(lambda t, r: np.full(t.shape, r.max))),
        ("ramp", fill(_ramp)),
        *((f"noise {i}", fill(noise)) for i in range(NOISE_INPUTS)),
    ]


def random_inputs(graph: Graph) -> Iterator[tuple[str, list[Array]]]:
    """MANY_INPUTS inputs of noise, each as of `sample_inputs`."""
    rng = np.random.default_rng(SEED)
    tensors = [graph.tensor(i) for i in graph.inputs]
    for number in range(MANY_INPUTS):
        spans = [_range(t.dtype) for t in tensors]
        yield (
            f"noise {number}",
            [
                rng.integers(r.min, r.max, t.shape, endpoint=True).astype(t.dtype.value)
                for t, r in zip(tensors, spans, strict=True)
            ],
        )


def structured_inputs(graph: Graph) -> Iterator[tuple[str, list[Array]]]:
    """MANY_INPUTS inputs with structure: levels, ramps, stripes, steps, single elements."""
    tensors = [graph.tensor(i) for i in graph.inputs]
    for row in zip(*(_patterns(t) for t in tensors), strict=True):
        yield row[0][0], [values for _, values in row]


def _patterns(tensor: Tensor) -> Iterator[tuple[str, Array]]:
    low, high = _range(tensor.dtype)
    n = np.arange(tensor.elements)

    def shaped(values: Array) -> Array:
        return values.reshape(tensor.shape).astype(tensor.dtype.value)

    for quarter in range(5):  # both extremes, and what lies between
        yield f"level {quarter}/4", shaped(low + 0 * n + (high - low) * quarter // 4)
    for step in (1, 3, 17, 64):
        yield f"rising by {step}", shaped(low + n * step % (high - low + 1))
        yield f"falling by {step}", shaped(high - n * step % (high - low + 1))
    for width in (1, 2, 3, 8, 10, 32, 96):  # rows and channels of the models, and others
        yield f"stripes {width} wide", shaped(np.where(n // width % 2, low, high))
    for part in range(1, 5):
        yield f"step at {part}/5", shaped(np.where(n < n.size * part // 5, low, high))
    for part in range(4):
        here = n == n.size * part // 4
        yield f"one high at {part}/4", shaped(np.where(here, high, low))
        yield f"one low at {part}/4", shaped(np.where(here, low, high))


def _range(dtype: DType) -> Range:
    """What inputs of a type may hold; real ones stay where quantisation has something to do."""
    if dtype is DType.F32:
        return Range(-128, 127)
    if dtype is DType.BOOL:
        return Range(0, 1)
    limits = np.iinfo(dtype.value)
    return Range(int(limits.min), int(limits.max))


def _ramp(tensor: Tensor, span: Range) -> Array:
    values: Array = span.min + np.arange(tensor.elements) % (span.max - span.min + 1)
    return values.reshape(tensor.shape)
