"""Binary networks: the reference against arithmetic on real numbers, C against the reference."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from support.boards import booted, firmware
from support.host_capsule import HostCapsule
from tinyseal.cli.run import sample_inputs
from tinyseal.errors import ModelError, ToolError
from tinyseal.graph.bits import pack, tail_is_clear, unpack, word_count
from tinyseal.graph.ir import (
    Activation,
    BinaryConv2DAttrs,
    BinaryFullyConnectedAttrs,
    DType,
    Graph,
    Op,
    OpKind,
    Padding,
    Pool2DAttrs,
    Quant,
    Tensor,
)
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.optimise import layers as net
from tinyseal.optimise.binarise import binarise
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

HOST = load_board("host")
M55 = load_board("qemu-m55")  # binary layers by vector, here in the compiler's
ROOT = Path(__file__).resolve().parents[1]
DIGITS = ROOT / "examples" / "digits" / "test.npz"
SIGNS = Quant((1.0,), (0,))


def one_op_graph(kind, attrs, x, constants, out):
    """A Graph of one operator: input x and output out are (shape, dtype, quant)."""
    tensors = [Tensor(0, "x", *x)]
    inputs = [0]
    for name, data, quant in constants:
        if data is None:
            inputs.append(None)
            continue
        index = len(tensors)
        tensors.append(Tensor(index, name, data.shape, DType(data.dtype.name), quant, data))
        inputs.append(index)
    tensors.append(Tensor(len(tensors), "y", *out))
    last = len(tensors) - 1
    op = (
        Op(0, kind, 1, tuple(inputs), (last,), attrs)
        if attrs
        else Op(0, kind, 1, tuple(inputs), (last,))
    )
    return Graph("one", "00" * 32, tuple(tensors), (op,), (0,), (last,))


def check_c(graph, tmp_path, inputs):
    """Runs reference and C on every input; returns the reference's outputs.

    The graph takes the way of every model: through a file.
    """
    graph = import_tflite(write_tflite(graph, "test"), "one")
    reference = Interpreter(graph)
    outputs = [reference.invoke([x])[0] for x in inputs]
    for made in (plan(graph, HOST), plan(graph, M55, KernelSet.TUNED)):
        capsule = HostCapsule(made, tmp_path)
        for x, y in zip(inputs, outputs, strict=True):
            np.testing.assert_array_equal(capsule.invoke([x])[0], y)
    return outputs


def signs(rng, *shape):
    return rng.choice(np.array([-1, 1], dtype=np.int8), shape)


def out_size(size, kernel, stride, dilation, padding):
    reach = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding is Padding.SAME else (size - reach) // stride + 1


def real_conv(x, w, stride, dilation, padding, fill):
    """Plain loops over NHWC values and OHWI weights, as a textbook has it."""
    n, h, wd, _ = x.shape
    o, kh, kw, _ = w.shape
    oh, ow = (
        out_size(s, k, t, d, padding)
        for s, k, t, d in zip((h, wd), (kh, kw), stride, dilation, strict=True)
    )
    top, left = (
        max((r - 1) * t + (k - 1) * d + 1 - s, 0) // 2 if padding is Padding.SAME else 0
        for s, k, t, d, r in zip((h, wd), (kh, kw), stride, dilation, (oh, ow), strict=True)
    )
    y = np.zeros((n, oh, ow, o))
    for b, i, j, c in itertools.product(range(n), range(oh), range(ow), range(o)):
        for ky, kx in itertools.product(range(kh), range(kw)):
            at_y = i * stride[0] + ky * dilation[0] - top
            at_x = j * stride[1] + kx * dilation[1] - left
            if 0 <= at_y < h and 0 <= at_x < wd:
                y[b, i, j, c] += np.dot(x[b, at_y, at_x].astype(float), w[c, ky, kx].astype(float))
            else:
                y[b, i, j, c] += fill * np.sum(w[c, ky, kx].astype(float))
    return y


# height, width, channels, out channels, kernel, stride, dilation, padding, pad value
CONVS = [
    (5, 6, 1, 1, (3, 3), (1, 1), (1, 1), Padding.SAME, 0),
    (5, 6, 31, 7, (3, 3), (1, 1), (1, 1), Padding.SAME, 0),
    (5, 6, 32, 33, (3, 3), (1, 1), (1, 1), Padding.SAME, 1),
    (6, 5, 33, 32, (3, 3), (2, 2), (1, 1), Padding.SAME, -1),
    (6, 5, 70, 65, (2, 3), (2, 1), (1, 1), Padding.SAME, 0),
    (7, 7, 5, 40, (3, 2), (1, 2), (2, 1), Padding.SAME, -1),
    (7, 7, 64, 3, (3, 3), (3, 3), (1, 1), Padding.VALID, 0),
    (9, 8, 40, 9, (3, 3), (1, 1), (3, 2), Padding.VALID, 1),
    (4, 4, 96, 31, (1, 1), (1, 1), (1, 1), Padding.SAME, 0),
    (4, 4, 129, 4, (1, 1), (2, 2), (1, 1), Padding.VALID, 0),
    (2, 2, 9, 4, (5, 5), (1, 1), (1, 1), Padding.SAME, 0),
    (3, 3, 128, 6, (3, 3), (1, 1), (1, 1), Padding.SAME, 0),
]


def conv_case(rng, case, binary_input):
    """Attributes, weights as signs, and the shapes of input and output."""
    h, w, channels, outs, kernel, stride, dilation, padding, pad = case
    attrs = {
        "padding": padding,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h": dilation[0],
        "dilation_w": dilation[1],
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "in_channels": channels,
        "pad_value": pad,
    }
    weights = signs(rng, outs, *kernel, channels)
    flat = weights < 0 if binary_input else weights.reshape(outs, -1) < 0
    out = (
        2,
        out_size(h, kernel[0], stride[0], dilation[0], padding),
        out_size(w, kernel[1], stride[1], dilation[1], padding),
        outs,
    )
    return attrs, weights, pack(flat), (2, h, w, channels), out


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 100])
def test_packing_goes_there_and_back_with_clear_tails(channels):
    values = signs(np.random.default_rng(channels), 3, channels)
    words = pack(values < 0)
    assert words.shape == (3, word_count(channels))
    assert tail_is_clear(words, channels)
    np.testing.assert_array_equal(unpack(words, channels), values)
    assert channels % 32 == 0 or not tail_is_clear(words | np.int32(-(2**31)), channels)


@pytest.mark.parametrize("case", CONVS)
def test_binary_conv_to_signs_equals_real_arithmetic(case, tmp_path):
    rng = np.random.default_rng(3)
    attrs, weights, packed, x_shape, out = conv_case(rng, case, binary_input=True)
    thresholds = rng.integers(-6, 7, out[-1], dtype=np.int32)
    graph = one_op_graph(
        OpKind.BINARY_CONV_2D,
        BinaryConv2DAttrs(**attrs, acc_shift=0),
        ((*x_shape[:3], word_count(x_shape[3])), DType.S32, SIGNS),
        [("w", packed, SIGNS), ("t", thresholds, None)],
        ((*out[:3], word_count(out[3])), DType.S32, SIGNS),
    )
    images = [signs(rng, *x_shape) for _ in range(2)]
    results = check_c(graph, tmp_path, [pack(x < 0) for x in images])
    for x, y in zip(images, results, strict=True):
        real = real_conv(x, weights, case[5], case[6], case[7], case[8])
        np.testing.assert_array_equal(unpack(y, out[3]), np.where(real >= thresholds, 1, -1))
        assert tail_is_clear(y, out[3])


@pytest.mark.parametrize("case", CONVS)
@pytest.mark.parametrize("binary_input", [True, False])
def test_conv_with_binary_weights_to_int8_is_within_one_step(case, binary_input, tmp_path):
    rng = np.random.default_rng(5)
    attrs, weights, packed, x_shape, out = conv_case(rng, case, binary_input)
    outs = out[3]
    gains = rng.uniform(0.01, 0.2, outs).astype(np.float32)
    shift = 6
    bias = rng.integers(-2000, 2000, outs, dtype=np.int32)
    x_quant = SIGNS if binary_input else Quant((0.25,), (-7,))
    y_quant = Quant((0.125,), (11,))
    kind = OpKind.BINARY_CONV_2D if binary_input else OpKind.BINARY_WEIGHT_CONV_2D
    words = word_count(x_shape[3])
    graph = one_op_graph(
        kind,
        BinaryConv2DAttrs(**attrs, acc_shift=shift, activation=Activation.RELU),
        ((*x_shape[:3], words), DType.S32, x_quant)
        if binary_input
        else (x_shape, DType.S8, x_quant),
        [("w", packed, Quant(tuple(gains.tolist()), (0,) * outs, 0)), ("b", bias, None)],
        (out, DType.S8, y_quant),
    )
    if binary_input:
        images = [signs(rng, *x_shape) for _ in range(2)]
        results = check_c(graph, tmp_path, [pack(x < 0) for x in images])
        reals = images
    else:
        images = [rng.integers(-128, 128, x_shape, dtype=np.int8) for _ in range(2)]
        results = check_c(graph, tmp_path, images)
        reals = [0.25 * (x.astype(float) + 7) for x in images]
    unit = 1.0 if binary_input else 0.25
    for x, y in zip(reals, results, strict=True):
        real = real_conv(x, weights, case[5], case[6], case[7], case[8])
        real = gains * (real + unit * bias / 2.0**shift)
        wanted = np.clip(real / 0.125 + 11, 11, 127)
        assert np.max(np.abs(y - wanted)) <= 0.55


def test_binary_weights_to_signs_equal_real_arithmetic(tmp_path):
    rng = np.random.default_rng(6)
    attrs, weights, packed, x_shape, out = conv_case(rng, CONVS[4], binary_input=False)
    thresholds = rng.integers(-300, 300, out[3], dtype=np.int32)
    graph = one_op_graph(
        OpKind.BINARY_WEIGHT_CONV_2D,
        BinaryConv2DAttrs(**attrs, acc_shift=0),
        (x_shape, DType.S8, Quant((0.5,), (-128,))),
        [("w", packed, SIGNS), ("t", thresholds, None)],
        ((*out[:3], word_count(out[3])), DType.S32, SIGNS),
    )
    x = rng.integers(-128, 128, x_shape, dtype=np.int8)
    (y,) = check_c(graph, tmp_path, [x])
    real = real_conv(x.astype(float) + 128, weights, *CONVS[4][5:8], 0)
    np.testing.assert_array_equal(unpack(y, out[3]), np.where(real >= thresholds, 1, -1))


@pytest.mark.parametrize(("depth", "outs"), [(1, 1), (31, 10), (64, 33), (1000, 12), (20000, 3)])
@pytest.mark.parametrize("to_signs", [True, False])
def test_dense_layers_equal_real_arithmetic(depth, outs, to_signs, tmp_path):
    rng = np.random.default_rng(depth)
    weights = signs(rng, outs, depth)
    packed = pack(weights < 0)
    attrs = BinaryFullyConnectedAttrs(in_depth=depth, acc_shift=4)
    if to_signs:
        y = ((3, word_count(outs)), DType.S32, SIGNS)
    else:
        y = ((3, outs), DType.S8, Quant((2.0,), (0,)))
    offsets = rng.integers(-9, 9, outs, dtype=np.int32)
    constants = [("w", packed, SIGNS), ("t", offsets, None)]

    def check(real, got):
        if to_signs:
            np.testing.assert_array_equal(unpack(got, outs), np.where(real >= offsets, 1, -1))
        else:
            wanted = np.clip((real + offsets / 16) / 2, -128, 127)
            assert np.max(np.abs(got - wanted)) <= 0.55

    (tmp_path / "a").mkdir()
    x = signs(rng, 3, depth)
    graph = one_op_graph(
        OpKind.BINARY_FULLY_CONNECTED,
        attrs,
        ((3, word_count(depth)), DType.S32, SIGNS),
        constants,
        y,
    )
    check(x.astype(float) @ weights.T, check_c(graph, tmp_path / "a", [pack(x < 0)])[0])
    (tmp_path / "b").mkdir()
    graph = one_op_graph(
        OpKind.BINARY_WEIGHT_FULLY_CONNECTED,
        attrs,
        ((3, depth), DType.S8, Quant((1.0,), (5,))),
        constants,
        y,
    )
    q = rng.integers(-20, 20, (3, depth), dtype=np.int8)
    check((q.astype(float) - 5) @ weights.T, check_c(graph, tmp_path / "b", [q])[0])


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("channels", "filters", "strides", "padding"),
    [
        (1, (2, 2), (2, 2), Padding.VALID),
        (33, (3, 2), (2, 1), Padding.SAME),
        (64, (3, 3), (1, 1), Padding.SAME),
    ],
)
def test_pooling_of_signs_takes_maximum_or_minimum(
    channels, filters, strides, padding, inverted, tmp_path
):
    rng = np.random.default_rng(9)
    x = signs(rng, 1, 7, 6, channels)
    # Mostly +1 or mostly -1 in each channel, or nearly every window would hold both.
    x = np.where(rng.random(x.shape) < 0.6, np.where(np.arange(channels) % 2, 1, -1), x)
    x = x.astype(np.int8)
    oh, ow = (
        out_size(s, k, t, 1, padding) for s, k, t in zip((7, 6), filters, strides, strict=True)
    )
    minimum = rng.random(channels) < 0.5 if inverted else np.zeros(channels, dtype=bool)
    words = word_count(channels)
    graph = one_op_graph(
        OpKind.BINARY_MAX_POOL_2D,
        Pool2DAttrs(padding, *strides, *filters),
        ((1, 7, 6, words), DType.S32, SIGNS),
        [("invert", pack(minimum) if inverted else None, None)],
        ((1, oh, ow, words), DType.S32, SIGNS),
    )
    (y,) = check_c(graph, tmp_path, [pack(x < 0)])
    top, left = (
        max((r - 1) * t + k - s, 0) // 2 if padding is Padding.SAME else 0
        for s, k, t, r in zip((7, 6), filters, strides, (oh, ow), strict=True)
    )
    for i, j in itertools.product(range(oh), range(ow)):
        ys = slice(max(i * strides[0] - top, 0), i * strides[0] - top + filters[0])
        xs = slice(max(j * strides[1] - left, 0), j * strides[1] - left + filters[1])
        part = x[0, ys, xs].reshape(-1, channels)
        wanted = np.where(minimum, part.min(axis=0), part.max(axis=0))
        np.testing.assert_array_equal(unpack(y[0, i, j], channels), wanted)


@pytest.mark.parametrize("channels", [1, 31, 32, 45])
def test_pack_and_unpack_follow_thresholds_and_scales(channels, tmp_path):
    rng = np.random.default_rng(channels)
    q = rng.integers(-128, 128, (1, 3, 2, channels), dtype=np.int8)
    words = (1, 3, 2, word_count(channels))
    thresholds = rng.integers(-128, 129, channels).astype(np.int16)
    turned = rng.random(channels) < 0.5
    for name, constants, wanted in (
        ("zero_point", [], q < -3),
        (
            "thresholds",
            [("t", thresholds, None), ("i", pack(turned), None)],
            (q < thresholds) ^ turned,
        ),
    ):
        (tmp_path / name).mkdir()
        graph = one_op_graph(
            OpKind.BINARY_PACK,
            None,
            (q.shape, DType.S8, Quant((0.1,), (-3,))),
            constants,
            (words, DType.S32, SIGNS),
        )
        (y,) = check_c(graph, tmp_path / name, [q])
        np.testing.assert_array_equal(unpack(y, channels) < 0, wanted)
    graph = one_op_graph(
        OpKind.BINARY_UNPACK,
        None,
        (words, DType.S32, SIGNS),
        [],
        (q.shape, DType.S8, Quant((1 / 100,), (3,))),
    )
    (z,) = check_c(graph, tmp_path, [pack(q < 0)])
    np.testing.assert_array_equal(z, np.where(q < 0, -97, 103))


def small_conv(**changes):
    attrs = {
        "padding": Padding.SAME,
        "stride_h": 1,
        "stride_w": 1,
        "dilation_h": 1,
        "dilation_w": 1,
        "kernel_h": 3,
        "kernel_w": 3,
        "in_channels": 10,
        "pad_value": 0,
        "acc_shift": 4,
    }
    weights = changes.pop("weights", np.zeros((4, 3, 3, 1), np.int32))
    return one_op_graph(
        OpKind.BINARY_CONV_2D,
        BinaryConv2DAttrs(**(attrs | changes)),
        ((1, 5, 5, 1), DType.S32, SIGNS),
        [("w", weights, SIGNS), ("b", np.zeros(4, np.int32), None)],
        ((1, 5, 5, 4), DType.S8, Quant((1.0,), (0,))),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": np.full((4, 3, 3, 1), -1, np.int32)}, "weights set bits past channel 10"),
        ({"in_channels": 33}, "33 input channels, the input has depth 1"),
        ({"in_channels": 0}, "input channels is 0"),
        ({"pad_value": 2}, "pad value is 2"),
        ({"acc_shift": 40}, "accumulator shift 40"),
        ({"kernel_h": 2**30}, "window is 1073741824"),
        ({"kernel_w": 2}, "needs 4x3x2x1"),
        ({"stride_w": 0}, "stride is 0"),
    ],
)
def test_a_wrong_layer_is_refused_in_one_line(changes, message):
    with pytest.raises(ModelError, match=message) as caught:
        Interpreter(import_tflite(write_tflite(small_conv(**changes), "test"), "one"))
    assert "\n" not in str(caught.value)


def test_mangled_files_of_binary_layers_raise_only_tool_errors():
    data = write_tflite(small_conv(), "test")
    rng = np.random.default_rng(11)
    refused = 0
    for _ in range(2000):
        mangled = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            mangled[rng.integers(len(mangled))] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF])
        try:
            Interpreter(import_tflite(bytes(mangled), "one"))
        except ToolError:
            refused += 1
    assert refused > 500


def quantised(graph, real):
    """Real inputs as the model's first input has them."""
    quant = graph.tensor(graph.inputs[0]).quant
    return np.clip(np.round(real / quant.scale) + quant.zero_point, -128, 127).astype(np.int8)


