"""Speaks the firmware's text protocol (firmware/SPEC.md) over a serial port."""

from __future__ import annotations

import base64
import binascii
import itertools
import os
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import serial

from tinyseal.device.boot_status import explained
from tinyseal.errors import DeviceError

CHUNK_BYTES: Final = 180  # of one `load` or `read`
ANSWER_SECONDS: Final = 5.0
ATTEMPTS: Final = 3
MAX_LINE_BYTES: Final = 4096

_REPEATABLE_ERRORS: Final = {1, 2, 4, 5, 6, 9}  # the line was damaged: nothing was done


class Transport(Protocol):
    """What the client needs of a serial port; pyserial's Serial has it."""

    timeout: float | None

    def read(self, size: int = 1) -> bytes: ...
    def write(self, data: bytes) -> int | None: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class TensorInfo:
    name: str
    dtype: str  # numpy's name
    shape: tuple[int, ...]
    scale: float
    zero_point: int
    bytes: int


@dataclass(frozen=True)
class DeviceInfo:
    """What a board says of itself."""

    board: str
    firmware: str
    model: str
    model_id: str  # SHA-256 of the source model
    kernels: str
    reset: str  # why it last started: power-on, requested, fault
    id: str  # the chip's unique number in hexadecimal; "" if it has none
    # app, capsule: slot, version, this board's security counter, confirmed or trial or why not
    images: dict[str, tuple[str, str, int, str]]
    abi: int
    clock_hz: int
    macs: int
    layers: int
    arena: tuple[int, int]  # bytes per region
    staging: int  # bytes of the buffer that keeps inputs; 0: an inference uses them up
    stack: int
    stack_used: int  # high water
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class RefusedError(DeviceError):
    """The device answered `err`: `code` is one of firmware/app/status.h, without its sign."""

    def __init__(self, command: str, code: int, text: str) -> None:
        super().__init__(f"{command}: the board refused: {text} (error {code})")
        self.code = code


def open_port(port: str, baud: int) -> serial.Serial:
    """A serial port, with its errors as DeviceError."""
    try:
        return serial.Serial(port, baud, timeout=0.1)
    except (serial.SerialException, ValueError) as e:
        raise DeviceError(f"{port}: {e}") from e


