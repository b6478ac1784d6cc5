"""A trained network with binary layers into a Graph of integers.

Every value of the network can be had in two forms, and consumers ask for the one they need:

    signs   packed bits of "value >= 0": what a layer with a sign in front of it reads
    int8    the value itself, quantised over its calibrated range: everything else

Asked for the signs of factor * x + offset, a binary layer gives them by one threshold a channel;
a max pool hands the question on to its input (the maximum of rising functions rises; where the
factor is negative it is a minimum); other layers give int8, from which signs are packed. Where a
value is wanted in both forms, it is made once, as int8. Asked for int8, weighted layers take
factor and offset into their weights and bias.

Source: the folding of batch normalisation into thresholds is Umuroglu et al., FINN (2017),
section 4.2.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from tinyseal.errors import UnsupportedError
from tinyseal.graph import ir
from tinyseal.graph.bits import pack, word_count
from tinyseal.graph.check import check_graph
from tinyseal.graph.fixedpoint import S32_MAX
from tinyseal.graph.ir import Activation, DType, Graph, Op, OpKind, Padding, Quant, Tensor
from tinyseal.graph.lowering import Array
from tinyseal.graph.tflite import c_identifier, import_tflite
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.optimise import layers as net
from tinyseal.optimise.int8 import activation_quant, weight_quant

SIGNS: Final = Quant((1.0,), (0,))
UNPACKED: Final = Quant((float(np.float32(1 / 127)),), (0,))  # +1 is 127
SOFTMAX_QUANT: Final = Quant((1 / 256,), (-128,))
SIGN_RANGE: Final = 1 / 16
MAX_ACC_SHIFT: Final = 8
MAX_BIAS: Final = 2.0**22  # in units of the accumulator

# Versions that TFLite's converter gives the int8 forms of these operators.
VERSIONS: Final = {
    OpKind.CONV_2D: 3,
    OpKind.DEPTHWISE_CONV_2D: 3,
    OpKind.FULLY_CONNECTED: 4,
    OpKind.ADD: 2,
    OpKind.MAX_POOL_2D: 2,
    OpKind.AVERAGE_POOL_2D: 2,
    OpKind.MEAN: 2,
    OpKind.RESHAPE: 1,
    OpKind.SOFTMAX: 2,
}


def binarise(network: net.Network, name: str, description: str) -> tuple[Graph, bytes]:
    """The Graph of `network`, and the `.tflite` file it was read back from.

    Raises UnsupportedError for what has no integer counterpart.
    """
    builder = _Builder(network, name)
    outputs = tuple(builder.int8(position) for position in network.outputs)
    draft = Graph(
        name=c_identifier(name),
        model_id=hashlib.sha256(b"").hexdigest(),
        tensors=tuple(builder.tensors),
        ops=tuple(builder.ops),
        inputs=(builder.input,),
        outputs=outputs,
    )
    check_graph(draft)
    data = write_tflite(draft, description)
    return import_tflite(data, name), data


@dataclass(frozen=True, eq=False)
class _Line:
    """factor * x + offset, for each channel, then a clip; None and None: x itself."""

    factor: Array | None = None
    offset: Array | None = None

    def after(self, factor: Array, offset: Array) -> _Line:
        """This line of another line's result."""
        if self.factor is None or self.offset is None:
            return _Line(factor, offset)
        return _Line(self.factor * factor, self.factor * offset + self.offset)

    def get(self, channels: int) -> tuple[Array, Array]:
        if self.factor is None or self.offset is None:
            return np.ones(channels), np.zeros(channels)
        return self.factor.astype(np.float64), self.offset.astype(np.float64)


IDENTITY: Final = _Line()


@dataclass(frozen=True)
class _Range:
    """What an int8 result must hold."""

    low: float
    high: float
    activation: Activation = Activation.NONE