# What train.py printed when the models were made.
@pytest.mark.parametrize(
    ("model", "right"), [("int8", 358), ("binary_weight", 356), ("binary", 357)]
)
def test_the_digits_models_keep_their_accuracy_in_reference_and_c(model, right, tmp_path):
    graph = load_model(ROOT / "models" / f"digits_{model}.tflite")
    with np.load(DIGITS) as test:
        inputs = quantised(graph, test["images"][:, None, :, :, None] / 8 - 1)
        labels = test["labels"]
    reference = Interpreter(graph)
    capsule = HostCapsule(plan(graph, HOST), tmp_path)
    expected = [reference.invoke([x])[0] for x in inputs]
    for x, y in zip(inputs, expected, strict=True):
        np.testing.assert_array_equal(capsule.invoke([x])[0], y)
    guesses = np.array([int(np.argmax(y)) for y in expected])
    assert int(np.sum(guesses == labels)) == right


# MVE, no DSP at all, no multiplier worth the name: what a compiler makes of the kernels differs.
@pytest.mark.parametrize("board", ["qemu-m55", "qemu-m0", "qemu-xtensa"])
@pytest.mark.parametrize("model", ["binary_weight", "binary"])
def test_boards_give_the_reference_bytes(board, model):
    path = Path("models") / f"digits_{model}.tflite"
    graph = load_model(ROOT / path)
    reference = Interpreter(graph)
    with booted(firmware(board, path)) as client:
        info = client.info()
        for _, inputs in sample_inputs(graph):
            outputs, _ = client.run(info, inputs)
            np.testing.assert_array_equal(outputs[0], reference.invoke(inputs)[0])


