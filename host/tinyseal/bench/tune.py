"""Measures what every kernel that can run a layer costs there, on the board or its emulator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tinyseal.bench.inference import count_layers
from tinyseal.board import Board
from tinyseal.build.firmware import AUTO, BUILD, ROOT, Request
from tinyseal.build.scons import build
from tinyseal.build.tuning import compiler_of, merged, write_file
from tinyseal.device.client import Client, open_port
from tinyseal.errors import BuildError, DeviceError, PlanError
from tinyseal.graph.load import load_model
from tinyseal.graph.lowering import Alias
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.plan.choose import candidates
from tinyseal.plan.model import Plan
from tinyseal.plan.tuning import Measured, Tuning, Unit, shape_key
from tinyseal.virtual.boards import start

TRIAL: Final = BUILD / "tune"  # files that force a kernel on every layer, one a round
SECONDS: Final = 600.0  # for one inference
REPEATS: Final = 3  # inferences on a real board, where interrupts disturb: the least counts
CYCLE_COUNTERS: Final = frozenset(("rp2040js",))  # runners whose clock counts the chip's cycles

# What each layer of the firmware that was built costs. DeviceError if an output is wrong.
Measure = Callable[[Request, Plan], Sequence[int]]
Tell = Callable[[str], None]


@dataclass
class Costs:
    """Of each layer shape, what the kernels that were tried cost; in `unit`."""

    unit: Unit
    shapes: dict[str, dict[str, int]] = field(default_factory=dict)
    labels: dict[str, list[str]] = field(default_factory=dict)  # layers, as `kws conv_2d_0`
    left_out: list[str] = field(default_factory=list)  # rounds that could not be measured, and why

    def tuning(self) -> Tuning:
        return Tuning(
            {
                shape: Measured(min(costs, key=lambda name: (costs[name], name)), costs)
                for shape, costs in self.shapes.items()
            },
            self.unit,
        )


def tune(
    requests: Sequence[Request], measure: Measure, unit: Unit, tell: Tell = lambda step: None
) -> Costs:
    """Builds each model as often as its layers have candidates at most, a candidate a round."""
    found = Costs(unit)
    for request in requests:
        listed = _candidates(request)
        for number in range(max(map(len, listed.values()), default=0)):
            what = f"{request.model.stem}, round {number + 1}"
            tell(f"{what}: build")
            forced = {shape: names[min(number, len(names) - 1)] for shape, names in listed.items()}
            try:
                trial = _build(request, forced, unit, number)
            except (PlanError, BuildError) as e:  # it does not fit; other rounds may
                found.left_out.append(f"{what}: {e}")
                continue
            tell(f"{what}: measure")
            plan = trial.plan()
            _note(found, listed, trial, plan, measure(trial, plan))
    return found


def _candidates(request: Request) -> dict[str, list[str]]:
    """Functions of the kernels that can run a layer, by the layer's shape; where there are two."""
    graph = load_model(ROOT / request.model)
    lowered = [lower(graph, op) for op in graph.ops]
    listed: dict[str, dict[str, None]] = {}
    for item in lowered:
        if not isinstance(item.params, Alias):
            names = [c.kernel.function for c in candidates(item, request.board, None)]
            listed.setdefault(shape_key(item.params), {}).update(dict.fromkeys(names))
    return {shape: list(names) for shape, names in listed.items() if len(names) > 1}


def _build(request: Request, forced: Mapping[str, str], unit: Unit, number: int) -> Request:
    tuning = Tuning({shape: Measured(choice) for shape, choice in forced.items()}, unit)
    path = TRIAL / f"{request.board.name}-{request.model.stem}-{number}.toml"
    compiler = compiler_of(request.board)
    write_file(ROOT / path, merged(None, request.board, tuning, compiler))
    trial = replace(request, kernels=AUTO, tuning=path)
    build(trial)
    return trial


def _note(
    found: Costs,
    listed: Mapping[str, list[str]],
    trial: Request,
    plan: Plan,
    costs: Sequence[int],
) -> None:
    """What the plan took in the end counts: where memory is short, that is not what was forced."""
    for step, cost in zip(plan.steps, costs, strict=True):
        shape = shape_key(step.lowered.params)
        if shape not in listed:
            continue
        of_shape = found.shapes.setdefault(shape, {})
        function = step.kernel.function
        of_shape[function] = min(cost, of_shape.get(function, cost))
        label = f"{trial.model.stem} {step.label}"
        if label not in found.labels.setdefault(shape, []):
            found.labels[shape].append(label)


def counted(request: Request, plan: Plan) -> Sequence[int]:
    """Instructions, by QEMU."""
    counts, is_exact, _ = count_layers(request, plan, latest=1)
    if not is_exact:
        raise _wrong(request, plan)
    return counts.layers


def timed(request: Request, plan: Plan) -> Sequence[int]:
    """Cycles of the core, by the clock of an emulator that keeps count of them."""
    with start(request) as machine:
        return _timed(request, plan, machine.port, 1, machine.go)


def timed_over(port: str) -> Measure:
    """Cycles of the core of a real board that runs what was built, by its own clock."""
    return lambda request, plan: _timed(request, plan, port, REPEATS)


def _timed(
    request: Request,
    plan: Plan,
    port: str,
    times: int,
    go: Callable[[], None] | None = None,
) -> Sequence[int]:
    board, graph = request.board, load_model(ROOT / request.model)
    _, inputs = sample_inputs(graph)[-1]
    with Client(open_port(port, board.console.baud)) as client:
        if go is not None:
            go()
            client.boot()
        else:
            client.sync()
        info = client.info()
        if info.model_id != graph.model_id or info.layers != len(plan.steps):
            raise DeviceError(f"{port}: runs {info.model} {info.model_id[:16]}, not what was built")
        outputs, _ = client.run(info, inputs, SECONDS)
        expected = Interpreter(graph).invoke(inputs)
        if any(a.tobytes() != b.tobytes() for a, b in zip(outputs, expected, strict=True)):
            raise _wrong(request, plan)
        runs = []
        for _ in range(times):
            for index, value in enumerate(inputs):
                client.load(index, value.tobytes())
            runs.append(client.time_layers(SECONDS))
    return [round(min(t) * board.clock.hz / info.clock_hz) for t in zip(*runs, strict=True)]


def _wrong(request: Request, plan: Plan) -> DeviceError:
    names = ", ".join(sorted({step.kernel.function for step in plan.steps}))
    return DeviceError(
        f"{request.board.name}: {request.model.stem} gives other bytes than the reference with "
        f"one of {names}; nothing was written"
    )


def measure_of(board: Board) -> tuple[Measure, Unit]:
    """How a virtual board is measured. DeviceError where its clock says nothing of the chip's."""
    runner = board.runner
    assert runner is not None
    if runner.kind == "qemu":
        return counted, "instructions"
    if runner.kind in CYCLE_COUNTERS:
        return timed, "cycles"
    raise DeviceError(
        f"{board.name}: its runner counts neither instructions nor cycles; tune a QEMU board, "
        f"{', '.join(sorted(CYCLE_COUNTERS))}, or a real one with port="
    )
