"""A Cortex-M: its system control space, one external interrupt at a time, and peripherals, each of
which a chip's own file describes.

What there is not: SysTick, priorities, fault handlers (a fault ends the run) and interrupts
anywhere but where the firmware looks at its timer.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from tinyseal.virtual.chips.chip import Chip, Stopped

_PPB: Final = 0xE0000000
_ISER, _ISPR, _ICPR = 0xE000E100, 0xE000E200, 0xE000E280
_VTOR, _AIRCR, _CCR = 0xE000ED08, 0xE000ED0C, 0xE000ED14
_RESET_REQUEST: Final = 0x05FA0004
_RETURN: Final = 0xFFFFFFF9  # to thread mode, on the main stack
_FRAME: Final = ("R0", "R1", "R2", "R3", "R12", "LR")
_THUMB_STATE: Final = 1 << 24
_FIRST_INTERRUPT: Final = 16
_NMI: Final = 2 - _FIRST_INTERRUPT  # as an interrupt is numbered
_EXCEPTION_EXIT: Final = 8  # Unicorn's number for a branch to such an address
_CORE_REGISTERS: Final = frozenset(
    {0xE000E010, 0xE000E014, 0xE000E018, 0xE000ED04, 0xE000ED14, 0xE000ED88, 0xE000EF50}
)


class Block:
    """Registers of one peripheral, by offset. Those it does not know of end the run."""

    def __init__(self, name: str, values: Mapping[int, int] | None = None) -> None:
        self.name = name
        self.values = dict(values or {})  # as after a reset, or as last written

    def load(self, offset: int) -> int:
        if offset not in self.values:
            raise Stopped(f"{self.name}: read of register {offset:#05x}")
        return self.values[offset]

    def store(self, offset: int, value: int) -> None:
        if offset not in self.values:
            raise Stopped(f"{self.name}: {value:#x} to register {offset:#05x}")
        self.values[offset] = value

    def asserts_interrupt(self) -> bool:
        return False


class CortexM(Chip):
    """What begins at reset lies at `flash_base`: on most chips, the start of the flash."""

    start_bit = 1
    model: ClassVar[str]  # Unicorn's name
    flash_base: ClassVar[int] = 0
    block_bytes: ClassVar[int]  # what the maker gives each peripheral, at least
    ranges: ClassVar[tuple[tuple[int, int], ...]]  # (address, bytes) of peripherals
    # What the chip says of a reset: by power, by the firmware's request, by the watchdog.
    reasons: ClassVar[tuple[int, int, int]]

    def __init__(self, flash: Path, boot: bytes, memory: Sequence[tuple[int, int]]) -> None:
        super().__init__("ARM", ("THUMB", "MCLASS"), flash)
        self.uc.ctl_set_cpu_model(self._constant(f"UC_CPU_ARM_{self.model}"))
        self.map_flash(boot)
        self.uc.hook_add(self.unicorn.UC_HOOK_MEM_WRITE_PROT, self._write_flash)
        for base, size in memory:
            self.uc.mem_map(base, size)
        for base, size in (*self.ranges, (_PPB, 0x100000)):
            self.map_registers(base, size)
        self.uc.hook_add(self.unicorn.UC_HOOK_INTR, self._exception)
        self.blocks: dict[int, Block] = {}  # by address
        self._reached: dict[int, tuple[Block, int]] = {}
        self.interrupts: dict[int, Block] = {}  # by number
        self.vectors = self.flash_base
        self.reason = self.reasons[0]  # of the next reset
        self._core: dict[int, int] = {}
        self._enabled: set[int] = set()
        self._pending: set[int] = set()
        self._is_returning = self._is_handling = False
        self._nmi = False
        self.torn: set[int] = set()  # places of units of flash whose ECC is wrong

    def map_flash(self, boot: bytes) -> None:
        """What the processor sees at `flash_base`: the cells, with `boot` first."""
        self.cells[: len(boot)] = boot
        cells = (ctypes.c_char * len(self.cells)).from_buffer(self.cells)
        readable = self.unicorn.UC_PROT_READ | self.unicorn.UC_PROT_EXEC
        self.uc.mem_map_ptr(self.flash_base, len(self.cells), readable, cells)

    def power_up(self) -> None:
        """Peripherals as after a reset: fills `blocks` and `interrupts`."""
        raise NotImplementedError

    def program(self, address: int, word: int) -> None:
        """A store to the flash, at an address in it. Stopped if it does not take it."""
        raise NotImplementedError

    def _constant(self, name: str) -> int:
        return int(getattr(self.constants, name))

    def _number(self, name: str) -> int:
        return self._constant(f"UC_ARM_REG_{name}")

    def start(self) -> int:
        self.uc.ctl_flush_tb()
        self.vectors = self.flash_base
        self._core = dict.fromkeys(_CORE_REGISTERS, 0)
        self._enabled.clear()
        self._pending.clear()
        self._is_returning = self._is_handling = self._nmi = False
        self.forget_blocks()
        self.power_up()
        self.reason = self.reasons[1]
        stack, entry = struct.unpack("<II", self.uc.mem_read(self.flash_base, 8))
        self.set_register("PRIMASK", 0)
        self.set_register("MSP", stack)
        if not entry & 1:
            raise Stopped(f"reset: the entry {entry:#x} is no Thumb code")
        return int(entry & ~1)

    # --- Interrupts. ---

    def bite(self) -> None:
        """The watchdog's, which was fed too late."""
        self.reason = self.reasons[2]
        self.reset()

    def look_at_timer(self) -> None:
        """Timers call this where they are read: here an interrupt may come."""
        if self._due() is not None:
            self.stop()

    def nmi(self) -> None:
        self._nmi = True
        self.stop()

    def ignores_bus_faults(self) -> bool:
        """Of loads: by FAULTMASK and CCR.BFHFNMIGN."""
        return bool(self.register("FAULTMASK") & 1 and self._core[_CCR] >> 8 & 1)

    def tear(self, place: int, size: int) -> None:
        """A unit of flash as a power cut leaves it."""
        self.torn.add(place)

        def read(uc: Any, kind: int, at: int, width: int, value: int, data: Any) -> None:
            if place in self.torn:
                try:
                    self.read_torn(place)
                except Stopped as e:
                    self.stop(e)

        at = self.flash_base + place
        self.uc.hook_add(self.unicorn.UC_HOOK_MEM_READ, read, None, at, at + size - 1)

    def read_torn(self, place: int) -> None:
        """A load from such a unit. Stopped if the firmware does not expect it."""
        raise NotImplementedError

    def _due(self) -> int | None:
        if self._nmi:
            return _NMI
        if self._is_handling or self.register("PRIMASK") & 1:
            return None
        for number, block in self.interrupts.items():
            if number in self._enabled and (number in self._pending or block.asserts_interrupt()):
                return number
        return None

    def resume(self) -> int:
        if self._is_returning:
            return self._leave_handler()
        number = self._due()
        return self.register("PC") if number is None else self._enter_handler(number)

    def _enter_handler(self, number: int) -> int:
        self._pending.discard(number)
        self._nmi = False
        frame = [self.register(name) for name in _FRAME]
        frame += [self.register("PC"), self.register("XPSR") | _THUMB_STATE]
        stack = self.register("SP")
        top = stack - 4 * len(frame) & ~7
        frame[-1] |= (stack & 4) << 7  # where the stack was aligned
        self.uc.mem_write(top, struct.pack("<8I", *frame))
        self.set_register("SP", top)
        self.set_register("LR", _RETURN)
        self._is_handling = True
        at = self.vectors + 4 * (_FIRST_INTERRUPT + number)
        (handler,) = struct.unpack("<I", self.uc.mem_read(at, 4))
        if not handler & 1:
            raise Stopped(f"interrupt {number}: its vector is {handler:#x}")
        return int(handler & ~1)

    def _leave_handler(self) -> int:
        self._is_returning = self._is_handling = False
        top = self.register("SP")
        *registers, pc, xpsr = struct.unpack("<8I", self.uc.mem_read(top, 32))
        for name, value in zip(_FRAME, registers, strict=True):
            self.set_register(name, value)
        self.set_register("SP", top + 32 + (xpsr >> 7 & 4))
        self.set_register("XPSR", xpsr & ~(1 << 9))
        return int(pc)

    def _exception(self, uc: Any, number: int, data: Any) -> None:
        if number == _EXCEPTION_EXIT and self._is_handling:
            self._is_returning = True
            self.stop()
        else:
            self.stop(Stopped(f"exception {number} at 0x{self.register('PC'):08x}"))

    # --- Registers. ---

    def check_block(self, base: int) -> None:
        """Stopped if a block cannot be reached now. Asked until the next `forget_blocks`."""

    def forget_blocks(self) -> None:
        """What can be reached may have changed."""
        self._reached.clear()

    def _block(self, address: int) -> tuple[Block, int]:
        if address not in self._reached:
            base = address - address % self.block_bytes
            if address % 4 or base not in self.blocks:
                raise Stopped(f"no register at 0x{address:08x}")
            self.check_block(base)
            self._reached[address] = (self.blocks[base], address - base)
        return self._reached[address]

    def load(self, address: int) -> int:
        if address >= _PPB:
            return self._load_core(address)
        block, offset = self._block(address)
        return block.load(offset)

    def store(self, address: int, value: int) -> None:
        if address >= _PPB:
            self._store_core(address, value)
        else:
            block, offset = self._block(address)
            block.store(offset, value)

    def _load_core(self, address: int) -> int:
        if address == _VTOR:
            return self.vectors
        if address not in self._core:
            raise Stopped(f"core: read of 0x{address:08x}")
        return self._core[address]

    def _store_core(self, address: int, value: int) -> None:
        if address == _VTOR:
            if value % 128:
                raise Stopped(f"core: VTOR {value:#x} is not aligned")
            self.vectors = value
        elif address == _AIRCR:
            if value != _RESET_REQUEST:
                raise Stopped(f"core: AIRCR {value:#x}")
            self.reset()
        elif _ISER <= address < _ISER + 0x20:
            self._enabled |= _numbers(address - _ISER, value)
        elif _ISPR <= address < _ISPR + 0x20:
            self._pending |= _numbers(address - _ISPR, value)
        elif _ICPR <= address < _ICPR + 0x20:
            self._pending -= _numbers(address - _ICPR, value)
        elif address in self._core:
            self._core[address] = value
        else:
            raise Stopped(f"core: {value:#x} to 0x{address:08x}")

    # --- Flash. ---

    def _write_flash(self, uc: Any, kind: int, at: int, size: int, value: int, data: Any) -> bool:
        """What is let pass lands as it is."""
        try:
            place = at - self.flash_base
            if not 0 <= place < len(self.cells):
                raise Stopped(f"store to 0x{at:08x}")
            if size != 4 or at % 4:
                raise Stopped(f"flash: a store of {size} B to 0x{at:08x}")
            self.program(place, value & 0xFFFFFFFF)
        except Stopped as e:
            self.stop(e)
            return False
        return True

    def word(self, place: int) -> int:
        """Of the flash."""
        return int(struct.unpack_from("<I", self.cells, place)[0])


def _numbers(offset: int, bits: int) -> set[int]:
    return {8 * offset + bit for bit in range(32) if bits >> bit & 1}
