"""The board killed at random moments while a tool updates it over SMP: upload, restart, trial."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Final

from smp.image_management import ImageState

from tinyseal.build.firmware import Request
from tinyseal.device.client import Client, open_port
from tinyseal.device.links import Link, quiet_libraries
from tinyseal.device.ota import Report, update
from tinyseal.device.smp import SmpDevice
from tinyseal.errors import BoardError, DeviceError, ToolError
from tinyseal.package.sign import IMAGE_NUMBERS, ImageName
from tinyseal.package.update import UpdateImage, read_set
from tinyseal.torture.kill import KillResult, require_lasting_flash, together
from tinyseal.torture.link import write_release
from tinyseal.virtual.boards import VirtualBoard, start

WORKERS: Final = 4  # a board waits most of its time, for answers and for its tool
JOB_KILLS: Final = 25
MOST_IN_A_ROW: Final = 6  # kills before an update may end
MARGIN: Final = 1.1  # kills fall into this many times what an update took without them
COUNTER: Final = 1  # of the new images; those of the build have 0
BOOT_SECONDS: Final = 120.0


def torture_upload(
    requests: Sequence[Request],
    count: int,
    seed: int,
    images: Sequence[ImageName] = ("capsule",),
    report: Callable[[int], None] = lambda kills: None,
) -> list[KillResult]:
    """At least `count` kills in all, shared between the boards, whose firmware is built and has
    security counter 0.

    BoardError for a board without a flash that outlives its emulator, or without uploads.
    """
    for request in requests:
        require_lasting_flash(request.board)
        if not request.board.services.smp_images:
            raise BoardError(f"{request.board.name}: takes no images over SMP ([services])")
    share = -(-count // len(requests))
    jobs = [
        (request, min(JOB_KILLS, share - first), f"{seed} {request.board.name} {first}", images)
        for request in requests
        for first in range(0, share, JOB_KILLS)
    ]
    parts: list[KillResult] = []
    context = multiprocessing.get_context("spawn")  # as in kill.py
    with ProcessPoolExecutor(min(WORKERS, len(jobs)), mp_context=context) as pool:
        for job in as_completed([pool.submit(_run, *job) for job in jobs]):
            parts.append(job.result())
            report(sum(part.count for part in parts))
    return together(parts)


def _run(request: Request, count: int, seed: str, images: Sequence[ImageName]) -> KillResult:
    """Updates from a fresh flash, each with some kills in its way, until there were `count`."""
    rng = random.Random(seed)
    started = time.monotonic()
    messages: list[str] = []
    kills = kept = 0
    with tempfile.TemporaryDirectory(prefix="tinyseal-kill-") as folder, quiet_libraries():
        release = read_set([write_release(request, Path(folder), images, COUNTER)])
        flash = Path(folder) / "flash.bin"
        seconds = _Update(request, release, images, flash).finish()
        while kills < count:
            flash.unlink()
            one = _Update(request, release, images, flash)
            try:
                one.begin()
                for _ in range(min(rng.randint(1, MOST_IN_A_ROW), count - kills)):
                    kills += 1
                    one.kill(rng.uniform(0, seconds * MARGIN))
                one.finish()
                kept += 1
            except ToolError as e:
                messages.append(f"updates of seed {seed!r}, kill {kills}: {e}")
    return KillResult(
        request.board.name,
        kills,
        len(messages),
        round(time.monotonic() - started, 1),
        kept,
        messages[0] if messages else "",
    )


class _Update:
    """One board, and the release that it gets. Errors are what must not happen."""

    def __init__(
        self,
        request: Request,
        release: Sequence[UpdateImage],
        images: Sequence[ImageName],
        flash: Path,
    ) -> None:
        self._request, self._release, self._images = request, release, images
        self._flash = flash
        self._new = {image.hash for image in release}
        self._kept: dict[int, bytes | None] = {}  # hash of what runs when no trial is on

    def begin(self) -> None:
        """Starts the board for the first time."""
        with start(self._request, flash=self._flash) as machine:
            machine.go()
            states = asyncio.run(self._states(machine))
        self._kept = {state.image or 0: state.hash for state in states if state.active}

    def kill(self, seconds: float) -> None:
        """Updates, and kills the board after `seconds`; then looks at what boots."""
        with start(self._request, flash=self._flash) as machine:
            machine.go()
            asyncio.run(self._disturbed(machine, seconds))
        with start(self._request, flash=self._flash) as machine:
            machine.go()
            self._look(machine, asyncio.run(self._states(machine)))
            machine.kill()

    def finish(self) -> float:
        """Updates without a disturbance: how long that took. The update stays."""
        with start(self._request, flash=self._flash) as machine:
            machine.go()
            started = time.monotonic()
            asyncio.run(self._whole(machine))
            seconds = time.monotonic() - started
            machine.kill()
        with start(self._request, flash=self._flash) as machine:
            machine.go()
            states = asyncio.run(self._states(machine))
            kept = {s.hash for s in states if s.active and s.confirmed}
            if len(kept & self._new) != len(self._images):
                raise DeviceError("an update that ended did not stay")
            self._look(machine, states)
        return seconds

    async def _disturbed(self, machine: VirtualBoard, seconds: float) -> None:
        async with SmpDevice(self._link(machine)) as device:
            await device.wait(BOOT_SECONDS)
            work = asyncio.ensure_future(self._update(device))
            ended, _ = await asyncio.wait([work], timeout=seconds)
            machine.kill()  # while the tool goes on
            if ended:
                work.result()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _whole(self, machine: VirtualBoard) -> None:
        async with SmpDevice(self._link(machine)) as device:
            await device.wait(BOOT_SECONDS)
            await self._update(device)

    async def _update(self, device: SmpDevice) -> Report:
        board = self._request.board
        return await update(device, self._release, profile=board, boot_seconds=BOOT_SECONDS)

    async def _states(self, machine: VirtualBoard) -> list[ImageState]:
        async with SmpDevice(self._link(machine)) as device:
            await device.wait(BOOT_SECONDS)
            return await device.images()

    def _look(self, machine: VirtualBoard, states: Sequence[ImageState]) -> None:
        """Of each image the one that is kept runs, or the new one on trial; a security counter is
        0 until the new one is kept, and then that one's."""
        for state in states:
            number = state.image or 0
            if not state.active:
                continue
            is_new = state.hash in self._new
            if state.hash != self._kept.setdefault(number, state.hash) and not is_new:
                raise DeviceError(f"image {number} is {state.version}, neither kept nor new")
            if is_new and state.confirmed:
                self._kept[number] = state.hash
        with Client(open_port(machine.port, self._request.board.console.baud)) as client:
            client.sync()
            found = client.info().images
        for name, (slot, version, counter, standing) in found.items():
            expected = COUNTER if self._kept.get(IMAGE_NUMBERS[name]) in self._new else 0
            if standing not in ("confirmed", "trial") or counter != expected:
                raise DeviceError(
                    f"{name}: {version} in slot {slot} is {standing}, its security counter "
                    f"{counter}, expected {expected}"
                )

    def _link(self, machine: VirtualBoard) -> Link:
        return Link(machine.port, self._request.board.console.baud)