def test_a_falling_line_behind_a_pool_of_floats_keeps_its_sign():
    """Weights of any kind, pool, then a negative factor: signs of the minimum, from int8."""
    rng = np.random.default_rng(8)
    x = rng.uniform(-1, 1, (20, 6, 6, 3)).astype(np.float32)
    kernel = rng.normal(size=(1, 1, 3, 8))
    factor = rng.choice([-1.0, 1.0], 8) * rng.uniform(0.5, 2, 8)
    offset = rng.normal(size=8)
    conv = np.einsum("nhwi,xyio->nhwo", x, kernel)
    pooled = conv.reshape(20, 3, 2, 3, 2, 8).max(axis=(2, 4))
    line = pooled * factor + offset

    def ranged(value):
        return value.shape[1:], float(value.min()), float(value.max())

    network = net.Network(
        (
            net.Input("x", (), *ranged(x)),
            net.Conv(
                "conv", (0,), *ranged(conv), kernel, None, (1, 1), (1, 1), Padding.SAME, 0.0, False
            ),
            net.Pool("pool", (1,), *ranged(pooled), (2, 2), (2, 2), Padding.VALID, False),
            net.Affine("norm", (2,), *ranged(line), factor, offset),
            net.Sign("sign", (3,), line.shape[1:], -1.0, 1.0),
        ),
        (4,),
    )
    graph, _ = binarise(network, "falling", "test")
    kinds = [op.kind for op in graph.ops]
    assert kinds == [
        OpKind.CONV_2D,
        OpKind.BINARY_PACK,
        OpKind.BINARY_MAX_POOL_2D,
        OpKind.BINARY_UNPACK,
    ]
    reference = Interpreter(graph)
    got = np.concatenate([reference.invoke([q[None]])[0] for q in quantised(graph, x)])
    sure = np.abs(line) > 0.1  # further from nought than int8 inputs and weights can shift it
    assert np.mean(sure) > 0.8
    np.testing.assert_array_equal(np.sign(got)[sure], np.sign(line)[sure])


