"""What boards that are a process of this machine have in common."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final, Self

from tinyseal.board import Board
from tinyseal.errors import DeviceError
from tinyseal.virtual.flash_file import open_flash

START_SECONDS: Final = 20.0
_PR_SET_PDEATHSIG: Final = 1


class ProcessBoard:
    """A virtual/boards.py VirtualBoard that is one process, ended with this one."""

    _process: subprocess.Popen[bytes]

    def __init__(self, board: Board) -> None:
        self._name = board.name
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._scratch = tempfile.TemporaryDirectory(prefix="tinyseal-flash-")

    def _open_flash(
        self, board: Board, flash: Path | None, image: Path | None, storage: bytes | None
    ) -> Path:
        """The file that keeps the flash, as `power_up` of virtual/boards.py says."""
        flash = flash or Path(self._scratch.name) / "flash.bin"
        open_flash(board, flash, image, storage)
        return flash

    def _spawn(
        self,
        command: Sequence[str],
        stderr: int | IO[bytes] = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=pass_fds,
            preexec_fn=self._die_with_parent,
        )

    def _die_with_parent(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    @property
    def pid(self) -> int:
        return self._process.pid

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
        try:
            self.kill()
        finally:
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
            self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _tell(self, line: str) -> None:
        """A line to the process's standard input."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as e:
            raise DeviceError(f"{self._name}: {self._last_words()}") from e

    def _answers(self, count: int) -> list[str]:
        """The next lines of the process's standard output."""
        assert self._process.stdout is not None
        text = b""
        while text.count(b"\n") < count:
            if not select.select([self._process.stdout], [], [], START_SECONDS)[0]:
                raise DeviceError(f"{self._name}: no answer in {START_SECONDS:.0f} s")
            data = os.read(self._process.stdout.fileno(), 4096)
            if not data:
                raise DeviceError(f"{self._name}: {self._last_words()}")
            text += data
        return text.decode().splitlines()

    def _last_words(self) -> str:
        """The last line of what it complained about."""
        stderr: Any = self._process.stderr
        lines = self._remarks(stderr.read().decode(errors="replace").splitlines())
        return lines[-1] if lines else f"ended with code {self._process.wait()}"

    def _remarks(self, lines: list[str]) -> list[str]:
        """Those of the process's complaints that are its own."""
        return lines
