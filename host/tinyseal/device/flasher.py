"""Puts firmware onto a real board with the program that its profile names."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tinyseal.board import Board, Flasher
from tinyseal.device.usb import check_port, find_drive, find_port, serial_number
from tinyseal.errors import DeviceError
from tinyseal.package.staging import to_raw
from tinyseal.package.uf2 import to_uf2

FLASH_SECONDS: Final = 300.0

_FRAME: Final = " │╭╮╰╯─"  # that esptool draws around what it says
# What esptool, pyocd, openocd and dfu-util say, and what is the matter.
_REASONS: Final = (
    (
        r"LIBUSB_ERROR_ACCESS|Access denied|insufficient permissions|Permission denied",
        "no permission for the USB device: install the udev rules of the program, replug",
    ),
    (
        r"No (available|connected) debug probes|unable to find a matching CMSIS-DAP|"
        r"unable to open CMSIS-DAP|Error: open failed|No J-Link device found",
        "no debug probe: plug it in, with a cable that carries data (many only charge)",
    ),
    (
        r"No serial data received|Wrong boot mode|Failed to connect to ESP",
        "the chip does not answer: hold its BOOT button, press EN, try again; is it this port?",
    ),
    (
        r"No ACK|unable to connect to the target|init mode failed|Error connecting DP",
        "the probe does not reach the chip: SWDIO, SWCLK and GND connected, board powered?",
    ),
    (
        r"port is busy|Resource busy|Could not exclusively lock",
        "another program uses the port: close its monitor",
    ),
    (
        r"No DFU capable USB device",
        "the chip is not in its ROM's bootloader: hold BOOT0 high (to 3.3 V), press RESET, with a "
        "cable that carries data",
    ),
    (r"More than one DFU capable USB device", "leave only the one board attached"),
)


def flash(board: Board, image: Path, port: str | None = None) -> None:
    """Runs the profile's flasher on a merged image, Intel HEX. Without `port`, it is found by its
    USB id.

    DeviceError if the profile has no flasher, the program is missing, the board is not there, or
    it fails.
    """
    command = flash_command(board, image, port)
    flasher = _flasher(board, image)
    if shutil.which(flasher.binary) is None:
        raise DeviceError(f"{flasher.binary} is missing; it comes with {flasher.package}")
    if not image.is_file():
        raise DeviceError(f"{image}: no such file; build it with scons board={board.name}")
    if flasher.uf2_family is not None:
        _uf2(image).write_bytes(to_uf2(image, flasher.uf2_family))
    if any("{bin}" in arg for arg in flasher.args):
        _bin(image).write_bytes(to_raw(board, image))
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=FLASH_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise DeviceError(
            f"{board.name}: {flasher.binary} did not end in {FLASH_SECONDS:.0f} s"
        ) from e
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip()
        lines = [line.strip(_FRAME) for line in said.splitlines() if line.strip(_FRAME)]
        why = [line for line in lines if re.search(r"\berror\b\W*\w", line, re.I)]
        last = (why or lines or ["it said nothing"])[-1]
        ways_out = [f"; {words}" for pattern, words in _REASONS if re.search(pattern, said, re.I)]
        raise DeviceError(
            f"{board.name}: {flasher.binary} failed with code {done.returncode}: {last}"
            f"{ways_out[0] if ways_out else ''}"
        )


def flash_command(board: Board, image: Path, port: str | None = None) -> list[str]:
    """What `flash` runs. DeviceError if the board is not there, or no flasher is named."""
    flasher = _flasher(board, image)
    wants = " ".join(flasher.args)
    found = {}
    if "{port}" in wants or "{serial}" in wants:
        found["port"] = port or find_port(board.name, flasher.usb)
        if flasher.usb:  # else it is what the flasher takes it for: a file, an address
            check_port(found["port"])
    if "{serial}" in wants:
        found["serial"] = serial_number(board.name, found["port"])
    if "{drive}" in wants:
        assert flasher.drive is not None  # the profile was checked
        found["drive"] = str(find_drive(board.name, flasher.drive))
    return _filled(flasher, image, found)


def planned_command(
    board: Board, image: Path, port: str | None = None
) -> tuple[list[str], str | None]:
    """The same to be looked at; where the board is not there, capitals stand for what it would
    tell, and why it is not comes with it. DeviceError if no flasher is named."""
    flasher = _flasher(board, image)
    try:
        return flash_command(board, image, port), None
    except DeviceError as e:
        found = {"port": port or "PORT", "serial": "SERIAL", "drive": "DRIVE"}
        return _filled(flasher, image, found), str(e)


def _filled(flasher: Flasher, image: Path, found: Mapping[str, str]) -> list[str]:
    files = {"hex": image, "uf2": _uf2(image), "bin": _bin(image)}
    return [flasher.binary, *(arg.format(**files, **found) for arg in flasher.args)]


def _flasher(board: Board, image: Path) -> Flasher:
    if board.flasher is not None:
        return board.flasher
    if board.runner is not None:
        raise DeviceError(
            f"{board.name}: is a virtual board, with nothing to flash; scons board={board.name} run"
        )
    raise DeviceError(f"{board.name}: its profile has no [flasher]; flash {image} by hand")


def _uf2(image: Path) -> Path:
    return image.with_suffix(".uf2")


def _bin(image: Path) -> Path:
    return image.with_suffix(".bin")
