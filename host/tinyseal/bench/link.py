"""What an update costs on the line: bytes counted, over the console and over BLE."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tinyseal.build.firmware import ROOT, Request
from tinyseal.build.scons import build
from tinyseal.codegen.firmware import firmware_of
from tinyseal.device.links import Link, quiet_libraries
from tinyseal.device.smp import MAX_ANSWER_SECONDS, SmpDevice
from tinyseal.errors import DeviceError
from tinyseal.package.keys import Use, load_private
from tinyseal.package.mcuboot import Tlv, Version, read_image
from tinyseal.package.sign import SignRequest, development_key, sign_image
from tinyseal.virtual.air import on_air
from tinyseal.virtual.bad_link import BadLink, Faults
from tinyseal.virtual.boards import VirtualBoard, start

BITS_A_BYTE: Final = 10  # on a serial line, with start and stop bit
BOOT_SECONDS: Final = 60.0
CAPSULE: Final = 1  # number of the image
NAME: Final = "bench"
ATTEMPTS: Final = 4

_Measured = tuple[int, int, int]  # bytes, requests, requests that were repeated


@dataclass(frozen=True)
class LinkRow:
    """One capsule uploaded over one transport. `line_bytes` are those of requests and answers:
    on the console all bytes, over BLE the link layer's packets but those that only acknowledge."""

    board: str
    model: str
    transport: str  # serial, ble
    image_bytes: int
    line_bytes: int
    requests: int
    baud: int | None  # of the console; BLE's rate is not the board's

    @property
    def efficiency(self) -> float:
        return self.image_bytes / self.line_bytes

    @property
    def requests_per_64k(self) -> float:
        return self.requests * 65536 / self.image_bytes

    @property
    def line_seconds(self) -> float | None:
        """The line's share of an upload: bytes both ways, which take turns."""
        return self.line_bytes * BITS_A_BYTE / self.baud if self.baud else None

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "efficiency": round(self.efficiency, 4),
            "requests_per_64k": round(self.requests_per_64k, 1),
            "line_seconds": None if self.line_seconds is None else round(self.line_seconds, 1),
        }


def bench_link(
    request: Request, progress: Callable[[str], None] = lambda step: None
) -> list[LinkRow]:
    """Builds, boots and uploads. BuildError, PlanError or DeviceError if it cannot."""
    progress("build")
    build(request)
    image = _newer_capsule(request)
    rows = []
    with quiet_libraries():
        for name, upload in (("serial", _over_serial), ("ble", _over_ble)):
            progress(name)
            if name == "ble" and firmware_of(request.board).radio_base is None:
                continue
            line_bytes, requests = _undisturbed(request, image, upload)
            baud = request.board.console.baud if name == "serial" else None
            rows.append(
                LinkRow(
                    request.board.name, request.model.stem, name, len(image), line_bytes, requests,
                    baud,
                )
            )  # fmt: skip
    return rows


def _undisturbed(
    request: Request, image: bytes, upload: Callable[[Request, VirtualBoard, bytes], _Measured]
) -> tuple[int, int]:
    """Bytes and requests of an upload without repeated ones, which come of a busy machine."""
    for _ in range(ATTEMPTS):
        with start(request) as machine:
            machine.go()
            line_bytes, requests, repeated = upload(request, machine, image)
        if not repeated:
            return line_bytes, requests
    raise DeviceError(
        f"{request.board.name}: {repeated} requests of {requests} had no answer in time, in "
        f"{ATTEMPTS} uploads; measure on an idle machine"
    )


def _newer_capsule(request: Request) -> bytes:
    """The capsule as its free slot takes it."""
    slot = "b" if "b" in request.slots else "a"
    payload = (ROOT / request.image("capsule", slot).with_suffix(".bin")).read_bytes()
    wanted = SignRequest(request.board, "capsule", "b" if slot == "b" else "a", Version(1), 0)
    return sign_image(
        payload, wanted, load_private(development_key(request.board), Use.SIGN_IMAGES)
    )


def _over_serial(request: Request, machine: VirtualBoard, image: bytes) -> _Measured:
    baud = request.board.console.baud

    async def measure(port: Path) -> _Measured:
        async with SmpDevice(Link(machine.port, baud)) as device:
            await device.wait(BOOT_SECONDS)
        async with BadLink(machine.port, baud, port, Faults(), random.Random(0)) as line:
            return await _upload(Link(str(port), baud), image, lambda: line.tally.bytes)

    with tempfile.TemporaryDirectory(prefix="tinyseal-link-") as folder:
        return asyncio.run(measure(Path(folder) / "line"))


def _over_ble(request: Request, machine: VirtualBoard, image: bytes) -> _Measured:
    baud = request.board.console.baud
    assert machine.radio is not None
    with ExitStack() as stack:
        air = stack.enter_context(on_air({NAME: (machine.radio, baud)}))
        link = Link(NAME, is_ble=True, hci=air.hci)
        return asyncio.run(_upload(link, image, lambda: air.traffic.bytes))


async def _upload(link: Link, image: bytes, count: Callable[[], int]) -> _Measured:
    requests = 0

    def answered(*_: int) -> None:
        nonlocal requests
        requests += 1

    async with SmpDevice(link, least_wait=MAX_ANSWER_SECONDS) as device:
        await device.wait(BOOT_SECONDS)
        await device.learn_buffer()
        before, lost = count(), device.lost  # while it booted
        digest = read_image(image).value(Tlv.SHA256)
        assert digest is not None
        await device.upload(CAPSULE, image, digest, answered)
        return count() - before, requests, device.lost - lost
