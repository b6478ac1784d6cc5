"""Trains an int8 `.tflite` model a little further, in numpy: gradients through every layer.

The weights are taken to floating point, trained by stochastic gradients, and quantised again, each
channel by its new largest weight, as TensorFlow Lite quantises. Scales of activations stay. What it
knows: chains of CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, pools, RESHAPE, a softmax at the end,
and ADD and MUL by constants, which are not trained.
"""

from __future__ import annotations

import numpy as np
import tflite

from tinyseal.graph.ir import Activation, OpKind, Padding
from tinyseal.graph.load import load_model
from tinyseal.optimise.int8 import weight_quant

TRAINED = (OpKind.CONV_2D, OpKind.DEPTHWISE_CONV_2D, OpKind.FULLY_CONNECTED)


class Layer:
    """One operator in floating point. Each has forward(x), which keeps what its backward(dy) needs;
    `grads` are those of `params`, of the last batch."""

    def __init__(self, graph, op):
        self.attrs, self.params, self.grads = op.attrs, [], []
        self.out_shape = graph.tensor(op.outputs[0]).shape


class Taps(Layer):
    """Convolutions, as a sum over the taps of the kernel."""

    def __init__(self, graph, op):
        super().__init__(graph, op)
        self.params = [real(graph.tensor(op.inputs[1])), real(graph.tensor(op.inputs[2]))]
        self.is_depthwise = op.kind is OpKind.DEPTHWISE_CONV_2D

    def taps(self, padded):
        a, (_, rows, columns, _) = self.attrs, self.out_shape
        _, height, width = self.params[0].shape[:3]
        for i in range(height):
            for j in range(width):
                down, right = i * a.dilation_h, j * a.dilation_w
                yield (
                    i,
                    j,
                    padded[
                        :,
                        down : down + (rows - 1) * a.stride_h + 1 : a.stride_h,
                        right : right + (columns - 1) * a.stride_w + 1 : a.stride_w,
                    ],
                )

    def forward(self, x):
        a, (_, rows, columns, _) = self.attrs, self.out_shape
        weights, bias = self.params
        self.inner = [(0, 0), (0, 0)]
        if a.padding is Padding.SAME:
            reach = [
                (n - 1) * d + 1
                for n, d in zip(weights.shape[1:3], (a.dilation_h, a.dilation_w), strict=True)
            ]
            missing = [
                max((out - 1) * step + r - size, 0)
                for out, step, r, size in zip(
                    (rows, columns), (a.stride_h, a.stride_w), reach, x.shape[1:3], strict=True
                )
            ]
            self.inner = [(m // 2, m - m // 2) for m in missing]
        self.x = np.pad(x, [(0, 0), *self.inner, (0, 0)])
        y = np.zeros((len(x), rows, columns, len(bias)))
        for i, j, part in self.taps(self.x):
            y += part * weights[0, i, j] if self.is_depthwise else part @ weights[:, i, j].T
        y += bias
        return self.activate(y)

    def activate(self, y):
        self.alive = np.ones(y.shape, bool)
        if self.attrs.activation in (Activation.RELU, Activation.RELU6):
            high = 6.0 if self.attrs.activation is Activation.RELU6 else np.inf
            self.alive = (y > 0) & (y < high)
            y = np.clip(y, 0, high)
        return y

    def backward(self, dy):
        weights = self.params[0]
        dy = dy * self.alive
        dx, dw = np.zeros(self.x.shape), np.zeros(weights.shape)
        back = self.taps(dx)
        for i, j, part in self.taps(self.x):
            _, _, into = next(back)
            if self.is_depthwise:
                dw[0, i, j] = (part * dy).sum(axis=(0, 1, 2))
                into += dy * weights[0, i, j]
            else:
                dw[:, i, j] = np.tensordot(dy, part, axes=([0, 1, 2], [0, 1, 2]))
                into += dy @ weights[:, i, j]
        self.grads = [dw, dy.sum(axis=(0, 1, 2))]
        (top, bottom), (left, right) = self.inner
        return dx[:, top : dx.shape[1] - bottom, left : dx.shape[2] - right]


class Dense(Taps):
    def forward(self, x):
        self.shape, self.x = x.shape, x.reshape(len(x), -1)
        return self.activate(self.x @ self.params[0].T + self.params[1])

    def backward(self, dy):
        dy = dy * self.alive
        self.grads = [dy.T @ self.x, dy.sum(axis=0)]
        return (dy @ self.params[0]).reshape(self.shape)


class Pool(Layer):
    """Windows that neither overlap nor leave the image."""

    def __init__(self, graph, op):
        super().__init__(graph, op)
        self.is_max = op.kind is OpKind.MAX_POOL_2D
        assert (op.attrs.filter_h, op.attrs.filter_w) == (op.attrs.stride_h, op.attrs.stride_w) or (
            self.out_shape[1:3] == (1, 1)
        )

    def forward(self, x):
        self.shape, (_, rows, columns, channels) = x.shape, self.out_shape
        high, wide = self.attrs.filter_h, self.attrs.filter_w
        parts = x[:, : rows * high, : columns * wide].reshape(
            len(x), rows, high, columns, wide, channels
        )
        y = parts.max(axis=(2, 4)) if self.is_max else parts.mean(axis=(2, 4))
        if self.is_max:
            picked = parts == y[:, :, None, :, None]
            self.share = picked / picked.sum(axis=(2, 4), keepdims=True)
        else:
            self.share = np.full(parts.shape, 1 / (high * wide))
        return y

    def backward(self, dy):
        dx = np.zeros(self.shape)
        spread = dy[:, :, None, :, None] * self.share
        rows, columns = spread.shape[1] * spread.shape[2], spread.shape[3] * spread.shape[4]
        dx[:, :rows, :columns] = spread.reshape(len(dy), rows, columns, -1)
        return dx


class Reshape(Layer):
    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), *self.out_shape[1:])

    def backward(self, dy):
        return dy.reshape(self.shape)


