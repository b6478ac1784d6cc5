"""TensorFlow Lite files into Graphs. The bytes are hostile: only ToolError comes out of here.

flatbuffers' Python reader checks that each read lies inside the file, but not how often it is
told to read: `_Reader` bounds every vector length before anything is iterated, and the total.
"""

from __future__ import annotations

import contextlib
import enum
import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import tflite

from tinyseal.errors import ModelError, UnsupportedError
from tinyseal.graph import ir
from tinyseal.graph.check import check_graph
from tinyseal.graph.custom import CUSTOM_OPS, PREFIX, read_options
from tinyseal.graph.ir import Activation, DType, Graph, Op, OpKind, Padding, Quant, Tensor
from tinyseal.graph.lowering import Array

FILE_IDENTIFIER: Final = b"TFL3"
SCHEMA_VERSION: Final = 3
MAX_LABEL_BYTES: Final = 1 << 16

DTYPES: Final[dict[int, DType]] = {
    tflite.TensorType.FLOAT32: DType.F32,
    tflite.TensorType.INT8: DType.S8,
    tflite.TensorType.INT16: DType.S16,
    tflite.TensorType.INT32: DType.S32,
    tflite.TensorType.INT64: DType.S64,
    tflite.TensorType.UINT8: DType.U8,
    tflite.TensorType.BOOL: DType.BOOL,
}


def _names(table: type) -> dict[int, str]:
    """A generated enum class, by value."""
    return {v: k for k, v in vars(table).items() if isinstance(v, int)}


TYPE_NAMES: Final = _names(tflite.TensorType)
OPERATOR_NAMES: Final = _names(tflite.BuiltinOperator)
OPTION_NAMES: Final = _names(tflite.BuiltinOptions)
PADDING_NAMES: Final = _names(tflite.Padding)
ACTIVATION_NAMES: Final = _names(tflite.ActivationFunctionType)

# A table without fields: every getter gives the schema's default.
EMPTY_TABLE: Final = struct.pack("<HHi", 4, 4, 4)

E = TypeVar("E", bound=enum.Enum)
T = TypeVar("T")


def _padding(value: int) -> Padding:
    return _enum(Padding, PADDING_NAMES, value)


def _activation(value: int) -> Activation:
    return _enum(Activation, ACTIVATION_NAMES, value)


def _enum(kind: type[E], names: dict[int, str], value: int) -> E:
    if value not in names:
        raise ValueError(f"{value} is no {kind.__name__.lower()}")
    return kind(names[value])


def _conv(o: Any) -> ir.Attrs:
    return ir.Conv2DAttrs(
        padding=_padding(o.Padding()),
        stride_h=o.StrideH(),
        stride_w=o.StrideW(),
        dilation_h=o.DilationHFactor(),
        dilation_w=o.DilationWFactor(),
        activation=_activation(o.FusedActivationFunction()),
    )


def _depthwise(o: Any) -> ir.Attrs:
    return ir.DepthwiseConv2DAttrs(
        padding=_padding(o.Padding()),
        stride_h=o.StrideH(),
        stride_w=o.StrideW(),
        dilation_h=o.DilationHFactor(),
        dilation_w=o.DilationWFactor(),
        activation=_activation(o.FusedActivationFunction()),
        depth_multiplier=o.DepthMultiplier(),
    )


def _fully_connected(o: Any) -> ir.Attrs:
    if o.WeightsFormat() != tflite.FullyConnectedOptionsWeightsFormat.DEFAULT:
        raise ValueError("shuffled weights are not supported")
    return ir.FullyConnectedAttrs(_activation(o.FusedActivationFunction()), o.KeepNumDims())


def _transpose_conv(o: Any) -> ir.Attrs:
    return ir.TransposeConvAttrs(
        padding=_padding(o.Padding()),
        stride_h=o.StrideH(),
        stride_w=o.StrideW(),
        activation=_activation(o.FusedActivationFunction()),
    )


def _pool(o: Any) -> ir.Attrs:
    return ir.Pool2DAttrs(
        padding=_padding(o.Padding()),
        stride_h=o.StrideH(),
        stride_w=o.StrideW(),
        filter_h=o.FilterHeight(),
        filter_w=o.FilterWidth(),
        activation=_activation(o.FusedActivationFunction()),
    )


