"""What a board profile says: one TOML a board, data only, each key known, each number in range.

The profile is the only place a board is described: toolchain, memory map, flash geometry,
partitions, clock, cost and power model, console, flasher, runner and capabilities.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import Field, PrivateAttr

from tinyseal.errors import BoardError
from tinyseal.strict import Strict

BOARDS_DIR: Final = Path(__file__).resolve().parents[2] / "boards"


MAX_ARENA_REGIONS: Final = 2  # CAPSULE_REGIONS


class Core(enum.Enum):
    """Processor cores, by the name the compiler knows them under."""

    M0 = "cortex-m0"
    M0PLUS = "cortex-m0plus"
    M3 = "cortex-m3"
    M4 = "cortex-m4"
    M7 = "cortex-m7"
    M33 = "cortex-m33"
    M55 = "cortex-m55"
    RV32IMC = "rv32imc"
    LX106 = "lx106"
    LX6 = "lx6"
    HOST = "host"

    @property
    def has_dsp(self) -> bool:
        """Armv7E-M's packed 16-bit multiplies (SMLAD)."""
        return self in (Core.M4, Core.M7, Core.M33, Core.M55)

    @property
    def has_mve(self) -> bool:
        """Helium vectors."""
        return self is Core.M55

    @property
    def is_arm(self) -> bool:
        return self.value.startswith("cortex-")


Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]*$", description="lower-case letters, digits, - and _")
]


Address = Annotated[int, Field(ge=0, lt=2**32, description="an address from 0 to 0xffffffff")]


Size = Annotated[int, Field(gt=0, le=2**32, description="a number of bytes, at least 1")]


Count = Annotated[int, Field(gt=0, description="a whole number, at least 1")]


Text = Annotated[str, Field(min_length=1, description="some text")]


Words = Annotated[tuple[str, ...], Field(description="a list of strings")]


Flag = Annotated[bool, Field(description="true or false")]


Milliwatts = Annotated[
    float, Field(gt=0, allow_inf_nan=False, description="a number of milliwatts above 0")
]


class Toolchain(Strict):
    prefix: Annotated[str, Field(description='a prefix such as "arm-none-eabi-"; "" for the host')]
    cflags: Words  # machine flags, given to compiler and linker alike
    package: Text  # Debian package, for the message when it is missing
    # given to the linker instead of cflags, where no library was built for exactly those
    library_cflags: Words | None = None


class Memory(Strict):
    """One address range. The linker places code and constants in `flash`, the rest in `ram`.

    RAM is listed fastest first: that is the order in which the planner fills it, and the first
    also holds data and stack. Of several memories of kind `flash`, the first holds the vectors,
    and the one that [firmware] or else [flash] names all the rest.
    """

    name: Annotated[
        str, Field(pattern=r"^[a-z][a-z0-9_]*$", description="lower-case letters, digits and _")
    ]
    kind: Annotated[Literal["flash", "ram"], Field(description='"flash" or "ram"')]
    base: Address
    bytes: Size
    # how much of it the model's arena may take
    arena_bytes: Annotated[int, Field(ge=0, description="a number of bytes, 0 or more")] = 0

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.bytes


class Flash(Strict):
    """Geometry of the flash that holds the partitions.

    Where the processor does not see it (serial NOR), its memory's base is an address of its own
    for merged files, and [firmware] names another memory for code.
    """

    memory: Name  # which [[memory]] of kind "flash"
    erase_bytes: Size  # smallest erasable unit
    program_bytes: Size  # smallest programmable unit
    endurance_cycles: Count  # guaranteed erase cycles of one unit
    # where instructions are fetched from it, if that is not where data is read
    fetch_base: Address | None = None


Role = Literal["bootloader", "app", "capsule", "counter", "storage", "log"]


MAX_PER_ROLE: Final[dict[str, int]] = {"app": 2, "capsule": 2}  # two slots each; others once


HEADER_BYTES: Final = 0x200  # of our images: a Cortex-M vector table behind it is aligned


# All TLVs of an image with one dependency, encrypted: 296 bytes; and encryption fills the payload
# up to 16.
TLV_BYTES: Final = 320


# Counters in the counter partition, in this order. Each is a ring of two erase units, but for the
# last one: every query moves it, so it gets the rest, to spread the wear.
COUNTERS: Final = ("state", "app", "capsule", "queries")


COUNTER_UNITS: Final = 2


