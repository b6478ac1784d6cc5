"""One small model per operator and odd corner: seeds of the importer's torture, kept as files.

`python -m support.small_models` from tests/ writes them to tests/corpus/; a test holds the files
to what is built here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from support.tflite_builder import ModelBuilder

CORPUS = Path(__file__).resolve().parents[1] / "corpus"

Q: dict[str, Any] = {"scale": 0.05, "zp": -3}


def _weights(*shape: int, dtype: str = "int8") -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    return rng.integers(-127, 128, shape).astype(dtype)


def _one(
    kind: str,
    shape: tuple[int, ...],
    out: tuple[int, ...],
    quant: tuple[float, int] = (0.07, 4),
    **options: Any,
) -> bytes:
    """Input -> operator -> output, quantised by `quant`."""
    b = ModelBuilder()
    x, y = b.input("x", shape, **Q), b.tensor("y", out, scale=quant[0], zp=quant[1])
    b.op(kind, [x], [y], **options)
    b.output(y)
    return b.build()


def _indexed(
    kind: str, shape: tuple[int, ...], out: tuple[int, ...], *indices: Any, **options: Any
) -> bytes:
    """Input and constant index tensors -> operator -> output."""
    b = ModelBuilder()
    x, y = b.input("x", shape, **Q), b.tensor("y", out, **Q)
    constants = [b.const(f"i{n}", np.array(v, np.int32)) for n, v in enumerate(indices)]
    b.op(kind, [x, *constants], [y], **options)
    b.output(y)
    return b.build()


def _two(kind: str, a: tuple[int, ...], c: tuple[int, ...], **options: Any) -> bytes:
    """Two inputs -> operator -> output of the first one's shape."""
    b = ModelBuilder()
    x, z = b.input("x", a, **Q), b.input("z", c, scale=0.03, zp=9)
    y = b.tensor("y", a, scale=0.08, zp=1)
    b.op(kind, [x, z], [y], **options)
    b.output(y)
    return b.build()


def conv() -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (1, 5, 6, 2), **Q), b.tensor("y", (1, 3, 3, 3), scale=0.1, zp=2)
    w = b.const("w", _weights(3, 3, 2, 2), scale=[0.01, 0.02, 0.03], axis=0)
    bias = b.const("b", np.array([5, -6, 7], np.int32), scale=[5e-4, 1e-3, 1.5e-3], axis=0)
    b.op("CONV_2D", [x, w, bias], [y], 3, padding="SAME", stride_h=2, stride_w=2,
         fused_activation_function="RELU6")  # fmt: skip
    b.output(y)
    return b.build()


def depthwise() -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (1, 5, 6, 2), **Q), b.tensor("y", (1, 3, 4, 4), scale=0.1, zp=2)
    w = b.const("w", _weights(1, 3, 3, 4), scale=[0.01, 0.02, 0.03, 0.04], axis=3)
    b.op("DEPTHWISE_CONV_2D", [x, w], [y], 3, padding="VALID", stride_h=1, stride_w=1,
         depth_multiplier=2)  # fmt: skip
    b.output(y)
    return b.build()


def transpose_conv() -> bytes:
    b = ModelBuilder()
    shape = b.const("shape", np.array([1, 6, 8, 3], np.int32))
    x, y = b.input("x", (1, 3, 4, 2), **Q), b.tensor("y", (1, 6, 8, 3), scale=0.1, zp=2)
    w = b.const("w", _weights(3, 3, 3, 2), scale=[0.01, 0.02, 0.03], axis=0)
    bias = b.const("b", np.array([5, -6, 7], np.int32), scale=[5e-4, 1e-3, 1.5e-3], axis=0)
    b.op("TRANSPOSE_CONV", [shape, w, x, bias], [y], 3, padding="SAME", stride_h=2, stride_w=2)
    b.output(y)
    return b.build()


def fully_connected() -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (2, 5), **Q), b.tensor("y", (2, 3), scale=0.2, zp=-7)
    w = b.const("w", _weights(3, 5), scale=0.02)
    bias = b.const("b", np.array([100, -100, 0], np.int32), scale=0.001)
    b.op("FULLY_CONNECTED", [x, w, bias], [y], 4, fused_activation_function="RELU")
    b.output(y)
    return b.build()


def concatenation() -> bytes:
    b = ModelBuilder()
    x, z = b.input("x", (1, 2, 3), **Q), b.input("z", (1, 2, 2), **Q)
    y = b.tensor("y", (1, 2, 5), **Q)
    b.op("CONCATENATION", [x, z], [y], axis=-1)
    b.output(y)
    return b.build()


def split() -> bytes:
    b = ModelBuilder()
    axis = b.const("axis", np.array(2, np.int32))
    x = b.input("x", (1, 2, 4), **Q)
    parts = [b.tensor(f"y{i}", (1, 2, 2), **Q) for i in range(2)]
    b.op("SPLIT", [axis, x], parts, num_splits=2)
    for part in parts:
        b.output(part)
    return b.build()


