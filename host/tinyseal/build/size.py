"""Where every byte of a firmware goes: per memory, per layer, per kernel.

Sizes are those of the ELF's sections. The symbol table and the linker's map divide each section
among the object files and symbols in it; what they leave is padding, so the parts always add up.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import PurePath
from typing import Any, BinaryIO, Final, Self

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tinyseal.board import Memory
from tinyseal.build.firmware import ROOT, Request
from tinyseal.codegen.firmware import bootloader_place
from tinyseal.errors import BuildError

# "section  0xaddress  0xsize [object]": at the line's start a section of the ELF, after a blank
# what went into it. A long name puts the rest on the next line.
_MAP_LINE: Final = re.compile(
    r"^(?P<indent> ?)(?P<section>[.\w$]+)\s+0x(?P<start>[0-9a-f]+)\s+0x(?P<bytes>[0-9a-f]+)"
    r"(?: (?P<object>\S.*))?$",
    re.MULTILINE,
)
_LAYER: Final = re.compile(r"layer_(\d+)(?:\b|_)(.*)")
_KERNEL_PREFIXES: Final = ("nn_", "arm_")
_KINDS: Final = {
    "code": (".text", ".literal", ".init", ".fini", ".vectors"),
    "constants": (".rodata", ".srodata", ".ARM", ".eh_frame"),
}
_BAR: Final = 24  # characters

# The sources of device management over SMP. Its patches and prepaid queries are parts of their own.
_SERVICE: Final = frozenset(
    f"firmware {source}"
    for source in (
        *("smp", "smp_serial", "smp_stream", "smp_os", "smp_image", "smp_stat", "smp_model"),
        *("cbor", "codec", "slots", "slot_writer", "console", "groups"),
    )
)


@dataclass(frozen=True)
class MemoryUse:
    name: str
    kind: str  # "flash" or "ram"
    bytes: int
    used: int

    @property
    def free(self) -> int:
        return self.bytes - self.used


@dataclass(frozen=True)
class Part:
    """What one layer, kernel or room of the firmware takes of one memory."""

    name: str
    memory: str
    kind: str  # "code", "weights", "constants", or "data": what is written at run time
    bytes: int


@dataclass(frozen=True)
class ImageUse:
    """One linked image: its bytes, and the room it has."""

    name: str
    used: int
    bytes: int


@dataclass(frozen=True)
class Sizes:
    """`parts` of a memory sum to its `used`, which is the sum of the ELF's sections there."""

    memories: tuple[MemoryUse, ...]
    parts: tuple[Part, ...]
    images: tuple[ImageUse, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        return cls(
            tuple(MemoryUse(**m) for m in value["memories"]),
            tuple(Part(**p) for p in value["parts"]),
            tuple(ImageUse(**i) for i in value["images"]),
        )

    def named(self, part: str, memories: Iterable[str], kind: str | None = None) -> int:
        """Bytes of one part in some memories, of one kind or of all."""
        return sum(
            p.bytes
            for p in self.parts
            if p.name == part and p.memory in memories and kind in (None, p.kind)
        )

    def service(self) -> tuple[int, int]:
        """Flash and RAM of device management over SMP, its buffers included."""
        flash = {m.name for m in self.memories if m.kind == "flash"}
        parts = [p for p in self.parts if p.name in _SERVICE]
        stored = sum(p.bytes for p in parts if p.memory in flash)
        return stored, sum(p.bytes for p in parts) - stored


@dataclass(frozen=True)
class _Range:
    start: int
    end: int
    section: str
    object: PurePath


@dataclass(frozen=True)
class _Symbol:
    start: int
    end: int
    name: str
    is_code: bool


def measure(
    elf: BinaryIO,
    link_map: str,
    memories: Sequence[Memory],
    layers: Sequence[str],
    views: Sequence[Memory] = (),
) -> Sizes:
    """Sizes of a linked firmware. `link_map` is what the linker's -Map wrote; `layers` the labels
    of the capsule's layers by index; `views` are memories at other addresses.

    Raises BuildError when the file is no ELF, or a section lies outside every memory.
    """
    try:
        file = ELFFile(elf)
        symbols = sorted(_symbols(file), key=lambda s: (s.start, -s.end))
        used: Counter[str] = Counter()
        parts: Counter[tuple[str, str, str]] = Counter()
        ranges = _ranges(link_map)
        for section in file.iter_sections():
            if not section["sh_flags"] & 2 or not section["sh_size"]:  # SHF_ALLOC
                continue
            size = section["sh_size"]
            found = [_memory((*memories, *views), a, section.name) for a in _homes(file, section)]
            homes = list({home.name: home for home in found}.values())
            for home in homes:
                used[home.name] += size
            for name, kind, count in _divide(
                section, ranges.get(section.name, []), symbols, layers
            ):
                for home in homes:
                    in_ram = home.kind == "ram" and kind != "code"
                    stored = "constants" if kind == "data" else kind
                    parts[name, home.name, "data" if in_ram else stored] += count
    except ELFError as e:
        raise BuildError(f"size report: not a whole ELF file ({e}); build again") from e
    return Sizes(
        tuple(MemoryUse(m.name, m.kind, m.bytes, used[m.name]) for m in memories),
        tuple(Part(*key, count) for key, count in parts.items() if count),
    )


def measure_images(request: Request, layers: Sequence[str]) -> Sizes:
    """What a board with fresh images holds; `layers` are the labels of the capsule's."""
    board = request.board
    sizes = {}
    for name, path in request.elves.items():
        with (ROOT / path).open("rb") as elf:
            link_map = (ROOT / path.with_suffix(".map")).read_text()
            sizes[name] = measure(elf, link_map, board.memory, layers, board.fetch_views)
    room = {
        "bootloader": bootloader_place(board).bytes,
        "app": board.payload_bytes("app"),
        "capsule": board.payload_bytes("capsule"),
    }
    sums = together(board.memory, sizes, room)
    if board.rom is None:
        return sums
    # Its file is what the flash holds, and nothing of it lies there as it runs.
    packed = (ROOT / request.bootloader.with_suffix(".bin")).stat().st_size
    boot = ImageUse("bootloader", packed, room["bootloader"])
    return replace(sums, images=(boot, *(i for i in sums.images if i.name != "bootloader")))


def together(
    memories: Sequence[Memory], images: Mapping[str, Sizes], room: Mapping[str, int]
) -> Sizes:
    """Of all images that a board runs, by name; `room` has the bytes each may take. The
    bootloader's parts carry its name, and its RAM is not counted: it is the application's, once
    that runs."""
    used: Counter[str] = Counter()
    parts: list[Part] = []
    sums = []
    flash = {m.name for m in memories if m.kind == "flash"}
    for name, sizes in images.items():
        is_boot = name == "bootloader"
        for p in sizes.parts:
            if not is_boot or p.memory in flash:
                used[p.memory] += p.bytes
                part = p.name.removeprefix("firmware ")
                parts.append(replace(p, name=f"bootloader {part}") if is_boot else p)
        sums.append(ImageUse(name, _stored(sizes, flash), room[name]))
    return Sizes(
        tuple(MemoryUse(m.name, m.kind, m.bytes, used[m.name]) for m in memories),
        _merged(parts),
        tuple(sums),
    )


def _merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts of one name, memory and kind as one: the C library, for one, is in every image."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for p in parts:
        sums[p.name, p.memory, p.kind] += p.bytes
    return tuple(Part(*key, count) for key, count in sums.items())


def _stored(sizes: Sizes, flash: set[str]) -> int:
    return sum(p.bytes for p in sizes.parts if p.memory in flash)


def _symbols(file: ELFFile) -> Iterator[_Symbol]:
    table = file.get_section_by_name(".symtab")
    for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
        kind = symbol["st_info"]["type"]
        if kind in ("STT_FUNC", "STT_OBJECT") and symbol["st_size"]:
            is_code = kind == "STT_FUNC"
            # Bit 0 of an Arm function's address says Thumb.
            start = symbol["st_value"] & ~int(is_code)
            yield _Symbol(start, start + symbol["st_size"], symbol.name, is_code)


def _ranges(link_map: str) -> dict[str, list[_Range]]:
    """By section of the ELF, what the linker put into it, by address."""
    _, _, placed = link_map.partition("Linker script and memory map")
    joined = re.sub(r"^( ?[.\w$]+)\n\s+(?=0x)", r"\1 ", placed, flags=re.MULTILINE)
    ranges: dict[str, list[_Range]] = {}
    section = ""
    for m in _MAP_LINE.finditer(joined):
        start, count = int(m["start"], 16), int(m["bytes"], 16)
        if not m["indent"]:
            section = m["section"]
        elif m["object"] and count:
            item = _Range(start, start + count, m["section"], PurePath(m["object"]))
            ranges.setdefault(section, []).append(item)
    return {name: _disjoint(found) for name, found in ranges.items()}


def _disjoint(ranges: list[_Range]) -> list[_Range]:
    """By address, each ending where the next begins: of strings that the linker merged, the map
    keeps all the places."""
    ordered = sorted(ranges, key=lambda r: r.start)
    ends = [min(r.end, following.start) for r, following in pairwise(ordered)]
    clipped = (replace(r, end=end) for r, end in zip(ordered, ends, strict=False))
    return [r for r in (*clipped, ordered[-1]) if r.start < r.end]


def _homes(file: ELFFile, section: Any) -> set[int]:
    """The address a section runs at and, where it is stored elsewhere, that one as well."""
    homes = {section["sh_addr"]}
    if section["sh_type"] != "SHT_NOBITS":
        for segment in file.iter_segments("PT_LOAD"):
            offset = section["sh_addr"] - segment["p_vaddr"]
            if 0 <= offset < segment["p_filesz"]:
                homes.add(segment["p_paddr"] + offset)
    return homes


def _memory(memories: Sequence[Memory], address: int, section: str) -> Memory:
    for memory in memories:
        if memory.base <= address < memory.end:
            return memory
    known = ", ".join(f"{m.name} 0x{m.base:x}..0x{m.end:x}" for m in memories)
    raise BuildError(f"size report: {section} at 0x{address:x} lies in no memory ({known})")


def _divide(
    section: Any, ranges: list[_Range], symbols: list[_Symbol], layers: Sequence[str]
) -> Iterator[tuple[str, str, int]]:
    """(part, kind, bytes) that sum to the section's size."""
    left = section["sh_size"]
    for r in ranges:
        rest = r.end - r.start
        left -= rest
        done = r.start
        for s in _within(symbols, r.start, r.end):
            end = min(s.end, r.end)
            count = end - max(s.start, done)
            if count > 0:  # an alias of bytes already counted has none
                done = end
                rest -= count
                yield *_symbol_part(s, r, layers), count
        yield _object_part(r.object), _section_kind(r.section), rest
    # Alignment between objects; or a section the linker script itself made: a stack, a heap.
    name = "padding" if ranges else section.name.lstrip(".")
    yield name, "data" if section["sh_type"] == "SHT_NOBITS" else "constants", left


def _within(items: list[_Symbol], start: int, end: int) -> list[_Symbol]:
    first = bisect_left(items, start, key=lambda i: i.start)
    return items[first : bisect_left(items, end, lo=first, key=lambda i: i.start)]


def _symbol_part(symbol: _Symbol, placed: _Range, layers: Sequence[str]) -> tuple[str, str]:
    kind = "code" if symbol.is_code else _section_kind(placed.section)
    layer = _LAYER.match(symbol.name)
    if layer and int(layer[1]) < len(layers):
        kind = "weights" if kind == "constants" and "weights" in layer[2] else kind
        return f"layer {layer[1]} {layers[int(layer[1])]}", kind
    if "arena" in symbol.name and kind == "data":
        return "arena", kind
    return _object_part(placed.object), kind


def _section_kind(section: str) -> str:
    """By the name of what the compiler made; on RISC-V small data has names of its own."""
    for kind, prefixes in _KINDS.items():
        if section.startswith(prefixes):
            return kind
    return "data"  # .bss, COMMON, and what the firmware names itself: arenas, .noinit


def _object_part(path: PurePath) -> str:
    if "(" in path.name or path.is_absolute():  # an archive's member, or the compiler's start-up
        return "C library"
    source = path.name.partition(".")[0]
    if source.startswith(_KERNEL_PREFIXES):
        return f"kernel {source}"
    return "capsule table" if source == "capsule" else f"firmware {source}"


def report(sizes: Sizes, last: Sizes | None) -> RenderableType:
    """Tables, against the last build where there was one."""
    tables: list[RenderableType] = [_image_table(sizes, last), ""] if sizes.images else []
    flash, ram = sizes.service()
    service = [f"SMP service, of these: {flash:,} B of flash, {ram:,} B of RAM"] if flash else []
    return Group(*tables, _memory_table(sizes, last), "", _part_table(sizes, last), *service)


def _image_table(sizes: Sizes, last: Sizes | None) -> Table:
    table = _table("image", "used", "+/-", "free", "of", last=last)
    before = {i.name: i.used for i in last.images} if last else {}
    for i in sizes.images:
        change = [_change(i.used - before.get(i.name, 0))] if last else []
        table.add_row(i.name, f"{i.used:,}", *change, f"{i.bytes - i.used:,}", f"{i.bytes:,}")
    return table


def _memory_table(sizes: Sizes, last: Sizes | None) -> Table:
    table = _table("memory", "used", "+/-", "free", "of", last=last)
    table.add_column()
    before = {m.name: m.used for m in last.memories} if last else {}
    for m in sizes.memories:
        share = m.used / m.bytes
        full = min(_BAR, -(-m.used * _BAR // m.bytes))
        bar = Text.assemble(("█" * full, "cyan"), ("░" * (_BAR - full), "dim"), f" {share:6.1%}")
        change = [_change(m.used - before.get(m.name, 0))] if last else []
        table.add_row(m.name, f"{m.used:,}", *change, f"{m.free:,}", f"{m.bytes:,}", bar)
    return table


def _part_table(sizes: Sizes, last: Sizes | None) -> Table:
    flash = {m.name for m in sizes.memories if m.kind == "flash"}
    ram = {m.name for m in sizes.memories if m.kind == "ram"}
    table = _table("part", "code", "weights", "constants", "flash", "+/-", "ram", "+/-", last=last)
    names = sorted({p.name for p in (*sizes.parts, *(last.parts if last else ()))}, key=_order)
    for name in names:
        kinds = ("code", "weights", "constants")
        row: list[str | Text] = [_count(sizes.named(name, flash, kind)) for kind in kinds]
        for group in (flash, ram):
            now = sizes.named(name, group)
            row.append(_count(now))
            if last:
                row.append(_change(now - last.named(name, group)))
        table.add_row(name, *row)
    return table


def _order(part: str) -> tuple[int, int, str]:
    """Layers as they run, then kernels, then the rest."""
    kind, *number = part.split()
    if kind == "layer":
        return 0, int(number[0]), part
    return 1 if kind == "kernel" else 2, 0, part


def _table(first: str, *others: str, last: Sizes | None) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for name in others:
        if name != "+/-" or last:
            table.add_column(name, justify="right")
    return table


def _count(count: int) -> str:
    return f"{count:,}" if count else "·"


def _change(change: int) -> Text:
    return Text(f"{change:+,}" if change else "", style="red" if change > 0 else "green")
