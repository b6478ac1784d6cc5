"""`scons run`: boots firmware on its virtual board and holds it against the reference.

Where the package `tflite-micro` is installed, also against TensorFlow Lite Micro itself.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.table import Table

from tinyseal.build.firmware import ROOT, Request
from tinyseal.cli.output import console
from tinyseal.device.client import Client, DeviceInfo, open_port
from tinyseal.errors import DeviceError
from tinyseal.graph.ir import Graph
from tinyseal.graph.load import load_model
from tinyseal.graph.lowering import Array
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.virtual.boards import start

TFLM_ARENA_BYTES: Final = 1 << 22


Judge = Callable[[Sequence[Array]], list[Array]]


def run(request: Request) -> int:
    """Exit code 0 if every output has the bytes of every judge."""
    graph = load_model(ROOT / request.model)
    judges: dict[str, Judge] = {"the reference": Interpreter(graph).invoke}
    tflm = _tflm(ROOT / request.model, len(graph.outputs))
    if tflm is not None:
        judges["TFLM"] = tflm
    started = time.monotonic()
    with (
        start(request) as machine,
        Client(open_port(machine.port, request.board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        info = client.info()
        if info.model_id != graph.model_id:
            raise DeviceError(f"{info.board}: runs model {info.model_id}, not {graph.model_id}")
        _print_identity(info, time.monotonic() - started)
        return _compare(client, info, graph, judges)


def _compare(client: Client, info: DeviceInfo, graph: Graph, judges: Mapping[str, Judge]) -> int:
    table = Table("input", *(f"differs from {name}" for name in judges), "ms", "output 0")
    wrong = dict.fromkeys(judges, 0)
    for name, inputs in sample_inputs(graph):
        outputs, ticks = client.run(info, inputs)
        differing = []
        for judge, invoke in judges.items():
            pairs = zip(outputs, invoke(inputs), strict=True)
            count = sum(int(np.count_nonzero(_bytes(a) != _bytes(b))) for a, b in pairs)
            wrong[judge] += count
            differing.append(f"{count} of {sum(o.nbytes for o in outputs)} B")
        ms = 1000 * ticks / info.clock_hz
        table.add_row(name, *differing, f"{ms:.2f}", _shown(graph, outputs[0]))
    console.print(table)
    for judge, count in wrong.items():
        console.print(
            f"[green]outputs equal {judge}, byte for byte[/]"
            if count == 0
            else f"[red]{count} output bytes differ from {judge}[/]"
        )
    return 0 if not any(wrong.values()) else 1


def _bytes(value: Array) -> Array:
    return np.ascontiguousarray(value).view(np.uint8).ravel()


def _tflm(model: Path, outputs: int) -> Judge | None:
    """TensorFlow Lite Micro's interpreter, or None without its package, or for a model with
    operators of ours."""
    try:
        runtime = importlib.import_module("tflite_micro").runtime
        interpreter = runtime.Interpreter.from_file(str(model), arena_size=TFLM_ARENA_BYTES)
    except (ImportError, RuntimeError):
        return None

    def invoke(inputs: Sequence[Array]) -> list[Array]:
        for i, value in enumerate(inputs):
            interpreter.set_input(value, i)
        interpreter.invoke()
        return [np.array(interpreter.get_output(i)) for i in range(outputs)]

    return invoke


def _print_identity(info: DeviceInfo, seconds: float) -> None:
    table = Table(show_header=False, title=f"{info.board}, up in {seconds:.1f} s")
    rows = {
        "firmware": info.firmware,
        **{f"{name} image": " ".join(map(str, told)) for name, told in info.images.items()},
        "model": f"{info.model} {info.model_id[:16]}",
        "kernels": info.kernels,
        "reset": info.reset,
        "chip id": info.id or "none",
        "arena": " + ".join(f"{size} B" for size in info.arena if size),
        "input buffer": f"{info.staging} B",
        "stack used": f"{info.stack_used} of {info.stack} B",
        "inputs": "\n".join(_tensor(t) for t in info.inputs),
        "outputs": "\n".join(_tensor(t) for t in info.outputs),
    }
    for key, value in rows.items():
        table.add_row(key, value)
    console.print(table)


def _tensor(tensor: Any) -> str:
    shape = "x".join(map(str, tensor.shape))
    return f"{tensor.dtype} {shape}, {tensor.scale:g} * (q - {tensor.zero_point})"


def _shown(graph: Graph, output: Array) -> str:
    best = int(np.argmax(output))
    label = graph.labels[best] if graph.labels else f"#{best}"
    return f"{label}: {output.ravel()[best]}"
