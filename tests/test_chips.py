"""Boards whose chip is modelled around Unicorn's processor: updated, and as strict as the chip."""

from __future__ import annotations

import shutil
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from imgtool import image as imgtool_image
from intelhex import IntelHex

from support.boards import firmware
from support.chain import running, signed, write_flash
from support.ota import ota, write_set
from tinyseal.build import firmware_elf
from tinyseal.build.firmware import ROOT, hal_folders
from tinyseal.codegen.firmware import bootloader_place
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError
from tinyseal.package.merge import place, to_hex
from tinyseal.package.sign import parse_version
from tinyseal.package.staging import HEADER, MAGIC, RECORD, to_raw
from tinyseal.profiles import board_names, load_board
from tinyseal.virtual.boards import power_up, start
from tinyseal.virtual.chips.chip import Stopped
from tinyseal.virtual.chips.nor import Nor, NorLine
from tinyseal.virtual.chips.nrf52840 import Nrf52840
from tinyseal.virtual.chips.stm32 import Stm32F405, Stm32H743, Stm32L475
from tinyseal.virtual.flash_file import elf_bytes, open_flash
from tinyseal.virtual.unicorn_board import ram_of

SMALL = Path("tests/corpus/chain.tflite")
BOARDS = [b.name for b in map(load_board, board_names()) if b.runner and b.runner.kind == "unicorn"]
CHIPS = {
    "nrf52840_dk": Nrf52840,
    "stm32f405": Stm32F405,
    "stm32h743": Stm32H743,
    "stm32l475": Stm32L475,
}
KEYS = (0x45670123, 0xCDEF89AB)


