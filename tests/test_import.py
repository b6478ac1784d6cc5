"""The importer reads what the converters write, and refuses the rest in one line."""

from __future__ import annotations

import io
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from support.judge import assert_matches_tflm
from support.small_models import MODELS, Q
from support.tflite_builder import ModelBuilder, schema
from tinyseal.errors import ModelError, ToolError, UnsupportedError
from tinyseal.graph.ir import (
    Activation,
    Conv2DAttrs,
    DepthwiseConv2DAttrs,
    DType,
    LstmAttrs,
    OpKind,
    Padding,
    SoftmaxAttrs,
    StridedSliceAttrs,
)
from tinyseal.graph.load import load_model
from tinyseal.graph.tflite import c_identifier, import_tflite

FOLDER = Path(__file__).resolve().parents[1] / "models"


def read(name):
    return import_tflite(MODELS[name](), name)


@pytest.mark.parametrize(
    ("name", "ops", "inputs", "classes", "labels"),
    [("kws", 13, (1, 49, 10, 1), 12, ("down", "unknown")),
     ("ic", 16, (1, 32, 32, 3), 10, ("airplane", "truck")),
     ("vww", 31, (1, 96, 96, 3), 2, ("non_person", "person")),
     ("ad", 10, (1, 640), 640, ())],
)  # fmt: skip
def test_the_mlperf_tiny_models_import(name, ops, inputs, classes, labels):
    graph = load_model(FOLDER / f"{name}_int8.tflite")
    assert graph.name == f"{name}_int8"
    assert len(graph.ops) == ops
    assert [graph.tensor(i).shape for i in graph.inputs] == [inputs]
    assert [graph.tensor(i).shape for i in graph.outputs] == [(1, classes)]
    assert (graph.labels[:1] + graph.labels[-1:]) == labels
    assert len(graph.labels) == (classes if labels else 0)


@pytest.mark.parametrize("name", ["kws", "ic", "vww", "ad"])
def test_the_mlperf_tiny_models_give_tflm_bytes_in_every_tensor(name):
    model = (FOLDER / f"{name}_int8.tflite").read_bytes()
    assert_matches_tflm(model, np.random.default_rng(1), runs=2)


def test_every_operator_has_a_small_model():
    kinds = {op.kind for name in MODELS for op in read(name).ops}
    # Binary layers are custom operators with tests of their own.
    assert kinds >= {kind for kind in OpKind if hasattr(schema.BuiltinOperator, kind.value)}


@pytest.mark.parametrize("name", MODELS)
def test_small_models_give_tflm_bytes(name):
    assert_matches_tflm(MODELS[name](), np.random.default_rng(2), runs=6)


def test_options_arrive():
    assert read("conv_2d").ops[0].attrs == Conv2DAttrs(
        Padding.SAME, 2, 2, activation=Activation.RELU6
    )
    assert read("depthwise_conv_2d").ops[0].attrs == DepthwiseConv2DAttrs(
        Padding.VALID, 1, 1, depth_multiplier=2
    )
    assert read("softmax").ops[0].attrs == SoftmaxAttrs(1.0)
    assert read("strided_slice").ops[0].attrs == StridedSliceAttrs(end_mask=4, shrink_axis_mask=2)
    lstm = read("unidirectional_sequence_lstm_time_major").ops[0]
    assert lstm.attrs == LstmAttrs(Activation.TANH, 0.0, 0.0, True)
    assert lstm.inputs[9] is None
    assert len(lstm.intermediates) == 5


def test_a_missing_options_table_means_the_defaults():
    b = ModelBuilder()
    x, y = b.input("x", (1, 3), **Q), b.tensor("y", (1, 3), **Q)
    b.op("ADD", [x, x], [y], with_options=False)
    b.output(y)
    graph = import_tflite(b.build(), "m")
    assert graph.ops[0].attrs.activation is Activation.NONE


def test_constants_and_quantisation_arrive_read_only():
    graph = read("conv_2d")
    w = graph.tensor(graph.ops[0].inputs[1])
    assert w.dtype is DType.S8
    assert w.data.shape == (3, 3, 2, 2)
    assert w.quant.axis == 0
    assert w.quant.scales == tuple(float(np.float32(s)) for s in (0.01, 0.02, 0.03))
    with pytest.raises(ValueError, match="read-only"):
        w.data[0] = 1


def test_state_is_variable():
    graph = read("svdf")
    assert [t.name for t in graph.tensors if t.is_variable] == ["state"]


def test_the_model_id_is_the_hash_of_the_file():
    assert read("add").model_id != read("sub").model_id
    assert len(read("add").model_id) == 64


