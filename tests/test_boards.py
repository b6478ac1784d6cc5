"""Board profiles: every shipped one is sound, and every fault is told, with its key."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinyseal.board import BOARDS_DIR
from tinyseal.cli import app
from tinyseal.errors import BoardError
from tinyseal.profiles import board_names, load_board

GOOD = """
name = "toy"
title = "A toy"
chip = "toy"
core = "cortex-m4"

[toolchain]
prefix = "arm-none-eabi-"
cflags = ["-mcpu=cortex-m4"]
package = "gcc-arm-none-eabi"

[[memory]]
name = "rom"
kind = "flash"
base = 0
bytes = 0x40000

[[memory]]
name = "ram"
kind = "ram"
base = 0x20000000
bytes = 0x10000
arena_bytes = 0x8000

[flash]
memory = "rom"
erase_bytes = 4096
program_bytes = 4
endurance_cycles = 10000

[[partition]]
name = "boot"
role = "bootloader"
offset = 0
bytes = 0x4000

[[partition]]
name = "app_a"
role = "app"
offset = 0x4000
bytes = 0x10000

[[partition]]
name = "app_b"
role = "app"
offset = 0x14000
bytes = 0x10000

[clock]
hz = 25000000

[cost]
cycles_per_instruction = 1.2

[console]
baud = 115200

[capabilities]
fpu = true
trustzone = false
otp = false
rng = false
unique_id = false
"""


def faults(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """The lines of the error that GOOD with `changes` gives, without the file's name."""
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "toy.toml"
    path.write_text(text)
    with pytest.raises(BoardError) as caught:
        load_board(str(path))
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize("name", board_names())
def test_shipped_board_loads(name):
    board = load_board(name)
    assert board.name == name
    assert board.arena_regions


def test_qemus_microbit_is_the_microbit():
    """What runs on one, runs on the other: they differ in how firmware gets there."""
    real, virtual = (load_board(name).model_dump() for name in ("microbit", "qemu-m0"))
    different = {key for key in real if real[key] != virtual[key]}
    assert different == {"name", "title", "flasher", "platformio", "runner"}


def test_board_file_by_path(tmp_path):
    (tmp_path / "mine.toml").write_text(GOOD)
    board = load_board(str(tmp_path / "mine.toml"))
    assert board.name == "toy"
    assert [p.name for p in board.partitions("app")] == ["app_a", "app_b"]
    assert board.seconds(25e6) == pytest.approx(1.2)


def test_unknown_board_lists_the_choices():
    with pytest.raises(BoardError, match=r"no board 'qemu-z80'; boards: .*host"):
        load_board("qemu-z80")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("hz = ", "herz = 1\nhz = "), "clock.herz: unknown key; did you mean hz?"),
        (("hz = 25000000", ""), "clock.hz: missing; expected a frequency in hertz, at least 1"),
        (
            ("hz = 25000000", "hz = 2.5"),
            "clock.hz: expected a frequency in hertz, at least 1, is 2.5",
        ),
        (
            ("hz = 25000000", "hz = true"),
            "clock.hz: expected a frequency in hertz, at least 1, is true",
        ),
        (
            ("[console]\nbaud = 115200\n", ""),
            "console: missing; expected [console] with baud",
        ),
        (("rng = false", "rng = 0"), "capabilities.rng: expected true or false, is 0"),
        (
            ("otp = false", "otp = true"),
            "otp: expected [otp] with bits where capabilities.otp is true, and only there",
        ),
        (('kind = "ram"', 'kind = "RAM"'), 'memory[1].kind: expected "flash" or "ram", is "RAM"'),
        (
            ("base = 0x20000000", "base = 0x30000"),
            "memory ram: overlaps rom: starts at 0x30000, rom ends at 0x40000",
        ),
        (
            ("base = 0x20000000", "base = 0xfffffff0"),
            "memory ram: expected to end below 4 GiB, ends at 0x10000fff0",
        ),
        (
            ("arena_bytes = 0x8000", "arena_bytes = 0x18000"),
            "memory ram: arena_bytes: expected at most bytes = 65536, is 98304",
        ),
        (
            ("arena_bytes = 0x8000", ""),
            "memory: expected 1 to 2 RAM memories with arena_bytes, has 0",
        ),
        (
            ('memory = "rom"', 'memory = "ram"'),
            'flash.memory: expected a memory of kind "flash" (rom), is "ram"',
        ),
        (
            ("program_bytes = 4", "program_bytes = 3"),
            "flash.program_bytes: expected a divisor of erase_bytes = 4096, is 3",
        ),
        (
            ("bytes = 0x4000\n", "bytes = 0x3f00\n"),
            "partition boot: bytes: expected a multiple of erase_bytes = 0x1000, is 0x3f00",
        ),
        (
            ("offset = 0x14000", "offset = 0x34000"),
            "partition app_b: expected to end within rom's 0x40000 bytes, ends at 0x44000",
        ),
        (
            ("offset = 0x14000", "offset = 0x13000"),
            "partition app_b: overlaps app_a: starts at 0x13000, app_a ends at 0x14000",
        ),
        (
            ('role = "bootloader"', 'role = "app"'),
            'partition: expected at most 2 of role "app", has 3',
        ),
        (
            ("offset = 0x14000\nbytes = 0x10000", "offset = 0x14000\nbytes = 0x11000"),
            'partition: expected slots of role "app" of one size, has app_a 0x10000, app_b 0x11000',
        ),
        (('name = "app_b"', 'name = "app_a"'), "partition app_a: expected one of this name, has 2"),
    ],
)
def test_fault_names_key_and_expectation(tmp_path, change, fault):
    assert faults(tmp_path, change) == [fault]


