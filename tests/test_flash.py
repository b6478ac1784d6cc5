"""`tinyseal flash`: which command, on which board, and what is said when it cannot be."""

from __future__ import annotations

import json
import os
import pty
import struct
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from intelhex import IntelHex
from serial.tools.list_ports_common import ListPortInfo
from typer.testing import CliRunner

from tinyseal.board import BOARDS_DIR
from tinyseal.cli import app
from tinyseal.device.flasher import flash, flash_command
from tinyseal.device.usb import check_port, find_drive, find_port, serial_number
from tinyseal.errors import BoardError, DeviceError, ImageError, ToolError
from tinyseal.package.uf2 import to_uf2
from tinyseal.profiles import board_names, load_board

NOBODY = 65534
ESPTOOL = """
[flasher]
binary = "esptool"
package = "esptool, from PyPI"
args = [
    "--chip", "esp32", "--port", "{port}", "--connect-attempts", "1", "write-flash", "0", "{hex}",
]
usb = ["10c4:ea60"]
"""
UF2 = """
[flasher]
binary = "cp"
package = "coreutils"
args = ["{uf2}", "{drive}"]
drive = "RPI-RP2"
uf2_family = 0xe48bff56
"""


def profile(tmp_path, flasher):
    path = tmp_path / "qemu-m4.toml"
    path.write_text((BOARDS_DIR / "qemu-m4.toml").read_text() + flasher)
    return path


def usb_port(device, id="10c4:ea60", number="A1"):
    made = ListPortInfo(device)
    made.vid, made.pid = (int(part, 16) for part in id.split(":"))
    made.serial_number = number
    return made


@pytest.fixture
def image(tmp_path):
    made = IntelHex()
    made.puts(0x1100, b"vectors")
    made.puts(0x3080, bytes(range(256)))
    made.write_hex_file(str(tmp_path / "firmware.hex"))
    return tmp_path / "firmware.hex"


def test_port_is_found_by_usb_id():
    ports = [
        usb_port("/dev/ttyUSB1", "1a86:7523"),
        usb_port("/dev/ttyUSB0"),
        ListPortInfo("/dev/ttyS0"),
    ]
    assert find_port("b", ["10c4:ea60"], ports) == "/dev/ttyUSB0"
    assert serial_number("b", "/dev/ttyUSB0", ports) == "A1"
    with pytest.raises(DeviceError, match="/dev/ttyS0 is not of a USB device"):
        serial_number("b", "/dev/ttyS0", ports)


def test_two_of_one_kind_are_told_apart_by_their_serial_numbers():
    ports = [usb_port("/dev/ttyUSB0", number="A1"), usb_port("/dev/ttyUSB1", number="A2")]
    with pytest.raises(DeviceError) as error:
        find_port("b", ["10c4:ea60"], ports)
    assert "/dev/ttyUSB0 (serial number A1), /dev/ttyUSB1 (serial number A2)" in str(error.value)
    assert "rig=" in str(error.value)


def test_missing_driver_and_missing_cable_are_told_apart(tmp_path):
    with pytest.raises(DeviceError, match=r"not attached.*cable that carries data"):
        find_port("b", ["10c4:ea60"], [], tmp_path)
    (tmp_path / "1-2").mkdir()
    (tmp_path / "1-2/idVendor").write_text("10c4\n")
    (tmp_path / "1-2/idProduct").write_text("ea60\n")
    with pytest.raises(DeviceError, match=r"10c4:ea60 is attached.*sudo modprobe cp210x"):
        find_port("b", ["10c4:ea60"], [], tmp_path)


