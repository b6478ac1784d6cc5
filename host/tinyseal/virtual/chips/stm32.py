"""ST's STM32: RCC, GPIO, USART, TIM2, IWDG, flash controller, unique id. After the reference
manuals RM0090 (F405), RM0351 (L475) and RM0433 (H743) and ST's CMSIS headers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from tinyseal.virtual.chips.chip import Stopped
from tinyseal.virtual.chips.cortexm import Block, CortexM
from tinyseal.virtual.chips.nor import Nor, NorLine

UNIQUE_ID: Final = (0x00340021, 0x34385116, 0x30343432)
BUSY_READS: Final = 3  # of a status register, until flash is done
BAUD: Final = 115200
FEATHER_CRYSTAL_HZ: Final = 12_000_000
# DS8626, I/O AC characteristics: by OSPEEDR, into 50 pF, and 40 pF for the faster two.
FEATHER_PIN_HZ: Final = (4_000_000, 25_000_000, 50_000_000, 100_000_000)
FEATHER_NOR_HZ: Final = 80_000_000  # the most that the flash takes
KEYS: Final = (0x45670123, 0xCDEF89AB)


class Rcc(Block):
    """Reset and clock control. `gates`: the register and bit that give a block its clock; `forget`:
    those that clear what is told of the reset, in the bits above."""

    def __init__(
        self,
        values: Mapping[int, int],
        gates: Mapping[int, tuple[int, int]],
        forget: tuple[int, int],
    ) -> None:
        super().__init__("RCC", values)
        self.gates, self.forget = gates, forget

    def store(self, offset: int, value: int) -> None:
        register, bit = self.forget
        if offset == register:
            flags = ~((2 << bit) - 1)
            value = value & ~flags | (0 if value >> bit & 1 else self.values[register] & flags)
        super().store(offset, value)

    def forgets(self) -> bool:
        """What is told of a reset that comes now, too."""
        register, bit = self.forget
        return bool(self.values[register] >> bit & 1)

    def check(self, base: int) -> None:
        if base in self.gates:
            register, bit = self.gates[base]
            if not self.values[register] >> bit & 1:
                raise Stopped(f"RCC: the block at 0x{base:08x} has no clock")


class Gpio(Block):
    def __init__(self, modes: int, speeds: int = 0) -> None:
        super().__init__(
            "GPIO", {0x00: modes, 0x04: 0, 0x08: speeds, 0x0C: 0, 0x14: 0, 0x20: 0, 0x24: 0}
        )

    def speed(self, pin: int) -> int:
        return self.values[0x08] >> 2 * pin & 3

    def function(self, pin: int) -> int | None:
        """The alternate function; None if the pin has none."""
        if self.values[0x00] >> 2 * pin & 3 != 2:
            return None
        return self.values[0x20 + 4 * (pin // 8)] >> 4 * (pin % 8) & 15


class Usart(Block):
    """The one with ISR and ICR, or the older one with SR and DR, whose registers are others. A
    byte that has no place waits in the line."""

    def __init__(self, chip: Stm32, pins: Sequence[int], is_old: bool = False) -> None:
        at = (0x0C, 0x08, 0x00, 0x04, 0x04) if is_old else (0x00, 0x0C, 0x1C, 0x24, 0x28)
        self.control, self.rate, self.status, self.received, self.sent = at
        self.enable = 1 << (13 if is_old else 0)
        others = (0x10, 0x14) if is_old else (0x04, 0x08, 0x2C)
        super().__init__("USART", dict.fromkeys((self.control, self.rate, *others), 0))
        self.chip, self.pins, self.others, self.is_old = chip, pins, others, is_old

    def _check(self, direction: int) -> None:
        control = self.values[self.control]
        if not control & self.enable or not control & direction:
            raise Stopped("USART: not enabled")
        baud = self.chip.usart_hz() / max(self.values[self.rate], 1)
        if abs(baud / BAUD - 1) > 0.01 or any(self.values[at] for at in self.others):
            raise Stopped(f"USART: {baud:.0f} Bd")
        if any(self.chip.pins.function(pin) != 7 for pin in self.pins):
            raise Stopped("USART: its pins are not its own")

    def _has_byte(self) -> bool:
        wanted = self.enable | 1 << 2
        return self.values[self.control] & wanted == wanted and self.chip.line.look(1) > 0

    def load(self, offset: int) -> int:
        if offset == self.status:
            return 0xC0 | (0x20 if self._has_byte() else 0)
        if offset == self.received:
            self._check(1 << 2)
            if not self.chip.line.received:
                raise Stopped("USART: read of its data without a byte")
            return self.chip.line.received.popleft()
        return super().load(offset)

    def store(self, offset: int, value: int) -> None:
        if offset == self.sent:
            self._check(1 << 3)
            self.chip.line.send(value & 0xFF)
        elif offset == 0x20 and not self.is_old:
            pass  # clears flags, of which none is ever set here
        elif offset == self.rate and self.values[self.control] & self.enable:
            raise Stopped("USART: BRR written while it is enabled")
        else:
            super().store(offset, value)

    def asserts_interrupt(self) -> bool:
        return bool(self.values[self.control] >> 5 & 1) and self._has_byte()


class Timer(Block):
    """TIM2, counting up over 32 bits."""

    def __init__(self, chip: Stm32) -> None:
        super().__init__("TIM2", {0x00: 0, 0x28: 0, 0x2C: 0xFFFFFFFF})
        self.chip = chip
        self.prescaler = 1
        self.start = 0

    def _ticks(self) -> int:
        return self.chip.now(self.chip.timer_hz()) // self.prescaler

    def load(self, offset: int) -> int:
        if offset != 0x24:
            return super().load(offset)
        self.chip.look_at_timer()
        return (self._ticks() - self.start) & 0xFFFFFFFF if self.values[0x00] & 1 else 0

    def store(self, offset: int, value: int) -> None:
        if offset == 0x14 and value == 1:
            self.prescaler = self.values[0x28] + 1
            self.start = self._ticks()
        else:
            super().store(offset, value)


class Watchdog(Block):
    """IWDG."""

    def __init__(self, chip: Stm32) -> None:
        super().__init__("IWDG", {0x04: 0, 0x08: 0xFFF, 0x0C: 0})
        self.chip = chip
        self.is_running = self.is_open = False
        self.fed = 0

    def seconds_left(self) -> float:
        period = (self.values[0x08] + 1) * (4 << min(self.values[0x04], 6)) / 32000
        return period - (self.chip.now(1000) - self.fed) / 1000

    def store(self, offset: int, value: int) -> None:
        if offset == 0x00:
            self.is_open = value == 0x5555
            self.is_running = self.is_running or value == 0xCCCC
            if value == 0xAAAA and self.is_running and self.seconds_left() < 0:
                self.chip.bite()  # it has, before this
            if value in (0xAAAA, 0xCCCC):
                self.fed = self.chip.now(1000)
        elif offset in (0x04, 0x08) and self.is_open:
            super().store(offset, value)
        else:
            raise Stopped(f"IWDG: {value:#x} to register {offset:#x}")


class Bank:
    """One bank of flash and its controller's lock: cells, and words on their way there."""

    def __init__(self, chip: Stm32, first: int, size: int, unit: int) -> None:
        self.chip, self.first, self.size, self.unit = chip, first, size, unit
        self.keys: list[int] = []
        self.is_locked = True
        self.busy = 0
        self.waiting: list[int] = []  # places of words of a unit that is not whole

    def key(self, value: int) -> None:
        self.keys.append(value)
        if not self.is_locked or self.keys != list(KEYS[: len(self.keys)]):
            raise Stopped(f"flash: key {value:#x} out of turn")
        self.is_locked = len(self.keys) < len(KEYS)

    def lock(self) -> None:
        if self.waiting or self.busy:
            raise Stopped("flash: locked in the middle of something")
        self.is_locked = True
        self.keys = []

    def is_busy(self) -> bool:
        """Asked by reading the status register."""
        self.busy = max(self.busy - 1, 0)
        return self.busy > 0

    def erase(self, offset: int, size: int) -> None:
        self._must_be_ready()
        if offset + size > self.size:
            raise Stopped(f"flash: erase at {offset:#x} of a bank")
        at = self.first + offset
        self.chip.cells[at : at + size] = b"\xff" * size
        self.busy = BUSY_READS

    def program(self, place: int) -> None:
        """A word of a unit, in order, none twice: it has an ECC."""
        self._must_be_ready()
        wanted = self.waiting[-1] + 4 if self.waiting else place - place % self.unit
        if place != wanted:
            raise Stopped(f"flash: word at {place:#x} of a unit of {self.unit} B, out of order")
        if not self.waiting and self.chip.cells[place : place + self.unit] != b"\xff" * self.unit:
            raise Stopped(f"flash: the unit at {place:#x} is not erased")
        self.waiting.append(place)
        if 4 * len(self.waiting) == self.unit:
            self.waiting = []
            self.busy = BUSY_READS

    def _must_be_ready(self) -> None:
        if self.is_locked or self.busy:
            raise Stopped("flash: locked, or busy")