BOOTING = """
[[partition]]
name = "model_a"
role = "capsule"
offset = 0x24000
bytes = 0x8000

[[partition]]
name = "model_b"
role = "capsule"
offset = 0x2c000
bytes = 0x8000

[[partition]]
name = "counter"
role = "counter"
offset = 0x34000
bytes = 0x8000

[boot]
mode = "swap"

[clock]"""


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            [('"swap"', '"xip"\nencrypted = true')],
            'boot.encrypted: expected false with mode = "xip": flash that images run in place from '
            'holds them in the clear; mode = "swap" decrypts an image when it is installed, "ram" '
            "when it is loaded\n"
            'partition: expected 1 of role "storage" with boot.encrypted, has 0',
        ),
        (
            [('"swap"', '"swap"\nencrypted = true')],
            'partition: expected 1 of role "storage" with boot.encrypted, has 0',
        ),
        ([('"swap"', '"copy"')], 'boot.mode: expected "xip", "swap" or "ram", is "copy"'),
        (
            [('"swap"', '"ram"')],
            'boot.app: expected a table with address, bytes with mode = "ram"\n'
            'boot.capsule: expected a table with address, bytes with mode = "ram"',
        ),
        (
            [
                (
                    '"swap"',
                    '"ram"\napp = { address = 0x20000100, bytes = 0x4000 }\n'
                    "capsule = { address = 0x20004000, bytes = 0x10000 }",
                )
            ],
            "boot.app.address: expected a multiple of 0x200, is 0x20000100\n"
            "boot.capsule: expected to lie within one memory, is 0x20004000 to 0x20014000\n"
            "boot.capsule: overlaps boot.app: starts at 0x20004000, boot.app ends at 0x20004100",
        ),
        (
            [('name = "boot"\nrole = "bootloader"', 'name = "boot"\nrole = "storage"')],
            'partition: expected 1 of role "bootloader", has 0; reset begins in rom, the flash of '
            "the other partitions",
        ),
        (
            [('name = "model_b"\nrole = "capsule"', 'name = "model_b"\nrole = "storage"')],
            'partition: expected 2 of role "capsule" with [boot], has 1',
        ),
        (
            [("erase_bytes = 4096", "erase_bytes = 64")],
            'boot.mode: expected another with these slots: "swap" takes 4604 steps, at most 4095 '
            "fit the state register; three for each erase unit of slot a of both images",
        ),
        (
            [
                (
                    '[[memory]]\nname = "rom"',
                    '[[memory]]\nname = "code"\nkind = "flash"\nbase = 0x80000\nbytes = 0x1000\n\n'
                    '[[memory]]\nname = "rom"',
                )
            ],
            'partition: expected none of role "bootloader", has 1; reset begins in code, and '
            "partitions are of rom",
        ),
    ],
)
def test_fault_of_boot_names_key_and_way_out(tmp_path, changes, fault):
    assert faults(tmp_path, ("[clock]", BOOTING), *changes) == fault.split("\n")


