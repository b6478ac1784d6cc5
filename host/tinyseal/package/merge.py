"""Bootloader, images, storage and counters as one file, each where the board's profile has it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from intelhex import HexRecordError, IntelHex, IntelHexError

from tinyseal.board import Board
from tinyseal.errors import ImageError
from tinyseal.package.files import read_file
from tinyseal.package.mcuboot import ERASED, Flag, Tlv, read_image
from tinyseal.package.sign import (
    Slot,
    class_name,
    class_uuid,
    recognise_class,
    require_encryption,
    slot_of,
)
from tinyseal.package.verify import is_sealed

MAX_SPAN: Final = 256 << 20  # of a BIN; two memories far apart would make a file of mostly nothing


@dataclass(frozen=True)
class Room:
    """An address range that a part may fill."""

    name: str
    address: int
    bytes: int


@dataclass(frozen=True)
class Part:
    """Bytes, where they go, and the room they must stay in."""

    name: str
    address: int
    data: bytes
    room: Room

    @property
    def end(self) -> int:
        return self.address + len(self.data)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": self.address,
            "bytes": len(self.data),
            "room": self.room.name,
            "room_address": self.room.address,
            "room_bytes": self.room.bytes,
        }


def room_of_bootloader(board: Board) -> Room:
    """Its partition; on a board without one, the memory that reset starts from."""
    if board.partitions("bootloader"):
        return room_of(board, "bootloader")
    first = next((m for m in board.memory if m.kind == "flash"), None)
    if first is None or board.flash is None or first.name == board.flash.memory:
        raise ImageError(f'{board.name}: has no [[partition]] of role "bootloader"')
    return Room(first.name, first.base, first.bytes)


def room_of(board: Board, role: str) -> Room:
    """The partition of a role that comes once. ImageError if the board has none."""
    found = next((p for p in board.partition if p.role == role), None)
    memory = board.flash_memory
    if found is None or memory is None:
        raise ImageError(f'{board.name}: has no [[partition]] of role "{role}"')
    return Room(found.name, board.file_base + found.offset, found.bytes)


def room_of_slot(board: Board, slot: Slot) -> Room:
    return Room(slot.partition.name, board.file_base + slot.partition.offset, slot.partition.bytes)


def place(
    board: Board,
    bootloader: bytes | None = None,
    images: Mapping[tuple[str, str], bytes] | None = None,
    storage: bytes | None = None,
    counter: bytes | None = None,
) -> list[Part]:
    """The parts at their addresses; `images` by (image, slot), as ("app", "a"). ImageError where
    one does not fit, has no place, or is an image for another one."""
    parts = []
    if bootloader is not None:
        room = room_of_bootloader(board)
        parts.append(Part("bootloader", room.address, bootloader, room))
    for (image, name), data in (images or {}).items():
        slot = slot_of(board, image, name)
        room = room_of_slot(board, slot)
        _require_image(board, image, name, slot, data)
        parts.append(Part(f"{image} {name}", room.address, data, room))
    for role, content in (("storage", storage), ("counter", counter)):
        if content is not None:
            room = room_of(board, role)
            parts.append(Part(role, room.address, content, room))
    return merge(parts)


def _require_image(board: Board, image: str, name: str, slot: Slot, data: bytes) -> None:
    """ImageError if the bootloader would refuse `data` there for what it is."""
    what = f"{image} {name}"
    read = read_image(data)
    if read.problems or read.header is None:
        raise ImageError(f"{what}: is no sound image: {read.problems[0]}")
    class_id = read.value(Tlv.UUID_CID)
    if class_id != class_uuid(board.name, image).bytes:
        other = recognise_class(class_id) if class_id else None
        raise ImageError(
            f"{what}: is signed for {other or 'another board or image'}, "
            f"not for {class_name(board.name, image)}"
        )
    if read.header.is_encrypted:
        require_encryption(board)
    if is_sealed(read) and name == "a" and board.boot is not None and board.boot.mode == "swap":
        raise ImageError(
            f"{what}: is encrypted, and runs as it lies there; an encrypted image goes to slot b, "
            "slot a takes the one signed with --clear"
        )
    if read.header.flags & Flag.ROM_FIXED and read.header.load_address != slot.address:
        raise ImageError(
            f"{what}: is signed to run at 0x{read.header.load_address:08x}, "
            f"{slot.partition.name} is at 0x{slot.address:08x}"
        )


def merge(parts: Sequence[Part]) -> list[Part]:
    """The parts by address. ImageError if there are none, if two overlap, or if one leaves its
    room."""
    if not parts:
        raise ImageError("nothing to merge; name a bootloader or an image")
    for part in parts:
        room = part.room
        if part.address < room.address or part.end > room.address + room.bytes:
            raise ImageError(
                f"{part.name}: 0x{part.address:08x} to 0x{part.end:08x} is not inside of "
                f"{room.name}, {room.bytes} B from 0x{room.address:08x}"
            )
    ordered = sorted(parts, key=lambda p: p.address)
    for low, high in pairwise(ordered):
        if low.end > high.address:
            raise ImageError(
                f"{high.name} overlaps {low.name}: starts at 0x{high.address:08x}, "
                f"{low.name} ends at 0x{low.end:08x}"
            )
    return ordered


def to_hex(parts: Sequence[Part]) -> bytes:
    """Intel HEX; room that no part fills is not in it."""
    out = IntelHex()
    for part in parts:
        out.frombytes(part.data, part.address)
    text = io.StringIO()
    out.write_hex_file(text)
    return text.getvalue().encode("ascii")


def to_bin(parts: Sequence[Part]) -> bytes:
    """From the first part's address to the last one's end, erased between them."""
    start, end = parts[0].address, parts[-1].end
    if end - start > MAX_SPAN:
        raise ImageError(
            f"the parts span {end - start} B from 0x{start:08x}, too much for a .bin; write a .hex"
        )
    out = bytearray([ERASED]) * (end - start)
    for part in parts:
        out[part.address - start : part.end - start] = part.data
    return bytes(out)


def parse_hex(path: Path, data: bytes) -> IntelHex:
    """Intel HEX, as read from `path`. ImageError if it is none, or empty."""
    try:
        parsed = IntelHex(io.StringIO(data.decode("ascii")))
    except (IntelHexError, HexRecordError, UnicodeDecodeError, ValueError) as e:
        raise ImageError(f"{path}: is no Intel HEX: {e}") from e
    if parsed.minaddr() is None:
        raise ImageError(f"{path}: holds no bytes")
    return parsed


def read_binary(path: Path, address: int | None = None) -> bytes:
    """A .bin, or the contents of a .hex, which must start at `address`; gaps read erased."""
    data = read_file(path)
    if path.suffix.lower() != ".hex":
        return data
    parsed = parse_hex(path, data)
    start, end = parsed.minaddr(), parsed.maxaddr()
    if address is not None and start != address:
        raise ImageError(
            f"{path}: starts at 0x{start:08x}; linked for here it would be 0x{address:08x}"
        )
    if end - start > MAX_SPAN:
        raise ImageError(f"{path}: spans {end - start} B, which is no image")
    parsed.padding = ERASED
    return bytes(parsed.tobinarray())
