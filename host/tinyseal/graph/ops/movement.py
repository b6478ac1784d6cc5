"""Operators that move elements and change none: RESHAPE and kin, PAD, CONCATENATION, SPLIT, SLICE,
STRIDED_SLICE, TRANSPOSE, PACK, UNPACK.

Each is an alias, or some strided copies, for PAD after a fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tinyseal.graph.ir import (
    Activation,
    ConcatenationAttrs,
    DType,
    Graph,
    Op,
    OpKind,
    PackAttrs,
    StridedSliceAttrs,
    Tensor,
)
from tinyseal.graph.lowering import Alias, Array, Lowered, Lowering, Params
from tinyseal.graph.ops.common import constant, input_tensor, optional_input, quant, unsupported
from tinyseal.graph.walk import Shape, Walk, dense_strides, merge


@dataclass(frozen=True)
class Copy:
    """Elements of one input (operand a of the walk) to places of one output (operand b)."""

    source: int  # positions in Lowered.inputs and outputs
    target: int
    source_start: int  # elements
    target_start: int
    walk: Walk  # strides in elements

    @property
    def is_dense(self) -> bool:
        return self.walk.is_dense and self.source_start == self.target_start == 0


@dataclass(frozen=True)
class Fill:
    """The element, as bytes, that the first output is full of before anything is copied."""

    element: bytes


@dataclass(frozen=True)
class Move(Params):
    """Calls of `nn_copy`, and of `nn_copy_fill` where `fill` is given."""

    dtype: DType
    out_shapes: tuple[Shape, ...]
    copies: tuple[Copy, ...]
    fill: Fill | None = None

    def run(self, inputs: Sequence[Array], state: Sequence[Array]) -> list[Array]:
        outputs = [np.zeros(shape, dtype=self.dtype.value) for shape in self.out_shapes]
        if self.fill is not None:
            outputs[0][...] = np.frombuffer(self.fill.element, dtype=self.dtype.value)[0]
        for copy in self.copies:
            source = copy.source_start + _offsets(copy.walk.dims, copy.walk.a_strides)
            target = copy.target_start + _offsets(copy.walk.dims, copy.walk.b_strides)
            outputs[copy.target].reshape(-1)[target] = inputs[copy.source].reshape(-1)[source]
        return outputs


def _offsets(dims: Shape, strides: Shape) -> Array:
    offsets = np.zeros(1, dtype=np.int64)
    for size, stride in zip(dims, strides, strict=True):
        offsets = (offsets[:, None] + np.arange(size) * stride).reshape(-1)
    return offsets


def _lowered(
    graph: Graph, op: Op, inputs: Sequence[Tensor], copies: Sequence[Copy], fill: Fill | None = None
) -> Lowered:
    """The copies as a layer; an alias where there is but one and it moves nothing."""
    outputs = [graph.tensor(index) for index in op.outputs]
    for tensor in outputs:
        if not tensor.elements:
            raise unsupported(graph, op, f"tensor {tensor.name} is empty")
    params: Params
    whole = copies[0].walk.elements == inputs[0].elements == outputs[0].elements
    if len(copies) == 1 and copies[0].is_dense and whole:
        params = Alias(outputs[0].shape)
    else:
        shapes = tuple(tensor.shape for tensor in outputs)
        params = Move(outputs[0].dtype, shapes, tuple(copies), fill)
    return Lowered(op, params, tuple(t.index for t in inputs), op.outputs)


def _integers(graph: Graph, op: Op, position: int) -> list[int]:
    return [int(v) for v in constant(graph, op, position).reshape(-1)]


def _start(shape: Shape, at: Sequence[int]) -> int:
    """The position, in elements, of index `at` of a dense array."""
    return sum(i * stride for i, stride in zip(at, dense_strides(shape), strict=True))


def lower_reshape(graph: Graph, op: Op) -> Lowered:
    x = input_tensor(graph, op, 0)
    return Lowered(op, Alias(graph.tensor(op.outputs[0]).shape), (x.index,), op.outputs)


def lower_pad(graph: Graph, op: Op) -> Lowered:
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    if optional_input(graph, op, 2) is not None:
        element = constant(graph, op, 2)
    else:
        zero = quant(graph, op, out).zero_point if out.dtype is DType.S8 else 0
        element = np.array(zero, dtype=out.dtype.value)
    lows = _integers(graph, op, 1)[::2]
    walk = merge(x.shape, dense_strides(x.shape), dense_strides(out.shape))
    copy = Copy(0, 0, 0, _start(out.shape, lows), walk)
    return _lowered(graph, op, [x], [copy], Fill(element.tobytes()))


def _joined(parts: Sequence[Tensor], whole: Tensor, axis: int, split: bool) -> list[Copy]:
    """Copies between a tensor and its parts along `axis`: into it, or with `split` out of it."""
    strides = dense_strides(whole.shape)
    copies, at = [], 0
    for position, part in enumerate(parts):
        own = dense_strides(part.shape)
        if split:
            copies.append(Copy(0, position, at, 0, merge(part.shape, strides, own)))
        else:
            copies.append(Copy(position, 0, 0, at, merge(part.shape, own, strides)))
        at += part.shape[axis] * strides[axis]
    return copies


def _stacked(parts: Sequence[Tensor], whole: Tensor, axis: int, split: bool) -> list[Copy]:
    """As `_joined`, for parts that lack the axis."""
    thick = [replace(part, shape=(*part.shape[:axis], 1, *part.shape[axis:])) for part in parts]
    return _joined(thick, whole, axis, split)


def lower_concatenation(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, ConcatenationAttrs)
    inputs = [input_tensor(graph, op, i) for i in range(len(op.inputs))]
    out = graph.tensor(op.outputs[0])
    if op.attrs.activation is not Activation.NONE:
        raise unsupported(graph, op, f"fused {op.attrs.activation.value} is not supported")
    if out.dtype is DType.S8:
        # TFLM refuses to rescale here, too.
        expected = quant(graph, op, out)
        for tensor in inputs:
            given = quant(graph, op, tensor)
            if (given.scale, given.zero_point) != (expected.scale, expected.zero_point):
                raise unsupported(
                    graph,
                    op,
                    f"tensor {tensor.name} is quantised unlike {out.name}; give both the same "
                    "scale and zero point",
                )
    axis = op.attrs.axis % len(out.shape)
    return _lowered(graph, op, inputs, _joined(inputs, out, axis, split=False))


def lower_split(graph: Graph, op: Op) -> Lowered:
    x = input_tensor(graph, op, 1)
    axis = _integers(graph, op, 0)[0] % len(x.shape)
    parts = [graph.tensor(index) for index in op.outputs]
    return _lowered(graph, op, [x], _joined(parts, x, axis, split=True))


def lower_slice(graph: Graph, op: Op) -> Lowered:
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    walk = merge(out.shape, dense_strides(x.shape), dense_strides(out.shape))
    start = _start(x.shape, _integers(graph, op, 1))
    return _lowered(graph, op, [x], [Copy(0, 0, start, 0, walk)])


def lower_strided_slice(graph: Graph, op: Op) -> Lowered:
    """TensorFlow's rules for every mask; TFLM reads begin, end and shrink only."""
    assert isinstance(op.attrs, StridedSliceAttrs)
    attrs = op.attrs
    x = input_tensor(graph, op, 0)
    begins, ends, steps = (_integers(graph, op, i) for i in (1, 2, 3))
    spec = range(len(begins))
    named = sum(not (attrs.ellipsis_mask | attrs.new_axis_mask) >> i & 1 for i in spec)
    window: list[range] = []  # the indices taken, one range a dimension of x
    for i in spec:
        size = x.shape[len(window)] if len(window) < len(x.shape) else 0
        if attrs.ellipsis_mask >> i & 1:
            skipped = len(x.shape) - named
            window += [range(d) for d in x.shape[len(window) : len(window) + skipped]]
        elif attrs.new_axis_mask >> i & 1:
            continue
        elif attrs.shrink_axis_mask >> i & 1:
            begin = 0 if attrs.begin_mask >> i & 1 else begins[i] % size
            window.append(range(begin, begin + 1))
        else:
            begin_or_none = None if attrs.begin_mask >> i & 1 else begins[i]
            end_or_none = None if attrs.end_mask >> i & 1 else ends[i]
            window.append(range(*slice(begin_or_none, end_or_none, steps[i]).indices(size)))
    window += [range(d) for d in x.shape[len(window) :]]
    shape = tuple(len(r) for r in window)
    strides = [r.step * stride for r, stride in zip(window, dense_strides(x.shape), strict=True)]
    start = _start(x.shape, [r.start for r in window])
    walk = merge(shape, strides, dense_strides(shape))
    return _lowered(graph, op, [x], [Copy(0, 0, start, 0, walk)])


