"""What a bootloader takes, and what it must not have."""

from __future__ import annotations

from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from support.boards import firmware
from tinyseal.board import Board, Core
from tinyseal.build.firmware import ROOT
from tinyseal.profiles import board_names, load_board

SMALL = Path("tests/corpus/chain.tflite")
M4_BYTES = 16 * 1024
STM32_BYTES = 17 * 1024  # they start a PLL, and one of them the serial NOR that it loads from
BUDGET_BYTES = 24 * 1024  # of every other bootloader, with what its profile asks for


def most_bytes(board: Board) -> int:
    if board.name in ("stm32f405", "stm32l475"):
        return STM32_BYTES
    return M4_BYTES if board.core is Core.M4 else BUDGET_BYTES


# They judge less than what may boot has to satisfy: for applications, to tell.
OF_APPLICATION = {"boot_image_check_sealed", "boot_slot_check", "boot_slot_preview"}


def flash_bytes(elf) -> int:
    """Code, constants and the initial values of data."""
    with (ROOT / elf).open("rb") as stream:
        return sum(s["p_filesz"] for s in ELFFile(stream).iter_segments("PT_LOAD"))


@pytest.mark.parametrize("name", board_names())
def test_a_bootloader_keeps_to_its_budget(name):
    used = flash_bytes(firmware(name, SMALL).bootloader)
    assert 8 * 1024 < used <= most_bytes(load_board(name))


@pytest.mark.parametrize("name", board_names())
def test_a_bootloader_has_nothing_that_judges_less(name):
    request = firmware(name, SMALL)
    names = {}
    for image in ("bootloader", "app"):
        with (ROOT / request.elves[image]).open("rb") as stream:
            symbols = ELFFile(stream).get_section_by_name(".symtab").iter_symbols()
            names[image] = {symbol.name for symbol in symbols}
    assert not names["bootloader"] & OF_APPLICATION
    assert names["bootloader"] >= {"boot_image_check", "boot_image_recheck"}
    if request.board.services.smp_images:
        assert "boot_slot_check" in names["app"]
