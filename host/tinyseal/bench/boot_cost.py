"""What verified boot costs: instructions from reset to the application's first one."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

from tinyseal.bench.inference import PLUGINS
from tinyseal.build.firmware import DEFAULT_BOARD, ROOT, Request
from tinyseal.build.scons import build
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError
from tinyseal.virtual.boards import start
from tinyseal.virtual.icount import (
    Counts,
    InstructionCounter,
    Marks,
    boot_marks,
    function_ranges,
)

BOOT_SECONDS: Final = 600.0  # counting makes QEMU several times slower


@dataclass(frozen=True)
class BootCost:
    """`first` start of a fresh board, which begins its counters; and every start `after` it.
    Signed images are hashed twice; the rest of their slots is read once, to be empty."""

    board: str
    model: str
    app_bytes: int
    capsule_bytes: int
    app_slot_bytes: int
    capsule_slot_bytes: int
    first: int
    after: int
    signature: int  # one check of a signature, of the four among them
    seconds: float  # of `after`, estimated by the board's profile

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def boot_cost(request: Request, progress: Callable[[str], None] = lambda step: None) -> BootCost:
    """Builds, boots, resets, and counts. BuildError, PlanError or DeviceError if it cannot."""
    runner = request.board.runner
    if runner is None or runner.kind != "qemu":
        raise DeviceError(
            f"{request.board.name}: is no QEMU board, and only QEMU counts instructions; "
            f"try {DEFAULT_BOARD}"
        )
    progress("build")
    build(request)
    progress("boot")
    counts = _count(request, boot_marks(ROOT / request.bootloader))
    if len(counts) != 2:
        raise DeviceError(f"{request.board.name}: {len(counts)} starts were counted, not 2")
    progress("signature")
    second_look, check = "boot_image_recheck", "boot_signature_check"
    ranges = function_ranges(ROOT / request.bootloader, (second_look, check))
    looks = _count(request, Marks(ranges[second_look], (ranges[check][0],)))
    board = request.board
    return BootCost(
        board=board.name,
        model=request.model.stem,
        app_bytes=(ROOT / request.signed("app")).stat().st_size,
        capsule_bytes=(ROOT / request.signed("capsule")).stat().st_size,
        app_slot_bytes=board.partitions("app")[0].bytes,
        capsule_slot_bytes=board.partitions("capsule")[0].bytes,
        first=counts[0].total,
        after=counts[1].total,
        signature=round(statistics.median(look.layers[0] for look in looks)),
        seconds=board.seconds(counts[1].total),
    )


def _count(request: Request, marks: Marks) -> list[Counts]:
    """While a fresh board boots, and once more."""
    with (
        InstructionCounter(marks, PLUGINS) as counter,
        start(request, counter.qemu_args) as machine,
        Client(open_port(machine.port, request.board.console.baud), seconds=BOOT_SECONDS) as client,
    ):
        machine.go()
        client.boot(BOOT_SECONDS)
        client.reset()
        return counter.counts()
