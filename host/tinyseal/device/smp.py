"""Speaks SMP with one device, on smpclient's messages and transports, over links that lose things.

A request is repeated until it is answered or patience ends; a lost link is opened again meanwhile.
So each request here may arrive several times: all but `reset` do the same thing twice as once.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import cbor2
from pydantic import ConfigDict, ValidationError
from smp import header as smpheader
from smp import message
from smp.error import MGMT_ERR, ErrorV1, ErrorV2
from smp.exceptions import SMPException
from smp.image_management import IMG_MGMT_ERR, ImageState
from smp.os_management import OS_MGMT_RET_RC
from smpclient.generics import SMPRequest, TEr1, TEr2, TRep
from smpclient.requests.image_management import (
    ImageErase,
    ImageStatesRead,
    ImageStatesWrite,
    ImageUploadWrite,
)
from smpclient.requests.os_management import (
    EchoWrite,
    MCUMgrParametersRead,
    ResetWrite,
)
from smpclient.transport import SMPTransport, SMPTransportDisconnected

from tinyseal.device.links import Link, LinkError, SerialTransport, why_no_ble
from tinyseal.device.rigs import UsbPlace, serial_ports, usb_place
from tinyseal.errors import DeviceError

PATIENCE_SECONDS: Final = 20.0  # without any answer, before the link counts as lost
CONNECT_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 1.0
SELF_TEST_SECONDS: Final = 120.0  # one inference, on the slowest board
FIRST_ANSWER_SECONDS: Final = 2.0  # until round trips have been measured
MIN_ANSWER_SECONDS: Final = 0.4
MAX_ANSWER_SECONDS: Final = 5.0
REOPEN_SECONDS: Final = 0.2
FALLBACK_MESSAGE_BYTES: Final = 256  # where the device does not tell its buffer
MIN_MESSAGE_BYTES: Final = 192  # holds the first request of an upload with a patch's header
STUBBORN: Final = 8  # answers in a row that bring an upload no further

MODEL_GROUP: Final = 64


GENERAL_ERRORS: Final = {  # MCUmgr's MGMT_ERR_*
    1: "unknown error",
    2: "out of memory",
    3: "invalid value",
    4: "timed out",
    5: "no such entry",
    6: "not in this state",
    7: "the answer is too long",
    8: "not supported",
    9: "corrupt",
    10: "busy",
    11: "access denied",
    12: "protocol version too old",
    13: "protocol version too new",
}


_DAMAGED: Final = (SMPException, ValueError, struct.error, AssertionError)


class ModelError(enum.IntEnum):
    """Reasons of group 64: some of the numbers of firmware/app/status.h."""

    NO_MODEL = 11
    MODEL_OF_ANOTHER_ABI = 12
    NO_QUERY_LEFT = 14
    MODEL_IS_RUNNING = 17
    SELF_TEST_FAILED = 18


class IdentityReadRequest(message.ReadRequest):
    _GROUP_ID = MODEL_GROUP
    _COMMAND_ID = 0


class IdentityReadResponse(message.ReadResponse):
    _GROUP_ID = MODEL_GROUP
    _COMMAND_ID = 0
    model_config = ConfigDict(extra="ignore", frozen=True)

    board: str
    id: str


GROUP_ERRORS: Final = {0: OS_MGMT_RET_RC, 1: IMG_MGMT_ERR, MODEL_GROUP: ModelError}


class SelfTestWriteRequest(message.WriteRequest):
    _GROUP_ID = MODEL_GROUP
    _COMMAND_ID = 5


class SelfTestWriteResponse(message.WriteResponse):
    _GROUP_ID = MODEL_GROUP
    _COMMAND_ID = 5

    crc: int  # of the outputs


class ModelErrorV1(ErrorV1):
    _GROUP_ID = MODEL_GROUP


class ModelErrorV2(ErrorV2[ModelError]):
    _GROUP_ID = MODEL_GROUP


class IdentityRead(IdentityReadRequest):
    """As smpclient has its requests: with what may be answered."""

    _Response = IdentityReadResponse
    _ErrorV1 = ModelErrorV1
    _ErrorV2 = ModelErrorV2


class SelfTestWrite(SelfTestWriteRequest):
    _Response = SelfTestWriteResponse
    _ErrorV1 = ModelErrorV1
    _ErrorV2 = ModelErrorV2


@dataclass(frozen=True)
class Identity:
    """Which device this is; `board` is its profile's name, None if it does not tell."""

    board: str | None
    id: str  # of the device, hexadecimal; "" if it has none


