"""Calls of the portable kernels of binary networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tinyseal.codegen.emission import Emission
from tinyseal.graph.lowering import Array
from tinyseal.graph.ops.binary import (
    BinaryConv,
    BinaryMaxPool,
    BinaryOutput,
    BinaryPack,
    BinaryUnpack,
    BinaryWeightConv,
    Window,
)


def emit_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, BinaryConv)
    e.header("kernels/nn_bin_conv.h")
    emit_binary_conv(e, p, p.weights, "nn_bin_conv_words", p.output.channels)


def emit_binary_conv(e: Emission, p: BinaryConv, weights: Array, multiply: str, sums: int) -> None:
    """`weights` as the function `multiply` takes them, which writes `sums` accumulators."""
    pad_words = None if p.pad_value == 0 else _words(p.pad_words)
    op = e.struct(
        "nn_bin_conv",
        "op",
        **_window(p.window, "kernel"),
        in_words=p.in_words,
        in_bits=p.in_bits,
        pad_words=e.array("pad_words", pad_words),
        weights=e.array("weights", _words(weights)),
        multiply=multiply,
        sums=sums,
        **_output(e, p.output),
    )
    e.statement(f"nn_bin_conv(&{op}, {e.input(0)}, {e.scratch()}, {e.output()});")


def emit_weight_conv(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, BinaryWeightConv)
    e.header("kernels/nn_bin_weight_conv.h")
    op = e.struct(
        "nn_bin_weight_conv",
        "op",
        **_window(p.window, "kernel"),
        in_depth=p.in_depth,
        pad=p.pad,
        words=len(p.weights),
        weights=e.array("weights", _words(p.weights)),
        **_output(e, p.output),
    )
    e.statement(f"nn_bin_weight_conv(&{op}, {e.input(0)}, {e.scratch()}, {e.output()});")


def emit_pool(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, BinaryMaxPool)
    e.header("kernels/nn_bin_pool.h")
    window = _window(p.window, "filter")
    del window["dilation_h"], window["dilation_w"]
    op = e.struct(
        "nn_bin_pool",
        "op",
        **window,
        words=p.words,
        invert=e.array("invert", _optional_words(p.invert)),
    )
    e.statement(f"nn_bin_pool(&{op}, {e.input(0)}, {e.output()});")


def emit_pack(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, BinaryPack)
    e.header("kernels/nn_bin_pack.h")
    op = e.struct(
        "nn_bin_pack",
        "op",
        pixels=p.pixels,
        channels=p.channels,
        thresholds=e.array("thresholds", p.thresholds),
        per_channel=int(len(p.thresholds) > 1),
        invert=e.array("invert", _optional_words(p.invert)),
    )
    e.statement(f"nn_bin_pack(&{op}, {e.input(0)}, {e.output()});")


def emit_unpack(e: Emission) -> None:
    p = e.step.lowered.params
    assert isinstance(p, BinaryUnpack)
    e.header("kernels/nn_bin_pack.h")
    op = e.struct(
        "nn_bin_unpack", "op", pixels=p.pixels, channels=p.channels, plus=p.plus, minus=p.minus
    )
    e.statement(f"nn_bin_unpack(&{op}, {e.input(0)}, {e.output()});")


def _words(words: Array) -> Array:
    return words.view(np.uint32)


def _optional_words(words: Array | None) -> Array | None:
    return None if words is None else _words(words)


def _window(w: Window, kernel: str) -> dict[str, int]:
    return {
        "batches": w.batches,
        "in_h": w.in_h,
        "in_w": w.in_w,
        "out_h": w.out_h,
        "out_w": w.out_w,
        f"{kernel}_h": w.kernel_h,
        f"{kernel}_w": w.kernel_w,
        "stride_h": w.stride_h,
        "stride_w": w.stride_w,
        "dilation_h": w.dilation_h,
        "dilation_w": w.dilation_w,
        "pad_top": w.pad_top,
        "pad_left": w.pad_left,
    }


def _output(e: Emission, o: BinaryOutput) -> dict[str, int | str]:
    out = e.struct(
        "nn_bin_out",
        "out",
        channels=o.channels,
        thresholds=e.array("thresholds", o.thresholds),
        acc_shift=o.acc_shift,
        bias=e.array("bias", o.bias),
        multipliers=e.array("multipliers", o.multipliers),
        shifts=e.array("shifts", o.shifts),
        out_offset=o.out_offset,
        act_min=o.act_min,
        act_max=o.act_max,
    )
    finish = "nn_bin_out_s8" if o.thresholds is None else "nn_bin_out_signs"
    return {"finish": finish, "out": f"&{out}", "out_bytes": o.pixel_bytes}


EMITTERS: Final[dict[str, Callable[[Emission], None]]] = {
    "nn_bin_conv": emit_conv,
    "nn_bin_weight_conv": emit_weight_conv,
    "nn_bin_pool": emit_pool,
    "nn_bin_pack": emit_pack,
    "nn_bin_unpack": emit_unpack,
}
