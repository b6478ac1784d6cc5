"""Board -> what the firmware's own sources need: linker script and configuration header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tinyseal.board import HEADER_BYTES, Board, Core, Firmware, Memory
from tinyseal.codegen.generate import per_region
from tinyseal.codegen.templates import render
from tinyseal.errors import BoardError

ImageName = Literal["app", "capsule"]

# Of struct boot_handover, and room for it to grow.
HANDOVER_BYTES: Final = 128
BOOTLOADER_STACK_BYTES: Final = 0x4000


def entry(core: Core) -> str:
    """The symbol execution starts at."""
    if core.is_arm:
        return "cortexm_start"
    return {
        Core.RV32IMC: "riscv_start",
        Core.LX106: "xtensa_vectors",
        Core.LX6: "xtensa_vectors",
        Core.HOST: "native_start",
    }[core]


@dataclass(frozen=True)
class Placed:
    """A memory area that one image is linked for."""

    name: str  # of the area in the linker script
    base: int
    bytes: int


def bootloader_place(board: Board) -> Placed:
    """Where reset begins: the bootloader's partition, or what other images leave of the memory."""
    reset = board.reset_memory
    if reset is None:
        raise BoardError(f'{board.name}: no memory of kind "flash" to place code in')
    partitions = board.partitions("bootloader")
    if partitions and board.flash is not None and board.flash.memory == reset.name:
        return Placed("bootloader", reset.base + partitions[0].offset, partitions[0].bytes)
    copies = (board.boot.app, board.boot.capsule) if board.boot else ()
    end = min((c.address for c in copies if c and reset.base <= c.address < reset.end), default=0)
    return Placed("bootloader", reset.base, (end or reset.end) - reset.base)


def image_place(board: Board, image: ImageName, slot: int) -> Placed:
    """Room for a payload: in its slot behind the header, or in RAM."""
    name = f"{image}_{'ab'[slot]}"
    base = board.image_address(image, slot) + HEADER_BYTES
    return Placed(name, base, board.payload_bytes(image))


def generate_bare_script(board: Board) -> str:
    """For a firmware that runs from reset, without a bootloader, with the profile's arena."""
    is_copied = board.rom is not None
    return _script(board, bootloader_place(board), board.arena_regions, None, is_copied)


def generate_bootloader_script(board: Board) -> str:
    """As an application's, without an arena: its stack takes half of a small RAM."""
    stack = min(main_ram(board).bytes // 2, BOOTLOADER_STACK_BYTES)
    return _script(board, bootloader_place(board), (), stack, board.rom is not None)


def generate_app_script(board: Board, slot: int) -> str:
    """Vectors first, then code and constants; RAM with the stack at its end."""
    return _script(board, image_place(board, "app", slot), board.arena_regions, None)


def generate_capsule_script(board: Board, slot: int) -> str:
    """The capsule table first, then code and constants; no RAM."""
    return render(
        "capsule_link.ld",
        board=board,
        image=image_place(board, "capsule", slot),
        fetch_offset=board.fetch_offset,
    )


def _script(
    board: Board,
    image: Placed,
    arenas: tuple[Memory, ...],
    stack_bytes: int | None,
    is_copied: bool = False,
) -> str:
    """`is_copied`: a ROM has put each section where it runs before this starts."""
    ram, fetched = main_ram(board).name, f"{image.name}_code"
    code = board.rom.code if board.rom and is_copied else fetched
    return render(
        "link.ld",
        board=board,
        code=code if is_copied or board.fetch_offset else image.name,
        constants=ram if is_copied else image.name,
        load=None if is_copied else image.name,
        fast=board.rom.code if board.rom else None,
        fetched=None if is_copied or not board.fetch_offset else fetched,
        fetch_offset=board.fetch_offset,
        entry=entry(board.core),
        image=image,
        is_first=image == bootloader_place(board),
        ram=main_ram(board),
        arenas=arenas,
        stack_bytes=stack_bytes or firmware_of(board).stack_bytes,
        handover_bytes=HANDOVER_BYTES,
    )


@dataclass(frozen=True)
class Identity:
    """Whose images a board takes: 16 bytes each of vendor, application class, capsule class, and
    the Ed25519 public keys that may sign."""

    vendor: bytes
    classes: tuple[bytes, bytes]
    keys: tuple[bytes, ...]


def generate_boot_config(board: Board, identity: Identity) -> str:
    """`boot_config.h`: what firmware/setup hands to firmware/boot."""
    if board.boot is None or board.flash is None:
        raise BoardError(f"{board.name}: has no [boot]; it boots no images")
    copies = (board.boot.app, board.boot.capsule)
    names: tuple[ImageName, ImageName] = ("app", "capsule")
    return render(
        "boot_config.h",
        board=board,
        mode={"xip": "BOOT_XIP", "swap": "BOOT_SWAP", "ram": "BOOT_RAM"}[board.boot.mode],
        flash_base=board.flash_memory.base
        if board.flash_memory and board.boot.mode != "ram"
        else None,
        storage=next(((p.offset, p.bytes) for p in board.partitions("storage")), (0, 0)),
        images=[
            {
                "name": name.upper(),
                "offsets": [f"{p.offset:#x}u" for p in board.partitions(name)],
                "bytes": board.partitions(name)[0].bytes,
                "counter": board.counter_areas()[name],
                "ram": copy.address if copy else 0,
                "ram_bytes": copy.bytes if copy else 0,
            }
            for name, copy in zip(names, copies, strict=True)
        ],
        state=board.counter_areas()["state"],
        vendor_id=_bytes(identity.vendor),
        class_ids=[_bytes(c) for c in identity.classes],
        keys=[_bytes(k) for k in identity.keys],
    )


def _bytes(data: bytes) -> str:
    return ", ".join(f"0x{b:02x}" for b in data)


def generate_board_config(board: Board) -> str:
    """`board_config.h`."""
    firmware_of(board)
    return render(
        "board_config.h",
        board=board,
        counters=board.counter_areas() if board.partitions("counter") else {},
        storage=board.partitions("storage"),
        log=board.partitions("log"),
        queries_per_bit=board.queries_per_bit or 1,
        arena_bytes=per_region(tuple(m.arena_bytes for m in board.arena_regions)),
    )


def main_ram(board: Board) -> Memory:
    """The RAM that holds data and stack: the first one listed."""
    return next(m for m in board.memory if m.kind == "ram")


def firmware_of(board: Board) -> Firmware:
    """[firmware]; BoardError on a board that runs none."""
    if board.firmware is None:
        raise BoardError(f"{board.name}: has no [firmware]; it runs no firmware")
    return board.firmware
