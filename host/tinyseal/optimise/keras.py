"""Keras models, with larq's binary layers or without, into a Network. Needs the `train` extra.

larq 0.14 runs on Keras 2 only (the package tf-keras, `TF_USE_LEGACY_KERAS=1`): models must be
built with that one. TensorFlow is imported here and nowhere else, and only when called.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from tinyseal.errors import ModelError, ToolError, UnsupportedError
from tinyseal.graph.ir import Activation, Padding
from tinyseal.graph.lowering import Array
from tinyseal.optimise import layers as net

SIGN_PROBE: Final = np.array([-2.0, -0.5, -1e-6, 0.0, 1e-6, 0.5, 2.0], dtype=np.float32)


def load_keras(path: Path) -> Any:
    """The model in a `.h5` or `.keras` file, larq's layers known. ToolError if that fails."""
    keras = _import("tf_keras")
    _import("larq")
    try:
        return keras.models.load_model(path, compile=False)
    # The reader raises whatever its libraries do with a file that is no model of theirs.
    except Exception as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise ModelError(f"{path}: not a Keras 2 model: {reason}") from e


def read_keras(model: Any, calibration: Array) -> net.Network:
    """The layers of `model` and the ranges of their values over `calibration` [N, ...].

    Raises UnsupportedError for a layer or option that has no counterpart here.
    """
    keras = _import("tf_keras")
    if len(model.inputs) != 1:
        raise UnsupportedError(f"{model.name}: has {len(model.inputs)} inputs, 1 is supported")
    wanted = tuple(model.inputs[0].shape[1:])
    if len(calibration) == 0 or calibration.shape[1:] != wanted:
        raise ModelError(
            f"{model.name}: calibration data of shape {list(calibration.shape)}, "
            f"[N, {', '.join(map(str, wanted))}] is wanted"
        )
    reader = _Reader(model.name, keras)
    reader.input(model.inputs[0], np.asarray(calibration, dtype=np.float32))
    for layer in model.layers:
        reader.layer(layer)
    return net.Network(tuple(reader.layers), tuple(reader.find(o) for o in model.outputs))


def _import(name: str) -> Any:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise ToolError(
            f"the Python package {name} is missing; ./setup train installs it and TensorFlow"
        ) from e


