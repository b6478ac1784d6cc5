"""Our custom operators in a `.tflite` file: binary networks.

TFLite has no binary operators; a file holds ours as custom operators named `TINYSEAL_<kind>`.
Their `custom_options` are int32 numbers, little endian, in a fixed order, the format's version
first. `firmware/SPEC.md` describes the format for other readers and writers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, TypeVar

from tinyseal.graph.ir import (
    Activation,
    Attrs,
    BinaryConv2DAttrs,
    BinaryFullyConnectedAttrs,
    NoAttrs,
    OpKind,
    Padding,
    Pool2DAttrs,
)

T = TypeVar("T")

PREFIX: Final = "TINYSEAL_"
OPTIONS_VERSION: Final = 1

PADDINGS: Final = (Padding.SAME, Padding.VALID)
ACTIVATIONS: Final = (
    Activation.NONE,
    Activation.RELU,
    Activation.RELU_N1_TO_1,
    Activation.RELU6,
)


@dataclass(frozen=True)
class CustomOp:
    """Which attributes a kind has, and how many numbers stand behind the version."""

    kind: OpKind
    attrs: type[BinaryConv2DAttrs | BinaryFullyConnectedAttrs | Pool2DAttrs | NoAttrs]
    numbers: int


CUSTOM_OPS: Final[dict[str, CustomOp]] = {
    PREFIX + op.kind.value: op
    for op in (
        CustomOp(OpKind.BINARY_CONV_2D, BinaryConv2DAttrs, 11),
        CustomOp(OpKind.BINARY_WEIGHT_CONV_2D, BinaryConv2DAttrs, 11),
        CustomOp(OpKind.BINARY_FULLY_CONNECTED, BinaryFullyConnectedAttrs, 3),
        CustomOp(OpKind.BINARY_WEIGHT_FULLY_CONNECTED, BinaryFullyConnectedAttrs, 3),
        CustomOp(OpKind.BINARY_MAX_POOL_2D, Pool2DAttrs, 5),
        CustomOp(OpKind.BINARY_PACK, NoAttrs, 0),
        CustomOp(OpKind.BINARY_UNPACK, NoAttrs, 0),
    )
}


def read_options(op: CustomOp, options: bytes) -> Attrs:
    """The attributes in `options`; ValueError says what is wrong with them."""
    wanted = 4 * (1 + op.numbers)
    if len(options) != wanted:
        raise ValueError(f"{len(options)} B of custom options, {wanted} B are wanted")
    version, *numbers = struct.unpack(f"<{1 + op.numbers}i", options)
    if version != OPTIONS_VERSION:
        raise ValueError(f"custom options of version {version}, {OPTIONS_VERSION} is known")
    if op.attrs is BinaryConv2DAttrs:
        padding, *sizes, pad_value, acc_shift, activation = numbers
        stride_h, stride_w, dilation_h, dilation_w, kernel_h, kernel_w, in_channels = sizes
        return BinaryConv2DAttrs(
            padding=_entry(PADDINGS, padding, "padding"),
            stride_h=stride_h,
            stride_w=stride_w,
            dilation_h=dilation_h,
            dilation_w=dilation_w,
            kernel_h=kernel_h,
            kernel_w=kernel_w,
            in_channels=in_channels,
            pad_value=pad_value,
            acc_shift=acc_shift,
            activation=_entry(ACTIVATIONS, activation, "activation"),
        )
    if op.attrs is BinaryFullyConnectedAttrs:
        depth, acc_shift, activation = numbers
        return BinaryFullyConnectedAttrs(
            depth, acc_shift, _entry(ACTIVATIONS, activation, "activation")
        )
    if op.attrs is Pool2DAttrs:
        padding, *sizes = numbers
        return Pool2DAttrs(_entry(PADDINGS, padding, "padding"), *sizes)
    return NoAttrs()


def write_options(attrs: Attrs) -> bytes:
    """What `read_options` reads."""
    numbers: tuple[int, ...]
    if isinstance(attrs, BinaryConv2DAttrs):
        numbers = (
            PADDINGS.index(attrs.padding),
            attrs.stride_h,
            attrs.stride_w,
            attrs.dilation_h,
            attrs.dilation_w,
            attrs.kernel_h,
            attrs.kernel_w,
            attrs.in_channels,
            attrs.pad_value,
            attrs.acc_shift,
            ACTIVATIONS.index(attrs.activation),
        )
    elif isinstance(attrs, BinaryFullyConnectedAttrs):
        numbers = (attrs.in_depth, attrs.acc_shift, ACTIVATIONS.index(attrs.activation))
    elif isinstance(attrs, Pool2DAttrs):
        numbers = (
            PADDINGS.index(attrs.padding),
            attrs.stride_h,
            attrs.stride_w,
            attrs.filter_h,
            attrs.filter_w,
        )
    else:
        assert isinstance(attrs, NoAttrs)
        numbers = ()
    return struct.pack(f"<{1 + len(numbers)}i", OPTIONS_VERSION, *numbers)


def _entry(table: tuple[T, ...], number: int, what: str) -> T:
    if not 0 <= number < len(table):
        raise ValueError(f"{what} number {number}, must be under {len(table)}")
    return table[number]