def padv2() -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (1, 2, 3), **Q), b.tensor("y", (1, 4, 3), **Q)
    pads = b.const("pads", np.array([[0, 0], [1, 1], [0, 0]], np.int32))
    fill = b.const("fill", np.array([5], np.int8), **Q)
    b.op("PADV2", [x, pads, fill], [y])
    b.output(y)
    return b.build()


def pack() -> bytes:
    b = ModelBuilder()
    x, z = b.input("x", (2, 3), **Q), b.input("z", (2, 3), **Q)
    y = b.tensor("y", (2, 2, 3), **Q)
    b.op("PACK", [x, z], [y], values_count=2, axis=1)
    b.output(y)
    return b.build()


def unpack() -> bytes:
    b = ModelBuilder()
    x = b.input("x", (2, 3), **Q)
    parts = [b.tensor(f"y{i}", (3,), **Q) for i in range(2)]
    b.op("UNPACK", [x], parts, num=2, axis=0)
    for part in parts:
        b.output(part)
    return b.build()


def prelu() -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (1, 2, 2, 3), **Q), b.tensor("y", (1, 2, 2, 3), scale=0.07, zp=4)
    alpha = b.const("alpha", _weights(1, 1, 3), scale=0.01, zp=2)
    b.op("PRELU", [x, alpha], [y])
    b.output(y)
    return b.build()


def dequantize() -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (1, 4), **Q), b.tensor("y", (1, 4), "float32")
    b.op("DEQUANTIZE", [x], [y], 2)
    b.output(y)
    return b.build()


def quantize() -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (1, 4), "float32"), b.tensor("y", (1, 4), **Q)
    b.op("QUANTIZE", [x], [y])
    b.output(y)
    return b.build()


def svdf(state: str = "int16") -> bytes:
    b = ModelBuilder()
    x, y = b.input("x", (1, 3), **Q), b.tensor("y", (1, 2), scale=0.1, zp=5)
    feature = b.const("feature", _weights(4, 3), scale=0.02)
    time = b.const("time", _weights(4, 5, dtype=state), scale=0.01)
    bias = b.const("b", np.array([30, -40], np.int32), scale=0.01 * 0.004)
    kept = b.variable("state", (1, 20), state, scale=0.004)
    b.op("SVDF", [x, feature, time, bias, kept], [y], 3, rank=2, fused_activation_function="RELU")
    b.output(y)
    return b.build()


def lstm(time_major: bool = False) -> bytes:
    b = ModelBuilder()
    add_lstm(b, time=3, batch=1, depth=2, cells=4, time_major=time_major, seed=1)
    return b.build()


def add_lstm(
    b: ModelBuilder,
    time: int,
    batch: int,
    depth: int,
    cells: int,
    time_major: bool,
    seed: int,
    cell_clip: float = 0.0,
    cell_scale: float = 2.0**-11,
) -> None:
    """An int8 LSTM with int16 cell state as the converter writes it, input and output included."""
    rng = np.random.default_rng(seed)
    lead = (time, batch) if time_major else (batch, time)
    x_scale, h_scale = 0.04, 1 / 128
    x = b.input("x", (*lead, depth), scale=x_scale, zp=3)
    y = b.tensor("y", (*lead, cells), scale=h_scale, zp=-2)

    def matrix(name: str, columns: int) -> tuple[int, float]:
        scale = float(rng.uniform(0.005, 0.02))
        values = rng.integers(-127, 128, (cells, columns), dtype=np.int8)
        return b.const(name, values, scale=scale), scale

    gates = "ifco"
    w = [matrix(f"x2{g}", depth) for g in gates]
    r = [matrix(f"h2{g}", cells) for g in gates]
    biases = [
        b.const(f"b{g}", rng.integers(-3000, 3000, cells, dtype=np.int32), scale=x_scale * s)
        for g, (_, s) in zip(gates, w, strict=True)
    ]
    hidden = b.variable("hidden", (batch, cells), scale=h_scale, zp=-2)
    cell = b.variable("cell", (batch, cells), "int16", scale=cell_scale)
    inner = [b.tensor(f"inner{i}", (0,), "int16", scale=2.0**-12) for i in range(4)]
    inner.append(b.tensor("inner4", (0,), "int8", scale=h_scale, zp=-2))
    inputs = [x, *(i for i, _ in w), *(i for i, _ in r), -1, -1, -1, *biases, -1, -1, hidden, cell]
    b.op("UNIDIRECTIONAL_SEQUENCE_LSTM", [*inputs, -1, -1, -1, -1], [y], 3, intermediates=inner,
         fused_activation_function="TANH", cell_clip=cell_clip, time_major=time_major)  # fmt: skip
    b.output(y)