@dataclass
class _Reader:
    """Builds the list of layers, running each Keras layer on the calibration data as it goes."""

    model: str
    keras: Any
    layers: list[net.Layer] = field(default_factory=list)
    values: list[Array] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)  # by id of Keras' symbolic tensor

    def input(self, tensor: Any, data: Array) -> None:
        self.positions[id(tensor)] = self._append(net.Input, "input", (), data)

    def find(self, tensor: Any) -> int:
        position = self.positions.get(id(tensor))
        if position is None:
            raise UnsupportedError(f"{self.model}: tensor {tensor.name} comes from outside")
        return position

    def layer(self, layer: Any) -> None:
        kind = type(layer).__name__
        if kind == "InputLayer":
            return
        read = READERS.get(kind)
        if read is None:
            raise self.unsupported(layer, f"supported layers: {', '.join(READERS)}")
        if len(layer.inbound_nodes) != 1:
            raise self.unsupported(layer, "is used more than once")
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        inputs = tuple(self.find(source) for source in sources)
        self.positions[id(layer.output)] = read(self, layer, inputs)

    def unsupported(self, layer: Any, why: str) -> UnsupportedError:
        return UnsupportedError(f"{self.model}: layer {layer.name} ({type(layer).__name__}): {why}")

    def call(self, layer: Any, inputs: tuple[int, ...]) -> Array:
        values = [self.values[i] for i in inputs]
        result = layer(values[0] if len(values) == 1 else values, training=False)
        return np.asarray(result, dtype=np.float32)

    def _append(
        self, kind: type[net.Layer], name: str, inputs: tuple[int, ...], value: Array, **more: Any
    ) -> int:
        low, high = float(value.min()), float(value.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ModelError(f"{self.model}: layer {name}: calibration gives infinities or NaN")
        self.layers.append(kind(name, inputs, value.shape[1:], low, high, **more))
        self.values.append(value)
        return len(self.layers) - 1

    def simple(
        self, kind: type[net.Layer], layer: Any, inputs: tuple[int, ...], **more: Any
    ) -> int:
        return self._append(kind, layer.name, inputs, self.call(layer, inputs), **more)

    def sign(self, quantizer: Any, layer: Any, source: int) -> int:
        """The layer's input quantiser, if any; the position of what the layer then works on."""
        if quantizer is None:
            return source
        probe = np.asarray(quantizer(SIGN_PROBE))
        if not np.array_equal(probe, np.where(SIGN_PROBE >= 0, 1, -1)):
            raise self.unsupported(
                layer, "input quantizer is no sign; ste_sign, approx_sign and swish_sign are"
            )
        value = np.where(self.values[source] >= 0, 1, -1).astype(np.float32)
        return self._append(net.Sign, f"{layer.name}_sign", (source,), value)

    def weighted(
        self, kind: type[net.Layer], layer: Any, inputs: tuple[int, ...], kernel: Any, **more: Any
    ) -> int:
        """A layer with kernel, bias, quantisers and activation."""
        source = self.sign(getattr(layer, "input_quantizer", None), layer, inputs[0])
        activation, quantizer = layer.activation, getattr(layer, "input_quantizer", None)
        # Calibration must see what comes before the activation.
        layer.activation = self.keras.activations.linear
        if quantizer is not None:
            layer.input_quantizer = None
        try:
            value = self.call(layer, (source,))
        finally:
            layer.activation = activation
            if quantizer is not None:
                layer.input_quantizer = quantizer
        kernel_quantizer = getattr(
            layer, "kernel_quantizer", getattr(layer, "depthwise_quantizer", None)
        )
        weights = np.asarray(kernel, dtype=np.float32)
        if kernel_quantizer is not None:
            weights = np.asarray(kernel_quantizer(weights), dtype=np.float32)
        position = self._append(
            kind,
            layer.name,
            (source,),
            value,
            kernel=weights,
            bias=np.asarray(layer.bias, dtype=np.float32) if layer.use_bias else None,
            binary=kernel_quantizer is not None and _is_binary(weights, layer),
            **more,
        )
        return self.activate(layer, activation, position)

    def activate(self, layer: Any, activation: Any, source: int) -> int:
        """The layers of an activation function, by its name in Keras."""
        name = getattr(activation, "__name__", type(activation).__name__)
        value = self.values[source]
        label = f"{layer.name}_{name}"
        if name == "linear":
            return source
        if name in CLIPS:
            bounds, clip = CLIPS[name]
            clipped = np.clip(value, *bounds)
            return self._append(net.Clip, label, (source,), clipped, activation=clip)
        if name == "softmax":
            return self._append(
                net.Softmax,
                label,
                (source,),
                np.asarray(activation(self.keras.backend.constant(value))),
            )
        return self.sign(activation, layer, source)


def _is_binary(weights: Array, layer: Any) -> bool:
    """Whether every output channel's weights are +a or -a. Ternary and others run as int8."""
    depthwise = "Depthwise" in type(layer).__name__
    flat = np.abs(
        weights.reshape((-1, *weights.shape[-2:]) if depthwise else (-1, weights.shape[-1]))
    )
    return bool(np.all(flat == flat[:1]) and np.all(flat > 0))


CLIPS: Final[dict[str, tuple[tuple[float, float], Activation]]] = {
    "relu": ((0.0, np.inf), Activation.RELU),
    "relu6": ((0.0, 6.0), Activation.RELU6),
    "hard_tanh": ((-1.0, 1.0), Activation.RELU_N1_TO_1),
}


def _conv(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    depthwise = "Depthwise" in type(layer).__name__
    if layer.data_format != "channels_last":
        raise reader.unsupported(layer, f"data format {layer.data_format}; use channels_last")
    if getattr(layer, "groups", 1) != 1:
        raise reader.unsupported(layer, f"{layer.groups} groups; 1 is supported")
    kernel = layer.depthwise_kernel if depthwise else layer.kernel
    return reader.weighted(
        net.Conv,
        layer,
        inputs,
        kernel,
        stride=tuple(layer.strides),
        dilation=tuple(layer.dilation_rate),
        padding=Padding(layer.padding.upper()),
        pad_value=float(getattr(layer, "pad_values", 0.0)),
        depthwise=depthwise,
    )


def _dense(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    if len(reader.layers[inputs[0]].shape) != 1:
        raise reader.unsupported(layer, "its input has more than one dimension; flatten it first")
    return reader.weighted(net.Dense, layer, inputs, layer.kernel)


def _batch_norm(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    axis = layer.axis[0] if isinstance(layer.axis, (list, tuple)) else layer.axis
    if axis not in (-1, len(reader.layers[inputs[0]].shape)):
        raise reader.unsupported(layer, f"axis {axis}; the last one is supported")
    mean = np.asarray(layer.moving_mean, dtype=np.float64)
    variance = np.asarray(layer.moving_variance, dtype=np.float64)
    factor = 1 / np.sqrt(variance + layer.epsilon)
    if layer.scale:
        factor = factor * np.asarray(layer.gamma, dtype=np.float64)
    offset = -mean * factor
    if layer.center:
        offset = offset + np.asarray(layer.beta, dtype=np.float64)
    return reader.simple(net.Affine, layer, inputs, factor=factor, offset=offset)


def _pool(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    if layer.data_format != "channels_last":
        raise reader.unsupported(layer, f"data format {layer.data_format}; use channels_last")
    return reader.simple(
        net.Pool,
        layer,
        inputs,
        window=tuple(layer.pool_size),
        stride=tuple(layer.strides),
        padding=Padding(layer.padding.upper()),
        average="Average" in type(layer).__name__,
    )


def _relu(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    clips = {None: Activation.RELU, 6.0: Activation.RELU6}
    limit = None if layer.max_value is None else float(layer.max_value)
    if float(layer.negative_slope or 0) or float(layer.threshold or 0) or limit not in clips:
        raise reader.unsupported(layer, "only plain ReLU and ReLU6 are supported")
    return reader.simple(net.Clip, layer, inputs, activation=clips[limit])


def _global_average(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    if layer.keepdims or layer.data_format != "channels_last":
        raise reader.unsupported(layer, "keepdims and channels_first are not supported")
    return reader.simple(net.GlobalAverage, layer, inputs)


def _plain(kind: type[net.Layer]) -> _ReadLayer:
    return lambda reader, layer, inputs: reader.simple(kind, layer, inputs)


def _activation(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    return reader.activate(layer, layer.activation, inputs[0])


def _quantizer(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    return reader.sign(layer, layer, inputs[0])


def _pass(reader: _Reader, layer: Any, inputs: tuple[int, ...]) -> int:
    return inputs[0]


_ReadLayer = Callable[[_Reader, Any, tuple[int, ...]], int]

READERS: Final[dict[str, _ReadLayer]] = {
    "Conv2D": _conv,
    "QuantConv2D": _conv,
    "DepthwiseConv2D": _conv,
    "QuantDepthwiseConv2D": _conv,
    "Dense": _dense,
    "QuantDense": _dense,
    "BatchNormalization": _batch_norm,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalAveragePooling2D": _global_average,
    "Flatten": _plain(net.Reshape),
    "Reshape": _plain(net.Reshape),
    "Add": _plain(net.Add),
    "ReLU": _relu,
    "Softmax": _plain(net.Softmax),
    "Activation": _activation,
    "SteSign": _quantizer,
    "ApproxSign": _quantizer,
    "SwishSign": _quantizer,
    "Dropout": _pass,
    "SpatialDropout2D": _pass,
}
