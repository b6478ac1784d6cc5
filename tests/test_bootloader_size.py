"""What a bootloader takes: flash, and of its stack."""

from __future__ import annotations

import pytest
from elftools.elf.elffile import ELFFile

from support.boards import firmware
from tinyseal.board import board_names, load_board
from tinyseal.build.firmware import ROOT

SMALL = "tests/corpus/chain.tflite"
MAX_BYTES = 16 * 1024


def flash_bytes(elf) -> int:
    """Code, constants and the initial values of data."""
    with (ROOT / elf).open("rb") as stream:
        return sum(s["p_filesz"] for s in ELFFile(stream).iter_segments("PT_LOAD"))


CORTEX_M = [
    name
    for name in board_names()
    if load_board(name).core.is_arm and not load_board(name).boot.encrypted
]


@pytest.mark.parametrize("name", CORTEX_M)
def test_a_bootloader_with_ed25519_fits_16_kib(name):
    assert 8 * 1024 < flash_bytes(firmware(name, SMALL).bootloader) <= MAX_BYTES