def _arithmetic(o: Any) -> ir.Attrs:
    return ir.ArithmeticAttrs(_activation(o.FusedActivationFunction()))


def _strided_slice(o: Any) -> ir.Attrs:
    if o.Offset():
        raise ValueError("ends given as offsets are not supported")
    return ir.StridedSliceAttrs(
        begin_mask=o.BeginMask(),
        end_mask=o.EndMask(),
        ellipsis_mask=o.EllipsisMask(),
        new_axis_mask=o.NewAxisMask(),
        shrink_axis_mask=o.ShrinkAxisMask(),
    )


def _lstm(o: Any) -> ir.Attrs:
    return ir.LstmAttrs(
        activation=_activation(o.FusedActivationFunction()),
        cell_clip=o.CellClip(),
        proj_clip=o.ProjClip(),
        time_major=o.TimeMajor(),
    )


def _none(o: Any) -> ir.Attrs:
    return ir.NoAttrs()


@dataclass(frozen=True)
class Reader:
    """How one operator is read: newest version known, its options table, and what to make of it."""

    version: int
    options: Any
    attrs: Callable[[Any], ir.Attrs] = _none


# Newest versions as TensorFlow 2.21's converter writes them (tflite/tools/versioning). What they
# add (types, mostly) is checked operator by operator.
READERS: Final[dict[OpKind, Reader]] = {
    OpKind.CONV_2D: Reader(8, tflite.Conv2DOptions, _conv),
    OpKind.DEPTHWISE_CONV_2D: Reader(7, tflite.DepthwiseConv2DOptions, _depthwise),
    OpKind.FULLY_CONNECTED: Reader(14, tflite.FullyConnectedOptions, _fully_connected),
    OpKind.TRANSPOSE_CONV: Reader(5, tflite.TransposeConvOptions, _transpose_conv),
    OpKind.ADD: Reader(5, tflite.AddOptions, _arithmetic),
    OpKind.SUB: Reader(5, tflite.SubOptions, _arithmetic),
    OpKind.MUL: Reader(7, tflite.MulOptions, _arithmetic),
    OpKind.MINIMUM: Reader(4, tflite.MaximumMinimumOptions),
    OpKind.MAXIMUM: Reader(4, tflite.MaximumMinimumOptions),
    OpKind.AVERAGE_POOL_2D: Reader(3, tflite.Pool2DOptions, _pool),
    OpKind.MAX_POOL_2D: Reader(3, tflite.Pool2DOptions, _pool),
    OpKind.MEAN: Reader(3, tflite.ReducerOptions, lambda o: ir.ReduceAttrs(o.KeepDims())),
    OpKind.SUM: Reader(2, tflite.ReducerOptions, lambda o: ir.ReduceAttrs(o.KeepDims())),
    OpKind.PAD: Reader(4, tflite.PadOptions),
    OpKind.PADV2: Reader(4, tflite.PadV2Options),
    OpKind.CONCATENATION: Reader(
        4,
        tflite.ConcatenationOptions,
        lambda o: ir.ConcatenationAttrs(o.Axis(), _activation(o.FusedActivationFunction())),
    ),
    OpKind.SPLIT: Reader(4, tflite.SplitOptions, lambda o: ir.SplitAttrs(o.NumSplits())),
    OpKind.SLICE: Reader(6, tflite.SliceOptions),
    OpKind.STRIDED_SLICE: Reader(8, tflite.StridedSliceOptions, _strided_slice),
    OpKind.RESHAPE: Reader(1, tflite.ReshapeOptions),
    OpKind.SQUEEZE: Reader(2, tflite.SqueezeOptions),
    OpKind.EXPAND_DIMS: Reader(1, tflite.ExpandDimsOptions),
    OpKind.TRANSPOSE: Reader(6, tflite.TransposeOptions),
    OpKind.PACK: Reader(4, tflite.PackOptions, lambda o: ir.PackAttrs(o.Axis(), o.ValuesCount())),
    OpKind.UNPACK: Reader(4, tflite.UnpackOptions, lambda o: ir.PackAttrs(o.Axis(), o.Num())),
    OpKind.RESIZE_NEAREST_NEIGHBOR: Reader(
        4,
        tflite.ResizeNearestNeighborOptions,
        lambda o: ir.ResizeAttrs(o.AlignCorners(), o.HalfPixelCenters()),
    ),
    OpKind.RESIZE_BILINEAR: Reader(
        4,
        tflite.ResizeBilinearOptions,
        lambda o: ir.ResizeAttrs(o.AlignCorners(), o.HalfPixelCenters()),
    ),
    OpKind.SOFTMAX: Reader(3, tflite.SoftmaxOptions, lambda o: ir.SoftmaxAttrs(o.Beta())),
    OpKind.LOGISTIC: Reader(3, None),
    OpKind.TANH: Reader(3, None),
    OpKind.RELU: Reader(3, None),
    OpKind.RELU6: Reader(3, None),
    OpKind.LEAKY_RELU: Reader(2, tflite.LeakyReluOptions, lambda o: ir.LeakyReluAttrs(o.Alpha())),
    OpKind.PRELU: Reader(1, None),
    OpKind.HARD_SWISH: Reader(1, tflite.HardSwishOptions),
    OpKind.QUANTIZE: Reader(3, tflite.QuantizeOptions),
    OpKind.DEQUANTIZE: Reader(6, tflite.DequantizeOptions),
    OpKind.SVDF: Reader(
        4,
        tflite.SVDFOptions,
        lambda o: ir.SvdfAttrs(o.Rank(), _activation(o.FusedActivationFunction())),
    ),
    OpKind.UNIDIRECTIONAL_SEQUENCE_LSTM: Reader(4, tflite.UnidirectionalSequenceLSTMOptions, _lstm),
}
CUSTOM_VERSION: Final = 1