class Constant(Layer):
    """ADD or MUL of a tensor that is not trained."""

    def __init__(self, graph, op):
        super().__init__(graph, op)
        self.value = real(next(t for t in map(graph.tensor, op.inputs) if t.is_constant))
        self.is_product = op.kind is OpKind.MUL

    def forward(self, x):
        return x * self.value if self.is_product else x + self.value

    def backward(self, dy):
        return dy * self.value if self.is_product else dy


LAYERS = {
    OpKind.CONV_2D: Taps,
    OpKind.DEPTHWISE_CONV_2D: Taps,
    OpKind.FULLY_CONNECTED: Dense,
    OpKind.MAX_POOL_2D: Pool,
    OpKind.AVERAGE_POOL_2D: Pool,
    OpKind.RESHAPE: Reshape,
    OpKind.ADD: Constant,
    OpKind.MUL: Constant,
}


def real(tensor):
    """The values of a constant."""
    quant = tensor.quant
    shape = [1] * len(tensor.shape)
    if len(quant.scales) > 1:
        shape[quant.axis] = -1
    scales = np.reshape(quant.scales, shape) if len(quant.scales) > 1 else quant.scale
    return (tensor.data.astype(float) - quant.zero_point) * scales


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class Network:
    """A model between its quantised input and its logits."""

    def __init__(self, path):
        self.path, self.graph = path, load_model(path)
        self.ops = [op for op in self.graph.ops if op.kind is not OpKind.SOFTMAX]
        self.layers = [LAYERS[op.kind](self.graph, op) for op in self.ops]

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def train(self, inputs, targets, epochs, rate, last_only=False, batch=32, seed=1):
        """Stochastic gradients with momentum, on the cross entropy of `targets`, each of them a
        distribution over the classes. Steps are `rate` of what a tensor measures, whatever its
        gradient does (LARS: You, Gitman and Ginsburg, 2017)."""
        random = np.random.default_rng(seed)
        trained = [
            layer for layer, op in zip(self.layers, self.ops, strict=True) if op.kind in TRAINED
        ]
        trained = trained[-1:] if last_only else trained
        speed = [np.zeros_like(p) for layer in trained for p in layer.params]
        for _ in range(epochs):
            order = random.permutation(len(inputs))
            for start in range(0, len(order), batch):
                rows = order[start : start + batch]
                dy = (softmax(self.forward(inputs[rows])) - targets[rows]) / len(rows)
                for layer in reversed(self.layers):
                    dy = layer.backward(dy)
                slots = [(layer, i) for layer in trained for i in range(len(layer.params))]
                for number, (layer, i) in enumerate(slots):
                    size = np.linalg.norm(layer.params[i]) / (np.linalg.norm(layer.grads[i]) + 1e-9)
                    speed[number] = 0.9 * speed[number] - rate * size * layer.grads[i]
                    layer.params[i] = layer.params[i] + speed[number]

    def quantised(self):
        """The `.tflite` file with the weights of now: the same file, other numbers in it."""
        data = bytearray(self.path.read_bytes())
        model = tflite.Model.GetRootAs(data, 0)
        tensors = model.Subgraphs(0)
        for layer, op in zip(self.layers, self.ops, strict=True):
            if op.kind not in TRAINED:
                continue
            weights, bias = layer.params
            kernel = self.graph.tensor(op.inputs[1])
            in_scale = self.graph.tensor(op.inputs[0]).quant.scale
            is_depthwise = op.kind is OpKind.DEPTHWISE_CONV_2D
            by_channel = np.moveaxis(weights, -1, 0) if is_depthwise else weights
            if len(kernel.quant.scales) == 1:
                by_channel, bias = by_channel.reshape(1, -1), bias.reshape(1, -1)
                limit = np.abs(by_channel).max() / 127
                q = np.clip(np.round(by_channel / limit), -127, 127).astype(np.int8)
                units, scales = np.round(bias / (in_scale * limit)).astype(np.int32), (limit,)
            else:
                q, units, quant = weight_quant(by_channel, bias, in_scale)
                scales = quant.scales
                q = np.moveaxis(q, 0, -1) if is_depthwise else q
            for index, values, unit in ((1, q, 1.0), (2, units, in_scale)):
                tensor = tensors.Tensors(op.inputs[index])
                stored = model.Buffers(tensor.Buffer()).DataAsNumpy()
                stored[:] = np.frombuffer(values.tobytes(), np.uint8)
                tensor.Quantization().ScaleAsNumpy()[:] = np.array(scales) * unit
        return bytes(data)


def changes(old_path, new_path):
    """What quantised weights did: the share that changed, and the changes' standard deviation."""
    graphs = [load_model(p) for p in (old_path, new_path)]
    steps = [
        graphs[1].tensor(op.inputs[1]).data.astype(int) - graphs[0].tensor(op.inputs[1]).data
        for op in graphs[0].ops
        if op.kind in TRAINED
    ]
    flat = np.concatenate([s.ravel() for s in steps])
    return float((flat != 0).mean()), float(flat.std())
