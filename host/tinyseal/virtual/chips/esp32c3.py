"""An ESP32-C3: ROM loader, UART 0, SPI1 with a NOR flash, cache and MMU, watchdogs, system timer,
reset and eFuses. Written from ESP-IDF's soc/esp32c3 headers and the flash's data sheet.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tinyseal.virtual.chips.chip import Chip, Stopped
from tinyseal.virtual.chips.nor import Nor

PAGE: Final = 0x10000
DATA_VIEW: Final = 0x3C000000
FETCH_VIEW: Final = 0x42000000
FIFO_BYTES: Final = 128
TIMER_HZ: Final = 16_000_000
BITES_AFTER: Final = 100_000  # register accesses, if a watchdog still runs
MAC: Final = bytes.fromhex("7cdfa1b2c3d4")

POWER_ON: Final = 1  # reset_reasons.h
SOFTWARE: Final = 3
WATCHDOGS: Final = {0x6001F048: (31, 14), 0x60020048: (31, 14), 0x60008090: (31, 12)}
LOCKS: Final = {0x6001F064: 0x6001F048, 0x60020064: 0x60020048, 0x600080A8: 0x60008090}
WDT_KEY: Final = 0x50D83AA1
SWD_KEY: Final = 0x8F1D312A


def load_rom_image(flash: bytes) -> tuple[int, list[tuple[int, bytes]]]:
    """Entry and segments of what the ROM finds at the flash's start."""
    magic, count, _, _, entry = struct.unpack_from("<BBBBI", flash)
    if magic != 0xE9:
        raise Stopped("ROM: invalid header")
    has_hash, at, checksum, segments = flash[23] == 1, 24, 0xEF, []
    for _ in range(count):
        address, size = struct.unpack_from("<II", flash, at)
        data = bytes(flash[at + 8 : at + 8 + size])
        for byte in data:
            checksum ^= byte
        segments.append((address, data))
        at += 8 + size
    at |= 15  # the checksum is the last byte of a line of 16
    if flash[at] != checksum:
        raise Stopped("ROM: checksum of the bootloader is wrong")
    end = at + 1
    if has_hash and hashlib.sha256(flash[:end]).digest() != flash[end : end + 32]:
        raise Stopped("ROM: hash of the bootloader is wrong")
    return entry, segments