def import_tflite(data: bytes, name: str) -> Graph:
    """The Graph of a `.tflite` file's bytes, checked; `name` becomes a C identifier.

    Raises ModelError for a malformed file, UnsupportedError for a sound one that uses what this
    importer does not read.
    """
    parser = _Parser(bytes(data), c_identifier(name))
    with parser.mended():
        graph = parser.graph()
    check_graph(graph)
    return graph


@dataclass(frozen=True)
class ListedOp:
    """One operator as the file names it, whether or not this importer reads it."""

    index: int
    name: str  # TFLite's builtin name, or the custom operator's own
    version: int
    output: str  # name of the first output tensor
    problem: str | None  # why it is not supported, None if the importer reads it


def list_operators(data: bytes, name: str) -> tuple[ListedOp, ...]:
    """All operators of a `.tflite` file, the unsupported ones with the reason.

    Raises ModelError for a malformed file. Where `import_tflite` stops at the first operator it
    does not read, this tells of all.
    """
    parser = _Parser(bytes(data), c_identifier(name))
    with parser.mended():
        return parser.listed()


def c_identifier(name: str) -> str:
    """`name` with everything a C identifier may not hold replaced."""
    text = re.sub(r"\W", "_", name, flags=re.ASCII) or "model"
    return f"model_{text}" if text[0].isdigit() or text[0] == "_" else text


