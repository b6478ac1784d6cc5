"""Geometry of operators that slide a window over NHWC: convolutions and pools."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tinyseal.graph.ir import Graph, Op, Padding, Tensor
from tinyseal.graph.lowering import Array, Params
from tinyseal.graph.ops.common import require


@dataclass(frozen=True, eq=False, kw_only=True)
class Window(Params):
    """Mirrors `struct nn_window`. `pad_h`, `pad_w` are the rows above and columns to the left
    of the input; what the last window needs below and to the right follows from the sizes."""

    batches: int
    in_h: int
    in_w: int
    in_ch: int
    out_h: int
    out_w: int
    out_ch: int
    filter_h: int
    filter_w: int
    stride_h: int
    stride_w: int
    dilation_h: int = 1
    dilation_w: int = 1
    pad_h: int
    pad_w: int

    @property
    def pad_bottom(self) -> int:
        return _pad_after(
            self.in_h, self.out_h, self.filter_h, self.stride_h, self.dilation_h, self.pad_h
        )

    @property
    def pad_right(self) -> int:
        return _pad_after(
            self.in_w, self.out_w, self.filter_w, self.stride_w, self.dilation_w, self.pad_w
        )

    @property
    def is_padded(self) -> bool:
        return any((self.pad_h, self.pad_w, self.pad_bottom, self.pad_right))

    @property
    def out_shape(self) -> tuple[int, int, int, int]:
        return self.batches, self.out_h, self.out_w, self.out_ch

    def taps(self, x: Array, fill: int) -> Iterator[tuple[int, int, Array]]:
        """(filter_y, filter_x, what this tap sees [batches, out_h, out_w, in_ch]) of every tap.

        x is [batches, in_h, in_w, in_ch]; the tap sees `fill` in the padding.
        """
        padded = np.pad(
            x,
            ((0, 0), (self.pad_h, self.pad_bottom), (self.pad_w, self.pad_right), (0, 0)),
            constant_values=fill,
        )
        rows, columns = (self.out_h - 1) * self.stride_h + 1, (self.out_w - 1) * self.stride_w + 1
        for y in range(self.filter_h):
            for z in range(self.filter_w):
                top, left = y * self.dilation_h, z * self.dilation_w
                yield (
                    y,
                    z,
                    padded[
                        :,
                        top : top + rows : self.stride_h,
                        left : left + columns : self.stride_w,
                    ],
                )


def _pad_after(size: int, out: int, taps: int, stride: int, dilation: int, before: int) -> int:
    return max(0, (out - 1) * stride + (taps - 1) * dilation + 1 - size - before)


def padding_before(
    graph: Graph,
    op: Op,
    padding: Padding,
    size: int,
    out: int,
    taps: int,
    stride: int,
    dilation: int = 1,
) -> int:
    """Padding before the first element of one axis (ComputePaddingHeightWidth).

    UnsupportedError where `out` is not what TFLite computes from the other sizes.
    """
    reach = (taps - 1) * dilation + 1
    require(graph, op, min(taps, stride, dilation) > 0, "filter, stride and dilation must be > 0")
    expected = -(-size // stride) if padding is Padding.SAME else (size + stride - reach) // stride
    require(
        graph,
        op,
        out == expected and out > 0,
        f"an input of {size} with filter {taps}, stride {stride}, dilation {dilation}, "
        f"{padding.value} gives {expected}; the output has {out}",
    )
    return max(0, (out - 1) * stride + reach - size) // 2


def require_nhwc(graph: Graph, op: Op, *tensors: Tensor) -> None:
    for tensor in tensors:
        require(
            graph,
            op,
            len(tensor.shape) == 4 and 0 not in tensor.shape,
            f"tensor {tensor.name} has shape {tensor.shape}; expected four dimensions, none 0",
        )
