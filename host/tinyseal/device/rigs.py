"""Test benches: which real boards hang on this machine, in hil/bench.toml, found by USB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from tinyseal.board import Name, Text
from tinyseal.build.firmware import ROOT
from tinyseal.errors import BoardError
from tinyseal.profiles import board_names
from tinyseal.strict import Strict, as_json, read_toml, shape_faults

BENCH: Final = ROOT / "hil" / "bench.toml"


@dataclass(frozen=True)
class UsbPlace:
    """A serial port by what does not change when it is unplugged: the serial number of its USB
    device, and which of that device's ports it is, in the order of their names."""

    serial_number: str
    port: int

    def device(self, ports: Iterable[ListPortInfo]) -> str | None:
        """Its device file among `ports`, or None if it is not there."""
        mine = sorted(p.device for p in ports if p.serial_number == self.serial_number)
        return mine[self.port] if self.port < len(mine) else None


def usb_place(device: str, ports: Iterable[ListPortInfo]) -> UsbPlace | None:
    """Which port `device` is now; None if it is none of a USB device with a serial number."""
    listed = list(ports)
    number = next((p.serial_number for p in listed if p.device == device), None)
    if not number:
        return None
    mine = sorted(p.device for p in listed if p.serial_number == number)
    return UsbPlace(number, mine.index(device))


class Rig(Strict):
    """One real board, and what its console hangs on: a USB device of this machine, by its serial
    number, or a labgrid place."""

    name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_-]*$", description="lower-case letters, digits, - and _")
    ]
    board: Name  # profile under boards/
    usb_serial: Text = ""  # or labgrid: one of the two
    # which of several serial ports with that number, in the order of their names
    usb_port: Annotated[int, Field(ge=0, description="a whole number, 0 or more")] = 0
    labgrid: Text = ""

    def port(self, ports: Iterable[ListPortInfo]) -> str | None:
        """The device file of its console among `ports`, or None if it is not there."""
        if self.labgrid:
            return None
        return UsbPlace(self.usb_serial, self.usb_port).device(ports)

    @property
    def absence(self) -> str:
        """Why its port is not to be had, in words."""
        if self.labgrid:
            return (
                f"{self.name} is on another machine, labgrid place {self.labgrid}: `scons hil` and "
                "`tinyseal hil run` go there, nothing else"
            )
        which = f", port {self.usb_port}" if self.usb_port else ""
        return f"{self.name} absent: no USB serial {self.usb_serial}{which}"


class Bench(Strict):
    rig: tuple[Rig, ...] = ()

    def named(self, name: str) -> Rig:
        """BoardError if there is none of that name."""
        for rig in self.rig:
            if rig.name == name:
                return rig
        names = ", ".join(r.name for r in self.rig) or "none; describe yours in hil/bench.toml"
        raise BoardError(f"no rig {name!r}; rigs: {names}")


def load_bench(path: Path = BENCH) -> Bench:
    """The rigs described in `path`. BoardError lists every fault: file, key, what is expected."""
    shown = path.name if path == BENCH else str(path)
    data = read_toml(path, shown)
    faults = [*shape_faults(Bench, data), *_sense_faults(data)]
    if faults:
        raise BoardError("\n".join(f"{shown}: {fault}" for fault in faults))
    return Bench.model_validate_json(as_json(data))


def serial_ports() -> list[ListPortInfo]:
    """The serial ports of this machine."""
    return list(list_ports.comports())


def _sense_faults(data: dict[str, Any]) -> Iterator[str]:
    listed = data.get("rig")
    rigs = [r for r in listed if isinstance(r, dict)] if isinstance(listed, list) else []
    names = [str(r["name"]) for r in rigs if "name" in r]
    for name, count in Counter(names).items():
        if count > 1:
            yield f"rig: expected different names, has {name} {count} times"
    placed = [r for r in rigs if "usb_serial" in r]
    places = Counter((str(r["usb_serial"]), r.get("usb_port", 0)) for r in placed)
    for (number, port), count in places.items():
        if count > 1:
            yield f"rig: expected one rig at usb_serial {number}, usb_port {port}, has {count}"
    boards = board_names()
    for i, rig in enumerate(rigs):
        if ("usb_serial" in rig) == ("labgrid" in rig):
            yield f"rig[{i}]: expected one of usb_serial and labgrid"
        if isinstance(rig.get("board"), str) and rig["board"] not in boards:
            yield f'rig[{i}].board: no board "{rig["board"]}"; boards: {", ".join(boards)}'
