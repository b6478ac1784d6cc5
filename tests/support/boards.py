"""Firmware built once a session, and virtual boards that run it."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tinyseal.build.firmware import ROOT, Request
from tinyseal.device.client import Client, open_port
from tinyseal.profiles import board_names, load_board
from tinyseal.virtual.boards import start

# Boards that something emulates.
VIRTUAL: Final = [name for name in board_names() if load_board(name).runner]
ENCRYPT: Final = Path("keys/dev_enc.pem")


def scons(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs the project's SConstruct; both streams are in `stdout`."""
    return subprocess.run(
        [sys.executable, "-m", "SCons", *words],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
    )


@functools.cache
def firmware(board: str, model: Path, kernels: str = "auto") -> Request:
    """Builds it, and says what was built."""
    done = scons(f"board={board}", f"model={model}", f"kernels={kernels}")
    assert done.returncode == 0, done.stdout
    return Request(load_board(board), model, kernels)


@functools.cache
def encrypted(board: str, model: Path) -> Request:
    """The same for the development key, signed files encrypted."""
    done = scons(f"board={board}", f"model={model}", f"encrypt={ENCRYPT}")
    assert done.returncode == 0, done.stdout
    return Request(load_board(board), model, encrypt=ENCRYPT)


@contextmanager
def booted(request: Request, extra: Sequence[str] = ()) -> Iterator[Client]:
    """A virtual board that runs the firmware, ready for commands; `extra` as for power_up."""
    baud = request.board.console.baud
    with (
        start(request, extra) as machine,
        Client(open_port(machine.port, baud)) as client,
    ):
        machine.go()
        client.boot()
        yield client