class _Parser:
    """Walks one file; `part` says where, for the message when it breaks."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.part = "header"
        # Vectors may share bytes in the file, so the sum of what is read may exceed its size;
        # sound files share little. The bound keeps time and memory linear in the file's size.
        self._budget = 4 * len(data) + 4096

    @contextlib.contextmanager
    def mended(self) -> Iterator[None]:
        """Turns what a mangled file makes of the reader into a ModelError: reads behind the
        file's end (struct.error), before its start (TypeError: negative offset), and values
        that cannot be (ValueError, with a text of its own)."""
        try:
            yield
        except (struct.error, TypeError, IndexError, OverflowError) as e:
            raise ModelError(
                f"{self.name}: {self.part}: an offset points outside the file's "
                f"{len(self.data)} B; the file is damaged or cut short"
            ) from e
        except ValueError as e:
            raise ModelError(f"{self.name}: {self.part}: {e}") from e

    def listed(self) -> tuple[ListedOp, ...]:
        _, _, codes, raw, operators = self._tables()
        listed = []
        for index, operator in enumerate(operators):
            problem = None
            try:
                self._op(index, operator, codes, len(raw))
            except UnsupportedError as e:
                problem = str(e).removeprefix(f"{self.name}: node {index}: ")
            name, version = self._operator(codes[operator.OpcodeIndex()])
            outputs = self._indices(operator.OutputsLength(), operator.OutputsAsNumpy, len(raw))
            output = self._text(raw[outputs[0]].Name()) if outputs else ""
            listed.append(ListedOp(index, name, version, output, problem))
        return tuple(listed)

    def graph(self) -> Graph:
        buffers, subgraph, codes, raw, operators = self._tables()
        inputs = self._indices(subgraph.InputsLength(), subgraph.InputsAsNumpy, len(raw))
        outputs = self._indices(subgraph.OutputsLength(), subgraph.OutputsAsNumpy, len(raw))
        self.part = "operators"
        # Operators first: that one of them is unknown is what the user wants to hear, and a
        # tensor without data and elements is sound only if no operator writes it.
        ops = tuple(self._op(i, o, codes, len(raw)) for i, o in enumerate(operators))
        written = {index for op in ops for index in op.outputs} | set(inputs)
        tensors = tuple(self._tensor(i, t, buffers, i in written) for i, t in enumerate(raw))
        self.part = "labels"
        return Graph(
            name=self.name,
            model_id=hashlib.sha256(self.data).hexdigest(),
            tensors=tensors,
            ops=ops,
            inputs=inputs,
            outputs=outputs,
            labels=self._labels(tensors, outputs),
        )

    def _tables(self) -> tuple[list[Any], Any, list[Any], list[Any], list[Any]]:
        """Buffers, the subgraph, operator codes, and the subgraph's tensors and operators."""
        if len(self.data) < 8 or self.data[4:8] != FILE_IDENTIFIER:
            raise ModelError(
                f"{self.name}: not a TensorFlow Lite model (no {FILE_IDENTIFIER.decode()} mark)"
            )
        model = tflite.Model.GetRootAs(self.data, 0)
        if model.Version() != SCHEMA_VERSION:
            raise UnsupportedError(
                f"{self.name}: schema version {model.Version()}, {SCHEMA_VERSION} is supported"
            )
        subgraph = self._main(model)
        self.part = "buffers"
        buffers = self._vector(model.BuffersLength(), model.Buffers, 4)
        self.part = "operator codes"
        codes = self._vector(model.OperatorCodesLength(), model.OperatorCodes, 4)
        self.part = "tensors"
        raw = self._vector(subgraph.TensorsLength(), subgraph.Tensors, 4)
        self.part = "operators"
        operators = self._vector(subgraph.OperatorsLength(), subgraph.Operators, 4)
        return buffers, subgraph, codes, raw, operators

    def _main(self, model: Any) -> Any:
        """Subgraph 0. Others may be there as long as no signature enters through them: the
        operators that call subgraphs are refused like any unknown one."""
        self.part = "subgraphs"
        count = model.SubgraphsLength()
        if count == 0:
            raise ModelError(f"{self.name}: has no subgraph")
        self._spend(4 * count, "subgraphs")
        self.part = "signatures"
        signatures = self._vector(model.SignatureDefsLength(), model.SignatureDefs, 4)
        for signature in signatures:
            if signature.SubgraphIndex() != 0:
                raise UnsupportedError(
                    f"{self.name}: has {count} subgraphs and a signature that enters through "
                    f"number {signature.SubgraphIndex()}; convert with one signature"
                )
        self.part = "subgraph 0"
        return model.Subgraphs(0)

    def _op(self, index: int, operator: Any, codes: list[Any], tensors: int) -> Op:
        self.part = f"operator {index}"
        number = operator.OpcodeIndex()
        if number >= len(codes):
            raise ValueError(f"operator code {number} of {len(codes)}")
        kind, version = self._kind(index, codes[number])
        self.part = f"operator {index} ({kind.value})"
        attrs = self._attrs(index, operator, kind, version)
        inputs = self._indices(
            operator.InputsLength(), operator.InputsAsNumpy, tensors, optional=True
        )
        outputs = self._indices(operator.OutputsLength(), operator.OutputsAsNumpy, tensors)
        intermediates = self._indices(
            operator.IntermediatesLength(), operator.IntermediatesAsNumpy, tensors
        )
        return Op(
            index=index,
            kind=kind,
            version=version,
            inputs=tuple(None if i < 0 else i for i in inputs),
            outputs=outputs,
            attrs=attrs,
            intermediates=intermediates,
        )

    def _attrs(self, index: int, operator: Any, kind: OpKind, version: int) -> ir.Attrs:
        reader = READERS.get(kind)
        newest = reader.version if reader else CUSTOM_VERSION
        if not 1 <= version <= newest:
            raise UnsupportedError(
                f"{self.name}: node {index}: {kind.value} version {version} is not supported; "
                f"versions 1 to {newest} are"
            )
        if reader:
            return reader.attrs(self._options(operator, reader))
        length = operator.CustomOptionsLength()
        self._spend(length, f"{length} B of options")
        options = operator.CustomOptionsAsNumpy().tobytes() if length else b""
        return read_options(CUSTOM_OPS[PREFIX + kind.value], options)

    def _kind(self, index: int, code: Any) -> tuple[OpKind, int]:
        name, version = self._operator(code)
        if _builtin_code(code) == tflite.BuiltinOperator.CUSTOM:
            if name in CUSTOM_OPS:
                return CUSTOM_OPS[name].kind, version
            raise UnsupportedError(
                f"{self.name}: node {index}: custom operator {name!r} "
                f"version {version} is not supported; express it in builtin operators"
            )
        if name not in OpKind.__members__:
            raise UnsupportedError(
                f"{self.name}: node {index}: {name} version {version} is not supported"
            )
        return OpKind(name), version

    def _operator(self, code: Any) -> tuple[str, int]:
        """Name and version of an operator, known here or not."""
        number = _builtin_code(code)
        if number == tflite.BuiltinOperator.CUSTOM:
            return self._text(code.CustomCode()), code.Version()
        return OPERATOR_NAMES.get(number, f"operator number {number}"), code.Version()

    def _options(self, operator: Any, reader: Reader) -> Any:
        """The operator's options table, or one of defaults where the file leaves it out."""
        if reader.options is None:
            return None
        options = reader.options()
        union = operator.BuiltinOptionsType()
        if union == tflite.BuiltinOptions.NONE:
            options.Init(EMPTY_TABLE, 4)
            return options
        if OPTION_NAMES.get(union) != reader.options.__name__:
            raise ValueError(f"options are {OPTION_NAMES.get(union, union)}")
        table = operator.BuiltinOptions()
        if table is None:
            options.Init(EMPTY_TABLE, 4)
        else:
            options.Init(table.Bytes, table.Pos)
        return options

    def _tensor(self, index: int, raw: Any, buffers: list[Any], written: bool) -> Tensor:
        self.part = f"tensor {index}"
        name = self._text(raw.Name())
        dtype = DTYPES.get(raw.Type())
        if dtype is None:
            known = TYPE_NAMES.get(raw.Type(), f"type {raw.Type()}")
            raise UnsupportedError(
                f"{self.name}: tensor {index} ({name}) is {known}; supported: "
                f"{', '.join(t.value for t in DType)}"
            )
        shape = tuple(self._ints(raw.ShapeLength(), raw.ShapeAsNumpy, 4))
        self._refuse_dynamic(index, name, shape, raw)
        if raw.Sparsity() is not None:
            raise UnsupportedError(
                f"{self.name}: tensor {index} ({name}) is stored sparse; convert without "
                "sparsity encoding"
            )
        number = raw.Buffer()
        if number >= len(buffers):
            raise ValueError(f"buffer {number} of {len(buffers)}")
        return Tensor(
            index=index,
            name=name,
            shape=shape,
            dtype=dtype,
            quant=self._quant(raw.Quantization()),
            data=self._data(buffers[number], shape, dtype, written or raw.IsVariable()),
            is_variable=raw.IsVariable(),
        )

    def _refuse_dynamic(self, index: int, name: str, shape: tuple[int, ...], raw: Any) -> None:
        """A free dimension is fine as long as the static shape says 1: the batch of one."""
        signature = self._ints(raw.ShapeSignatureLength(), raw.ShapeSignatureAsNumpy, 4)
        if -1 in shape or (
            signature
            and (
                len(signature) != len(shape)
                or any(
                    d != s and (s != -1 or d != 1) for d, s in zip(shape, signature, strict=True)
                )
            )
        ):
            raise UnsupportedError(
                f"{self.name}: tensor {index} ({name}) has the dynamic shape "
                f"{signature or list(shape)}; convert with a fixed input shape"
            )

    def _quant(self, raw: Any) -> Quant | None:
        if raw is None:
            return None
        if raw.DetailsType() != tflite.QuantizationDetails.NONE:
            raise UnsupportedError(f"{self.name}: {self.part}: custom quantisation")
        # float32 to float is exact.
        scales = self._floats(raw.ScaleLength(), raw.ScaleAsNumpy)
        if not scales:
            return None
        points = self._ints(raw.ZeroPointLength(), raw.ZeroPointAsNumpy, 8)
        points = points or [0] * len(scales)
        axis = raw.QuantizedDimension() if len(scales) > 1 else None
        return Quant(tuple(scales), tuple(points), axis)

    def _data(
        self, buffer: Any, shape: tuple[int, ...], dtype: DType, written: bool
    ) -> Array | None:
        """The constant as a read-only view of the file, or None for an activation."""
        if buffer.Offset() > 1 or buffer.Size() > 1:
            raise UnsupportedError(
                f"{self.name}: {self.part}: data outside the flatbuffer (files over 2 GB)"
            )
        length = buffer.DataLength()
        if length == 0:
            # An empty list of axes is a constant, too.
            empty = 0 in shape and all(d >= 0 for d in shape) and not written
            return _frozen(np.empty(shape, dtype.value)) if empty else None
        if length > len(self.data):
            raise ValueError(f"{length} B of data")
        elements = 1
        for d in shape:
            elements *= d
        if elements * dtype.bytes != length:
            raise ValueError(
                f"{length} B of data for shape {list(shape)} of {dtype.value}, "
                f"which take {elements * dtype.bytes} B"
            )
        raw = buffer.DataAsNumpy()
        if dtype is DType.BOOL:
            return _frozen((raw != 0).reshape(shape))
        values = raw.view(np.dtype(dtype.value).newbyteorder("<"))
        return _frozen(values.astype(dtype.value, copy=False).reshape(shape))

    def _labels(self, tensors: tuple[Tensor, ...], outputs: tuple[int, ...]) -> tuple[str, ...]:
        """Class names from the zip archive that TFLite metadata appends to the file.

        They count only if there is one for each value of the first output: archives hold other
        word lists, too.
        """
        if not outputs or not self.data.rfind(b"PK\5\6", -(1 << 16) - 22) >= 0:
            return ()
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                for member in archive.infolist():
                    if "label" in member.filename and member.filename.endswith(".txt"):
                        with archive.open(member) as file:
                            labels = parse_labels(file.read(MAX_LABEL_BYTES))
                        if len(labels) == tensors[outputs[0]].shape[-1]:
                            return labels
        except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, OSError) as e:
            raise ModelError(f"{self.name}: associated files: {e}") from e
        return ()

    def _spend(self, amount: int, what: str) -> None:
        self._budget -= amount
        if self._budget < 0:
            raise ValueError(f"{what} are longer than the file has room for")

    def _vector(self, length: int, item: Callable[[int], T], width: int) -> list[T]:
        self._spend(length * width, f"{length} entries")
        return [item(i) for i in range(length)]

    def _array(self, length: int, array: Callable[[], Any], width: int) -> list[Any]:
        self._spend(length * width, f"{length} numbers")
        values: list[Any] = array().tolist() if length else []
        return values

    def _ints(self, length: int, array: Callable[[], Any], width: int) -> list[int]:
        return self._array(length, array, width)

    def _floats(self, length: int, array: Callable[[], Any]) -> list[float]:
        return self._array(length, array, 4)

    def _indices(
        self, length: int, array: Callable[[], Any], tensors: int, optional: bool = False
    ) -> tuple[int, ...]:
        values = self._ints(length, array, 4)
        for value in values:
            if not (0 <= value < tensors or (optional and value == -1)):
                raise ValueError(f"tensor {value} of {tensors}")
        return tuple(values)

    def _text(self, raw: bytes | None) -> str:
        """A name fit for one line of a message."""
        if raw is None:
            return ""
        self._spend(len(raw), "names")
        text = raw.decode("utf-8", "replace")
        return "".join(c if c.isprintable() else "?" for c in text)


def _builtin_code(code: Any) -> int:
    """Codes from 128 up do not fit the field old readers look at; the larger one counts."""
    number: int = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    return number


def _frozen(values: Array) -> Array:
    values.flags.writeable = False
    return values


def parse_labels(text: bytes) -> tuple[str, ...]:
    """One label a line; empty lines do not count."""
    lines = (line.strip() for line in text.decode("utf-8", "replace").splitlines())
    return tuple("".join(c if c.isprintable() else "?" for c in line) for line in lines if line)
