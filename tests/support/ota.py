"""Updates for virtual boards: newer images, and lines that can be cut."""

from __future__ import annotations

import json
import os
import select
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from support.chain import signed
from tinyseal.build.firmware import Request
from tinyseal.cli import app
from tinyseal.errors import ToolError
from tinyseal.package.sign import parse_version


def write_set(
    request: Request,
    folder: Path,
    version: str = "1.1.0",
    images: tuple[str, ...] = ("app", "capsule"),
    **changes: Any,
) -> Path:
    """The request's build as a newer release: a folder with every variant."""
    folder.mkdir(exist_ok=True)
    for image in images:
        for slot in request.slots:
            data = signed(request, image, slot, version=parse_version(version), **changes)
            (folder / f"{image}_{slot}.img").write_bytes(data)
    return folder


def ota(*words: object) -> tuple[int, Any]:
    """Exit code and JSON of `tinyseal ota WORDS --json`."""
    done = CliRunner().invoke(app, ["ota", *map(str, words), "--json"])
    code = done.exception.exit_code if isinstance(done.exception, ToolError) else done.exit_code
    if done.exception is not None and not isinstance(done.exception, ToolError | SystemExit):
        raise done.exception
    return code, json.loads(done.stdout)


class Relay:
    """A line between a tool and a board that can be cut and mended, or held: `port` is a symbolic
    link to a pseudo-terminal of its own. `passed` counts the bytes from the tool."""

    def __init__(self, board_port: str, port: Path) -> None:
        self.port = port
        self.passed = 0
        self._board = os.open(board_port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._cut_at: int | None = None
        self._hold_at: int | None = None
        self._ends: tuple[int, int] | None = None
        self._stop = threading.Event()
        self.mend()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def cut_after(self, count: int) -> None:
        """Cuts the line once `count` more bytes have passed from the tool."""
        self._cut_at = self.passed + count

    def hold_after(self, count: int | None) -> None:
        """Nothing from the tool passes once `count` bytes have; None: everything again."""
        self._hold_at = count

    @property
    def is_held(self) -> bool:
        return self._hold_at is not None and self.passed >= self._hold_at

    @property
    def is_cut(self) -> bool:
        return self._ends is None

    def mend(self) -> None:
        ours, theirs = os.openpty()
        import tty

        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self._cut_at = None
        with suppress(FileNotFoundError):
            self.port.unlink()
        self.port.symlink_to(os.ttyname(theirs))
        self._ends = ours, theirs

    def _cut(self) -> None:
        assert self._ends is not None
        ends, self._ends = self._ends, None
        self.port.unlink()
        for end in ends:
            os.close(end)

    def _pump(self) -> None:
        while not self._stop.is_set():
            ends = self._ends
            if ends is None:
                self._stop.wait(0.01)
                continue
            heard = [self._board] if self.is_held else [self._board, ends[0]]
            ready, _, _ = select.select(heard, [], [], 0.02)
            with suppress(OSError):
                if self._board in ready:
                    os.write(ends[0], os.read(self._board, 4096))
                if ends[0] in ready:
                    data = os.read(ends[0], 512)
                    self._write_whole(data)
                    self.passed += len(data)
            if self._cut_at is not None and self.passed >= self._cut_at:
                self._cut()

    def _write_whole(self, data: bytes) -> None:
        while data and not self._stop.is_set():
            try:
                data = data[os.write(self._board, data) :]
            except BlockingIOError:
                self._stop.wait(0.002)

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *args: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._ends is not None:
            self._cut()
        os.close(self._board)
