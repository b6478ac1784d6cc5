"""Who is there: every serial port that may carry a board, and BLE, asked by SMP."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from tinyseal.device.links import Link, Place, attached, why_no_ble
from tinyseal.device.smp import SmpDevice, SmpError
from tinyseal.errors import DeviceError

ASK_SECONDS: Final = 2.0
SCAN_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Found:
    where: str
    name: str  # of the rig, or what USB or BLE call it
    board: str | None
    id: str | None
    problem: str | None  # why it does not answer


async def reachable(ble: bool = False, hci: str | None = None) -> list[Found]:
    """The devices in reach, and the ports where none answers."""
    found = list(await asyncio.gather(*map(_ask, attached())))
    if ble:
        for place in await _advertising(hci):  # a controller makes one connection at a time
            found.append(await _ask(place))
    return found


async def _ask(place: Place) -> Found:
    try:
        async with SmpDevice(place.link, patience=ASK_SECONDS) as device:
            identity = await device.identity()
    except SmpError as e:
        return Found(str(place.link), place.name, place.board, None, str(e))
    except DeviceError as e:
        reason = str(e).removeprefix(f"{place.link}: ")
        return Found(str(place.link), place.name, place.board, None, reason)
    return Found(str(place.link), place.name, identity.board, identity.id, None)


async def _advertising(hci: str | None) -> list[Place]:
    """Devices with the SMP service. DeviceError where BLE cannot be used."""
    failures = Link("", is_ble=True, hci=hci).failures()
    try:
        if hci is not None:
            from smpclient.transport.bumble import SMPBumbleTransport

            seen = await SMPBumbleTransport.scan(hci=hci, timeout_s=SCAN_SECONDS)
            return [_place(str(s.address), s.name, hci) for s in seen]
        from smpclient.transport.ble import SMPBLETransport

        return [_place(d.address, d.name, None) for d in await SMPBLETransport.scan()]
    except ImportError as e:
        raise DeviceError(f"BLE: {e}") from e
    except failures as e:
        raise DeviceError(f"BLE: {why_no_ble(e)}") from e


def _place(address: str, name: str | None, hci: str | None) -> Place:
    return Place(Link(address, is_ble=True, hci=hci), name or address, None)