@dataclass(eq=False)
class _Builder:
    network: net.Network
    model: str
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    input: int = -1

    def __post_init__(self) -> None:
        self._signs: dict[int, int] = {}
        self._int8: dict[int, int] = {}
        self._groups: dict[int, tuple[int, int]] = {}  # of flat sign tensors: groups, channels
        self._wanted_int8 = set(self.network.outputs) | {
            source
            for layer in self.network.layers
            if not isinstance(layer, (net.Sign, net.Affine, net.Reshape))
            and not (isinstance(layer, net.Pool) and not layer.average)
            for source in layer.inputs
            if not isinstance(self.network.layers[source], net.Sign)
        }
        for position, layer in enumerate(self.network.layers):
            if isinstance(layer, net.Input):
                quant = activation_quant(layer.low, layer.high)
                self.input = self._tensor(layer.name, (1, *layer.shape), DType.S8, quant)
                self._int8[position] = self.input

    # Signs

    def signs(self, position: int) -> int:
        """The packed signs of a layer's value."""
        if position not in self._signs:
            layer = self.network.layers[position]
            # Only the sign is read: a part of the range, saturating, rounds closer to nought.
            limits = _Range(layer.low * SIGN_RANGE, layer.high * SIGN_RANGE)
            self._signs[position] = self._make_signs(position, IDENTITY, limits)
        return self._signs[position]

    def _make_signs(self, position: int, line: _Line, limits: _Range) -> int:
        """The signs of `line` over a layer's value; `limits` for int8 on the way."""
        layer = self.network.layers[position]
        if position not in self._wanted_int8:
            if isinstance(layer, net.Affine):
                line = line.after(layer.factor, layer.offset)
                return self._make_signs(layer.inputs[0], line, limits)
            if isinstance(layer, (net.Conv, net.Dense)):
                return self._weighted_signs(layer, line, limits)
            if isinstance(layer, net.Pool) and not layer.average:
                return self._pool_signs(layer, line, limits)
            if line is IDENTITY and isinstance(layer, net.Sign):
                return self.signs(layer.inputs[0])
            if line is IDENTITY and isinstance(layer, net.Reshape) and len(layer.shape) == 1:
                return self._flat_signs(layer)
        return self._pack(layer, self.int8(position), line)

    def _weighted_signs(self, layer: net.Conv | net.Dense, line: _Line, limits: _Range) -> int:
        if not _runs_binary(layer):
            return self._pack(layer, self._weighted_int8(layer, line, limits), IDENTITY)
        negative, factor, offset, source, unit = self._binary_parts(layer, line)
        with np.errstate(divide="ignore", invalid="ignore"):
            limits_real = np.ceil(-offset / (factor * unit))
        # A factor of nought: always +1 or always -1.
        constant = np.where(offset >= 0, -S32_MAX, S32_MAX)
        limits_real = np.where(factor > 0, limits_real, constant)
        thresholds = np.clip(limits_real, -S32_MAX, S32_MAX).astype(np.int32)
        shape = (1, *layer.shape[:-1], word_count(layer.shape[-1]))
        out = (shape, DType.S32, SIGNS)
        return self._binary(layer, source, negative, SIGNS, thresholds, 0, Activation.NONE, out)

    def _pool_signs(self, layer: net.Pool, line: _Line, limits: _Range) -> int:
        source = self._make_signs(layer.inputs[0], line, limits)
        factor, _ = line.get(layer.shape[-1])
        inputs: list[int | None] = [source]
        if np.any(factor < 0):
            invert = pack(factor < 0)
            inputs.append(self._constant(f"{layer.name}_minimum", invert))
        height, width, channels = layer.shape
        shape = (1, height, width, word_count(channels))
        out = self._tensor(f"{layer.name}_signs", shape, DType.S32, SIGNS)
        attrs = ir.Pool2DAttrs(layer.padding, *layer.stride, *layer.window)
        return self._op(OpKind.BINARY_MAX_POOL_2D, inputs, out, attrs)

    def _flat_signs(self, layer: net.Reshape) -> int:
        source = self.signs(layer.inputs[0])
        shape = self.tensors[source].shape
        if len(shape) == 2:
            return source
        groups = int(np.prod(shape[1:-1]))
        channels = self.network.layers[layer.inputs[0]].shape[-1]
        if groups == 1:
            return self._reshape(source, (1, shape[-1]))
        flat = self._reshape(source, (1, groups * shape[-1]))
        self._groups[flat] = (groups, channels)
        return flat

    def _pack(self, layer: net.Layer, source: int, line: _Line) -> int:
        """Signs of `line` over an int8 tensor."""
        tensor = self.tensors[source]
        assert tensor.quant is not None
        inputs: list[int | None] = [source]
        if line is not IDENTITY:
            factor, offset = line.get(tensor.shape[-1])
            with np.errstate(divide="ignore", invalid="ignore"):
                edge = tensor.quant.zero_point - offset / factor / tensor.quant.scale
            # Rising: -1 below the edge. Falling: -1 above it, "below" turned round.
            limits = np.where(factor > 0, np.ceil(edge), np.floor(edge) + 1)
            limits = np.where(factor == 0, np.where(offset >= 0, -128, 128), limits)
            thresholds = np.clip(limits, -128, 128).astype(np.int16)
            inputs.append(self._constant(f"{layer.name}_thresholds", thresholds))
            if np.any(factor < 0):
                inputs.append(self._constant(f"{layer.name}_falling", pack(factor < 0)))
        shape = (*tensor.shape[:-1], word_count(tensor.shape[-1]))
        out = self._tensor(f"{layer.name}_signs", shape, DType.S32, SIGNS)
        return self._op(OpKind.BINARY_PACK, inputs, out)

    # int8

    def int8(self, position: int) -> int:
        """A layer's value, quantised over its calibrated range."""
        if position not in self._int8:
            layer = self.network.layers[position]
            limits = _Range(layer.low, layer.high)
            self._int8[position] = self._make_int8(position, IDENTITY, limits)
        return self._int8[position]

    def _make_int8(self, position: int, line: _Line, limits: _Range) -> int:
        """`line` over a layer's value, clipped, as int8 of the range `limits`."""
        layer = self.network.layers[position]
        source = layer.inputs[0] if layer.inputs else -1
        plain = line is IDENTITY and limits.activation is Activation.NONE
        if position not in self._int8:
            if isinstance(layer, net.Affine):
                return self._make_int8(source, line.after(layer.factor, layer.offset), limits)
            if isinstance(layer, (net.Conv, net.Dense)):
                return self._weighted_int8(layer, line, limits)
            if isinstance(layer, net.Pool) and not layer.average and _rises(line):
                return self._pool_int8(layer, self._make_int8(source, line, limits))
            if plain:
                return self._plain_int8(layer, limits)
        if plain:
            return self.int8(position)
        return self._line_int8(layer, self.int8(position), line, limits)

    def _plain_int8(self, layer: net.Layer, limits: _Range) -> int:
        source = layer.inputs[0]
        if isinstance(layer, net.Clip):
            clipped = replace(limits, activation=layer.activation)
            return self._make_int8(source, IDENTITY, clipped)
        if isinstance(layer, net.Sign):
            return self._unpack(layer)
        if isinstance(layer, net.Reshape):
            return self._reshape(self.int8(source), (1, *layer.shape))
        if isinstance(layer, net.Pool):
            return self._pool_int8(layer, self.int8(source))
        if isinstance(layer, net.Softmax):
            out = self._tensor(layer.name, (1, *layer.shape), DType.S8, SOFTMAX_QUANT)
            return self._op(OpKind.SOFTMAX, [self.int8(source)], out, ir.SoftmaxAttrs(1.0))
        quant = activation_quant(limits.low, limits.high)
        out = self._tensor(layer.name, (1, *layer.shape), DType.S8, quant)
        if isinstance(layer, net.Add):
            inputs = [self.int8(s) for s in layer.inputs]
            if len(inputs) != 2 or self._shape(inputs[0]) != self._shape(inputs[1]):
                raise self._unsupported(layer, "adds other than two equal shapes")
            return self._op(OpKind.ADD, inputs, out, ir.ArithmeticAttrs())
        if isinstance(layer, net.GlobalAverage):
            axes = self._constant(f"{layer.name}_axes", np.array([1, 2], dtype=np.int32))
            attrs = ir.ReduceAttrs(keep_dims=False)
            return self._op(OpKind.MEAN, [self.int8(source), axes], out, attrs)
        raise self._unsupported(layer, "has no int8 form")

    def _weighted_int8(self, layer: net.Conv | net.Dense, line: _Line, limits: _Range) -> int:
        quant = activation_quant(limits.low, limits.high)
        out = ((1, *layer.shape), DType.S8, quant)
        if not _runs_binary(layer):
            return self._ordinary(layer, line, limits.activation, out)
        negative, factor, offset, source, unit = self._binary_parts(layer, line)
        # A factor so small that the bias would not fit counts as one that just fits.
        factor = np.maximum(factor, np.abs(offset) / unit / MAX_BIAS).astype(np.float32)
        factor = np.where(factor > 0, factor, np.float32(1e-30))
        bias = offset / (factor.astype(np.float64) * unit)
        depth = int(np.prod(layer.kernel.shape[:-1]))
        # An int8 sum counts its zero point as well: at most 256 for each weight.
        reach = float(np.abs(bias).max()) + depth * (1.0 if _reads_signs(self, layer) else 256.0)
        shift = max(0, min(MAX_ACC_SHIFT, int(np.floor(np.log2(2.0**30 / reach)))))
        scales = Quant(tuple(factor.tolist()), (0,) * len(factor), 0)
        offsets = np.round(bias * 2.0**shift).astype(np.int32)
        return self._binary(layer, source, negative, scales, offsets, shift, limits.activation, out)

    def _ordinary(
        self, layer: net.Conv | net.Dense, line: _Line, activation: Activation, out: _Out
    ) -> int:
        """int8 weights: a builtin operator."""
        source = self.int8(layer.inputs[0])
        factor, offset = line.get(layer.shape[-1])
        bias = offset if layer.bias is None else factor * layer.bias + offset
        kernel = layer.kernel.astype(np.float64)
        if isinstance(layer, net.Conv) and layer.depthwise:
            kernel = kernel.reshape(*kernel.shape[:2], -1)
        kernel = np.moveaxis(kernel * factor, -1, 0)
        in_quant = self.tensors[source].quant
        assert in_quant is not None
        weights, units, quant = weight_quant(kernel, bias, in_quant.scale)
        if isinstance(layer, net.Dense):
            kind: OpKind = OpKind.FULLY_CONNECTED
            attrs: ir.Attrs = ir.FullyConnectedAttrs(activation)
        else:
            if layer.pad_value != 0 and layer.padding is Padding.SAME:
                raise self._unsupported(layer, f"int8 weights with pad_values={layer.pad_value}")
            kind = OpKind.CONV_2D
            options: dict[str, Any] = {
                "padding": layer.padding,
                "stride_h": layer.stride[0],
                "stride_w": layer.stride[1],
                "dilation_h": layer.dilation[0],
                "dilation_w": layer.dilation[1],
                "activation": activation,
            }
            attrs = ir.Conv2DAttrs(**options)
            if layer.depthwise:
                kind = OpKind.DEPTHWISE_CONV_2D
                attrs = ir.DepthwiseConv2DAttrs(**options, depth_multiplier=layer.kernel.shape[3])
                weights = np.moveaxis(weights, 0, -1)[None]
                quant = replace(quant, axis=3)
        return self._with_bias(kind, attrs, layer.name, source, (weights, quant), units, out)

    def _with_bias(
        self,
        kind: OpKind,
        attrs: ir.Attrs,
        name: str,
        source: int,
        weights: tuple[Array, Quant],
        bias: Array,
        out: _Out,
    ) -> int:
        in_quant = self.tensors[source].quant
        assert in_quant is not None
        scales = tuple(float(np.float32(in_quant.scale * s)) for s in weights[1].scales)
        bias_quant = Quant(scales, (0,) * len(scales), 0 if len(scales) > 1 else None)
        inputs = [
            source,
            self._constant(f"{name}_weights", *weights),
            self._constant(f"{name}_bias", bias, bias_quant),
        ]
        return self._op(kind, inputs, self._tensor(name, *out), attrs)

    def _line_int8(self, layer: net.Layer, source: int, line: _Line, limits: _Range) -> int:
        """factor * x + offset of an int8 tensor: a depthwise convolution of one weight."""
        shape = self._shape(source)
        factor, offset = line.get(shape[-1])
        in_quant = self.tensors[source].quant
        assert in_quant is not None
        weights, units, quant = weight_quant(factor[:, None, None], offset, in_quant.scale)
        image = shape if len(shape) == 4 else (1, 1, int(np.prod(shape[:-1])), shape[-1])
        if image != shape:
            source = self._reshape(source, image)
        attrs = ir.DepthwiseConv2DAttrs(Padding.VALID, 1, 1, activation=limits.activation)
        out = self._with_bias(
            OpKind.DEPTHWISE_CONV_2D,
            attrs,
            f"{layer.name}_line",
            source,
            (np.moveaxis(weights, 0, -1)[None], replace(quant, axis=3)),
            units,
            (image, DType.S8, activation_quant(limits.low, limits.high)),
        )
        return out if image == shape else self._reshape(out, shape)

    def _pool_int8(self, layer: net.Pool, source: int) -> int:
        out = self._tensor(layer.name, (1, *layer.shape), DType.S8, self.tensors[source].quant)
        kind = OpKind.AVERAGE_POOL_2D if layer.average else OpKind.MAX_POOL_2D
        attrs = ir.Pool2DAttrs(layer.padding, *layer.stride, *layer.window)
        return self._op(kind, [source], out, attrs)

    def _unpack(self, layer: net.Layer) -> int:
        source = self.signs(layer.inputs[0])
        shape = (1, *layer.shape)
        groups, channels = self._groups.get(source, (1, shape[-1]))
        rows = shape
        if groups > 1:
            rows = (1, groups, channels)
            source = self._reshape(source, (1, groups, word_count(channels)))
        out = self._tensor(layer.name, rows, DType.S8, UNPACKED)
        out = self._op(OpKind.BINARY_UNPACK, [source], out)
        return out if rows == shape else self._reshape(out, shape)

    # Binary layers

    def _binary_parts(
        self, layer: net.Conv | net.Dense, line: _Line
    ) -> tuple[Array, Array, Array, int, float]:
        """Weights as booleans (true: -1) [out, ...], factor >= 0 and offset of the integer sum.

        Then the input tensor, and what one step of it is worth.
        """
        channels = layer.shape[-1]
        factor, offset = line.get(channels)
        if layer.bias is not None:
            offset = factor * layer.bias + offset
        kernel = np.moveaxis(layer.kernel, -1, 0)
        factor = factor * np.abs(kernel.reshape(channels, -1)[:, 0]).astype(np.float64)
        turned = (factor < 0).reshape(-1, *[1] * (kernel.ndim - 1))
        negative = (kernel < 0) ^ turned
        if _reads_signs(self, layer):
            source = self.signs(layer.inputs[0])
            return negative, np.abs(factor), offset, source, 1.0
        source = self.int8(layer.inputs[0])
        quant = self.tensors[source].quant
        assert quant is not None
        return negative, np.abs(factor), offset, source, quant.scale

    def _binary(
        self,
        layer: net.Conv | net.Dense,
        source: int,
        negative: Array,
        quant: Quant,
        offsets: Array,
        acc_shift: int,
        activation: Activation,
        out: _Out,
    ) -> int:
        signs = _reads_signs(self, layer)
        flat = negative.reshape(len(negative), -1)
        if isinstance(layer, net.Dense):
            kind = OpKind.BINARY_FULLY_CONNECTED if signs else OpKind.BINARY_WEIGHT_FULLY_CONNECTED
            groups, channels = self._groups.get(source, (1, flat.shape[1]))
            grouped = pack(flat.reshape(len(flat), groups, channels))
            words = grouped.reshape(len(flat), -1)
            attrs: ir.Attrs = ir.BinaryFullyConnectedAttrs(flat.shape[1], acc_shift, activation)
        else:
            kind = OpKind.BINARY_CONV_2D if signs else OpKind.BINARY_WEIGHT_CONV_2D
            pad = layer.pad_value if layer.padding is Padding.SAME else 0.0
            if pad not in (-1.0, 0.0, 1.0):
                raise self._unsupported(layer, f"pad_values={pad}; -1, 0 and 1 are supported")
            words = pack(negative) if signs else pack(flat)
            attrs = ir.BinaryConv2DAttrs(
                padding=layer.padding,
                stride_h=layer.stride[0],
                stride_w=layer.stride[1],
                dilation_h=layer.dilation[0],
                dilation_w=layer.dilation[1],
                kernel_h=layer.kernel.shape[0],
                kernel_w=layer.kernel.shape[1],
                in_channels=layer.kernel.shape[2],
                pad_value=int(pad),
                acc_shift=acc_shift,
                activation=activation,
            )
        name = layer.name if out[1] is DType.S8 else f"{layer.name}_signs"
        what = "bias" if out[1] is DType.S8 else "thresholds"
        inputs = [
            source,
            self._constant(f"{layer.name}_weights", words, quant),
            self._constant(f"{layer.name}_{what}", offsets),
        ]
        return self._op(kind, inputs, self._tensor(name, *out), attrs)

    # Tensors and operators

    def _tensor(self, name: str, shape: tuple[int, ...], dtype: DType, quant: Quant | None) -> int:
        self.tensors.append(Tensor(len(self.tensors), name, shape, dtype, quant))
        return len(self.tensors) - 1

    def _constant(self, name: str, data: Array, quant: Quant | None = None) -> int:
        data = np.ascontiguousarray(data)
        data.flags.writeable = False
        index = len(self.tensors)
        dtype = DType(data.dtype.name)
        self.tensors.append(Tensor(index, name, data.shape, dtype, quant, data))
        return index

    def _op(
        self,
        kind: OpKind,
        inputs: Sequence[int | None],
        out: int,
        attrs: ir.Attrs | None = None,
    ) -> int:
        version = VERSIONS.get(kind, 1)
        self.ops.append(
            Op(len(self.ops), kind, version, tuple(inputs), (out,), attrs or ir.NoAttrs())
        )
        return out

    def _reshape(self, source: int, shape: tuple[int, ...]) -> int:
        tensor = self.tensors[source]
        wanted = self._constant(f"{tensor.name}_shape", np.array(shape, dtype=np.int32))
        out = self._tensor(f"{tensor.name}_reshaped", shape, tensor.dtype, tensor.quant)
        return self._op(OpKind.RESHAPE, [source, wanted], out)

    def _shape(self, index: int) -> tuple[int, ...]:
        return self.tensors[index].shape

    def _unsupported(self, layer: net.Layer, why: str) -> UnsupportedError:
        kind = type(layer).__name__
        return UnsupportedError(f"{self.model}: layer {layer.name} ({kind}): {why}")


_Out = tuple[tuple[int, ...], DType, Quant | None]


def _runs_binary(layer: net.Conv | net.Dense) -> bool:
    """Depthwise layers run as int8: nine bits a channel are not worth packing."""
    return layer.binary and not (isinstance(layer, net.Conv) and layer.depthwise)


def _reads_signs(builder: _Builder, layer: net.Layer) -> bool:
    return isinstance(builder.network.layers[layer.inputs[0]], net.Sign)


def _rises(line: _Line) -> bool:
    return line.factor is None or bool(np.all(line.factor >= 0))
