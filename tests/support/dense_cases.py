"""Random single operators for tests: each function adds one, with its own input and output.

Many operators in one model cost one compilation and one interpreter together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from support.tflite_builder import ModelBuilder

Rng = np.random.Generator
ACTIVATIONS: Final = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")


def zero_point(rng: Rng) -> int:
    return int(rng.choice([-128, 127, 0, -1, int(rng.integers(-128, 128))]))


def weights(rng: Rng, *shape: int) -> npt.NDArray[np.int8]:
    low = int(rng.choice([-128, -127, -8]))
    return rng.integers(low, -low, shape, dtype=np.int8, endpoint=low != -128)


class Scales:
    """Input, weight and output scales that use most of int8's range, saturate, or are extreme."""

    def __init__(self, rng: Rng, channels: int, depth: int) -> None:
        self.x = float(np.float32(2.0 ** rng.uniform(-8, 1)))
        count = int(rng.choice([1, channels]))
        self.w = np.float32(2.0 ** rng.uniform(-9, -3, count))
        typical = self.x * float(np.median(self.w)) * 75 * 75 * math.sqrt(depth) / 64
        spread = rng.uniform(-2, 3) if rng.random() < 0.8 else rng.uniform(-24, 24)
        self.out = float(np.float32(typical * 2.0**spread))


def bias(b: ModelBuilder, rng: Rng, channels: int, depth: int, scales: Scales) -> list[int]:
    kind = rng.integers(4)
    if kind == 0:
        return []
    size = 1 << 28 if kind == 1 else int(4500 * math.sqrt(depth))
    values = rng.integers(-size, size, channels, dtype=np.int32, endpoint=True)
    # TFLM compares this scale with the product of the other two.
    scale = np.float32(scales.x) * scales.w
    return [b.const("bias", values, scale=scale)]