class Partition(Strict):
    """A part of the flash, in whole erase units; `app` and `capsule` come as one or two slots."""

    name: Name
    role: Annotated[
        Role, Field(description=f"one of {', '.join(json.dumps(r) for r in get_args(Role))}")
    ]
    offset: Annotated[int, Field(ge=0, lt=2**32, description="an offset into the flash, from 0")]
    bytes: Size

    @property
    def end(self) -> int:
        return self.offset + self.bytes


def trailer_bytes(slot: Partition, flash: Flash) -> int:
    """What an image leaves free at its slot's end. A slot that is one erase unit has no trailer:
    it could not be erased without the image."""
    return flash.erase_bytes if slot.bytes > flash.erase_bytes else 0


class RamSlot(Strict):
    """Where an image is copied, header first, to be run."""

    address: Address
    bytes: Size

    @property
    def end(self) -> int:
        return self.address + self.bytes


BootMode = Literal["xip", "swap", "ram"]


MAX_SWAP_STEPS: Final = 0x1000  # BOOT_STATE_MAX_STEPS


class Boot(Strict):
    """How images come to run: in place from either slot, in place from slot a, which slot b is
    swapped with, or copied to RAM."""

    mode: Annotated[BootMode, Field(description='"xip", "swap" or "ram"')]
    # What images are signed with: the bootloader knows one of them.
    signature: Annotated[
        Literal["ed25519", "ecdsa-p256"], Field(description='"ed25519" or "ecdsa-p256"')
    ] = "ed25519"
    # The bootloader opens encrypted images: those swapped in or copied to RAM.
    encrypted: Flag = False
    app: RamSlot | None = None  # both with mode "ram", neither with the others
    capsule: RamSlot | None = None


class Rom(Strict):
    """A ROM that copies the bootloader out of its partition, in the vendor's format: its code to
    the memory `code`, all else to the first RAM. Code that runs while the flash does not answer
    lies in `code`, too. The vendor's tools count addresses from the start of the flash."""

    chip: Annotated[Literal["esp32", "esp32c3"], Field(description='"esp32" or "esp32c3"')]
    code: Name  # a [[memory]] of kind "ram"
    flash_mode: Annotated[
        Literal["qio", "qout", "dio", "dout"], Field(description="qio, qout, dio or dout")
    ]
    flash_mhz: Count


class Clock(Strict):
    hz: Annotated[int, Field(gt=0, description="a frequency in hertz, at least 1")]


class Cost(Strict):
    """Turns counted instructions into estimated cycles: an average over inference code."""

    cycles_per_instruction: Annotated[
        float, Field(gt=0, allow_inf_nan=False, description="a number above 0")
    ]


class Power(Strict):
    active_mw: Milliwatts  # core and memories while inferring, at clock.hz
    sleep_mw: Milliwatts  # RAM kept


class Console(Strict):
    baud: Annotated[int, Field(gt=0, description="a bit rate, at least 1")]


class Firmware(Strict):
    """What the firmware's own sources must know."""

    hal: Name  # folder under firmware/hal
    family: Name | None = None  # that of what the maker's chips have in common, if there is one
    uart_base: Address  # registers of the console's UART
    # the number of the UART's receive interrupt; None: it is polled
    uart_irq: Annotated[
        int | None, Field(ge=0, lt=48, description="the number of an interrupt, 0 to 47")
    ] = None
    radio_base: Address | None = None  # registers of what carries BLE's SMP service; None: nothing
    stack_bytes: Size
    # the [[memory]] of kind "flash" that code lies in, where that is not the one of [flash]
    code: Name | None = None


