"""Board profiles: one TOML a board, data only, every key known and every number in range.

The profile is the only place a board is described: toolchain, memory map, flash geometry,
partitions, clock, cost and power model, console, flasher, runner and capabilities. Loading one
reports every fault at once, a line each: file, key, what was expected.
"""

from __future__ import annotations

import contextlib
import difflib
import enum
import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from tinyseal.errors import BoardError

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


class Strict(BaseModel):
    """A table of a file that people write: every key known, every type exact."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


_Section = TypeVar("_Section", bound=Strict)


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
    that models the chip around Unicorn's processor: the argument names the model of device/chips.
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


def load_board(name: str, boards_dir: Path = BOARDS_DIR) -> Board:
    """The profile `boards/<name>.toml`, or the file `name` if that is a path to a .toml.

    BoardError lists every fault, a line each: file, key, what was expected.
    """
    if is_board_path(name):
        path = Path(name)
        if not path.is_file():
            raise BoardError(f"no board file {name}; boards: {', '.join(board_names(boards_dir))}")
        return read_board(path)
    if name not in board_names(boards_dir):
        raise BoardError(f"no board {name!r}; boards: {', '.join(board_names(boards_dir))}")
    board = read_board(boards_dir / f"{name}.toml")
    if board.name != name:
        raise BoardError(
            f"{name}.toml: name: expected {name!r} as the file says, is {board.name!r}"
        )
    return board


def is_board_path(name: str) -> bool:
    """Whether it names a file, and no board of the project."""
    return name.endswith(".toml") or os.sep in name


def board_names(boards_dir: Path = BOARDS_DIR) -> list[str]:
    return sorted(p.stem for p in boards_dir.glob("*.toml"))


def read_board(path: Path) -> Board:
    """The profile in `path`; BoardError as load_board."""
    shown = path.name if path.parent == BOARDS_DIR else str(path)
    data = read_toml(path, shown)
    faults = [*shape_faults(Board, data), *_sense_faults(data)]
    if faults:
        raise BoardError("\n".join(f"{shown}: {fault}" for fault in faults))
    board = Board.model_validate_json(as_json(data))
    board._file = path.resolve()
    return board


def read_toml(path: Path, shown: str) -> dict[str, Any]:
    """The tables of a file; BoardError names it as `shown`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as e:
        raise BoardError(f"{shown}: cannot be read: {e}") from e
    except tomllib.TOMLDecodeError as e:
        raise BoardError(f"{shown}: is not TOML: {e}") from e


def as_json(value: object) -> str:
    """For pydantic, whose JSON mode takes lists for tuples and strings for enums, and is strict
    in all else."""
    return json.dumps(value, default=str)


def shape_faults(model: type[Strict], data: Mapping[str, Any]) -> Iterator[str]:
    """Unknown keys, missing keys, wrong types, numbers out of range: what keeps `data` from
    being a `model`, a line each."""
    try:
        model.model_validate_json(as_json(data))
    except ValidationError as e:
        for error in e.errors(include_url=False):
            yield _in_plain_words(model, error["loc"], error["type"], error["input"])


def _in_plain_words(
    root: type[Strict], loc: tuple[int | str, ...], kind: str, value: object
) -> str:
    expected, siblings = _expected(root, loc)
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)[1:]
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(loc[-1]), siblings, 1)
        hint = f"did you mean {close[0]}?" if close else f"keys here: {', '.join(siblings)}"
        return f"{key}: unknown key; {hint}"
    if kind == "missing":
        return f"{key}: missing; expected {expected}"
    shown = json.dumps(value, default=str)
    return f"{key}: expected {expected}, is {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _expected(root: type[Strict], loc: Sequence[int | str]) -> tuple[str, list[str]]:
    """What belongs at `loc`, in words, and the keys of the table it is in."""
    model: type[BaseModel] = root
    words, siblings = "a table", list(root.model_fields)
    for part in loc:
        if isinstance(part, int):
            continue
        siblings = [k for k in model.model_fields]
        field = model.model_fields.get(part)
        if field is None:
            break
        inner = [field.annotation, *get_args(field.annotation)]
        tables = [t for t in inner if isinstance(t, type) and issubclass(t, BaseModel)]
        if tables:
            model = tables[0]
            listed = get_args(field.annotation)[-1:] == (Ellipsis,)
            head = f"[[{part}]]" if listed else f"[{part}]"
            words = f"{head} with {', '.join(model.model_fields)}"
        else:
            words = field.description or "another value"
    return words, siblings


