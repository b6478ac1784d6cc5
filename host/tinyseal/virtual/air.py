"""BLE without radios: virtual boards as peripherals with the standard SMP service, on controllers
that share this process. Other programs come in by TCP, as to a Bluetooth controller of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self

import serial
from smpclient.transport import SMP_CHARACTERISTIC_UUID, SMP_SERVICE_UUID

from tinyseal.device.client import open_port
from tinyseal.errors import DeviceError

try:
    from bumble.controller import Controller
    from bumble.core import UUID, AdvertisingData, PhysicalTransport
    from bumble.device import Connection, Device
    from bumble.gatt import Characteristic, CharacteristicValue, Service
    from bumble.hci import Address, HCI_ErrorCode
    from bumble.link import LocalLink
    from bumble.ll import AdvertisingPdu, AdvInd
    from bumble.transport.common import StreamPacketSink, StreamPacketSource
except ImportError as e:
    raise DeviceError(f"BLE: {e.name} is missing; pip install tinyseal[ble]") from e

SERVICE: Final = str(SMP_SERVICE_UUID)
CHARACTERISTIC: Final = str(SMP_CHARACTERISTIC_UUID)
ADVERTISING_MS: Final = 100.0
MAX_NAME_BYTES: Final = 29  # of an advertisement's 31

HEADER_BYTES: Final = 8  # of an SMP packet
MAX_PACKET_BYTES: Final = 16384
STALE_SECONDS: Final = 1.0  # a packet whose rest does not come any more
ATT_HEADER_BYTES: Final = 3  # of a notification
# Of the link layer on LE 1M (Core specification, volume 6, part B, 2.1): preamble, access
# address, header, CRC around each packet of up to 251 bytes.
AROUND_BYTES: Final = 1 + 4 + 2 + 3
FRAGMENT_BYTES: Final = 251


class Packets:
    """A stream of SMP packets, cut where their headers say. What cannot be one, or is not
    completed in time, is dropped."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes = bytearray()
        self._since = 0.0

    def push(self, data: bytes) -> list[bytes]:
        """The packets that `data` completes."""
        if self._clock() - self._since > STALE_SECONDS:
            self._bytes.clear()
        self._since = self._clock()
        self._bytes += data
        whole = []
        while len(self._bytes) >= HEADER_BYTES:
            size = HEADER_BYTES + int.from_bytes(self._bytes[2:4], "big")
            if size > MAX_PACKET_BYTES:
                self._bytes.clear()
            if len(self._bytes) < size:
                break
            whole.append(bytes(self._bytes[:size]))
            del self._bytes[:size]
        return whole

    def forget(self) -> None:
        self._bytes.clear()


