"""TensorFlow Lite Micro as the judge: the same bytes out, of every tensor it lets us see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tflite_micro import runtime

from support.host_capsule import HostCapsule
from tinyseal.graph.ir import DType, Graph, Tensor
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

Array = npt.NDArray[Any]
ARENA_BYTES = 8 << 20  # the default, ten times the model, is too little for small models


class Tflm:
    """One TFLM interpreter; state (SVDF, LSTM) lives from one `invoke` to the next."""

    def __init__(self, model: bytes) -> None:
        # Every inner tensor keeps its own memory, so that it can be read afterwards.
        self._interpreter = runtime.Interpreter.from_bytes(
            model,
            arena_size=ARENA_BYTES,
            intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
        )
        self._outputs = import_tflite(model, "model").outputs

    def invoke(self, inputs: Sequence[Array]) -> list[Array]:
        for i, value in enumerate(inputs):
            self._interpreter.set_input(value, i)
        self._interpreter.invoke()
        return [np.array(self._interpreter.get_output(i)) for i in range(len(self._outputs))]

    def tensor(self, index: int) -> Array:
        """The value tensor `index` had after the last `invoke`."""
        return np.array(self._interpreter.GetTensor(index, 0)["tensor_data"])


def tflm_run(model: bytes, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of one inference from a fresh start."""
    return Tflm(model).invoke(inputs)


def tflm_run_all(model: bytes, inputs: Sequence[Array]) -> dict[int, Array]:
    """Every tensor the operators write, by index, after one inference from a fresh start."""
    tflm = Tflm(model)
    tflm.invoke(inputs)
    graph = import_tflite(model, "model")
    return {index: tflm.tensor(index) for op in graph.ops for index in op.outputs}


def sample_inputs(graph: Graph, rng: np.random.Generator, run: int) -> list[Array]:
    """Inputs for run number `run`: extremes, ramps and noise of several widths, by turns."""
    return [_sample(graph.tensor(index), rng, run) for index in graph.inputs]


def _sample(tensor: Tensor, rng: np.random.Generator, run: int) -> Array:
    dtype = np.dtype(tensor.dtype.value)
    if dtype.kind == "f":
        return rng.normal(0.0, 2.0 ** (run % 4), tensor.shape).astype(dtype)
    if dtype.kind == "b":
        return rng.integers(0, 2, tensor.shape).astype(dtype)
    info = np.iinfo(dtype)
    low, high = max(info.min, -(2**31)), min(info.max, 2**31 - 1)
    zero = tensor.quant.zero_point if tensor.quant else 0
    kind = run % 6
    if kind == 1:
        return np.full(tensor.shape, low, dtype)
    if kind == 2:
        return np.full(tensor.shape, high, dtype)
    if kind == 3:  # only the two extremes
        return np.where(rng.integers(0, 2, tensor.shape) == 0, low, high).astype(dtype)
    if kind == 4:  # a ramp through every value
        ramp = low + np.arange(tensor.elements) % (high - low + 1)
        return ramp.reshape(tensor.shape).astype(dtype)
    if kind == 5:  # around the zero point
        near = zero + rng.integers(-4, 5, tensor.shape)
        return np.clip(near, low, high).astype(dtype)
    return rng.integers(low, high, tensor.shape, dtype=dtype, endpoint=True)


def assert_matches_tflm(
    model: bytes,
    rng: np.random.Generator,
    runs: int = 4,
    tmp_path: Path | None = None,
    kernels: KernelSet | None = KernelSet.REFERENCE,
    optimise: str = "-O1",
) -> Graph:
    """Importer + reference give TFLM's bytes in every tensor; with `tmp_path`, so does the C.

    The runs follow each other without a reset, so state counts. Returns the imported graph.
    """
    graph = import_tflite(model, "model")
    judge, reference = Tflm(model), Interpreter(graph)
    capsule = None
    if tmp_path is not None:
        capsule = HostCapsule(plan(graph, load_board("host"), kernels), tmp_path, optimise)
    for run in range(runs):
        inputs = sample_inputs(graph, rng, run)
        expected = judge.invoke(inputs)
        ours = reference.invoke_all(inputs)
        for op in graph.ops:
            for index in op.outputs:
                _equal(ours[index], judge.tensor(index), f"run {run}, {op.label}, tensor {index}")
        for index, value in zip(graph.outputs, expected, strict=True):
            _equal(ours[index], value, f"run {run}, output tensor {index}")
        if capsule is not None:
            for index, value in zip(graph.outputs, capsule.invoke(inputs), strict=True):
                _equal(value, ours[index], f"run {run}, generated C, output tensor {index}")
    return graph


def _equal(ours: Array, theirs: Array, where: str) -> None:
    expected = np.asarray(theirs).reshape(ours.shape)
    if ours.dtype == np.dtype(DType.F32.value):
        # Bits, not values: a NaN or a -0.0 has to be the same one.
        np.testing.assert_array_equal(ours.view(np.int32), expected.view(np.int32), where)
    else:
        np.testing.assert_array_equal(ours, expected, where)
