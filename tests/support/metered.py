"""A provisioned virtual board that runs a metered model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.boards import scons
from support.meter import key_of
from tinyseal.board import Board
from tinyseal.build.firmware import ROOT, Request
from tinyseal.codegen.generate import Terms
from tinyseal.device.client import Client, open_port
from tinyseal.package.merge import place, to_hex
from tinyseal.package.provision import (
    Identity,
    StorageKey,
    counter_image,
    meter_book,
    storage_image,
)
from tinyseal.profiles import load_board
from tinyseal.virtual.air import on_air
from tinyseal.virtual.boards import VirtualBoard, power_up

FAMILY = "small"
DEVICE_ID = bytes(range(16))
DEVICE_KEY = key_of(7)
VENDOR = key_of(100)


def metered_firmware(board: str, model: Path) -> Request:
    done = scons(f"board={board}", f"model={model}", "policy=metered", f"family={FAMILY}")
    assert done.returncode == 0, done.stdout
    return Request(load_board(board), model, terms=Terms(is_metered=True, family=FAMILY))


def provisioned(request: Request, folder: Path) -> Path:
    """Images, identity and counters as one file to start a new flash with."""
    board = request.board
    values = Identity(DEVICE_ID, DEVICE_KEY, vendor_keys=(VENDOR,)).values()
    values[StorageKey.METER_BOOK] = meter_book(DEVICE_KEY, 0)
    images = {(i, "a"): (ROOT / request.signed(i)).read_bytes() for i in ("app", "capsule")}
    merged = folder / "provisioned.hex"
    parts = place(
        board, None, images, storage=storage_image(board, values), counter=counter_image(board, {})
    )
    merged.write_bytes(to_hex(parts))
    return merged


@contextmanager
def metered_board(
    request: Request, image: Path, flash: Path | None = None
) -> Iterator[VirtualBoard]:
    """Runs, and has greeted."""
    with power_up(request.board, ROOT / request.bootloader, flash=flash, image=image) as machine:
        with Client(open_port(machine.port, request.board.console.baud)) as client:
            machine.go()
            client.boot()
        yield machine


@contextmanager
def reached_by(link: str, machine: VirtualBoard, board: Board) -> Iterator[tuple[str, ...]]:
    """Options that say where the board is, by `serial` or `ble`."""
    if link == "serial":
        yield "--port", machine.port
        return
    assert machine.radio is not None
    with on_air({"kitchen": (machine.radio, board.console.baud)}) as air:
        yield "--ble", "kitchen", "--hci", air.hci