class FlashL4(Block):
    """RM0351, "Embedded Flash memory": pages of 2 kB in two banks, double words."""

    def __init__(self, chip: Stm32) -> None:
        super().__init__("FLASH", {0x00: 0x600, 0x10: 0, 0x14: 0xC0000000, 0x18: 0})
        self.chip = chip
        self.bank = Bank(chip, 0, len(chip.cells), 8)  # one lock for both
        self.is_stale = False  # caches hold what was there before

    def load(self, offset: int) -> int:
        return 1 << 16 if offset == 0x10 and self.bank.is_busy() else super().load(offset)

    def store(self, offset: int, value: int) -> None:
        if offset == 0x00:
            caches = value >> 9 & 3
            if value >> 11 & 3 and caches:
                raise Stopped("FLASH: a cache is reset while it is on")
            self.is_stale = self.is_stale and value >> 11 & 3 != 3
            if self.is_stale and caches:
                raise Stopped("FLASH: a cache is on that holds what was there before")
            super().store(offset, value)
        elif offset == 0x08:
            self.bank.key(value)
        elif offset == 0x14:
            self._control(value)
        elif offset == 0x18:
            self.values[0x18] &= ~value
        elif offset != 0x10:  # flags, of which none is ever set here
            super().store(offset, value)

    def _control(self, value: int) -> None:
        if self.bank.is_locked:
            raise Stopped("FLASH: CR is locked")
        if value >> 31:
            self.bank.lock()
        elif value >> 16 & 1:
            if value & 0xFFFF & ~0x802 & ~(0xFF << 3):
                raise Stopped(f"FLASH: CR {value:#x}")
            self._must_not_cache_data()
            at = (value >> 11 & 1) * 0x80000 + (value >> 3 & 0xFF) * 0x800
            self.bank.erase(at, 0x800)
            self.is_stale = True
            value &= ~(1 << 16)
        super().store(0x14, value)

    def program(self, place: int) -> None:
        if self.values[0x14] & 0x7 != 1:
            raise Stopped(f"FLASH: store to {place:#x} without PG")
        self._must_not_cache_data()
        self.bank.program(place)
        self.is_stale = True

    def _must_not_cache_data(self) -> None:
        if self.values[0x00] >> 10 & 1:
            raise Stopped("FLASH: the data cache is on, which ES0250 says corrupts it")


