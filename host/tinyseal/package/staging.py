"""First images for a flash that no programmer reaches: laid out behind the bootloader, which
writes them there. The format is firmware/SPEC.md's, "Staging"."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from intelhex import IntelHex

from tinyseal.board import Board
from tinyseal.errors import ImageError
from tinyseal.package.files import read_file
from tinyseal.package.mcuboot import ERASED
from tinyseal.package.merge import parse_hex

HEADER: Final = struct.Struct("<4sII")  # magic, bytes behind it, their CRC-32
RECORD: Final = struct.Struct("<II")  # where in the flash, how many bytes
MAGIC: Final = b"TSTG"
assert (HEADER.size, RECORD.size) == (12, 8)


def to_raw(board: Board, image: Path) -> bytes:
    """A merged image from where reset begins to its end, erased between its parts; on a board
    with [staging], what belongs into the other flash lies there."""
    merged = parse_hex(image, read_file(image))
    merged.padding = ERASED
    staging, flash, reset = board.staging, board.flash_memory, board.reset_memory
    if staging is not None and board.flash is not None and flash is not None and reset is not None:
        records = b""
        for start, end in merged.segments():
            if flash.base <= start < flash.end:
                records += _record(board.flash.program_bytes, start - flash.base, merged[start:end])
                del merged[start:end]
        blob = HEADER.pack(MAGIC, len(records), zlib.crc32(records)) + records
        if len(blob) > staging.bytes:
            raise ImageError(
                f"{board.name}: the first images take {len(blob)} B with what says where they go, "
                f"[staging] has {staging.bytes} B; try a smaller model"
            )
        merged.frombytes(blob, staging.address)
    return bytes(merged.tobinarray())


def _record(unit: int, offset: int, part: IntelHex) -> bytes:
    data = bytes(part.tobinarray())
    data += bytes([ERASED]) * (-len(data) % unit)
    return RECORD.pack(offset, len(data)) + data
