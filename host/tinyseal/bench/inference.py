"""Measures firmware on a virtual board: exact instructions, memory, and whether it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from tinyseal.bench.cycles import layer_cycles
from tinyseal.board import Core
from tinyseal.build.firmware import DEFAULT_BOARD, ROOT, Request
from tinyseal.build.scons import build
from tinyseal.build.size import measure_images
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.plan.cycles import TIMINGS
from tinyseal.plan.floor import Shape, floor, plan_floor, products_per_output, shape_of
from tinyseal.plan.model import Plan
from tinyseal.virtual.boards import VirtualBoard, start
from tinyseal.virtual.icount import Counts, InstructionCounter, find_marks
from tinyseal.virtual.rp2040 import Rp2040Board

PLUGINS: Final = ROOT / "build" / "icount"
COUNTING: Final = ("qemu", "rp2040js")  # runners
# Counting makes QEMU several times slower, and models differ by a factor of a hundred.
INFER_SECONDS: Final = 600.0
BOOT_SECONDS: Final = 90.0  # rp2040js verifies signatures for some of them


@dataclass(frozen=True)
class LayerRow:
    name: str
    function: str  # the C kernel
    kernels: str  # the set it is from
    macs: int
    instructions: int
    floor: float | None  # instructions it takes at least: plan/floor.py
    shape: Shape | None  # of its inner block
    products_per_output: float | None
    # as plan/cycles.py reckons, or the emulator counts; None for a core without timings
    cycles: float | None

    @property
    def instructions_per_mac(self) -> float | None:
        return self.instructions / self.macs if self.macs else None

    @property
    def distance(self) -> float | None:
        """Instructions in floors; 1 would be at the floor."""
        return self.instructions / self.floor if self.floor else None


@dataclass(frozen=True)
class Row:
    """One model, on one board, with one kernel set.

    `instructions` are those of one inference, on the last of the sample inputs (noise): kernels
    branch on data where they round and clamp, which moves the count by some thousandths.
    `floor` is the sum over the layers that have one. `flash_weights` is all constant data of the
    layers, `flash_code` the rest of the capsule: kernels, calls, tables; `ram_static` the RAM used
    besides the arena, stack included.
    """

    board: str
    model: str
    kernels: str
    instructions: int
    floor: float | None
    cycles: float | None
    macs: int
    flash_code: int
    flash_weights: int
    ram_arena: int
    ram_static: int
    bit_exact: bool
    layers: tuple[LayerRow, ...]

    @property
    def instructions_per_mac(self) -> float | None:
        return self.instructions / self.macs if self.macs else None

    @property
    def distance(self) -> float | None:
        """Instructions in floors; layers that have none are above it too."""
        return self.instructions / self.floor if self.floor else None

    def to_json(self) -> dict[str, Any]:
        return _with_ratios(self) | {"layers": [_with_ratios(layer) for layer in self.layers]}


def _with_ratios(row: Row | LayerRow) -> dict[str, Any]:
    ratios = {"instructions_per_mac": row.instructions_per_mac, "distance": row.distance}
    return asdict(row) | ratios


def bench(request: Request, progress: Callable[[str], None] = lambda step: None) -> Row:
    """Builds, boots, infers and counts. BuildError, PlanError or DeviceError if it cannot."""
    runner = request.board.runner
    if runner is not None and runner.kind not in COUNTING:
        raise DeviceError(
            f"{request.board.name}: only boards under QEMU and rp2040js count instructions; "
            f"try {DEFAULT_BOARD}"
        )
    progress("plan")
    plan = request.plan()
    progress("build")
    build(request)
    progress("boot")
    counts, bit_exact, cycles = count_layers(request, plan, progress, timings_of=request.board.core)
    sizes = measure_images(request, [step.label for step in plan.steps])
    flash = {m.name for m in sizes.memories if m.kind == "flash"}
    ram = {m.name for m in sizes.memories if m.kind == "ram"}
    stored = next(i.used for i in sizes.images if i.name == "capsule")
    weights = sum(
        p.bytes
        for p in sizes.parts
        if p.memory in flash and p.name.startswith("layer ") and p.kind != "code"
    )
    return Row(
        board=request.board.name,
        model=request.model.stem,
        kernels=request.kernels,
        instructions=counts.total,
        floor=plan_floor(plan),
        cycles=sum(cycles) if cycles else None,
        macs=plan.macs,
        flash_code=stored - weights,
        flash_weights=weights,
        ram_arena=sum(plan.arena_bytes),
        ram_static=sum(p.bytes for p in sizes.parts if p.memory in ram and p.name != "arena"),
        bit_exact=bit_exact,
        layers=tuple(
            LayerRow(
                step.label,
                step.kernel.function,
                step.kernel.set.value,
                step.lowered.params.macs,
                instructions,
                floor(step.lowered.params, plan.board.core),
                shape_of(step.lowered.params),
                products_per_output(step.lowered.params),
                cycles[step.index + 1] if cycles else None,
            )
            for step, instructions in zip(plan.steps, counts.layers, strict=True)
        ),
    )


def ratios(rows: Sequence[Row], to: str) -> list[float | None]:
    """Instructions of each row against the row of kernel set `to`; None where there is none."""
    base = next((row.instructions for row in rows if row.kernels == to), None)
    return [row.instructions / base if base else None for row in rows]


def count_layers(
    request: Request,
    plan: Plan,
    progress: Callable[[str], None] = lambda step: None,
    latest: int = 0,
    timings_of: Core | None = None,
) -> tuple[Counts, bool, list[float] | None]:
    """Boots what is built, on a board of a runner in COUNTING, and infers: all sample inputs, or
    the `latest`.

    Counts of the last inference, whether every output was the reference's, and cycles of `invoke`
    itself and of each layer: as the emulator counts them, or by the timings of a core, where they
    are known."""
    graph = load_model(ROOT / request.model)
    reference = Interpreter(graph)
    samples = sample_inputs(graph)[-latest:]
    board = request.board
    exact = True
    with (
        _counting(request, len(plan.steps), timings_of) as (machine, read),
        Client(open_port(machine.port, board.console.baud)) as client,
    ):
        machine.go()
        client.boot(BOOT_SECONDS)
        info = client.info()
        for number, (_, inputs) in enumerate(samples, 1):
            progress(f"inference {number} of {len(samples)}")
            outputs, _ = client.run(info, inputs, INFER_SECONDS)
            expected = reference.invoke(inputs)
            exact &= all(a.tobytes() == b.tobytes() for a, b in zip(outputs, expected, strict=True))
        counts, cycles = read()
    if len(counts) != len(samples) or len(counts[-1].layers) != len(plan.steps):
        raise DeviceError(
            f"{board.name}: counted {len(counts)} inferences of {len(samples)}; "
            "does this QEMU support TCG plugins?"
        )
    return counts[-1], exact, cycles


Read = Callable[[], tuple[list[Counts], list[float] | None]]


@contextmanager
def _counting(
    request: Request, layers: int, timings_of: Core | None
) -> Iterator[tuple[VirtualBoard, Read]]:
    """The request's board, not yet running, and what reads counts and cycles."""
    board, capsule = request.board, ROOT / request.image("capsule")
    marks = find_marks(capsule)
    if board.runner is not None and board.runner.kind == "rp2040js":
        with start(request) as machine:
            assert isinstance(machine, Rp2040Board)
            machine.count(marks)
            yield machine, machine.counts
        return
    timing = TIMINGS.get(timings_of) if timings_of else None
    with (
        InstructionCounter(marks, PLUGINS, timing is not None) as counter,
        start(request, counter.qemu_args) as machine,
    ):

        def read() -> tuple[list[Counts], list[float] | None]:
            if timing is None:
                return counter.counts(), None
            return counter.counts(), layer_cycles(
                board, capsule, counter.executed(), layers, timing
            )

        yield machine, read
