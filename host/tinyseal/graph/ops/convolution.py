"""CONV_2D, DEPTHWISE_CONV_2D, TRANSPOSE_CONV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tinyseal.graph.fixedpoint import requantize_s8
from tinyseal.graph.ir import (
    Conv2DAttrs,
    DepthwiseConv2DAttrs,
    Graph,
    Op,
    OpKind,
    Tensor,
    TransposeConvAttrs,
)
from tinyseal.graph.lowering import Array, Lowered, Lowering
from tinyseal.graph.ops.common import (
    activation_range,
    channel_requants,
    constant,
    input_tensor,
    optional_bias,
    quant,
    require,
    require_accumulator,
    require_s8,
)
from tinyseal.graph.ops.window import Window, padding_before, require_nhwc


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution(Window):
    """What the three convolutions share. Multipliers, shifts and bias hold out_ch int32."""

    in_offset: int  # minus the input's zero point
    out_offset: int  # the output's zero point
    act_min: int
    act_max: int
    multipliers: Array
    shifts: Array
    weights: Array
    bias: Array | None

    def finish(self, acc: Array) -> Array:
        """int8 from sums [batches, out_h, out_w, out_ch]."""
        acc = acc.astype(np.int64)
        if self.bias is not None:
            acc = acc + self.bias
        return requantize_s8(
            acc, self.multipliers, self.shifts, self.out_offset, self.act_min, self.act_max
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv2D(Convolution):
    """Mirrors `struct nn_conv`; weights OHWI, I being in_ch / groups."""

    groups: int

    @property
    def filter_ch(self) -> int:
        return self.in_ch // self.groups

    @property
    def macs(self) -> int:
        taps = self.filter_h * self.filter_w * self.filter_ch
        return self.batches * self.out_h * self.out_w * self.out_ch * taps

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        # Sums stay under 2^31, so float64 holds them exactly, and its matmul is fast.
        x = inputs[0].astype(np.float64) + self.in_offset
        weights = self.weights.astype(np.float64)
        acc = np.zeros(self.out_shape)
        depth, per_group = self.filter_ch, self.out_ch // self.groups
        for y, z, seen in self.taps(x, 0):
            for g in range(self.groups):
                out = slice(g * per_group, (g + 1) * per_group)
                acc[..., out] += seen[..., g * depth : (g + 1) * depth] @ weights[out, y, z].T
        return [self.finish(acc)]


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseConv2D(Convolution):
    """Mirrors `struct nn_depthwise`; weights 1HWC, output channel c reads input channel
    c // depth_multiplier."""

    depth_multiplier: int

    @property
    def macs(self) -> int:
        return self.batches * self.out_h * self.out_w * self.out_ch * self.filter_h * self.filter_w

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].astype(np.int32) + self.in_offset
        acc = np.zeros(self.out_shape, dtype=np.int32)
        for y, z, seen in self.taps(x, 0):
            acc += np.repeat(seen, self.depth_multiplier, axis=3) * self.weights[0, y, z]
        return [self.finish(acc)]


@dataclass(frozen=True, eq=False, kw_only=True)
class TransposeConv(Convolution):
    """Mirrors `struct nn_transpose_conv`; weights OHWI. Input (y, x) times filter tap (u, v)
    adds to output (y * stride_h + u - pad_h, x * stride_w + v - pad_w), where that exists."""

    @property
    def macs(self) -> int:
        taps = self.filter_h * self.filter_w * self.in_ch * self.out_ch
        return self.batches * self.in_h * self.in_w * taps

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        x = inputs[0].astype(np.float64) + self.in_offset
        weights = self.weights.astype(np.float64)
        height = (self.in_h - 1) * self.stride_h + self.filter_h
        width = (self.in_w - 1) * self.stride_w + self.filter_w
        spread = np.zeros(
            (
                self.batches,
                max(height, self.pad_h + self.out_h),
                max(width, self.pad_w + self.out_w),
                self.out_ch,
            )
        )
        for u in range(self.filter_h):
            for v in range(self.filter_w):
                bottom = u + (self.in_h - 1) * self.stride_h + 1
                right = v + (self.in_w - 1) * self.stride_w + 1
                spread[:, u : bottom : self.stride_h, v : right : self.stride_w] += (
                    x @ weights[:, u, v].T
                )
        rows = slice(self.pad_h, self.pad_h + self.out_h)
        columns = slice(self.pad_w, self.pad_w + self.out_w)
        return [self.finish(spread[:, rows, columns])]


