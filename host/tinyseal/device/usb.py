"""Where on this machine a board's programmer is: serial ports and drives, and why it is not."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from tinyseal.device.rigs import serial_ports
from tinyseal.errors import DeviceError

SYSFS: Final = Path("/sys/bus/usb/devices")
MOUNTS: Final = Path("/proc/self/mounts")
LABELS: Final = Path("/dev/disk/by-label")
# Linux drivers of USB to serial chips, by their makers' USB ids.
DRIVERS: Final = {"10c4": "cp210x", "1a86": "ch341", "0403": "ftdi_sio", "067b": "pl2303"}
DEFAULT_DRIVER: Final = "cdc_acm"


def find_port(
    board: str, ids: Sequence[str], ports: Iterable[Any] | None = None, sysfs: Path = SYSFS
) -> str:
    """The one serial port of a USB device with one of `ids` ("303a:1001"). DeviceError says what
    is wrong: cable, driver, or that there are several."""
    if not ids:
        raise DeviceError(f"{board}: its profile has no flasher.usb to find it by; name its port")
    listed = sorted(ports if ports is not None else serial_ports(), key=lambda p: str(p.device))
    mine = [p for p in listed if p.vid is not None and f"{p.vid:04x}:{p.pid:04x}" in ids]
    if len(mine) == 1:
        return str(mine[0].device)
    if mine:
        told = ", ".join(f"{p.device} (serial number {p.serial_number or 'none'})" for p in mine)
        raise DeviceError(
            f"{board}: {len(mine)} of its kind are attached: {told}; say which: port=PATH, or rig= "
            "with the serial number in hil/bench.toml"
        )
    for id in _attached_ids(sysfs):
        if id in ids:
            driver = DRIVERS.get(id[:4], DEFAULT_DRIVER)
            raise DeviceError(
                f"{board}: USB device {id} is attached, but has no serial port: its driver is "
                f"missing; sudo modprobe {driver}"
            )
    raise DeviceError(
        f"{board}: not attached: no USB device {' or '.join(ids)}; plug it in, with a cable that "
        "carries data (many only charge)"
    )


def serial_number(board: str, port: str, ports: Iterable[Any] | None = None) -> str:
    """Of the USB device that carries `port`. DeviceError if it has none."""
    for listed in ports if ports is not None else serial_ports():
        if listed.device == port and listed.serial_number:
            return str(listed.serial_number)
    raise DeviceError(
        f"{board}: {port} is not of a USB device with a serial number, by which its probe is chosen"
    )


def check_port(port: str) -> None:
    """DeviceError unless `port` is there and may be opened."""
    if "://" in port:  # on another machine
        return
    if not Path(port).exists():
        there = ", ".join(sorted(str(p.device) for p in serial_ports())) or "none"
        raise DeviceError(f"{port}: no such port; serial ports here: {there}")
    if not os.access(port, os.R_OK | os.W_OK):
        group = grp.getgrgid(os.stat(port).st_gid).gr_name
        user = pwd.getpwuid(os.geteuid()).pw_name
        raise DeviceError(
            f"{port}: no permission; it belongs to group {group}: sudo usermod -aG {group} {user}, "
            "then log in anew"
        )


def find_drive(board: str, label: str, mounts: Path = MOUNTS, labels: Path = LABELS) -> Path:
    """Where the drive `label` is mounted. DeviceError: absent, not mounted, or not writable."""
    for line in mounts.read_text().splitlines():
        folder = Path(line.split()[1].encode().decode("unicode_escape"))  # \040 is a space
        if folder.name == label:
            if not os.access(folder, os.W_OK):
                raise DeviceError(f"{board}: {folder} may not be written; mount it as your user")
            return folder
    if (labels / label).exists():
        raise DeviceError(
            f"{board}: drive {label} is attached, but not mounted; udisksctl mount -b "
            f"{labels / label}"
        )
    raise DeviceError(
        f"{board}: no drive {label}: hold its boot button while you plug it in, with a cable that "
        "carries data (many only charge)"
    )


def _attached_ids(sysfs: Path) -> list[str]:
    """Vendor and product ids of all USB devices."""
    found = []
    for device in sorted(sysfs.glob("*")):
        vendor, product = device / "idVendor", device / "idProduct"
        if vendor.is_file() and product.is_file():
            found.append(f"{vendor.read_text().strip()}:{product.read_text().strip()}")
    return found
