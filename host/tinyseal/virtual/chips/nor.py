"""A serial NOR flash: Winbond W25Q32JV, and GigaDevice GD25Q16C, which takes the same commands."""

from __future__ import annotations

import mmap
from typing import Final

from tinyseal.virtual.chips.chip import Stopped

SECTOR: Final = 0x1000
BUSY_READS: Final = 3  # status reads until an erase or a program is done
_READ, _READ_STATUS, _WRITE_ENABLE = 0x03, 0x05, 0x06
_ADDRESSED: Final = 4  # bytes of a command with its address


class Nor:
    """Its commands, as far as a driver that writes needs them."""

    def __init__(self, cells: mmap.mmap) -> None:
        self.cells = cells
        self.busy_reads = 0
        self.may_write = False

    def command(self, code: int, address: int | None, out: bytes) -> int:
        """What it answers with; 0 if nothing."""
        if code == 0x05:
            answer = (1 if self.busy_reads else 0) | (2 if self.may_write else 0)
            if self.busy_reads:
                self.busy_reads -= 1
                self.may_write = self.may_write and self.busy_reads > 0
            return answer
        if self.busy_reads:
            raise Stopped(f"flash: command {code:#04x} while it is busy")
        if code == 0x06:
            self.may_write = True
        elif code in (0x02, 0x20):
            self._change(code, address, out)
        else:
            raise Stopped(f"flash: command {code:#04x}")
        return 0

    def _change(self, code: int, address: int | None, out: bytes) -> None:
        if address is None or not self.may_write or (code == 0x20) == bool(out):
            raise Stopped(f"flash: command {code:#04x} is not as it should be")
        address %= len(self.cells)
        if code == 0x20:
            start = address - address % SECTOR
            self.cells[start : start + SECTOR] = b"\xff" * SECTOR
        page = address - address % 256
        for i, byte in enumerate(out):
            at = page + (address + i) % 256
            self.cells[at] &= byte
        self.busy_reads = BUSY_READS


class NorLine:
    """The same, byte by byte, from one select to the next."""

    def __init__(self, nor: Nor) -> None:
        self.nor = nor
        self.is_selected = False
        self._sent = bytearray()
        self._reading: int | None = None  # the next byte to be read

    @property
    def is_fresh(self) -> bool:
        """Nothing was clocked since the select."""
        return not self._sent

    def select(self, is_selected: bool) -> None:
        if self.is_selected and not is_selected:
            self._end()
        self.is_selected = is_selected
        self._sent.clear()
        self._reading = None

    def exchange(self, byte: int) -> int:
        if self._reading is not None:
            self._reading += 1
            return self.nor.cells[(self._reading - 1) % len(self.nor.cells)]
        if not self.is_selected:
            raise Stopped("flash: clocked without being selected")
        self._sent.append(byte)
        if len(self._sent) > 1 and self._sent[0] == _READ_STATUS:
            return self.nor.command(_READ_STATUS, None, b"")
        if len(self._sent) == _ADDRESSED and self._sent[0] == _READ:
            if self.nor.busy_reads:
                raise Stopped("flash: read while it is busy")
            self._reading = int.from_bytes(self._sent[1:], "big")
        return 0xFF

    def _end(self) -> None:
        if not self._sent or self._sent[0] in (_READ, _READ_STATUS):
            return
        code = self._sent[0]
        address = int.from_bytes(self._sent[1:_ADDRESSED], "big") if code != _WRITE_ENABLE else None
        self.nor.command(code, address, bytes(self._sent[_ADDRESSED:]))
