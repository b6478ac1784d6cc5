"""What statistics take of an inference on a virtual board: instructions, counted."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from tinyseal.build.firmware import ROOT, Request
from tinyseal.build.scons import build
from tinyseal.device.bench import PLUGINS, bench
from tinyseal.device.client import Client, open_port
from tinyseal.device.icount import InstructionCounter, Marks, function_ranges
from tinyseal.device.virtual import start
from tinyseal.errors import DeviceError
from tinyseal.graph.load import load_model
from tinyseal.graph.samples import sample_inputs

INFERENCES: Final = 4
INFER_SECONDS: Final = 600.0
OUTER: Final = "model_infer"
PARTS: Final = ("telemetry_before", "telemetry_after")


@dataclass(frozen=True)
class ObserveCost:
    """Instructions of the functions with all they call, of an inference that closes no window."""

    board: str
    model: str
    inputs: int  # of its statistics
    outputs: int
    inference: int
    percent: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def observe_cost(request: Request, progress: Callable[[str], None]) -> ObserveCost:
    """Builds, runs and counts. BuildError, PlanError or DeviceError if it cannot."""
    progress("build")
    build(request)
    progress("inference")
    inference = bench(request).instructions
    counted = []
    for part in PARTS:
        progress(part.removeprefix("telemetry_") + " the model")
        counted.append(_count(request, part))
    before, after = counted
    percent = round(100 * (before + after) / inference, 3)
    name = request.model.stem
    return ObserveCost(request.board.name, name, before, after, inference, percent)


def _count(request: Request, part: str) -> int:
    ranges = function_ranges(ROOT / request.image("app"), (OUTER, part))
    marks = Marks(ranges[OUTER], (ranges[part][0],))
    _, inputs = sample_inputs(load_model(ROOT / request.model))[-1]
    with (
        InstructionCounter(marks, PLUGINS) as counter,
        start(request, counter.qemu_args) as machine,
        Client(open_port(machine.port, request.board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        for index, value in enumerate(inputs):
            client.load(index, value.tobytes())
        for _ in range(INFERENCES):
            client.infer(seconds=INFER_SECONDS)
        counts = counter.counts()
    if not counts:
        raise DeviceError(f"{request.board.name}: {part} was not counted")
    return round(statistics.median(c.layers[0] for c in counts))
