"""A process of this machine as a board: full speed, and a hundred boards at once."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.codegen.firmware import firmware_of
from tinyseal.errors import DeviceError
from tinyseal.virtual.process import ProcessBoard

SOURCE: Final = Path(__file__).with_name("chip.c")
_FLAGS: Final = ("-D_GNU_SOURCE", "-U_FORTIFY_SOURCE")  # which forbids leaving a stack by longjmp


def chip() -> Path:
    """The program that is the chip."""
    return compile_native("chip", [SOURCE], [ROOT / "firmware" / "hal" / "host"], flags=_FLAGS)


class HostBoard(ProcessBoard):
    """A board that is a process: no emulator, the processor's own code.

    Its lines are pseudo-terminals. Its id is in the flash's file and goes with it, unless `id`
    says another one: 16 hexadecimal digits.
    """

    def __init__(
        self,
        board: Board,
        elf: Path,
        flash: Path | None = None,
        image: Path | None = None,
        storage: bytes | None = None,
        id: str | None = None,
    ) -> None:
        """As `power_up` of virtual/boards.py."""
        super().__init__(board)
        if flash is not None and not flash.exists():  # a new chip, with none of its bits burnt
            Path(f"{flash}.otp").unlink(missing_ok=True)
        flash = self._open_flash(board, flash, image, storage)
        self._spawn([str(chip()), str(elf), str(flash), *_map(board, id)])
        try:
            self.port: str
            self.port, radio = self._answers(2)
            self.radio: str | None = None if radio == "none" else radio
        except BaseException:
            self.close()
            raise

    def go(self) -> None:
        """Lets the processor run, from reset or where `write` stopped it."""
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        if not self._process.stdin.closed:
            self._tell("")  # its power switch
            self._process.stdin.close()

    def write(self, address: int, data: bytes) -> None:
        """Puts bytes into memory. It stands still until `go`."""
        self.freeze()
        try:
            with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
                memory.seek(address)
                memory.write(data)
        except OSError as e:
            raise DeviceError(f"{self._name}: write: {e.strerror} at 0x{address:08x}") from e


def _map(board: Board, id: str | None) -> list[str]:
    """The board's profile in the words of chip.c."""
    flash, memory = board.flash, board.flash_memory
    assert flash is not None and memory is not None
    numbers = {
        "flash_bytes": memory.bytes,
        "erase_bytes": flash.erase_bytes,
        "endurance": flash.endurance_cycles,
        "registers": firmware_of(board).uart_base,
    }
    if board.otp is not None:
        numbers["otp_bits"] = board.otp.bits
    if id is not None:
        numbers["id"] = int(id, 16)
    words = [f"{key}={value}" for key, value in numbers.items()]
    return words + [f"memory={m.base},{m.bytes}" for m in board.memory if m is not memory]