class FlashH7(Block):
    """RM0433, "Embedded flash memory": two banks of eight sectors, words of 32 bytes."""

    def __init__(self, chip: Stm32) -> None:
        both = {bank + register: 0 for bank in (0, 0x100) for register in (0x10, 0x14)}
        super().__init__("FLASH", {0x00: 0x37, 0x0C: 0x31, 0x10C: 0x31, **both})
        self.banks = [Bank(chip, 0, 0x100000, 32), Bank(chip, 0x100000, 0x100000, 32)]

    def load(self, offset: int) -> int:
        bank, register = self.banks[offset >> 8], offset & 0xFF
        return 1 << 2 if register == 0x10 and bank.is_busy() else super().load(offset)

    def store(self, offset: int, value: int) -> None:
        bank, register = self.banks[offset >> 8], offset & 0xFF
        if register == 0x04:
            bank.key(value)
        elif register == 0x0C:
            if bank.is_locked:
                raise Stopped("FLASH: CR is locked")
            if value & 1:
                bank.lock()
            elif value >> 7 & 1:
                if value & 0x7F != 0x34:
                    raise Stopped(f"FLASH: CR {value:#x}")
                bank.erase((value >> 8 & 7) * 0x20000, 0x20000)
                value &= ~(1 << 7)
            super().store(offset, value)
        elif register == 0x14:
            self.values[offset - 4] &= ~value
        else:
            super().store(offset, value)

    def fail(self, place: int) -> None:
        """A word whose ECC is beyond repair has been read."""
        self.values[0x10 + 0x100 * (place >> 20)] |= 1 << 26

    def program(self, place: int) -> None:
        number = place >> 20
        if self.values[0x0C + 0x100 * number] & 0xE != 2:
            raise Stopped(f"FLASH: store to {place:#x} without PG")
        self.banks[number].program(place)


