"""What the operator modules share: typed access to tensors, and quantised activation ranges."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tinyseal.errors import UnsupportedError
from tinyseal.graph.fixedpoint import Requant, quantize_multiplier
from tinyseal.graph.ir import Activation, DType, Graph, Op, Quant, Tensor
from tinyseal.graph.lowering import Array

ACTIVATION_RANGES: Final[dict[Activation, tuple[float, float]]] = {
    Activation.NONE: (-np.inf, np.inf),
    Activation.RELU: (0.0, np.inf),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
    Activation.RELU6: (0.0, 6.0),
}


def unsupported(graph: Graph, op: Op, why: str) -> UnsupportedError:
    return UnsupportedError(f"{graph.name}: node {op.index} ({op.kind.value}): {why}")


def input_tensor(graph: Graph, op: Op, position: int) -> Tensor:
    """Input `position`, which must be there."""
    index = op.inputs[position] if position < len(op.inputs) else None
    if index is None:
        raise unsupported(graph, op, f"input {position} is missing")
    return graph.tensor(index)


def optional_input(graph: Graph, op: Op, position: int) -> Tensor | None:
    index = op.inputs[position] if position < len(op.inputs) else None
    return None if index is None else graph.tensor(index)


def constant(graph: Graph, op: Op, position: int) -> Array:
    """The data of input `position`, which must be constant."""
    tensor = input_tensor(graph, op, position)
    if tensor.data is None:
        raise unsupported(graph, op, f"input {position} ({tensor.name}) must be constant")
    return tensor.data


def quant(graph: Graph, op: Op, tensor: Tensor) -> Quant:
    if tensor.quant is None:
        raise unsupported(graph, op, f"tensor {tensor.name} has no quantisation")
    return tensor.quant


def require_s8(graph: Graph, op: Op, *tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype is not DType.S8:
            raise unsupported(
                graph,
                op,
                f"tensor {tensor.name} is {tensor.dtype.value}; only int8 runs on a device, "
                "quantise the model first",
            )


def activation_range(graph: Graph, op: Op, activation: Activation, out: Quant) -> tuple[int, int]:
    """The fused activation as int8 bounds (CalculateActivationRangeQuantized).

    The division is in float32 and rounds half away from zero, as TFLite's does.
    """
    if activation not in ACTIVATION_RANGES:
        raise unsupported(graph, op, f"fused {activation.value} is not supported")

    def quantize(real: float) -> int:
        scaled = float(np.float32(real) / np.float32(out.scale))
        # In double precision: adding 0.5 in float32 would itself round.
        return out.zero_point + int(math.copysign(math.floor(abs(scaled) + 0.5), scaled))

    low, high = ACTIVATION_RANGES[activation]
    act_min = -128 if np.isinf(low) else max(-128, quantize(low))
    act_max = 127 if np.isinf(high) else min(127, quantize(high))
    return act_min, act_max


def require(graph: Graph, op: Op, condition: bool, why: str) -> None:
    if not condition:
        raise unsupported(graph, op, why)


def requant(graph: Graph, op: Op, factor: float) -> Requant:
    """`quantize_multiplier`, for factors that TFLM's shift can hold."""
    require(
        graph,
        op,
        0 <= factor < 2.0**30,
        f"the scales give a factor of {factor:g}, not in [0, 2^30)",
    )
    return quantize_multiplier(factor)


def channel_requants(
    graph: Graph, op: Op, x: Quant, weights: Quant, out: Quant, channels: int, axis: int
) -> tuple[Array, Array]:
    """Multipliers and shifts of x * weights / out, int32, one per output channel.

    The products are taken in double precision, in this order
    (PopulateConvolutionQuantizationParams). Weights must be symmetric.
    """
    scales = weights.scales
    if len(scales) == 1:
        scales *= channels
    else:
        require(
            graph,
            op,
            len(scales) == channels and weights.axis == axis,
            f"{len(scales)} weight scales along axis {weights.axis}; expected 1, "
            f"or {channels} along axis {axis}",
        )
    require(graph, op, not any(weights.zero_points), "the weights' zero point is not 0")
    requants = [requant(graph, op, x.scale * scale / out.scale) for scale in scales]
    return (
        np.array([r.multiplier for r in requants], dtype=np.int32),
        np.array([r.shift for r in requants], dtype=np.int32),
    )


def optional_bias(graph: Graph, op: Op, position: int, channels: int) -> Array | None:
    """The constant int32 bias of `channels` values, or None."""
    tensor = optional_input(graph, op, position)
    if tensor is None:
        return None
    require(
        graph,
        op,
        tensor.dtype is DType.S32 and tensor.elements == channels,
        f"bias {tensor.name} is {tensor.elements} x {tensor.dtype.value}, "
        f"expected {channels} x int32",
    )
    return constant(graph, op, position).reshape(channels)


def require_accumulator(
    graph: Graph, op: Op, weights: Array, bias: Array | None, zero_point: int = 0
) -> None:
    """Every partial sum fits 32 bits: `weights` [out_ch, depth] less their zero point, times
    inputs less theirs (at most 255 away), in any order, with or without the input's zero point
    folded into the bias."""
    magnitude = np.abs(weights.astype(np.int64) - zero_point).sum(axis=1)
    if zero_point:  # kernels add zero_point * sum(inputs) apart
        magnitude += abs(zero_point) * weights.shape[1]
    bound = 256 * magnitude
    if bias is not None:
        bound = bound + np.abs(bias.astype(np.int64))
    worst = int(bound.max(initial=0))
    require(
        graph,
        op,
        worst < 2**31,
        f"a channel's sum can reach {worst}, 32 bits hold {2**31 - 1}; "
        "its weights and bias are too large to accumulate",
    )
