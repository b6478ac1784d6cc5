"""How deep a bootloader's stack gets on each board: an application that does nothing leaves the
painted stack as it was."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from support.boards import firmware
from support.chain import running, signed
from tinyseal.board import Core
from tinyseal.build.firmware import ROOT
from tinyseal.package.keys import DEV_ENCRYPT, load_key
from tinyseal.package.provision import Identity, storage_image
from tinyseal.profiles import board_names, load_board
from tinyseal.virtual.qemu import QemuBoard

SMALL = Path("tests/corpus/chain.tflite")
PATTERN = struct.pack("<I", 0x5AC35AC3)  # firmware/hal/stack.c
HANDED_OVER = b"TSOH"  # the last that a bootloader does but jump
MARGIN = 4 / 3
SECONDS = 60.0


def still(core: Core, address: int) -> bytes:
    """A payload that stays at its first instruction and touches no memory."""
    if core is Core.RV32IMC:
        return b"\x6f\x00\x00\x00"
    if core is Core.LX106:
        return b"\x06\xff\xff\x00"
    return struct.pack("<IIH", address, (address + 8) | 1, 0xE7FE)


def symbols(elf: Path) -> dict[str, int]:
    with elf.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


# A process has the build machine's stack, which says nothing of a chip's.
@pytest.mark.parametrize("name", [name for name in board_names() if name.startswith("qemu-")])
def test_a_third_more_than_the_deepest_start_has_room(name, tmp_path):
    board = load_board(name)
    request = firmware(name, SMALL)
    payload = still(board.core, board.image_address("app", 0) + 0x200)
    place = symbols(ROOT / request.bootloader)
    key = load_key(DEV_ENCRYPT) if board.boot.encrypted else None
    slot = "b" if board.boot.mode == "swap" else "a"
    images = {
        ("app", slot): signed(request, "app", slot, payload=payload, encrypt=key),
        ("capsule", slot): signed(request, "capsule", slot, encrypt=key),
    }
    storage = storage_image(board, Identity(bytes(16), decrypt_key=key).values()) if key else None
    bottom, top = place["link_stack_bottom"], place["link_stack_top"]
    with running(request, images, tmp_path, storage=storage) as run:
        machine = run.machine
        assert isinstance(machine, QemuBoard)
        end = time.monotonic() + SECONDS
        while machine.read(place["link_handover"], 4) != HANDED_OVER:
            assert time.monotonic() < end, run.said()
            time.sleep(0.05)
        stack = machine.read(bottom, top - bottom)
    painted = 0
    while stack[painted : painted + 4] == PATTERN:
        painted += 4
    used = len(stack) - painted
    print(f"{name}: {used:,} B of {len(stack):,}")
    assert used > 1000 and used * MARGIN <= len(stack)