@pytest.fixture(scope="module")
def keras():
    """Keras 2 with larq, quiet and seeded."""
    missing = [m for m in ("tf_keras", "larq") if importlib.util.find_spec(m) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed; ./setup train installs them")
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    return tf_keras


def binary_layer(kind, *args, **options):
    import larq

    options = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        **options,
    }
    return getattr(larq.layers, kind)(*args, **options)


def unsettle(model, rng):
    """Batch normalisations as training might leave them: factors of both signs."""
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            factors = [rng.normal(size=layer.gamma.shape)] if layer.scale else []
            shape = layer.beta.shape
            rest = [rng.normal(size=shape), 3 * rng.normal(size=shape), rng.uniform(1, 20, shape)]
            layer.set_weights(factors + rest)


def convert(model, x):
    from tinyseal.optimise.keras import read_keras

    return binarise(read_keras(model, x), model.name, "test")[0]


def test_a_fully_binary_keras_model_gives_the_same_sums(keras, tmp_path):
    """Every sign on the way equals Keras', or the last layer's sums of 48 would differ."""
    layers = keras.layers
    rng = np.random.default_rng(4)
    model = keras.Sequential(
        [
            keras.Input((9, 7, 5)),
            binary_layer("QuantConv2D", 37, 3, padding="same"),
            layers.BatchNormalization(),
            binary_layer(
                "QuantConv2D",
                20,
                3,
                padding="same",
                pad_values=1,
                kernel_quantizer="magnitude_aware_sign",
            ),
            layers.MaxPooling2D(3, 2, padding="same"),
            layers.BatchNormalization(),
            binary_layer("QuantConv2D", 24, 3, padding="same", pad_values=-1, use_bias=False),
            layers.BatchNormalization(scale=False),
            layers.MaxPooling2D(2, 1),
            binary_layer("QuantConv2D", 35, 2, strides=2),
            layers.Flatten(),
            binary_layer("QuantDense", 48),
            layers.BatchNormalization(),
            binary_layer("QuantDense", 12, use_bias=False),
        ]
    )
    unsettle(model, rng)
    x = rng.choice(np.array([-1, 1], np.float32), (40, 9, 7, 5))
    graph = convert(model, x)
    assert {op.kind for op in graph.ops} == {
        OpKind.BINARY_PACK,
        OpKind.BINARY_CONV_2D,
        OpKind.BINARY_MAX_POOL_2D,
        OpKind.RESHAPE,
        OpKind.BINARY_FULLY_CONNECTED,
    }
    sums = model.predict(x, verbose=0)
    got = np.concatenate(check_c(graph, tmp_path, [q[None] for q in quantised(graph, x)]))
    scale = graph.tensor(graph.outputs[0]).quant
    np.testing.assert_allclose(
        (got - float(scale.zero_point)) * scale.scale, sums, atol=0.51 * scale.scale
    )


