"""A Raspberry Pi Pico that rp2040js emulates, as a virtual board."""

from __future__ import annotations

import json
import os
import signal
import tty
from pathlib import Path
from typing import Final

from tinyseal.board import Board, Runner
from tinyseal.build.firmware import ROOT, THIRD_PARTY
from tinyseal.build.third_party import rp2040js
from tinyseal.errors import DeviceError
from tinyseal.virtual.flash_file import elf_bytes
from tinyseal.virtual.icount import Counts, Marks
from tinyseal.virtual.process import ProcessBoard

SCRIPT: Final = Path(__file__).with_name("rp2040.mjs")


class Rp2040Board(ProcessBoard):
    """A chip of which rp2040.mjs says what is emulated."""

    radio: str | None = None

    def __init__(
        self,
        board: Board,
        runner: Runner,
        elf: Path,
        flash: Path | None = None,
        image: Path | None = None,
        storage: bytes | None = None,
    ) -> None:
        """As `power_up` of virtual/boards.py."""
        super().__init__(board)
        script = rp2040js(ROOT / THIRD_PARTY)
        flash = self._open_flash(board, flash, image, storage)
        assert board.flash_memory is not None
        first = Path(self._scratch.name) / "bootloader.bin"
        first.write_bytes(elf_bytes(elf, board.flash_memory.base, board.flash_memory.end))
        console, self._line = os.openpty()  # kept open: the line has no end while the board is on
        tty.setraw(self._line)
        os.set_blocking(console, False)
        self.port: str = os.ttyname(self._line)
        files = map(str, (SCRIPT, script, first, flash))
        try:
            self._spawn([runner.binary, *files, str(console)], pass_fds=(console,))
        finally:
            os.close(console)
        try:
            self._answer("ready")
        except BaseException:
            self.close()
            raise

    def go(self) -> None:
        """Lets the processor run, from reset or where `write` stopped it."""
        self._process.send_signal(signal.SIGCONT)
        self._tell("go")

    def write(self, address: int, data: bytes) -> None:
        """Puts bytes into memory. It stands still until `go`."""
        self._tell(f"write {address:x} {data.hex()}")
        self._answer("done")

    def count(self, marks: Marks) -> None:
        """Counts inferences from now on: instructions and cycles."""
        addresses = (*marks.invoke, *marks.layers)
        self._tell(" ".join(["count", *(f"{address:x}" for address in addresses)]))

    def counts(self) -> tuple[list[Counts], list[float]]:
        """One entry for each inference that has returned since `count`, and cycles of the last:
        those of `invoke` itself, and of each layer."""
        self._tell("counts")
        (line,) = self._answers(1)
        rows = json.loads(line)
        counts = [Counts(own, tuple(layers)) for (own, *layers), _ in rows]
        return counts, [float(cycles) for cycles in rows[-1][1]] if rows else []

    def close(self) -> None:
        """Ends the process; the flash is in the file. May be called twice."""
        super().close()
        if self._line >= 0:
            os.close(self._line)
            self._line = -1

    def _answer(self, expected: str) -> None:
        if self._answers(1) != [expected]:
            raise DeviceError(f"{self._name}: {self._last_words()}")

    def _remarks(self, lines: list[str]) -> list[str]:
        return [line for line in lines if line.startswith("rp2040js: ")]