class Services(Strict):
    """RAM the device's services take; what is given here is what they announce."""

    # the largest SMP frame, and so the largest answer to a short request: larger ones make an
    # upload use the line better
    smp_buffer_bytes: Annotated[
        int, Field(ge=256, le=0x8000, description="a number of bytes from 256 to 32768")
    ] = 2048
    # received bytes that are kept while a layer runs, a power of two; two lines of an SMP frame,
    # which clients send at a time, if left out
    uart_ring_bytes: Annotated[
        Literal[16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
        Field(description="a power of two from 16 to 4096"),
    ] = 256
    # whether images can be uploaded: the application then verifies signatures, which takes 10 kB
    # of flash and 3 kB of stack
    smp_images: Flag = True
    metering: Flag = True  # models may be prepaid
    telemetry: Flag = True  # statistics, as far as the owner allows; they lie in a partition "log"


class Staging(Strict):
    """Memory beside the bootloader that holds the first images until it has written them to the
    flash, which no programmer reaches. It is erased, but for that, and no part of [[memory]]."""

    address: Address
    bytes: Size
    mark: Address  # in the flash: the erase unit that says what has been written


class Otp(Strict):
    """One-time bits that anchor the counter of queries: one is burnt every so many."""

    bits: Count  # set aside for this
    # such that they last as long as the counter, if left out
    queries_per_bit: Count | None = None


class Capabilities(Strict):
    """What the hardware offers; security claims stop where these are false."""

    fpu: Flag  # single precision in hardware
    trustzone: Flag  # secure and non-secure worlds (Armv8-M)
    otp: Flag  # one-time programmable bits
    rng: Flag  # true random numbers
    unique_id: Flag  # an id burnt in by the maker


FLASHER_WORDS: Final = ("hex", "bin", "uf2", "port", "serial", "drive")


class Flasher(Strict):
    """How firmware reaches a real board. Filled in: `{hex}`, the merged image; `{uf2}`, the same
    as UF2; `{bin}`, as a BIN from where reset begins, with [staging] filled; `{port}`, the serial
    port; `{serial}`, the serial number of its USB device, by which a probe is chosen; `{drive}`,
    where the bootloader's drive is mounted."""

    binary: Text
    package: Text  # where the binary comes from, for the message when it is missing
    args: Words
    # vendor and product of the USB devices that may carry the port, which is found by them
    usb: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")], ...],
        Field(description='USB ids such as "303a:1001"'),
    ] = ()
    drive: Text | None = None  # the label of that drive
    uf2_family: Address | None = None  # of the chip, where {uf2} is used


Framework = Literal["arduino", "espidf", "zephyr"]


class PlatformIo(Strict):
    """What PlatformIO calls this board, for exports and `scons framework=`."""

    platform: Name
    board: Name
    frameworks: Annotated[
        tuple[Framework, ...],
        Field(description=f"a list of {', '.join(map(json.dumps, get_args(Framework)))}"),
    ]


class Runner(Strict):
    """A virtual board: how to start it. The flash lies at the start of the file that keeps it; all
    of it is erased in a new one. With "qemu", `{elf}` among the arguments stands for the
    bootloader, `{flash}` for that file. With "host", a process is the chip; with "unicorn", one
    that models the chip around Unicorn's processor: the argument names the model of virtual/chips.
    "rp2040js" is the emulator of that name."""

    kind: Annotated[
        Literal["qemu", "host", "rp2040js", "unicorn"],
        Field(description='"qemu", "host", "rp2040js" or "unicorn"'),
    ]
    binary: Text  # that must be there
    package: Text  # Debian package
    args: Words
    flash_file_bytes: Size | None = None  # of the whole file; without it, there is none
    # QEMU tells the firmware that a write is done before it is in the file
    flash_write_behind: Flag = False
    # QEMU keeps it in its memory only: it is put there at the start, and taken back at the end
    flash_in_memory: Flag = False