def padded_size(rng: Rng, padding: str, reach: int, stride: int) -> tuple[int, int]:
    """(input, output) sizes of one axis."""
    size = int(rng.integers(1 if padding == "SAME" else reach, reach + 8))
    return size, -(-size // stride) if padding == "SAME" else (size - reach) // stride + 1


def window(rng: Rng, dilates: bool) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """(options, filter sizes, (in_h, out_h, in_w, out_w))."""
    padding = str(rng.choice(["SAME", "VALID"]))
    taps = rng.integers(1, 6, 2)
    strides = rng.integers(1, 4, 2)
    dilations = rng.integers(1, 4, 2) if dilates and rng.random() < 0.3 else np.ones(2, dtype=int)
    sizes: tuple[int, ...] = ()
    for t, s, d in zip(taps, strides, dilations, strict=True):
        sizes += padded_size(rng, padding, int((t - 1) * d + 1), int(s))
    options: dict[str, Any] = {
        "padding": padding,
        "stride_h": int(strides[0]),
        "stride_w": int(strides[1]),
        "fused_activation_function": str(rng.choice(ACTIVATIONS)),
    }
    if dilates:
        options |= {
            "dilation_h_factor": int(dilations[0]),
            "dilation_w_factor": int(dilations[1]),
        }
    return options, tuple(int(t) for t in taps), sizes


def conv_2d(b: ModelBuilder, rng: Rng) -> None:
    options, (filter_h, filter_w), (in_h, out_h, in_w, out_w) = window(rng, dilates=True)
    batches, filter_ch, groups = int(rng.integers(1, 3)), int(rng.integers(1, 10)), 1
    if rng.random() < 0.3:
        groups = int(rng.integers(2, 4))
    out_ch = groups * int(rng.integers(1, 8))
    depth = filter_h * filter_w * filter_ch
    scales = Scales(rng, out_ch, depth)
    x = b.input("x", (batches, in_h, in_w, filter_ch * groups), scale=scales.x, zp=zero_point(rng))
    w = b.const("w", weights(rng, out_ch, filter_h, filter_w, filter_ch), scale=scales.w, axis=0)
    y = b.tensor("y", (batches, out_h, out_w, out_ch), scale=scales.out, zp=zero_point(rng))
    b.op("CONV_2D", [x, w, *bias(b, rng, out_ch, depth, scales)], [y], **options)
    b.output(y)


def depthwise_conv_2d(b: ModelBuilder, rng: Rng) -> None:
    options, (filter_h, filter_w), (in_h, out_h, in_w, out_w) = window(rng, dilates=True)
    batches, in_ch = int(rng.integers(1, 3)), int(rng.integers(1, 12))
    multiplier = int(rng.choice([1, 1, 2, 5]))
    out_ch, depth = in_ch * multiplier, filter_h * filter_w
    scales = Scales(rng, out_ch, depth)
    x = b.input("x", (batches, in_h, in_w, in_ch), scale=scales.x, zp=zero_point(rng))
    w = b.const("w", weights(rng, 1, filter_h, filter_w, out_ch), scale=scales.w, axis=3)
    y = b.tensor("y", (batches, out_h, out_w, out_ch), scale=scales.out, zp=zero_point(rng))
    inputs = [x, w, *bias(b, rng, out_ch, depth, scales)]
    b.op("DEPTHWISE_CONV_2D", inputs, [y], depth_multiplier=multiplier, **options)
    b.output(y)


def transpose_conv(b: ModelBuilder, rng: Rng) -> None:
    # Its sizes are those of a convolution, seen from the other side.
    options, (filter_h, filter_w), (out_h, in_h, out_w, in_w) = window(rng, dilates=False)
    batches, in_ch, out_ch = (int(n) for n in rng.integers(1, (3, 9, 9)))
    depth = filter_h * filter_w * in_ch
    scales = Scales(rng, out_ch, depth)
    shape = np.array([batches, out_h, out_w, out_ch], dtype=np.int32)
    x = b.input("x", (batches, in_h, in_w, in_ch), scale=scales.x, zp=zero_point(rng))
    w = b.const("w", weights(rng, out_ch, filter_h, filter_w, in_ch), scale=scales.w, axis=0)
    y = b.tensor("y", shape.tolist(), scale=scales.out, zp=zero_point(rng))
    inputs = [b.const("shape", shape), w, x, *bias(b, rng, out_ch, depth, scales)]
    b.op("TRANSPOSE_CONV", inputs, [y], **options)
    b.output(y)


def fully_connected(b: ModelBuilder, rng: Rng) -> None:
    in_depth, out_depth = int(rng.integers(1, 40)), int(rng.integers(1, 12))
    scales = Scales(rng, out_depth, in_depth)
    leading = tuple(int(n) for n in rng.integers(1, 4, rng.integers(1, 4)))
    keep = bool(rng.integers(2))
    out_shape = (*leading, out_depth) if keep else (math.prod(leading), out_depth)
    x = b.input("x", (*leading, in_depth), scale=scales.x, zp=zero_point(rng))
    w = b.const("w", weights(rng, out_depth, in_depth), scale=scales.w, axis=0)
    y = b.tensor("y", out_shape, scale=scales.out, zp=zero_point(rng))
    b.op(
        "FULLY_CONNECTED",
        [x, w, *bias(b, rng, out_depth, in_depth, scales)],
        [y],
        keep_num_dims=keep,
        fused_activation_function=str(rng.choice(ACTIVATIONS)),
    )
    b.output(y)


def _pool(b: ModelBuilder, rng: Rng, kind: str) -> None:
    options, (filter_h, filter_w), (in_h, out_h, in_w, out_w) = window(rng, dilates=False)
    batches, channels = int(rng.integers(1, 3)), int(rng.integers(1, 12))
    quant: dict[str, Any] = {"scale": 2.0 ** rng.uniform(-8, 0), "zp": zero_point(rng)}
    x = b.input("x", (batches, in_h, in_w, channels), **quant)
    y = b.tensor("y", (batches, out_h, out_w, channels), **quant)
    b.op(kind, [x], [y], filter_height=filter_h, filter_width=filter_w, **options)
    b.output(y)


def average_pool_2d(b: ModelBuilder, rng: Rng) -> None:
    _pool(b, rng, "AVERAGE_POOL_2D")


def max_pool_2d(b: ModelBuilder, rng: Rng) -> None:
    _pool(b, rng, "MAX_POOL_2D")


def _reduce(b: ModelBuilder, rng: Rng, kind: str) -> None:
    rank = int(rng.integers(1, 6))
    shape = [int(n) for n in rng.integers(1, 7, rank)]
    axes = rng.integers(-rank, rank, rng.integers(1, rank + 1)).astype(np.int32)
    if rank == 4 and rng.random() < 0.5:
        axes = np.array([1, 2], dtype=np.int32)
    reduced = {int(a) % rank for a in axes}
    keep = bool(rng.integers(2))
    kept = [1 if a in reduced else n for a, n in enumerate(shape) if keep or a not in reduced]
    scale = 2.0 ** rng.uniform(-8, 1)
    count = math.prod(shape[a] for a in reduced)
    factor = 1.0 if kind == "MEAN" else math.sqrt(count)
    spread = rng.uniform(-2, 1) if rng.random() < 0.8 else rng.uniform(-30, 30)
    x = b.input("x", shape, scale=scale, zp=zero_point(rng))
    y = b.tensor("y", kept, scale=scale * factor * 2.0**spread, zp=zero_point(rng))
    b.op(kind, [x, b.const("axes", axes)], [y], keep_dims=keep)
    b.output(y)


def mean(b: ModelBuilder, rng: Rng) -> None:
    _reduce(b, rng, "MEAN")


def sum_(b: ModelBuilder, rng: Rng) -> None:
    _reduce(b, rng, "SUM")


def softmax(b: ModelBuilder, rng: Rng) -> None:
    shape = [int(n) for n in rng.integers(1, 5, rng.integers(0, 4))]
    wide = rng.random() < 0.3
    # TFLM stops the program where 512 int8 outputs share the maximum.
    shape.append(int(rng.choice([1, 2, 10, 37, 2000 if wide else 500])))
    x = b.input("x", shape, scale=2.0 ** rng.uniform(-12, 4), zp=zero_point(rng))
    y = b.tensor(
        "y",
        shape,
        "int16" if wide else "int8",
        scale=1 / 65536 if wide else 1 / 256,
        zp=-32768 if wide else -128,
    )
    b.op("SOFTMAX", [x], [y], beta=float(rng.choice([1.0, 1.0, 0.3, 7.5])))
    b.output(y)


CASES: Final[dict[str, Callable[[ModelBuilder, Rng], None]]] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": average_pool_2d,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": mean,
    "SUM": sum_,
    "SOFTMAX": softmax,
}
