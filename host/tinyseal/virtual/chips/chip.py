"""What the modelled chips have in common: a processor, a flash in a file, a console."""

from __future__ import annotations

import importlib
import mmap
import os
import pty
import select
import time
import tty
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import Any, ClassVar, Final

# For a byte that has not come, before the processor sleeps for a moment: firmware that works
# through a ring full of the bytes before looks in between.
IDLE_LOOKS: Final = 2000
IDLE_SECONDS: Final = 0.002
_END: Final = 0xFFFFFFFF  # an address at which nothing ends


class Stopped(Exception):
    """The chip cannot go on; the words say why."""


class Line:
    """The console's pseudo-terminal. Bytes that the UART has no room for wait in it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        self.name = os.ttyname(self.slave)
        self.received: deque[int] = deque()
        self._looks = 0

    def look(self, room: int) -> int:
        """Takes what has come, up to `room` bytes, into `received`; how many are there."""
        if not self.received:
            self._looks += 1
            pause = IDLE_SECONDS if self._looks > IDLE_LOOKS else 0.0
            if select.select([self.master], [], [], pause)[0]:
                self.received.extend(os.read(self.master, room))
        if self.received:
            self._looks = 0
        return len(self.received)

    def send(self, byte: int) -> None:
        self._looks = 0
        os.write(self.master, bytes([byte]))


class Chip(ABC):
    """Registers and memory around a processor; `run` is its life."""

    start_bit: ClassVar[int] = 0  # of addresses that execution starts at

    def __init__(self, architecture: str, modes: tuple[str, ...], flash: Path) -> None:
        unicorn = importlib.import_module("unicorn")
        self.constants: Any = importlib.import_module(f"unicorn.{architecture.lower()}_const")
        self.unicorn: Any = unicorn  # its types are incomplete
        mode = 0
        for name in modes:
            mode |= getattr(unicorn, f"UC_MODE_{name}")
        self.uc: Any = unicorn.Uc(getattr(unicorn, f"UC_ARCH_{architecture}"), mode)
        with flash.open("r+b") as file:
            self.cells = mmap.mmap(file.fileno(), 0)
        self.line = Line()
        self.is_resetting = False
        self._fault: Stopped | None = None

    @abstractmethod
    def start(self) -> int:
        """Registers as after a reset; where execution starts."""

    @abstractmethod
    def resume(self) -> int:
        """After a stop that a register asked for: where execution goes on."""

    @abstractmethod
    def load(self, address: int) -> int:
        """Of a register."""

    @abstractmethod
    def store(self, address: int, value: int) -> None:
        """To a register."""

    def map_registers(self, base: int, size: int) -> None:
        def read(uc: Any, offset: int, width: int, data: Any) -> int:
            try:
                return self.load(base + offset)
            except Stopped as e:
                self.stop(e)
                return 0

        def write(uc: Any, offset: int, width: int, value: int, data: Any) -> None:
            try:
                self.store(base + offset, value)
            except Stopped as e:
                self.stop(e)

        self.uc.mmio_map(base, size, read, None, write, None)

    def stop(self, why: Stopped | None = None) -> None:
        """At this instruction, which is done once more if it goes on."""
        self._fault = self._fault or why
        self.uc.emu_stop()

    def reset(self) -> None:
        """At this instruction."""
        self.is_resetting = True
        self.uc.emu_stop()

    def now(self, hz: int) -> int:
        """Ticks of a clock that never stops."""
        return int(time.monotonic_ns() * hz // 1_000_000_000)

    def register(self, name: str) -> int:
        return int(self.uc.reg_read(self._number(name)))

    def set_register(self, name: str, value: int) -> None:
        self.uc.reg_write(self._number(name), value)

    @abstractmethod
    def _number(self, name: str) -> int:
        """Unicorn's, of a register of the processor."""

    def run(self) -> None:
        """For ever; Stopped says why not."""
        while True:
            self.is_resetting = False
            pc = self.start()
            while not self.is_resetting:
                try:
                    self.uc.emu_start(pc | self.start_bit, _END)
                except self.unicorn.UcError as e:
                    if self._fault is None:
                        pc = self.register("PC")
                        raise Stopped(f"processor at 0x{pc:08x}: {e}") from e
                if self._fault is not None:
                    raise self._fault
                if not self.is_resetting:
                    pc = self.resume()