def chain() -> bytes:
    """Several operators, a broadcast constant, a reshape that is bytes only, two outputs."""
    b = ModelBuilder()
    x = b.input("x", (1, 4, 4, 2), **Q)
    c = b.const("c", _weights(1, 1, 1, 2), scale=0.03)
    t = b.tensor("t", (1, 4, 4, 2), scale=0.1, zp=1)
    p = b.tensor("p", (1, 2, 2, 2), scale=0.1, zp=1)
    f = b.tensor("f", (1, 8), scale=0.1, zp=1)
    s = b.tensor("s", (1, 8), scale=1 / 256, zp=-128)
    b.op("MUL", [x, c], [t], 2)
    b.op("MAX_POOL_2D", [t], [p], 2, padding="VALID", stride_h=2, stride_w=2,
         filter_height=2, filter_width=2)  # fmt: skip
    b.op("RESHAPE", [p, b.const("shape", np.array([1, -1], np.int32))], [f])
    b.op("SOFTMAX", [f], [s], 2, beta=1.0)
    b.output(s)
    b.output(f)
    return b.build()


POOL: dict[str, Any] = {
    "quant": (0.05, -3),
    "padding": "SAME",
    "stride_h": 2,
    "stride_w": 1,
    "filter_height": 3,
    "filter_width": 2,
}

MODELS: dict[str, Callable[[], bytes]] = {
    "conv_2d": conv,
    "depthwise_conv_2d": depthwise,
    "fully_connected": fully_connected,
    "transpose_conv": transpose_conv,
    "add": lambda: _two("ADD", (1, 2, 3), (1, 2, 3), fused_activation_function="RELU"),
    "sub": lambda: _two("SUB", (1, 2, 3), (3,)),
    "mul": lambda: _two("MUL", (1, 2, 3), (1, 2, 1)),
    "minimum": lambda: _two("MINIMUM", (1, 2, 3), (1, 2, 3)),
    "maximum": lambda: _two("MAXIMUM", (1, 2, 3), (1, 1, 3)),
    "average_pool_2d": lambda: _one("AVERAGE_POOL_2D", (1, 5, 4, 2), (1, 3, 4, 2), **POOL),
    "max_pool_2d": lambda: _one("MAX_POOL_2D", (1, 5, 4, 2), (1, 3, 4, 2), **POOL),
    "mean": lambda: _indexed("MEAN", (1, 3, 4, 2), (1, 2), [1, 2]),
    "sum": lambda: _indexed("SUM", (1, 3, 4, 2), (1, 3, 1, 2), [-2], keep_dims=True),
    "pad": lambda: _indexed("PAD", (1, 2, 3), (1, 5, 4), [[0, 0], [2, 1], [0, 1]]),
    "padv2": padv2,
    "concatenation": concatenation,
    "split": split,
    "slice": lambda: _indexed("SLICE", (1, 4, 5), (1, 2, 4), [0, 1, 1], [1, 2, -1]),
    "strided_slice": lambda: _indexed(
        "STRIDED_SLICE", (2, 4, 5), (2, 3), [0, -1, 4], [2, 0, 0], [1, 1, -2],
        shrink_axis_mask=2, end_mask=4,
    ),
    "reshape": lambda: _indexed("RESHAPE", (1, 2, 6), (3, 4), [3, -1]),
    "squeeze": lambda: _one("SQUEEZE", (1, 2, 1, 3), (2, 3)),
    "expand_dims": lambda: _indexed("EXPAND_DIMS", (2, 3), (2, 3, 1), -1),
    "transpose": lambda: _indexed("TRANSPOSE", (2, 3, 4), (4, 2, 3), [2, 0, 1]),
    "pack": pack,
    "unpack": unpack,
    "resize_nearest_neighbor": lambda: _indexed(
        "RESIZE_NEAREST_NEIGHBOR", (1, 2, 3, 2), (1, 4, 6, 2), [4, 6], half_pixel_centers=True
    ),
    "resize_bilinear": lambda: _indexed(
        "RESIZE_BILINEAR", (1, 2, 3, 2), (1, 4, 5, 2), [4, 5], align_corners=True
    ),
    "softmax": lambda: _one("SOFTMAX", (1, 6), (1, 6), (1 / 256, -128), beta=1.0),
    "logistic": lambda: _one("LOGISTIC", (1, 6), (1, 6), (1 / 256, -128)),
    "tanh": lambda: _one("TANH", (1, 6), (1, 6), (1 / 128, 0)),
    "relu": lambda: _one("RELU", (1, 6), (1, 6)),
    "relu6": lambda: _one("RELU6", (1, 6), (1, 6)),
    "leaky_relu": lambda: _one("LEAKY_RELU", (1, 6), (1, 6), alpha=0.1),
    "prelu": prelu,
    "hard_swish": lambda: _one("HARD_SWISH", (1, 6), (1, 6)),
    "quantize": quantize,
    "dequantize": dequantize,
    "svdf": svdf,
    "svdf_int8_state": lambda: svdf("int8"),
    "unidirectional_sequence_lstm": lstm,
    "unidirectional_sequence_lstm_time_major": lambda: lstm(True),
    "chain": chain,
}  # fmt: skip


def write_corpus() -> None:
    CORPUS.mkdir(exist_ok=True)
    for name, build in MODELS.items():
        (CORPUS / f"{name}.tflite").write_bytes(build())


if __name__ == "__main__":
    write_corpus()
