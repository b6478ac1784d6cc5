"""What every Graph must satisfy, whoever made it; later stages rely on it without looking."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from tinyseal.errors import ModelError
from tinyseal.graph.ir import DType, Graph, Tensor
from tinyseal.graph.shapes import check_op

MAX_RANK: Final = 6  # CAPSULE_MAX_RANK
MAX_BYTES: Final = 2**31 - 1  # of one tensor; the kernels index with int32_t

# No model's real values are further from 1; and three scales or their inverses multiplied stay
# within float32, in which TFLM takes some of its factors.
MAX_SCALE: Final = 2.0**40
MIN_SCALE: Final = 2.0**-40  # of an activation; weights of a dead channel may be smaller

ZERO_POINT_TYPES: Final = (DType.S8, DType.U8, DType.S16, DType.S32, DType.S64)


def check_graph(graph: Graph) -> None:
    """ModelError unless every tensor is sound and every operator's inputs are there in time."""
    for tensor in graph.tensors:
        check_tensor(graph.name, tensor)
    _check_interface(graph)
    _check_order(graph)
    for op in graph.ops:
        check_op(graph, op)


def check_tensor(model: str, tensor: Tensor) -> None:
    """Shape, size, data and quantisation of one tensor."""

    def error(why: str) -> ModelError:
        return ModelError(f"{model}: tensor {tensor.index} ({tensor.name}): {why}")

    shape, data, quant = tensor.shape, tensor.data, tensor.quant
    if len(shape) > MAX_RANK:
        raise error(f"rank {len(shape)}, at most {MAX_RANK} is supported")
    if any(d < 0 for d in shape):
        raise error(f"shape {list(shape)} has a negative dimension")
    size = math.prod(shape) * tensor.dtype.bytes
    if size > MAX_BYTES:
        raise error(f"shape {list(shape)} takes {size} B, at most {MAX_BYTES} B are supported")
    if data is None:
        if size == 0:
            raise error(f"shape {list(shape)} has no elements")
    elif data.shape != shape or data.dtype != np.dtype(tensor.dtype.value):
        raise error(f"data of shape {list(data.shape)} for shape {list(shape)}")
    elif tensor.is_variable:
        raise error("is variable, but has constant data")
    if quant is None:
        return
    if len(quant.scales) != len(quant.zero_points) or not quant.scales:
        raise error(f"{len(quant.scales)} scales, {len(quant.zero_points)} zero points")
    if quant.axis is None:
        if len(quant.scales) != 1:
            raise error(f"{len(quant.scales)} scales without an axis")
    elif data is None:
        raise error("is an activation with one scale per channel; only constants may have them")
    elif not 0 <= quant.axis < len(shape) or shape[quant.axis] != len(quant.scales):
        raise error(f"{len(quant.scales)} scales along axis {quant.axis} of shape {list(shape)}")
    for scale in quant.scales:
        # A bias of a dead channel may have scale 0: nothing computes with a bias's scale.
        if not math.isfinite(scale) or scale < 0 or (scale == 0 and tensor.dtype is not DType.S32):
            raise error(f"scale {scale} is not a positive number")
        if scale > MAX_SCALE or (data is None and scale < MIN_SCALE):
            raise error(f"scale {scale:g} is outside [{MIN_SCALE:g}, {MAX_SCALE:g}]")
    if tensor.dtype in ZERO_POINT_TYPES:
        info = np.iinfo(tensor.dtype.value)
        for point in quant.zero_points:
            if not info.min <= point <= info.max:
                raise error(f"zero point {point} is outside {tensor.dtype.value}")


def _check_interface(graph: Graph) -> None:
    if not graph.ops:
        raise ModelError(f"{graph.name}: has no operators")
    if not graph.inputs or not graph.outputs:
        raise ModelError(
            f"{graph.name}: has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; "
            "it needs one of each at least"
        )
    if len(set(graph.inputs)) != len(graph.inputs):
        raise ModelError(f"{graph.name}: an input is listed twice")
    for index in graph.inputs:
        tensor = graph.tensor(index)
        if tensor.is_constant or tensor.is_variable:
            kind = "constant" if tensor.is_constant else "variable"
            raise ModelError(f"{graph.name}: input {tensor.name} is a {kind} tensor")
    for index in graph.outputs:
        tensor = graph.tensor(index)
        if tensor.is_constant or tensor.is_variable:
            kind = "constant" if tensor.is_constant else "variable"
            raise ModelError(f"{graph.name}: output {tensor.name} is a {kind} tensor")


def _check_order(graph: Graph) -> None:
    """Each tensor is written once, and before it is read."""
    written = set(graph.inputs)
    ready = written | {t.index for t in graph.tensors if t.is_constant or t.is_variable}
    for op in graph.ops:
        where = f"{graph.name}: node {op.index} ({op.kind.value})"
        for index in op.inputs:
            if index is not None and index not in ready:
                raise ModelError(
                    f"{where}: reads tensor {graph.tensor(index).name} before it is written"
                )
        for index in op.outputs:
            tensor = graph.tensor(index)
            if tensor.is_constant or tensor.is_variable:
                kind = "constant" if tensor.is_constant else "variable"
                raise ModelError(f"{where}: writes the {kind} tensor {tensor.name}")
            if index in written:
                raise ModelError(f"{where}: writes tensor {tensor.name} a second time")
            written.add(index)
            ready.add(index)
    for index in graph.outputs:
        if index not in ready:
            raise ModelError(f"{graph.name}: output {graph.tensor(index).name} is never written")
