"""Board profiles read from their files. Loading one reports every fault at once, a line each: file,
key, what was expected; also what the numbers say together."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from tinyseal.board import (
    BOARDS_DIR,
    COUNTER_UNITS,
    COUNTERS,
    FLASHER_WORDS,
    HEADER_BYTES,
    MAX_ARENA_REGIONS,
    MAX_PER_ROLE,
    MAX_SWAP_STEPS,
    Board,
    Boot,
    Capabilities,
    Firmware,
    Flash,
    Flasher,
    Memory,
    Partition,
    RamSlot,
    Role,
    Rom,
    Staging,
)
from tinyseal.errors import BoardError
from tinyseal.strict import Strict, as_json, read_toml, shape_faults

_Section = TypeVar("_Section", bound=Strict)


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
