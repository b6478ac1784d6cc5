"""Random layers on a virtual board, against the reference."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import count as numbers
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tinyseal.board import Board
from tinyseal.build.firmware import AUTO, DEFAULT_MODEL, Request
from tinyseal.build.firmware_elf import alone, kerneltest
from tinyseal.codegen.generate import generate_capsule
from tinyseal.device.client import Client, open_port
from tinyseal.errors import BuildError, DeviceError, PlanError
from tinyseal.graph.ir import Graph
from tinyseal.graph.lowering import Array
from tinyseal.graph.random_layers import one_layer, random_layers
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.graph.tflite_writer import write_tflite
from tinyseal.plan.choose import kernel_set
from tinyseal.plan.goal import Goal
from tinyseal.plan.model import Plan, Step
from tinyseal.plan.planner import draft
from tinyseal.virtual.boards import power_up

LAYERS: Final = 24  # with weights, of one capsule; by halves fewer, until they fit the board
CAPSULES: Final = 10  # of one batch, and of one firmware if it has room
SECONDS: Final = 60.0  # for one capsule

Bytes = npt.NDArray[np.uint8]


@dataclass
class Result:
    """`functions` counts the layers that each kernel of the set ran; `failures` names the layers
    that gave another byte than the reference, `capsule 3, conv_2d_7 (nn_conv_s8): ramp`, and what
    else went wrong with a capsule. `models` are those layers and capsules, by name."""

    board: str
    kernels: str
    functions: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    models: dict[str, bytes] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.functions.values())

    def fail(self, number: int, plan: Plan, what: str, step: Step | None = None) -> None:
        """Of a capsule, or of one layer of it."""
        name, graph, told = f"capsule_{number}", plan.graph, f"capsule {number}"
        if step is not None:
            name, graph = f"{name}_{step.label}", one_layer(graph, step.lowered.op)
            told += f", {step.label} ({step.kernel.function})"
        self.failures.append(f"{told}: {what}")
        self.models[name] = write_tflite(graph, "a layer that failed")


def torture_kernels(
    board: Board,
    kernels: str,
    count: int,
    seed: int,
    report: Callable[[int], None] = lambda done: None,
    jobs: int = 1,
) -> Result:
    """Runs random layers until `count` of them were given to the set `kernels`, in so many
    processes.

    The same seed gives the same layers. PlanError if the set takes none on `board`, DeviceError if
    that is not virtual.
    """
    if board.runner is None:
        raise DeviceError(f"{board.name}: has no [runner]; layers run on virtual boards")
    result, started = Result(board.name, kernels), time.monotonic()
    request = Request(board, DEFAULT_MODEL, kernels)
    for part in _batches(_Batches(board, kernels, seed, request.goal(), CAPSULES), jobs):
        if not part.count:
            raise PlanError(f"{board.name}: kernels={kernels} takes no layer; try kernels={AUTO}")
        result.functions.update(part.functions)
        result.failures += part.failures
        result.models.update(part.models)
        report(min(result.count, count))
        if result.count >= count:
            break
    result.seconds = round(time.monotonic() - started, 1)
    return result


def _batches(batches: _Batches, jobs: int) -> Iterator[Result]:
    """Of batch 0, 1, ... without end, `jobs` of them at a time."""
    if jobs == 1:
        yield from map(batches.run, numbers())
        return
    # Not fork: the emulator's parent must be a process without threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        waiting = [pool.submit(batches.run, i) for i in range(jobs)]
        try:
            for batch in numbers(jobs):
                yield waiting.pop(0).result()
                waiting.append(pool.submit(batches.run, batch))
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Batches:
    board: Board
    kernels: str
    seed: int
    goal: Goal
    capsules: int

    def run(self, batch: int) -> Result:
        result = Result(self.board.name, self.kernels)
        first = batch * self.capsules
        plans = {n: self._plan(n) for n in range(first, first + self.capsules)}
        made = {n: plan for n, plan in plans.items() if plan is not None}
        taken = [f for plan in made.values() for f in self._taken(plan)]
        if taken:
            self._run(made, result)
            result.functions.update(taken)
        return result

    def _taken(self, plan: Plan) -> list[str]:
        """The functions of the layers that were given to the set."""
        steps = plan.steps
        return [s.kernel.function for s in steps if self.kernels in (AUTO, s.kernel.set.value)]

    def _plan(self, number: int) -> Plan | None:
        """Of a capsule's layers as many as fit the board, by halves; None if the first does not."""
        count = LAYERS
        while count > 0:
            graph = random_layers(np.random.default_rng([self.seed, number]), count)
            data = write_tflite(graph, f"random layers {self.seed}, {number}")
            graph = import_tflite(data, f"layers_{number}")
            plan = draft(graph, self.board, kernel_set(self.kernels), goal=self.goal)
            if plan.fits:
                return plan
            count //= 2
        return None

    def _run(self, plans: Mapping[int, Plan], result: Result) -> None:
        """In one firmware, or in halves if that is too large."""
        with tempfile.TemporaryDirectory(prefix="tinyseal-kernels-") as folder:
            texts = [generate_capsule(p, self.kernels, is_image=False) for p in plans.values()]
            try:
                elf = kerneltest(self.board, self.kernels, texts, Path(folder))
            except BuildError:
                if len(plans) == 1:
                    raise
                listed = list(plans.items())
                half = len(listed) // 2
                self._run(dict(listed[:half]), result)
                self._run(dict(listed[half:]), result)
                return
            waiting = list(enumerate(plans.items()))
            while waiting:
                waiting = self._serve(elf, waiting, result)

    def _serve(
        self, elf: Path, waiting: Sequence[tuple[int, tuple[int, Plan]]], result: Result
    ) -> list[tuple[int, tuple[int, Plan]]]:
        """Runs one capsule after the other; those left, once one has brought the board down."""
        with (
            power_up(alone(self.board), elf) as machine,
            Client(open_port(machine.port, self.board.console.baud)) as client,
        ):
            machine.go()
            client.boot()
            for at, (place, (number, plan)) in enumerate(waiting):
                try:
                    lines = client.lines_of(f"run {place}", SECONDS)
                except DeviceError as e:
                    result.fail(number, plan, str(e))
                    return list(waiting[at + 1 :])
                _judge(number, plan, lines, result)
        return []


