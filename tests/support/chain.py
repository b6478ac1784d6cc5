"""Signed images in the flash of a virtual board, and the board that boots them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT, Request
from tinyseal.device.client import Client, DeviceInfo, open_port
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.package.keys import Key, Use, load_private
from tinyseal.package.merge import place, to_hex
from tinyseal.package.sign import SignRequest, development_key, parse_version, sign_image
from tinyseal.virtual.boards import VirtualBoard, power_up
from tinyseal.virtual.flash_file import prepare_flash

Images = Mapping[tuple[str, str], bytes]


def signed(
    request: Request,
    image: Any,
    slot: Any = "a",
    key: Key | None = None,
    payload: bytes | None = None,
    encrypt: Key | None = None,
    **changes: Any,
) -> bytes:
    """A signed image of the request's build, as wanted."""
    wanted = SignRequest(request.board, image, slot, parse_version("1.0"), 0)
    if payload is None:
        built = request.image(image, slot if slot in request.slots else "a")
        payload = (ROOT / built.with_suffix(".bin")).read_bytes()
    key = key or load_private(development_key(request.board), Use.SIGN_IMAGES)
    return sign_image(payload, replace(wanted, **changes), key, encrypt)


def tampered(image: bytes) -> bytes:
    """With one bit of the payload turned over."""
    broken = bytearray(image)
    broken[0x280] ^= 1
    return bytes(broken)


class Running:
    """A running board and what it says."""

    def __init__(self, machine: VirtualBoard, client: Client) -> None:
        self.machine, self.client = machine, client

    def boot(self) -> DeviceInfo:
        self.client.boot()
        return self.client.info()

    def said(self) -> str:
        return "\n".join(self.client.log)


@contextmanager
def running(
    request: Request,
    images: Images,
    tmp_path: Path,
    flash: Path | None = None,
    storage: bytes | None = None,
) -> Iterator[Running]:
    """The board with `images` and `storage` in its flash, if that is new; it goes."""
    merged = None
    if images:
        merged = tmp_path / "merged.hex"
        merged.write_bytes(to_hex(place(request.board, None, images)))
    elf = ROOT / request.bootloader
    with (
        power_up(request.board, elf, flash=flash, image=merged, storage=storage) as machine,
        open_port(machine.port, request.board.console.baud) as port,
    ):
        machine.go()
        yield Running(machine, Client(port))


def write_flash(board: Board, flash: Path, image: str, slot: str, data: bytes) -> None:
    """A programmer's hand: erases a slot in the file of a board that is off, and writes it."""
    prepare_flash(board, flash)
    place = board.partitions("app" if image == "app" else "capsule")["ab".index(slot)]
    with flash.open("r+b") as file:
        file.seek(place.offset)
        file.write(data.ljust(place.bytes, b"\xff"))


def read_flash(board: Board, flash: Path, image: str, slot: str) -> bytes:
    place = board.partitions("app" if image == "app" else "capsule")["ab".index(slot)]
    with flash.open("rb") as file:
        file.seek(place.offset)
        return file.read(place.bytes)


def answers(request: Request, board: Running, info: DeviceInfo) -> None:
    """The reference's bytes for one sample."""
    graph = load_model(ROOT / request.model)
    _, inputs = sample_inputs(graph)[-1]
    outputs, _ = board.client.run(info, inputs)
    expected = Interpreter(graph).invoke(inputs)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(outputs, expected, strict=True))
