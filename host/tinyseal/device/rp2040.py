"""A Raspberry Pi Pico that rp2040js emulates, as a virtual board."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import tempfile
import tty
from pathlib import Path
from typing import Final, Self

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from tinyseal.board import Board, Runner
from tinyseal.build.firmware import ROOT, THIRD_PARTY
from tinyseal.build.third_party import rp2040js
from tinyseal.device.flash_file import open_flash
from tinyseal.errors import DeviceError

SCRIPT: Final = Path(__file__).with_name("rp2040.mjs")
START_SECONDS: Final = 20.0
_PR_SET_PDEATHSIG: Final = 1


class Rp2040Board:
    """A device/virtual.py VirtualBoard: a chip of which rp2040.mjs says what is emulated."""

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
        """As `power_up` of device/virtual.py."""
        self._name = board.name
        self._libc = ctypes.CDLL(None, use_errno=True)
        script = rp2040js(ROOT / THIRD_PARTY)
        self._scratch = tempfile.TemporaryDirectory(prefix="tinyseal-flash-")
        flash = flash or Path(self._scratch.name) / "flash.bin"
        open_flash(board, flash, image, storage)
        assert board.flash_memory is not None
        first = Path(self._scratch.name) / "bootloader.bin"
        first.write_bytes(_flash_of(elf, board.flash_memory.base, board.flash_memory.end))
        console, self._line = os.openpty()  # kept open: the line has no end while the board is on
        tty.setraw(self._line)
        os.set_blocking(console, False)
        self.port: str = os.ttyname(self._line)
        files = map(str, (SCRIPT, script, first, flash))
        try:
            self._process = subprocess.Popen(
                [runner.binary, *files, str(console)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(console,),
                preexec_fn=self._die_with_parent,
            )
        finally:
            os.close(console)
        try:
            self._answer("ready")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def go(self) -> None:
        """Lets the processor run, from reset or where `write` stopped it."""
        self._process.send_signal(signal.SIGCONT)
        self._tell("go")

    def write(self, address: int, data: bytes) -> None:
        """Puts bytes into memory. It stands still until `go`."""
        self._tell(f"write {address:x} {data.hex()}")
        self._answer("done")

    def wait(self) -> None:
        """Returns when the emulator has ended by a signal. DeviceError if it gave up."""
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
        if self._line >= 0:
            os.close(self._line)
            self._line = -1
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _die_with_parent(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as e:
            raise DeviceError(f"{self._name}: {self._last_words()}") from e

    def _answer(self, expected: str) -> None:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], START_SECONDS)[0]:
            raise DeviceError(f"{self._name}: no answer in {START_SECONDS:.0f} s")
        if self._process.stdout.readline().decode().strip() != expected:
            raise DeviceError(f"{self._name}: {self._last_words()}")

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        lines = self._process.stderr.read().decode(errors="replace").splitlines()
        said = [line for line in lines if line.startswith("rp2040js: ")]
        return said[-1] if said else f"ended with code {self._process.wait()}"


def _flash_of(elf: Path, start: int, end: int) -> bytes:
    """What an ELF puts at the start of the flash. DeviceError if it is none."""
    try:
        with elf.open("rb") as file:
            parts = [
                (s["p_paddr"] - start, s.data())
                for s in ELFFile(file).iter_segments("PT_LOAD")
                if start <= s["p_paddr"] < end and s["p_filesz"]
            ]
    except (OSError, ELFError) as e:
        raise DeviceError(f"{elf}: not an ELF file that can be read: {e}") from e
    out = bytearray(b"\xff" * max((at + len(data) for at, data in parts), default=0))
    for at, data in parts:
        out[at : at + len(data)] = data
    return bytes(out)
