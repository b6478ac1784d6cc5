"""Where LiteRT's bytes differ from TensorFlow Lite Micro's, which are ours.

Run as a program, it prints the table of README.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro import runtime

MODELS = Path(__file__).resolve().parents[1] / "models"
NAMES = ("kws", "ic", "vww", "ad")
RESOLVERS = {
    "reference": OpResolverType.BUILTIN_REF,
    "optimised": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "XNNPACK": OpResolverType.AUTO,  # what LiteRT does unless told otherwise
}


@dataclass
class Differences:
    """Output bytes that differ, over some random inputs."""

    differing: int = 0
    outputs: int = 0
    largest: int = 0  # in steps of the output's scale
    # by kind of operator: bytes that differ although the operator's inputs do not
    operators: Counter[str] = field(default_factory=Counter)


def differences(name: str, resolver: OpResolverType, inputs: int) -> Differences:
    model = (MODELS / f"{name}_int8.tflite").read_bytes()
    # XNNPACK keeps no inner tensors.
    inner = resolver is not OpResolverType.AUTO
    litert = Interpreter(
        model_content=model,
        experimental_op_resolver_type=resolver,
        experimental_preserve_all_tensors=inner,
    )
    litert.allocate_tensors()
    tflm = runtime.Interpreter.from_bytes(
        model, intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors
    )
    (source,), (sink,) = litert.get_input_details(), litert.get_output_details()
    rng = np.random.default_rng(0)
    result = Differences()
    for _ in range(inputs):
        x = rng.integers(-128, 128, source["shape"], dtype=np.int8)
        litert.set_tensor(source["index"], x)
        litert.invoke()
        tflm.set_input(x, 0)
        tflm.invoke()
        steps = np.abs(litert.get_tensor(sink["index"]).astype(int) - tflm.get_output(0))
        result.differing += np.count_nonzero(steps)
        result.outputs += steps.size
        result.largest = max(result.largest, int(steps.max()))
        if inner:
            _count_operators(litert, tflm, source["index"], result.operators)
    return result


def _count_operators(litert, tflm, source, found):
    differing = {source: 0}
    for op in litert._get_ops_details():
        for tensor in op["outputs"]:
            theirs = litert.get_tensor(tensor)
            ours = tflm.GetTensor(tensor, 0)["tensor_data"].reshape(theirs.shape)
            differing[tensor] = np.count_nonzero(theirs != ours)
            if not any(differing.get(i, 0) for i in op["inputs"]):
                found[op["op_name"]] += differing[tensor]


@pytest.mark.parametrize("name", NAMES)
def test_reference_kernels_differ_only_in_fully_connected(name):
    found = differences(name, OpResolverType.BUILTIN_REF, inputs=2).operators
    assert {op for op, count in found.items() if count} <= {"FULLY_CONNECTED"}


def test_fully_connected_differs():
    """Should LiteRT ever round as TFLM does, README.md has to say so."""
    found = differences("ad", OpResolverType.BUILTIN_REF, inputs=2)
    assert found.operators["FULLY_CONNECTED"] > 0
    assert found.largest <= 2


def main() -> None:
    inputs = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    print("| model | LiteRT kernels | differing output bytes | largest step | operators |")
    print("|---|---|---|---|---|")
    for name in NAMES:
        for kernels, resolver in RESOLVERS.items():
            d = differences(name, resolver, inputs)
            kinds = ", ".join(sorted(op for op, count in d.operators.items() if count)) or "-"
            if resolver is OpResolverType.AUTO:
                kinds = "?"
            print(f"| {name} | {kernels} | {d.differing} of {d.outputs} | {d.largest} | {kinds} |")


if __name__ == "__main__":
    main()