class Esp32C3(Chip):
    """Its ROM starts what lies in the flash."""

    def __init__(self, flash: Path, boot: bytes, memory: Sequence[tuple[int, int]]) -> None:
        assert not boot
        super().__init__("RISCV", ("RISCV32",), flash)
        self.nor = Nor(self.cells)
        self.view = (ctypes.c_char * len(self.cells))()
        for base, size in memory:
            self.uc.mem_map(base, size)
        for base in (DATA_VIEW, FETCH_VIEW):
            self.uc.mem_map_ptr(base, len(self.cells), self.unicorn.UC_PROT_NONE, self.view)
        self.map_registers(0x60000000, 0x100000)
        self.values: dict[int, int] = {}
        self.mmu: dict[int, int] = {}
        self.shown: set[int] = set()  # pages that the cache may hold
        self.cache_changes = False
        self.cause, self.accesses, self.latched = POWER_ON, 0, 0

    def _number(self, name: str) -> int:
        return int(getattr(self.constants, f"UC_RISCV_REG_{name}"))

    def start(self) -> int:
        """Registers as the ROM leaves them: it has started two watchdogs."""
        self.accesses = 0
        self.mmu.clear()
        self.values = {
            0x6001F048: 1 << 14, 0x60008090: 1 << 12, 0x60002008: 1 << 24 | 1 << 13,
            0x600C4000: 1, 0x600C4004: 3, 0x60000020: 0x1C, 0x60000014: 0x15B,
            0x60000078: 0x03701000, 0x60002018: 0x80000200, 0x600C0058: 1,
            0x60008038: self.cause, 0x600C40B0: 1,
            0x60008844: int.from_bytes(MAC[2:], "big"), 0x60008848: int.from_bytes(MAC[:2], "big"),
        }  # fmt: skip
        self.cause = SOFTWARE
        self._show()
        return self._load()

    def resume(self) -> int:
        if self.cache_changes:
            self._show()
        return self.register("PC")

    def _load(self) -> int:
        entry, segments = load_rom_image(bytes(self.cells[: 1 << 20]))
        for address, data in segments:
            self.uc.mem_write(address, data)
        return entry

    def _show(self) -> None:
        """What the cache shows of the flash: nothing while it is off or a bus is shut."""
        self.cache_changes = False
        is_on = bool(self.values[0x600C4000] & 1) and not self.values[0x600C4004] & 3
        if is_on:
            for page in range(len(self.cells) // PAGE):
                entry = self.mmu.get(page)
                wanted = None if entry is None or entry > 0xFF else entry
                if wanted is not None and page not in self.shown:
                    data = self.cells[wanted * PAGE : (wanted + 1) * PAGE]
                    ctypes.memmove(ctypes.addressof(self.view) + page * PAGE, data, PAGE)
                    self.shown.add(page)
            self.uc.ctl_flush_tb()
        access = self.unicorn.UC_PROT_NONE
        data = self.unicorn.UC_PROT_READ if is_on else access
        fetch = self.unicorn.UC_PROT_READ | self.unicorn.UC_PROT_EXEC if is_on else access
        self.uc.mem_protect(DATA_VIEW, len(self.cells), data)
        self.uc.mem_protect(FETCH_VIEW, len(self.cells), fetch)

    def _turn(self) -> None:
        self.accesses += 1
        if self.accesses > BITES_AFTER:
            for address, bits in WATCHDOGS.items():
                if any(self.values.get(address, 0) >> bit & 1 for bit in bits):
                    raise Stopped(f"the watchdog at {address:#x} bites")

    def load(self, address: int) -> int:
        self._turn()
        if address == 0x6000001C:
            return self.line.look(FIFO_BYTES)
        if address == 0x60000000:
            if not self.line.received:
                raise Stopped("UART: read of an empty FIFO")
            return self.line.received.popleft()
        if address == 0x600C4028:
            return 2
        if address == 0x60023004:
            return 1 << 29
        if address in (0x60023040, 0x60023044):
            return self.latched >> 32 if address == 0x60023040 else self.latched & 0xFFFFFFFF
        if 0x600C5000 <= address < 0x600C5200:
            return self.mmu.get((address - 0x600C5000) // 4, 0x100)
        if address in self.values or 0x60002000 <= address < 0x60002098:
            return self.values.get(address, 0)
        if address in (0x60008000, *LOCKS, *WATCHDOGS, 0x600080AC, 0x600080B0):
            return 0
        raise Stopped(f"read of 0x{address:08x}")

    def store(self, address: int, value: int) -> None:
        self._turn()
        if address == 0x60000000:
            self._send(value & 0xFF)
        elif 0x600C5000 <= address < 0x600C5200:
            if self.values[0x600C4000] & 1:
                raise Stopped("MMU: changed with the cache on")
            self.mmu[(address - 0x600C5000) // 4] = value
        elif address in WATCHDOGS or address == 0x600080AC:
            lock = next((a for a, guarded in LOCKS.items() if guarded == address), 0x600080B0)
            key = SWD_KEY if address == 0x600080AC else WDT_KEY
            if self.values.get(lock) == key:
                self.values[address] = value
        elif address == 0x60002000:
            self._exchange(value)
        elif address == 0x600C4028 and value & 1:
            if self.values[0x600C4000] & 1:
                raise Stopped("cache: invalidated while it is on")
            if self.values.get(0x600C402C) in (DATA_VIEW, FETCH_VIEW):
                self.shown.clear()
        elif address in (0x600C4000, 0x600C4004):
            if address == 0x600C4000 and value & 1 and self.nor.busy_reads:
                raise Stopped("cache: switched on while the flash is busy")
            # The store is done once more after the stop, and then changes nothing.
            if self.values[address] != value:
                self.values[address] = value
                self.cache_changes = True
                self.stop()
        elif address == 0x60008000 and value >> 31:
            self.reset()
        elif address == 0x60023004:
            self.latched = self.now(TIMER_HZ)
        else:
            self.values[address] = value

    def _send(self, byte: int) -> None:
        clock = self.values[0x60000078]
        if clock >> 20 & 3 != 3 or clock >> 12 & 0xFF:
            raise Stopped("UART: its clock is not the crystal")
        divider = self.values[0x60000014]
        baud = 40e6 / ((divider & 0xFFF) + (divider >> 20 & 15) / 16)
        if not 114_000 < baud < 116_400 or self.values[0x60000020] & 0x3F != 0x1C:
            raise Stopped(f"UART: sends at {baud:.0f} Bd")
        self.line.send(byte)

    def _exchange(self, command: int) -> None:
        """SPI1: USER says which phases there are."""
        user, control = self.values[0x60002018], self.values[0x60002008]
        if command != 1 << 18 or not user >> 31 or user >> 29 & 1:
            raise Stopped(f"SPI: CMD {command:08x}, USER {user:08x}")
        if control & (1 << 13 | 1 << 14 | 1 << 20 | 1 << 23 | 1 << 24):
            raise Stopped(f"SPI: CTRL {control:08x} is not for one line")
        value = self.values[0x60002020]
        if value >> 28 != 7:
            raise Stopped("SPI: a command of other than 8 bits")
        address = None
        if user >> 30 & 1:
            if self.values[0x6000201C] >> 26 != 23:
                raise Stopped("SPI: an address of other than 24 bits")
            address = self.values[0x60002004] & 0xFFFFFF
        out = b""
        if user >> 27 & 1:
            bits = self.values[0x60002024] + 1
            words = [self.values.get(0x60002058 + 4 * i, 0) for i in range(16)]
            if bits % 8 or bits > 512:
                raise Stopped(f"SPI: {bits} bits out")
            out = struct.pack("<16I", *words)[: bits // 8]
        code = value & 0xFF
        if code in (0x02, 0x20) and self.values[0x600C4000] & 1:
            raise Stopped("flash: written with the cache on")
        answer = self.nor.command(code, address, out)
        if user >> 28 & 1:
            self.values[0x60002058] = answer
