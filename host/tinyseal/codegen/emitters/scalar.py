"""Calls of the tuned kernels for cores without packed products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.scalar import (
    SHAPES,
    Dense,
    depthwise_arrays,
    fc_arrays,
    is_rectified,
    product,
)
from tinyseal.plan.kernels.tuned import pixels


def emit_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D)
    e.header("kernels/nn_scalar_conv.h")
    op = e.struct(
        "nn_scalar_conv",
        "op",
        **window_fields(p),
        **_product_fields(e, p),
        zero=-p.in_offset,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    e.statement(f"nn_scalar_conv_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_conv_1x1(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D | FullyConnected)
    e.header("kernels/nn_scalar_conv.h")
    op = e.struct(
        "nn_scalar_conv_1x1",
        "op",
        **_product_fields(e, p),
        pixels=pixels(p),
        in_ch=p.weights[0].size,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    e.statement(f"nn_scalar_conv_1x1_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    weights, channels = fc_arrays(p, e.plan.board)
    _require(e, "NN_SCALAR_FC_CHANNELS", SHAPES[e.plan.board.core].fc_channels)
    e.header("kernels/nn_scalar_fc.h")
    op = e.struct(
        "nn_scalar_fc",
        "op",
        batches=p.batches,
        in_depth=p.in_depth,
        out_depth=p.out_depth,
        act_min=p.act_min,
        act_max=p.act_max,
        is_rectified=int(is_rectified(p)),
        weights=e.array("weights", weights),
        channels=e.array("channels", channels),
    )
    e.statement(f"nn_scalar_fc_s8(&{op}, {e.input(0)}, {e.output()});")


def emit_depthwise(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    weights, channels = depthwise_arrays(p)
    e.header("kernels/nn_scalar_depthwise.h")
    op = e.struct(
        "nn_scalar_depthwise",
        "op",
        **window_fields(p),
        zero=-p.in_offset,
        act_min=p.act_min,
        act_max=p.act_max,
        is_rectified=int(is_rectified(p)),
        weights=e.array("weights", weights),
        channels=e.array("channels", channels),
    )
    e.statement(f"nn_scalar_depthwise_s8(&{op}, {e.input(0)}, {e.output()});")


def _require(e: Emission, macro: str, value: int) -> None:
    """The C chooses by its compiler what the host has chosen by the board's core."""
    core = e.plan.board.core.value
    e.statement(f'_Static_assert({macro} == {value}, "made for {core}: make it for this core");')


def _product_fields(e: Emission, p: Dense) -> dict[str, int | str]:
    made = product(p)
    _require(e, "NN_SCALAR_PAIRS", SHAPES[e.plan.board.core].pairs)
    return {
        "product.depth": made.depth,
        "product.out_ch": made.out_ch,
        "product.is_rectified": int(is_rectified(p)),
        "product.weights": e.array("weights", made.weights),
        "product.channels": e.array("channels", made.channels),
    }


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_scalar_conv_s8": emit_conv,
    "nn_scalar_conv_1x1_s8": emit_conv_1x1,
    "nn_scalar_depthwise_s8": emit_depthwise,
    "nn_scalar_fc_s8": emit_fc,
}
