"""Calls of the portable kernels that move elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.walk import emit_walk
from tinyseal.graph.ops.movement import Move
from tinyseal.graph.ops.resize import ResizeBilinear, ResizeNearest
from tinyseal.graph.walk import Walk


def runs(walk: Walk, element_bytes: int) -> tuple[Walk, int]:
    """The walk over contiguous runs, strides in bytes, and the length of a run in bytes."""
    run = element_bytes
    if walk.a_strides[-1] == walk.b_strides[-1] == 1:
        run *= walk.dims[-1]
        walk = Walk(walk.dims[:-1], walk.a_strides[:-1], walk.b_strides[:-1])
    if not walk.dims:
        walk = Walk((1,), (0,), (0,))
    return replace(
        walk,
        a_strides=tuple(s * element_bytes for s in walk.a_strides),
        b_strides=tuple(s * element_bytes for s in walk.b_strides),
    ), run


def emit_move(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Move)
    e.header("kernels/nn_copy.h")
    size = p.dtype.bytes
    if p.fill is not None:
        element = p.fill.element
        if len(set(element)) == 1:
            element = element[:1]
        name = e.array("fill", np.frombuffer(element, dtype=np.uint8))
        total = math.prod(p.out_shapes[0]) * size
        e.statement(f"nn_copy_fill({name}, {len(element)}, {e.output()}, {total});")
    sources = {position: e.input(position) for position in sorted({c.source for c in p.copies})}
    for number, copy in enumerate(p.copies):
        walk, run = runs(copy.walk, size)
        name = emit_walk(e, walk, f"walk_{number}")
        source = f"(const uint8_t *){sources[copy.source]} + {copy.source_start * size}"
        target = f"(uint8_t *){e.output(copy.target)} + {copy.target_start * size}"
        e.statement(f"nn_copy(&{name}, {run}, {source}, {target});")


def emit_nearest(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, ResizeNearest)
    e.header("kernels/nn_resize.h")
    op = e.struct(
        "nn_resize_nearest",
        "op",
        batches=p.batches,
        in_height=p.in_height,
        in_width=p.in_width,
        out_height=p.rows.size,
        out_width=p.columns.size,
        pixel_bytes=p.depth * p.dtype.bytes,
        rows=e.array("rows", p.rows),
        columns=e.array("columns", p.columns),
    )
    e.statement(f"nn_resize_nearest(&{op}, (const uint8_t *){e.input(0)}, {e.output()});")


def emit_bilinear(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, ResizeBilinear)
    e.header("kernels/nn_resize.h")
    op = e.struct(
        "nn_resize_bilinear",
        "op",
        batches=p.batches,
        in_height=p.in_height,
        in_width=p.in_width,
        out_height=p.out_height,
        out_width=p.out_width,
        depth=p.depth,
        height_scale=p.height_scale,
        width_scale=p.width_scale,
        height_shift=p.height_shift,
        width_shift=p.width_shift,
    )
    e.statement(f"nn_resize_bilinear_s8(&{op}, {e.input(0)}, {e.output()});")


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_copy": emit_move,
    "nn_resize_nearest": emit_nearest,
    "nn_resize_bilinear_s8": emit_bilinear,
}
