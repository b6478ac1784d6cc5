"""Starts virtual boards: QEMU with its console on a pseudo-terminal, stopped until asked to go."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tinyseal.board import Board, Runner
from tinyseal.codegen.firmware import bootloader_place
from tinyseal.errors import DeviceError
from tinyseal.virtual.process import START_SECONDS, ProcessBoard

_GDB_BYTES: Final = 1024  # of one packet


def _filled(arg: str, files: Mapping[str, str]) -> str:
    """`arg` with the files' names in it, their commas doubled where QEMU parts options by them."""
    if "=" in arg:
        files = {key: name.replace(",", ",,") for key, name in files.items()}
    return arg.format(**files)


class QemuBoard(ProcessBoard):
    """A QEMU."""

    def __init__(
        self,
        board: Board,
        runner: Runner,
        elf: Path,
        extra: Sequence[str] = (),
        flash: Path | None = None,
        image: Path | None = None,
        storage: bytes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """As `power_up` of virtual/boards.py."""
        super().__init__(board)
        self._clock = clock
        self._text = b""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed with the board
        self._runner = runner
        self._board = board
        self._flash = flash  # the file to keep it in; None: it is forgotten
        self._holds_flash = False  # what the file had
        if runner.flash_file_bytes is not None:
            flash = self._open_flash(board, flash, image, storage)
        elif flash is not None:
            raise DeviceError(f"{board.name}: keeps no flash in a file")
        has_radio = board.firmware is not None and board.firmware.radio_base is not None
        files = {"elf": str(elf), "flash": str(flash)}
        self._spawn(
            [
                runner.binary,
                *(_filled(arg, files) for arg in runner.args),
                *extra,
                *("-S", "-display", "none", "-monitor", "none", "-qmp", "stdio"),
                *("-chardev", "pty,id=console", "-serial", "chardev:console"),
                *(("-chardev", "pty,id=radio", "-serial", "chardev:radio") if has_radio else ()),
            ],
            stderr=self._complaints,
        )
        try:
            self._command("qmp_capabilities")
            chardevs = self._command("query-chardev")
            ports = {c["label"]: c["filename"].removeprefix("pty:") for c in chardevs}
            self.port: str = ports["console"]
            self.radio: str | None = ports.get("radio")
            if runner.flash_in_memory:
                assert flash is not None
                start, size = self._in_memory()
                self.write(start, flash.read_bytes()[-size:])
                self._holds_flash = True
        except BaseException:
            self.close()
            raise

    def _in_memory(self) -> tuple[int, int]:
        """Address and bytes of the flash without the bootloader at its start, which QEMU puts
        there anew at every reset."""
        memory, boot = self._board.flash_memory, bootloader_place(self._board)
        assert memory is not None
        return boot.base + boot.bytes, memory.end - boot.base - boot.bytes

    def _take_flash(self) -> None:
        """Stops, and brings the file up to date, whole or not at all."""
        if self._flash is None or not self._holds_flash:
            return
        self._command("stop")
        taken = self.read(*self._in_memory())
        with tempfile.TemporaryDirectory(prefix="flash-", dir=self._flash.parent) as folder:
            whole = Path(folder) / "whole"
            whole.write_bytes(self._flash.read_bytes()[: -len(taken)] + taken)
            shutil.copymode(self._flash, whole)
            whole.replace(self._flash)

    def read(self, address: int, size: int) -> bytes:
        """What is in memory, as the processor addresses it, while it runs or stands still."""
        taken = Path(self._scratch.name) / "taken"
        # Not pmemsave: its addresses are others on an nRF51.
        self._command("memsave", {"val": address, "size": size, "filename": str(taken)})
        return taken.read_bytes()

    def write(self, address: int, data: bytes) -> None:
        """Puts bytes into memory, flash included, by GDB's protocol. It stands still until `go`."""
        with tempfile.TemporaryDirectory(prefix="tinyseal-gdb-") as folder:
            port = Path(folder) / "gdb"
            self._monitor(f"gdbserver unix:{port},server=on,wait=off")
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(port))
                s.settimeout(START_SECONDS)
                for at in range(0, len(data), _GDB_BYTES):
                    part = data[at : at + _GDB_BYTES]
                    packet = b"M%x,%x:%s" % (address + at, len(part), part.hex().encode())
                    s.sendall(b"+$%s#%02x" % (packet, sum(packet) % 256))
                    answer = b""
                    # The first may follow the news that the machine has stopped.
                    while b"$OK#9a" not in answer and b"$E" not in answer:
                        got = s.recv(1)
                        if not got:
                            raise self._failure("write", "ended")
                        answer += got
                    if b"$E" in answer:
                        raise self._failure("write", f"refused at 0x{address + at:08x}")
            self._monitor("gdbserver none")

    def _monitor(self, line: str) -> None:
        """A command of QEMU's monitor; it answers in text only where it fails."""
        arguments = {"command-line": line}
        answer = self._command("human-monitor-command", arguments)
        if answer.strip() and "Waiting" not in answer and "isabled" not in answer:
            raise self._failure(line.split()[0], answer.strip())

    def go(self) -> None:
        """Lets the processor run, from reset."""
        self._command("cont")

    def wait(self) -> None:
        """Returns when QEMU has ended by itself, or by a signal."""
        self._process.wait()

    def freeze(self) -> None:
        """Stops the board where it is, for good; what it has sent can still be read.

        Where QEMU writes behind the firmware's back, it may end what it has begun: the cut is
        then between two instructions, as where it keeps the flash in memory. Else the whole
        process stands still, whatever it does.
        """
        if self._runner.flash_write_behind or self._runner.flash_in_memory:
            self._command("stop")
        else:
            super().freeze()

    def kill(self) -> None:
        """Power off, at once: SIGKILL, after what `freeze` says."""
        if self._process.poll() is None:
            self.freeze()
            self._take_flash()
        super().kill()

    def close(self) -> None:
        """Ends QEMU; the flash is in the file. May be called twice."""
        try:
            if self._process.poll() is None:
                if self._runner.flash_write_behind:
                    with contextlib.suppress(DeviceError):
                        self._command("stop")
                self._take_flash()
        finally:
            self._process.kill()
            self._process.wait()
            self._complaints.close()
            super().close()

    def _command(self, execute: str, arguments: Mapping[str, str | int] | None = None) -> Any:
        """One QMP command and its answer (QEMU Machine Protocol specification)."""
        assert self._process.stdin is not None
        try:
            order = {"execute": execute, **({"arguments": arguments} if arguments else {})}
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as e:
            raise self._failure(execute, "is gone") from e
        deadline = self._clock() + START_SECONDS
        while True:
            message = self._message(execute, deadline)
            if "error" in message:
                raise self._failure(execute, message["error"].get("desc", "refused"))
            if "return" in message:
                return message["return"]

    def _message(self, execute: str, deadline: float) -> dict[str, Any]:
        """The next line that is JSON: QEMU also prints remarks to the same pipe."""
        assert self._process.stdout is not None
        while True:
            line, found, rest = self._text.partition(b"\n")
            if found:
                self._text = rest
                with contextlib.suppress(json.JSONDecodeError):
                    message = json.loads(line)
                    if isinstance(message, dict):
                        return message
                continue
            left = deadline - self._clock()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise self._failure(execute, f"no answer in {START_SECONDS:.0f} s")
            data = os.read(self._process.stdout.fileno(), 4096)
            if not data:
                raise self._failure(execute, self._last_words())
            self._text += data

    def _last_words(self) -> str:
        """QEMU's own error, which begins with the program's name; hints may follow it."""
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").splitlines()
        said = [line for line in lines if line.startswith("qemu-")]
        return said[-1] if said else f"ended with code {code}"

    def _failure(self, execute: str, what: str) -> DeviceError:
        return DeviceError(f"{self._name}: QEMU: {execute}: {what}")
