"""Puts firmware onto a real board with the program that its profile names."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.errors import DeviceError

FLASH_SECONDS: Final = 300.0


def flash(board: Board, image: Path, port: str) -> None:
    """Runs the profile's flasher on a merged image, Intel HEX.

    DeviceError if the profile has no flasher, the program is missing, or it fails.
    """
    flasher = board.flasher
    if flasher is None:
        raise DeviceError(f"{board.name}: its profile has no [flasher]; flash {image} by hand")
    if shutil.which(flasher.binary) is None:
        raise DeviceError(f"{flasher.binary} is missing; it comes with {flasher.package}")
    if not image.is_file():
        raise DeviceError(f"{image}: no such file; build it with scons board={board.name}")
    files = {"hex": image, "port": port}
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
