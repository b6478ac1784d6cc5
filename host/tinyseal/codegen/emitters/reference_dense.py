"""Calls of the portable kernels that multiply and accumulate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tinyseal.codegen.emission import Emission
from tinyseal.graph.ops.convolution import Conv2D, Convolution, DepthwiseConv2D, TransposeConv
from tinyseal.graph.ops.fully_connected import FullyConnected
from tinyseal.graph.ops.window import Window


def window_fields(p: Window) -> dict[str, int]:
    """The fields of the `struct nn_window` that a kernel's struct begins with."""
    names = (
        "batches",
        *("in_h", "in_w", "in_ch"),
        *("out_h", "out_w", "out_ch"),
        *("filter_h", "filter_w"),
        *("stride_h", "stride_w"),
        *("dilation_h", "dilation_w"),
        *("pad_h", "pad_w"),
    )
    return {f"window.{name}": getattr(p, name) for name in names}


def emit_fc(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, FullyConnected)
    e.header("kernels/nn_fc.h")
    # Every input meets every weight, so its zero point is a constant of each channel.
    weights = p.weights.astype(np.int64) + p.filter_offset
    bias = p.in_offset * weights.sum(axis=1) + (0 if p.bias is None else p.bias)
    op = e.struct(
        "nn_fc",
        "op",
        batches=p.batches,
        in_depth=p.in_depth,
        out_depth=p.out_depth,
        filter_offset=p.filter_offset,
        out_offset=p.out_offset,
        act_min=p.act_min,
        act_max=p.act_max,
        multipliers=e.array("multipliers", p.multipliers),
        shifts=e.array("shifts", p.shifts),
        weights=e.array("weights", p.weights),
        bias=e.array("bias", bias.astype(np.int32)),
    )
    e.statement(f"nn_fc_s8(&{op}, {e.input(0)}, {e.output()});")


def _emit_convolution(e: Emission, p: Convolution, name: str, **extra: Any) -> None:
    e.header(f"kernels/{name}.h")
    op = e.struct(
        name,
        "op",
        **window_fields(p),
        **extra,
        in_offset=p.in_offset,
        out_offset=p.out_offset,
        act_min=p.act_min,
        act_max=p.act_max,
        multipliers=e.array("multipliers", p.multipliers),
        shifts=e.array("shifts", p.shifts),
        weights=e.array("weights", p.weights),
        bias=e.array("bias", p.bias),
    )
    e.statement(f"{name}_s8(&{op}, {e.input(0)}, {e.output()});")


def emit_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, Conv2D)
    _emit_convolution(e, p, "nn_conv", groups=p.groups)


def emit_depthwise(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, DepthwiseConv2D)
    _emit_convolution(e, p, "nn_depthwise", depth_multiplier=p.depth_multiplier)


def emit_transpose_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, TransposeConv)
    _emit_convolution(e, p, "nn_transpose_conv")


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_fc_s8": emit_fc,
    "nn_conv_s8": emit_conv,
    "nn_depthwise_s8": emit_depthwise,
    "nn_transpose_conv_s8": emit_transpose_conv,
}