class Stm32(CortexM):
    flash_base = 0x08000000
    block_bytes = 0x400
    rcc_base: ClassVar[int]
    pins: Gpio

    @abstractmethod
    def usart_hz(self) -> float:
        """Of the clock the console's USART gets."""

    @abstractmethod
    def timer_hz(self) -> int:
        """Of the clock TIM2 gets."""

    @property
    @abstractmethod
    def rcc(self) -> Rcc: ...

    def check_block(self, base: int) -> None:
        self.rcc.check(base)

    def flags(self) -> int:
        """What RCC tells of the reset that comes."""
        is_on = self.reason != self.reasons[0]
        return 0 if is_on and self.blocks and self.rcc.forgets() else self.reason

    def store(self, address: int, value: int) -> None:
        super().store(address, value)
        if address - address % self.block_bytes == self.rcc_base:
            self.forget_blocks()


class RccL4(Rcc):
    def __init__(self, flags: int) -> None:
        registers = {
            0x00: 0x63, 0x08: 0, 0x0C: 0x1000, 0x4C: 0, 0x58: 0, 0x60: 0, 0x88: 0, 0x94: flags,
        }  # fmt: skip
        gates = {0x48000400: (0x4C, 1), 0x40000000: (0x58, 0), 0x40013800: (0x60, 14)}
        super().__init__(registers, gates, (0x94, 23))

    def pll_hz(self) -> int:
        c = self.values[0x0C]
        source = {1: 4_000_000, 2: 16_000_000}.get(c & 3)
        if source is None or not c >> 24 & 1:
            raise Stopped("RCC: the PLL has no source, or no output R")
        vco = source // ((c >> 4 & 7) + 1) * (c >> 8 & 0x7F)
        if not 64_000_000 <= vco <= 344_000_000:
            raise Stopped(f"RCC: the PLL's VCO at {vco} Hz")
        return vco // (2 * (c >> 25 & 3) + 2)

    def core_hz(self) -> int:
        source = self.values[0x08] & 3
        return self.pll_hz() if source == 3 else 16_000_000 if source == 1 else 4_000_000

    def load(self, offset: int) -> int:
        value = super().load(offset)
        if offset == 0x00:
            value |= (value >> 8 & 1) << 10 | (value >> 24 & 1) << 25
        elif offset == 0x08:
            value |= (value & 3) << 2
        return value


class Stm32L475(Stm32):
    """Console: USART1 on PB6 and PB7."""

    model = "CORTEX_M4"
    rcc_base = 0x40021000
    reasons = (0x0C000600, 0x14000600, 0x24000600)  # CSR: BOR and pin; software; IWDG
    ranges = (
        (0x1FFF7000, 0x1000),
        (0x40000000, 0x30000),
        (0x48000000, 0x1000),
    )

    def power_up(self) -> None:
        self._rcc = RccL4(self.flags())
        self.torn_told = False  # of the load that is done once more
        self.flash = FlashL4(self)
        self.pins = Gpio(0xFFFFFEBF)
        self.usart = Usart(self, (6, 7))
        identity = {0x190 + 4 * i: word for i, word in enumerate(UNIQUE_ID)}
        self.blocks = {
            0x1FFF7400: Block("UID", identity),
            0x40000000: Timer(self),
            0x40003000: Watchdog(self),
            0x40013800: self.usart,
            self.rcc_base: self._rcc,
            0x40022000: self.flash,
            0x48000400: self.pins,
        }
        self.interrupts = {37: self.usart}

    @property
    def rcc(self) -> Rcc:
        return self._rcc

    def timer_hz(self) -> int:
        return self._rcc.core_hz()

    def usart_hz(self) -> float:
        rcc = self._rcc.values
        if rcc[0x88] & 3 == 2 and rcc[0x00] >> 8 & 1:
            return 16_000_000
        return self._rcc.core_hz()

    def store(self, address: int, value: int) -> None:
        super().store(address, value)
        if address == 0x40021008:
            waits = self.flash.values[0x00] & 7
            if self._rcc.core_hz() > (waits + 1) * 16_000_000:
                raise Stopped(f"FLASH: {waits} wait states are too few")

    def program(self, address: int, word: int) -> None:
        self.flash.program(address)

    def read_torn(self, place: int) -> None:
        """By NMI, then it goes on with whatever was read; a line in the cache tells nothing."""
        told = self.torn_told
        self.torn_told = not told
        if not told and not self.flash.values[0x00] >> 10 & 1:
            self.flash.values[0x18] = 1 << 31
            self.nmi()