@contextmanager
def somebody():
    """Without root's powers, if the tests have them."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_port_that_is_not_there_or_not_ours_says_so():
    with pytest.raises(DeviceError, match="/dev/ttyNONE: no such port; serial ports here: "):
        check_port("/dev/ttyNONE")
    check_port("rfc2217://elsewhere:2000")
    with tempfile.NamedTemporaryFile() as closed:  # where anybody may look, unlike in tmp_path
        os.chmod(closed.name, 0)
        with (
            somebody(),
            pytest.raises(DeviceError, match=r"no permission; it belongs to group .* usermod -aG"),
        ):
            check_port(closed.name)


def test_drive_is_found_where_it_is_mounted(tmp_path):
    folder = tmp_path / "media me" / "RPI-RP2"
    folder.mkdir(parents=True)
    mounts, labels = tmp_path / "mounts", tmp_path / "labels"
    mounts.write_text(
        "proc /proc proc rw 0 0\n"
        f"/dev/sdb1 {str(folder).replace(' ', chr(92) + '040')} vfat rw 0 0\n"
    )
    assert find_drive("b", "RPI-RP2", mounts, labels) == folder
    mounts.write_text("")
    with pytest.raises(DeviceError, match="no drive RPI-RP2: hold its boot button"):
        find_drive("b", "RPI-RP2", mounts, labels)
    labels.mkdir()
    (labels / "RPI-RP2").write_text("")
    with pytest.raises(DeviceError, match="not mounted; udisksctl mount -b"):
        find_drive("b", "RPI-RP2", mounts, labels)


def test_uf2_holds_the_pages_of_the_image(image):
    data = to_uf2(image, 0xE48BFF56)
    assert len(data) == 3 * 512
    memory = {}
    for number in range(3):
        block = data[512 * number : 512 * number + 512]
        magic0, magic1, flags, address, size, index, count, family = struct.unpack_from(
            "<8I", block
        )
        assert (magic0, magic1) == (0x0A324655, 0x9E5D5157) and block[508:] == b"\x30\x6f\xb1\x0a"
        assert (flags, size, index, count, family) == (0x2000, 256, number, 3, 0xE48BFF56)
        assert address % 256 == 0
        memory |= {address + i: block[32 + i] for i in range(256)}
    wanted = IntelHex(str(image))
    assert all(memory[a] == wanted[a] for a in wanted.addresses())
    assert memory[0x11FF] == 0xFF


@pytest.mark.parametrize("text", [b"hello\n", b"", b"\xff\xfe"])
def test_an_image_that_is_no_hex_is_told_before_anything_runs(tmp_path, text):
    (tmp_path / "bad.hex").write_bytes(text)
    flasher = '\n[flasher]\nbinary = "false"\npackage = "coreutils"\nargs = ["{bin}"]\n'
    board = load_board(str(profile(tmp_path, flasher)))
    with pytest.raises(ImageError, match=r"bad.hex: (is no Intel HEX|holds no bytes)"):
        flash(board, tmp_path / "bad.hex")
    with pytest.raises(ImageError, match=r"bad.hex: (is no Intel HEX|holds no bytes)"):
        to_uf2(tmp_path / "bad.hex", 1)


def test_dry_run_prints_the_command_and_runs_nothing(tmp_path, image):
    board = profile(tmp_path, ESPTOOL)
    words = [
        "flash",
        "--board",
        str(board),
        "--image",
        str(image),
        "--port",
        "/dev/null",
        "--dry-run",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"esptool --chip esp32 --port /dev/null --connect-attempts 1 write-flash 0 {image}\n"
    )


def test_real_esptool_on_a_line_without_a_chip_says_what_to_press(tmp_path, image, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    board = load_board(str(profile(tmp_path, ESPTOOL)))
    master, slave = pty.openpty()
    with pytest.raises(DeviceError, match=r"esptool failed.*hold its BOOT button"):
        flash(board, image, os.ttyname(slave))
    os.close(master)
    os.close(slave)


def test_a_dry_run_shows_the_command_of_every_board_that_has_one():
    for name in board_names():
        board = load_board(name)
        done = CliRunner().invoke(app, ["flash", "--board", name, "--dry-run", "--json"])
        if board.flasher is None:
            assert "virtual board" in str(done.exception)
            continue
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["command"][0] == board.flasher.binary and not told["done"]
        assert not any("{" in word for word in told["command"])
        stands_for = {"PORT", "SERIAL", "DRIVE"} & set(told["command"])
        assert bool(stands_for) == bool(told["absence"])


def test_absent_drive_is_an_error_before_anything_runs(tmp_path, image):
    board = load_board(str(profile(tmp_path, UF2)))
    with pytest.raises(DeviceError, match="no drive RPI-RP2"):
        flash_command(board, image)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Error: libusb_open() failed with LIBUSB_ERROR_ACCESS", "udev rules"),
        ("No available debug probes are connected", "no debug probe: plug it in"),
        ("Error: unable to find a matching CMSIS-DAP device", "no debug probe: plug it in"),
        ("SWD/JTAG communication failure (No ACK)", "SWDIO, SWCLK and GND"),
        ("dfu-util: No DFU capable USB device available", "hold BOOT0 high"),
    ],
)
def test_words_of_the_tools_are_explained(tmp_path, image, said, expected):
    flasher = (
        f'\n[flasher]\nbinary = "sh"\npackage = "dash"\nargs = ["-c", "echo \'{said}\'; exit 1"]\n'
    )
    with pytest.raises(DeviceError) as error:
        flash(load_board(str(profile(tmp_path, flasher))), image)
    assert said in str(error.value) and expected in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"{uf2}"', '"{elf}"', "flasher.args: expected only {hex}, {bin}, {uf2}"),
        ('drive = "RPI-RP2"\n', "", "flasher.drive: expected where args have {drive}"),
        ("uf2_family = 0xe48bff56", "", "flasher.uf2_family: expected where args have {uf2}"),
        ("uf2_family", 'usb = ["10C4"]\nuf2_family', "flasher.usb[0]: expected USB ids such as"),
    ],
)
def test_wrong_flasher_is_an_error_of_the_profile(tmp_path, old, new, expected):
    with pytest.raises(BoardError) as error:
        load_board(str(profile(tmp_path, UF2.replace(old, new))))
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--board", "qemu-m4"],
            "qemu-m4: is a virtual board, with nothing to flash; scons board=",
        ),
        (["--board", "nonesuch"], "no board 'nonesuch'"),
        (["--board", "qemu-m4", "--rig", "none"], "no rig 'none'"),
        (["--board", "qemu-m4", "--rig", "a", "--port", "b"], "give one of them"),
        (["--board", "qemu-m4", "--kernels", "fast"], "no kernel set 'fast'"),
    ],
)
def test_wrong_words_are_answered_in_one_line(words, expected):
    done = CliRunner().invoke(app, ["flash", *words])
    assert isinstance(done.exception, ToolError)
    assert expected in str(done.exception) and "\n" not in str(done.exception)
