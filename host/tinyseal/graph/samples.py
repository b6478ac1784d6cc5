"""Inputs that show a kernel's faults: the extremes, a ramp through every value, and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from tinyseal.graph.ir import DType, Graph, Tensor
from tinyseal.graph.lowering import Array

NOISE_INPUTS: Final = 3
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
