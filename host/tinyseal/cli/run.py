"""`scons run`: boots firmware on its virtual board and holds it against the reference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from rich.table import Table

from tinyseal.build.firmware import ROOT, Request
from tinyseal.cli.output import console
from tinyseal.device.client import Client, DeviceInfo, open_port
from tinyseal.device.qemu import QemuBoard
from tinyseal.errors import DeviceError
from tinyseal.graph.ir import Graph
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter

RANDOM_INPUTS: Final = 3
SEED: Final = 1


def run(request: Request) -> int:
    """Exit code 0 if every output has the reference's bytes."""
    graph = load_model(ROOT / request.model)
    reference = Interpreter(graph)
    started = time.monotonic()
    with QemuBoard(request.board, ROOT / request.elf) as machine:
        client = Client(open_port(machine.port, request.board.console.baud))
        machine.go()
        client.boot()
        info = client.info()
        if info.model_id != graph.model_id:
            raise DeviceError(f"{info.board}: runs model {info.model_id}, not {graph.model_id}")
        _print_identity(info, time.monotonic() - started)
        table = Table("input", "outputs differing", "ticks", "ms", "output")
        wrong = 0
        for name, inputs in sample_inputs(graph):
            outputs, ticks = client.run(info, inputs)
            expected = reference.invoke(inputs)
            differing = sum(
                int(np.count_nonzero(a != b)) for a, b in zip(outputs, expected, strict=True)
            )
            wrong += differing
            table.add_row(
                name,
                f"{differing} of {sum(o.size for o in outputs)}",
                str(ticks),
                f"{1000 * ticks / info.clock_hz:.2f}",
                _shown(graph, outputs[0]),
            )
    console.print(table)
    console.print(
        "[green]outputs equal the reference, byte for byte[/]"
        if wrong == 0
        else f"[red]{wrong} output values differ from the reference[/]"
    )
    return 0 if wrong == 0 else 1


def sample_inputs(graph: Graph) -> list[tuple[str, list[npt.NDArray[Any]]]]:
    """A few inputs for every input tensor: the extremes, a ramp, and noise."""
    rng = np.random.default_rng(SEED)
    kinds: list[tuple[str, list[npt.NDArray[Any]]]] = []

    def fill(make: Any) -> list[npt.NDArray[Any]]:
        tensors = [graph.tensor(i) for i in graph.inputs]
        return [make(t, np.iinfo(t.dtype.value)).astype(t.dtype.value) for t in tensors]

    kinds.append(("lowest", fill(lambda t, r: np.full(t.shape, r.min))))
    kinds.append(("highest", fill(lambda t, r: np.full(t.shape, r.max))))
    kinds.append(("ramp", fill(lambda t, r: _ramp(t.shape, r.min, r.max))))
    for i in range(RANDOM_INPUTS):
        kinds.append(
            (f"noise {i}", fill(lambda t, r: rng.integers(r.min, r.max, t.shape, endpoint=True)))
        )
    return kinds


def _ramp(shape: Sequence[int], low: int, high: int) -> npt.NDArray[np.int64]:
    count = int(np.prod(shape))
    return (low + np.arange(count) % (high - low + 1)).reshape(shape)


def _print_identity(info: DeviceInfo, seconds: float) -> None:
    table = Table(show_header=False, title=f"{info.board}, up in {seconds:.1f} s")
    rows = {
        "firmware": info.firmware,
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


def _shown(graph: Graph, output: npt.NDArray[Any]) -> str:
    best = int(np.argmax(output))
    label = graph.labels[best] if graph.labels else f"#{best}"
    return f"{label}: {output.ravel()[best]}"
