"""The emulator killed at random moments while the board's own bootloader installs an update."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tinyseal.build.firmware import ROOT, Request
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError
from tinyseal.package.keys import Key, Use, load_private
from tinyseal.package.mcuboot import Version
from tinyseal.package.provision import Identity, counter_image, storage_image
from tinyseal.package.sign import ImageName, SignRequest, SlotName, development_key, sign_image
from tinyseal.torture.kill import KillResult, require_lasting_flash, together
from tinyseal.virtual.boards import VirtualBoard, power_up
from tinyseal.virtual.flash_file import prepare_flash

WORKERS: Final = 2
JOB_KILLS: Final = 20
OLD: Final = Version(1, 0, 0, 0)
NEW: Final = Version(2, 0, 0, 0)
COUNTERS: Final = {OLD: 3, NEW: 4}
MOST_IN_A_ROW: Final = 4  # kills before a start may end
CONFIRM_SECONDS: Final = 0.01  # a kill within them may be before, in the midst of it or after
BOOT_SECONDS: Final = 120.0  # at most; megabytes of serial NOR are read several times
MARGIN: Final = 1.1  # kills fall into this many times what installing took without them


def torture_update(
    requests: Sequence[Request],
    count: int,
    seed: int,
    report: Callable[[int], None] = lambda kills: None,
) -> list[KillResult]:
    """At least `count` kills in all, shared between the boards, whose firmware is built.

    BoardError for a board without a flash that outlives QEMU.
    """
    for request in requests:
        require_lasting_flash(request.board)
    share = -(-count // len(requests))
    jobs = [
        (request, min(JOB_KILLS, share - first), f"{seed} {request.board.name} {first}")
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


def _run(request: Request, count: int, seed: str) -> KillResult:
    """Updates from a fresh flash, each with some kills in its way, until there were `count`."""
    rng = random.Random(seed)
    started = time.monotonic()
    messages: list[str] = []
    kills = kept = 0
    with tempfile.TemporaryDirectory(prefix="tinyseal-kill-") as folder:
        update = _Update(request, Path(folder) / "flash.bin", rng)
        update.prepare()
        seconds = update.finish()
        while kills < count:
            update.prepare()
            try:
                update.disturb(seconds * MARGIN)
            except DeviceError as e:
                messages.append(f"update of seed {seed!r}, kill {kills + update.kills}: {e}")
            kills += update.kills
            kept += update.kept
    return KillResult(
        request.board.name,
        kills,
        len(messages),
        round(time.monotonic() - started, 1),
        kept,
        messages[0] if messages else "",
    )


class _Update:
    """Application and capsule, old in slot a, new in slot b with a request to try them."""

    def __init__(self, request: Request, flash: Path, rng: random.Random) -> None:
        self._request = request
        self._board = board = request.board
        self._flash = flash
        self._rng = rng
        self.kills = 0
        self.kept = False
        private = X25519PrivateKey.from_private_bytes(rng.randbytes(32))
        key = Key(private.public_key(), private, "campaign")
        opens = key if board.boot is not None and board.boot.encrypted else None
        self._parts = [
            (board.partitions("counter")[0], counter_image(board, {})),
            *(
                (p, storage_image(board, Identity(bytes(16), decrypt_key=key).values()))
                for p in board.partitions("storage")
                if opens
            ),
        ]
        signer = load_private(development_key(board), Use.SIGN_IMAGES)
        images: tuple[ImageName, ...] = ("app", "capsule")
        for image in images:
            slots: tuple[tuple[SlotName, Version], ...] = (("a", OLD), ("b", NEW))
            for number, (slot, version) in enumerate(slots):
                linked = request.image(image, slot if slot in request.slots else "a")
                wanted = SignRequest(
                    board, image, slot, version, COUNTERS[version], pad=version is NEW
                )
                payload = (ROOT / linked.with_suffix(".bin")).read_bytes()
                data = sign_image(payload, wanted, signer, opens if version is NEW else None)
                self._parts.append((board.partitions(image)[number], data))

    def prepare(self) -> None:
        """The flash as it is before the first start."""
        self.kills, self.kept = 0, False
        prepare_flash(self._board, self._flash, fresh=True)
        with self._flash.open("r+b") as file:
            for partition, data in self._parts:
                file.seek(partition.offset)
                file.write(data)

    def finish(self) -> float:
        """Installs without a disturbance: the seconds until the board said something. DeviceError
        if it does not install."""
        with self._started() as (client, _):
            started = time.monotonic()
            client.line(BOOT_SECONDS)
            seconds = time.monotonic() - started
            client.boot(BOOT_SECONDS)
            if self._versions(client) != (NEW, "trial"):
                raise DeviceError(f"{self._board.name}: an update is not installed even in peace")
        return seconds

    def disturb(self, seconds: float) -> None:
        """Kills within `seconds` of each start, of the trial's and of those behind it. DeviceError
        for what the board must not do."""
        self._kill(seconds)
        with self._started() as (client, machine):
            client.boot(BOOT_SECONDS)
            found = self._versions(client)
            if found not in ((OLD, "confirmed"), (NEW, "trial")):
                raise DeviceError(f"nobody confirmed version {found[0]}, and it is {found[1]}")
            expected = {OLD}
            if found == (NEW, "trial"):
                expected = self._rng.choice((self._leave, self._confirm, self._begin))(client)
            machine.kill()
            self.kills += 1
        self._kill(seconds)
        with self._started() as (client, _):
            client.boot(BOOT_SECONDS)
            last, standing = self._versions(client)
            if standing != "confirmed":
                raise DeviceError(f"version {last} is on trial a second time")
            if last not in expected:
                raise DeviceError(f"version {last} runs, expected {_listed(expected)}")
            client.command("reset")
            client.boot(BOOT_SECONDS)
            if self._versions(client) != (last, "confirmed"):
                raise DeviceError(f"version {last} did not stay")
            counters = {image[2] for image in client.info().images.values()}
            if counters != {COUNTERS[last]}:
                raise DeviceError(f"version {last} runs with security counters {counters}")
        self.kept = last == NEW

    def _leave(self, client: Client) -> set[Version]:
        """Nobody confirms: it is reverted."""
        return {OLD}

    def _confirm(self, client: Client) -> set[Version]:
        client.command("confirm")
        return {NEW}

    def _begin(self, client: Client) -> set[Version]:
        """Confirms, and does not wait for the answer."""
        client.raw(b"confirm\n")
        time.sleep(self._rng.uniform(0, CONFIRM_SECONDS))
        return {OLD, NEW}

    def _kill(self, seconds: float) -> None:
        for _ in range(self._rng.randint(1, MOST_IN_A_ROW)):
            with self._started() as (_, machine):
                time.sleep(self._rng.uniform(0, seconds))
                machine.kill()
            self.kills += 1

    @contextmanager
    def _started(self) -> Iterator[tuple[Client, VirtualBoard]]:
        with (
            power_up(self._board, ROOT / self._request.bootloader, flash=self._flash) as machine,
            Client(open_port(machine.port, self._board.console.baud)) as client,
        ):
            machine.go()
            yield client, machine

    def _versions(self, client: Client) -> tuple[Version, str]:
        """Which version runs, and how it stands: the same for both images."""
        told = {(image[1], image[3]) for image in client.info().images.values()}
        if len(told) != 1:
            raise DeviceError(f"application and capsule differ: {client.info().images}")
        version, standing = told.pop()
        found = next((v for v in (OLD, NEW) if str(v) == version), None)
        if found is None or standing not in ("trial", "confirmed"):
            raise DeviceError(f"runs version {version}, {standing}")
        return found, standing


def _listed(versions: set[Version]) -> str:
    return " or ".join(map(str, sorted(versions)))
