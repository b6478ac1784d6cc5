"""A process of this machine as a board: full speed, and a hundred boards at once."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final, Self

from tinyseal.board import Board
from tinyseal.build.esp import pack
from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.codegen.firmware import firmware_of
from tinyseal.device.flash_file import open_flash
from tinyseal.errors import DeviceError

SOURCE: Final = Path(__file__).with_name("chip.c")
START_SECONDS: Final = 20.0
_FLAGS: Final = ("-D_GNU_SOURCE", "-U_FORTIFY_SOURCE")  # which forbids leaving a stack by longjmp
_PR_SET_PDEATHSIG: Final = 1


def chip() -> Path:
    """The program that is the chip."""
    return compile_native("chip", [SOURCE], [ROOT / "firmware" / "hal" / "host"], flags=_FLAGS)


class HostBoard:
    """A device/virtual.py VirtualBoard that is a process: no emulator, the processor's own code.

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
        """As `power_up` of device/virtual.py."""
        self._name = board.name
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._scratch = tempfile.TemporaryDirectory(prefix="tinyseal-flash-")
        flash = flash or Path(self._scratch.name) / "flash.bin"
        if not flash.exists():  # a new chip, with none of its bits burnt
            Path(f"{flash}.otp").unlink(missing_ok=True)
        self._flash = flash
        open_flash(board, flash, image, storage)
        self._process = subprocess.Popen(
            self._command(board, elf, flash, id),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=self._die_with_parent,
        )
        try:
            self.port: str
            self.radio: str | None
            self.port, self.radio = self._ports()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> None:
        """Lets the processor run, from reset or where `write` stopped it."""
        assert self._process.stdin is not None
        self._process.send_signal(signal.SIGCONT)
        try:
            if not self._process.stdin.closed:
                self._process.stdin.write(b"\n")  # its power switch
                self._process.stdin.close()
        except OSError as e:
            raise DeviceError(f"{self._name}: {self._last_words()}") from e

    def write(self, address: int, data: bytes) -> None:
        """Puts bytes into memory. It stands still until `go`."""
        self.freeze()
        try:
            with open(f"/proc/{self.pid}/mem", "r+b", buffering=0) as memory:
                memory.seek(address)
                memory.write(data)
        except OSError as e:
            raise DeviceError(f"{self._name}: write: {e.strerror} at 0x{address:08x}") from e

    def wait(self) -> None:
        """Returns when the process has ended by a signal. DeviceError if the chip gave up."""
        if self._process.wait() > 0:
            raise DeviceError(f"{self._name}: {self._last_words()}")

    def freeze(self) -> None:
        """Stops the board where it is, for good; what it has sent can still be read."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Power off, at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the process; the flash is in the file. May be called twice."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _die_with_parent(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _ports(self) -> tuple[str, str | None]:
        assert self._process.stdout is not None
        text = b""
        while text.count(b"\n") < 2:
            if not select.select([self._process.stdout], [], [], START_SECONDS)[0]:
                raise DeviceError(f"{self._name}: no answer in {START_SECONDS:.0f} s")
            data = os.read(self._process.stdout.fileno(), 4096)
            if not data:
                raise DeviceError(f"{self._name}: {self._last_words()}")
            text += data
        console, radio = text.decode().split()
        return console, None if radio == "none" else radio

    def _command(self, board: Board, elf: Path, flash: Path, id: str | None) -> list[str]:
        return [str(chip()), str(elf), str(flash), *_map(board, id)]

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        lines = self._process.stderr.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else f"ended with code {self._process.wait()}"


class UnicornBoard(HostBoard):
    """An ESP32-C3 whose ROM, registers and flash are modelled around an emulated processor.

    The ROM starts what lies in the flash. Without an `image` that is `elf`, packed for it.
    """

    def __init__(
        self,
        board: Board,
        elf: Path,
        flash: Path | None = None,
        image: Path | None = None,
        storage: bytes | None = None,
    ) -> None:
        super().__init__(board, elf, flash, image, storage)
        if image is None:
            pack(board, elf)
            with self._flash.open("r+b") as f:
                f.seek(board.partitions("bootloader")[0].offset)
                f.write(elf.with_suffix(".bin").read_bytes())

    def _command(self, board: Board, elf: Path, flash: Path, id: str | None) -> list[str]:
        if importlib.util.find_spec("unicorn") is None:
            raise DeviceError(f"{board.name}: the Python package unicorn is missing; ./setup test")
        ram = [f"{m.base}:{m.bytes}" for m in board.memory if m.kind == "ram"]
        return [sys.executable, "-m", "tinyseal.device.esp32c3", str(flash), *ram]

    def write(self, address: int, data: bytes) -> None:
        raise DeviceError(f"{self._name}: its memory cannot be written from outside")


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
