"""Calls of the tuned kernels for cores without packed products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters import dense
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.dense import by_channel
from tinyseal.plan.kernels.scalar import SHAPES, channel_words, ends_on, fc_arrays, product

_FAMILY: Final = "nn_scalar"


def emit_conv(e: Emission) -> None:
    dense.emit_conv(e, _FAMILY, _product_fields(e))


def emit_conv_1x1(e: Emission) -> None:
    dense.emit_conv_1x1(e, _FAMILY, _product_fields(e))


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    require(e, "NN_SCALAR_FC_CHANNELS", SHAPES[e.plan.board.core].fc_channels)
    arrays = fc_arrays(p, e.plan.board)
    dense.emit_fc(e, _FAMILY, *arrays, is_short=_is_short(e))


def emit_depthwise(e: Emission) -> None:
    op = _depthwise(e, "nn_scalar_depthwise", by_channel(_depthwise_params(e)))
    e.statement(f"nn_scalar_depthwise_s8(&{op}, {e.input(0)}, {e.output()});")


def emit_depthwise_any(e: Emission) -> None:
    op = _depthwise(e, "nn_scalar_depthwise_any", _depthwise_params(e).weights)
    arguments = f"&{op}, {e.input(0)}, {e.output()}, {e.scratch()}"
    e.statement(f"nn_scalar_depthwise_any_s8({arguments});")


def _depthwise_params(e: Emission) -> DepthwiseConv2D:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    return p


def _depthwise(e: Emission, struct: str, weights: Array) -> str:
    p = _depthwise_params(e)
    e.header(f"kernels/{struct}.h")
    return e.struct(
        struct,
        "op",
        **window_fields(p),
        zero=-p.in_offset,
        **dense.range_fields(p),
        is_short=_is_short(e),
        weights=e.array("weights", weights),
        channels=e.array("channels", channel_words(p, e.plan.board)),
    )


def _is_short(e: Emission) -> int:
    p, board = e.step.lowered.params, e.plan.board
    assert isinstance(p, Conv2D | DepthwiseConv2D | FullyConnected)
    require(e, "NN_SCALAR_BY_HALVES", int(SHAPES[board.core].by_halves))
    end = ends_on(p, board)
    assert end is not None
    return int(end.is_short)


def require(e: Emission, macro: str, value: int) -> None:
    """The C chooses by its compiler what the host has chosen by the board's core."""
    core = e.plan.board.core.value
    e.statement(f'_Static_assert({macro} == {value}, "made for {core}: make it for this core");')


def _product_fields(e: Emission) -> dict[str, int | str]:
    p = dense.dense_params(e)
    made, shape = product(p, e.plan.board), SHAPES[e.plan.board.core]
    require(e, "NN_SCALAR_TRIPLES", shape.triples)
    require(e, "NN_SCALAR_CHANNELS", shape.channels)
    return {
        "depth": made.depth,
        "chunk": made.chunk,
        "out_ch": len(made.channels),
        "is_short": _is_short(e),
        "weights": e.array("weights", made.weights),
        "channels": e.array("channels", made.channels),
    }


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_scalar_conv_s8": emit_conv,
    "nn_scalar_conv_1x1_s8": emit_conv_1x1,
    "nn_scalar_depthwise_any_s8": emit_depthwise_any,
    "nn_scalar_depthwise_s8": emit_depthwise,
    "nn_scalar_fc_s8": emit_fc,
}
