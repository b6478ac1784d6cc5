"""A trained network as its framework sees it: float layers, with the ranges calibration saw.

What `optimise/keras.py` reads and `optimise/binarise.py` turns into a Graph. Layouts are Keras':
images HWC (the batch dimension is left out), convolution kernels HWIO, dense kernels [in, out].
"""

from __future__ import annotations

from dataclasses import dataclass

from tinyseal.graph.ir import Activation, Padding
from tinyseal.graph.lowering import Array


@dataclass(frozen=True, eq=False)
class Layer:
    """One value and how it is made; `inputs` are positions in the list of layers."""

    name: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    low: float  # least and greatest value over the calibration data
    high: float


@dataclass(frozen=True, eq=False)
class Input(Layer):
    pass


@dataclass(frozen=True, eq=False)
class Conv(Layer):
    """Convolution; depthwise kernels are [H, W, channels, multiplier]."""

    kernel: Array  # as the layer multiplies with it: after its kernel quantiser
    bias: Array | None
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding
    pad_value: float
    binary: bool  # kernel is +a or -a in each output channel
    depthwise: bool = False


@dataclass(frozen=True, eq=False)
class Dense(Layer):
    kernel: Array
    bias: Array | None
    binary: bool


@dataclass(frozen=True, eq=False)
class Affine(Layer):
    """factor * x + offset for each channel: batch normalisation."""

    factor: Array
    offset: Array


@dataclass(frozen=True, eq=False)
class Sign(Layer):
    """+1 where x >= 0, else -1."""


@dataclass(frozen=True, eq=False)
class Clip(Layer):
    """RELU, RELU6, RELU_N1_TO_1."""

    activation: Activation


@dataclass(frozen=True, eq=False)
class Pool(Layer):
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding
    average: bool


@dataclass(frozen=True, eq=False)
class GlobalAverage(Layer):
    """Mean over height and width."""


@dataclass(frozen=True, eq=False)
class Reshape(Layer):
    pass


@dataclass(frozen=True, eq=False)
class Add(Layer):
    pass


@dataclass(frozen=True, eq=False)
class Softmax(Layer):
    pass


@dataclass(frozen=True, eq=False)
class Network:
    """Layers in the order they run; the last one is the output unless `outputs` says otherwise."""

    layers: tuple[Layer, ...]
    outputs: tuple[int, ...]
