"""Bootloaders for chips whose ROM loads them, in Espressif's format, by esptool."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tinyseal.board import Board
from tinyseal.errors import BuildError


def pack(board: Board, elf: Path) -> None:
    """Writes what the ROM loads beside `elf`, as .bin.

    BuildError if the board's ROM loads nothing, or esptool refuses.
    """
    if board.rom is None or board.flash_memory is None:
        raise BuildError(f"{board.name}: has no [rom]; its bootloader runs where it lies")
    command = [
        *(sys.executable, "-m", "esptool", "--chip", board.rom.chip, "elf2image"),
        *("--flash-mode", board.rom.flash_mode, "--flash-freq", f"{board.rom.flash_mhz}m"),
        *("--flash-size", f"{board.flash_memory.bytes >> 20}MB"),
        *("--output", str(elf.with_suffix(".bin")), str(elf)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise BuildError(f"{elf}: esptool: {said[-1] if said else f'code {done.returncode}'}")
