"""RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR. Source: TFLM's reference/resize_nearest_neighbor.h
and resize_bilinear.h (the integer one)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.ir import DType, Graph, Op, OpKind, ResizeAttrs
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import input_tensor, require_s8, unsupported


@dataclass(frozen=True, eq=False)
class ResizeNearest(Params):
    """Mirrors `struct nn_resize_nearest`; rows [out_height] and columns [out_width] uint16."""

    batches: int
    in_height: int
    in_width: int
    depth: int
    dtype: DType
    rows: Array
    columns: Array

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        return [inputs[0][:, self.rows][:, :, self.columns]]


def nearest(size: int, out_size: int, attrs: ResizeAttrs) -> Array:
    """The input position each output position takes, in TFLM's single precision."""
    align = attrs.align_corners
    if align and out_size > 1:
        scale = np.float32(size - 1) / np.float32(out_size - 1)
    else:
        scale = np.float32(size) / np.float32(out_size)
    offset = np.float32(0.5 if attrs.half_pixel_centers else 0.0)
    at = (np.arange(out_size, dtype=np.float32) + offset) * scale
    # Exact in double: round half away from zero, or down.
    chosen = np.floor(at.astype(np.float64) + (0.5 if align else 0.0)).astype(np.int64)
    return np.minimum(chosen, size - 1)


@dataclass(frozen=True)
class ResizeBilinear(Params):
    """Mirrors `struct nn_resize_bilinear`; scales and shifts in 1/1024."""

    batches: int
    in_height: int
    in_width: int
    out_height: int
    out_width: int
    depth: int
    height_scale: int
    width_scale: int
    height_shift: int
    width_shift: int

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].astype(np.int64)
        top, bottom, down = between(
            self.in_height, self.out_height, self.height_scale, self.height_shift
        )
        left, right, across = between(
            self.in_width, self.out_width, self.width_scale, self.width_shift
        )
        down, across = down[:, None, None], across[:, None]

        def corner(rows: Array, columns: Array) -> Array:
            return x[:, rows][:, :, columns]

        total = (
            corner(top, left) * (1024 - down) * (1024 - across)
            + corner(bottom, left) * down * (1024 - across)
            + corner(top, right) * (1024 - down) * across
            + corner(bottom, right) * down * across
        )
        size = (np.abs(total) + (1 << 19)) >> 20
        return [np.where(total > 0, size, -size).astype(np.int8)]


def between(size: int, out_size: int, scale: int, shift: int) -> tuple[Array, Array, Array]:
    """For every output position the input positions below and above it, and how far it lies
    between them in 1/1024."""
    scaled = np.arange(out_size, dtype=np.int64) * scale + shift
    low = np.maximum(scaled, 0) // 1024
    return low, np.minimum((scaled + 1023) // 1024, size - 1), scaled - low * 1024


def lower_nearest(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, ResizeAttrs)
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    if max(x.shape[1:3]) > 2**16:
        raise unsupported(graph, op, f"tensor {x.name} has more than 65536 rows or columns")
    params = ResizeNearest(
        batches=x.shape[0],
        in_height=x.shape[1],
        in_width=x.shape[2],
        depth=x.shape[3],
        dtype=x.dtype,
        rows=nearest(x.shape[1], out.shape[1], op.attrs).astype(np.uint16),
        columns=nearest(x.shape[2], out.shape[2], op.attrs).astype(np.uint16),
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_bilinear(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, ResizeAttrs)
    attrs = op.attrs
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, out)
    if attrs.align_corners and attrs.half_pixel_centers:
        raise unsupported(graph, op, "align_corners and half_pixel_centers exclude each other")

    def scale_and_shift(axis: int) -> tuple[int, int]:
        size, out_size = x.shape[axis], out.shape[axis]
        scale = (1024 * size + out_size // 2) // out_size
        if attrs.align_corners and out_size > 1:
            scale = (1024 * (size - 1) + (out_size - 1) // 2) // (out_size - 1)
        shift = scale // 2 - 512 if attrs.half_pixel_centers else 0
        if ((out_size - 1) * scale + shift) // 1024 >= size:
            # TFLM reads past the image here: its steps of 1/1024 are too coarse.
            raise unsupported(graph, op, f"enlarging {size} to {out_size} is too much")
        return scale, shift

    height_scale, height_shift = scale_and_shift(1)
    width_scale, width_shift = scale_and_shift(2)
    params = ResizeBilinear(
        batches=x.shape[0],
        in_height=x.shape[1],
        in_width=x.shape[2],
        out_height=out.shape[1],
        out_width=out.shape[2],
        depth=x.shape[3],
        height_scale=height_scale,
        width_scale=width_scale,
        height_shift=height_shift,
        width_shift=width_shift,
    )
    return Lowered(op, params, (x.index,), op.outputs)


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.RESIZE_NEAREST_NEIGHBOR: lower_nearest,
    OpKind.RESIZE_BILINEAR: lower_bilinear,
}
