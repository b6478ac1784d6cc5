"""Updates over lines that spoil and lose what they carry: each ends right or is reported as
failed, and the device still serves."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final, Protocol

from tinyseal.build.firmware import ROOT, Request
from tinyseal.codegen.firmware import firmware_of
from tinyseal.device.links import Link, quiet_libraries
from tinyseal.device.ota import Report, RevertedError, update
from tinyseal.device.smp import SmpDevice
from tinyseal.errors import DeviceError, ToolError
from tinyseal.package.keys import Use, load_private
from tinyseal.package.mcuboot import Version
from tinyseal.package.sign import ImageName, SignRequest, SlotName, development_key, sign_image
from tinyseal.package.update import UpdateImage, read_set
from tinyseal.virtual.air import Traffic, on_air
from tinyseal.virtual.bad_link import BadLink, Faults, Tally
from tinyseal.virtual.boards import VirtualBoard, start

WORST: Final = 0.1  # share of frames that one kind of fault befalls
NOISY: Final = 4  # one update in so many is over a noisy line, the others are cut
NEW: Final = Version(1, 0, 0, 0)
NAME: Final = "tortured"  # over BLE
AT_ONCE: Final = {"host": 6, "qemu": 2, "rp2040js": 2, "unicorn": 2}  # by runner

NOISE_PATIENCE_SECONDS: Final = 30.0
CUT_PATIENCE_SECONDS: Final = 2.0
MEND_SECONDS: Final = 0.3
BOOT_SECONDS: Final = 20.0
END_SECONDS: Final = 600.0  # whatever the line does


@dataclass(frozen=True)
class Trouble:
    """What one update has to bear."""

    faults: Faults = field(default_factory=Faults)
    cut_at: int | None = None  # the frame
    mends: bool = False  # soon after the cut; else the tool has to give up


@dataclass(frozen=True)
class Ending:
    """One update, and what became of it."""

    outcome: str  # updated, or the kind of error that was reported
    fault: str  # what should not have happened, or nothing
    tally: Tally


@dataclass
class LinkResult:
    """One board."""

    board: str
    count: int = 0  # updates
    failures: int = 0
    seconds: float = 0.0
    frames: int = 0  # of an update over a good line
    cuts: int = 0  # different frames that one was cut at
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)  # made, by kind
    message: str = ""  # the first thing that broke, if something did


def torture_link(
    request: Request,
    count: int,
    seed: int,
    images: Sequence[ImageName] = ("capsule",),
    report: Callable[..., None] = lambda done, of: None,
    ble: bool = False,
) -> LinkResult:
    """`count` updates of a board whose firmware is built, over a bad line each; one that is not
    disturbed tells how many frames there are to cut at. 0: as many as cut it at every frame.

    The same seed makes the same troubles; when they strike also depends on the machine. Over `ble`
    what is lost is the connection: its link layer repeats all else.
    """
    if request.board.runner is None:
        raise DeviceError(f"{request.board.name}: is not virtual")
    if ble and firmware_of(request.board).radio_base is None:
        raise DeviceError(f"{request.board.name}: has no line for BLE (radio_base in its profile)")
    with tempfile.TemporaryDirectory(prefix="tinyseal-link-") as folder, quiet_libraries():
        release = read_set([write_release(request, Path(folder), images)])
        campaign = _Campaign(request, release, Path(folder), seed, ble)
        return asyncio.run(campaign.run(count, report))


def troubles(frames: int, count: int, seed: int, quiet: bool = False) -> list[Trouble]:
    """Noise for one in NOISY unless it is a `quiet` line, cuts for the others: at every frame, if
    there are enough; of count 0 there are."""
    rng = random.Random(seed)
    noisy = 0 if quiet else -(-count // NOISY) if count else -(-frames // (NOISY - 1))
    cuts = count - noisy if count else frames
    made = [Trouble(Faults(*(rng.uniform(0, WORST) for _ in range(5)))) for _ in range(noisy)]
    start = rng.randrange(frames)
    stride = max(1, frames // max(1, cuts))
    made += [
        Trouble(cut_at=1 + (start + i * stride) % frames, mends=rng.random() < 0.5)
        for i in range(cuts)
    ]
    rng.shuffle(made)
    return made


def write_release(
    request: Request, folder: Path, images: Sequence[ImageName], security_counter: int = 0
) -> Path:
    """The request's build as a newer release."""
    release = folder / "release"
    release.mkdir()
    signer = load_private(development_key(request.board), Use.SIGN_IMAGES)
    slots: tuple[SlotName, ...] = ("a", "b")
    for image in images:
        for slot in slots[: len(request.slots)]:
            payload = (ROOT / request.image(image, slot).with_suffix(".bin")).read_bytes()
            wanted = SignRequest(request.board, image, slot, NEW, security_counter)
            data = sign_image(payload, wanted, signer)
            (release / f"{image}_{slot}.img").write_bytes(data)
    return release


class Line(Protocol):
    """What may be cut, and is mended."""

    @property
    def is_cut(self) -> bool: ...
    @property
    def tally(self) -> Tally: ...
    def mend(self) -> None: ...


class BadAir:
    """A radio that is out of reach from a packet on."""

    def __init__(self, traffic: Traffic, cut_at: int | None) -> None:
        self._traffic = traffic
        self.mend = traffic.mend
        traffic.cut_at = cut_at

    @property
    def is_cut(self) -> bool:
        return self._traffic.is_cut

    @property
    def tally(self) -> Tally:
        return Tally(frames=self._traffic.packets, bytes=self._traffic.bytes)


