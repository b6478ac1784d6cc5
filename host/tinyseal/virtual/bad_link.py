"""A bad line between a tool and a board: frames that are lost, damaged, doubled, out of order or
late, and a cut at a frame of one's choice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import tty
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tinyseal.device.client import open_port

FRAME_END: Final = b"\n"
LONGEST_FRAME: Final = 512  # what has no end is passed on all the same
PAUSE_SECONDS: Final = 0.02  # after which a frame without an end is one
HOLD_SECONDS: Final = 0.1  # for a frame that waits to be overtaken
STALL_SECONDS: Final = (0.05, 0.6)
FULL_SECONDS: Final = 0.002


@dataclass(frozen=True)
class Faults:
    """Shares of frames, each from 0 to 1."""

    lost: float = 0.0
    damaged: float = 0.0  # one bit of them
    doubled: float = 0.0
    overtaken: float = 0.0  # by the frame behind
    stalled: float = 0.0  # and everything behind


@dataclass
class Tally:
    """What passed, both ways together."""

    frames: int = 0
    bytes: int = 0
    lost: int = 0
    damaged: int = 0
    doubled: int = 0
    overtaken: int = 0
    stalled: int = 0


@dataclass
class _Way:
    """One direction: frames come out of a stream, and go into another."""

    target: Callable[[], int | None]  # None: the line is cut
    pending: bytearray = field(default_factory=bytearray)
    queue: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    flush: asyncio.TimerHandle | None = None


class BadLink:
    """Between a board's port and `port`, a name for a pseudo-terminal that comes and goes; an async
    context manager."""

    def __init__(
        self,
        board_port: str,
        baud: int,
        port: Path,
        faults: Faults,
        rng: random.Random,
        cut_at: int | None = None,
    ) -> None:
        """`cut_at`: the line is cut before this frame, counted from 1, both ways together."""
        self.port = port
        self.tally = Tally()
        self.is_cut = False
        self._faults, self._rng, self._cut_at = faults, rng, cut_at
        self._board = open_port(board_port, baud)
        self._ends: tuple[int, int] | None = None
        self._loop = asyncio.get_running_loop()
        self._up = _Way(self._board.fileno)
        self._down = _Way(lambda: self._ends[0] if self._ends else None)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        os.set_blocking(self._board.fileno(), False)
        self._loop.add_reader(self._board.fileno(), self._from_board)
        self._tasks = [self._loop.create_task(self._pass(w)) for w in (self._up, self._down)]
        self.mend()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._loop.remove_reader(self._board.fileno())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()
        self._board.close()

    def mend(self) -> None:
        """The line is whole, for good."""
        if self._ends is not None:
            return
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self.port.symlink_to(os.ttyname(theirs))
        self._ends = ours, theirs
        self._loop.add_reader(ours, self._from_tool)

    def cut(self) -> None:
        """The tool's end vanishes, as a USB plug that is pulled; what is under way is lost."""
        if self._ends is None:
            return
        ours, theirs = self._ends
        self._ends = None
        self._loop.remove_reader(ours)
        self.port.unlink()
        os.close(ours)
        os.close(theirs)
        for way in (self._up, self._down):
            way.pending.clear()
            while not way.queue.empty():
                way.queue.get_nowait()

    def _from_tool(self) -> None:
        assert self._ends is not None
        self._take(self._up, self._ends[0])

    def _from_board(self) -> None:
        self._take(self._down, self._board.fileno())

    def _take(self, way: _Way, source: int) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError, OSError):
            data = os.read(source, 4096)
        self.tally.bytes += len(data)
        if way.flush is not None:
            way.flush.cancel()
        way.pending += data
        while (end := way.pending.find(FRAME_END)) >= 0 or len(way.pending) >= LONGEST_FRAME:
            size = end + 1 if 0 <= end < LONGEST_FRAME else LONGEST_FRAME
            way.queue.put_nowait(bytes(way.pending[:size]))
            del way.pending[:size]
        way.flush = self._loop.call_later(PAUSE_SECONDS, self._flush, way)

    def _flush(self, way: _Way) -> None:
        if way.pending:
            way.queue.put_nowait(bytes(way.pending))
            way.pending.clear()

    async def _pass(self, way: _Way) -> None:
        """Frames as they come, with the faults that befall them."""
        while True:
            frame = await way.queue.get()
            self.tally.frames += 1
            if self.tally.frames == self._cut_at:
                self.is_cut = True
                self.cut()
                continue
            if self._befalls("stalled"):
                await asyncio.sleep(self._rng.uniform(*STALL_SECONDS))
            if self._befalls("lost"):
                continue
            if self._befalls("damaged"):
                frame = self._with_a_wrong_bit(frame)
            if self._befalls("overtaken"):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HOLD_SECONDS):
                        frame = await way.queue.get() + frame
                        self.tally.frames += 1
            if self._befalls("doubled"):
                frame += frame
            await self._deliver(way, frame)

    async def _deliver(self, way: _Way, frame: bytes) -> None:
        while frame and (target := way.target()) is not None:
            try:
                frame = frame[os.write(target, frame) :]
            except BlockingIOError:
                await asyncio.sleep(FULL_SECONDS)
            except OSError:
                return  # nobody is there

    def _befalls(self, fault: str) -> bool:
        share: float = getattr(self._faults, fault)
        if share == 0 or self._rng.random() >= share:
            return False
        setattr(self.tally, fault, getattr(self.tally, fault) + 1)
        return True

    def _with_a_wrong_bit(self, frame: bytes) -> bytes:
        bit = self._rng.randrange(8 * len(frame))
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