def _sense_faults(data: Mapping[str, Any]) -> Iterator[str]:
    """What the numbers say together, as far as each entry is sound by itself."""
    memory = _sound(Memory, data.get("memory"))
    partition = _sound(Partition, data.get("partition"))
    yield from _memory_faults(memory)
    listed = data.get("memory")
    if isinstance(listed, list) and len(memory) == len(listed):
        arenas = sum(1 for m in memory if m.kind == "ram" and m.arena_bytes)
        if not 1 <= arenas <= MAX_ARENA_REGIONS:
            yield (
                f"memory: expected 1 to {MAX_ARENA_REGIONS} RAM memories with arena_bytes, "
                f"has {arenas}"
            )
    flash_names = [m.name for m in memory if m.kind == "flash"]
    if "flash" not in data:
        if flash_names:
            keys = ", ".join(k for k, f in Flash.model_fields.items() if f.is_required())
            yield f"flash: missing; expected [flash] with {keys}, for memory {flash_names[0]}"
        if partition:
            yield "partition: expected none without [flash]"
    for capabilities in _sound(Capabilities, [data.get("capabilities")]):
        if capabilities.otp != ("otp" in data):
            yield "otp: expected [otp] with bits where capabilities.otp is true, and only there"
    for flasher in _sound(Flasher, [data.get("flasher")]):
        yield from _flasher_faults(flasher)
    for firmware in _sound(Firmware, [data.get("firmware")]):
        if firmware.code is not None and firmware.code not in flash_names:
            yield (
                f'firmware.code: expected a memory of kind "flash" '
                f"({', '.join(flash_names) or 'there is none'}), is {json.dumps(firmware.code)}"
            )
    ram_names = [m.name for m in memory if m.kind == "ram"]
    for rom in _sound(Rom, [data.get("rom")]):
        if rom.code not in ram_names:
            yield (
                f'rom.code: expected a memory of kind "ram" '
                f"({', '.join(ram_names) or 'there is none'}), is {json.dumps(rom.code)}"
            )
    for flash in _sound(Flash, [data.get("flash")]):
        if flash.memory not in flash_names:
            yield (
                f'flash.memory: expected a memory of kind "flash" '
                f"({', '.join(flash_names) or 'there is none'}), is {json.dumps(flash.memory)}"
            )
        if flash.erase_bytes % flash.program_bytes:
            yield (
                f"flash.program_bytes: expected a divisor of erase_bytes = {flash.erase_bytes}, "
                f"is {flash.program_bytes}"
            )
        size = next((m.bytes for m in memory if m.name == flash.memory and m.kind == "flash"), None)
        yield from _partition_faults(partition, flash, size)
        for boot in _sound(Boot, [data.get("boot")]):
            yield from _boot_faults(boot, flash, memory, partition)
        for staging in _sound(Staging, [data.get("staging")]):
            yield from _staging_faults(staging, flash, memory, partition)


def _sound(model: type[_Section], entries: object) -> list[_Section]:
    """The entries that are faultless by themselves."""
    sound = []
    for entry in entries if isinstance(entries, list) else []:
        with contextlib.suppress(ValidationError):  # told by _shape_faults
            sound.append(model.model_validate_json(as_json(entry)))
    return sound