class _Campaign:
    def __init__(
        self, request: Request, images: Sequence[UpdateImage], folder: Path, seed: int, ble: bool
    ) -> None:
        self._request, self._images, self._folder, self._seed = request, images, folder, seed
        self._ble = ble
        self._changed = len(images) // len(request.slots)  # images that an update changes
        self._baud = request.board.console.baud

    async def run(self, count: int, report: Callable[..., None]) -> LinkResult:
        started = time.monotonic()
        result = LinkResult(self._request.board.name)
        clean = await self._one("clean", Trouble())
        if clean.outcome != "updated" or clean.fault:
            raise DeviceError(
                f"{result.board}: over a good line: {clean.fault or clean.outcome}; nothing to "
                "disturb"
            )
        result.frames = clean.tally.frames
        made = troubles(result.frames, count, self._seed, self._ble)
        result.cuts = len({t.cut_at for t in made if t.cut_at})
        assert self._request.board.runner is not None
        room = asyncio.Semaphore(AT_ONCE[self._request.board.runner.kind])

        async def one(number: int, trouble: Trouble) -> None:
            async with room:
                ending = await self._one(f"{number}", trouble)
            _add(result, number, trouble, ending)
            report(result.count, len(made))

        await asyncio.gather(*(one(i, t) for i, t in enumerate(made)))
        result.seconds = round(time.monotonic() - started, 1)
        return result

    async def _one(self, name: str, trouble: Trouble) -> Ending:
        """A fresh board, an update in trouble, then a look at it over a good line."""
        rng = random.Random(f"{self._seed} {name}")
        async with AsyncExitStack() as stack:
            machine = stack.enter_context(start(self._request))
            machine.go()
            good = Link(machine.port, self._baud)
            async with SmpDevice(good) as device:
                await device.wait(BOOT_SECONDS)
            async with (
                self._line(machine, name, trouble, rng) as (line, link),
                _mending(line, trouble.mends),
            ):
                outcome, fault = await self._disturbed(link, trouble)
            fault = fault or await self._afterwards(machine, good, outcome)
            return Ending(outcome, fault, line.tally)

    @asynccontextmanager
    async def _line(
        self, machine: VirtualBoard, name: str, trouble: Trouble, rng: random.Random
    ) -> AsyncIterator[tuple[Line, Link]]:
        """A line in trouble, and how a tool finds it."""
        if self._ble:
            assert machine.radio is not None
            with on_air({NAME: (machine.radio, self._baud)}) as air:
                line = BadAir(air.traffic, trouble.cut_at)
                yield line, Link(NAME, is_ble=True, hci=air.hci)
            return
        path = self._folder / f"line-{name}"
        async with BadLink(
            machine.port, self._baud, path, trouble.faults, rng, trouble.cut_at
        ) as bad:
            yield bad, Link(str(path), self._baud)

    async def _update(self, device: SmpDevice, boot_seconds: float) -> Report:
        board = self._request.board
        return await update(device, self._images, profile=board, boot_seconds=boot_seconds)

    async def _disturbed(self, link: Link, trouble: Trouble) -> tuple[str, str]:
        """What the tool says of it, and what it should never have said or done."""
        gives_up = trouble.cut_at is not None and not trouble.mends
        patience = CUT_PATIENCE_SECONDS if gives_up else NOISE_PATIENCE_SECONDS
        try:
            async with (
                asyncio.timeout(END_SECONDS),
                SmpDevice(link, patience=patience) as device,
            ):
                boot = CUT_PATIENCE_SECONDS if gives_up else BOOT_SECONDS
                await self._update(device, boot)
        except ToolError as e:
            return type(e).__name__, ""
        except TimeoutError:
            return "endless", f"no end in {END_SECONDS:.0f} s"
        except Exception as e:  # whatever escapes the tool is what this looks for
            return "crash", f"{type(e).__name__}: {e}"
        return "updated", ""

    async def _afterwards(self, machine: VirtualBoard, good: Link, outcome: str) -> str:
        """What is wrong with the device now, or nothing."""
        try:
            async with SmpDevice(good) as device:
                await device.wait(BOOT_SECONDS)
                states = await device.images()
                new = {i.hash for i in self._images}
                if outcome == RevertedError.__name__ and any(
                    s.active and s.hash in new for s in states
                ):
                    return "told to be reverted, and runs the new images"
                if outcome == "updated":
                    kept = {s.hash for s in states if s.active and s.confirmed}
                    if len(kept & new) != self._changed:
                        return "told to be updated, and runs something else"
                again = await self._update(device, BOOT_SECONDS)
                if outcome == "updated" and again.outcome != "unchanged":
                    return f"told to be updated, then {again.outcome} once more"
        except ToolError as e:
            return f"after {outcome}: {e}"
        return ""


@asynccontextmanager
async def _mending(line: Line, mends: bool) -> AsyncIterator[None]:
    """Has a cut line mended soon."""

    async def watch() -> None:
        while not line.is_cut:
            await asyncio.sleep(MEND_SECONDS / 10)
        await asyncio.sleep(MEND_SECONDS)
        line.mend()

    task = asyncio.get_running_loop().create_task(watch()) if mends else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _add(result: LinkResult, number: int, trouble: Trouble, ending: Ending) -> None:
    result.count += 1
    result.outcomes[ending.outcome] = result.outcomes.get(ending.outcome, 0) + 1
    for fault in fields(Faults):
        made = result.faults.get(fault.name, 0) + getattr(ending.tally, fault.name)
        result.faults[fault.name] = made
    if ending.fault:
        result.failures += 1
        result.message = result.message or f"update {number}, {trouble}: {ending.fault}"
