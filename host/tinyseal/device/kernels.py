"""Random layers on a virtual board, against the reference."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tinyseal.board import Board
from tinyseal.build.firmware import AUTO, BUILD, ROOT, Request
from tinyseal.build.scons import build
from tinyseal.device.client import Client, open_port
from tinyseal.device.virtual import start
from tinyseal.errors import PlanError
from tinyseal.graph.load import load_model
from tinyseal.graph.random_layers import random_layers
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.plan.choose import kernel_set
from tinyseal.plan.planner import draft

LAYERS: Final = 60  # of one firmware
MODEL: Final = BUILD / "torture/kernels.tflite"
SECONDS: Final = 60.0  # for one inference


@dataclass
class Result:
    """`functions` counts the layers that each kernel of the set ran; `failures` names the layers
    that gave another byte than the reference: `batch 3, conv_2d_7 (nn_conv_s8)`."""

    board: str
    kernels: str
    functions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.functions.values())


def torture_kernels(
    board: Board,
    kernels: str,
    count: int,
    seed: int,
    report: Callable[[int], None] = lambda done: None,
) -> Result:
    """Runs random layers until `count` of them were given to the set `kernels`.

    The same seed gives the same layers. PlanError if the set takes none on `board`.
    """
    result, started = Result(board.name, kernels), time.monotonic()
    batch = 0
    while result.count < count:
        _run_batch(board, result, seed, batch)
        report(min(result.count, count))
        batch += 1
    result.seconds = round(time.monotonic() - started, 1)
    return result


def _write_batch(board: Board, kernels: str, seed: int, batch: int) -> Request | None:
    """Of the batch's layers as many as fit the board, by halves; None if the first does not."""
    path = ROOT / MODEL
    path.parent.mkdir(parents=True, exist_ok=True)
    request, count = Request(board, MODEL, kernels), LAYERS
    while count > 0:
        graph = random_layers(np.random.default_rng([seed, batch]), count)
        path.write_bytes(write_tflite(graph, f"random layers {seed}, {batch}"))
        if draft(load_model(path), board, kernel_set(kernels)).fits:
            return request
        count //= 2
    return None


def _run_batch(board: Board, result: Result, seed: int, batch: int) -> None:
    request = _write_batch(board, result.kernels, seed, batch)
    if request is None:
        return
    steps, graph = request.plan().steps, load_model(ROOT / request.model)
    taken = [s.kernel.function for s in steps if result.kernels in (AUTO, s.kernel.set.value)]
    if not taken:
        raise PlanError(
            f"{board.name}: kernels={result.kernels} takes no layer; try kernels={AUTO}"
        )
    build(request)
    reference, wrong = Interpreter(graph), set()
    with (
        start(request) as machine,
        Client(open_port(machine.port, board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        info = client.info()
        for _, inputs in sample_inputs(graph):
            outputs, _ = client.run(info, inputs, SECONDS)
            pairs = zip(outputs, reference.invoke(inputs), strict=True)
            wrong |= {i for i, (a, b) in enumerate(pairs) if a.tobytes() != b.tobytes()}
    result.functions.update(taken)
    # Every layer runs, and has one output of the graph, in the same order.
    result.failures += [
        f"batch {batch}, {step.label} ({step.kernel.function})"
        for i, step in enumerate(steps)
        if i in wrong
    ]