def _flasher_faults(flasher: Flasher) -> Iterator[str]:
    used = set(re.findall(r"{(\w*)}", " ".join(flasher.args)))
    for name in sorted(used - set(FLASHER_WORDS)):
        words = ", ".join(f"{{{word}}}" for word in FLASHER_WORDS)
        yield f"flasher.args: expected only {words}, has {{{name}}}"
    for name, key in (("drive", "drive"), ("uf2", "uf2_family")):
        if (name in used) != (getattr(flasher, key) is not None):
            yield f"flasher.{key}: expected where args have {{{name}}}, and only there"


def _memory_faults(memory: Sequence[Memory]) -> Iterator[str]:
    yield from _repeated("memory", (m.name for m in memory))
    for m in memory:
        if m.end > 2**32:
            yield f"memory {m.name}: expected to end below 4 GiB, ends at {m.end:#x}"
        if m.arena_bytes > m.bytes:
            yield (
                f"memory {m.name}: arena_bytes: expected at most bytes = {m.bytes}, "
                f"is {m.arena_bytes}"
            )
        if m.arena_bytes and m.kind != "ram":
            yield f'memory {m.name}: arena_bytes: expected only where kind = "ram"'
    for low, high in pairwise(sorted(memory, key=lambda m: m.base)):
        if low.end > high.base:
            yield (
                f"memory {high.name}: overlaps {low.name}: starts at {high.base:#x}, "
                f"{low.name} ends at {low.end:#x}"
            )


def _partition_faults(
    partitions: Sequence[Partition], flash: Flash, flash_bytes: int | None
) -> Iterator[str]:
    yield from _repeated("partition", (p.name for p in partitions))
    for p in partitions:
        for key, value in (("offset", p.offset), ("bytes", p.bytes)):
            if value % flash.erase_bytes:
                yield (
                    f"partition {p.name}: {key}: expected a multiple of "
                    f"erase_bytes = {flash.erase_bytes:#x}, is {value:#x}"
                )
        if flash_bytes is not None and p.end > flash_bytes:
            yield (
                f"partition {p.name}: expected to end within {flash.memory}'s "
                f"{flash_bytes:#x} bytes, ends at {p.end:#x}"
            )
        least = len(COUNTERS) * COUNTER_UNITS * flash.erase_bytes
        if p.role == "counter" and p.bytes < least:
            yield (
                f"partition {p.name}: bytes: expected {least:#x} at least, {COUNTER_UNITS} erase "
                f"units for each of {', '.join(COUNTERS)}, is {p.bytes:#x}"
            )
        if p.role == "storage" and p.bytes % (2 * flash.erase_bytes):
            yield (
                f"partition {p.name}: bytes: expected two banks, a multiple of "
                f"{2 * flash.erase_bytes:#x}, is {p.bytes:#x}"
            )
        if p.role == "log" and p.bytes < 2 * flash.erase_bytes:
            yield (
                f"partition {p.name}: bytes: expected two erase units at least, "
                f"{2 * flash.erase_bytes:#x}, is {p.bytes:#x}"
            )
    for low, high in pairwise(sorted(partitions, key=lambda p: p.offset)):
        if low.end > high.offset:
            yield (
                f"partition {high.name}: overlaps {low.name}: starts at {high.offset:#x}, "
                f"{low.name} ends at {low.end:#x}"
            )
    for role in get_args(Role):
        slots = [p for p in partitions if p.role == role]
        most = MAX_PER_ROLE.get(role, 1)
        if len(slots) > most:
            yield f'partition: expected at most {most} of role "{role}", has {len(slots)}'
        elif len({p.bytes for p in slots}) > 1:
            sizes = ", ".join(f"{p.name} {p.bytes:#x}" for p in slots)
            yield f'partition: expected slots of role "{role}" of one size, has {sizes}'


