"""Binary networks: weights, or weights and activations, of one bit (+1 or -1).

    BINARY_CONV_2D, BINARY_FULLY_CONNECTED                 signs x signs
    BINARY_WEIGHT_CONV_2D, BINARY_WEIGHT_FULLY_CONNECTED   int8 x signs
    BINARY_MAX_POOL_2D                                     signs
    BINARY_PACK, BINARY_UNPACK                             int8 -> signs, signs -> int8

Sign tensors are int32 words (`graph/bits.py`). The layers' output is either signs, by one integer
threshold a channel, or int8, requantised as in TFLite; the output tensor's type says which. Batch
normalisation is in the thresholds, or in the bias and the weights' scales: the weights of every
channel are stored so that the channel's factor is positive.

Sums: one product of signs is 1 - 2 * (exclusive or), so n of them sum to n - 2 * popcount.
Where SAME padding adds zeros (larq's `pad_values=0`), a tap outside the image adds nothing.
Source: Rastegari et al., XNOR-Net (2016), section 3; Courbariaux et al., Binarized Neural
Networks (2016), section 1; integer thresholds: Umuroglu et al., FINN (2017), section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tinyseal.graph.bits import pack, tail_is_clear, unpack, word_count
from tinyseal.graph.fixedpoint import S32_MAX, quantize_multiplier, requantize
from tinyseal.graph.ir import (
    BinaryConv2DAttrs,
    BinaryFullyConnectedAttrs,
    DType,
    Graph,
    NoAttrs,
    Op,
    OpKind,
    Padding,
    Pool2DAttrs,
    Tensor,
)
from tinyseal.graph.lowering import Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import (
    activation_range,
    constant,
    input_tensor,
    optional_input,
    quant,
    require_s8,
    unsupported,
)

MAX_ACC_SHIFT: Final = 16


@dataclass(frozen=True)
class Window:
    """A kernel sliding over an image [batches, in_h, in_w]."""

    batches: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    pad_top: int
    pad_left: int

    @property
    def taps(self) -> int:
        return self.kernel_h * self.kernel_w

    @property
    def pixels(self) -> int:
        """Output pixels of all batches."""
        return self.batches * self.out_h * self.out_w

    @property
    def leaves_image(self) -> bool:
        """Whether some output sees a tap outside the image."""
        bottom = (self.out_h - 1) * self.stride_h + (self.kernel_h - 1) * self.dilation_h
        right = (self.out_w - 1) * self.stride_w + (self.kernel_w - 1) * self.dilation_w
        return (
            self.pad_top > 0
            or self.pad_left > 0
            or bottom - self.pad_top >= self.in_h
            or right - self.pad_left >= self.in_w
        )

    def patches(self, image: Array, fill: int) -> Array:
        """image [batches, in_h, in_w, C] as [batches, out_h, out_w, taps, C]."""
        ys = _positions(self.out_h, self.stride_h, self.kernel_h, self.dilation_h, self.pad_top)
        xs = _positions(self.out_w, self.stride_w, self.kernel_w, self.dilation_w, self.pad_left)
        inside = ((ys >= 0) & (ys < self.in_h))[:, None, :, None] & ((xs >= 0) & (xs < self.in_w))[
            None, :, None, :
        ]
        taken = image[
            :,
            np.clip(ys, 0, self.in_h - 1)[:, None, :, None],
            np.clip(xs, 0, self.in_w - 1)[None, :, None, :],
        ]
        taken = np.where(inside[None, ..., None], taken, np.asarray(fill, dtype=image.dtype))
        return taken.reshape(self.batches, self.out_h, self.out_w, self.taps, image.shape[-1])


def _positions(out: int, stride: int, kernel: int, dilation: int, pad: int) -> Array:
    """Input coordinates [out, kernel] of every tap."""
    return (np.arange(out) * stride - pad)[:, None] + (np.arange(kernel) * dilation)[None, :]


@dataclass(frozen=True, eq=False)
class BinaryOutput:
    """Mirrors `struct nn_bin_out`: what becomes of one pixel's accumulators.

    With thresholds: channel c is -1 where acc < thresholds[c]; the output is sign words.
    Without: int8, requant((acc << acc_shift) + bias) + out_offset, clamped.
    """

    channels: int
    thresholds: Array | None  # int32 [channels]
    acc_shift: int = 0
    bias: Array | None = None  # int32 [channels]
    multipliers: Array | None = None
    shifts: Array | None = None
    out_offset: int = 0
    act_min: int = 0
    act_max: int = 0

    @property
    def pixel_bytes(self) -> int:
        return self.channels if self.thresholds is None else 4 * word_count(self.channels)

    def apply(self, acc: Array) -> Array:
        """acc int64 [..., channels] as int32 words or int8."""
        if self.thresholds is not None:
            return pack(acc < self.thresholds)
        assert self.bias is not None and self.multipliers is not None and self.shifts is not None
        total = (acc << self.acc_shift) + self.bias
        out = requantize(total, self.multipliers, self.shifts) + self.out_offset
        return np.clip(out, self.act_min, self.act_max).astype(np.int8)


@dataclass(frozen=True, eq=False)
class BinaryConv(Params):
    """Mirrors `struct nn_bin_conv`: signs x signs. A dense layer is a 1x1 image and window.

    `weights` int32 words [out channels, taps, ceil(in_bits / 32)], or for a dense layer behind
    a flattened image [out channels, 1, words] with `tails` bits clear in each: `in_bits` counts
    the signs of a tap, `in_words` its words.
    """

    window: Window
    in_bits: int
    in_words: int
    pad_value: int
    weights: Array
    output: BinaryOutput
    out_shape: tuple[int, ...]

    @property
    def pad_words(self) -> Array:
        """One tap outside the image."""
        return pack(np.full(self.in_bits, self.pad_value < 0))

    @property
    def macs(self) -> int:
        return self.window.pixels * self.window.taps * self.in_bits * self.output.channels

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        # Words hold no more than 32 signs each; where a tap's words have tails inside them (a
        # flattened image), both sides' tail bits are clear: +1 each. Their sum comes off again.
        w = self.window
        slots = self.in_words * 32
        image = inputs[0].reshape(w.batches, w.in_h, w.in_w, self.in_words)
        signs = unpack(image, slots)
        patches = w.patches(signs, 0 if self.pad_value == 0 else 1)
        if self.pad_value < 0 and w.leaves_image:
            inside = w.patches(np.ones_like(signs), 0)
            minus = unpack(self.pad_words, slots)
            patches = np.where(inside == 0, minus, patches)
        weights = unpack(self.weights, slots).reshape(self.output.channels, w.taps * slots)
        flat = patches.reshape(w.batches, w.out_h, w.out_w, w.taps * slots)
        # float32 products are exact: |sum| < 2**24 is checked when lowering.
        acc = (flat.astype(np.float32) @ weights.T.astype(np.float32)).astype(np.int64)
        taps_inside = w.patches(np.ones_like(image[..., :1]), int(self.pad_value != 0)).sum(axis=3)
        acc -= taps_inside.astype(np.int64) * (slots - self.in_bits)
        return [self.output.apply(acc).reshape(self.out_shape)]


@dataclass(frozen=True, eq=False)
class BinaryWeightConv(Params):
    """Mirrors `struct nn_bin_weight_conv`: int8 x signs. A dense layer is a 1x1 image and window.

    `weights` int32 words [ceil(taps * in_depth / 32), out channels]: one word of each channel
    after another, in the order the kernel reads them. The input's zero point is in the output's
    thresholds or bias; `pad` is what lies outside the image, as int8.
    """

    window: Window
    in_depth: int
    pad: int
    weights: Array
    output: BinaryOutput
    out_shape: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Weights of one output channel."""
        return self.window.taps * self.in_depth

    @property
    def macs(self) -> int:
        return self.window.pixels * self.depth * self.output.channels

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        w = self.window
        image = inputs[0].reshape(w.batches, w.in_h, w.in_w, self.in_depth)
        flat = w.patches(image, self.pad).reshape(w.batches, w.out_h, w.out_w, self.depth)
        weights = unpack(self.weights.T, self.depth)
        # float64 products are exact: |sum| <= 128 * depth.
        acc = (flat.astype(np.float64) @ weights.T.astype(np.float64)).astype(np.int64)
        return [self.output.apply(acc).reshape(self.out_shape)]


