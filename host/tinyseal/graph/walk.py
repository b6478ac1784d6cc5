"""Two strided arrays walked in step: `struct nn_walk`, with every dimension merged that can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Walk:
    """Mirrors `struct nn_walk`: dimensions outermost first, strides in elements; the last is the
    row. A stride of 0 repeats, a negative one runs backwards."""

    dims: Shape
    a_strides: Shape
    b_strides: Shape

    @property
    def elements(self) -> int:
        return int(np.prod(self.dims, dtype=np.int64))

    @property
    def is_dense(self) -> bool:
        """One row, both operands contiguous."""
        return len(self.dims) == 1 and self.a_strides == self.b_strides == (1,)


def dense_strides(shape: Shape) -> Shape:
    """Strides of a contiguous row-major array, in elements."""
    strides: list[int] = []
    step = 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def merge(dims: Sequence[int], a_strides: Sequence[int], b_strides: Sequence[int]) -> Walk:
    """The same walk with the fewest dimensions, in the same order; at least one remains."""
    merged: list[tuple[int, int, int]] = []
    for size, a, b in zip(dims, a_strides, b_strides, strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1:] == (size * a, size * b):
            merged[-1] = (merged[-1][0] * size, a, b)
        else:
            merged.append((size, a, b))
    if not merged:
        merged = [(1, 1, 1)]
    sizes, a_merged, b_merged = zip(*merged, strict=True)
    return Walk(tuple(sizes), tuple(a_merged), tuple(b_merged))


def broadcast(a_shape: Shape, b_shape: Shape) -> Walk:
    """Two operands under numpy's broadcasting rules, which are TFLite's."""
    shape = np.broadcast_shapes(a_shape, b_shape)

    def strides(own: Shape) -> list[int]:
        padded = (1,) * (len(shape) - len(own)) + own
        return [
            0 if size == 1 else step
            for size, step in zip(padded, dense_strides(padded), strict=True)
        ]

    return merge(shape, strides(a_shape), strides(b_shape))