@pytest.mark.parametrize(
    ("name", "identifier"),
    [("kws_int8", "kws_int8"), ("3x3 net", "model_3x3_net"), ("é", "model__"), ("", "model")],
)
def test_names_become_c_identifiers(name, identifier):
    assert c_identifier(name) == identifier


def test_names_are_fit_for_a_terminal():
    b = ModelBuilder()
    x, y = b.input("\x1b[31mred\n", (1, 3), **Q), b.tensor("y", (1, 3), **Q)
    b.op("RELU", [x], [y])
    b.output(y)
    assert import_tflite(b.build(), "m").tensor(x).name == "?[31mred?"


# What is wrong with the model, how, and what the message must say.


def relu(shape=(1, 4), out=None, dtype="int8", **quant):
    b = ModelBuilder()
    x = b.input("x", shape, dtype, **(quant or Q))
    y = b.tensor("y", out or shape, dtype, **(quant or Q))
    b.op("RELU", [x], [y])
    b.output(y)
    return b


def conv(w_shape=(3, 3, 2, 2), out=(1, 4, 5, 3), bias=3, scale=0.01, zp=0, axis=0, **options):
    b = ModelBuilder()
    x, y = b.input("x", (1, 4, 5, 2), **Q), b.tensor("y", out, **Q)
    w = b.const("w", np.ones(w_shape, np.int8), scale=scale, zp=zp, axis=axis)
    c = b.const("b", np.zeros(bias, np.int32), scale=0.0005)
    options = {"padding": "SAME", "stride_h": 1, "stride_w": 1} | options
    b.op("CONV_2D", [x, w, c], [y], **options)
    b.output(y)
    return b


def changed(b, change):
    change(b.graph, b.model)
    return b


def tensor(index, **values):
    def change(graph, model):
        for name, value in values.items():
            setattr(graph.tensors[index], name, value)

    return change


def quantisation(index, **values):
    def change(graph, model):
        for name, value in values.items():
            setattr(graph.tensors[index].quantization, name, value)

    return change


def operator(**values):
    def change(graph, model):
        for name, value in values.items():
            setattr(graph.operators[0], name, value)

    return change


def chain(*indices):
    """RELUs from tensor to tensor, as many as pairs are given."""
    b = relu()
    b.tensor("z", (1, 4), **Q)
    b.graph.operators.clear()
    for source, target in indices:
        b.op("RELU", [source], [target])
    return b


def indexed(kind, shape, out, *indices, dtype=np.int32, **options):
    b = ModelBuilder()
    x, y = b.input("x", shape, **Q), b.tensor("y", out, **Q)
    b.op(kind, [x, *(b.const(f"i{n}", np.array(v, dtype)) for n, v in enumerate(indices))], [y],
         **options)  # fmt: skip
    b.output(y)
    return b


def computed_shape():
    b = ModelBuilder()
    x, i, y = b.input("x", (2, 3), **Q), b.input("i", (2,), "int32"), b.tensor("y", (3, 2), **Q)
    b.op("TRANSPOSE", [x, i], [y])
    b.output(y)
    return b


def two_subgraphs():
    b = relu()
    b.model.subgraphs.append(b.graph)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "train", 1
    b.model.signatureDefs = [signature]
    return b


def custom():
    b = relu()
    b.model.operatorCodes.clear()
    b.graph.operators.clear()
    b.op("CUSTOM", [0], [1], version=7, custom_code="Mystery")
    return b


def builtin(kind, version=1):
    b = relu()
    b.model.operatorCodes.clear()
    b.graph.operators.clear()
    b.op(kind, [0], [1], version)
    return b


def no_state():
    b = ModelBuilder()
    x, y = b.input("x", (1, 3), **Q), b.tensor("y", (1, 2), **Q)
    feature = b.const("f", np.ones((2, 3), np.int8), scale=0.1)
    time_weights = b.const("t", np.ones((2, 4), np.int16), scale=0.1)
    state = b.input("s", (1, 8), "int16", scale=0.1)
    b.op("SVDF", [x, feature, time_weights, -1, state], [y], rank=1)
    b.output(y)
    return b


