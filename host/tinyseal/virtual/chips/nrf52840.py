"""Nordic nRF52840: CLOCK and POWER, UART0, TIMER0, WDT, NVMC, FICR, and what of GPIO and UICR it
takes. After the nRF52840 Product Specification 1.7 and nrf52840_bitfields.h of Nordic's MDK."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tinyseal.virtual.chips.chip import Stopped
from tinyseal.virtual.chips.cortexm import Block, CortexM

PAGE_BYTES: Final = 4096
MOST_WRITES: Final = 2  # of a word between erases: nWRITE
DEVICE_ID: Final = (0xCAFE0123, 0x89ABCDEF)
TX_PIN, RX_PIN = 6, 8
TIMER_HZ: Final = 16_000_000


class ClockPower(Block):
    """CLOCK and POWER share their addresses."""

    def __init__(self, reason: int) -> None:
        super().__init__("POWER", {0x400: reason, 0x100: 0})
        self.has_crystal = False

    def store(self, offset: int, value: int) -> None:
        if offset == 0x000 and value == 1:
            self.values[0x100] = 1
            self.has_crystal = True
        elif offset == 0x400:
            self.values[0x400] &= ~value
        else:
            super().store(offset, value)


class Gpio(Block):
    """P0: only where pins are set up."""

    def __init__(self) -> None:
        configurations = {0x700 + 4 * pin: 2 for pin in range(32)}  # input, disconnected
        super().__init__("GPIO", {0x504: 0, **configurations})

    def store(self, offset: int, value: int) -> None:
        if offset == 0x508:
            self.values[0x504] |= value
        else:
            super().store(offset, value)


class Uart(Block):
    """UART0, the one without EasyDMA. Its FIFO is six bytes deep; the event comes for each."""

    def __init__(self, chip: Nrf52840, clock: ClockPower, gpio: Gpio) -> None:
        disconnected = {0x508: 0xFFFFFFFF, 0x50C: 0xFFFFFFFF, 0x510: 0xFFFFFFFF, 0x514: 0xFFFFFFFF}
        start = {0x108: 0, 0x11C: 0, 0x124: 0, 0x480: 0, 0x500: 0, 0x524: 0x04000000, 0x56C: 0}
        super().__init__("UART", {**start, **disconnected})
        self.line, self.clock, self.gpio = chip.line, clock, gpio
        self.sends = self.receives = False
        self.enabled = 0  # interrupts

    def _check(self) -> None:
        v, pins = self.values, self.gpio.values
        if v[0x500] != 4 or not self.clock.has_crystal:
            raise Stopped("UART: not enabled, or without the crystal, whose rate is too coarse")
        if (v[0x50C], v[0x514], v[0x524], v[0x56C]) != (TX_PIN, RX_PIN, 0x01D7E000, 0):
            raise Stopped("UART: other pins, or another rate than 115200 Bd, 8N1")
        if pins[0x700 + 4 * TX_PIN] & 3 != 3 or not pins[0x504] >> TX_PIN & 1:
            raise Stopped("UART: its TX pin is not an output that rests high")
        if pins[0x700 + 4 * RX_PIN] & 3:
            raise Stopped("UART: its RX pin is not a connected input")

    def _arrived(self) -> None:
        if self.receives and not self.values[0x108] and self.line.look(6):
            self.values[0x108] = 1

    def load(self, offset: int) -> int:
        if offset == 0x108:
            self._arrived()
        if offset == 0x518:
            if not self.line.received:
                raise Stopped("UART: read of RXD without a byte")
            return self.line.received.popleft()
        if offset == 0x304:
            return self.enabled
        return super().load(offset)

    def store(self, offset: int, value: int) -> None:
        if offset in (0x000, 0x008):
            self._check()
            self.receives, self.sends = self.receives or not offset, self.sends or offset == 8
        elif offset == 0x51C:
            if not self.sends:
                raise Stopped("UART: TXD before STARTTX")
            self._check()
            self.line.send(value & 0xFF)
            self.values[0x11C] = 1
        elif offset in (0x304, 0x308):
            self.enabled = self.enabled | value if offset == 0x304 else self.enabled & ~value
        elif offset == 0x480:
            self.values[0x480] &= ~value
        elif offset in (0x508, 0x50C, 0x510, 0x514) and self.values[0x500]:
            raise Stopped("UART: a pin is chosen while it is enabled")
        else:
            super().store(offset, value)

    def asserts_interrupt(self) -> bool:
        self._arrived()
        return bool(self.enabled >> 2 & 1 and self.values[0x108])


class Timer(Block):
    """TIMER0, in timer mode."""

    def __init__(self, chip: Nrf52840) -> None:
        super().__init__("TIMER", {0x504: 0, 0x508: 0, 0x510: 4, 0x540: 0})
        self.chip = chip
        self.started: int | None = None

    def load(self, offset: int) -> int:
        if offset == 0x540:
            self.chip.look_at_timer()
        return super().load(offset)

    def store(self, offset: int, value: int) -> None:
        now = self.chip.now(TIMER_HZ)
        if offset == 0x000:
            self.started = self.started if self.started is not None else now
        elif offset == 0x004:
            self.started = None
        elif offset in (0x508, 0x510) and self.started is not None:
            raise Stopped("TIMER: set up while it runs")
        elif offset == 0x040:
            ticks = 0 if self.started is None else now - self.started >> self.values[0x510]
            bits = (16, 8, 24, 32)[self.values[0x508] & 3]
            self.values[0x540] = ticks & (1 << bits) - 1
        else:
            super().store(offset, value)


class Watchdog(Block):
    """WDT: its registers are fixed once it runs."""

    def __init__(self, chip: Nrf52840) -> None:
        super().__init__("WDT", {0x504: 0xFFFFFFFF, 0x508: 1, 0x50C: 1, 0x400: 0})
        self.chip = chip
        self.fed = 0

    def seconds_left(self) -> float:
        return (self.values[0x504] + 1) / 32768 - (self.chip.now(1000) - self.fed) / 1000

    def store(self, offset: int, value: int) -> None:
        if offset == 0x000:
            self.values[0x400] = 1
            self.fed = self.chip.now(1000)
        elif offset == 0x600:
            if value != 0x6E524635 or not self.values[0x508] & 1:
                raise Stopped("WDT: not reloaded as it wants it")
            if self.values[0x400] and self.seconds_left() < 0:
                self.chip.bite()  # it has, before this
            self.fed = self.chip.now(1000)
        elif not self.values[0x400]:
            super().store(offset, value)


class Nvmc(Block):
    """The flash's controller. It is always ready: the processor waits."""

    def __init__(self, chip: Nrf52840) -> None:
        super().__init__("NVMC", {0x400: 1, 0x504: 0, 0x540: 0})
        self.chip = chip
        self.writes: dict[int, int] = {}

    def store(self, offset: int, value: int) -> None:
        if offset == 0x504 and value > 2:
            raise Stopped(f"NVMC: CONFIG {value}")
        if offset != 0x508:
            super().store(offset, value)
            return
        if self.values[0x504] != 2 or value % PAGE_BYTES or value >= len(self.chip.cells):
            raise Stopped(f"NVMC: erase of {value:#x} in mode {self.values[0x504]}")
        self.chip.cells[value : value + PAGE_BYTES] = b"\xff" * PAGE_BYTES
        for word in range(value, value + PAGE_BYTES, 4):
            self.writes.pop(word, None)

    def program(self, place: int, word: int) -> None:
        self.writes[place] = self.writes.get(place, 0) + 1
        if self.values[0x504] != 1 or self.writes[place] > MOST_WRITES:
            raise Stopped(f"NVMC: store to {place:#x} in mode {self.values[0x504]}, or once more")
        if word & ~self.chip.word(place):
            raise Stopped(f"NVMC: store of ones over zeros at {place:#x}")


class Nrf52840(CortexM):
    model = "CORTEX_M4"
    block_bytes = 0x1000
    reasons = (1 << 0, 1 << 2, 1 << 1)  # RESETREAS: pin, software, watchdog
    ranges = ((0x10000000, 0x1000), (0x40000000, 0x40000), (0x50000000, 0x1000))

    def __init__(self, flash: Path, boot: bytes, memory: Sequence[tuple[int, int]]) -> None:
        super().__init__(flash, boot, memory)
        self.nvmc = Nvmc(self)

    def power_up(self) -> None:
        clock, gpio = ClockPower(self.reason), Gpio()
        writes = self.nvmc.writes
        self.nvmc = Nvmc(self)
        self.nvmc.writes = writes
        uart = Uart(self, clock, gpio)
        self.blocks = {
            0x10000000: Block("FICR", {0x060: DEVICE_ID[0], 0x064: DEVICE_ID[1]}),
            0x40000000: clock,
            0x40002000: uart,
            0x40008000: Timer(self),
            0x40010000: Watchdog(self),
            0x4001E000: self.nvmc,
            0x50000000: gpio,
        }
        self.interrupts = {2: uart}

    def program(self, address: int, word: int) -> None:
        self.nvmc.program(address, word)