class RccH7(Rcc):
    def __init__(self, flags: int) -> None:
        registers = {
            0x00: 0x25, 0x10: 0, 0x18: 0, 0x1C: 0, 0x20: 0, 0x28: 0x02020200, 0x2C: 0x01FF0000,
            0x30: 0x01010280, 0xD0: flags, 0xE0: 0, 0xE8: 0,
        }  # fmt: skip
        gates = {0x58020C00: (0xE0, 3), 0x40000000: (0xE8, 0), 0x40004800: (0xE8, 18)}
        super().__init__(registers, gates, (0xD0, 16))

    def load(self, offset: int) -> int:
        value = super().load(offset)
        if offset == 0x00:
            value |= (value >> 24 & 1) << 25
        elif offset == 0x10:
            value |= (value & 7) << 3
        return value

    def store(self, offset: int, value: int) -> None:
        if offset in (0x28, 0x2C, 0x30) and self.values[0x00] >> 24 & 1:
            raise Stopped("RCC: the PLL is changed while it is on")
        super().store(offset, value)

    def core_hz(self) -> int:
        if self.values[0x10] & 7 != 3:
            return 64_000_000
        select, divide, config = (self.values[at] for at in (0x28, 0x30, 0x2C))
        reference = 64_000_000 // max(select >> 4 & 0x3F, 1)
        if select & 3 or not config >> 16 & 1 or config >> 2 & 3 != 3 or config >> 1 & 1:
            raise Stopped("RCC: PLL1 is not set up for the HSI and a wide range")
        vco = reference * ((divide & 0x1FF) + 1)
        if not 8e6 <= reference <= 16e6 or not 192e6 <= vco <= 836e6:
            raise Stopped(f"RCC: PLL1 from {reference} Hz, at {vco} Hz")
        return vco // ((divide >> 9 & 0x7F) + 1)

    def bus_hz(self) -> int:
        return self.core_hz() // (2 if self.values[0x18] & 15 == 8 else 1)

    def apb1_divider(self) -> int:
        return 2 if self.values[0x1C] >> 4 & 7 == 4 else 1


class PowerH7(Block):
    def __init__(self, is_first: bool) -> None:
        super().__init__("PWR", {0x04: 0, 0x0C: 6 if is_first else 2, 0x18: 0x4000})

    def load(self, offset: int) -> int:
        value = super().load(offset)
        chosen = not self.values[0x0C] >> 2 & 1
        return value | (chosen << 13 if offset in (0x04, 0x18) else 0)

    def store(self, offset: int, value: int) -> None:
        if offset == 0x0C and not self.values[0x0C] >> 2 & 1:
            raise Stopped("PWR: the supply is chosen once more")
        super().store(offset, value)