def _judge(number: int, plan: Plan, lines: Sequence[str], result: Result) -> None:
    """What is wrong with a capsule's answers. Every layer runs, and has one output of the graph,
    in the same order."""
    reference, wrong = Interpreter(plan.graph), dict[int, list[str]]()
    answers = [line.split()[1:] for line in lines if line.startswith("o ")]
    for (name, data), crcs in zip(SAMPLES.items(), answers, strict=False):
        if crcs[-1] == "guard":
            result.fail(number, plan, f"wrote past its arena: {name}")
            crcs = crcs[:-1]
        outputs = reference.invoke(_inputs(plan.graph, data))
        if len(crcs) != len(outputs):
            result.fail(number, plan, f"told {len(crcs)} of {len(outputs)} outputs: {name}")
            return
        for i, (output, crc) in enumerate(zip(outputs, crcs, strict=True)):
            if f"{zlib.crc32(np.ascontiguousarray(output).tobytes()):08x}" != crc:
                wrong.setdefault(i, []).append(name)
    if len(answers) != len(SAMPLES):
        result.fail(number, plan, f"answered {len(answers)} of {len(SAMPLES)} samples")
    for i, names in sorted(wrong.items()):
        result.fail(number, plan, ", ".join(names), plan.steps[i])


def _inputs(graph: Graph, data: Callable[[Bytes], Bytes]) -> list[Array]:
    """Each input, of the bytes that `data` has at its place among all of them."""
    inputs, start = [], 0
    for tensor in (graph.tensor(i) for i in graph.inputs):
        filled = data(np.arange(start, start + tensor.bytes, dtype=np.uint32))
        inputs.append(filled.view(tensor.dtype.value).reshape(tensor.shape))
        start += tensor.bytes
    return inputs


def _noise(at: Array) -> Bytes:
    at = (at ^ at >> 16) * np.uint32(0x7FEB352D)
    at = (at ^ at >> 15) * np.uint32(0x846CA68B)
    return (at >> 24).astype(np.uint8)


# What the firmware fills inputs with: kerneltest.c has the same, in this order.
SAMPLES: Final[dict[str, Callable[[Array], Bytes]]] = {
    "lowest": lambda at: np.full(at.shape, 0x80, np.uint8),
    "highest": lambda at: np.full(at.shape, 0x7F, np.uint8),
    "ramp": lambda at: (at + 0x80).astype(np.uint8),
    "noise 1": lambda at: _noise(at + np.uint32(0x10000)),
    "noise 2": lambda at: _noise(at + np.uint32(0x20000)),
}