def lower_conv_2d(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, Conv2DAttrs)
    x, w, out = input_tensor(graph, op, 0), input_tensor(graph, op, 1), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, w, out)
    require_nhwc(graph, op, x, w, out)
    out_ch, filter_h, filter_w, filter_ch = w.shape
    groups, rest = divmod(x.shape[3], filter_ch)
    require(
        graph,
        op,
        rest == 0 and out_ch % groups == 0,
        f"{x.shape[3]} input and {out_ch} output channels do not divide into groups of "
        f"{filter_ch} filter channels",
    )
    weights, bias = constant(graph, op, 1), optional_bias(graph, op, 2, out_ch)
    require_accumulator(graph, op, weights.reshape(out_ch, -1), bias)
    params = Conv2D(
        **_geometry(graph, op, op.attrs, x, out, filter_h, filter_w),
        **_arithmetic(graph, op, op.attrs, x, w, out, axis=0),
        weights=weights,
        bias=bias,
        groups=groups,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_depthwise_conv_2d(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, DepthwiseConv2DAttrs)
    x, w, out = input_tensor(graph, op, 0), input_tensor(graph, op, 1), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, w, out)
    require_nhwc(graph, op, x, w, out)
    one, filter_h, filter_w, out_ch = w.shape
    # The channels decide, not the attribute: converters are known to leave it 0.
    depth_multiplier, rest = divmod(out_ch, x.shape[3])
    require(
        graph,
        op,
        one == 1 and rest == 0,
        f"weights {w.shape} do not spread over {x.shape[3]} input channels",
    )
    weights, bias = constant(graph, op, 1), optional_bias(graph, op, 2, out_ch)
    require_accumulator(graph, op, weights.reshape(-1, out_ch).T, bias)
    shared = {
        **_geometry(graph, op, op.attrs, x, out, filter_h, filter_w),
        **_arithmetic(graph, op, op.attrs, x, w, out, axis=3),
        "bias": bias,
    }
    if x.shape[3] == 1 and out_ch > 1:  # kernels for convolutions use an input for all channels
        params: Convolution = Conv2D(
            **shared, weights=weights.transpose(3, 1, 2, 0).copy(), groups=1
        )
    else:
        params = DepthwiseConv2D(**shared, weights=weights, depth_multiplier=depth_multiplier)
    return Lowered(op, params, (x.index,), op.outputs)


def lower_transpose_conv(graph: Graph, op: Op) -> Lowered:
    """Inputs: output shape (not read: the output tensor has it), weights, x, bias."""
    assert isinstance(op.attrs, TransposeConvAttrs)
    w, x, out = input_tensor(graph, op, 1), input_tensor(graph, op, 2), graph.tensor(op.outputs[0])
    require_s8(graph, op, x, w, out)
    require_nhwc(graph, op, x, w, out)
    out_ch, filter_h, filter_w, filter_ch = w.shape
    require(
        graph,
        op,
        filter_ch == x.shape[3] and out_ch == out.shape[3] and x.shape[0] == out.shape[0],
        f"weights {w.shape} do not lead from {x.shape} to {out.shape}",
    )
    weights, bias = constant(graph, op, 1), optional_bias(graph, op, 3, out_ch)
    require_accumulator(graph, op, weights.reshape(out_ch, -1), bias)
    attrs = op.attrs
    # It is the gradient of a convolution from the output's size to the input's.
    pad_h = padding_before(
        graph, op, attrs.padding, out.shape[1], x.shape[1], filter_h, attrs.stride_h
    )
    pad_w = padding_before(
        graph, op, attrs.padding, out.shape[2], x.shape[2], filter_w, attrs.stride_w
    )
    params = TransposeConv(
        batches=x.shape[0],
        in_h=x.shape[1],
        in_w=x.shape[2],
        in_ch=x.shape[3],
        out_h=out.shape[1],
        out_w=out.shape[2],
        out_ch=out_ch,
        filter_h=filter_h,
        filter_w=filter_w,
        stride_h=attrs.stride_h,
        stride_w=attrs.stride_w,
        pad_h=pad_h,
        pad_w=pad_w,
        **_arithmetic(graph, op, attrs, x, w, out, axis=0),
        weights=weights,
        bias=bias,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def _geometry(
    graph: Graph, op: Op, attrs: Conv2DAttrs, x: Tensor, out: Tensor, filter_h: int, filter_w: int
) -> dict[str, Any]:
    batches, in_h, in_w, in_ch = x.shape
    out_h, out_w, out_ch = out.shape[1:]
    weights_ch = input_tensor(graph, op, 1).shape[3 if op.kind is OpKind.DEPTHWISE_CONV_2D else 0]
    require(
        graph,
        op,
        out.shape[0] == batches and out_ch == weights_ch,
        f"output {out.shape} does not follow from input {x.shape} and {weights_ch} filters",
    )
    return {
        "batches": batches,
        "in_h": in_h,
        "in_w": in_w,
        "in_ch": in_ch,
        "out_h": out_h,
        "out_w": out_w,
        "out_ch": out_ch,
        "filter_h": filter_h,
        "filter_w": filter_w,
        "stride_h": attrs.stride_h,
        "stride_w": attrs.stride_w,
        "dilation_h": attrs.dilation_h,
        "dilation_w": attrs.dilation_w,
        "pad_h": padding_before(
            graph, op, attrs.padding, in_h, out_h, filter_h, attrs.stride_h, attrs.dilation_h
        ),
        "pad_w": padding_before(
            graph, op, attrs.padding, in_w, out_w, filter_w, attrs.stride_w, attrs.dilation_w
        ),
    }


def _arithmetic(
    graph: Graph,
    op: Op,
    attrs: Conv2DAttrs | TransposeConvAttrs,
    x: Tensor,
    w: Tensor,
    out: Tensor,
    axis: int,
) -> dict[str, Any]:
    x_quant, w_quant, out_quant = (quant(graph, op, t) for t in (x, w, out))
    multipliers, shifts = channel_requants(
        graph, op, x_quant, w_quant, out_quant, w.shape[axis], axis
    )
    act_min, act_max = activation_range(graph, op, attrs.activation, out_quant)
    return {
        "in_offset": -x_quant.zero_point,
        "out_offset": out_quant.zero_point,
        "act_min": act_min,
        "act_max": act_max,
        "multipliers": multipliers,
        "shifts": shifts,
    }


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.CONV_2D: lower_conv_2d,
    OpKind.DEPTHWISE_CONV_2D: lower_depthwise_conv_2d,
    OpKind.TRANSPOSE_CONV: lower_transpose_conv,
}