class Traffic(LocalLink):
    """The air itself, which counts what would be sent on LE 1M with the data length extended, but
    for the empty packets that acknowledge.

    All are out of each other's reach from packet `cut_at` on, counted from 1, until `mend`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0
        self.packets = 0
        self.cut_at: int | None = None
        self.is_cut = False

    def mend(self) -> None:
        self.cut_at, self.is_cut = None, False

    def send_advertising_pdu(self, sender_controller: Controller, packet: AdvertisingPdu) -> None:
        """bumble's controllers send no scan response; here it follows each advertisement."""
        if self.is_cut:
            return
        super().send_advertising_pdu(sender_controller, packet)
        response = sender_controller.le_legacy_advertiser.scan_response_data
        if isinstance(packet, AdvInd) and response:
            super().send_advertising_pdu(
                sender_controller, AdvInd(packet.advertiser_address, response)
            )

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        self.packets += 1
        if self.packets == self.cut_at:
            self.is_cut = True
            asyncio.get_running_loop().call_soon(self._part)
        if self.is_cut:
            return
        self.bytes += len(data) + AROUND_BYTES * -(-len(data) // FRAGMENT_BYTES)
        super().send_acl_data(sender_controller, destination_address, transport, data)

    def _part(self) -> None:
        """What a supervision timeout tells both ends."""
        for controller in self.controllers:
            for connection in list(controller.le_connections.values()):
                controller.on_le_disconnected(connection, HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)


class Peripheral:
    """A board's SMP stream as a BLE device that advertises `name`."""

    def __init__(self, air: Traffic, name: str, number: int, port: serial.Serial) -> None:
        self.name = name
        self._port = port
        self._to_board = bytearray()
        self._requests = Packets(time.monotonic)
        self._answers = Packets(time.monotonic)
        self._loop = asyncio.get_running_loop()
        self._controller = Controller(name, link=air)
        self._characteristic: Characteristic[bytes] = Characteristic(
            CHARACTERISTIC,
            Characteristic.Properties.WRITE_WITHOUT_RESPONSE | Characteristic.Properties.NOTIFY,
            Characteristic.Permissions.WRITEABLE,
            CharacteristicValue(write=self._written),
        )
        address = Address(f"F0:5C:82:00:{number >> 8:02X}:{number & 255:02X}")
        self._device = Device.with_hci(name, address, self._controller, self._controller)
        self._device.add_service(Service(SERVICE, [self._characteristic]))
        self._device.on("connection", self._connected)

    async def start(self) -> None:
        """Advertises, and again after each connection."""
        uuid = UUID(SERVICE).to_bytes()
        name = self.name.encode()
        await self._device.power_on()
        await self._device.start_advertising(
            auto_restart=True,
            advertising_interval_min=ADVERTISING_MS,
            advertising_interval_max=ADVERTISING_MS,
            advertising_data=bytes(
                AdvertisingData(
                    [(AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS, uuid)]
                )
            ),
            scan_response_data=bytes(
                AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, name)])
            ),
        )
        self._loop.add_reader(self._port.fileno(), self._heard)

    def close(self) -> None:
        with contextlib.suppress(OSError, serial.SerialException):
            self._loop.remove_reader(self._port.fileno())
            self._loop.remove_writer(self._port.fileno())
        self._port.close()

    def lose(self, central: Address) -> None:
        """Its peer is gone without a word: what a supervision timeout tells a device."""
        connection = self._controller.le_connections.get(central)
        if connection is not None:
            self._controller.on_le_disconnected(connection, HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def _connected(self, connection: Connection) -> None:
        self._requests.forget()

    def _written(self, connection: Connection, value: bytes) -> None:
        for packet in self._requests.push(value):
            self._to_board += packet
        if self._to_board:
            self._loop.add_writer(self._port.fileno(), self._write)

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            del self._to_board[: os.write(self._port.fileno(), self._to_board)]
        if not self._to_board:
            self._loop.remove_writer(self._port.fileno())

    def _heard(self) -> None:
        try:
            data = os.read(self._port.fileno(), 4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:  # the board is off
            self._loop.remove_reader(self._port.fileno())
            return
        for packet in self._answers.push(data):
            self._loop.create_task(self._notify(packet))

    async def _notify(self, packet: bytes) -> None:
        for connection in list(self._device.connections.values()):
            room = connection.att_mtu - ATT_HEADER_BYTES
            for at in range(0, len(packet), room):
                await self._device.notify_subscriber(
                    connection, self._characteristic, packet[at : at + room]
                )


class Air:
    """Boards in reach of each other; an async context manager."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self._peripherals: list[Peripheral] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Door(self), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.close()
        for peripheral in self._peripherals:
            peripheral.close()

    @property
    def hci(self) -> str:
        """The controller that a program takes to be here, as bumble names it."""
        assert self._server is not None
        return f"tcp-client:127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def add(self, name: str, radio: str, baud: int) -> None:
        """A board advertises as `name`; `radio` is the port of its SMP stream."""
        if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
            raise DeviceError(f"{name!r}: a BLE name has 1 to {MAX_NAME_BYTES} bytes")
        port = open_port(radio, baud)
        port.timeout = 0
        os.set_blocking(port.fileno(), False)
        peripheral = Peripheral(self.traffic, name, len(self._peripherals) + 1, port)
        self._peripherals.append(peripheral)
        await peripheral.start()

    def lose(self, central: Address) -> None:
        for peripheral in self._peripherals:
            peripheral.lose(central)


class _Door(StreamPacketSource):
    """One program's controller, for as long as it keeps the connection."""

    def __init__(self, air: Air) -> None:
        super().__init__()
        self._air = air

    def connection_made(self, transport: Any) -> None:
        self._controller = Controller("door", self, StreamPacketSink(transport), self._air.traffic)

    def connection_lost(self, error: Exception | None) -> None:
        for connection in list(self._controller.le_connections.values()):
            self._air.lose(connection.self_address)
        self._controller.le_connections.clear()
        self._controller.set_packet_sink(None)
        self._air.traffic.remove_controller(self._controller)


@contextmanager
def on_air(boards: Mapping[str, tuple[str, int]]) -> Iterator[Air]:
    """Boards by the name they advertise: port of their SMP stream, and its baud. The air lives in
    a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def call(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    air = Air()
    try:
        call(air.__aenter__())
        try:
            for name, (radio, baud) in boards.items():
                call(air.add(name, radio, baud))
            yield air
        finally:
            call(air.__aexit__())
            call(_end_tasks())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_tasks() -> None:
    """bumble leaves some behind."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
