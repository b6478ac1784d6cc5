"""Ways to a device for SMP: serial ports, one program at a time, and BLE."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import serial
from smp import packet
from smpclient.exceptions import SMPClientException
from smpclient.transport import SMPTransport, SMPTransportDisconnected
from smpclient.transport.serial import SMPSerialTransport

from tinyseal.device.rigs import Bench, Rig, load_bench, serial_ports
from tinyseal.errors import DeviceError
from tinyseal.profiles import load_board

DEFAULT_BAUD: Final = 115200
LINE_BYTES: Final = 128  # of console framing, with its delimiter and line feed
POLL_SECONDS: Final = 0.002


class LinkError(DeviceError):
    """The way to the device cannot be opened, or was lost and did not come back."""

    exit_code = 4


@dataclass(frozen=True)
class Link:
    """Where a device is: a serial port, or the name or address it advertises over BLE."""

    address: str
    baud: int = DEFAULT_BAUD
    is_ble: bool = False
    hci: str | None = None  # controller for BLE, as bumble names it; None: the system's own

    def __str__(self) -> str:
        return f"BLE {self.address}" if self.is_ble else self.address

    def failures(self) -> tuple[type[Exception], ...]:
        """What its transport raises when the way to the device is gone."""
        common = (SMPTransportDisconnected, SMPClientException, OSError)
        with contextlib.suppress(ImportError):
            if self.is_ble and self.hci is not None:
                from bumble.core import BaseBumbleError

                return (*common, BaseBumbleError)
            if self.is_ble:
                from bleak.exc import BleakError

                return (*common, BleakError)
        return common

    def transport(self) -> SMPTransport:
        """Not yet connected. LinkError where a package is missing."""
        if not self.is_ble:
            return SerialTransport(baudrate=self.baud, exclusive=True)
        try:
            if self.hci is not None:
                from smpclient.transport.bumble import SMPBumbleTransport

                return SMPBumbleTransport(hci=self.hci)
            from smpclient.transport.ble import SMPBLETransport

            return SMPBLETransport()
        except ImportError as e:
            extra = "bumble" if self.hci is not None else "ble"
            raise LinkError(f"{self}: {e.name or 'a package'} is missing; "
                            f"pip install smpclient[{extra}]") from e  # fmt: skip


class SerialTransport(SMPSerialTransport):
    """smpclient's console framing, on a port that is ours alone and never blocks the others."""

    async def connect(self, address: str, timeout_s: float) -> None:
        self._reset_state()
        self._conn.port = address
        try:
            self._conn.open()
            self._conn.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as e:
            self._conn.close()
            raise SMPTransportDisconnected(_why_closed(address, e)) from e

    async def send(self, data: bytes) -> None:
        """A board that stands still does not take what is written: then others have their turn."""
        try:
            for line in packet.encode(data, line_length=LINE_BYTES):
                left = memoryview(line)
                while left:
                    try:
                        left = left[os.write(self._conn.fileno(), left) :]
                    except BlockingIOError:
                        await asyncio.sleep(POLL_SECONDS)
        except (serial.SerialException, OSError) as e:
            raise SMPTransportDisconnected(f"{self._conn.port}: {e}") from e

    async def console_text(self) -> str:
        """What came between the frames since the last call: the board's own words."""
        try:
            return (await self.read_serial()).decode("ascii", "replace")
        except OSError as e:
            raise SMPTransportDisconnected(f"{self._conn.port}: {e}") from e


def _why_closed(port: str, error: Exception) -> str:
    """An error of opening a port, in words; with the holder's name if it is in use."""
    number = getattr(error, "errno", None)
    if number == errno.EAGAIN:  # of the lock
        holder = lock_holder(port)
        return f"{port}: in use by {holder or 'another program'}"
    if number is not None:
        return f"{port}: {os.strerror(number)}"
    return f"{port}: {error}"


def why_no_ble(error: Exception) -> str:
    """An error of BLE in words: without a Bluetooth service, a socket is missing."""
    if isinstance(error, FileNotFoundError):
        return "this machine has no Bluetooth service; --hci names a controller"
    return str(error) or type(error).__name__


def lock_holder(port: str) -> str | None:
    """The program whose flock(2) is on `port`, as "name (process 123)"; None if not to be seen."""
    with contextlib.suppress(OSError, ValueError):
        there = os.stat(port)
        wanted = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "FLOCK" in words and wanted in words:
                pid = words[words.index(wanted) - 1]
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                return f"{name} (process {pid})"
    return None


@dataclass(frozen=True)
class Place:
    """A port of this machine that a board may hang on."""

    link: Link
    name: str  # of its rig, or what USB says of it
    board: str | None  # of its rig


def attached(bench: Bench | None = None, ports: Iterable[Any] | None = None) -> list[Place]:
    """Rigs that are present, then other USB serial ports."""
    found = list(serial_ports() if ports is None else ports)
    rigs = (bench or load_bench()).rig
    places = [_rig_place(rig, port) for rig in rigs if (port := rig.port(found)) is not None]
    known = {p.link.address for p in places}
    for port in sorted(found, key=lambda p: str(p.device)):
        if port.vid is not None and port.device not in known:
            places.append(Place(Link(port.device), port.description or port.device, None))
    return places


def _rig_place(rig: Rig, port: str) -> Place:
    return Place(Link(port, load_board(rig.board).console.baud), rig.name, rig.board)


def the_attached(places: list[Place]) -> Link:
    """The only board there is. DeviceError where there is none, or a choice."""
    rigs = [p for p in places if p.board is not None]
    choice = rigs or places
    if len(choice) == 1:
        return choice[0].link
    ways = "--port, --ble or --board"
    if not choice:
        raise DeviceError(f"no board is attached; say where it is: {ways}")
    listed = ", ".join(f"{p.link.address} ({p.name})" for p in choice)
    raise DeviceError(f"{len(choice)} boards may be attached: {listed}; say which: {ways}")


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """smpclient logs what we handle: a lost frame is no news on stderr."""
    import logging

    loggers = [logging.getLogger(name) for name in ("smp", "smpclient", "bumble", "bleak")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
