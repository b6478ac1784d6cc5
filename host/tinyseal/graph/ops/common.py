"""What the operator modules share: typed access to tensors, and quantised activation ranges."""

from __future__ import annotations

from typing import Final

import numpy as np

from tinyseal.errors import UnsupportedError
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


def binary_operands(graph: Graph, op: Op) -> tuple[Tensor, Tensor, Tensor]:
    """Both inputs and the output of an elementwise operator; the output's shape is checked."""
    a, b, out = input_tensor(graph, op, 0), input_tensor(graph, op, 1), graph.tensor(op.outputs[0])
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        shape = None
    if shape != out.shape:
        raise unsupported(
            graph, op, f"{a.name} {a.shape} and {b.name} {b.shape} do not broadcast to {out.shape}"
        )
    return a, b, out


def activation_range(graph: Graph, op: Op, activation: Activation, out: Quant) -> tuple[int, int]:
    """The fused activation as int8 bounds (CalculateActivationRangeQuantized).

    The division is in float32 and rounds half away from zero, as TFLite's does.
    """
    if activation not in ACTIVATION_RANGES:
        raise unsupported(graph, op, f"fused {activation.value} is not supported")

    def quantize(real: float) -> int:
        scaled = np.float32(real) / np.float32(out.scale)
        return out.zero_point + int(np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled))

    low, high = ACTIVATION_RANGES[activation]
    act_min = -128 if np.isinf(low) else max(-128, quantize(low))
    act_max = 127 if np.isinf(high) else min(127, quantize(high))
    return act_min, act_max