@dataclass(frozen=True, eq=False)
class BinaryMaxPool(Params):
    """Mirrors `struct nn_bin_pool`: the maximum of signs; the minimum where `invert` is set.

    The minimum is for batch normalisation with a negative factor behind the pooling.
    """

    window: Window
    words: int
    invert: Array | None  # int32 [words]
    out_shape: tuple[int, ...]

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        w = self.window
        invert = np.zeros(self.words, dtype=np.int32) if self.invert is None else self.invert
        image = inputs[0].reshape(w.batches, w.in_h, w.in_w, self.words) ^ invert
        pooled = np.bitwise_and.reduce(w.patches(image, -1), axis=3) ^ invert
        return [pooled.astype(np.int32).reshape(self.out_shape)]


@dataclass(frozen=True, eq=False)
class BinaryPack(Params):
    """Mirrors `struct nn_bin_pack`: -1 where q < threshold, the other way where `invert` is set."""

    pixels: int
    channels: int
    thresholds: Array  # int16, one or one a channel
    invert: Array | None  # int32 [words]
    out_shape: tuple[int, ...]

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        q = inputs[0].reshape(self.pixels, self.channels)
        words = pack(q < self.thresholds)
        if self.invert is not None:
            words = words ^ self.invert
        return [words.astype(np.int32).reshape(self.out_shape)]