class Client:
    """One board on one transport. Answers that do not come in time raise DeviceError.

    Commands that change nothing, or the same thing twice, are repeated when a line was damaged or
    an answer got lost; `infer` only when the board says that it did not understand.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._seconds = seconds
        self._buffer = b""
        self._tokens = itertools.count(int.from_bytes(os.urandom(3)))
        self.log: list[str] = []  # lines the board sent unasked, oldest first

    def sync(self, seconds: float | None = None) -> None:
        """Brings both ends to the start of a line, whatever went over the wire before."""
        deadline = self._clock() + (seconds or self._seconds)
        while True:
            token = f"sync-{next(self._tokens)}"
            self._send("")
            try:
                self._exchange(f"echo {token}", 0.5, f"ok {token}".__eq__)
                return
            except DeviceError:
                if self._clock() > deadline:
                    raise DeviceError("no answer from the board; is it the right port?") from None

    def info(self) -> DeviceInfo:
        """What the board says of itself."""
        lines, _ = self._repeat("info")
        try:
            return _parse_info(lines)
        except (KeyError, ValueError, IndexError, struct.error) as e:
            raise DeviceError(f"info: malformed answer ({e})") from e

    def layers(self) -> list[str]:
        """Names of the model's layers, in the order they run."""
        return [line.split(" ", 2)[2] for line in self._repeat("layers")[0]]

    def labels(self) -> list[str]:
        """Names of the first output's classes; empty if the model came without."""
        return [line.split(" ", 2)[2] for line in self._repeat("labels")[0]]

    def load(self, index: int, data: bytes) -> None:
        """Sets input `index` to `data`, its bytes as they lie in memory."""
        for offset in range(0, len(data), CHUNK_BYTES):
            chunk = data[offset : offset + CHUNK_BYTES]
            text = base64.b64encode(chunk).decode()
            self._repeat(f"load {index} {offset} {text} {zlib.crc32(chunk):08x}")

    def infer(self, times: int = 1, seconds: float = 120.0) -> int:
        """Runs the model; the ticks of the board's clock that took, for all `times`."""
        _, answer = self._repeat(f"infer {times}", seconds, lost=False)
        try:
            return int(answer.split()[2])  # ok TIMES TICKS
        except (IndexError, ValueError) as e:
            raise DeviceError(f"infer: malformed answer {answer!r}") from e

    def time_layers(self, seconds: float = 120.0) -> list[int]:
        """Infers once; the ticks of the board's clock that each layer took."""
        lines, _ = self._repeat("time", seconds, lost=False)
        try:
            laps = [tuple(map(int, line.split(" ")[1:])) for line in lines]
            if [layer for layer, _ in laps] != list(range(len(laps))):
                raise ValueError("layers are missing")
            return [ticks for _, ticks in laps]
        except ValueError as e:
            raise DeviceError(f"time: malformed answer ({e})") from e

    def read(self, index: int, size: int) -> bytes:
        """The `size` bytes of output `index`."""
        chunks = []
        for offset in range(0, size, CHUNK_BYTES):
            chunks.append(self._read_chunk(index, offset, min(CHUNK_BYTES, size - offset)))
        return b"".join(chunks)

    def run(
        self, info: DeviceInfo, inputs: Sequence[npt.NDArray[Any]], seconds: float = 120.0
    ) -> tuple[list[npt.NDArray[Any]], int]:
        """Loads inputs, infers once, reads outputs; with the ticks it took."""
        for index, value in enumerate(inputs):
            self.load(index, np.ascontiguousarray(value).tobytes())
        ticks = self.infer(seconds=seconds)
        outputs = [
            np.frombuffer(self.read(index, t.bytes), dtype=t.dtype).reshape(t.shape)
            for index, t in enumerate(info.outputs)
        ]
        return outputs, ticks

    def clear(self) -> None:
        """Puts the model's state back to its start."""
        self._repeat("clear")

    def reset(self) -> None:
        """Restarts the board, and waits until it answers again."""
        self._exchange("reset", self._seconds, _is_final)
        self._wait_for("m-ready", self._seconds)
        self.sync()

    def boot(self, seconds: float = 20.0) -> None:
        """Waits for a board that is starting up."""
        self._wait_for("m-ready", seconds)
        self.sync(seconds)

    def mlperf(self, command: str, seconds: float = 120.0) -> list[str]:
        """The answer to an MLPerf Tiny command, given without its `%`; without `m-ready`."""
        self._write(f"{command}%".encode())
        lines, _ = self._collect(command, seconds, lambda line: line == "m-ready")
        return lines

    def command(self, command: str, seconds: float | None = None) -> str:
        """What follows `ok ` in the answer to any command, sent once."""
        _, answer = self._exchange(command, seconds or self._seconds, _is_final)
        return answer.removeprefix("ok").strip()

    def lines_of(self, command: str, seconds: float | None = None) -> list[str]:
        """What comes before the final line of the answer to any command, sent once."""
        return self._exchange(command, seconds or self._seconds, _is_final)[0]

    def raw(self, data: bytes) -> None:
        """Sends bytes as they are: for tests of what the board makes of noise."""
        self._write(data)

    def line(self, seconds: float) -> str:
        """The next line the board sends."""
        line = self._line(self._clock() + seconds)
        if line is None:
            raise DeviceError(f"no line from the board in {seconds:g} s")
        return line

    def lines(self, seconds: float) -> list[str]:
        """The complete lines that come until then."""
        deadline = self._clock() + seconds
        return list(iter(lambda: self._line(deadline), None))

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _read_chunk(self, index: int, offset: int, size: int) -> bytes:
        for _ in range(ATTEMPTS):
            _, answer = self._repeat(f"read {index} {offset} {size}")
            words = answer.split()
            try:
                data = base64.b64decode(words[1], validate=True)
                if zlib.crc32(data) == int(words[2], 16) and len(data) == size:
                    return data
            except (IndexError, ValueError, binascii.Error):
                continue
        raise DeviceError(f"read: output {index} came damaged {ATTEMPTS} times")

    def _repeat(
        self, command: str, seconds: float | None = None, lost: bool = True
    ) -> tuple[list[str], str]:
        """Lines and final line of the answer; tried again as the class says."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._exchange(command, seconds or self._seconds, _is_final)
            except RefusedError as e:
                if attempt == ATTEMPTS or e.code not in _REPEATABLE_ERRORS:
                    raise
            except DeviceError:
                if attempt == ATTEMPTS or not lost:
                    raise
            self.sync()
        raise AssertionError("unreachable")

    def _exchange(
        self, command: str, seconds: float, is_final: Callable[[str], bool]
    ) -> tuple[list[str], str]:
        self._send(command)
        lines, final = self._collect(command, seconds, is_final)
        if final.startswith("err "):
            _, code, text = [*final.split(" ", 2), ""][:3]
            raise RefusedError(command.split(" ")[0], int(code) if code.isdigit() else 0, text)
        return lines, final

    def _collect(
        self, command: str, seconds: float, is_final: Callable[[str], bool]
    ) -> tuple[list[str], str]:
        deadline = self._clock() + seconds
        lines: list[str] = []
        while True:
            line = self._line(deadline)
            if line is None:
                raise DeviceError(f"{command.split(' ')[0]}: no answer in {seconds:g} s")
            if line.startswith("fault "):
                raise DeviceError(f"{command.split(' ')[0]}: the board crashed: {line}")
            if is_final(line):
                return lines, line
            lines.append(line)

    def _wait_for(self, wanted: str, seconds: float) -> None:
        deadline = self._clock() + seconds
        while (line := self._line(deadline)) != wanted:
            if line is None:
                raise DeviceError(f"the board did not start in {seconds:g} s")
            self.log.append(line)

    def _line(self, deadline: float) -> str | None:
        """The next line that is not empty, or None at the deadline."""
        while True:
            line, found, rest = self._buffer.partition(b"\n")
            if found or len(line) > MAX_LINE_BYTES:
                self._buffer = rest
                text = line.decode("ascii", "replace").strip("\r\0")
                if text:
                    return explained(text)
                continue
            left = deadline - self._clock()
            if left <= 0:
                return None
            try:
                self._transport.timeout = min(left, 1.0)
                data = self._transport.read(1)
                self._transport.timeout = 0
                self._buffer += data + self._transport.read(4096)
            except (serial.SerialException, OSError) as e:
                raise DeviceError(f"the port failed: {e}") from e

    def _send(self, command: str) -> None:
        self._write(command.encode("ascii") + b"\n")

    def _write(self, data: bytes) -> None:
        try:
            self._transport.write(data)
        except (serial.SerialException, OSError) as e:
            raise DeviceError(f"the port failed: {e}") from e


def _is_final(line: str) -> bool:
    return line == "ok" or line.startswith(("ok ", "err "))


def _parse_info(lines: Sequence[str]) -> DeviceInfo:
    pairs = dict(line.partition(" ")[::2] for line in lines)
    return DeviceInfo(
        board=pairs["board"],
        firmware=pairs["firmware"],
        model=pairs["model"],
        model_id=pairs["model_id"],
        kernels=pairs["kernels"],
        reset=pairs["reset"],
        id=pairs["id"].strip("-"),
        images=dict(_parse_image(line) for line in lines if line.startswith("image ")),
        abi=int(pairs["abi"]),
        clock_hz=int(pairs["clock_hz"]),
        macs=int(pairs["macs"]),
        layers=int(pairs["layers"]),
        arena=(int(pairs["arena_0"]), int(pairs["arena_1"])),
        staging=int(pairs["staging"]),
        stack=int(pairs["stack"]),
        stack_used=int(pairs["stack_used"]),
        inputs=tuple(_parse_tensor(line) for line in lines if line.startswith("input ")),
        outputs=tuple(_parse_tensor(line) for line in lines if line.startswith("output ")),
    )


def _parse_image(line: str) -> tuple[str, tuple[str, str, int, str]]:
    _, name, slot, version, counter, standing = line.split(" ", 5)
    return name, (slot, version, int(counter.replace("-", "0")), standing)


def _parse_tensor(line: str) -> TensorInfo:
    _, _, dtype, dims, scale, zero_point, size, name = line.split(" ", 7)
    return TensorInfo(
        name=name,
        dtype=dtype,
        shape=() if dims == "-" else tuple(int(d) for d in dims.split("x")),
        scale=float(struct.unpack(">f", bytes.fromhex(scale))[0]),
        zero_point=int(zero_point),
        bytes=int(size),
    )
