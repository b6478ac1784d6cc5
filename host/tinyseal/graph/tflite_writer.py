"""Graphs into TensorFlow Lite files: what `optimise` makes goes to disk in the users' own format.

Binary layers are custom operators (`graph/custom.py`); the rest is builtin. The same graph gives
the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import flatbuffers
import numpy as np
import tflite

from tinyseal.errors import UnsupportedError
from tinyseal.graph import ir
from tinyseal.graph.custom import CUSTOM_OPS, PREFIX, write_options
from tinyseal.graph.ir import Graph, Op, OpKind, Padding, Quant, Tensor
from tinyseal.graph.tflite import DTYPES, FILE_IDENTIFIER, SCHEMA_VERSION

TENSOR_TYPES: Final = {dtype: number for number, dtype in DTYPES.items()}
DATA_ALIGN: Final = 16  # TFLite maps weights in place


@dataclass(frozen=True)
class Writer:
    """How one builtin operator's options table is written."""

    table: str
    fields: Callable[[Any], dict[str, int | float | bool]]


def _padding(padding: Padding) -> int:
    return int(getattr(tflite.Padding, padding.value))


def _activation(activation: ir.Activation) -> int:
    return int(getattr(tflite.ActivationFunctionType, activation.value))


def _conv(a: ir.Conv2DAttrs) -> dict[str, int | float | bool]:
    return {
        "Padding": _padding(a.padding),
        "StrideW": a.stride_w,
        "StrideH": a.stride_h,
        "DilationWFactor": a.dilation_w,
        "DilationHFactor": a.dilation_h,
        "FusedActivationFunction": _activation(a.activation),
    }


def _pool(a: ir.Pool2DAttrs) -> dict[str, int | float | bool]:
    return {
        "Padding": _padding(a.padding),
        "StrideW": a.stride_w,
        "StrideH": a.stride_h,
        "FilterWidth": a.filter_w,
        "FilterHeight": a.filter_h,
        "FusedActivationFunction": _activation(a.activation),
    }


WRITERS: Final[dict[OpKind, Writer]] = {
    OpKind.CONV_2D: Writer("Conv2DOptions", _conv),
    OpKind.DEPTHWISE_CONV_2D: Writer(
        "DepthwiseConv2DOptions", lambda a: _conv(a) | {"DepthMultiplier": a.depth_multiplier}
    ),
    OpKind.FULLY_CONNECTED: Writer(
        "FullyConnectedOptions",
        lambda a: {
            "FusedActivationFunction": _activation(a.activation),
            "KeepNumDims": a.keep_num_dims,
        },
    ),
    OpKind.ADD: Writer(
        "AddOptions", lambda a: {"FusedActivationFunction": _activation(a.activation)}
    ),
    OpKind.MUL: Writer(
        "MulOptions", lambda a: {"FusedActivationFunction": _activation(a.activation)}
    ),
    OpKind.MAX_POOL_2D: Writer("Pool2DOptions", _pool),
    OpKind.AVERAGE_POOL_2D: Writer("Pool2DOptions", _pool),
    OpKind.MEAN: Writer("ReducerOptions", lambda a: {"KeepDims": a.keep_dims}),
    OpKind.RESHAPE: Writer("ReshapeOptions", lambda a: {}),
    OpKind.SOFTMAX: Writer("SoftmaxOptions", lambda a: {"Beta": a.beta}),
    OpKind.SVDF: Writer(
        "SVDFOptions",
        lambda a: {"Rank": a.rank, "FusedActivationFunction": _activation(a.activation)},
    ),
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: Writer(
        "UnidirectionalSequenceLSTMOptions",
        lambda a: {
            "FusedActivationFunction": _activation(a.activation),
            "CellClip": a.cell_clip,
            "ProjClip": a.proj_clip,
            "TimeMajor": a.time_major,
        },
    ),
}


def write_tflite(graph: Graph, description: str) -> bytes:
    """The `.tflite` file of `graph`; its model id and labels are not part of the file.

    Raises UnsupportedError for an operator outside WRITERS and CUSTOM_OPS.
    """
    return _File(graph).build(description)


