"""The RP2040's own formats, and the emulator that runs it: as strict as the chip."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from typer.testing import CliRunner

from support.boards import firmware
from support.ota import ota, write_set
from tinyseal import __version__
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import start
from tinyseal.virtual.rp2040 import Rp2040Board

SMALL = Path("tests/corpus/chain.tflite")
BOARD = load_board("rp2040_pico")
BASE = 0x10000000
BOOT2_BYTES = 256
BOOT_SECONDS = 90.0


@pytest.fixture(scope="module")
def bootloader() -> bytes:
    return (ROOT / firmware("rp2040_pico", SMALL).bootloader.with_suffix(".bin")).read_bytes()


def crc32(data: bytes) -> int:
    """RP2040 data sheet 2.8.1.3.1."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1) ^ (0x04C11DB7 if crc >> 31 else 0)
            crc &= 0xFFFFFFFF
    return crc


def test_boot2_has_the_checksum_that_the_rom_wants(bootloader):
    (stored,) = struct.unpack_from("<I", bootloader, BOOT2_BYTES - 4)
    assert stored == crc32(bootloader[: BOOT2_BYTES - 4])
    assert crc32(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2's check value
    stack, entry = struct.unpack_from("<II", bootloader, BOOT2_BYTES)
    assert stack == 0x20042000 and entry & 1 and BASE < entry < BASE + len(bootloader)


def test_picotool_finds_what_the_binary_is(bootloader):
    """As picotool reads it: a marker in the 256 bytes behind boot2, then addresses of entries."""
    words = struct.unpack_from("<64I", bootloader, BOOT2_BYTES)
    at = words.index(0x7188EBF2)
    first, end, mappings, stop = words[at + 1 : at + 5]
    assert stop == 0xE71AA390
    assert struct.unpack_from("<I", bootloader, mappings - BASE) == (0,)
    found = {}
    for pointer in struct.unpack_from(f"<{(end - first) // 4}I", bootloader, first - BASE):
        kind, tag, name, value = struct.unpack_from("<H2sII", bootloader, pointer - BASE)
        assert (kind, tag) == (6, b"RP")
        found[name] = bootloader[value - BASE : bootloader.index(0, value - BASE)].decode()
    assert found[0x02031C86] == "tinyseal bootloader"
    assert found[0x11A9BC3A] == __version__
    assert found[0xB63CFFBB] == "rp2040_pico"


def test_what_touches_the_flash_while_it_is_off_runs_from_ram():
    with (ROOT / firmware("rp2040_pico", SMALL).bootloader).open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        for name in ("erase_sector", "program_page", "read_unique_id"):
            (symbol,) = table.get_symbol_by_name(name)
            assert 0x20000000 <= symbol["st_value"] < 0x20042000, name


def refused(tmp_path, change) -> str:
    """What the emulator says of a bootloader that `change` was done to."""
    source = (ROOT / firmware("rp2040_pico", SMALL).bootloader).read_bytes()
    elf = tmp_path / "bent.elf"
    elf.write_bytes(change(source))
    with pytest.raises(DeviceError) as error, Rp2040Board(BOARD, BOARD.runner, elf) as machine:
        machine.go()
        machine.wait()
    return str(error.value)


def test_a_damaged_boot2_does_not_boot(tmp_path, bootloader):
    first = bootloader[:16]

    def bend(elf: bytes) -> bytes:
        at = elf.index(first)
        return elf[:at] + bytes([elf[at] ^ 1]) + elf[at + 1 :]

    assert "boot2's checksum" in refused(tmp_path, bend)


def test_reading_flash_while_it_is_off_ends_the_run(tmp_path):
    """The way back to XIP left out of programming: what comes next is in flash."""

    def bend(elf: bytes) -> bytes:
        with (ROOT / firmware("rp2040_pico", SMALL).bootloader).open("rb") as file:
            image = ELFFile(file)
            (found,) = image.get_section_by_name(".symtab").get_symbol_by_name("program_page")
            data = image.get_section_by_name(".data")
            start = (found["st_value"] & ~1) - data["sh_addr"] + data["sh_offset"]
        code = elf[start : start + found["st_size"]]
        calls = [i for i in range(0, len(code), 2) if code[i + 1] == 0x47 and code[i] & 0x80]
        at = start + calls[-1]  # blx: of boot2, in RAM
        return elf[:at] + b"\xc0\x46" + elf[at + 2 :]  # nop

    assert "while XIP is off" in refused(tmp_path, bend)


def test_flash_and_cause_outlive_a_reset_by_the_watchdog():
    with (
        start(firmware("rp2040_pico", SMALL)) as machine,
        Client(open_port(machine.port, BOARD.console.baud), seconds=BOOT_SECONDS) as client,
    ):
        machine.go()
        client.boot(BOOT_SECONDS)
        assert (client.info().reset, client.info().id) == ("power-on", "e6605838832b412d")
        client.reset()
        assert client.info().reset == "requested"


def versions(told) -> dict[str, str]:
    return {i["image"]: i["version"] for i in told["images"]}


def test_updates_of_the_capsule_and_of_both_are_kept_and_counted(tmp_path):
    """Over SMP: the model alone, then both images with a security counter, which outlives power."""
    request, flash = firmware("rp2040_pico", SMALL), tmp_path / "flash.bin"
    with start(request, flash=flash) as machine:
        with Client(open_port(machine.port, BOARD.console.baud)) as client:
            machine.go()
            client.boot(BOOT_SECONDS)
        model = write_set(request, tmp_path / "model", "1.1.0", ("capsule",))
        code, told = ota("update", model, "--port", machine.port)
        assert (code, told.get("error")) == (0, None)
        assert (told["outcome"], told["checked"]) == ("updated", ["echo", "self-test"])
        assert versions(told) == {"app": "0.1.0+0", "capsule": "1.1.0+0"}
        both = write_set(request, tmp_path / "both", "1.2.0", security_counter=3)
        code, told = ota("update", both, "--port", machine.port)
        assert (code, told.get("error")) == (0, None)
        assert (told["outcome"], told["checked"]) == ("updated", ["echo", "self-test"])
        assert versions(told) == {"app": "1.2.0+0", "capsule": "1.2.0+0"}
    with (
        start(request, flash=flash) as machine,
        Client(open_port(machine.port, BOARD.console.baud), seconds=BOOT_SECONDS) as client,
    ):
        machine.go()
        client.boot(BOOT_SECONDS)
        images = client.info().images
    assert images["app"][1:] == ("1.2.0+0", 3, "confirmed")
    assert images["capsule"][1:] == ("1.2.0+0", 3, "confirmed")


def test_bench_counts_instructions_as_qemu_does_and_cycles_besides():
    """The same code on the same kind of core, counted by two emulators."""
    words = ["bench", "--model", str(ROOT / SMALL), "--kernels", "reference", "--json"]
    rows = {}
    for board in ("rp2040_pico", "qemu-m0"):
        done = CliRunner().invoke(app, [*words, "--board", board])
        assert done.exit_code == 0, done.output
        (rows[board],) = json.loads(done.stdout)
    pico, m0 = rows["rp2040_pico"], rows["qemu-m0"]
    assert pico["bit_exact"] and m0["bit_exact"]
    assert [x["instructions"] for x in pico["layers"]] == [x["instructions"] for x in m0["layers"]]
    assert pico["instructions"] == m0["instructions"]
    assert pico["instructions"] < pico["cycles"] < 2 * pico["instructions"]
    assert sum(x["cycles"] for x in pico["layers"]) < pico["cycles"]