@dataclass(frozen=True, eq=False)
class BinaryUnpack(Params):
    """Mirrors `struct nn_bin_unpack`: `plus` for +1, `minus` for -1."""

    pixels: int
    channels: int
    plus: int
    minus: int
    out_shape: tuple[int, ...]

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        words = inputs[0].reshape(self.pixels, word_count(self.channels))
        signs = unpack(words, self.channels)
        values = np.where(signs > 0, self.plus, self.minus)
        return [values.astype(np.int8).reshape(self.out_shape)]


def lower_binary_conv(graph: Graph, op: Op) -> Lowered:
    attrs = op.attrs
    assert isinstance(attrs, BinaryConv2DAttrs)
    x, out = _sign_input(graph, op), graph.tensor(op.outputs[0])
    weights = _weights(graph, op)
    if not tail_is_clear(weights, attrs.in_channels):
        raise unsupported(graph, op, f"weights set bits past channel {attrs.in_channels}")
    window = _conv_window(x, out, attrs)
    _check_depth(graph, op, window.taps * attrs.in_channels, 1)
    words = word_count(attrs.in_channels)
    acc_max = window.taps * attrs.in_channels
    output = _output(graph, op, 1.0, np.zeros(len(weights), dtype=np.int64), acc_max)
    params = BinaryConv(
        window=window,
        in_bits=attrs.in_channels,
        in_words=words,
        pad_value=attrs.pad_value,
        weights=weights.reshape(len(weights), window.taps, words),
        output=output,
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_binary_fully_connected(graph: Graph, op: Op) -> Lowered:
    attrs = op.attrs
    assert isinstance(attrs, BinaryFullyConnectedAttrs)
    x, out = _sign_input(graph, op), graph.tensor(op.outputs[0])
    weights = _weights(graph, op)
    channels, words = weights.shape
    _check_depth(graph, op, words * 32, 2)
    output = _output(graph, op, 1.0, np.zeros(channels, dtype=np.int64), 64 * words)
    params = BinaryConv(
        window=_single(out.elements // _out_width(out, output)),
        in_bits=attrs.in_depth,
        in_words=words,
        pad_value=0,
        weights=weights.reshape(channels, 1, words),
        output=output,
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_binary_weight_conv(graph: Graph, op: Op) -> Lowered:
    attrs = op.attrs
    assert isinstance(attrs, BinaryConv2DAttrs)
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x)
    x_quant = quant(graph, op, x)
    window = _conv_window(x, out, attrs)
    pad = x_quant.zero_point + _nearest(attrs.pad_value / x_quant.scale)
    weights, output = _weight_only(graph, op, window.taps * attrs.in_channels)
    params = BinaryWeightConv(
        window=window,
        in_depth=attrs.in_channels,
        pad=int(np.clip(pad, -128, 127)),
        weights=weights,
        output=output,
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_binary_weight_fully_connected(graph: Graph, op: Op) -> Lowered:
    attrs = op.attrs
    assert isinstance(attrs, BinaryFullyConnectedAttrs)
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x)
    weights, output = _weight_only(graph, op, attrs.in_depth)
    params = BinaryWeightConv(
        window=_single(out.elements // _out_width(out, output)),
        in_depth=attrs.in_depth,
        pad=0,
        weights=weights,
        output=output,
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_binary_max_pool(graph: Graph, op: Op) -> Lowered:
    attrs = op.attrs
    assert isinstance(attrs, Pool2DAttrs)
    x, out = _sign_input(graph, op), graph.tensor(op.outputs[0])
    invert = optional_input(graph, op, 1)
    kernel = (attrs.filter_h, attrs.filter_w)
    params = BinaryMaxPool(
        window=_window(x, out, kernel, (attrs.stride_h, attrs.stride_w), (1, 1), attrs.padding),
        words=x.shape[3],
        invert=None if invert is None else constant(graph, op, 1),
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_binary_pack(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, NoAttrs)
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    require_s8(graph, op, x)
    channels = x.shape[-1]
    thresholds, invert = optional_input(graph, op, 1), optional_input(graph, op, 2)
    if thresholds is None:
        values = np.array([quant(graph, op, x).zero_point], dtype=np.int16)
    else:
        values = constant(graph, op, 1)
    if invert is not None and not tail_is_clear(constant(graph, op, 2), channels):
        raise unsupported(graph, op, f"tensor {invert.name} sets bits past channel {channels}")
    params = BinaryPack(
        pixels=x.elements // channels,
        channels=channels,
        thresholds=values,
        invert=None if invert is None else constant(graph, op, 2),
        out_shape=out.shape,
    )
    return Lowered(op, params, (x.index,), op.outputs)


def lower_binary_unpack(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, NoAttrs)
    x, out = _sign_input(graph, op), graph.tensor(op.outputs[0])
    require_s8(graph, op, out)
    out_quant = quant(graph, op, out)
    one = _nearest(1 / out_quant.scale)
    plus, minus = (int(np.clip(out_quant.zero_point + v, -128, 127)) for v in (one, -one))
    channels = out.shape[-1]
    params = BinaryUnpack(out.elements // channels, channels, plus, minus, out.shape)
    return Lowered(op, params, (x.index,), op.outputs)


def _nearest(real: float) -> int:
    """Half away from zero; beyond int32, where every int8 is saturated, no further."""
    return int(np.copysign(np.floor(min(abs(real), 2.0**31) + 0.5), real))


def _sign_input(graph: Graph, op: Op) -> Tensor:
    x = input_tensor(graph, op, 0)
    if x.dtype is not DType.S32:
        raise unsupported(
            graph, op, f"tensor {x.name} is {x.dtype.value}; signs come packed, as int32"
        )
    return x


def _weights(graph: Graph, op: Op) -> Array:
    weights = constant(graph, op, 1)
    if weights.dtype != np.int32:
        raise unsupported(
            graph, op, f"weights are {weights.dtype.name}; they come packed, as int32"
        )
    return weights


def _weight_only(graph: Graph, op: Op, depth: int) -> tuple[Array, BinaryOutput]:
    """Weights in the kernel's order and the output stage of an int8 x signs layer."""
    x_quant = quant(graph, op, input_tensor(graph, op, 0))
    weights = _weights(graph, op)
    if not tail_is_clear(weights, depth):
        raise unsupported(graph, op, f"weights set bits past weight {depth}")
    _check_depth(graph, op, depth, 128)
    sums = unpack(weights, depth).astype(np.int64).sum(axis=1)
    output = _output(graph, op, x_quant.scale, x_quant.zero_point * sums, 128 * depth)
    return np.ascontiguousarray(weights.T), output


def _check_depth(graph: Graph, op: Op, depth: int, largest: int) -> None:
    """Sums stay under 2**24: exact in the reference's products, and room for acc_shift."""
    if depth * largest >= 2**24:
        raise unsupported(graph, op, f"{depth} weights a channel; {2**24 // largest - 1} at most")


def _output(graph: Graph, op: Op, in_scale: float, zero_sums: Array, acc_max: int) -> BinaryOutput:
    """The output stage; `zero_sums` is what the input's zero point adds to each accumulator."""
    attrs = op.attrs
    assert isinstance(attrs, BinaryConv2DAttrs | BinaryFullyConnectedAttrs)
    out = graph.tensor(op.outputs[0])
    channels = len(zero_sums)
    offsets = constant(graph, op, 2).astype(np.int64)
    if offsets.shape != (channels,) or constant(graph, op, 2).dtype != np.int32:
        raise unsupported(graph, op, f"input 2 must be {channels} int32, one a channel")
    if out.dtype is DType.S32:
        thresholds = np.clip(offsets + zero_sums, -S32_MAX, S32_MAX).astype(np.int32)
        return BinaryOutput(channels, thresholds)
    require_s8(graph, op, out)
    weights = input_tensor(graph, op, 1)
    w_quant, out_quant = quant(graph, op, weights), quant(graph, op, out)
    if len(w_quant.scales) not in (1, channels):
        raise unsupported(graph, op, f"{len(w_quant.scales)} scales for {channels} channels")
    if not 0 <= attrs.acc_shift <= MAX_ACC_SHIFT:
        raise unsupported(
            graph, op, f"accumulator shift {attrs.acc_shift} is not in [0, {MAX_ACC_SHIFT}]"
        )
    bias = offsets - (zero_sums << attrs.acc_shift)
    worst = int(np.max(np.abs(bias), initial=0)) + (acc_max << attrs.acc_shift)
    if worst > S32_MAX:
        raise unsupported(graph, op, f"accumulators reach {worst}, over 32 bits")
    unit = in_scale / out_quant.scale / 2.0**attrs.acc_shift
    scales = np.broadcast_to(w_quant.scales, channels).tolist()
    requants = [quantize_multiplier(scale * unit) for scale in scales]
    act_min, act_max = activation_range(graph, op, attrs.activation, out_quant)
    return BinaryOutput(
        channels=channels,
        thresholds=None,
        acc_shift=attrs.acc_shift,
        bias=bias.astype(np.int32),
        multipliers=np.array([r.multiplier for r in requants], dtype=np.int32),
        shifts=np.array([r.shift for r in requants], dtype=np.int32),
        out_offset=out_quant.zero_point,
        act_min=act_min,
        act_max=act_max,
    )


def _out_width(out: Tensor, output: BinaryOutput) -> int:
    """Elements of one dense output row."""
    return output.channels if output.thresholds is None else word_count(output.channels)


def _single(batches: int) -> Window:
    return Window(batches, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0)


def _conv_window(x: Tensor, out: Tensor, attrs: BinaryConv2DAttrs) -> Window:
    return _window(
        x,
        out,
        (attrs.kernel_h, attrs.kernel_w),
        (attrs.stride_h, attrs.stride_w),
        (attrs.dilation_h, attrs.dilation_w),
        attrs.padding,
    )


def _window(
    x: Tensor,
    out: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: Padding,
) -> Window:
    batches, in_h, in_w, _ = x.shape
    _, out_h, out_w, _ = out.shape

    def before(size: int, result: int, axis: int) -> int:
        if padding is Padding.VALID:
            return 0
        reach = (result - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
        return max(reach - size, 0) // 2

    return Window(
        batches,
        in_h,
        in_w,
        out_h,
        out_w,
        *kernel,
        *stride,
        *dilation,
        before(in_h, out_h, 0),
        before(in_w, out_w, 1),
    )


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.BINARY_CONV_2D: lower_binary_conv,
    OpKind.BINARY_FULLY_CONNECTED: lower_binary_fully_connected,
    OpKind.BINARY_WEIGHT_CONV_2D: lower_binary_weight_conv,
    OpKind.BINARY_WEIGHT_FULLY_CONNECTED: lower_binary_weight_fully_connected,
    OpKind.BINARY_MAX_POOL_2D: lower_binary_max_pool,
    OpKind.BINARY_PACK: lower_binary_pack,
    OpKind.BINARY_UNPACK: lower_binary_unpack,
}
