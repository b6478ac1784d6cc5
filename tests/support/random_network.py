"""Random valid `.tflite` models: one operator, or a small network of many.

A `Maker` holds the model as it grows. Every operator is one method that takes a tensor, draws
everything else at random, and returns False where the tensor does not suit it. Scales are drawn
so that values neither all saturate nor all vanish, and now and then so that they do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from support.tflite_builder import ModelBuilder

MAX_ELEMENTS = 4096
ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A tensor of the model under construction."""

    index: int
    shape: Shape
    scale: float
    zp: int
    dtype: str = "int8"

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape))

    @property
    def rank(self) -> int:
        return len(self.shape)


class Maker:
    def __init__(self, rng: np.random.Generator, wild: bool = False) -> None:
        self.rng = rng
        self.wild = wild  # scales without sense, for one operator alone
        self.builder = ModelBuilder()
        self.nodes: list[Node] = []  # what later operators may read
        self.read: set[int] = set()
        self._names = 0

    # Random material.

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence) -> object:
        return options[int(self.rng.integers(len(options)))]

    def below(self, n: int) -> int:
        return int(self.rng.integers(n))

    def shape(self, rank: int, largest: int = 9) -> Shape:
        """Small odd sizes, often 1."""
        while True:
            sizes = [1 if self.chance(0.2) else 1 + self.below(largest) for _ in range(rank)]
            if np.prod(sizes) <= MAX_ELEMENTS:
                return tuple(sizes)

    def zero_point(self) -> int:
        return int(self.pick([-128, 127, 0, self.below(256) - 128, self.below(256) - 128]))

    def scale(self, around: float = 0.05) -> float:
        width = 16 if self.wild else 2
        return float(np.float32(around * 2.0 ** self.rng.uniform(-width, width)))

    def near(self, scale: float) -> float:
        """A scale for an output whose values `scale` would just fit; rarely far off."""
        width = 16 if self.wild else 8 if self.chance(0.1) else 1
        drawn = scale * 2.0 ** self.rng.uniform(-width, width)
        # A chain of products would leave the range of scales that the importer takes.
        return float(np.float32(min(max(drawn, 1e-8), 1e8)))

    # Tensors.

    def _name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}_{self._names}"

    def input(self, shape: Shape, dtype: str = "int8") -> Node:
        node = self._node("input", shape, self.scale(), self.zero_point(), dtype)
        self.builder.graph.inputs.append(node.index)
        self.nodes.append(node)
        return node

    def output(
        self, shape: Shape, scale: float, zp: int | None = None, dtype: str = "int8"
    ) -> Node:
        """A new activation, for the operator about to be added."""
        return self._node("t", shape, scale, self.zero_point() if zp is None else zp, dtype)

    def like(self, x: Node, shape: Shape) -> Node:
        """An activation of the same type, scale and zero point."""
        return self._node("t", shape, x.scale, x.zp, x.dtype)

    def _node(self, kind: str, shape: Shape, scale: float, zp: int, dtype: str) -> Node:
        quant = {} if dtype == "float32" else {"scale": scale, "zp": zp}
        if dtype in ("int16", "int32"):
            zp, quant = 0, {"scale": scale, "zp": 0}
        index = self.builder.tensor(self._name(kind), shape, dtype, **quant)
        return Node(index, shape, scale, zp, dtype)

    def constant(self, shape: Shape) -> Node:
        """Random int8 data with a scale and zero point of its own."""
        values = self.rng.integers(-128, 128, shape, dtype=np.int8)
        scale, zp = self.scale(), self.zero_point()
        index = self.builder.const(self._name("const"), values, scale=scale, zp=zp)
        return Node(index, shape, scale, zp)

    def integers(self, values: Sequence[int], shape: Shape | None = None) -> int:
        array = np.array(values, dtype=np.int32)
        return self.builder.const(self._name("ints"), array.reshape(shape or array.shape))

    def op(self, kind: str, inputs: Sequence[int], outputs: Sequence[Node], **options) -> bool:
        self.read |= set(inputs)
        self.builder.op(kind, inputs, [o.index for o in outputs], **options)
        self.nodes += outputs
        return True

    def build(self) -> bytes:
        """The file. Most of what nothing reads is an output; some of it nobody wants, and some of
        what is read is an output, too."""
        inner = [n for n in self.nodes if n.index not in self.builder.graph.inputs]
        for node in inner:
            if node is inner[-1] or self.chance(0.05 if node.index in self.read else 0.6):
                self.builder.output(node.index)
        return self.builder.build()

    # Elementwise operators.

    def _second(self, x: Node) -> Node:
        """The other operand: a constant or an activation, of any shape that broadcasts."""
        same = [n for n in self.nodes if n.shape == x.shape and n.dtype == "int8"]
        if same and self.chance(0.5):
            return self.pick(same)
        other = [n for n in self.nodes if n.dtype == "int8" and self._fits(x.shape, n.shape)]
        if other and self.chance(0.4):
            return self.pick(other)
        shape = tuple(1 if self.chance(0.4) else d for d in x.shape)
        if x.rank and self.chance(0.3):
            shape = shape[self.below(x.rank) :]
        if x.rank < 5 and x.elements < 200 and self.chance(0.15):
            shape = (1 + self.below(3), *(1,) * (x.rank - len(shape)), *shape)
        if np.prod(np.broadcast_shapes(x.shape, shape)) > MAX_ELEMENTS:
            shape = ()
        return self.constant(shape) if self.chance(0.7) else self.input(shape)

    @staticmethod
    def _fits(a: Shape, b: Shape) -> bool:
        try:
            return bool(np.prod(np.broadcast_shapes(a, b)) <= MAX_ELEMENTS)
        except ValueError:
            return False

    def _binary(self, kind: str, x: Node, **options) -> bool:
        if x.dtype != "int8":
            return False
        other = self._second(x)
        a, b = (x, other) if self.chance(0.5) else (other, x)
        shape = np.broadcast_shapes(a.shape, b.shape)
        if kind == "MUL":
            out = self.output(shape, self.near(a.scale * b.scale * 100))
        elif kind in ("MINIMUM", "MAXIMUM"):
            out = self.like(x, shape)
        else:
            out = self.output(shape, self.near(2 * max(a.scale, b.scale)))
        return self.op(kind, [a.index, b.index], [out], **options)

    def add(self, x: Node) -> bool:
        return self._binary("ADD", x, fused_activation_function=self.pick(ACTIVATIONS))

    def sub(self, x: Node) -> bool:
        return self._binary("SUB", x, fused_activation_function=self.pick(ACTIVATIONS))

    def mul(self, x: Node) -> bool:
        return self._binary("MUL", x, fused_activation_function=self.pick(ACTIVATIONS))

    def minimum(self, x: Node) -> bool:
        return self._binary("MINIMUM", x)

    def maximum(self, x: Node) -> bool:
        return self._binary("MAXIMUM", x)

    def prelu(self, x: Node) -> bool:
        if x.dtype != "int8" or not 1 <= x.rank <= 4:
            return False
        shape = tuple(1 if self.chance(0.5) else d for d in x.shape)
        if self.chance(0.5):
            shape = shape[1:]
        alpha = self.constant(shape)
        return self.op("PRELU", [x.index, alpha.index], [self.output(x.shape, self.near(x.scale))])

    def logistic(self, x: Node) -> bool:
        return self._unary("LOGISTIC", x, 1 / 256, -128)

    def tanh(self, x: Node) -> bool:
        return self._unary("TANH", x, 1 / 128, 0)

    def relu(self, x: Node) -> bool:
        return self._unary("RELU", x, self.near(x.scale))

    def relu6(self, x: Node) -> bool:
        return self._unary("RELU6", x, x.scale, x.zp)

    def leaky_relu(self, x: Node) -> bool:
        alpha = float(np.float32(self.rng.uniform(0, 2)))
        return self._unary("LEAKY_RELU", x, self.near(x.scale), alpha=alpha)

    def hard_swish(self, x: Node) -> bool:
        return self._unary("HARD_SWISH", x, max(self.near(x.scale), x.scale / 100))

    def requantize(self, x: Node) -> bool:
        return self._unary("QUANTIZE", x, self.near(x.scale))

    def _unary(self, kind: str, x: Node, scale: float, zp: int | None = None, **options) -> bool:
        if x.dtype != "int8":
            return False
        return self.op(kind, [x.index], [self.output(x.shape, scale, zp)], **options)

    def quantize(self, x: Node) -> bool:
        """To another type, and from one back to int8."""
        if x.dtype == "int8":
            dtype = self.pick(["int16", "int32"])
            width = 2.0**8 if dtype == "int16" else 2.0**20
            out = self.output(x.shape, self.near(x.scale / width), 0, dtype)
        elif x.dtype == "int16":
            out = self.output(x.shape, self.near(x.scale * 256))
        elif x.dtype == "float32":
            out = self.output(x.shape, self.scale())
        else:
            return False
        return self.op("QUANTIZE", [x.index], [out])

    def dequantize(self, x: Node) -> bool:
        if x.dtype != "int8":
            return False
        return self.op("DEQUANTIZE", [x.index], [self.output(x.shape, 1.0, 0, "float32")])

    # Operators that move elements.

    def reshape(self, x: Node) -> bool:
        shape: list[int] = []
        rest = x.elements
        while rest > 1 and len(shape) < 3:
            factors = [d for d in range(1, rest + 1) if rest % d == 0]
            shape.append(int(self.pick(factors)))
            rest //= shape[-1]
        shape.insert(self.below(len(shape) + 1), rest)
        target = self.integers(shape)
        return self.op("RESHAPE", [x.index, target], [self.like(x, tuple(shape))])

    def squeeze(self, x: Node) -> bool:
        ones = [i for i, d in enumerate(x.shape) if d == 1]
        if not ones:
            return False
        gone = int(self.pick(ones))
        shape = x.shape[:gone] + x.shape[gone + 1 :]
        return self.op("SQUEEZE", [x.index], [self.like(x, shape)], squeeze_dims=[gone])

    def expand_dims(self, x: Node) -> bool:
        if x.rank > 4 or x.dtype == "int32":
            return False
        axis = self.below(x.rank + 1)
        shape = (*x.shape[:axis], 1, *x.shape[axis:])
        return self.op("EXPAND_DIMS", [x.index, self.integers([axis])], [self.like(x, shape)])

    def pad(self, x: Node) -> bool:
        if not 1 <= x.rank <= 4 or x.dtype == "int32":
            return False
        pads = [(self.below(3), self.below(3)) if self.chance(0.5) else (0, 0) for _ in x.shape]
        shape = tuple(a + d + b for d, (a, b) in zip(x.shape, pads, strict=True))
        if np.prod(shape) > MAX_ELEMENTS:
            return False
        paddings = self.integers(np.array(pads).reshape(-1).tolist(), (x.rank, 2))
        if x.dtype == "int8" and self.chance(0.4):
            values = self.rng.integers(-128, 128, (1,), dtype=np.int8)
            fill = self.builder.const(self._name("fill"), values, scale=x.scale, zp=x.zp)
            return self.op("PADV2", [x.index, paddings, fill], [self.like(x, shape)])
        return self.op("PAD", [x.index, paddings], [self.like(x, shape)])

    def concatenation(self, x: Node) -> bool:
        if not 1 <= x.rank <= 5:
            return False
        axis = self.below(x.rank)
        others = [
            n
            for n in self.nodes
            if (n.scale, n.zp, n.dtype, n.rank) == (x.scale, x.zp, x.dtype, x.rank)
            and all(
                a == b for i, (a, b) in enumerate(zip(n.shape, x.shape, strict=True)) if i != axis
            )
        ]
        parts = [x]
        for _ in range(self.below(4)):
            if self.chance(0.7):
                parts.append(self.pick(others))
            elif x.dtype == "int8":
                shape = (*x.shape[:axis], 1 + self.below(4), *x.shape[axis + 1 :])
                values = self.rng.integers(-128, 128, shape, dtype=np.int8)
                index = self.builder.const(self._name("part"), values, scale=x.scale, zp=x.zp)
                parts.append(Node(index, shape, x.scale, x.zp))
        parts = [parts[i] for i in self.rng.permutation(len(parts))]
        size = sum(p.shape[axis] for p in parts)
        shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
        if np.prod(shape) > MAX_ELEMENTS:
            return False
        return self.op(
            "CONCATENATION",
            [p.index for p in parts],
            [self.like(x, shape)],
            axis=axis - x.rank if self.chance(0.3) else axis,
        )

    def split(self, x: Node) -> bool:
        axes = [(i, n) for i, d in enumerate(x.shape) for n in (1, 2, 3, 4) if d % n == 0]
        if not axes or x.rank > 5:
            return False
        axis, count = self.pick(axes)
        part = (*x.shape[:axis], x.shape[axis] // count, *x.shape[axis + 1 :])
        outs = [self.like(x, part) for _ in range(count)]
        return self.op("SPLIT", [self.integers([axis]), x.index], outs, num_splits=count)

    def slice(self, x: Node) -> bool:
        if not 1 <= x.rank <= 5:
            return False
        begins = [self.below(d) if self.chance(0.6) else 0 for d in x.shape]
        sizes = [
            1 + self.below(d - b) if self.chance(0.6) else -1
            for d, b in zip(x.shape, begins, strict=True)
        ]
        shape = tuple(
            d - b if s == -1 else s for d, b, s in zip(x.shape, begins, sizes, strict=True)
        )
        inputs = [x.index, self.integers(begins), self.integers(sizes)]
        return self.op("SLICE", inputs, [self.like(x, shape)])

    def strided_slice(self, x: Node) -> bool:
        """Every mask that TFLM reads."""
        if not 1 <= x.rank <= 4:
            return False
        begins, ends, steps, shape = [], [], [], []
        begin_mask = end_mask = shrink_mask = 0
        for i, d in enumerate(x.shape):
            if self.chance(0.2):
                shrink_mask |= 1 << i
                at = self.below(d)
                begins.append(at - d if self.chance(0.3) else at)
                ends.append(begins[-1] + 1)
                steps.append(1)
                continue
            step = int(self.pick([1, 1, 2, 3, -1, -2]))
            begin, end = (int(self.rng.integers(-d - 1, d + 2)) for _ in range(2))
            masks = self.below(4) if self.chance(0.7) else 3
            sizes = range(
                *slice(None if masks & 1 else begin, None if masks & 2 else end, step).indices(d)
            )
            if not sizes:
                masks, sizes = 3, range(*slice(None, None, step).indices(d))
            begin_mask |= (masks & 1) << i
            end_mask |= (masks >> 1) << i
            begins.append(begin)
            ends.append(end)
            steps.append(step)
            shape.append(len(sizes))
        return self.op(
            "STRIDED_SLICE",
            [x.index, self.integers(begins), self.integers(ends), self.integers(steps)],
            [self.like(x, tuple(shape))],
            begin_mask=begin_mask,
            end_mask=end_mask,
            shrink_axis_mask=shrink_mask,
        )

    def transpose(self, x: Node) -> bool:
        if not 1 <= x.rank <= 5 or x.dtype == "int32":
            return False
        order = self.rng.permutation(x.rank).tolist()
        shape = tuple(x.shape[i] for i in order)
        return self.op("TRANSPOSE", [x.index, self.integers(order)], [self.like(x, shape)])

    def pack(self, x: Node) -> bool:
        if x.rank > 4:
            return False
        alike = [
            n
            for n in self.nodes
            if (n.shape, n.scale, n.zp, n.dtype) == (x.shape, x.scale, x.zp, x.dtype)
        ]
        parts = [x, *(self.pick(alike) for _ in range(self.below(3)))]
        axis = self.below(x.rank + 1)
        shape = (*x.shape[:axis], len(parts), *x.shape[axis:])
        if np.prod(shape) > MAX_ELEMENTS:
            return False
        return self.op(
            "PACK",
            [p.index for p in parts],
            [self.like(x, shape)],
            axis=axis - x.rank - 1 if self.chance(0.3) else axis,
            values_count=len(parts),
        )

    def unpack(self, x: Node) -> bool:
        axes = [i for i, d in enumerate(x.shape) if d <= 5]
        if not axes or x.rank > 5:
            return False
        axis = int(self.pick(axes))
        part = x.shape[:axis] + x.shape[axis + 1 :]
        outs = [self.like(x, part) for _ in range(x.shape[axis])]
        return self.op("UNPACK", [x.index], outs, axis=axis, num=len(outs))

    def _resized(self, x: Node, largest: int) -> Node | None:
        shape = (x.shape[0], 1 + self.below(largest), 1 + self.below(largest), x.shape[3])
        return None if np.prod(shape) > MAX_ELEMENTS else self.like(x, shape)

    def resize_nearest(self, x: Node) -> bool:
        out = self._resized(x, 17) if x.rank == 4 and x.dtype != "int32" else None
        if out is None:
            return False
        return self.op(
            "RESIZE_NEAREST_NEIGHBOR",
            [x.index, self.integers(out.shape[1:3])],
            [out],
            align_corners=self.chance(0.5),
            half_pixel_centers=self.chance(0.5),
        )

    def resize_bilinear(self, x: Node) -> bool:
        out = self._resized(x, 17) if x.rank == 4 and x.dtype == "int8" else None
        if out is None:
            return False
        align = self.chance(0.4)
        return self.op(
            "RESIZE_BILINEAR",
            [x.index, self.integers(out.shape[1:3])],
            [out],
            align_corners=align,
            half_pixel_centers=not align and self.chance(0.5),
        )

    # Operators that multiply and accumulate, or sum up.

    def _weights(self, shape: Shape, axis: int | None) -> tuple[int, np.ndarray]:
        """int8 weights with one scale, or with one a slice along `axis`; their index and scales."""
        values = self.rng.integers(-127, 128, shape, dtype=np.int8)
        count = 1 if axis is None else shape[axis]
        scales = (0.01 * 2.0 ** self.rng.uniform(-2, 2, count)).astype(np.float32)
        index = self.builder.const(self._name("w"), values, scale=scales, zp=0, axis=axis or 0)
        return index, scales

    def _bias(self, x: Node, scales: np.ndarray, channels: int, terms: int) -> int:
        if self.chance(0.2):
            return -1
        spread = int(4000 * terms**0.5)
        values = self.rng.integers(-spread, spread, channels, dtype=np.int32)
        bias_scales = np.float32(x.scale) * scales
        return self.builder.const(self._name("bias"), values, scale=bias_scales, zp=0)

    def _weighted(self, x: Node, scales: np.ndarray, terms: int, shape: Shape) -> Node:
        """An output that about fits sums of `terms` products."""
        return self.output(shape, self.near(x.scale * float(scales.max()) * 40 * terms**0.5))

    def _window(self, x: Node, dilate: bool) -> dict | None:
        """Strides, dilations, padding and kernel of a window over x, with the output's size."""
        kernel = [1 if self.chance(0.2) else 1 + self.below(5) for _ in range(2)]
        stride = [1 + self.below(3) for _ in range(2)]
        dilation = [1 + self.below(2) if dilate else 1 for _ in range(2)]
        padding = str(self.pick(["SAME", "VALID"]))
        size = []
        for i, d in enumerate(x.shape[1:3]):
            reach = (kernel[i] - 1) * dilation[i] + 1
            if padding == "SAME":
                size.append(-(-d // stride[i]))
            elif reach > d:
                return None
            else:
                size.append((d - reach) // stride[i] + 1)
        options = {"padding": padding, "stride_h": stride[0], "stride_w": stride[1]}
        if dilate:
            options |= {"dilation_h_factor": dilation[0], "dilation_w_factor": dilation[1]}
        return {"kernel": tuple(kernel), "size": tuple(size), "options": options}

    def conv(self, x: Node) -> bool:
        window = self._image(x) and self._window(x, dilate=True)
        if not window:
            return False
        depth, out = x.shape[3], 1 + self.below(9)
        weights, scales = self._weights((out, *window["kernel"], depth), 0)
        terms = int(np.prod(window["kernel"])) * depth
        bias = self._bias(x, scales, out, terms)
        y = self._weighted(x, scales, terms, (x.shape[0], *window["size"], out))
        return self.op(
            "CONV_2D",
            [x.index, weights, *([bias] if bias >= 0 or self.chance(0.5) else [])],
            [y],
            fused_activation_function=self.pick(ACTIVATIONS),
            **window["options"],
        )

    def depthwise(self, x: Node) -> bool:
        window = self._image(x) and self._window(x, dilate=True)
        if not window:
            return False
        multiplier = int(self.pick([1, 1, 2, 3]))
        out = x.shape[3] * multiplier
        weights, scales = self._weights((1, *window["kernel"], out), 3)
        terms = int(np.prod(window["kernel"]))
        bias = self._bias(x, scales, out, terms)
        y = self._weighted(x, scales, terms, (x.shape[0], *window["size"], out))
        if y.elements > MAX_ELEMENTS:
            return False
        return self.op(
            "DEPTHWISE_CONV_2D",
            [x.index, weights, *([bias] if bias >= 0 else [])],
            [y],
            depth_multiplier=multiplier,
            fused_activation_function=self.pick(ACTIVATIONS),
            **window["options"],
        )

    def _same_conv(self, x: Node, out: int, stride: int) -> Node:
        """A convolution that leaves the image its size but for the stride."""
        kernel = int(self.pick([1, 3, 3, 5]))
        weights, scales = self._weights((out, kernel, kernel, x.shape[3]), 0)
        terms = kernel * kernel * x.shape[3]
        bias = self._bias(x, scales, out, terms)
        height, width = (-(-d // stride) for d in x.shape[1:3])
        y = self._weighted(x, scales, terms, (x.shape[0], height, width, out))
        self.op(
            "CONV_2D",
            [x.index, weights, *([bias] if bias >= 0 else [])],
            [y],
            fused_activation_function=self.pick(ACTIVATIONS),
            padding="SAME",
            stride_h=stride,
            stride_w=stride,
        )
        return y

    def residual(self, x: Node) -> Node:
        """Convolutions of an image, summed with the image, or with another convolution of it."""
        stride = 1 + self.below(2)
        out = x.shape[3] if stride == 1 and self.chance(0.5) else 1 + self.below(8)
        y = self._same_conv(x, out, stride)
        for _ in range(self.below(3)):
            y = self._same_conv(y, out, 1)
        z = x if y.shape == x.shape and self.chance(0.7) else self._same_conv(x, out, stride)
        a, b = (y, z) if self.chance(0.5) else (z, y)
        total = self.output(a.shape, self.near(2 * max(a.scale, b.scale)))
        self.op(
            "ADD",
            [a.index, b.index],
            [total],
            fused_activation_function=self.pick(ACTIVATIONS),
        )
        return total

    def transpose_conv(self, x: Node) -> bool:
        if not self._image(x):
            return False
        kernel = [1 + self.below(4) for _ in range(2)]
        stride = [1 + self.below(3) for _ in range(2)]
        padding = str(self.pick(["SAME", "VALID"]))
        size = [
            d * s if padding == "SAME" else (d - 1) * s + k
            for d, s, k in zip(x.shape[1:3], stride, kernel, strict=True)
        ]
        out = 1 + self.below(5)
        shape = (x.shape[0], *size, out)
        if np.prod(shape) > MAX_ELEMENTS:
            return False
        weights, scales = self._weights((out, *kernel, x.shape[3]), 0)
        terms = max(1, int(np.prod(kernel) * x.shape[3] / np.prod(stride)))
        bias = self._bias(x, scales, out, terms)
        inputs = [self.integers(shape), weights, x.index, *([bias] if bias >= 0 else [])]
        return self.op(
            "TRANSPOSE_CONV",
            inputs,
            [self._weighted(x, scales, terms, shape)],
            padding=padding,
            stride_h=stride[0],
            stride_w=stride[1],
        )

    def fully_connected(self, x: Node) -> bool:
        if x.dtype != "int8" or not x.rank or x.elements > 1024:
            return False
        whole = self.chance(0.4)
        depth = x.elements if whole else x.shape[-1]
        out = 1 + self.below(17)
        weights, scales = self._weights((out, depth), None)
        bias = self._bias(x, scales, out, depth)
        y = self._weighted(x, scales, depth, (x.elements // depth, out))
        return self.op(
            "FULLY_CONNECTED",
            [x.index, weights, bias],
            [y],
            fused_activation_function=self.pick(ACTIVATIONS),
        )

    def _pool(self, kind: str, x: Node) -> bool:
        window = self._image(x) and self._window(x, dilate=False)
        if not window:
            return False
        y = self.like(x, (x.shape[0], *window["size"], x.shape[3]))
        return self.op(
            kind,
            [x.index],
            [y],
            filter_height=window["kernel"][0],
            filter_width=window["kernel"][1],
            fused_activation_function=self.pick(ACTIVATIONS),
            **window["options"],
        )

    def average_pool(self, x: Node) -> bool:
        return self._pool("AVERAGE_POOL_2D", x)

    def max_pool(self, x: Node) -> bool:
        return self._pool("MAX_POOL_2D", x)

    def _reduce(self, kind: str, x: Node) -> bool:
        if x.dtype != "int8" or not 1 <= x.rank <= 4:
            return False
        axes = sorted(i for i in range(x.rank) if self.chance(0.5)) or [self.below(x.rank)]
        keep = self.chance(0.5)
        shape = tuple(1 if i in axes else d for i, d in enumerate(x.shape) if keep or i not in axes)
        count = np.prod([x.shape[i] for i in axes]) if kind == "SUM" else 1
        out = self.output(shape, self.near(x.scale * float(count) ** 0.5))
        return self.op(kind, [x.index, self.integers(axes)], [out], keep_dims=keep)

    def mean(self, x: Node) -> bool:
        return self._reduce("MEAN", x)

    def sum(self, x: Node) -> bool:
        return self._reduce("SUM", x)

    def softmax(self, x: Node) -> bool:
        if x.dtype != "int8" or not 1 <= x.rank <= 4:
            return False
        out = self.output(x.shape, 1 / 256, -128)
        return self.op("SOFTMAX", [x.index], [out], beta=float(self.pick([1.0, 0.5, 3.0])))

    def svdf(self, x: Node) -> bool:
        """State of its own, kept from one inference to the next."""
        if x.dtype != "int8" or x.rank != 2:
            return False
        (batch, depth), rank, memory = x.shape, 1 + self.below(3), 1 + self.below(5)
        units = 1 + self.below(5)
        filters = units * rank
        draw, state_scale = self.rng.integers, 0.004
        feature = self.builder.const(
            self._name("feature"), draw(-127, 128, (filters, depth), dtype=np.int8), scale=0.02
        )
        time = self.builder.const(
            self._name("time"), draw(-8000, 8000, (filters, memory), dtype=np.int16), scale=1e-4
        )
        bias = self.builder.const(
            self._name("bias"),
            draw(-20000, 20000, units, dtype=np.int32),
            scale=1e-4 * state_scale,
        )
        state = self.builder.variable(
            self._name("state"), (batch, memory * filters), "int16", scale=state_scale, zp=0
        )
        out = self.output((batch, units), self.near(0.05))
        inputs = [x.index, feature, time, bias, state]
        return self.op("SVDF", inputs, [out], version=3, rank=rank)

    @staticmethod
    def _image(x: Node) -> bool:
        return x.dtype == "int8" and x.rank == 4


LIGHT: dict[str, Callable[[Maker, Node], bool]] = {
    method.__name__: method
    for method in (
        Maker.add,
        Maker.sub,
        Maker.mul,
        Maker.minimum,
        Maker.maximum,
        Maker.prelu,
        Maker.logistic,
        Maker.tanh,
        Maker.relu,
        Maker.relu6,
        Maker.leaky_relu,
        Maker.hard_swish,
        Maker.requantize,
        Maker.quantize,
        Maker.dequantize,
        Maker.reshape,
        Maker.squeeze,
        Maker.expand_dims,
        Maker.pad,
        Maker.concatenation,
        Maker.split,
        Maker.slice,
        Maker.strided_slice,
        Maker.transpose,
        Maker.pack,
        Maker.unpack,
        Maker.resize_nearest,
        Maker.resize_bilinear,
    )
}


HEAVY: dict[str, Callable[[Maker, Node], bool]] = {
    method.__name__: method
    for method in (
        Maker.conv,
        Maker.depthwise,
        Maker.transpose_conv,
        Maker.fully_connected,
        Maker.average_pool,
        Maker.max_pool,
        Maker.mean,
        Maker.sum,
        Maker.softmax,
        Maker.svdf,
    )
}
OPERATORS = LIGHT | HEAVY
IMAGES = ("resize_nearest", "resize_bilinear", "conv", "depthwise", "transpose_conv")


def single_operator(rng: np.random.Generator, name: str, wild: bool = False) -> bytes:
    """A model of one operator, on a random input; with `wild`, of scales far apart."""
    while True:
        maker = Maker(rng, wild)
        rank = 4 if name in IMAGES else 2 if name == "svdf" else int(rng.integers(1, 6))
        dtypes = ["int8", "int8", "int16", "float32"]
        x = maker.input(maker.shape(rank), str(rng.choice(dtypes)))
        if OPERATORS[name](maker, x):
            return maker.build()


def random_network(rng: np.random.Generator, length: int = 12) -> bytes:
    """A model of up to `length` operators: branches, joins, several inputs and outputs.

    Most operators go on from a tensor that nothing reads yet, the others branch off. Joins (second
    operands, CONCATENATION, PACK) look for what is there already.
    """
    maker = Maker(rng)
    for _ in range(1 + int(maker.chance(0.3))):
        maker.input(maker.shape(4 if maker.chance(0.75) else int(rng.integers(1, 5))))
    wanted = 1 + int(rng.integers(length))
    added = 0
    for _ in range(20 * wanted):
        unread = [n for n in maker.nodes if n.index not in maker.read]
        x = maker.pick(unread if unread and maker.chance(0.8) else maker.nodes)
        table = HEAVY if maker.chance(0.3) else LIGHT
        added += bool(table[str(rng.choice(list(table)))](maker, x))
        if added == wanted:
            break
    else:
        assert added, "no operator suited"
    return maker.build()