def lower_transpose(graph: Graph, op: Op) -> Lowered:
    x, out = input_tensor(graph, op, 0), graph.tensor(op.outputs[0])
    order, strides = _integers(graph, op, 1), dense_strides(x.shape)
    walk = merge(out.shape, [strides[axis] for axis in order], dense_strides(out.shape))
    return _lowered(graph, op, [x], [Copy(0, 0, 0, 0, walk)])


def lower_pack(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, PackAttrs)
    inputs = [input_tensor(graph, op, i) for i in range(len(op.inputs))]
    out = graph.tensor(op.outputs[0])
    axis = op.attrs.axis % len(out.shape)
    return _lowered(graph, op, inputs, _stacked(inputs, out, axis, split=False))


def lower_unpack(graph: Graph, op: Op) -> Lowered:
    assert isinstance(op.attrs, PackAttrs)
    x = input_tensor(graph, op, 0)
    axis = op.attrs.axis % len(x.shape)
    parts = [graph.tensor(index) for index in op.outputs]
    return _lowered(graph, op, [x], _stacked(parts, x, axis, split=True))


LOWERINGS: Final[dict[OpKind, Lowering]] = {
    OpKind.RESHAPE: lower_reshape,
    OpKind.SQUEEZE: lower_reshape,
    OpKind.EXPAND_DIMS: lower_reshape,
    OpKind.PAD: lower_pad,
    OpKind.PADV2: lower_pad,
    OpKind.CONCATENATION: lower_concatenation,
    OpKind.SPLIT: lower_split,
    OpKind.SLICE: lower_slice,
    OpKind.STRIDED_SLICE: lower_strided_slice,
    OpKind.TRANSPOSE: lower_transpose,
    OpKind.PACK: lower_pack,
    OpKind.UNPACK: lower_unpack,
}