class _File:
    """One file under construction, leaves first, as flatbuffers wants it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = flatbuffers.Builder(1024)
        self.codes: list[tuple[OpKind, int]] = []
        self.data: list[bytes] = [b""]  # number 0 is the empty one, by convention

    def build(self, description: str) -> bytes:
        b, graph = self.builder, self.graph
        tensors = self._offsets([self._tensor(t) for t in graph.tensors])
        operators = self._offsets([self._operator(op) for op in graph.ops])
        inputs, outputs = self._ints(graph.inputs), self._ints(graph.outputs)
        name = b.CreateString("main")
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, outputs)
        tflite.SubGraphAddOperators(b, operators)
        tflite.SubGraphAddName(b, name)
        subgraphs = self._offsets([tflite.SubGraphEnd(b)])
        codes = self._offsets([self._code(kind, version) for kind, version in self.codes])
        buffers = self._offsets([self._buffer(data) for data in self.data])
        text = b.CreateString(description)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, SCHEMA_VERSION)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, subgraphs)
        tflite.ModelAddDescription(b, text)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), FILE_IDENTIFIER)
        return bytes(b.Output())

    def _tensor(self, tensor: Tensor) -> int:
        b = self.builder
        number = 0
        if tensor.data is not None:
            number = len(self.data)
            little = np.dtype(tensor.dtype.value).newbyteorder("<")
            self.data.append(tensor.data.astype(little).tobytes())
        name, shape = b.CreateString(tensor.name), self._ints(tensor.shape)
        quant = None if tensor.quant is None else self._quant(tensor.quant)
        tflite.TensorStart(b)
        tflite.TensorAddShape(b, shape)
        tflite.TensorAddType(b, TENSOR_TYPES[tensor.dtype])
        tflite.TensorAddBuffer(b, number)
        tflite.TensorAddName(b, name)
        if quant is not None:
            tflite.TensorAddQuantization(b, quant)
        tflite.TensorAddIsVariable(b, tensor.is_variable)
        tflite.TensorAddHasRank(b, True)
        return int(tflite.TensorEnd(b))

    def _quant(self, quant: Quant) -> int:
        b = self.builder
        scales = b.CreateNumpyVector(np.array(quant.scales, dtype="<f4"))
        points = b.CreateNumpyVector(np.array(quant.zero_points, dtype="<i8"))
        tflite.QuantizationParametersStart(b)
        tflite.QuantizationParametersAddScale(b, scales)
        tflite.QuantizationParametersAddZeroPoint(b, points)
        tflite.QuantizationParametersAddQuantizedDimension(b, quant.axis or 0)
        return int(tflite.QuantizationParametersEnd(b))

    def _operator(self, op: Op) -> int:
        b = self.builder
        writer = WRITERS.get(op.kind)
        options = custom = None
        if writer is not None:
            options = self._options(writer, op.attrs)
        elif PREFIX + op.kind.value in CUSTOM_OPS:
            custom = b.CreateByteVector(write_options(op.attrs))
        else:
            raise UnsupportedError(
                f"{self.graph.name}: node {op.index}: {op.kind.value} cannot be written to a file"
            )
        if (op.kind, op.version) not in self.codes:
            self.codes.append((op.kind, op.version))
        inputs = self._ints([-1 if i is None else i for i in op.inputs])
        outputs = self._ints(op.outputs)
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, self.codes.index((op.kind, op.version)))
        tflite.OperatorAddInputs(b, inputs)
        tflite.OperatorAddOutputs(b, outputs)
        if writer is not None:
            kind = getattr(tflite.BuiltinOptions, writer.table)
            tflite.OperatorAddBuiltinOptionsType(b, kind)
            tflite.OperatorAddBuiltinOptions(b, options)
        else:
            tflite.OperatorAddCustomOptions(b, custom)
        return int(tflite.OperatorEnd(b))

    def _options(self, writer: Writer, attrs: ir.Attrs) -> int:
        b = self.builder
        getattr(tflite, f"{writer.table}Start")(b)
        for field, value in writer.fields(attrs).items():
            getattr(tflite, f"{writer.table}Add{field}")(b, value)
        return int(getattr(tflite, f"{writer.table}End")(b))

    def _code(self, kind: OpKind, version: int) -> int:
        b = self.builder
        name = None
        number = tflite.BuiltinOperator.CUSTOM
        if kind in WRITERS:
            number = getattr(tflite.BuiltinOperator, kind.value)
        else:
            name = b.CreateString(PREFIX + kind.value)
        tflite.OperatorCodeStart(b)
        # Readers from before 2020 look at the deprecated field alone.
        tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(number, 127))
        tflite.OperatorCodeAddBuiltinCode(b, number)
        tflite.OperatorCodeAddVersion(b, version)
        if name is not None:
            tflite.OperatorCodeAddCustomCode(b, name)
        return int(tflite.OperatorCodeEnd(b))

    def _buffer(self, data: bytes) -> int:
        b = self.builder
        vector = None
        if data:
            b.Prep(DATA_ALIGN, len(data))
            vector = b.CreateByteVector(data)
        tflite.BufferStart(b)
        if vector is not None:
            tflite.BufferAddData(b, vector)
        return int(tflite.BufferEnd(b))

    def _ints(self, values: Sequence[int]) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, dtype="<i4")))

    def _offsets(self, offsets: Sequence[int]) -> int:
        b = self.builder
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return int(b.EndVector())