class Stm32H743(Stm32):
    """Console: USART3 on PD8 and PD9."""

    model = "CORTEX_M7"
    rcc_base = 0x58024400
    reasons = (0x00FE0000, 0x01440000, 0x04440000)  # RSR: power; software; IWDG1
    ranges = (
        (0x1FF1E000, 0x1000),
        (0x40000000, 0x30000),
        (0x51008000, 0x1000),
        (0x52002000, 0x1000),
        (0x58000000, 0x30000),
        (0x5C001000, 0x1000),
    )

    def power_up(self) -> None:
        self._rcc = RccH7(self.flags())
        self.flash = FlashH7(self)
        self.pins = Gpio(0xFFFFFFFF)
        self.power = PowerH7(self.reason == self.reasons[0])
        self.usart = Usart(self, (8, 9))
        self.blocks = {
            0x1FF1E800: Block("UID", {4 * i: word for i, word in enumerate(UNIQUE_ID)}),
            0x40000000: Timer(self),
            0x40004800: self.usart,
            0x52002000: self.flash,
            0x51008000: Block("AXI", {0x108: 0}),
            0x5C001000: Block("DBGMCU", {0x000: 0x10036450}),  # revision Y
            0x58004800: Watchdog(self),
            0x58020C00: self.pins,
            self.rcc_base: self._rcc,
            0x58024800: self.power,
        }
        self.interrupts = {39: self.usart}

    @property
    def rcc(self) -> Rcc:
        return self._rcc

    def usart_hz(self) -> float:
        return self._rcc.bus_hz() / self._rcc.apb1_divider()

    def timer_hz(self) -> int:
        return self._rcc.bus_hz()

    def store(self, address: int, value: int) -> None:
        super().store(address, value)
        if address == 0x58024410:
            if not self.blocks[0x51008000].values[0x108] & 1:
                raise Stopped("AXI: its SRAM is read wrongly, ES0392 says")
            bus = self._rcc.bus_hz()
            scale = self.power.values[0x18] >> 14 & 3
            if bus > 200e6 or (bus > 90e6 and scale != 3):
                raise Stopped(f"RCC: a bus of {bus} Hz at voltage scale {scale}")
            if bus > 185e6 and self.flash.values[0x00] != 0x22:
                raise Stopped("FLASH: too few wait states")

    def program(self, address: int, word: int) -> None:
        self.flash.program(address)

    def read_torn(self, place: int) -> None:
        self.flash.fail(place)
        if not self.ignores_bus_faults():
            raise Stopped(f"bus fault: the ECC of the word at {place:#x}")


class RccF4(Rcc):
    def __init__(self, flags: int) -> None:
        registers = {
            0x00: 0x83, 0x04: 0x24003010, 0x08: 0, 0x30: 0x100000, 0x40: 0, 0x44: 0, 0x74: flags,
        }  # fmt: skip
        gates = {
            0x40020000: (0x30, 0), 0x40020400: (0x30, 1), 0x40000000: (0x40, 0),
            0x40004800: (0x40, 18), 0x40013000: (0x44, 12),
        }  # fmt: skip
        super().__init__(registers, gates, (0x74, 24))

    def load(self, offset: int) -> int:
        value = super().load(offset)
        if offset == 0x00:
            value |= (value >> 16 & 1) << 17 | (value >> 24 & 1) << 25
        elif offset == 0x08:
            value |= (value & 3) << 2
        return value

    def store(self, offset: int, value: int) -> None:
        if offset == 0x04 and self.values[0x00] >> 24 & 1:
            raise Stopped("RCC: the PLL is changed while it is on")
        super().store(offset, value)

    def core_hz(self) -> int:
        if self.values[0x08] & 3 != 2:
            return 16_000_000
        c = self.values[0x04]
        source = FEATHER_CRYSTAL_HZ if c >> 22 & 1 else 16_000_000
        if c >> 22 & 1 and not self.values[0x00] >> 16 & 1:
            raise Stopped("RCC: the PLL's crystal is off")
        reference = source // max(c & 0x3F, 1)
        vco = reference * (c >> 6 & 0x1FF)
        if not 1e6 <= reference <= 2e6 or not 100e6 <= vco <= 432e6:
            raise Stopped(f"RCC: the PLL from {reference} Hz, at {vco} Hz")
        return vco // (2 * (c >> 16 & 3) + 2)

    def divider(self, shift: int) -> int:
        """Of APB1 (10) or APB2 (13)."""
        field = self.values[0x08] >> shift & 7
        return 2 << (field & 3) if field & 4 else 1


