"""The graph: a frozen, typed picture of one trained model, in TFLite's terms.

Layout is TFLite's throughout: activations NHWC, convolution weights OHWI, depthwise weights
1HWC, fully connected weights [out, in].
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt


class DType(enum.Enum):
    """Element type of a tensor; the value is numpy's name for it."""

    S8 = "int8"
    S16 = "int16"
    S32 = "int32"
    S64 = "int64"
    U8 = "uint8"
    BOOL = "bool"
    F32 = "float32"

    @property
    def bytes(self) -> int:
        return np.dtype(self.value).itemsize


class OpKind(enum.Enum):
    """Operators the importer reads; the value is TFLite's builtin name.

    The last group are our own, for binary networks: custom operators named `TINYSEAL_<value>`
    in a file. `ops/binary.py` says what they compute, `firmware/SPEC.md` how a file holds them.
    """

    CONV_2D = "CONV_2D"
    DEPTHWISE_CONV_2D = "DEPTHWISE_CONV_2D"
    FULLY_CONNECTED = "FULLY_CONNECTED"
    TRANSPOSE_CONV = "TRANSPOSE_CONV"
    ADD = "ADD"
    SUB = "SUB"
    MUL = "MUL"
    MINIMUM = "MINIMUM"
    MAXIMUM = "MAXIMUM"
    AVERAGE_POOL_2D = "AVERAGE_POOL_2D"
    MAX_POOL_2D = "MAX_POOL_2D"
    MEAN = "MEAN"
    SUM = "SUM"
    PAD = "PAD"
    PADV2 = "PADV2"
    CONCATENATION = "CONCATENATION"
    SPLIT = "SPLIT"
    SLICE = "SLICE"
    STRIDED_SLICE = "STRIDED_SLICE"
    RESHAPE = "RESHAPE"
    SQUEEZE = "SQUEEZE"
    EXPAND_DIMS = "EXPAND_DIMS"
    TRANSPOSE = "TRANSPOSE"
    PACK = "PACK"
    UNPACK = "UNPACK"
    RESIZE_NEAREST_NEIGHBOR = "RESIZE_NEAREST_NEIGHBOR"
    RESIZE_BILINEAR = "RESIZE_BILINEAR"
    SOFTMAX = "SOFTMAX"
    LOGISTIC = "LOGISTIC"
    TANH = "TANH"
    RELU = "RELU"
    RELU6 = "RELU6"
    LEAKY_RELU = "LEAKY_RELU"
    PRELU = "PRELU"
    HARD_SWISH = "HARD_SWISH"
    QUANTIZE = "QUANTIZE"
    DEQUANTIZE = "DEQUANTIZE"
    SVDF = "SVDF"
    UNIDIRECTIONAL_SEQUENCE_LSTM = "UNIDIRECTIONAL_SEQUENCE_LSTM"
    BINARY_CONV_2D = "BINARY_CONV_2D"
    BINARY_FULLY_CONNECTED = "BINARY_FULLY_CONNECTED"
    BINARY_WEIGHT_CONV_2D = "BINARY_WEIGHT_CONV_2D"
    BINARY_WEIGHT_FULLY_CONNECTED = "BINARY_WEIGHT_FULLY_CONNECTED"
    BINARY_MAX_POOL_2D = "BINARY_MAX_POOL_2D"
    BINARY_PACK = "BINARY_PACK"
    BINARY_UNPACK = "BINARY_UNPACK"


class Activation(enum.Enum):
    """Fused activation functions."""

    NONE = "NONE"
    RELU = "RELU"
    RELU_N1_TO_1 = "RELU_N1_TO_1"
    RELU6 = "RELU6"
    TANH = "TANH"
    SIGN_BIT = "SIGN_BIT"


class Padding(enum.Enum):
    SAME = "SAME"
    VALID = "VALID"


@dataclass(frozen=True)
class Quant:
    """real = scale * (q - zero_point), one pair per tensor or one per slice along `axis`."""

    scales: tuple[float, ...]  # as float32 stored them
    zero_points: tuple[int, ...]
    axis: int | None = None  # None: per tensor

    @property
    def scale(self) -> float:
        return self.scales[0]

    @property
    def zero_point(self) -> int:
        return self.zero_points[0]


