"""One module per operator family; `lower` finds the right one."""

from __future__ import annotations

from typing import Final

from tinyseal.errors import UnsupportedError
from tinyseal.graph.ir import Graph, Op, OpKind
from tinyseal.graph.lowering import Lowered, Lowering
from tinyseal.graph.ops import (
    arithmetic,
    binary,
    convolution,
    fully_connected,
    movement,
    pooling,
    quantize,
    recurrent,
    reduction,
    resize,
    softmax,
    unary,
)

LOWERINGS: Final[dict[OpKind, Lowering]] = {
    **arithmetic.LOWERINGS,
    **binary.LOWERINGS,
    **convolution.LOWERINGS,
    **fully_connected.LOWERINGS,
    **pooling.LOWERINGS,
    **reduction.LOWERINGS,
    **softmax.LOWERINGS,
    **movement.LOWERINGS,
    **quantize.LOWERINGS,
    **resize.LOWERINGS,
    **unary.LOWERINGS,
    **recurrent.LOWERINGS,
}


def lower(graph: Graph, op: Op) -> Lowered:
    """The kernel parameters of `op`; UnsupportedError names the operator and its node."""
    lowering = LOWERINGS.get(op.kind)
    if lowering is None:
        raise UnsupportedError(
            f"{graph.name}: node {op.index}: {op.kind.value} version {op.version} "
            f"is not supported; supported: {', '.join(k.value for k in LOWERINGS)}"
        )
    return lowering(graph, op)


__all__ = ["LOWERINGS", "lower"]
