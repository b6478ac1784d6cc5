"""The files that keep the flash of virtual boards, and what of a merged image belongs into one."""

from __future__ import annotations

import os
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from intelhex import IntelHex, IntelHexError

from tinyseal.board import Board
from tinyseal.codegen.firmware import bootloader_place
from tinyseal.errors import DeviceError


def prepare_flash(board: Board, file: Path, fresh: bool = False) -> None:
    """Creates the flash's file, erased, if it is not there or a `fresh` one is wanted.

    DeviceError if the board keeps no flash in a file, or the file there has another size.
    """
    flash = board.flash_memory
    if flash is None or board.runner is None or board.runner.flash_file_bytes is None:
        raise DeviceError(f"{board.name}: keeps no flash in a file")
    size = board.runner.flash_file_bytes
    try:
        if file.exists() and not fresh:
            if file.stat().st_size != size:
                raise DeviceError(
                    f"{file}: expected {size} B of flash for {board.name}, has "
                    f"{file.stat().st_size}; remove it for an erased one"
                )
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f"{file.name}.{os.getpid()}")
        with scratch.open("wb") as f:
            f.write(b"\xff" * flash.bytes)
            f.truncate(size)  # what is beyond the flash stays a hole
        scratch.replace(file)
    except OSError as e:
        raise DeviceError(f"{file}: {e.strerror}") from e


def open_flash(board: Board, file: Path, image: Path | None, storage: bytes | None) -> None:
    """`file` as `prepare_flash` leaves it; a new one gets what a merged image has for it, and the
    storage partition."""
    is_new = not file.exists()
    prepare_flash(board, file)
    if is_new and image is not None:
        assert board.flash_memory is not None
        with file.open("r+b") as f:
            for address, data in _parts(board, image, storage):
                f.seek(address)
                f.write(data)


def _parts(board: Board, image: Path, storage: bytes | None) -> list[tuple[int, bytes]]:
    """What of a merged image lies in the flash of [flash], and storage, by its place there. The
    bootloader does not, but where a ROM reads it: elsewhere reset finds it without."""
    try:
        parsed = IntelHex(str(image))
    except (OSError, IntelHexError) as e:
        raise DeviceError(f"{image}: no Intel HEX file: {e}") from e
    memory = board.flash_memory
    if memory is None:
        raise DeviceError(f"{board.name}: its flash is not mapped")
    bootloader = None if board.rom else bootloader_place(board).base
    parts = []
    for start, end in parsed.segments():
        place = start - board.file_base
        if 0 <= place < memory.bytes and start != bootloader:
            parts.append((place, bytes(parsed.tobinarray(start=start, end=end - 1))))
    if storage is not None:
        parts.append((board.partitions("storage")[0].offset, storage))
    return parts


def elf_bytes(elf: Path, start: int, end: int) -> bytes:
    """What an ELF puts from `start` on, below `end`. DeviceError if it is none."""
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
