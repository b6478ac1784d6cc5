"""Portable kernels of binary networks."""

from __future__ import annotations

from typing import Final

from tinyseal.board import Board
from tinyseal.graph.ops.binary import (
    BinaryConv,
    BinaryMaxPool,
    BinaryOutput,
    BinaryPack,
    BinaryUnpack,
    BinaryWeightConv,
)
from tinyseal.plan.kernels.kernel import Kernel, KernelSet

WEIGHT_CONV_TABLE: Final = 128  # NN_BIN_WEIGHT_CONV_TABLE, words


def conv_scratch(params: BinaryConv, sums: int) -> int:
    """`sums`: accumulators of a pixel."""
    runs = 2 * params.window.kernel_h
    patch = params.window.taps * params.in_words
    return 4 * (sums + runs + patch)


def conv_instructions(params: BinaryConv, channels: int, per_word: float) -> float:
    """`channels` of a pixel, one after the other, or some at a time."""
    words = params.window.taps * params.in_words
    per_pixel = 20.0 * params.window.taps + 6.0 * words
    per_channel = 70.0 + per_word * words
    return params.window.pixels * (per_pixel + channels * per_channel + _output(params.output))


def _conv_scratch(params: BinaryConv, board: Board) -> int:
    return conv_scratch(params, params.output.channels)


def _weight_conv_scratch(params: BinaryWeightConv, board: Board) -> int:
    words = len(params.weights)
    return 4 * (2 * params.output.channels + WEIGHT_CONV_TABLE + 16 * words)


# Fitted to counts on a Cortex-M4 (tinyseal bench, the digits models).


def _conv_instructions(params: BinaryConv, board: Board) -> float:
    return conv_instructions(params, params.output.channels, 12.0)


def _weight_conv_instructions(params: BinaryWeightConv, board: Board) -> float:
    w, words = params.window, len(params.weights)
    pairs = w.batches * -(-w.out_h * w.out_w // 2)
    per_pixel = 20.0 * w.taps + 8.0 * params.depth + _output(params.output)
    return w.pixels * per_pixel + pairs * words * (520.0 + 45.0 * params.output.channels)


def _output(output: BinaryOutput) -> float:
    return output.channels * (9.0 if output.thresholds is not None else 40.0)


def _pool_instructions(params: BinaryMaxPool, board: Board) -> float:
    return params.window.pixels * (40.0 + params.words * (10.0 + 9.0 * params.window.taps))


def _pack_instructions(params: BinaryPack | BinaryUnpack, board: Board) -> float:
    return params.pixels * (20.0 + 9.0 * params.channels)


KERNELS: Final = (
    Kernel(
        KernelSet.REFERENCE,
        "nn_bin_conv",
        BinaryConv,
        instructions=_conv_instructions,
        scratch=_conv_scratch,
    ),
    Kernel(
        KernelSet.REFERENCE,
        "nn_bin_weight_conv",
        BinaryWeightConv,
        instructions=_weight_conv_instructions,
        scratch=_weight_conv_scratch,
    ),
    Kernel(KernelSet.REFERENCE, "nn_bin_pool", BinaryMaxPool, instructions=_pool_instructions),
    Kernel(KernelSet.REFERENCE, "nn_bin_pack", BinaryPack, instructions=_pack_instructions),
    Kernel(KernelSet.REFERENCE, "nn_bin_unpack", BinaryUnpack, instructions=_pack_instructions),
)
