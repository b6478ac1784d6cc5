"""What each operator makes of its inputs' shapes and types; the model file must agree.

Source: the Prepare functions of TFLite's and TFLM's kernels. All shapes are static: the files
state every one of them, and kernels are generated from what the file states.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tinyseal.errors import ModelError, UnsupportedError
from tinyseal.graph.bits import word_count
from tinyseal.graph.ir import (
    BinaryConv2DAttrs,
    BinaryFullyConnectedAttrs,
    ConcatenationAttrs,
    Conv2DAttrs,
    DepthwiseConv2DAttrs,
    DType,
    FullyConnectedAttrs,
    Graph,
    LeakyReluAttrs,
    LstmAttrs,
    Op,
    OpKind,
    PackAttrs,
    Padding,
    Pool2DAttrs,
    ReduceAttrs,
    SoftmaxAttrs,
    SplitAttrs,
    StridedSliceAttrs,
    SvdfAttrs,
    Tensor,
    TransposeConvAttrs,
)

Shape = tuple[int, ...]

MAX_SPATIAL: Final = 2**24  # strides, dilations and windows beyond it are no model's

MAX_FACTOR: Final = 2.0**40  # of alpha and beta: their products with scales stay within float32

# Activations, weights, and the biases that go with them.
WEIGHTED_TYPES: Final = {
    (DType.F32, DType.F32): (DType.F32,),
    (DType.F32, DType.S8): (DType.F32,),  # dynamic-range quantisation: weights are stored small
    (DType.S8, DType.S8): (DType.S32,),
    (DType.S16, DType.S8): (DType.S64, DType.S32),
    (DType.U8, DType.U8): (DType.S32,),
}

# Inputs that hold shapes, axes or bounds; the only ones that may be empty.
INDEX_INPUTS: Final[dict[OpKind, tuple[int, ...]]] = {
    OpKind.MEAN: (1,),
    OpKind.SUM: (1,),
    OpKind.PAD: (1,),
    OpKind.PADV2: (1,),
    OpKind.RESHAPE: (1,),
    OpKind.SLICE: (1, 2),
    OpKind.STRIDED_SLICE: (1, 2, 3),
    OpKind.TRANSPOSE: (1,),
}

# Inputs that are variable tensors, which no other operator may touch.
STATE_INPUTS: Final[dict[OpKind, tuple[int, ...]]] = {
    OpKind.SVDF: (4,),
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: (18, 19),
}


def check_op(graph: Graph, op: Op) -> None:
    """ModelError unless counts, types and shapes of `op` are what its kind demands."""
    node = _Node(graph, op)
    rule = RULES[op.kind]
    node.check_counts(rule)
    for position, shape in enumerate(rule.shapes(node)):
        stated = node.output(position).shape
        if stated != shape:
            raise node.error(
                f"output {position} is stated as {_text(stated)}, its inputs give {_text(shape)}"
            )


@dataclass(frozen=True)
class _Node:
    graph: Graph
    op: Op

    def error(self, why: str) -> ModelError:
        return ModelError(f"{self.graph.name}: node {self.op.index} ({self.op.kind.value}): {why}")

    def unsupported(self, why: str) -> UnsupportedError:
        return UnsupportedError(
            f"{self.graph.name}: node {self.op.index} ({self.op.kind.value} "
            f"version {self.op.version}): {why}"
        )

    def check_counts(self, rule: _Rule) -> None:
        op = self.op
        if not rule.inputs[0] <= len(op.inputs) <= rule.inputs[1]:
            low, high = rule.inputs
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise self.error(f"has {len(op.inputs)} inputs, takes {wanted}")
        for position, index in enumerate(op.inputs):
            if index is None and position not in rule.optional:
                raise self.error(f"input {position} is missing")
            if index is None:
                continue
            tensor = self.graph.tensor(index)
            if not tensor.elements and position not in INDEX_INPUTS.get(op.kind, ()):
                raise self.error(f"input {position} ({tensor.name}) is empty")
            if tensor.is_variable != (position in STATE_INPUTS.get(op.kind, ())):
                raise self.error(
                    f"input {position} ({tensor.name}) "
                    + ("is" if tensor.is_variable else "must be")
                    + " a variable tensor"
                )
        if not rule.outputs[0] <= len(op.outputs) <= rule.outputs[1]:
            raise self.error(f"has {len(op.outputs)} outputs, gives {rule.outputs[0]}")

    def find(self, position: int) -> Tensor | None:
        inputs = self.op.inputs
        index = inputs[position] if position < len(inputs) else None
        return None if index is None else self.graph.tensor(index)

    def input(self, position: int) -> Tensor:
        tensor = self.find(position)
        if tensor is None:
            raise self.error(f"input {position} is missing")
        return tensor

    def inputs(self) -> list[Tensor]:
        return [self.input(i) for i in range(len(self.op.inputs))]

    def output(self, position: int = 0) -> Tensor:
        return self.graph.tensor(self.op.outputs[position])

    def outputs(self) -> list[Tensor]:
        return [self.graph.tensor(i) for i in self.op.outputs]

    def rank(self, tensor: Tensor, *ranks: int) -> Shape:
        if len(tensor.shape) not in ranks:
            wanted = " or ".join(str(r) for r in ranks)
            raise self.error(
                f"tensor {tensor.name} has shape {_text(tensor.shape)}, needs rank {wanted}"
            )
        return tensor.shape

    def expect(self, tensor: Tensor | None, shape: Shape) -> None:
        if tensor is not None and tensor.shape != shape:
            raise self.error(
                f"tensor {tensor.name} has shape {_text(tensor.shape)}, needs {_text(shape)}"
            )

    def same_type(self, *tensors: Tensor) -> None:
        for tensor in tensors[1:]:
            if tensor.dtype is not tensors[0].dtype:
                raise self.error(
                    f"tensor {tensor.name} is {tensor.dtype.value}, "
                    f"{tensors[0].name} is {tensors[0].dtype.value}; they must agree"
                )

    def one_type(self, tensor: Tensor, wanted: DType) -> None:
        if tensor.dtype is not wanted:
            raise self.error(
                f"tensor {tensor.name} is {tensor.dtype.value}, must be {wanted.value}"
            )

    def in_range(self, what: str, value: int, low: int, high: int) -> int:
        if not low <= value <= high:
            raise self.error(f"{what} is {value}, must be in [{low}, {high}]")
        return value

    def bounded(self, what: str, value: float) -> None:
        if not abs(value) <= MAX_FACTOR:
            raise self.error(f"{what} is {value:g}, must be in [{-MAX_FACTOR:g}, {MAX_FACTOR:g}]")

    def axis(self, value: int, rank: int) -> int:
        """`value` counted from the front."""
        return self.in_range("axis", value, -rank, rank - 1) % max(rank, 1)

    def integers(self, position: int, counts: Sequence[int] | None = None) -> list[int]:
        """The values of a constant index tensor; `counts` are the lengths allowed."""
        tensor = self.input(position)
        if tensor.data is None:
            raise self.unsupported(
                f"input {position} ({tensor.name}) is computed at run time; only constant "
                "shapes, axes and paddings are supported"
            )
        if tensor.dtype not in (DType.S32, DType.S64):
            raise self.error(
                f"tensor {tensor.name} is {tensor.dtype.value}, must be int32 or int64"
            )
        if tensor.elements > 64 or (counts is not None and tensor.elements not in counts):
            raise self.error(f"tensor {tensor.name} holds {tensor.elements} numbers")
        return [int(v) for v in tensor.data.ravel()]

    def weights(self, x: Tensor, w: Tensor, bias: Tensor | None, channels: int, axis: int) -> None:
        """Types, bias length and per-channel axis of a layer that multiplies and accumulates."""
        biases = WEIGHTED_TYPES.get((x.dtype, w.dtype))
        if biases is None:
            raise self.unsupported(f"{x.dtype.value} activations with {w.dtype.value} weights")
        self.same_type(x, self.output())
        if bias is not None:
            if bias.dtype not in biases:
                raise self.error(
                    f"bias {bias.name} is {bias.dtype.value}, must be {biases[0].value}"
                )
            if bias.elements != channels:
                raise self.error(
                    f"bias {bias.name} holds {bias.elements} numbers for {channels} channels"
                )
        if w.quant is not None and w.quant.axis not in (None, axis):
            raise self.error(
                f"weights {w.name} are quantised along axis {w.quant.axis}, must be {axis}"
            )

    def symmetric(self, w: Tensor) -> None:
        """Convolutions take weights with zero point 0 only: TFLM ignores any other."""
        if w.dtype is DType.S8 and w.quant is not None and any(w.quant.zero_points):
            raise self.error(f"int8 weights {w.name} have a zero point other than 0")

    def window(
        self, size: Shape, window: Shape, stride: Shape, dilation: Shape, padding: Padding
    ) -> Shape:
        """Height and width a sliding window gives."""
        result = []
        for n, k, s, d in zip(size, window, stride, dilation, strict=True):
            self.in_range("window", k, 1, MAX_SPATIAL)
            self.in_range("stride", s, 1, MAX_SPATIAL)
            self.in_range("dilation", d, 1, MAX_SPATIAL)
            reach = (k - 1) * d + 1
            out = -(-n // s) if padding is Padding.SAME else (n - reach + s) // s
            if out < 1:
                raise self.error(f"a window reaching over {reach} does not fit {n} (VALID)")
            result.append(out)
        return tuple(result)

    def broadcast(self, *tensors: Tensor) -> Shape:
        rank = max(len(t.shape) for t in tensors)
        result = [1] * rank
        for tensor in tensors:
            for i, d in enumerate(tensor.shape, rank - len(tensor.shape)):
                if d != 1 and result[i] not in (1, d):
                    shapes = " and ".join(_text(t.shape) for t in tensors)
                    raise self.error(f"shapes {shapes} do not broadcast")
                result[i] = max(result[i], d)
        return tuple(result)


def _text(shape: Shape) -> str:
    return "x".join(str(d) for d in shape) if shape else "scalar"


def _conv(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, Conv2DAttrs)
    x, w = n.input(0), n.input(1)
    batch, height, width, depth = n.rank(x, 4)
    out, kernel_h, kernel_w, in_depth = n.rank(w, 4)
    if in_depth == 0 or depth % in_depth or out % (depth // in_depth):
        raise n.error(f"weights {_text(w.shape)} do not fit {depth} input channels")
    n.weights(x, w, n.find(2), out, axis=0)
    n.symmetric(w)
    size = n.window(
        (height, width),
        (kernel_h, kernel_w),
        (attrs.stride_h, attrs.stride_w),
        (attrs.dilation_h, attrs.dilation_w),
        attrs.padding,
    )
    return [(batch, *size, out)]


def _depthwise(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, DepthwiseConv2DAttrs)
    x, w = n.input(0), n.input(1)
    batch, height, width, depth = n.rank(x, 4)
    one, kernel_h, kernel_w, out = n.rank(w, 4)
    multiplier = attrs.depth_multiplier
    if one != 1 or out != depth * multiplier:
        raise n.error(
            f"weights {_text(w.shape)} do not fit {depth} input channels times {multiplier}"
        )
    n.weights(x, w, n.find(2), out, axis=3)
    n.symmetric(w)
    size = n.window(
        (height, width),
        (kernel_h, kernel_w),
        (attrs.stride_h, attrs.stride_w),
        (attrs.dilation_h, attrs.dilation_w),
        attrs.padding,
    )
    return [(batch, *size, out)]


def _fully_connected(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, FullyConnectedAttrs)
    x, w = n.input(0), n.input(1)
    out, depth = n.rank(w, 2)
    if depth == 0 or x.elements % depth:
        raise n.error(f"weights {_text(w.shape)} do not fit input {_text(x.shape)}")
    n.weights(x, w, n.find(2), out, axis=0)
    flat = (x.elements // depth, out)
    kept = (*x.shape[:-1], out) if x.shape and x.shape[-1] == depth else flat
    # TFLM goes by the stated output alone, so either form runs, whatever keep_num_dims says.
    return [kept if n.output().shape == kept else flat]


def _transpose_conv(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, TransposeConvAttrs)
    w, x = n.input(1), n.input(2)
    shape = tuple(n.integers(0, counts=(4,)))
    batch, height, width, depth = n.rank(x, 4)
    out, kernel_h, kernel_w, in_depth = n.rank(w, 4)
    if in_depth != depth or shape[0] != batch or shape[3] != out:
        raise n.error(f"weights {_text(w.shape)} do not take {_text(x.shape)} to {_text(shape)}")
    n.weights(x, w, n.find(3), out, axis=0)
    n.symmetric(w)
    stride = (attrs.stride_h, attrs.stride_w)
    # The layer is a convolution run backwards: that convolution must give back the input's size.
    size = n.window(shape[1:3], (kernel_h, kernel_w), stride, (1, 1), attrs.padding)
    if size != (height, width):
        raise n.error(f"output {_text(shape)} does not come from an input of {_text(x.shape)}")
    return [shape]


def _broadcast(n: _Node) -> list[Shape]:
    a, b = n.input(0), n.input(1)
    n.same_type(a, b, n.output())
    return [n.broadcast(a, b)]


def _pool(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, Pool2DAttrs)
    x = n.input(0)
    n.same_type(x, n.output())
    batch, height, width, depth = n.rank(x, 4)
    size = n.window(
        (height, width),
        (attrs.filter_h, attrs.filter_w),
        (attrs.stride_h, attrs.stride_w),
        (1, 1),
        attrs.padding,
    )
    return [(batch, *size, depth)]


def _reduce(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, ReduceAttrs)
    x = n.input(0)
    n.same_type(x, n.output())
    axes = {n.axis(a, len(x.shape)) for a in n.integers(1)}
    if attrs.keep_dims:
        return [tuple(1 if i in axes else d for i, d in enumerate(x.shape))]
    return [tuple(d for i, d in enumerate(x.shape) if i not in axes)]


def _pad(n: _Node) -> list[Shape]:
    x = n.input(0)
    n.same_type(x, n.output())
    fill = n.find(2)
    if fill is not None:
        n.same_type(x, fill)
        if fill.elements != 1:
            raise n.error(f"pad value {fill.name} holds {fill.elements} numbers, needs 1")
    pads = n.integers(1, counts=(2 * len(x.shape),))
    for p in pads:
        n.in_range("padding", p, 0, 2**31 - 1)
    return [tuple(d + pads[2 * i] + pads[2 * i + 1] for i, d in enumerate(x.shape))]


def _concatenation(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, ConcatenationAttrs)
    parts = n.inputs()
    n.same_type(*parts, n.output())
    first = parts[0].shape
    axis = n.axis(attrs.axis, len(first))
    for part in parts:
        if len(part.shape) != len(first) or any(
            d != e for i, (d, e) in enumerate(zip(part.shape, first, strict=True)) if i != axis
        ):
            raise n.error(f"cannot join {_text(first)} and {_text(part.shape)} along axis {axis}")
    return [(*first[:axis], sum(p.shape[axis] for p in parts), *first[axis + 1 :])]


def _split(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, SplitAttrs)
    x = n.input(1)
    n.same_type(x, *n.outputs())
    axis = n.axis(n.integers(0, counts=(1,))[0], len(x.shape))
    count = len(n.op.outputs)
    if attrs.num_splits != count or x.shape[axis] % count:
        raise n.error(
            f"cannot split {_text(x.shape)} along axis {axis} into {attrs.num_splits} parts "
            f"and {count} outputs"
        )
    part = (*x.shape[:axis], x.shape[axis] // count, *x.shape[axis + 1 :])
    return [part] * count


def _slice(n: _Node) -> list[Shape]:
    x = n.input(0)
    n.same_type(x, n.output())
    rank = len(x.shape)
    begins, sizes = n.integers(1, counts=(rank,)), n.integers(2, counts=(rank,))
    shape = []
    for d, begin, size in zip(x.shape, begins, sizes, strict=True):
        n.in_range("begin", begin, 0, d)
        size = d - begin if size == -1 else size
        shape.append(n.in_range("size", size, 0, d - begin))
    return [tuple(shape)]


def _strided_slice(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, StridedSliceAttrs)
    x = n.input(0)
    n.same_type(x, n.output())
    begins = n.integers(1, counts=range(7))
    ends, strides = n.integers(2, counts=(len(begins),)), n.integers(3, counts=(len(begins),))
    if attrs.ellipsis_mask & (attrs.ellipsis_mask - 1):
        raise n.error("has more than one ellipsis")
    shape: list[int] = []
    dim = 0
    spec = range(len(begins))
    named = sum(1 for i in spec if not (attrs.ellipsis_mask | attrs.new_axis_mask) >> i & 1)
    for i in spec:
        if attrs.ellipsis_mask >> i & 1:
            skipped = len(x.shape) - named
            if skipped < 0:
                raise n.error(f"slices {named} axes of {_text(x.shape)}")
            shape += x.shape[dim : dim + skipped]
            dim += skipped
            continue
        if attrs.new_axis_mask >> i & 1:
            shape.append(1)
            continue
        if dim >= len(x.shape):
            raise n.error(f"slices {named} axes of {_text(x.shape)}")
        size, stride = x.shape[dim], strides[i]
        dim += 1
        if stride == 0:
            raise n.error("has a stride of 0")
        if attrs.shrink_axis_mask >> i & 1:
            n.in_range("begin", begins[i], -size, size - 1)
            continue
        begin = None if attrs.begin_mask >> i & 1 else begins[i]
        end = None if attrs.end_mask >> i & 1 else ends[i]
        shape.append(len(range(*slice(begin, end, stride).indices(size))))
    return [(*shape, *x.shape[dim:])]


def _reshape(n: _Node) -> list[Shape]:
    x, out = n.input(0), n.output()
    n.same_type(x, out)
    if x.elements != out.elements:
        raise n.error(f"cannot make {_text(out.shape)} of {_text(x.shape)}")
    wanted = n.find(1)
    if wanted is None or wanted.data is None:
        return [out.shape]
    shape = n.integers(1)
    if shape.count(-1) == 1:
        known = math.prod(d for d in shape if d != -1)
        if known <= 0 or x.elements % known:
            raise n.error(f"cannot make {_text(tuple(shape))} of {_text(x.shape)}")
        shape[shape.index(-1)] = x.elements // known
    return [tuple(shape)]


def _squeeze(n: _Node) -> list[Shape]:
    x, out = n.input(0), n.output()
    n.same_type(x, out)
    # Which of the ones go is the stated shape's business: the bytes stay where they are.
    if [d for d in x.shape if d != 1] != [d for d in out.shape if d != 1]:
        raise n.error(f"cannot make {_text(out.shape)} of {_text(x.shape)}")
    return [out.shape]


def _expand_dims(n: _Node) -> list[Shape]:
    x = n.input(0)
    n.same_type(x, n.output())
    axis = n.axis(n.integers(1, counts=(1,))[0], len(x.shape) + 1)
    return [(*x.shape[:axis], 1, *x.shape[axis:])]


def _transpose(n: _Node) -> list[Shape]:
    x = n.input(0)
    n.same_type(x, n.output())
    rank = len(x.shape)
    order = [n.axis(a, rank) for a in n.integers(1, counts=(rank,))]
    if sorted(order) != list(range(rank)):
        raise n.error(f"{order} is no permutation of {rank} axes")
    return [tuple(x.shape[a] for a in order)]


def _pack(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, PackAttrs)
    parts = n.inputs()
    n.same_type(*parts, n.output())
    for part in parts:
        n.expect(part, parts[0].shape)
    if attrs.count != len(parts):
        raise n.error(f"has {len(parts)} inputs, its options say {attrs.count}")
    axis = n.axis(attrs.axis, len(parts[0].shape) + 1)
    return [(*parts[0].shape[:axis], len(parts), *parts[0].shape[axis:])]


def _unpack(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, PackAttrs)
    x = n.input(0)
    n.same_type(x, *n.outputs())
    axis = n.axis(attrs.axis, len(x.shape))
    count = len(n.op.outputs)
    if attrs.count != count or not x.shape or x.shape[axis] != count:
        raise n.error(f"cannot take {_text(x.shape)} apart along axis {axis} into {count} outputs")
    return [(*x.shape[:axis], *x.shape[axis + 1 :])] * count


def _resize(n: _Node) -> list[Shape]:
    x = n.input(0)
    n.same_type(x, n.output())
    batch, _, _, depth = n.rank(x, 4)
    height, width = n.integers(1, counts=(2,))
    return [(batch, height, width, depth)]


def _unary(n: _Node) -> list[Shape]:
    n.same_type(n.input(0), n.output())
    return [n.input(0).shape]


def _softmax(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, SoftmaxAttrs)
    n.bounded("beta", attrs.beta)
    if not n.input(0).shape:
        raise n.error("a scalar has no axis to sum over")
    return [n.input(0).shape]  # the type may change: int8 in, int16 out


def _leaky_relu(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, LeakyReluAttrs)
    n.bounded("alpha", attrs.alpha)
    return _unary(n)


def _retype(n: _Node) -> list[Shape]:
    return [n.input(0).shape]


def _svdf(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, SvdfAttrs)
    x, feature, time, bias, state = (n.find(i) for i in range(5))
    assert x is not None and feature is not None and time is not None and state is not None
    batch, depth = n.rank(x, 2)
    filters, memory = n.rank(time, 2)
    n.expect(feature, (filters, depth))
    n.expect(state, (batch, memory * filters))
    if attrs.rank < 1 or filters % attrs.rank:
        raise n.error(f"{filters} filters do not divide by rank {attrs.rank}")
    units = filters // attrs.rank
    n.weights(x, feature, bias, units, axis=0)
    n.same_type(time, state)
    return [(batch, units)]


def _lstm(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, LstmAttrs)
    for what, value in (("cell_clip", attrs.cell_clip), ("proj_clip", attrs.proj_clip)):
        if not (math.isfinite(value) and value >= 0):
            raise n.error(f"{what} is {value}, must be 0 or more")
    x = n.input(0)
    first, second, depth = n.rank(x, 3)
    batch = second if attrs.time_major else first
    cells, out = n.rank(n.input(6), 2)
    for gate in range(4):
        n.expect(n.find(1 + gate), (cells, depth))
        n.expect(n.find(5 + gate), (cells, out))
        n.expect(n.find(12 + gate), (cells,))
        n.expect(n.find(20 + gate), (cells,))
    for gate in range(3):
        n.expect(n.find(9 + gate), (cells,))
    n.expect(n.find(16), (out, cells))
    n.expect(n.find(17), (out,))
    if n.find(16) is None and out != cells:
        raise n.error(f"{cells} cells give {out} outputs without projection weights")
    n.expect(n.find(18), (batch, out))
    n.expect(n.find(19), (batch, cells))
    n.same_type(x, n.input(18), n.output())
    return [(first, second, out)]


def _binary_types(n: _Node, x_type: DType) -> int:
    """Types of a layer with one-bit weights; gives its output channels."""
    x, w, offsets, out = n.input(0), n.input(1), n.input(2), n.output()
    for tensor, wanted in ((x, x_type), (w, DType.S32), (offsets, DType.S32)):
        n.one_type(tensor, wanted)
    if out.dtype is not DType.S32:
        n.one_type(out, DType.S8)
    if w.quant is not None and w.quant.axis not in (None, 0):
        raise n.error(f"weights {w.name} are quantised along axis {w.quant.axis}, must be 0")
    return n.rank(offsets, 1)[0]


def _out_channels(n: _Node, channels: int) -> int:
    return word_count(channels) if n.output().dtype is DType.S32 else channels


def _binary_conv(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, BinaryConv2DAttrs)
    signs = n.op.kind is OpKind.BINARY_CONV_2D
    channels = _binary_types(n, DType.S32 if signs else DType.S8)
    batch, height, width, depth = n.rank(n.input(0), 4)
    kernel = (attrs.kernel_h, attrs.kernel_w)
    size = n.window(
        (height, width),
        kernel,
        (attrs.stride_h, attrs.stride_w),
        (attrs.dilation_h, attrs.dilation_w),
        attrs.padding,
    )
    in_channels = n.in_range("input channels", attrs.in_channels, 1, MAX_SPATIAL)
    n.in_range("pad value", attrs.pad_value, -1, 1)
    words = word_count(in_channels)
    if depth != (words if signs else in_channels):
        raise n.error(f"options say {in_channels} input channels, the input has depth {depth}")
    if signs:
        n.expect(n.input(1), (channels, *kernel, words))
    else:
        n.expect(n.input(1), (channels, word_count(math.prod(kernel) * in_channels)))
    return [(batch, *size, _out_channels(n, channels))]


def _binary_fully_connected(n: _Node) -> list[Shape]:
    attrs = n.op.attrs
    assert isinstance(attrs, BinaryFullyConnectedAttrs)
    signs = n.op.kind is OpKind.BINARY_FULLY_CONNECTED
    channels = _binary_types(n, DType.S32 if signs else DType.S8)
    x = n.input(0)
    n.expect(n.input(1), (channels, n.rank(n.input(1), 2)[1]))
    words = n.input(1).shape[1]
    depth = n.in_range("depth", attrs.in_depth, 1, 32 * words)
    if not signs and word_count(depth) != words:
        raise n.error(f"{words} words a channel for {depth} weights")
    row = words if signs else depth
    if x.elements % row:
        raise n.error(f"weights {_text(n.input(1).shape)} do not fit input {_text(x.shape)}")
    return [(x.elements // row, _out_channels(n, channels))]


def _binary_pool(n: _Node) -> list[Shape]:
    x = n.input(0)
    n.one_type(x, DType.S32)
    invert = n.find(1)
    if invert is not None:
        n.one_type(invert, DType.S32)
        n.expect(invert, (n.rank(x, 4)[3],))
    return _pool(n)


def _binary_pack(n: _Node) -> list[Shape]:
    x, thresholds, invert = n.input(0), n.find(1), n.find(2)
    n.one_type(x, DType.S8)
    n.one_type(n.output(), DType.S32)
    if not x.shape:
        raise n.error("a scalar has no channels")
    words = word_count(x.shape[-1])
    n.expect(thresholds, (x.shape[-1],))
    n.expect(invert, (words,))
    for tensor, wanted in ((thresholds, DType.S16), (invert, DType.S32)):
        if tensor is not None:
            n.one_type(tensor, wanted)
    return [(*x.shape[:-1], words)]


def _binary_unpack(n: _Node) -> list[Shape]:
    x, out = n.input(0), n.output()
    n.one_type(x, DType.S32)
    n.one_type(out, DType.S8)
    if not x.shape or not out.shape or word_count(out.shape[-1]) != x.shape[-1]:
        raise n.error(f"cannot make {_text(out.shape)} of {_text(x.shape)} words")
    return [(*x.shape[:-1], out.shape[-1])]


@dataclass(frozen=True)
class _Rule:
    """How many inputs and outputs (least, most), which inputs may be left out, and the shapes."""

    shapes: Callable[[_Node], list[Shape]]
    inputs: tuple[int, int]
    outputs: tuple[int, int] = (1, 1)
    optional: frozenset[int] = frozenset()


MANY: Final = 2**31
_BIAS: Final = frozenset({2})
# All but the input, and the forget, cell and output gates' weights and states.
_LSTM_OPTIONAL: Final = frozenset({1, 5, 9, 10, 11, 12, 16, 17, 20, 21, 22, 23})

RULES: Final[dict[OpKind, _Rule]] = {
    OpKind.CONV_2D: _Rule(_conv, (2, 3), optional=_BIAS),
    OpKind.DEPTHWISE_CONV_2D: _Rule(_depthwise, (2, 3), optional=_BIAS),
    OpKind.FULLY_CONNECTED: _Rule(_fully_connected, (2, 3), optional=_BIAS),
    OpKind.TRANSPOSE_CONV: _Rule(_transpose_conv, (3, 4), optional=frozenset({3})),
    OpKind.ADD: _Rule(_broadcast, (2, 2)),
    OpKind.SUB: _Rule(_broadcast, (2, 2)),
    OpKind.MUL: _Rule(_broadcast, (2, 2)),
    OpKind.MINIMUM: _Rule(_broadcast, (2, 2)),
    OpKind.MAXIMUM: _Rule(_broadcast, (2, 2)),
    OpKind.AVERAGE_POOL_2D: _Rule(_pool, (1, 1)),
    OpKind.MAX_POOL_2D: _Rule(_pool, (1, 1)),
    OpKind.MEAN: _Rule(_reduce, (2, 2)),
    OpKind.SUM: _Rule(_reduce, (2, 2)),
    OpKind.PAD: _Rule(_pad, (2, 2)),
    OpKind.PADV2: _Rule(_pad, (3, 3)),
    OpKind.CONCATENATION: _Rule(_concatenation, (1, MANY)),
    OpKind.SPLIT: _Rule(_split, (2, 2), (1, MANY)),
    OpKind.SLICE: _Rule(_slice, (3, 3)),
    OpKind.STRIDED_SLICE: _Rule(_strided_slice, (4, 4)),
    OpKind.RESHAPE: _Rule(_reshape, (1, 2), optional=frozenset({1})),
    OpKind.SQUEEZE: _Rule(_squeeze, (1, 1)),
    OpKind.EXPAND_DIMS: _Rule(_expand_dims, (2, 2)),
    OpKind.TRANSPOSE: _Rule(_transpose, (2, 2)),
    OpKind.PACK: _Rule(_pack, (1, MANY)),
    OpKind.UNPACK: _Rule(_unpack, (1, 1), (1, MANY)),
    OpKind.RESIZE_NEAREST_NEIGHBOR: _Rule(_resize, (2, 2)),
    OpKind.RESIZE_BILINEAR: _Rule(_resize, (2, 2)),
    OpKind.SOFTMAX: _Rule(_softmax, (1, 1)),
    OpKind.LOGISTIC: _Rule(_unary, (1, 1)),
    OpKind.TANH: _Rule(_unary, (1, 1)),
    OpKind.RELU: _Rule(_unary, (1, 1)),
    OpKind.RELU6: _Rule(_unary, (1, 1)),
    OpKind.LEAKY_RELU: _Rule(_leaky_relu, (1, 1)),
    OpKind.PRELU: _Rule(_broadcast, (2, 2)),
    OpKind.HARD_SWISH: _Rule(_unary, (1, 1)),
    OpKind.QUANTIZE: _Rule(_retype, (1, 1)),
    OpKind.DEQUANTIZE: _Rule(_retype, (1, 1)),
    OpKind.SVDF: _Rule(_svdf, (5, 5), optional=frozenset({3})),
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: _Rule(_lstm, (20, 24), optional=_LSTM_OPTIONAL),
    OpKind.BINARY_CONV_2D: _Rule(_binary_conv, (3, 3)),
    OpKind.BINARY_WEIGHT_CONV_2D: _Rule(_binary_conv, (3, 3)),
    OpKind.BINARY_FULLY_CONNECTED: _Rule(_binary_fully_connected, (3, 3)),
    OpKind.BINARY_WEIGHT_FULLY_CONNECTED: _Rule(_binary_fully_connected, (3, 3)),
    OpKind.BINARY_MAX_POOL_2D: _Rule(_binary_pool, (1, 2), optional=frozenset({1})),
    OpKind.BINARY_PACK: _Rule(_binary_pack, (1, 3), optional=frozenset({1, 2})),
    OpKind.BINARY_UNPACK: _Rule(_binary_unpack, (1, 1)),
}