@dataclass(frozen=True, eq=False)
class Tensor:
    index: int
    name: str
    shape: tuple[int, ...]
    dtype: DType
    quant: Quant | None = None
    data: npt.NDArray[Any] | None = None  # read-only; None for activations
    is_variable: bool = False  # state kept from one inference to the next

    @property
    def is_constant(self) -> bool:
        return self.data is not None

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def bytes(self) -> int:
        return self.elements * self.dtype.bytes


@dataclass(frozen=True)
class NoAttrs:
    pass


@dataclass(frozen=True)
class Conv2DAttrs:
    padding: Padding
    stride_h: int
    stride_w: int
    dilation_h: int = 1
    dilation_w: int = 1
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class DepthwiseConv2DAttrs(Conv2DAttrs):
    depth_multiplier: int = 1


@dataclass(frozen=True)
class TransposeConvAttrs:
    padding: Padding
    stride_h: int
    stride_w: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class FullyConnectedAttrs:
    activation: Activation = Activation.NONE
    keep_num_dims: bool = False


@dataclass(frozen=True)
class ArithmeticAttrs:
    """ADD, SUB, MUL."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Pool2DAttrs:
    padding: Padding
    stride_h: int
    stride_w: int
    filter_h: int
    filter_w: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class ReduceAttrs:
    """MEAN, SUM; the axes are the second input."""

    keep_dims: bool


@dataclass(frozen=True)
class ConcatenationAttrs:
    axis: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class SplitAttrs:
    """The axis is the first input."""

    num_splits: int


@dataclass(frozen=True)
class StridedSliceAttrs:
    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0


@dataclass(frozen=True)
class PackAttrs:
    """PACK, UNPACK."""

    axis: int
    count: int


@dataclass(frozen=True)
class ResizeAttrs:
    align_corners: bool
    half_pixel_centers: bool


@dataclass(frozen=True)
class SoftmaxAttrs:
    beta: float


@dataclass(frozen=True)
class LeakyReluAttrs:
    alpha: float


@dataclass(frozen=True)
class SvdfAttrs:
    rank: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class LstmAttrs:
    activation: Activation
    cell_clip: float
    proj_clip: float
    time_major: bool


@dataclass(frozen=True)
class BinaryConv2DAttrs:
    """BINARY_CONV_2D, BINARY_WEIGHT_CONV_2D: what packed weights' shapes no longer say."""

    padding: Padding
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    kernel_h: int
    kernel_w: int
    in_channels: int
    pad_value: int  # real value outside the image: -1, 0 or 1
    acc_shift: int  # int8 outputs: the bias counts in 2**-acc_shift of an accumulator unit
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class BinaryFullyConnectedAttrs:
    """BINARY_FULLY_CONNECTED, BINARY_WEIGHT_FULLY_CONNECTED."""

    in_depth: int  # weights of one output, without the padding bits
    acc_shift: int
    activation: Activation = Activation.NONE


Attrs = (
    NoAttrs
    | Conv2DAttrs
    | DepthwiseConv2DAttrs
    | TransposeConvAttrs
    | FullyConnectedAttrs
    | ArithmeticAttrs
    | Pool2DAttrs
    | ReduceAttrs
    | ConcatenationAttrs
    | SplitAttrs
    | StridedSliceAttrs
    | PackAttrs
    | ResizeAttrs
    | SoftmaxAttrs
    | LeakyReluAttrs
    | SvdfAttrs
    | LstmAttrs
    | BinaryConv2DAttrs
    | BinaryFullyConnectedAttrs
)


@dataclass(frozen=True)
class Op:
    """One operator. RESHAPE, SQUEEZE and EXPAND_DIMS need no attributes: shapes are static."""

    index: int  # position in Graph.ops, and in the model file
    kind: OpKind
    version: int
    inputs: tuple[int | None, ...]  # tensor indices; None for an optional input left out
    outputs: tuple[int, ...]
    attrs: Attrs = field(default_factory=NoAttrs)
    intermediates: tuple[int, ...] = ()  # LSTM: tensors that carry only quantisation

    @property
    def label(self) -> str:
        """Unique short name, for reports: `conv_2d_3`."""
        return f"{self.kind.value.lower()}_{self.index}"


@dataclass(frozen=True, eq=False)
class Graph:
    """A model. Ops are in execution order; every shape is static and checked on import."""

    name: str  # a C identifier, from the file name
    model_id: str  # SHA-256 of the source file, 64 hex digits
    tensors: tuple[Tensor, ...]  # tensors[i].index == i
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    labels: tuple[str, ...] = ()

    def tensor(self, index: int) -> Tensor:
        return self.tensors[index]