class SmpError(DeviceError):
    """The device refused a request: `rc` of `group`, or of SMP itself where `group` is None."""

    def __init__(self, what: str, group: int | None, rc: int) -> None:
        if group is None:
            name = GENERAL_ERRORS.get(rc)
        else:
            names = {int(e): e.name for e in GROUP_ERRORS.get(group, ())}
            name = names.get(rc, "").lower().replace("_", " ")
        of = "" if group is None else f" of group {group}"
        super().__init__(f"{what}: the device refused: {name or 'error'} ({rc}{of})")
        self.group = group
        self.rc = rc

    @property
    def is_unsupported(self) -> bool:
        """The device has no such group or command."""
        return self.group is None and self.rc == MGMT_ERR.ENOTSUP


@contextlib.contextmanager
def _lost_is_no_cancel(link: Link) -> Iterator[None]:
    """bumble cancels what waits for a peer that is lost: that is an error here, and no wish of
    somebody's that this task should end."""
    try:
        yield
    except asyncio.CancelledError as e:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise SMPTransportDisconnected(f"{link}: lost") from e


class SmpDevice:
    """One device on one link; an async context manager. LinkError once it is out of reach."""

    def __init__(
        self,
        link: Link,
        patience: float = PATIENCE_SECONDS,
        least_wait: float = MIN_ANSWER_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self.lost = 0  # requests without an answer
        self.reopened = 0
        self._patience = patience
        self._lost = link.failures()
        self._least_wait = least_wait  # for an answer, before a request is repeated
        self._clock = clock
        self._transport: SMPTransport | None = None
        self._usb: UsbPlace | None = None  # what its port is, once it was opened
        self._buffer_bytes: int | None = None  # the device's, as it told
        self._message_bytes = FALLBACK_MESSAGE_BYTES  # what a request of an upload may have now
        self._round_trip: float | None = None
        self._console = ""

    async def __aenter__(self) -> SmpDevice:
        try:
            await self._open()
        except SMPTransportDisconnected as e:
            raise LinkError(str(e)) from e
        except self._lost as e:
            raise LinkError(f"{self.link}: {why_no_ble(e)}") from e
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def echo(self, patience: float | None = None) -> None:
        """Comes back when the device answers, with the bytes it was sent."""
        text = os.urandom(8).hex()
        answer = await self.request(EchoWrite(d=text), patience)
        if answer.r != text:
            raise DeviceError(f"{self.link}: echo: sent {text}, came back {answer.r!r}")

    async def learn_buffer(self) -> None:
        """Asks how long a message may be; a device that does not tell gets short ones."""
        try:
            told = await self.request(MCUMgrParametersRead())
        except SmpError:
            return
        if told.buf_size >= MIN_MESSAGE_BYTES:
            self._buffer_bytes = told.buf_size
            self._adopt_buffer()
            self._message_bytes = self._most_bytes()

    async def identity(self) -> Identity:
        """Which device this is. A server that has no such group tells nothing."""
        try:
            told = await self.request(IdentityRead())
        except SmpError as e:
            if e.is_unsupported:
                return Identity(None, "")
            raise
        return Identity(told.board, told.id)

    async def self_test(self) -> None:
        """Has the model compute what its capsule knows the outputs of. SmpError if they are wrong,
        or there is no model."""
        deadline = self._clock() + SELF_TEST_SECONDS
        while True:
            try:
                await self.request(SelfTestWrite(), SELF_TEST_SECONDS)
                return
            except SmpError as e:
                is_busy = e.group is None and e.rc == MGMT_ERR.EBUSY
                if not is_busy or self._clock() > deadline:
                    raise
            await asyncio.sleep(REOPEN_SECONDS)

    async def images(self) -> list[ImageState]:
        """What lies in the slots."""
        return (await self.request(ImageStatesRead())).images

    async def test(self, image_hash: bytes) -> None:
        """Has an image tried at the next start."""
        await self.request(ImageStatesWrite(hash=image_hash, confirm=False))

    async def confirm(self, image_hash: bytes) -> None:
        """Keeps an image."""
        await self.request(ImageStatesWrite(hash=image_hash, confirm=True))

    async def erase(self, slot: int) -> None:
        """Erases a slot, counted over all images: 2 * image + slot."""
        await self.request(ImageErase(slot=slot))

    async def reset(self) -> None:
        """Restarts the device. Sent once: a second one would end a trial that has just begun. So
        whether it arrived is for the caller to see."""
        with contextlib.suppress(TimeoutError, *self._lost):
            await self._exchange(ResetWrite(), self._answer_seconds())

    async def wait(self, seconds: float) -> None:
        """Until the device answers; LinkError after `seconds`."""
        await self.echo(seconds)

    async def console_lines(self) -> list[str]:
        """What the device said in plain text since the last call; nothing over BLE."""
        with contextlib.suppress(*self._lost):
            if isinstance(self._transport, SerialTransport):
                self._console += await self._transport.console_text()
        lines = self._console.split("\n")
        self._console = lines.pop()
        return [text for line in lines if (text := line.strip("\r\0 "))]

    async def upload(
        self, number: int, data: bytes, image_hash: bytes, progress: Callable[[int, int], None]
    ) -> None:
        """Puts an image file into the free slot of image `number`, from where an earlier try of
        the same file ended. `progress` is told how many bytes the device has, and how many of
        them it had before.

        SmpError if it is refused, DeviceError if it did not arrive as it is.
        """
        digest = hashlib.sha256(data).digest()
        offset, idle, longest = 0, 0, 0
        had: int | None = None

        def chunk() -> ImageUploadWrite:
            nonlocal longest
            request = self._chunk(number, data, digest, offset)
            longest = max(longest, len(request.data))
            return request

        while True:
            answer = await self._ask(chunk)
            if answer.off is None or not 0 <= answer.off <= len(data):
                raise DeviceError(f"{self.link}: upload: offset {answer.off} of {len(data)}")
            # The answer to the last chunk may have been lost: the device has begun to wait for
            # another upload, and has this one.
            if answer.off < offset and await self._has(image_hash):
                return
            idle = idle + 1 if answer.off <= offset else 0
            if idle > STUBBORN:
                raise DeviceError(
                    f"{self.link}: upload: stays at {answer.off} of {len(data)} B after "
                    f"{STUBBORN} answers"
                )
            offset = answer.off
            if had is None:
                had = offset if offset > longest else 0
            progress(offset, had)
            if offset == len(data):
                if answer.match is False:
                    raise DeviceError(f"{self.link}: upload: the device has other bytes than sent")
                return

    async def request(
        self, request: SMPRequest[TRep, TEr1, TEr2], patience: float | None = None
    ) -> TRep:
        """The answer to a request that may be sent more than once. SmpError, LinkError."""
        answer: TRep = await self._ask(lambda: request, patience)
        return answer

    async def _has(self, image_hash: bytes) -> bool:
        return any(image.hash == image_hash for image in await self.images())

    def _chunk(self, number: int, data: bytes, digest: bytes, offset: int) -> ImageUploadWrite:
        """As much as fits from `offset` on; the first also says what is to come."""
        first: dict[str, Any] = {"image": number, "len": len(data), "sha": digest}
        fields = first if offset == 0 else {}
        empty = ImageUploadWrite(off=offset, data=b"", **fields)
        room = self._message_bytes - len(empty.BYTES) - 2  # a length above 23 has two bytes more
        return ImageUploadWrite(off=offset, data=data[offset : offset + room], **fields)

    async def _ask(
        self, make: Callable[[], SMPRequest[Any, Any, Any]], patience: float | None = None
    ) -> Any:
        """The answer to what `make` makes, anew for each try."""
        deadline = self._clock() + (self._patience if patience is None else patience)
        tries = 0
        while True:
            request = make()
            started = self._clock()
            seconds = min(self._answer_seconds() * 2**tries, MAX_ANSWER_SECONDS)
            seconds = min(seconds, max(deadline - started, MIN_ANSWER_SECONDS))
            try:
                body = await self._exchange(request, seconds)
            except TimeoutError:
                self._remember_loss()
                problem = "no answer"
            except self._lost as e:
                problem = await self._reopen(deadline, str(e) or type(e).__name__)
            else:
                self._remember_answer(self._clock() - started if tries == 0 else None)
                return self._checked(request, body)
            tries += 1
            if self._clock() >= deadline:
                raise LinkError(f"{self.link}: {_name(request)}: {problem}")

    def _checked(self, request: SMPRequest[TRep, TEr1, TEr2], frame: bytes) -> TRep:
        """The answer as smpclient reads it; SmpError if it is a refusal."""
        body = cbor2.loads(frame[smpheader.Header.SIZE :])
        error = body.get("err")
        try:
            if isinstance(error, dict):
                raise SmpError(_name(request), int(error["group"]), int(error["rc"]))
            code = int(body.pop("rc", 0))  # of version 1, and of servers that send 0 for success
            if code:
                raise SmpError(_name(request), None, code)
            header = smpheader.Header.loads(frame[: smpheader.Header.SIZE])
            return request._Response(header=header, smp_data=frame, **body)
        except (ValidationError, SMPException, KeyError, TypeError, ValueError) as e:
            raise DeviceError(f"{self.link}: {_name(request)}: malformed answer") from e

    async def _exchange(self, request: SMPRequest[Any, Any, Any], seconds: float) -> bytes:
        """One try; what is damaged, late or not ours is passed over. TimeoutError."""
        transport = self._transport
        if transport is None:
            raise SMPTransportDisconnected(f"{self.link}: not connected")
        async with asyncio.timeout(seconds):
            await transport.send(request.BYTES)
            while True:
                try:
                    frame = await transport.receive()
                except _DAMAGED:
                    await asyncio.sleep(0)  # so that time passes for what only brings damage
                    continue
                if _answers(frame, request.header):
                    return frame

    async def _open(self) -> None:
        transport = self.link.transport()
        with _lost_is_no_cancel(self.link):
            await transport.connect(self._address(), CONNECT_SECONDS)
        self._transport = transport
        self._adopt_buffer()

    def _address(self) -> str:
        """Where the device is now: replugged, it may have another name, and its old one another
        board."""
        if self.link.is_ble:
            return self.link.address
        ports = serial_ports()
        if self._usb is None:
            self._usb = usb_place(self.link.address, ports)
            return self.link.address
        address = self._usb.device(ports)
        if address is None:
            raise SMPTransportDisconnected(
                f"{self.link}: unplugged: no USB serial {self._usb.serial_number}"
            )
        return address

    async def _close(self) -> None:
        if self._transport is not None:
            await self.console_lines()
            # Over BLE it takes leave of a peer that may not be there any more.
            with contextlib.suppress(*self._lost, TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    with _lost_is_no_cancel(self.link):
                        await self._transport.disconnect()
        self._transport = None

    async def _reopen(self, deadline: float, problem: str) -> str:
        """The link anew, tried until the deadline; whether it holds is for the next request. The
        last thing that went wrong."""
        await self._close()
        while self._clock() < deadline:
            await asyncio.sleep(REOPEN_SECONDS)
            try:
                await self._open()
            except self._lost as e:
                problem = str(e) or type(e).__name__
                continue
            self.reopened += 1
            break
        return problem

    def _adopt_buffer(self) -> None:
        if self._transport is not None and self._buffer_bytes is not None:
            self._transport.initialize(self._buffer_bytes)

    def _most_bytes(self) -> int:
        assert self._transport is not None
        return max(MIN_MESSAGE_BYTES, self._transport.max_unencoded_size)

    def _answer_seconds(self) -> float:
        if self._round_trip is None:
            return FIRST_ANSWER_SECONDS
        return min(max(4 * self._round_trip, self._least_wait), MAX_ANSWER_SECONDS)

    def _remember_answer(self, seconds: float | None) -> None:
        """Follows the round trips, and dares longer messages again."""
        if seconds is not None:
            past = seconds if self._round_trip is None else self._round_trip
            self._round_trip = 0.8 * past + 0.2 * seconds
        if self._buffer_bytes is not None:
            grown = self._message_bytes + self._message_bytes // 4
            self._message_bytes = min(grown, self._most_bytes())

    def _remember_loss(self) -> None:
        """On a line that damages much, short messages come through sooner."""
        self.lost += 1
        self._message_bytes = max(MIN_MESSAGE_BYTES, self._message_bytes // 2)


def _answers(frame: bytes, asked: smpheader.Header) -> bool:
    """Whether this is the answer to a request: a response of its group, command and sequence."""
    try:
        header = smpheader.Header.loads(frame[: smpheader.Header.SIZE])
        body = cbor2.loads(frame[smpheader.Header.SIZE :])
    except (ValueError, AssertionError, struct.error, cbor2.CBORDecodeError, EOFError):
        return False
    wanted = (asked.op + 1, asked.group_id, asked.command_id, asked.sequence)
    got = (header.op, header.group_id, header.command_id, header.sequence)
    return wanted == got and isinstance(body, dict)


def _name(request: SMPRequest[Any, Any, Any]) -> str:
    """A request in words: "image states read"."""
    text = type(request).__name__
    return "".join(f" {c.lower()}" if c.isupper() else c for c in text).strip()
