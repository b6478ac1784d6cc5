"""The board `host`: a process that boots the chain as any other board, by the hundred."""

from __future__ import annotations

import os
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.boards import firmware
from tinyseal.bench.inference import bench
from tinyseal.build.firmware import ROOT
from tinyseal.build.firmware_elf import flashtest
from tinyseal.device.client import Client, RefusedError, open_port
from tinyseal.errors import DeviceError
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import power_up, start
from tinyseal.virtual.flash_file import prepare_flash
from tinyseal.virtual.host import HostBoard

SMALL = Path("tests/corpus/chain.tflite")
BOARD = load_board("host")
CROWD = 20
START_SECONDS = 0.15  # of a processor, for one board and all that Python does for it
EIO, EVERIFY = 1, 4


@pytest.fixture
def kept(tmp_path):
    """A flash that outlives the process."""
    file = tmp_path / "flash.bin"
    prepare_flash(BOARD, file)
    return file


def connected(machine):
    return Client(open_port(machine.port, BOARD.console.baud))


def test_a_crowd_boots_fast_and_rests():
    request = firmware("host", SMALL)
    with ExitStack() as stack:
        before = time.process_time()
        crowd = [stack.enter_context(start(request)) for _ in range(CROWD)]
        clients = [stack.enter_context(connected(m)) for m in crowd]
        for machine in crowd:
            machine.go()
        ids = set()
        for client in clients:
            client.boot()
            ids.add(client.info().id)
        seconds = time.process_time() - before + sum(map(processor_seconds, crowd))
        assert len(ids) == CROWD and all(len(i) == 16 for i in ids)
        assert seconds / CROWD < START_SECONDS
        before = sum(map(processor_seconds, crowd))
        time.sleep(1.0)
        spent = sum(map(processor_seconds, crowd)) - before
        assert spent < 0.3, f"{CROWD} boards that wait take {spent:.2f} s of processor a second"


def processor_seconds(machine) -> float:
    words = Path(f"/proc/{machine.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_id_stays_with_the_flash_unless_told(kept):
    request = firmware("host", SMALL)

    def id_of(id=None):
        elf, image = ROOT / request.bootloader, ROOT / request.merged
        with HostBoard(BOARD, elf, kept, image, id=id) as machine, connected(machine) as client:
            machine.go()
            client.sync()
            return client.info().id

    kept.unlink()
    first = id_of()
    assert id_of() == first
    assert id_of("00000000000000a5") == "00000000000000a5"


def test_two_boards_do_not_share_a_flash(kept):
    elf = flashtest(BOARD)
    with power_up(BOARD, elf, flash=kept), pytest.raises(DeviceError, match="another chip runs"):
        power_up(BOARD, elf, flash=kept)


def test_flash_wears_out(kept):
    at = BOARD.partitions("storage")[0].offset
    unit = at // BOARD.flash.erase_bytes
    with kept.open("r+b") as file:
        file.seek(BOARD.flash_memory.bytes + 4 * unit)
        file.write(struct.pack("<I", BOARD.flash.endurance_cycles - 1))
    with power_up(BOARD, flashtest(BOARD), flash=kept) as machine, connected(machine) as client:
        machine.go()
        client.boot()
        client.command(f"erase {at}")
        client.command(f"program {at} 00000000")
        with pytest.raises(RefusedError) as worn:
            client.command(f"erase {at}")
        assert worn.value.code == EIO
        assert client.command(f"read {at} 4") == "00000000"


def test_a_unit_is_programmed_once(kept):
    at = BOARD.partitions("storage")[0].offset
    with power_up(BOARD, flashtest(BOARD), flash=kept) as machine, connected(machine) as client:
        machine.go()
        client.boot()
        client.command(f"program {at} f0f0f0f0")
        with pytest.raises(RefusedError) as twice:
            client.command(
                f"program {at} 00f0f0f0"
            )  # clears bits only, and is refused all the same
        assert twice.value.code == EIO


def test_bytes_nobody_listens_to_are_lost_and_block_nothing():
    request = firmware("host", SMALL)
    with start(request) as machine:
        machine.go()
        time.sleep(0.3)
        with connected(machine) as client:
            client.sync()
            assert client.log == []
            assert client.info().reset == "power-on"


def test_what_needs_qemu_says_so():
    with pytest.raises(DeviceError, match="only boards under QEMU and rp2040js count instructions"):
        bench(firmware("host", SMALL))
    with pytest.raises(DeviceError, match="no QEMU board"):
        power_up(BOARD, flashtest(BOARD), extra=["-S"])


def test_the_chip_names_what_it_cannot_use(tmp_path, kept):
    garbage = tmp_path / "garbage.elf"
    garbage.write_bytes(bytes(100))
    with power_up(BOARD, garbage, flash=kept) as machine:
        machine.go()
        with pytest.raises(DeviceError, match=r"garbage.elf: no ELF of this machine"):
            machine.wait()
    kept.write_bytes(bytes(7))
    with pytest.raises(DeviceError, match=r"flash.bin: expected 4198408 B .* has 7"):
        power_up(BOARD, flashtest(BOARD), flash=kept)
