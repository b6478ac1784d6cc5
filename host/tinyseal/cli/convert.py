"""`tinyseal convert`: a trained Keras model, binary layers included, into a `.tflite` file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import typer

from tinyseal.cli.output import console
from tinyseal.errors import ModelError, UsageError
from tinyseal.graph.lowering import Array
from tinyseal.optimise.binarise import binarise
from tinyseal.optimise.keras import load_keras, read_keras

ModelArgument = typer.Argument(..., help="A Keras 2 model, .h5 or .keras, with larq layers or not.")
CalibrationOption = typer.Option(
    ..., "--calibration", help="Typical inputs, a .npy array [N, ...] as the model takes them."
)
OutOption = typer.Option(..., "--out", "-o", help="The .tflite file to write.")


def convert(
    model: Path = ModelArgument, calibration: Path = CalibrationOption, out: Path = OutOption
) -> None:
    """Quantise a Keras model: larq's binary layers to bits, the others to int8."""
    if out.suffix != ".tflite":
        raise UsageError(f"{out}: the file written is a .tflite; give it that suffix")
    if not model.is_file():
        raise UsageError(f"{model}: no such file")
    data = _load_array(calibration)
    network = read_keras(load_keras(model), data)
    graph, file = binarise(network, model.stem, f"tinyseal convert {model.name}")
    try:
        out.write_bytes(file)
    except OSError as e:
        raise UsageError(f"{out}: cannot be written: {e.strerror}") from e
    binary = sum(op.kind.value.startswith("BINARY_") for op in graph.ops)
    console.print(
        f"{out}: {len(file)} B, {len(graph.ops)} operators, {binary} of them on bits",
        highlight=False,
        soft_wrap=True,
    )


def _load_array(path: Path) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as e:
        raise ModelError(f"{path}: not a .npy array: {e}") from e
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ModelError(f"{path}: not one array of numbers; numpy.save writes one")
    return array