def _staging_faults(
    staging: Staging, flash: Flash, memory: Sequence[Memory], partitions: Sequence[Partition]
) -> Iterator[str]:
    found = next((m for m in memory if m.name == flash.memory), None)
    reset = next((m for m in memory if m.kind == "flash"), None)
    if found is None or reset is None:
        return
    if found is reset:
        yield f"staging: expected none where {flash.memory} holds bootloader and images"
    for m in memory:
        if m.base < staging.address + staging.bytes and staging.address < m.end:
            yield f"staging: expected outside of [[memory]], overlaps {m.name} at {m.base:#x}"
    if staging.mark % flash.erase_bytes or staging.mark >= found.bytes:
        yield (
            f"staging.mark: expected an erase unit of {flash.memory}, a multiple of "
            f"{flash.erase_bytes:#x} below {found.bytes:#x}, is {staging.mark:#x}"
        )
    for p in partitions:
        if p.offset < staging.mark + flash.erase_bytes and staging.mark < p.end:
            yield f"staging.mark: expected outside of the partitions, is in {p.name}"


def _boot_faults(
    boot: Boot, flash: Flash, memory: Sequence[Memory], partitions: Sequence[Partition]
) -> Iterator[str]:
    places: list[tuple[str, RamSlot]] = []
    for name, copied in (("app", boot.app), ("capsule", boot.capsule)):
        if (copied is None) == (boot.mode == "ram"):
            wanted = "a table with address, bytes" if boot.mode == "ram" else "none"
            yield f'boot.{name}: expected {wanted} with mode = "{boot.mode}"'
        elif copied is not None:
            places.append((name, copied))
    yield from _place_faults(places, memory)
    if boot.encrypted and boot.mode == "xip":
        yield (
            'boot.encrypted: expected false with mode = "xip": flash that images run in place from '
            'holds them in the clear; mode = "swap" decrypts an image when it is installed, "ram" '
            "when it is loaded"
        )
    wanted_roles = [("app", 2), ("capsule", 2), ("counter", 1), ("storage", int(boot.encrypted))]
    for role, count in wanted_roles:
        found = [p for p in partitions if p.role == role]
        if len(found) < count:
            key = "boot.encrypted" if role == "storage" else "[boot]"
            yield f'partition: expected {count} of role "{role}" with {key}, has {len(found)}'
    if boot.mode == "swap":
        slots = {p.role: p.bytes for p in partitions if p.role in MAX_PER_ROLE}
        for role in sorted(r for r, size in slots.items() if size <= flash.erase_bytes):
            yield (
                f'partition: expected slots of role "{role}" of two erase units at least with '
                'mode = "swap", has one; the last is the trailer\'s'
            )
        steps = sum(3 * (size // flash.erase_bytes - 1) + 1 for size in slots.values())
        if steps >= MAX_SWAP_STEPS:
            yield (
                f'boot.mode: expected another with these slots: "swap" takes {steps} steps, at '
                f"most {MAX_SWAP_STEPS - 1} fit the state register; three for each erase unit of "
                "slot a of both images"
            )
    reset = next((m.name for m in memory if m.kind == "flash"), None)
    count = sum(1 for p in partitions if p.role == "bootloader")
    if flash.memory == reset and not count:
        yield (
            f'partition: expected 1 of role "bootloader", has 0; reset begins in {reset}, '
            "the flash of the other partitions"
        )
    if flash.memory != reset and count:
        yield (
            f'partition: expected none of role "bootloader", has {count}; reset begins in {reset}, '
            f"and partitions are of {flash.memory}"
        )


def _place_faults(places: Sequence[tuple[str, RamSlot]], memory: Sequence[Memory]) -> Iterator[str]:
    """Of the places in RAM that images are copied to."""
    for name, place in places:
        if place.address % HEADER_BYTES:
            yield (
                f"boot.{name}.address: expected a multiple of {HEADER_BYTES:#x}, "
                f"is {place.address:#x}"
            )
        if not any(m.base <= place.address and place.end <= m.end for m in memory):
            yield (
                f"boot.{name}: expected to lie within one memory, is {place.address:#x} "
                f"to {place.end:#x}"
            )
    for (low, first), (high, second) in pairwise(sorted(places, key=lambda p: p[1].address)):
        if first.end > second.address:
            yield (
                f"boot.{high}: overlaps boot.{low}: starts at {second.address:#x}, "
                f"boot.{low} ends at {first.end:#x}"
            )


def _repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{what} {name}: expected one of this name, has {count}"
