"""Holds binary, binary-weight and int8 layers against each other on virtual boards.

    .venv/bin/python examples/digits/compare.py [--boards qemu-m0 qemu-m4 ...]

Prints two tables in Markdown: the digits networks, and one larger convolution by itself. Builds
and runs firmware; needs no TensorFlow.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tinyseal.bench.inference import bench
from tinyseal.build.firmware import ROOT
from tinyseal.build.options import parse
from tinyseal.errors import ToolError
from tinyseal.graph.ir import Activation, Padding
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.optimise import layers as net
from tinyseal.optimise.binarise import binarise

HERE = Path(__file__).resolve().parent
BOARDS = ("qemu-m0", "qemu-m4", "qemu-m55", "qemu-rv32")
LAYERS = Path("build/digits")
SIZE, CHANNELS, KERNEL = 8, 128, 3

# Model, and the kernel set: `auto` is CMSIS-NN for the int8 layers of Arm boards.
VARIANTS = (
    ("int8", "reference"),
    ("int8", "auto"),
    ("binary_weight", "auto"),
    ("binary", "auto"),
)


def accuracy(model):
    """On the 360 test images, by the reference interpreter: the boards' bytes."""
    graph = load_model(ROOT / model)
    quant = graph.tensor(graph.inputs[0]).quant
    with np.load(HERE / "test.npz") as test:
        real, labels = test["images"] / 8 - 1, test["labels"]
    inputs = np.clip(np.round(real / quant.scale) + quant.zero_point, -128, 127).astype(np.int8)
    interpreter = Interpreter(graph)
    guesses = [int(np.argmax(interpreter.invoke([x])[0])) for x in inputs]
    return np.mean(np.array(guesses) == labels)


def make_layer(variant):
    """A convolution 3x3 of 128 to 128 channels on 8x8 pixels, random, batch norm behind it."""
    rng = np.random.default_rng(1)
    signs = variant == "binary"
    shape = (SIZE, SIZE, CHANNELS)
    kernel = rng.normal(size=(KERNEL, KERNEL, CHANNELS, CHANNELS))
    if variant != "int8":
        kernel = np.where(kernel < 0, -1.0, 1.0)
    reach = 100.0  # standard deviation of the sum: sqrt(9 * 128) = 34
    factor, offset = rng.uniform(0.5, 1, CHANNELS), rng.normal(size=CHANNELS)
    layers = [net.Input("x", (), shape, -1.0, 1.0)]
    if signs:
        layers.append(net.Sign("x_sign", (0,), shape, -1.0, 1.0))
    last = len(layers) - 1
    layers += [
        net.Conv(
            "conv",
            (last,),
            shape,
            -reach,
            reach,
            kernel,
            None,
            (1, 1),
            (1, 1),
            Padding.SAME,
            0.0,
            variant != "int8",
        ),
        net.Affine("norm", (last + 1,), shape, -reach, reach, factor, offset),
        net.Sign("sign", (last + 2,), shape, -1.0, 1.0)
        if signs
        else net.Clip("relu", (last + 2,), shape, 0.0, reach, Activation.RELU),
    ]
    name = f"layer_{variant}"
    _, data = binarise(net.Network(tuple(layers), (last + 3,)), name, "examples/digits/compare.py")
    path = LAYERS / f"{name}.tflite"
    (ROOT / LAYERS).mkdir(parents=True, exist_ok=True)
    (ROOT / path).write_bytes(data)
    return path


def measure(board, model, kernels):
    """The bench's row, or what kept it from being made."""
    try:
        return bench(parse({"board": board, "model": str(model), "kernels": kernels}, [], []))
    except ToolError as e:
        return e


def variants(board):
    # Where there is no CMSIS-NN, `auto` and `reference` are the same for int8.
    arm = board.startswith("qemu-m")
    return [v for v in VARIANTS if arm or v != ("int8", "auto")]


def digits_row(board, variant, kernels, right):
    row = measure(board, f"models/digits_{variant}.tflite", kernels)
    if isinstance(row, ToolError):
        return f"| {board} | {variant} | {kernels} | {row} |"
    assert row.bit_exact
    return (
        f"| {board} | {variant} | {kernels} | {right[variant]:.1%} | {row.flash_weights:,} "
        f"| {row.flash_code:,} | {row.ram_arena:,} | {row.instructions:,} |"
    )


def layer_row(board, variant, kernels, model):
    row = measure(board, model, kernels)
    if isinstance(row, ToolError):
        return f"| {board} | {variant} | {kernels} | {row} |"
    assert row.bit_exact
    conv = next(layer for layer in row.layers if "conv" in layer.name)
    return (
        f"| {board} | {variant} | {kernels} | {row.flash_weights:,} | {row.ram_arena:,} "
        f"| {conv.instructions:,} | {conv.instructions / conv.macs:.2f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boards", nargs="+", default=BOARDS)
    boards = parser.parse_args().boards
    right = {v: accuracy(f"models/digits_{v}.tflite") for v in ("int8", "binary_weight", "binary")}
    print("| board | variant | kernels | accuracy | weights B | code B | arena B | instructions |")
    print("|---|---|---|--:|--:|--:|--:|--:|", flush=True)
    for board in boards:
        for variant, kernels in variants(board):
            print(digits_row(board, variant, kernels, right), flush=True)
    print("\n| board | variant | kernels | weights B | arena B | instructions | per MAC |")
    print("|---|---|---|--:|--:|--:|--:|", flush=True)
    models = {variant: make_layer(variant) for variant in ("int8", "binary_weight", "binary")}
    for board in boards:
        for variant, kernels in variants(board):
            print(layer_row(board, variant, kernels, models[variant]), flush=True)


if __name__ == "__main__":
    main()