class Board(Strict):
    name: Name
    title: Text
    chip: Text
    core: Annotated[
        Core, Field(description=f"one of {', '.join(json.dumps(c.value) for c in Core)}")
    ]
    toolchain: Toolchain
    memory: tuple[Memory, ...]
    clock: Clock
    cost: Cost
    console: Console
    capabilities: Capabilities
    firmware: Firmware | None = None  # there on every board that runs firmware
    flash: Flash | None = None  # there when a memory of kind "flash" is
    partition: tuple[Partition, ...] = ()
    boot: Boot | None = None  # there on every board that boots images
    staging: Staging | None = None  # there where the flash has no address and no programmer
    rom: Rom | None = None  # there where the bootloader does not run in place
    services: Services = Services()
    otp: Otp | None = None  # there if and only if the capability is
    power: Power | None = None
    flasher: Flasher | None = None
    platformio: PlatformIo | None = None
    runner: Runner | None = None

    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path:
        """The profile it was read from."""
        return self._file or BOARDS_DIR / f"{self.name}.toml"

    @property
    def arena_regions(self) -> tuple[Memory, ...]:
        """RAM the arena may use, fastest first; at most CAPSULE_REGIONS of them."""
        return tuple(m for m in self.memory if m.arena_bytes)

    @property
    def code_memory(self) -> str | None:
        """The memory of code and constants; None on a board without flash."""
        own = self.firmware.code if self.firmware else None
        return own or (self.flash.memory if self.flash else None)

    @property
    def flash_bytes(self) -> int:
        """Room for code and constants; 0 on a board without flash."""
        partitions = self.flash.memory if self.flash else None
        return sum(
            m.bytes
            for m in self.memory
            if m.kind == "flash" and (m.name != partitions or m.name == self.code_memory)
        )

    @property
    def flash_memory(self) -> Memory | None:
        """The memory that [flash] names; None on a board without it."""
        return next((m for m in self.memory if self.flash and m.name == self.flash.memory), None)

    @property
    def fetch_offset(self) -> int:
        """How far above its data an image's instructions are."""
        if self.flash is None or self.flash.fetch_base is None or self.flash_memory is None:
            return 0
        return self.flash.fetch_base - self.flash_memory.base

    @property
    def fetch_views(self) -> tuple[Memory, ...]:
        """The flash once more, where instructions are fetched from it, if that is elsewhere."""
        flash = self.flash_memory
        if flash is None or not self.fetch_offset:
            return ()
        return (flash.model_copy(update={"base": flash.base + self.fetch_offset}),)

    @property
    def file_base(self) -> int:
        """What merged files have for the start of the flash."""
        return 0 if self.rom or self.flash_memory is None else self.flash_memory.base

    @property
    def has_one_place(self) -> bool:
        """Whether an image runs at one address, whichever slot it comes from."""
        return self.boot is not None and self.boot.mode != "xip"

    @property
    def reset_memory(self) -> Memory | None:
        """Where reset begins, and the bootloader lies: the first memory of kind "flash"."""
        return next((m for m in self.memory if m.kind == "flash"), None)

    def image_address(self, image: Literal["app", "capsule"], slot: int) -> int:
        """Where an image's header lies when it runs: in its slot, in slot a, or in RAM."""
        copied = self.boot and (self.boot.app if image == "app" else self.boot.capsule)
        if copied:
            return copied.address
        assert self.flash_memory is not None
        place = self.partitions(image)[0 if self.has_one_place else slot]
        return self.flash_memory.base + place.offset

    def payload_bytes(self, image: Literal["app", "capsule"]) -> int:
        """Room for an image's payload: without header, TLVs, and the trailer at a slot's end."""
        assert self.flash is not None
        partition = self.partitions(image)[0]
        slot = partition.bytes - trailer_bytes(partition, self.flash)
        copied = self.boot and (self.boot.app if image == "app" else self.boot.capsule)
        return min(slot, copied.bytes if copied else slot) - HEADER_BYTES - TLV_BYTES

    @property
    def ram_bytes(self) -> int:
        return sum(m.bytes for m in self.memory if m.kind == "ram")

    def partitions(self, role: Role) -> tuple[Partition, ...]:
        return tuple(p for p in self.partition if p.role == role)

    def counter_areas(self) -> dict[str, tuple[int, int]]:
        """Offset in the flash and bytes of each of COUNTERS. BoardError without the partition."""
        found = self.partitions("counter")
        if not found or self.flash is None:
            raise BoardError(f'{self.name}: has no [[partition]] of role "counter"')
        start, step = found[0].offset, COUNTER_UNITS * self.flash.erase_bytes
        areas = {name: (start + i * step, step) for i, name in enumerate(COUNTERS)}
        last = areas[COUNTERS[-1]][0]
        return {**areas, COUNTERS[-1]: (last, found[0].end - last)}

    def counts(self, counter: str) -> int:
        """Counts of one of COUNTERS until wear or 32 bits end it, each a commit of its own; a
        mount takes two. As firmware/nv/nv_counter.c reckons. BoardError as counter_areas."""
        area = self.counter_areas()[counter][1]
        assert self.flash is not None
        unit, erase = self.flash.program_bytes, self.flash.erase_bytes
        header, word = (-(-size // unit) * unit for size in (16, 4))
        openings = area // erase * self.flash.endurance_cycles
        return int(min(openings * ((erase - header) // word), 2**32 - 1))

    @property
    def queries_per_bit(self) -> int | None:
        """After how many queries a bit of OTP is burnt; None without OTP."""
        if self.otp is None:
            return None
        return self.otp.queries_per_bit or -(-self.counts("queries") // self.otp.bits)

    def seconds(self, instructions: float) -> float:
        """Estimated time of `instructions` at this board's clock."""
        return instructions * self.cost.cycles_per_instruction / self.clock.hz