def test_a_board_that_swaps_links_for_slot_a(tmp_path):
    (tmp_path / "toy.toml").write_text(GOOD.replace("[clock]", BOOTING))
    board = load_board(str(tmp_path / "toy.toml"))
    assert board.has_one_place and board.boot.encrypted is False
    assert [board.image_address("app", slot) for slot in (0, 1)] == [0x4000, 0x4000]


def test_missing_flash_section_names_its_keys(tmp_path):
    start, end = GOOD.index("[flash]"), GOOD.index("[clock]")
    assert faults(tmp_path, (GOOD[start:end], "")) == [
        "flash: missing; expected [flash] with memory, erase_bytes, program_bytes, "
        "endurance_cycles, for memory rom"
    ]


def test_all_faults_are_told_at_once(tmp_path):
    told = faults(
        tmp_path,
        ('core = "cortex-m4"', 'core = "z80"'),
        ("bytes = 0x10000\narena_bytes", "bytes = 0x1000\narena_bytes"),
        ("program_bytes = 4", "program_bytes = 5"),
        ("offset = 0x4000", "offset = 0x4001"),
        ("unique_id = false", "uniq_id = false"),
    )
    keys = [line.split(": ")[0] for line in told]
    assert sorted(keys) == [
        "capabilities.uniq_id",
        "capabilities.unique_id",
        "core",
        "flash.program_bytes",
        "memory ram",
        "partition app_a",
        "partition app_b",
    ]


@pytest.mark.parametrize("text", ["", "memory = 3", "memory = [3]", "flash = []", "core = 1.5"])
def test_nonsense_is_refused_without_a_traceback(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(BoardError, match="name: missing"):
        load_board(str(tmp_path / "x.toml"))


def test_text_that_is_not_toml_is_refused(tmp_path):
    (tmp_path / "x.toml").write_bytes(b"name = \xff")
    with pytest.raises(BoardError, match="cannot be read"):
        load_board(str(tmp_path / "x.toml"))
    (tmp_path / "x.toml").write_text("name = [")
    with pytest.raises(BoardError, match="is not TOML"):
        load_board(str(tmp_path / "x.toml"))


@pytest.mark.parametrize("name", board_names())
def test_counters_fill_their_partition(name):
    board = load_board(name)
    partition = board.partitions("counter")[0]
    at = partition.offset
    for offset, size in board.counter_areas().values():
        assert offset == at and size >= 2 * board.flash.erase_bytes
        at += size
    assert at == partition.end


def test_slots_of_one_erase_unit_have_no_trailer_and_cannot_be_swapped(tmp_path):
    board = load_board("stm32h743")
    unit = board.flash.erase_bytes
    assert board.partitions("app")[0].bytes == unit
    assert unit - 1024 < board.payload_bytes("app") < unit
    text = (BOARDS_DIR / "stm32h743.toml").read_text().replace('mode = "xip"', 'mode = "swap"')
    (tmp_path / "swapping.toml").write_text(text)
    with pytest.raises(BoardError, match='slots of role "app" of two erase units at least'):
        load_board(str(tmp_path / "swapping.toml"))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("mark = 0x1ff000", "mark = 0x1ff001", "staging.mark: expected an erase unit of nor"),
        ("mark = 0x1ff000", "mark = 0x200000", "staging.mark: expected an erase unit of nor"),
        ("mark = 0x1ff000", "mark = 0x8f000", "staging.mark: expected outside of the partitions"),
        ("0x08020000", "0x08007000", "staging: expected outside of [[memory]], overlaps internal"),
        ('memory = "nor"', 'memory = "internal"', "staging: expected none where internal holds"),
    ],
)
def test_staging_that_cannot_be_is_told(tmp_path, old, new, fault):
    text = (BOARDS_DIR / "stm32f405.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "other.toml").write_text(text.replace(old, new))
    with pytest.raises(BoardError) as error:
        load_board(str(tmp_path / "other.toml"))
    assert fault in str(error.value)


@pytest.mark.parametrize(
    ("board", "power"),
    [("nrf52840_dk", "18.9 mW active"), ("qemu-m4", "no model: energy is not told")],
)
def test_a_board_tells_what_it_draws_or_that_nobody_said(board, power):
    done = CliRunner().invoke(app, ["boards", board])
    assert done.exit_code == 0 and power in done.stdout
