"""Builds small `.tflite` files for tests, from tensors and operators given in Python.

The schema's object interface comes with the `tflite-micro` package, which the tests need anyway.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

FILE_IDENTIFIER = b"TFL3"

TENSOR_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "float16": schema.TensorType.FLOAT16,
    "float64": schema.TensorType.FLOAT64,
    "int8": schema.TensorType.INT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
    "uint8": schema.TensorType.UINT8,
    "bool": schema.TensorType.BOOL,
    "string": schema.TensorType.STRING,
}

# The options table of each operator that has fields; every other operator has none.
OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "TRANSPOSE_CONV": "TransposeConvOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
    "CONCATENATION": "ConcatenationOptions",
    "SPLIT": "SplitOptions",
    "SLICE": "SliceOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "RESHAPE": "ReshapeOptions",
    "SQUEEZE": "SqueezeOptions",
    "EXPAND_DIMS": "ExpandDimsOptions",
    "TRANSPOSE": "TransposeOptions",
    "PACK": "PackOptions",
    "UNPACK": "UnpackOptions",
    "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions",
    "RESIZE_BILINEAR": "ResizeBilinearOptions",
    "SOFTMAX": "SoftmaxOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "HARD_SWISH": "HardSwishOptions",
    "QUANTIZE": "QuantizeOptions",
    "DEQUANTIZE": "DequantizeOptions",
    "SVDF": "SVDFOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
}

# Text accepted for an option, by the option's name.
ENUMS = {
    "padding": schema.Padding,
    "fused_activation_function": schema.ActivationFunctionType,
}

Values = float | Sequence[float] | npt.NDArray[Any]


class ModelBuilder:
    """One subgraph. Tensor methods return the tensor's index; `op` appends in execution order.

    A typical use:

        b = ModelBuilder()
        x = b.input("x", (1, 8, 8, 3), scale=0.02, zp=-1)
        w = b.const("w", weights, scale=[0.01, 0.02], axis=0)
        bias = b.const("bias", bias_array)
        y = b.tensor("y", (1, 8, 8, 2), scale=0.1, zp=4)
        b.op("CONV_2D", [x, w, bias], [y], padding="SAME", stride_h=1, stride_w=1)
        b.output(y)
        model_bytes = b.build()
    """

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "tinyseal test model"
        self.model.operatorCodes = []
        self.model.buffers = [schema.BufferT()]  # number 0 is the empty one, by convention
        self.graph = schema.SubGraphT()
        self.graph.name = "main"
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "int8",
        scale: Values | None = None,
        zp: int | Sequence[int] = 0,
        axis: int = 0,
    ) -> int:
        """An activation. `scale` a number or one per slice along `axis`; None: not quantised."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, [int(d) for d in shape]
        tensor.type = TENSOR_TYPES[dtype]
        tensor.hasRank = True
        if scale is not None:
            quant = schema.QuantizationParametersT()
            quant.scale = [float(s) for s in np.atleast_1d(scale)]
            points = np.broadcast_to(np.atleast_1d(zp), len(quant.scale))
            quant.zeroPoint = [int(z) for z in points]
            quant.quantizedDimension = axis
            tensor.quantization = quant
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, name: str, shape: Sequence[int], dtype: str = "int8", **quant: Any) -> int:
        index = self.tensor(name, shape, dtype, **quant)
        self.graph.inputs.append(index)
        return index

    def const(self, name: str, array: npt.ArrayLike, **quant: Any) -> int:
        """A constant; its element type and shape are the array's."""
        values = np.asarray(array)
        index = self.tensor(name, values.shape, values.dtype.name, **quant)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), dtype=np.uint8)
        self.model.buffers.append(buffer)
        self.graph.tensors[index].buffer = len(self.model.buffers) - 1
        return index

    def variable(self, name: str, shape: Sequence[int], dtype: str = "int8", **quant: Any) -> int:
        """A state tensor, kept from one inference to the next."""
        index = self.tensor(name, shape, dtype, **quant)
        self.graph.tensors[index].isVariable = True
        return index

    def output(self, index: int) -> None:
        self.graph.outputs.append(index)

    def op(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        version: int = 1,
        intermediates: Sequence[int] = (),
        custom_code: str | None = None,
        with_options: bool = True,
        **options: Any,
    ) -> None:
        """An operator by its builtin name. An input of -1 is an optional one left out.

        `options` are the schema's field names in snake case; `padding` and
        `fused_activation_function` take the enum's name. `with_options=False` leaves the options
        table out of the file, as old converters did.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(kind, version, custom_code)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        operator.intermediates = list(intermediates)
        table = OPTIONS.get(kind)
        if table is None or not with_options:
            if options:
                raise TypeError(f"{kind} takes no options here, got {', '.join(options)}")
        else:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")()
            for name, value in options.items():
                field = re.sub(r"_(\w)", lambda m: m.group(1).upper(), name)
                if not hasattr(operator.builtinOptions, field):
                    raise TypeError(f"{table} has no field {field}")
                if isinstance(value, str):
                    value = getattr(ENUMS[name], value)
                setattr(operator.builtinOptions, field, value)
        self.graph.operators.append(operator)

    def build(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _code(self, kind: str, version: int, custom_code: str | None) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version, code.customCode = version, custom_code
        for i, known in enumerate(self.model.operatorCodes):
            if vars(known) == vars(code):
                return i
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1
