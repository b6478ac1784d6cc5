"""Each board's real flash driver, under counter and key-value store, driven by flashtest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tinyseal.board import Board
from tinyseal.build.firmware_elf import flashtest
from tinyseal.device.client import Client, RefusedError, open_port
from tinyseal.errors import DeviceError
from tinyseal.profiles import board_names, load_board
from tinyseal.virtual.boards import power_up
from tinyseal.virtual.flash_file import prepare_flash

BOARDS = [b for b in map(load_board, board_names()) if b.runner]
KEEPING = [b for b in BOARDS if b.runner.flash_file_bytes]

EBOUNDS, EALIGN, EVERIFY = 2, 3, 4  # flash.h
EBLANK = 20  # nv_counter.h


@contextmanager
def booted(board: Board, flash: Path | None = None) -> Iterator[Client]:
    with (
        power_up(board, flashtest(board), flash=flash) as machine,
        Client(open_port(machine.port, board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        yield client


def refused(client: Client, command: str) -> int:
    with pytest.raises(RefusedError) as error:
        client.command(command)
    return error.value.code


def named(board: Board) -> str:
    return board.name


def erase(client: Client, board: Board, role: str) -> None:
    """What a factory does."""
    for p in board.partitions(role):
        for at in range(p.offset, p.end, board.flash.erase_bytes):
            client.command(f"erase {at}", 30.0)


@pytest.mark.parametrize("board", BOARDS, ids=named)
def test_driver_keeps_the_rules_of_nor_flash(board):
    flash = board.flash
    unit, block = flash.program_bytes, flash.erase_bytes
    at = board.partitions("storage")[0].offset
    with booted(board) as client:
        assert client.command("geometry") == f"{board.flash_memory.bytes} {block} {unit}"
        client.command(f"erase {at}", 30.0)
        client.command(f"erase {at + block}", 30.0)
        assert client.command(f"read {at} 128") == "ff" * 128
        data = bytes(range(0, 128, 2)).hex()
        client.command(f"program {at} {data}")
        client.command(f"program {at + block - 64} {data}")
        assert client.command(f"read {at} 64") == data
        assert client.command(f"read {at + 1} 3") == data[2:8]
        assert client.command(f"read {at + 64} 64") == "ff" * 64
        assert client.command(f"read {at + block - 64} 128") == data + "ff" * 64
        assert refused(client, f"program {at} {'ff' * unit}") == EVERIFY  # byte 0 is 00
        assert client.command(f"read {at} 64") == data
        end = board.flash_memory.bytes
        for address, length in ((end, 1), (end - 1, 2), (4294967295, 1), (end - 4, 128)):
            assert refused(client, f"read {address} {length}") == EBOUNDS
        for address in (end, 4294967296 - unit):
            assert refused(client, f"program {address} {'00' * unit}") == EBOUNDS
        assert refused(client, f"program {end - unit} {'00' * 2 * unit}") == EBOUNDS
        for address in (end, 4294967296 - block):
            assert refused(client, f"erase {address}") == EBOUNDS
        assert refused(client, f"erase {at + unit}") == EALIGN
        if unit > 1:
            assert refused(client, f"program {at + 1} {'00' * unit}") == EALIGN
            assert refused(client, f"program {at} {'00' * (unit + 1)}") == EALIGN
        assert client.command(f"read {at} 64") == data
        client.command(f"erase {at}", 30.0)
        assert client.command(f"read {at} 128") == "ff" * 128
        assert client.command(f"read {at + block - 64} 64") == "ff" * 64


@pytest.mark.parametrize("board", BOARDS, ids=named)
def test_counter_survives_a_reset(board):
    with booted(board) as client:
        erase(client, board, "counter")
        erase(client, board, "storage")
        assert refused(client, "mount") == EBLANK
        client.command("format 7")
        client.command("mount")
        # One count is taken by formatting, two by mounting.
        left = board.counts("queries") - 3
        assert client.command("headroom") == str(min(left, 2**32 - 1 - 7))
        assert client.command("step") == "8"
        client.command("set 99")
        client.reset()
        assert client.command("mount") == "8 99"
        client.command("work 20", 60.0)
        client.reset()
        assert client.command("mount") == "28 28"


@pytest.mark.parametrize("board", KEEPING, ids=named)
def test_counter_survives_a_restart_of_qemu(board, tmp_path):
    file = tmp_path / "flash.bin"
    with booted(board, file) as client:
        client.command("format 0")
        client.command("mount")
        client.command("work 3", 60.0)
    for expected in (3, 4):
        with booted(board, file) as client:
            assert client.command("mount").split()[0] == str(expected)
            assert client.command("step") == str(expected + 1)
    prepare_flash(board, file, fresh=True)
    with booted(board, file) as client:
        assert refused(client, "mount") == EBLANK


def test_wrong_flash_file_is_refused(tmp_path):
    file = tmp_path / "flash.bin"
    file.write_bytes(bytes(100))
    board = load_board("qemu-m4")
    with pytest.raises(DeviceError, match=r"expected 16777216 B of flash for qemu-m4, has 100"):
        power_up(board, flashtest(board), flash=file)
    assert file.read_bytes() == bytes(100)
