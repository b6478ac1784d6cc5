"""Boards of other machines, through labgrid: a place is acquired, its serial line brought here.

labgrid lives in a venv of its own, made when it is first needed: in that of the tests its pytest
plugin would skip every test that is not for it. Which coordinator is asked says LG_COORDINATOR.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import serial

from tinyseal.build.firmware import ROOT
from tinyseal.errors import DeviceError

REQUIREMENT: Final = "labgrid==26.0.1"
VENV: Final = ROOT / "build" / "labgrid"
ASK_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.01
REOPEN_SECONDS: Final = 0.5
_PIECE: Final = 512
# The client's YAML, as JSON.
_TO_JSON: Final = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)"


@dataclass(frozen=True)
class Borrowed:
    """A place that is ours for now."""

    url: str  # of its serial port, as pyserial and esptool take it
    port: str  # a pseudo-terminal here that is connected with it


@contextlib.contextmanager
def borrow(place: str, baud: int) -> Iterator[Borrowed]:
    """Acquires a place until the end. DeviceError: no coordinator, no such place, somebody has it,
    or it has no serial port that one reaches."""
    _client("-p", place, "acquire")
    try:
        url = _serial_url(place)
        with RemoteLine(url, baud) as line:
            yield Borrowed(url, line.port)
    finally:
        _client("-p", place, "release")


def absence(place: str) -> str | None:
    """Why a place cannot be had; None if it is there."""
    try:
        _client("-p", place, "show")
    except DeviceError as e:
        return str(e)
    return None


class RemoteLine:
    """A serial port elsewhere as a pseudo-terminal here; opened again when it was lost."""

    def __init__(self, url: str, baud: int) -> None:
        self._url, self._baud = url, baud
        self._remote: Any = self._open()
        self._ours, self._theirs = os.openpty()  # both kept: so the line here has no end
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.port: str = os.ttyname(self._theirs)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._remote is not None:
            self._remote.close()
        os.close(self._ours)
        os.close(self._theirs)

    def _open(self) -> Any:
        try:
            return serial.serial_for_url(self._url, baudrate=self._baud, timeout=POLL_SECONDS)
        except (serial.SerialException, OSError) as e:
            raise DeviceError(f"{self._url}: {e}") from e

    def _pump(self) -> None:
        while not self._stop.is_set():
            try:
                if self._remote is None:
                    self._remote = self._open()
                self._pass_on()
            except (serial.SerialException, OSError, DeviceError):
                if self._remote is not None:
                    with contextlib.suppress(serial.SerialException, OSError):
                        self._remote.close()
                self._remote = None
                self._stop.wait(REOPEN_SECONDS)

    def _pass_on(self) -> None:
        heard = self._remote.read(max(1, self._remote.in_waiting))
        while heard and not self._stop.is_set():
            try:
                heard = heard[os.write(self._ours, heard) :]
            except BlockingIOError:  # nobody reads here
                self._stop.wait(POLL_SECONDS)
        try:
            said = os.read(self._ours, _PIECE)
        except OSError as e:
            if e.errno != errno.EAGAIN:
                raise
        else:
            self._remote.write(said)


def _serial_url(place: str) -> str:
    text = _client("-p", place, "env")
    found = subprocess.run(
        [str(VENV / "bin" / "python"), "-c", _TO_JSON],
        input=text, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    resources = json.loads(found)["targets"][place]["resources"]
    for resource in resources:
        ((kind, facts),) = resource.items()
        if kind == "NetworkSerialPort":
            scheme = "rfc2217" if facts["protocol"] == "rfc2217" else "socket"
            return f"{scheme}://{facts['host']}:{facts['port']}"
    kinds = ", ".join(kind for resource in resources for kind in resource) or "nothing"
    raise DeviceError(f"labgrid place {place}: has no NetworkSerialPort; it has {kinds}")


def _client(*words: str) -> str:
    """What labgrid-client says. DeviceError with its reason."""
    _require_labgrid()
    try:
        done = subprocess.run(
            [str(VENV / "bin" / "labgrid-client"), *words],
            capture_output=True, text=True, timeout=ASK_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as e:
        raise DeviceError(
            f"labgrid-client {' '.join(words)}: no answer in {e.timeout:.0f} s"
        ) from e
    if done.returncode:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["it said nothing"]
        why = next((line for line in lines if "Error: " in line), lines[-1])
        coordinator = os.environ.get("LG_COORDINATOR", "127.0.0.1:20408")
        raise DeviceError(f"labgrid at {coordinator}: {why.partition('Error: ')[2] or why}")
    return done.stdout


def _require_labgrid() -> None:
    """The venv, made if it is not there. DeviceError if that fails."""
    VENV.parent.mkdir(parents=True, exist_ok=True)
    with VENV.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of others that need it now
        stamp = VENV / "made-of"
        if stamp.is_file() and stamp.read_text() == REQUIREMENT:
            return
        _make([sys.executable, "-m", "venv", "--clear", str(VENV)])
        _make([str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet",
               "--disable-pip-version-check", REQUIREMENT])  # fmt: skip
        stamp.write_text(REQUIREMENT)


def _make(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        why = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise DeviceError(f"{REQUIREMENT} cannot be installed into {VENV}: {why}; connect once")
