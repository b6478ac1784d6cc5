"""Puts firmware onto a real board with the program that its profile names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.errors import DeviceError

FLASH_SECONDS: Final = 300.0


def flash(board: Board, elf: Path, port: str) -> None:
    """Runs the profile's flasher on `elf`, or the .bin or .hex beside it.

    DeviceError if the profile has no flasher, the program is missing, or it fails.
    """
    flasher = board.flasher
    if flasher is None:
        raise DeviceError(
            f"{board.name}: its profile has no [flasher]; flash {elf.with_suffix('.hex')} by hand"
        )
    if shutil.which(flasher.binary) is None:
        raise DeviceError(f"{flasher.binary} is missing; it comes with {flasher.package}")
    if not elf.is_file():
        raise DeviceError(f"{elf}: no such file; build it with scons board={board.name}")
    files = {
        "elf": elf,
        "bin": elf.with_suffix(".bin"),
        "hex": elf.with_suffix(".hex"),
        "port": port,
    }
    command = [flasher.binary, *(arg.format(**files) for arg in flasher.args)]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FLASH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise DeviceError(
            f"{board.name}: {flasher.binary} did not end in {FLASH_SECONDS:.0f} s"
        ) from e
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise DeviceError(
            f"{board.name}: {flasher.binary} failed with code {done.returncode}: "
            f"{said[-1] if said else 'it said nothing'}"
        )
