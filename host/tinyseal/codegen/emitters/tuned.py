"""Calls of the tuned kernels: weights shuffled and zero points folded on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tinyseal.codegen.emission import Emission
from tinyseal.codegen.emitters.reference_dense import window_fields
from tinyseal.graph.ops.convolution import Conv2D, DepthwiseConv2D
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.plan.kernels.tuned import (
    depth,
    depthwise_channels,
    fc_arrays,
    pixels,
    product_pairs,
    row_words,
)


def emit_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D)
    e.header("kernels/nn_tuned_conv.h")
    op = e.struct(
        "nn_tuned_conv",
        "op",
        **window_fields(p),
        **_product_fields(e, p),
        zero=-p.in_offset,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    e.statement(f"nn_tuned_conv_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_conv_1x1(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D | FullyConnected)
    e.header("kernels/nn_tuned_conv.h")
    op = e.struct(
        "nn_tuned_conv_1x1",
        "op",
        **_product_fields(e, p),
        pixels=pixels(p),
        in_ch=p.weights[0].size,
        act_min=p.act_min,
        act_max=p.act_max,
    )
    e.statement(f"nn_tuned_conv_1x1_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    weights, channels = fc_arrays(p)
    e.header("kernels/nn_tuned_fc.h")
    op = e.struct(
        "nn_tuned_fc",
        "op",
        batches=p.batches,
        in_depth=p.in_depth,
        out_depth=p.out_depth,
        act_min=p.act_min,
        act_max=p.act_max,
        weights=e.array("weights", weights),
        channels=e.array("channels", channels),
    )
    e.statement(f"nn_tuned_fc_s8(&{op}, {e.input(0)}, {e.output()});")


def emit_depthwise(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    e.header("kernels/nn_tuned_depthwise.h")
    op = e.struct(
        "nn_tuned_depthwise",
        "op",
        **window_fields(p),
        row_words=row_words(p),
        zero=-p.in_offset,
        act_min=p.act_min,
        act_max=p.act_max,
        is_rectified=int(p.out_offset == -128),
        channels=e.array("channels", depthwise_channels(p)),
    )
    e.statement(f"nn_tuned_depthwise_s8(&{op}, {e.input(0)}, {e.output()}, {e.scratch()});")


def _product_fields(e: Emission, p: Conv2D | FullyConnected) -> dict[str, int | str]:
    return {
        "product.depth": depth(p),
        "product.out_ch": len(p.weights),
        "product.is_rectified": int(p.out_offset == -128),
        "product.pairs": e.array("pairs", product_pairs(p)),
    }


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_tuned_conv_s8": emit_conv,
    "nn_tuned_conv_1x1_s8": emit_conv_1x1,
    "nn_tuned_depthwise_s8": emit_depthwise,
    "nn_tuned_fc_s8": emit_fc,
}