@pytest.mark.parametrize("name", BOARDS)
def test_it_is_updated_into_the_other_slot_and_keeps_that(name, tmp_path):
    request = firmware(name, SMALL)
    flash = tmp_path / "flash.bin"
    # An image that is copied to RAM runs there from either slot.
    images = ("capsule",) if request.board.has_one_place else ("app", "capsule")
    with start(request, flash=flash) as machine:
        machine.go()
        release = write_set(request, tmp_path / "release", images=images)
        code, told = ota("update", release, "--port", machine.port)
        assert code == 0, told
    with (
        start(request, flash=flash) as machine,  # the power was off
        Client(open_port(machine.port, request.board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        found = client.info().images
        assert {i: (found[i][0], found[i][3]) for i in images} == {
            image: ("b", "confirmed") for image in images
        }


def test_a_slot_of_one_erase_unit_asks_for_no_trial(tmp_path):
    """Bytes of an image at its end, which elsewhere would be a trailer."""
    request = firmware("stm32h743", SMALL)
    images = {(i, "a"): signed(request, i) for i in ("app", "capsule")}
    newer = signed(request, "app", "b", version=parse_version("1.1"))
    size = request.board.partitions("app")[1].bytes
    merged, flash = tmp_path / "merged.hex", tmp_path / "flash.bin"
    merged.write_bytes(to_hex(place(request.board, None, images)))
    open_flash(request.board, flash, merged, None)
    trailer = imgtool_image.Image(align=32).boot_magic
    write_flash(request.board, flash, "app", "b", newer.ljust(size - 16, b"\xff") + trailer)
    with running(request, {}, tmp_path, flash) as board:
        assert board.boot().images["app"] == ("a", "1.0.0+0", 0, "confirmed")


def staged(tmp_path, bend=lambda raw: raw):
    """A Feather as dfu-util leaves it: all in the chip's own flash, the NOR erased or as it is."""
    request = firmware("stm32f405", SMALL)
    flash = tmp_path / "flash.bin"
    if not flash.exists():
        flash.write_bytes(b"\xff" * request.board.flash_memory.bytes)
    raw = bend(to_raw(request.board, ROOT / request.merged))
    return Stm32F405(flash, raw, ram_of(request.board)), request


def test_first_images_get_from_the_chips_flash_into_the_nor_whenever_power_is_cut(
    tmp_path, monkeypatch
):
    changes, change, left = [], Nor._change, 0

    def count(nor, code, address, out):
        if len(changes) == left:
            change(nor, code, address, out[: len(out) // 2 or None])  # torn
            raise Stopped("the power is off")
        changes.append((code, address))
        change(nor, code, address, out)

    monkeypatch.setattr(Nor, "_change", count)
    for left in (0, 9, 200):  # noqa: B007 count() looks at it
        changes.clear()
        made, request = staged(tmp_path)
        with pytest.raises(Stopped, match="the power is off"):
            made.run()
    left = None
    board = request.board
    for is_first in (True, False):
        changes.clear()
        made, _ = staged(tmp_path)
        with alive(made, board) as client:
            client.boot()
            assert {i: found[0] for i, found in client.info().images.items()} == {
                "app": "a",
                "capsule": "a",
            }
        slots = [board.partitions(role)[0].offset for role in ("app", "capsule")]
        erased = {address for code, address in changes if code == 0x20}
        assert erased & {*slots, board.staging.mark} == (
            {*slots, board.staging.mark} if is_first else set()
        )
    merged, base = IntelHex(str(ROOT / request.merged)), board.flash_memory.base
    for first, end in (s for s in merged.segments() if s[0] >= base):
        wanted = bytes(merged[first:end].tobinarray())
        assert made.cells[first - base : end - base] == wanted


def test_what_is_staged_damaged_is_not_written_and_unsigned_is_not_run(tmp_path):
    def damaged(raw):
        return raw[:-1] + bytes([raw[-1] ^ 1])

    def forged(raw):
        """With a CRC that is right: whoever writes there can compute one."""
        at = load_board("stm32f405").staging.address - 0x08000000
        records = bytearray(raw[at + HEADER.size :])
        records[RECORD.size + 0x400] ^= 1  # of the application
        head = HEADER.pack(MAGIC, len(records), zlib.crc32(records))
        return raw[:at] + head + bytes(records)

    for bend, said in ((damaged, "staged images are damaged"), (forged, "boot app a ")):
        made, request = staged(tmp_path, bend)
        with alive(made, request.board) as client:
            lines = [client.line(10.0)]
            while "boot capsule a " not in lines[-1]:
                lines.append(client.line(10.0))
        assert any(said in line for line in lines) and any("nothing boots" in x for x in lines)
        assert bool(made.cells[request.board.partitions("app")[0].offset] == 0xFF) == (
            bend is damaged
        )


def chip(make, tmp_path):
    """A chip that has just been reset, for registers to be tried on."""
    flash = tmp_path / "flash.bin"
    flash.write_bytes(b"\xff" * 0x200000)
    made = make(flash, b"", [])
    made.power_up()
    return made


def stored(chip, *pairs):
    for address, value in pairs:
        chip.store(address, value)


def test_nvmc_takes_words_and_erases_pages_as_the_manual_says(tmp_path):
    nrf = chip(Nrf52840, tmp_path)
    config, erase_page = 0x4001E504, 0x4001E508

    def program(place, word):
        nrf.program(place, word)
        nrf.cells[place : place + 4] = word.to_bytes(4, "little")

    with pytest.raises(Stopped, match="in mode 0"):
        program(0x1000, 0)
    stored(nrf, (config, 1))
    program(0x1004, 0x0FFFFFFF)
    with pytest.raises(Stopped, match="ones over zeros"):
        program(0x1004, 0xFFFFFFFF)
    with pytest.raises(Stopped, match="once more"):  # a third store: nWRITE is 2
        program(0x1004, 0)
    with pytest.raises(Stopped, match="erase of 0x1000 in mode 1"):
        stored(nrf, (erase_page, 0x1000))
    stored(nrf, (config, 2))
    with pytest.raises(Stopped, match="erase of 0x1004"):
        stored(nrf, (erase_page, 0x1004))
    stored(nrf, (erase_page, 0x1000))
    assert nrf.cells[0x1000:0x2000] == b"\xff" * 0x1000
    with pytest.raises(Stopped, match="store to 0x1000 in mode 2"):
        program(0x1000, 0)


def test_stm32l4_flash_wants_its_keys_whole_units_and_cold_caches(tmp_path):
    stm = chip(Stm32L475, tmp_path)
    acr, key, status, control = 0x40022000, 0x40022008, 0x40022010, 0x40022014

    def wait():
        while stm.load(status):
            pass

    with pytest.raises(Stopped, match="locked"):
        stored(stm, (control, 1))
    stored(stm, (key, KEYS[0]), (key, KEYS[1]), (control, 1))
    with pytest.raises(Stopped, match="data cache"):
        stm.program(0x800, 0)
    stored(stm, (acr, 0x200))
    stm.program(0x800, 0)
    with pytest.raises(Stopped, match="out of order"):
        stm.program(0x808, 0)
    stm.program(0x804, 0)
    with pytest.raises(Stopped, match="busy"):
        stm.program(0x808, 0)
    wait()
    stm.cells[0x800:0x808] = bytes(8)
    with pytest.raises(Stopped, match="not erased"):
        stm.program(0x800, 0)
    stored(stm, (control, 1 << 31))
    with pytest.raises(Stopped, match="holds what was there"):
        stored(stm, (acr, 0x600))
    with pytest.raises(Stopped, match="reset while it is on"):
        stored(stm, (acr, 0x1E00))
    stored(stm, (acr, 0x1800), (acr, 0), (acr, 0x200))
    stm.cells[0x80800:0x81000] = bytes(0x800)
    stored(stm, (key, KEYS[0]), (key, KEYS[1]), (control, 1 << 16 | 1 << 11 | 1 << 3 | 2))
    wait()
    assert stm.cells[0x80800:0x81000] == b"\xff" * 0x800  # bank 2, page 1
    assert stm.cells[0x800:0x808] == bytes(8)
    with pytest.raises(Stopped, match="out of turn"):
        chip(Stm32L475, tmp_path).store(key, KEYS[1])


def test_stm32h7_flash_takes_words_of_32_bytes_in_the_bank_that_is_open(tmp_path):
    stm = chip(Stm32H743, tmp_path)
    key, control, status = 0x52002004, 0x5200200C, 0x52002010
    stored(stm, (key, KEYS[0]), (key, KEYS[1]), (control, 0x32))
    with pytest.raises(Stopped, match="without PG"):
        stm.program(0x100000, 0)  # of the other bank
    for word in range(8):
        assert stm.load(status) == 0
        stm.program(0x20000 + 4 * word, 0)
    assert stm.load(status) == 4
    with pytest.raises(Stopped, match="busy"):
        stm.program(0x20020, 0)
    while stm.load(status):
        pass
    stm.program(0x20020, 0)
    with pytest.raises(Stopped, match="out of order"):
        stm.program(0x20028, 0)
    with pytest.raises(Stopped, match="in the middle"):
        stored(stm, (control, 0x31))
    stored(stm, (key + 0x100, KEYS[0]), (key + 0x100, KEYS[1]))
    stm.cells[0x120000:0x160000] = bytes(0x40000)
    stored(stm, (control + 0x100, 0x134), (control + 0x100, 0x1B4))
    assert stm.cells[0x120000:0x140000] == b"\xff" * 0x20000  # bank 2, sector 1
    assert stm.cells[0x140000:0x160000] == bytes(0x20000)


def test_serial_nor_is_written_by_the_rules(tmp_path):
    cells = chip(Stm32F405, tmp_path).cells
    line = NorLine(Nor(cells))

    def exchange(*sent):
        line.select(True)
        answer = [line.exchange(byte) for byte in sent]
        line.select(False)
        return answer

    with pytest.raises(Stopped, match="without being selected"):
        line.exchange(0x05)
    with pytest.raises(Stopped, match="not as it should be"):  # no write enable
        exchange(0x02, 0, 0, 0, 0)
    exchange(0x06)
    exchange(0x02, 0, 0, 0xFE, 1, 2, 3)
    with pytest.raises(Stopped, match="read while it is busy"):
        exchange(0x03, 0, 0, 0xFE, 0)
    line.select(False)
    while exchange(0x05, 0)[1]:
        pass
    assert exchange(0x03, 0, 0, 0xFC, 0, 0, 0, 0)[4:] == [0xFF, 0xFF, 1, 2]
    assert cells[0] == 3  # round the page


def test_watchdogs_run_for_half_a_minute_and_are_fed(tmp_path):
    nrf, stm = chip(Nrf52840, tmp_path), chip(Stm32L475, tmp_path)
    for made in (nrf, stm):
        made.now = lambda hz: 100 * hz
    dog, iwdg = nrf.blocks[0x40010000], stm.blocks[0x40003000]
    stored(nrf, (0x40010504, 32 * 32768 - 1), (0x40010000, 1))
    stored(stm, (0x40003000, 0xCCCC), (0x40003000, 0x5555), (0x40003004, 6), (0x40003008, 0xFFF))
    for made in (nrf, stm):
        made.now = lambda hz: 120 * hz
    assert 11 < dog.seconds_left() < 13 and 11 < iwdg.seconds_left() < 13
    with pytest.raises(Stopped, match="reloaded"):
        nrf.store(0x40010600, 1)
    stored(nrf, (0x40010600, 0x6E524635), (0x40010504, 7))  # fixed while it runs
    stored(stm, (0x40003000, 0xAAAA))
    assert 31 < dog.seconds_left() < 33 and 31 < iwdg.seconds_left() < 33
    with pytest.raises(Stopped, match="IWDG"):
        stm.store(0x40003004, 0)
    for made, feed in ((nrf, (0x40010600, 0x6E524635)), (stm, (0x40003000, 0xAAAA))):
        made.now = lambda hz: 160 * hz  # too late
        made.reason = made.reasons[1]
        stored(made, feed)
        assert made.is_resetting and made.reason == made.reasons[2]


@contextmanager
def alive(made, board) -> Iterator[Client]:
    """A chip that runs in a thread of this process, so that a test can reach into it."""

    def run():
        with suppress(Stopped):
            made.run()

    life = threading.Thread(target=run, daemon=True)
    with open_port(made.line.name, board.console.baud) as port:
        life.start()
        try:
            yield Client(port)
        finally:
            for _ in range(100):  # it may be between two runs of the processor
                made.stop(Stopped("the test is done"))
                life.join(0.2)
                if not life.is_alive():
                    break


def booting(name, flash):
    """A chip with bootloader and images, before its first reset."""
    request = firmware(name, SMALL)
    board = request.board
    open_flash(board, flash, ROOT / request.merged, None)
    first = bootloader_place(board)
    boot = elf_bytes(ROOT / request.bootloader, first.base, first.base + first.bytes)
    return CHIPS[name](flash, boot, ram_of(board)), board


@pytest.mark.parametrize("name", ["stm32h743", "stm32l475"])
def test_a_unit_of_flash_without_a_valid_ecc_is_read_as_zeros(name, tmp_path):
    """A power cut leaves such units; a counter's must not keep the board from booting."""
    made, board = booting(name, tmp_path / "flash.bin")
    unit = board.flash.program_bytes
    counter, storage = (board.partitions(role)[0].offset for role in ("counter", "storage"))
    for torn in (counter + 2 * unit, storage + 4 * unit):
        made.tear(torn, unit)
    with alive(made, board) as client:
        client.boot()
        assert client.info().reset == "power-on"
    elf = firmware_elf.flashtest(board)
    made = CHIPS[name](
        tmp_path / "flash.bin", elf_bytes(elf, 0x08000000, 0x08020000), ram_of(board)
    )
    at = board.partitions("app")[1].offset
    made.cells[at : at + 4 * unit] = bytes(range(1, unit + 1)) * 4
    made.tear(at + unit, unit)
    with alive(made, board) as client:
        for _ in range(2):
            got = bytes.fromhex(client.command(f"read {at + 2} {3 * unit}"))
            whole = bytes(range(1, unit + 1))
            assert got == (whole + bytes(unit) + whole + whole)[2:][: 3 * unit]


def test_a_reset_by_the_pin_is_no_fault_whatever_else_it_tells(tmp_path):
    """nRF52840 Errata, [136]."""
    made, board = booting("nrf52840_dk", tmp_path / "flash.bin")
    made.reason = 1 << 0 | 1 << 1
    with alive(made, board) as client:
        client.boot()
        assert client.info().reset == "power-on"


@pytest.mark.parametrize("name", CHIPS)
def test_a_reset_by_the_watchdog_reads_as_a_fault(name, tmp_path):
    """By the application, after the bootloader had read and cleared it."""
    made, board = booting(name, tmp_path / "flash.bin")
    made.reason = made.reasons[2]
    with alive(made, board) as client:
        client.boot()
        assert client.info().reset == "fault"
        client.command("reset")
        client.boot()
        assert client.info().reset == "requested"


@pytest.mark.parametrize(
    ("board", "source", "right", "wrong", "said"),
    [
        ("nrf52840_dk", "nordic.c", "    nvmc_mode(NVMC_ERASE);\n", "", "erase of .* in mode 0"),
        ("nrf52840_dk", "nordic.c", "HFCLKSTART, 1)", "HFCLKSTART, 0)", "POWER: 0x0"),
        ("stm32l475", "stm32l475.c", "FLASH_KEY1 0x45670123u", "FLASH_KEY1 0u", "out of turn"),
        ("stm32f405", "stm32f405.c", "CFGR_APB1_BY_4 (5u", "CFGR_APB1_BY_4 (4u", "too fast"),
        ("stm32h743", "stm32h743.c", "D3CR_VOS_1);", "0);", "voltage scale 1"),
        ("stm32l475", "stm32l475.c", "PIN_6_7_AF7 (0x77u", "PIN_6_7_AF7 (0x78u", "pins"),
        (
            "stm32f405",
            "stm32f405.c",
            "PINS_3_TO_5_FAST (0x2au",
            "PINS_3_TO_5_FAST (0x02u",
            "too slow",
        ),
        ("stm32h743", "stm32h743.c", "    mend_axi_sram();\n", "    (void)mend_axi_sram;\n", "AXI"),
        (
            "stm32l475",
            "stm32l475.c",
            "    flash_wait();\n    modify(FLASH_ACR, ACR_DCEN, 0);\n",
            "",
            "data cache",
        ),
    ],
)
def test_a_driver_with_one_thing_wrong_is_found_out(
    board, source, right, wrong, said, tmp_path, monkeypatch
):
    profile = load_board(board)
    folders = []
    for folder in hal_folders(profile):
        bent = ROOT / folder / source
        folders.append(ROOT / folder)
        if bent.is_file():
            folders[-1] = tmp_path / folder.name
            shutil.copytree(ROOT / folder, folders[-1])
            text = bent.read_text()
            assert text.count(right) == 1
            (folders[-1] / source).write_text(text.replace(right, wrong))
    monkeypatch.setattr(firmware_elf, "hal_folders", lambda board: tuple(folders))
    at = profile.partitions("storage")[0].offset
    with (
        pytest.raises(DeviceError, match=said),
        power_up(profile, firmware_elf.flashtest(profile)) as machine,
        open_port(machine.port, profile.console.baud) as port,
    ):
        machine.go()
        port.write(f"erase {at}\nprogram {at} {'00' * 8}\n".encode())
        machine.wait()
