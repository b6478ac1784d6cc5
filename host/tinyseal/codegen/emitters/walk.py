"""`struct nn_walk` as a constant."""

from __future__ import annotations

from tinyseal.codegen.emission import Emission
from tinyseal.graph.walk import Walk


def emit_walk(e: Emission, walk: Walk, suffix: str = "walk") -> str:
    """The constant's name."""

    def braces(values: tuple[int, ...]) -> str:
        return "{ " + ", ".join(map(str, values or (0,))) + " }"

    return e.struct(
        "nn_walk",
        suffix,
        rank=len(walk.dims) - 1,
        dims=braces(walk.dims[:-1]),
        a_strides=braces(walk.a_strides[:-1]),
        b_strides=braces(walk.b_strides[:-1]),
        row=walk.dims[-1],
        a_step=walk.a_strides[-1],
        b_step=walk.b_strides[-1],
    )