class Spi(Block):
    """SPI 1 as a master of 8 bits, with the flash on its lines."""

    def __init__(self, chip: Stm32F405) -> None:
        super().__init__("SPI", {0x00: 0, 0x04: 0})
        self.chip = chip
        self.received: list[int] = []

    def load(self, offset: int) -> int:
        if offset == 0x08:
            return 2 | bool(self.received)
        if offset == 0x0C:
            if not self.received:
                raise Stopped("SPI: read of DR without a byte")
            return self.received.pop()
        return super().load(offset)

    def store(self, offset: int, value: int) -> None:
        if offset != 0x0C:
            super().store(offset, value)
            return
        if self.chip.nor.is_fresh:
            self._check()
        if self.received:
            raise Stopped("SPI: a byte is overrun")
        self.received.append(self.chip.nor.exchange(value & 0xFF))

    def _check(self) -> None:
        """At the start of a command."""
        clock = self.chip.apb2_hz() >> (self.values[0x00] >> 3 & 7) + 1
        if self.values[0x00] & ~0x38 != 0x344 or clock > FEATHER_NOR_HZ:
            raise Stopped(f"SPI: CR1 {self.values[0x00]:#x}, {clock} Hz")
        if any(self.chip.pins.function(pin) != 5 for pin in (3, 4, 5)):
            raise Stopped("SPI: its pins are not its own")
        if any(clock > FEATHER_PIN_HZ[self.chip.pins.speed(pin)] for pin in (3, 5)):
            raise Stopped(f"SPI: pins that are too slow for {clock} Hz")


class SelectPort(Gpio):
    """Port A: its pin 15 selects the flash."""

    def __init__(self, chip: Stm32F405) -> None:
        super().__init__(0xA8000000)
        self.chip = chip

    def store(self, offset: int, value: int) -> None:
        if offset == 0x18:
            if value & ~(1 << 31 | 1 << 15):
                raise Stopped(f"GPIO: BSRR {value:#x}")
            self.values[0x14] = value & 1 << 15
        else:
            super().store(offset, value)
        is_output = self.values[0x00] >> 30 == 1
        self.chip.nor.select(is_output and not self.values[0x14])


class Stm32F405(Stm32):
    """The Feather's: its flash file is a serial NOR's. Console: USART3 on PB10 and PB11."""

    model = "CORTEX_M4"
    rcc_base = 0x40023800
    reasons = (0x0E000000, 0x14000000, 0x24000000)  # CSR: power; software; IWDG
    ranges = ((0x1FFF7000, 0x1000), (0x40000000, 0x30000))

    def map_flash(self, boot: bytes) -> None:
        readable = self.unicorn.UC_PROT_READ | self.unicorn.UC_PROT_EXEC
        self.uc.mem_map(self.flash_base, 0x100000, readable)
        self.uc.mem_write(self.flash_base, boot)

    def power_up(self) -> None:
        self._rcc = RccF4(self.flags())
        self.nor = NorLine(Nor(self.cells))
        self.pins = Gpio(0x00000280, 0x000000C0)
        self.usart = Usart(self, (10, 11), is_old=True)
        self.waits = Block("FLASH", {0x00: 0})
        self.blocks = {
            0x1FFF7800: Block("UID", {0x210 + 4 * i: word for i, word in enumerate(UNIQUE_ID)}),
            0x40000000: Timer(self),
            0x40003000: Watchdog(self),
            0x40004800: self.usart,
            0x40013000: Spi(self),
            0x40020000: SelectPort(self),
            0x40020400: self.pins,
            self.rcc_base: self._rcc,
            0x40023C00: self.waits,
        }
        self.interrupts = {39: self.usart}

    @property
    def rcc(self) -> Rcc:
        return self._rcc

    def usart_hz(self) -> float:
        return self._rcc.core_hz() / self._rcc.divider(10)

    def apb2_hz(self) -> int:
        return self._rcc.core_hz() // self._rcc.divider(13)

    def timer_hz(self) -> int:
        divider = self._rcc.divider(10)
        return self._rcc.core_hz() // divider * (1 if divider == 1 else 2)

    def store(self, address: int, value: int) -> None:
        super().store(address, value)
        if address == 0x40023808:
            core = self._rcc.core_hz()
            if core > 30e6 * ((self.waits.values[0x00] & 7) + 1):
                raise Stopped("FLASH: too few wait states")
            if self.usart_hz() > 42e6 or self.apb2_hz() > 84e6:
                raise Stopped("RCC: a peripheral bus is too fast")

    def program(self, address: int, word: int) -> None:
        raise Stopped(f"store to the flash at {address:#x}")
