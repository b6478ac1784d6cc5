"""Random layers side by side in one model, most of them convolutions: what kernels are tortured
with.

Sizes are small and odd, often 1; zero points often at the ends; weights now and then all extreme;
output scales mostly fit the sums, and now and then make every value saturate or vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np

from tinyseal.graph.ir import (
    Activation,
    ArithmeticAttrs,
    Attrs,
    Conv2DAttrs,
    DepthwiseConv2DAttrs,
    DType,
    FullyConnectedAttrs,
    Graph,
    LstmAttrs,
    Op,
    OpKind,
    Padding,
    Pool2DAttrs,
    Quant,
    ReduceAttrs,
    SoftmaxAttrs,
    SvdfAttrs,
    Tensor,
)
from tinyseal.graph.lowering import Array

Shape = tuple[int, ...]
T = TypeVar("T")

MOST_INPUTS: Final = 16  # of layers with weights: a model has planner.MAX_INPUTS at most
PLAIN: Final = 8  # one sum or pool for so many convolutions, and one of the other kinds
MOST_ELEMENTS: Final = 1536  # of an input
MOST_MACS: Final = 60_000  # of a layer
ACTIVATIONS: Final = (
    Activation.NONE,
    Activation.NONE,
    Activation.RELU,
    Activation.RELU6,
    Activation.RELU_N1_TO_1,
)


def random_layers(rng: np.random.Generator, count: int, name: str = "layers") -> Graph:
    """A graph of `count` convolutions and dense layers, then a few of other kinds; none reads what
    another wrote."""
    return _Layers(rng).graph(count, name)


def one_layer(graph: Graph, op: Op) -> Graph:
    """A graph of nothing but `op`."""
    used = [i for i in (*op.inputs, *op.intermediates, *op.outputs) if i is not None]
    at = {index: place for place, index in enumerate(dict.fromkeys(used))}
    tensors = tuple(replace(graph.tensor(i), index=place) for i, place in at.items())
    own = replace(
        op,
        index=0,
        inputs=tuple(None if i is None else at[i] for i in op.inputs),
        outputs=tuple(at[i] for i in op.outputs),
        intermediates=tuple(at[i] for i in op.intermediates),
    )
    inputs = tuple(at[i] for i in graph.inputs if i in at)
    return Graph(op.label, "0" * 64, tensors, (own,), inputs, own.outputs)


class _Layers:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self.inputs: list[int] = []

    def graph(self, count: int, name: str) -> Graph:
        makers = (
            *(self._conv_1x1,) * 2,
            *(self._conv,) * 3,
            *(self._depthwise_3x3,) * 2,
            self._depthwise,
            self._dense,
        )
        while len(self.ops) < count:
            is_full = len(self.inputs) == MOST_INPUTS
            is_new = not self.inputs or (self._chance(0.3) and not is_full)
            x = self._input(4) if is_new else self.tensors[self._pick(self.inputs)]
            if len(x.shape) == 4:
                self._pick(makers)(x)
            else:
                self._dense(x)
        images = [t for t in map(self.tensors.__getitem__, self.inputs) if len(t.shape) == 4]
        small = sorted(images, key=lambda t: t.elements)[: len(images) // 2 + 1]
        for i in range(count // PLAIN):
            (self._pool if i % 2 else self._add)(self._pick(small))
        others = (self._svdf, self._mul, self._lstm, self._softmax, self._mean)
        first = self._below(len(others))
        for i in range(count // PLAIN):
            others[(first + i) % len(others)](self._pick(small))
        outputs = tuple(op.outputs[0] for op in self.ops)
        read = {i for op in self.ops for i in op.inputs}
        inputs = tuple(i for i in self.inputs if i in read)
        return Graph(name, "0" * 64, tuple(self.tensors), tuple(self.ops), inputs, outputs)

    # Random material.

    def _chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def _pick(self, options: Sequence[T]) -> T:
        return options[self._below(len(options))]

    def _below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def _size(self, largest: int) -> int:
        return 1 if self._chance(0.15) else 1 + self._below(largest)

    def _side(self, usual: int) -> int:
        return self._size(self._pick((usual, usual, usual, 3 * usual)))

    def _zero_point(self) -> int:
        return self._pick((-128, 127, 0, self._below(256) - 128))

    # Tensors.

    def _tensor(
        self, shape: Shape, dtype: DType, quant: Quant | None, data: Array | None = None
    ) -> int:
        index = len(self.tensors)
        self.tensors.append(Tensor(index, f"t{index}", shape, dtype, quant, data))
        return index

    def _activation(self, shape: Shape, scale: float) -> Tensor:
        quant = Quant((float(np.float32(scale)),), (self._zero_point(),))
        return self.tensors[self._tensor(shape, DType.S8, quant)]

    def _input(self, rank: int) -> Tensor:
        while True:
            channels = self._size(self._pick((5, 20, 70, 200)))
            shape = (self._pick((1, 1, 1, 2)), self._side(9), self._side(12), channels)[-rank:]
            if np.prod(shape) <= MOST_ELEMENTS:
                break
        x = self._activation(shape, 0.05)
        self.inputs.append(x.index)
        return x

    def _weights(self, shape: Shape, axis: int | None) -> Tensor:
        """int8, with one scale or one a slice along `axis`, some channels nearly dead."""
        values = self.rng.integers(-127, 128, shape, dtype=np.int8)
        if self._chance(0.15):
            values = self.rng.choice(np.array([-127, 127], dtype=np.int8), shape)
        count = 1 if axis is None else shape[axis]
        scales = (0.01 * 2.0 ** self.rng.uniform(-2, 2, count)).astype(np.float32)
        if count > 2 and self._chance(0.5):
            scales[self._below(count)] = 1e-10
        quant = Quant(tuple(float(s) for s in scales), (0,) * count, axis)
        return self.tensors[self._tensor(shape, DType.S8, quant, values)]

    # Layers.

    def _conv_1x1(self, x: Tensor) -> None:
        self._convolve(x, (1, 1), 1, self._size(self._pick((4, 20))), Padding.VALID)

    def _conv(self, x: Tensor) -> None:
        kernel = (self._size(5), self._size(5))
        padding = self._pick((Padding.SAME, Padding.VALID))
        self._convolve(x, kernel, self._pick((1, 1, 2, 3)), self._size(7), padding)

    def _convolve(
        self, x: Tensor, kernel: tuple[int, int], stride: int, out: int, padding: Padding
    ) -> None:
        attrs = Conv2DAttrs(
            padding,
            stride,
            self._pick((stride, stride, 1)),
            self._pick((1, 1, 1, 2)),
            self._pick((1, 1, 1, 2)),
            self._pick(ACTIVATIONS),
        )
        self._window(OpKind.CONV_2D, x, attrs, (out, *kernel, x.shape[3]), 0)

    def _depthwise_3x3(self, x: Tensor) -> None:
        stride = self._pick((1, 1, 2))
        self._spread(x, (3, 3), stride, 1, 1)

    def _depthwise(self, x: Tensor) -> None:
        kernel = (self._size(4), self._size(4))
        multiplier, dilation = self._pick((1, 1, 2, 3)), self._pick((1, 1, 2))
        self._spread(x, kernel, self._pick((1, 2, 3)), multiplier, dilation)

    def _spread(
        self, x: Tensor, kernel: tuple[int, int], stride: int, multiplier: int, dilation: int
    ) -> None:
        attrs = DepthwiseConv2DAttrs(
            self._pick((Padding.SAME, Padding.VALID)),
            stride,
            stride,
            dilation,
            dilation,
            self._pick(ACTIVATIONS),
            multiplier,
        )
        out = x.shape[3] * multiplier
        self._window(OpKind.DEPTHWISE_CONV_2D, x, attrs, (1, *kernel, out), 3)

    def _window(
        self, kind: OpKind, x: Tensor, attrs: Conv2DAttrs, weights: Shape, axis: int
    ) -> None:
        """Adds the layer, unless its window does not fit or it is too much work."""
        size = []
        strides, dilations = (attrs.stride_h, attrs.stride_w), (attrs.dilation_h, attrs.dilation_w)
        for d, taps, stride, dilation in zip(
            x.shape[1:3], weights[1:3], strides, dilations, strict=True
        ):
            reach = (taps - 1) * dilation + 1
            same = attrs.padding is Padding.SAME
            size.append(-(-d // stride) if same else (d - reach) // stride + 1)
        shape = (x.shape[0], *size, weights[axis])
        if min(size) < 1 or np.prod(shape) * np.prod(weights) / weights[axis] > MOST_MACS:
            return
        self._layer(kind, x, self._weights(weights, axis), axis, shape, attrs)

    def _dense(self, x: Tensor) -> None:
        """Over x, or over a new input: one vector, or a few."""
        if len(self.inputs) < MOST_INPUTS and self._chance(0.5):
            x = self._input(self._pick((2, 2, 1)))
        out = self._size(self._pick((6, 40)))
        weights = self._weights((out, x.shape[-1]), None)
        shape = (*x.shape[:-1], out) if len(x.shape) > 1 else (1, out)
        attrs = FullyConnectedAttrs(self._pick(ACTIVATIONS))
        self._layer(OpKind.FULLY_CONNECTED, x, weights, 0, shape, attrs)

    def _add(self, x: Tensor) -> None:
        """x and another input, of its shape or of a value a channel, or x twice."""
        y = x
        if self._chance(0.8):
            shape = x.shape if self._chance(0.6) else (1, 1, 1, x.shape[3])
            y = self._activation(shape, 0.05 * 2.0 ** self.rng.uniform(-3, 3))
            self.inputs.append(y.index)
        assert x.quant is not None and y.quant is not None
        wild = 8.0 if self._chance(0.15) else 1.0
        fitting = max(x.quant.scale, y.quant.scale) * 2.0 ** self.rng.uniform(-wild, wild)
        out = self._activation(x.shape, fitting)
        first, second = (x, y) if self._chance(0.5) else (y, x)
        attrs = ArithmeticAttrs(self._pick(ACTIVATIONS))
        self._op(OpKind.ADD, (first.index, second.index), out, attrs)

    def _mul(self, x: Tensor) -> None:
        """x and another input: of its shape, of a value a channel, or of one; or x twice."""
        shape = self._pick((x.shape, (1, 1, 1, x.shape[3]), (1,)))
        y = self._activation(shape, 0.05)
        if self._chance(0.2):
            y = x
        else:
            self.inputs.append(y.index)
        out = self._activation(x.shape, 0.2 * 2.0 ** self.rng.uniform(-4, 4))
        attrs = ArithmeticAttrs(self._pick(ACTIVATIONS))
        first, second = (x, y) if self._chance(0.5) else (y, x)
        self._op(OpKind.MUL, (first.index, second.index), out, attrs)

    def _softmax(self, x: Tensor) -> None:
        out = self._tensor(x.shape, DType.S8, Quant((1 / 256,), (-128,)))
        attrs = SoftmaxAttrs(self._pick((0.1, 1.0, 10.0)))
        self._op(OpKind.SOFTMAX, (x.index,), self.tensors[out], attrs)

    def _mean(self, x: Tensor) -> None:
        axes = self._pick(((1, 2), (3,), (1,), (2, 3), (0, 1, 2, 3)))
        shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
        data = np.array(axes, dtype=np.int32)
        indices = self._tensor(data.shape, DType.S32, None, data)
        out = self._activation(shape, 0.05 * 2.0 ** self.rng.uniform(-3, 1))
        self._op(OpKind.MEAN, (x.index, indices), out, ReduceAttrs(keep_dims=True))

    def _svdf(self, _: Tensor) -> None:
        """Over an input of its own, as the next one."""
        x = self._input(2)
        rank, units, memory = 1 + self._below(2), self._size(12), self._size(10)
        dtype = self._pick((DType.S8, DType.S16))
        feature = self._matrix((rank * units, x.shape[1]))
        spread = 127 if dtype is DType.S8 else 4000
        values = self.rng.integers(-spread, spread + 1, (rank * units, memory))
        time = self._constant(values.astype(dtype.value), 0.3 / spread)
        state_scale = 0.004 if dtype is DType.S8 else 2e-5
        points = self._zero_point() if dtype is DType.S8 else 0
        kept = (x.shape[0], memory * rank * units)
        state = self._variable(kept, dtype, state_scale, points)
        bias = self._constant(
            self.rng.integers(-2000, 2000, units, dtype=np.int32), state_scale * 0.3 / spread
        )
        out = self._activation((x.shape[0], units), 0.03 * 2.0 ** self.rng.uniform(-3, 3))
        inputs = (x.index, feature, time, bias, state)
        self._op(OpKind.SVDF, inputs, out, SvdfAttrs(rank), version=3)

    def _lstm(self, _: Tensor) -> None:
        x = self._input(3)
        time_major, cells = self._chance(0.5), self._size(9)
        batches = x.shape[1 if time_major else 0]
        x_weights = [self._matrix((cells, x.shape[2])) for _ in range(4)]
        h_weights = [self._matrix((cells, cells)) for _ in range(4)]
        biases = [
            self._constant(self.rng.integers(-3000, 3000, cells, dtype=np.int32), 0.05 * 0.01)
            for _ in range(4)
        ]
        zero = self._zero_point()
        hidden = self._variable((batches, cells), DType.S8, 1 / 128, zero)
        cell = self._variable((batches, cells), DType.S16, 2.0 ** -(8 + self._below(8)), 0)
        quant = self.tensors[hidden].quant
        out = self.tensors[self._tensor((*x.shape[:2], cells), DType.S8, quant)]
        inputs = (x.index, *x_weights, *h_weights, *(None,) * 3, *biases, None, None, hidden, cell)
        attrs = LstmAttrs(Activation.TANH, self._pick((0.0, 0.7)), 0.0, time_major)
        self._op(OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM, inputs, out, attrs, version=3)

    def _matrix(self, shape: Shape) -> int:
        return self._constant(self.rng.integers(-127, 128, shape, dtype=np.int8), 0.01)

    def _constant(self, values: Array, scale: float) -> int:
        quant = Quant((float(np.float32(scale)),), (0,))
        return self._tensor(values.shape, DType(values.dtype.name), quant, values)

    def _variable(self, shape: Shape, dtype: DType, scale: float, zero_point: int) -> int:
        index = self._tensor(shape, dtype, Quant((float(np.float32(scale)),), (zero_point,)))
        self.tensors[index] = replace(self.tensors[index], is_variable=True)
        return index

    def _op(
        self,
        kind: OpKind,
        inputs: tuple[int | None, ...],
        out: Tensor,
        attrs: Attrs,
        version: int = 1,
    ) -> None:
        self.ops.append(Op(len(self.ops), kind, version, inputs, (out.index,), attrs))

    def _pool(self, x: Tensor) -> None:
        attrs = Pool2DAttrs(
            self._pick((Padding.SAME, Padding.VALID)),
            self._pick((1, 2, 3)),
            self._pick((1, 2, 3)),
            self._size(min(5, x.shape[1])),
            self._size(min(5, x.shape[2])),
            self._pick(ACTIVATIONS),
        )
        size = [
            -(-d // stride) if attrs.padding is Padding.SAME else (d - taps) // stride + 1
            for d, taps, stride in zip(
                x.shape[1:3],
                (attrs.filter_h, attrs.filter_w),
                (attrs.stride_h, attrs.stride_w),
                strict=True,
            )
        ]
        shape = (x.shape[0], *size, x.shape[3])
        out = self.tensors[self._tensor(shape, DType.S8, x.quant)]
        kind = self._pick((OpKind.AVERAGE_POOL_2D, OpKind.MAX_POOL_2D))
        self._op(kind, (x.index,), out, attrs)

    def _layer(
        self, kind: OpKind, x: Tensor, weights: Tensor, axis: int, shape: Shape, attrs: Attrs
    ) -> None:
        assert x.quant is not None and weights.quant is not None
        channels = weights.shape[axis]
        terms = weights.elements // channels
        scales = np.array(weights.quant.scales) * x.quant.scale
        inputs: tuple[int | None, ...] = (x.index, weights.index, None)
        if self._chance(0.8):
            spread = int(4000 * terms**0.5)
            values = self.rng.integers(-spread, spread, channels, dtype=np.int32)
            quant = Quant(tuple(float(np.float32(s)) for s in scales), (0,) * len(scales), 0)
            bias = self._tensor((channels,), DType.S32, quant, values)
            inputs = (x.index, weights.index, bias)
        wild = 12.0 if self._chance(0.15) else 1.0
        fitting = float(scales.max()) * 40 * terms**0.5
        out = self._activation(shape, fitting * 2.0 ** self.rng.uniform(-wild, wild))
        self._op(kind, inputs, out, attrs)