def test_a_mixed_keras_model_with_a_residual_stays_close(keras, tmp_path):
    """int8, signs, one-bit weights, a sum of two paths, and int8 again."""
    layers = keras.layers
    rng = np.random.default_rng(5)
    start = keras.Input((8, 8, 2))
    x = layers.Conv2D(12, 3, padding="same", activation="relu")(start)
    x = layers.BatchNormalization()(x)
    y = binary_layer("QuantConv2D", 12, 3, padding="same")(x)
    y = layers.BatchNormalization()(y)
    x = layers.Add()([x, y])
    x = binary_layer("QuantConv2D", 40, 3, strides=2, input_quantizer=None, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(6.0)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(6, activation="softmax")(x)
    model = keras.Model(start, x)
    images = rng.normal(size=(60, 8, 8, 2)).astype(np.float32)
    model.compile("adam", "sparse_categorical_crossentropy")
    labels = rng.integers(0, 6, 60)
    model.fit(images, labels, epochs=3, verbose=0)
    graph = convert(model, images)
    assert {
        OpKind.CONV_2D,
        OpKind.BINARY_PACK,
        OpKind.BINARY_CONV_2D,
        OpKind.ADD,
        OpKind.BINARY_WEIGHT_CONV_2D,
        OpKind.SOFTMAX,
    } <= {op.kind for op in graph.ops}
    got = np.concatenate(check_c(graph, tmp_path, [q[None] for q in quantised(graph, images)]))
    wanted = model.predict(images, verbose=0)
    assert np.max(np.abs((got + 128.0) / 256 - wanted)) < 0.1


def test_what_has_no_integer_form_is_refused_by_name(keras):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3), keras.layers.LeakyReLU(name="leak")]
    )
    with pytest.raises(ModelError, match=r"layer leak \(LeakyReLU\): supported layers: Conv2D"):
        convert(model, np.zeros((1, 8, 8, 1), np.float32))
    with pytest.raises(ModelError, match=r"shape \[3, 4\], \[N, 8, 8, 1\] is wanted"):
        convert(model, np.zeros((3, 4), np.float32))