WRONG = {
    "unknown operator": (builtin("CUMSUM", 2), UnsupportedError, "node 0: CUMSUM version 2"),
    "version": (builtin("RELU", 9), UnsupportedError, "RELU version 9 .* versions 1 to 3"),
    "custom": (custom(), UnsupportedError, "custom operator 'Mystery' version 7"),
    "subgraphs": (two_subgraphs(), UnsupportedError, "2 subgraphs and a signature"),
    "float16": (relu(dtype="float16"), UnsupportedError, "tensor 0 .x. is FLOAT16"),
    "string": (relu(dtype="string"), UnsupportedError, "is STRING"),
    "dynamic": (
        changed(relu((4, 4)), tensor(0, shapeSignature=[-1, 4])),
        UnsupportedError,
        r"dynamic shape \[-1, 4\]",
    ),
    "schema": (changed(relu(), lambda g, m: setattr(m, "version", 2)), UnsupportedError, "schema"),
    "rank": (relu((1,) * 7), ModelError, "rank 7, at most 6"),
    "no elements": (relu((1, 0)), ModelError, "has no elements"),
    "negative": (relu((1, -4)), ModelError, "negative dimension"),
    "too large": (relu((2**16, 2**16)), ModelError, "takes 4294967296 B"),
    "overflow": (relu((2**31 - 1,) * 4), ModelError, "at most 2147483647 B"),
    "scale 0": (relu(scale=0.0), ModelError, "scale 0.0 is not a positive"),
    "scale nan": (relu(scale=float("nan")), ModelError, "scale nan"),
    "scale inf": (relu(scale=float("inf")), ModelError, "scale inf"),
    "scale tiny": (relu(scale=1e-30), ModelError, "outside"),
    "zero point": (relu(scale=0.1, zp=128), ModelError, "zero point 128 is outside int8"),
    "zero points": (
        changed(relu(), quantisation(0, zeroPoint=[0, 0])),
        ModelError,
        "1 scales, 2 zero points",
    ),
    "per channel activation": (
        changed(relu(), quantisation(0, scale=[0.1] * 4, zeroPoint=[0] * 4, quantizedDimension=1)),
        ModelError,
        "one scale per channel",
    ),
    "axis": (conv(scale=[0.1] * 3, axis=4), ModelError, "along axis 4"),
    "channel count": (conv(scale=[0.1] * 2), ModelError, "2 scales along axis 0"),
    "wrong axis": (conv(scale=[0.1] * 2, axis=3), ModelError, "axis 3, must be 0"),
    "asymmetric": (conv(zp=3), ModelError, "zero point other than 0"),
    "bias": (conv(bias=4), ModelError, "4 numbers for 3 channels"),
    "in depth": (conv(w_shape=(3, 3, 2, 5)), ModelError, "do not fit 2 input channels"),
    "conv shape": (conv(out=(1, 4, 4, 3)), ModelError, "1x4x4x3, its inputs give 1x4x5x3"),
    "stride 0": (conv(stride_w=0), ModelError, "stride is 0"),
    "dilation": (conv(dilation_h_factor=2**30), ModelError, "dilation is 1073741824"),
    "window": (
        conv(w_shape=(3, 5, 2, 2), padding="VALID"),
        ModelError,
        "reaching over 5 does not fit 4",
    ),
    "buffer": (
        changed(conv(), lambda g, m: setattr(m.buffers[1], "data", np.zeros(7, np.uint8))),
        ModelError,
        "tensor 2: 7 B of data for shape",
    ),
    "buffer index": (changed(conv(), tensor(2, buffer=99)), ModelError, "buffer 99 of"),
    "tensor index": (changed(relu(), operator(inputs=[17])), ModelError, "tensor 17 of 2"),
    "missing input": (changed(relu(), operator(inputs=[-1])), ModelError, "input 0 is missing"),
    "input count": (changed(relu(), operator(inputs=[0, 0])), ModelError, "2 inputs, takes 1"),
    "output count": (
        changed(chain((0, 1)), operator(outputs=[1, 2])),
        ModelError,
        "2 outputs, gives 1",
    ),
    "opcode": (changed(relu(), operator(opcodeIndex=5)), ModelError, "operator code 5 of 1"),
    "options": (
        changed(conv(), operator(builtinOptionsType=schema.BuiltinOptions.AddOptions)),
        ModelError,
        "options are AddOptions",
    ),
    "order": (chain((2, 1), (0, 2)), ModelError, "reads tensor z before it is written"),
    "twice": (chain((0, 1), (0, 1)), ModelError, "writes tensor y a second time"),
    "never": (chain((0, 2)), ModelError, "output y is never written"),
    "no operators": (chain(), ModelError, "no operators"),
    "no outputs": (
        changed(relu(), lambda g, m: setattr(g, "outputs", [])),
        ModelError,
        "1 inputs and 0 outputs",
    ),
    "writes constant": (
        changed(conv(), operator(outputs=[2])),
        ModelError,
        "writes the constant tensor w",
    ),
    "constant input": (
        changed(conv(), lambda g, m: setattr(g, "inputs", [0, 2])),
        ModelError,
        "input w is a constant tensor",
    ),
    "shape": (relu((1, 4), out=(1, 5)), ModelError, "1x5, its inputs give 1x4"),
    "types": (changed(relu(), tensor(1, type=schema.TensorType.INT16)), ModelError, "must agree"),
    "state": (no_state(), ModelError, "input 4 .s. must be a variable tensor"),
    "computed": (computed_shape(), UnsupportedError, "computed at run time"),
    "permutation": (indexed("TRANSPOSE", (2, 3), (3, 2), [1, 1]), ModelError, "no permutation"),
    "axis range": (indexed("MEAN", (2, 3), (2,), [2]), ModelError, "axis is 2"),
    "index type": (
        indexed("MEAN", (2, 3), (2,), [1], dtype=np.int16),
        ModelError,
        "must be int32 or int64",
    ),
    "negative pad": (
        indexed("PAD", (2, 3), (2, 2), [[0, 0], [0, -1]]),
        ModelError,
        "padding is -1",
    ),
    "slice": (indexed("SLICE", (4,), (3,), [2], [3]), ModelError, "size is 3, must be in"),
    "stride": (indexed("STRIDED_SLICE", (4,), (3,), [0], [4], [0]), ModelError, "stride of 0"),
    "reshape": (indexed("RESHAPE", (4,), (5,), [5]), ModelError, "cannot make 5 of 4"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_model_is_refused_in_one_line(what):
    builder, kind, message = WRONG[what]
    with pytest.raises(kind, match=message) as error:
        import_tflite(builder.build(), "wrong")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("wrong")


def test_a_batch_of_one_may_be_free():
    b = changed(relu((1, 4)), tensor(0, shapeSignature=[-1, 4]))
    assert import_tflite(b.build(), "m").tensor(0).shape == (1, 4)


def test_subgraphs_nobody_enters_are_left_alone():
    b = relu()
    b.model.subgraphs.append(b.graph)
    assert len(import_tflite(b.build(), "m").ops) == 1


@pytest.mark.parametrize("name", ["conv_2d", "unidirectional_sequence_lstm", "chain"])
def test_a_file_cut_short_is_refused_wherever_it_is_cut(name):
    data = MODELS[name]()
    refused = 0
    for end in range(len(data) - 1):
        try:
            import_tflite(data[:end], "cut")
        except ToolError as e:
            assert "\n" not in str(e)
            refused += 1
    assert refused > 0.9 * len(data)  # what is cut off may be padding, or a name nobody reads


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\0" * 64, b"\x10\0\0\0TFL3", b"PK\3\4" * 8])
def test_what_is_no_model_is_refused(data):
    with pytest.raises(ModelError):
        import_tflite(data, "junk")


def test_a_huge_vector_length_costs_no_time():
    data = MODELS["fully_connected"]()
    refused = 0
    start = time.monotonic()
    for offset in range(0, len(data) - 4, 4):
        for length in (2**32 - 1, 2**31, 2**30, 2**24):
            try:
                import_tflite(
                    data[:offset] + struct.pack("<I", length) + data[offset + 4 :], "long"
                )
            except ToolError:
                refused += 1
    assert refused > 100
    assert time.monotonic() - start < 30  # about a thousand files


def with_archive(data, members):
    """`data` with a zip archive behind it, as TFLite metadata keeps its associated files."""
    archive = io.BytesIO()
    archive.write(data)
    with zipfile.ZipFile(archive, "a") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return archive.getvalue()


def test_labels_in_the_metadata_count_if_there_is_one_a_class():
    model = MODELS["softmax"]()  # six outputs
    six, five = "a\nb\n\nc\nd\ne\nf \x07\n", "a\nb\nc\nd\ne"
    labels = import_tflite(with_archive(model, {"vocab.txt": six, "labels.txt": six}), "m").labels
    assert labels == ("a", "b", "c", "d", "e", "f ?")
    assert import_tflite(with_archive(model, {"labels.txt": five}), "m").labels == ()


def test_a_broken_archive_is_refused():
    data = bytearray(with_archive(MODELS["softmax"](), {"labels.txt": "a\nb\nc\nd\ne\nf"}))
    directory = data.rfind(b"PK\1\2")
    data[directory : directory + 4] = b"oops"
    with pytest.raises(ModelError, match="associated files"):
        import_tflite(bytes(data), "m")


def test_labels_beside_the_file_must_fit(tmp_path):
    path = tmp_path / "net.tflite"
    path.write_bytes(MODELS["softmax"]())
    sidecar = tmp_path / "net.labels.txt"
    assert load_model(path).labels == ()
    sidecar.write_text("one\ntwo\nthree\nfour\nfive\nsix\n")
    assert load_model(path).labels[1] == "two"
    sidecar.write_text("one\ntwo\n")
    with pytest.raises(ModelError, match="2 labels, but the output has 6 values"):
        load_model(path)


def test_a_path_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        load_model(tmp_path / "absent.tflite")
    with pytest.raises(ModelError, match="no such file"):
        (tmp_path / "folder.tflite").mkdir()
        load_model(tmp_path / "folder.tflite")
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"'.onnx'; known: .tflite"):
        load_model(tmp_path / "net.onnx")
