"""A chip whose registers and flash are modelled around Unicorn's processor, as a virtual board."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from tinyseal.board import Board, Runner
from tinyseal.build.esp import pack
from tinyseal.codegen.firmware import bootloader_place
from tinyseal.errors import DeviceError
from tinyseal.virtual.flash_file import elf_bytes
from tinyseal.virtual.process import ProcessBoard


def ram_of(board: Board) -> list[tuple[int, int]]:
    """(address, bytes) of each of its memories but flash."""
    flashes = (board.reset_memory, board.flash_memory)
    return [(m.base, m.bytes) for m in board.memory if m not in flashes]


class UnicornBoard(ProcessBoard):
    """The runner's argument says which of virtual/chips. `elf` is where reset begins; a chip's ROM
    starts what lies in the flash: without an `image` that is `elf`, packed for it."""

    radio: str | None = None

    def __init__(
        self,
        board: Board,
        runner: Runner,
        elf: Path,
        flash: Path | None = None,
        image: Path | None = None,
        storage: bytes | None = None,
    ) -> None:
        """As `power_up` of virtual/boards.py."""
        if importlib.util.find_spec("unicorn") is None:
            raise DeviceError(f"{board.name}: the Python package unicorn is missing; ./setup test")
        super().__init__(board)
        flash = self._open_flash(board, flash, image, storage)
        boot = "-"
        if board.rom is None:
            place = bootloader_place(board)
            first = Path(self._scratch.name) / "bootloader.bin"
            first.write_bytes(elf_bytes(elf, place.base, place.base + place.bytes))
            boot = str(first)
        elif image is None:
            pack(board, elf)
            with flash.open("r+b") as f:
                f.seek(board.partitions("bootloader")[0].offset)
                f.write(elf.with_suffix(".bin").read_bytes())
        ram = [f"{base}:{size}" for base, size in ram_of(board)]
        module = (sys.executable, "-m", "tinyseal.virtual.chips", *runner.args)
        self._spawn([*module, str(flash), boot, *ram])
        try:
            self.port: str
            (self.port,) = self._answers(1)
        except BaseException:
            self.close()
            raise

    def go(self) -> None:
        """Lets the processor run, from reset."""
        self._tell("")

    def write(self, address: int, data: bytes) -> None:
        raise DeviceError(f"{self._name}: its memory cannot be written from outside")
