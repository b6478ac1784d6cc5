"""The emulator killed at random moments while the firmware writes to flash, and started again."""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.build.firmware_elf import flashtest
from tinyseal.device.client import Client, open_port
from tinyseal.errors import BoardError, DeviceError
from tinyseal.virtual.boards import power_up
from tinyseal.virtual.flash_file import prepare_flash

WORK_SECONDS: Final = 0.25  # at most, before a kill
MOUNT_SECONDS: Final = 0.03  # the same, where the kill is to hit the mounting itself
DRAIN_SECONDS: Final = 0.02
IN_MOUNT: Final = 0.2  # share of kills
WORKERS: Final = 4
JOB_KILLS: Final = 25
ENDLESS: Final = 2**32 - 1  # rounds of work


@dataclass(frozen=True)
class KillResult:
    """One board."""

    board: str
    count: int  # kills
    failures: int
    seconds: float
    # What was acknowledged between the kills: counter steps and settings of the key, or updates.
    steps: int
    message: str  # the first thing that broke, if something did


@dataclass
class Ledger:
    """What flash may hold, from what the firmware has told.

    It works in rounds: a counter step, told as `c N`, then a key set to N, told as `k N`. What
    was told is there; what was begun may be.
    """

    counter: int = 0
    key: int | None = None
    steps: int = 0
    _counters: set[int] = field(default_factory=lambda: {0})
    _keys: set[int | None] = field(default_factory=lambda: {None})

    def settle(self, counter: int, key: int | None) -> str:
        """Takes over what a restarted board found; what is wrong with it, or nothing."""
        faults = []
        if counter not in self._counters:
            faults.append(f"the counter is {counter}, not one of {_listed(self._counters)}")
        if key not in self._keys:
            faults.append(f"the key is {key}, not one of {_listed(self._keys)}")
        self.counter, self.key = counter, key
        self._counters, self._keys = {counter}, {key}
        return "; ".join(faults)

    def begin(self) -> None:
        """The firmware was told to work."""
        self._reckon()

    def hear(self, line: str) -> None:
        """One line of the firmware at work."""
        kind, _, number = line.partition(" ")
        if kind == "c":
            self.counter = int(number)
        else:
            self.key = int(number)
        self.steps += 1
        self._reckon()

    def _reckon(self) -> None:
        # The end of the last line may still be in the UART when the next operation has begun.
        self._counters = {self.counter, self.counter + 1}
        self._keys = {self.key, self.counter, self.counter + 1}


def torture_kill(
    boards: Sequence[Board],
    count: int,
    seed: int,
    report: Callable[[int], None] = lambda kills: None,
) -> list[KillResult]:
    """At least `count` kills in all, shared between the boards.

    BoardError for a board without a flash that outlives QEMU.
    """
    for board in boards:
        require_lasting_flash(board)
    share = -(-count // len(boards))
    jobs = [
        (board, min(JOB_KILLS, share - first), f"{seed} {board.name} {first}")
        for board in boards
        for first in range(0, share, JOB_KILLS)
    ]
    parts: list[KillResult] = []
    # Not fork: QEMU's parent must be a process without threads. A start waits most of its time
    # for QEMU to notice that its console is open, so more than there are processors pays off.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(WORKERS, len(jobs)), mp_context=context) as pool:
        for job in as_completed([pool.submit(_run, *job) for job in jobs]):
            parts.append(job.result())
            report(sum(part.count for part in parts))
    return together(parts)


def require_lasting_flash(board: Board) -> None:
    """BoardError for a board without a flash that outlives QEMU."""
    if board.runner is None or board.runner.flash_file_bytes is None:
        raise BoardError(f"{board.name}: is not virtual, or keeps no flash in a file")


def together(parts: Sequence[KillResult]) -> list[KillResult]:
    """One result a board, by name."""
    boards = sorted({part.board for part in parts})
    return [_sum([part for part in parts if part.board == board]) for board in boards]


def _sum(parts: Sequence[KillResult]) -> KillResult:
    return KillResult(
        parts[0].board,
        sum(p.count for p in parts),
        sum(p.failures for p in parts),
        round(sum(p.seconds for p in parts), 1),
        sum(p.steps for p in parts),
        next((p.message for p in parts if p.message), ""),
    )


def _run(board: Board, count: int, seed: str) -> KillResult:
    """`count` kills in a row on one flash."""
    rng = random.Random(seed)
    elf = flashtest(board)
    started = time.monotonic()
    messages: list[str] = []
    steps = 0
    with tempfile.TemporaryDirectory(prefix="tinyseal-kill-") as folder:
        flash = Path(folder) / "flash.bin"
        ledger = _provision(board, elf, flash)
        for kill in range(count):
            try:
                fault = _cycle(board, elf, flash, ledger, rng)
            except DeviceError as e:
                fault = str(e)
            if fault:
                messages.append(f"kill {kill}: {fault}")
                steps += ledger.steps
                ledger = _provision(board, elf, flash)
    return KillResult(
        board.name,
        count,
        len(messages),
        round(time.monotonic() - started, 1),
        steps + ledger.steps,
        messages[0] if messages else "",
    )


def _provision(board: Board, elf: Path, flash: Path) -> Ledger:
    """A fresh flash with a counter at 0."""
    prepare_flash(board, flash, fresh=True)
    with (
        power_up(board, elf, flash=flash) as machine,
        Client(open_port(machine.port, board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        client.command("format 0")
    return Ledger()


def _cycle(board: Board, elf: Path, flash: Path, ledger: Ledger, rng: random.Random) -> str:
    """Start, look, work, kill. What was wrong, or nothing."""
    with (
        power_up(board, elf, flash=flash) as machine,
        Client(open_port(machine.port, board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        if rng.random() < IN_MOUNT:
            client.raw(b"mount\n")
            time.sleep(rng.uniform(0, MOUNT_SECONDS))
            machine.kill()
            return ""
        counter, key = client.command("mount").split()
        fault = ledger.settle(int(counter), None if key == "-" else int(key))
        ledger.begin()
        client.raw(b"work %d\n" % ENDLESS)
        lines = client.lines(rng.uniform(0, WORK_SECONDS))
        machine.freeze()
        lines += client.lines(DRAIN_SECONDS)
        machine.kill()
    for line in lines:
        if not line.startswith(("c ", "k ")):
            return f"{fault}; at work: {line}".removeprefix("; ")
        ledger.hear(line)
    return fault


def _listed(values: set[int] | set[int | None]) -> str:
    return ", ".join(sorted(str(v) for v in values))
