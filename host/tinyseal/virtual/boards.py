"""Virtual boards, whatever runs them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT, Request
from tinyseal.errors import DeviceError
from tinyseal.virtual.host import HostBoard
from tinyseal.virtual.qemu import QemuBoard
from tinyseal.virtual.rp2040 import Rp2040Board
from tinyseal.virtual.unicorn_board import UnicornBoard


class VirtualBoard(Protocol):
    """A board that exists and does nothing before `go()`.

    Open `port` first, then call `go()`: what a console says while nobody listens is lost. Use it
    as a context manager; the emulator ends with it, and also if this process is killed. Start it
    from a thread that lives as long as the board: the kernel ends the emulator with the thread
    that forked it.
    """

    port: str  # the console's device file
    radio: str | None  # that of the line which stands for BLE, if there is one

    @property
    def pid(self) -> int: ...

    def go(self) -> None:
        """Lets the processor run, from reset."""

    def write(self, address: int, data: bytes) -> None:
        """Puts bytes into memory. It stands still until `go`."""

    def wait(self) -> None:
        """Returns when the emulator has ended by itself, or by a signal."""

    def freeze(self) -> None:
        """Stops the board where it is, for good; what it has sent can still be read."""

    def kill(self) -> None:
        """Power off, at once: SIGKILL, after what `freeze` says."""

    def close(self) -> None:
        """Ends the emulator; the flash is in the file. May be called twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def power_up(
    board: Board,
    elf: Path,
    extra: Sequence[str] = (),
    flash: Path | None = None,
    image: Path | None = None,
    storage: bytes | None = None,
) -> VirtualBoard:
    """The virtual board of a profile with `elf` where reset begins.

    `extra` are further arguments for QEMU, such as a plugin or a debugger's port. `flash` is the
    file that keeps the board's flash, created erased if it is missing (see `prepare_flash`);
    without one, the board starts with an erased flash that is forgotten. `image` is a merged
    image and `storage` the storage partition, put into a flash that is new.

    Raises DeviceError if the board is not virtual, or its emulator is missing or does not start.
    """
    if board.runner is None:
        raise DeviceError(f"{board.name}: has no [runner]; give the port of a real board")
    if shutil.which(board.runner.binary) is None:
        raise DeviceError(
            f"{board.runner.binary} is missing; apt-get install {board.runner.package}"
        )
    if not elf.is_file():
        raise DeviceError(f"{elf}: no such file; build it with scons board={board.name}")
    if board.runner.kind == "qemu":
        return QemuBoard(board, board.runner, elf, extra, flash, image, storage)
    if extra:
        raise DeviceError(f"{board.name}: is no QEMU board; this needs one")
    if board.runner.kind == "host":
        return HostBoard(board, elf, flash, image, storage)
    kind = UnicornBoard if board.runner.kind == "unicorn" else Rp2040Board
    return kind(board, board.runner, elf, flash, image, storage)


def start(request: Request, extra: Sequence[str] = (), flash: Path | None = None) -> VirtualBoard:
    """The request's virtual board with its merged image, and the key to open it if it is
    encrypted; `extra` and `flash` as for `power_up`."""
    return power_up(
        request.board,
        ROOT / request.bootloader,
        extra,
        flash,
        ROOT / request.merged,
        _storage(request),
    )


def _storage(request: Request) -> bytes | None:
    """A storage partition with the decryption key; None if there is nothing to decrypt."""
    if request.encrypt is None:
        return None
    from tinyseal.package.keys import Use, load_key
    from tinyseal.package.provision import DEVICE_ID_BYTES, Identity, storage_image

    key = load_key(ROOT / request.encrypt, Use.ENCRYPT)
    if key.private is None:
        raise DeviceError(
            f"encrypt={request.encrypt}: is the public half only; {request.board.name} needs the "
            "key pair to open its images (tinyseal provision gives it to a real board)"
        )
    return storage_image(request.board, Identity(bytes(DEVICE_ID_BYTES), decrypt_key=key).values())