def test_the_convert_command_writes_a_model_and_says_what_is_wrong(keras, tmp_path):
    from typer.testing import CliRunner

    from tinyseal.cli import app

    model = keras.Sequential(
        [keras.Input((4, 4, 3)), binary_layer("QuantConv2D", 5, 3), keras.layers.Flatten()]
    )
    model.save(tmp_path / "small.h5")
    np.save(tmp_path / "x.npy", np.random.default_rng(1).normal(size=(9, 4, 4, 3)))
    (tmp_path / "bad.h5").write_bytes(b"no model")

    def run(*args):
        return CliRunner().invoke(app, ["convert", *map(str, args)])

    calibration = ("--calibration", tmp_path / "x.npy", "-o", tmp_path / "small.tflite")
    done = run(tmp_path / "small.h5", *calibration)
    assert done.exit_code == 0, done.output
    assert "2 of them on bits" in done.output
    kinds = [op.kind for op in load_model(tmp_path / "small.tflite").ops]
    assert kinds == [OpKind.BINARY_PACK, OpKind.BINARY_CONV_2D, OpKind.RESHAPE]
    for arguments in (
        (tmp_path / "bad.h5", *calibration),
        (tmp_path / "none.h5", *calibration),
        (tmp_path / "small.h5", "--calibration", tmp_path / "bad.h5", "-o", "y.tflite"),
        (tmp_path / "small.h5", *calibration[:2], "-o", tmp_path / "small.txt"),
    ):
        assert isinstance(run(*arguments).exception, ToolError)
