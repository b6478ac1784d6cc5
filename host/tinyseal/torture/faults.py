"""Fault injection on the verification path: the real Cortex-M bootloader, one glitch a run.

glitch.c runs the ELF under Unicorn, from reset, with a bad image in flash. Every fault is laid in
exactly the state that the path without faults has at its instruction, and none sees another's.

Model of the attacker: instruction skip, register cleared, one bit of a fetched instruction
flipped; singly, or two of them in one run. After Moro et al., "Formal verification of a software
countermeasure against instruction skip attacks", 2014, and Riviere et al., "High precision fault
injections on the instruction cache of ARMv7-M architectures", 2015.
"""

from __future__ import annotations

import enum
import random
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Final

from elftools.dwarf.die import DIE
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyseal.build.native import compile_native
from tinyseal.errors import DeviceError

SOURCE: Final = Path(__file__).with_name("glitch.c")
# Of a Cortex-M, but the system control space; they read 0 where none wrote.
DEVICES: Final = ((0x40000000, 0x40000000), (0xE0000000, 0xE000), (0xE000F000, 0xF1000))
PAGE: Final = 0x1000
REGISTERS: Final = 14  # 0 to 12, lr
BLOCK: Final = 256  # faults that one process is given in a row: those of a step stay together
ALL_VISITS: Final = 0


class Outcome(enum.Enum):
    """How a run ended; glitch.c numbers them alike."""

    RESTED = 0  # the bootloader refused, and waits or resets
    RAN = 1  # an instruction of the bad image was fetched: the attack worked
    CRASHED = 2  # fault handler territory: bad access, undefined instruction
    HUNG = 3  # out of instructions, or in a loop without end


class Kind(enum.Enum):
    SKIP = "skip"
    CLEAR = "clear"  # a register that the instruction before wrote
    FLIP = "flip"  # a bit of the instruction


_KINDS: Final = (Kind.SKIP, Kind.CLEAR, Kind.FLIP)  # as glitch.c numbers them; 3: none


@dataclass(frozen=True)
class HiddenFlash:
    """A flash that the processor has no address of: its driver is left out, its content kept.

    At its base the processor finds a chip that is ready, on every board: start-up may ask it there.
    """

    base: int  # of its content among a target's
    bytes: int
    erase_bytes: int
    functions: tuple[int, int, int]  # of the bootloader: read, program, erase


@dataclass(frozen=True)
class Target:
    """What is attacked."""

    elf: Path  # the bootloader
    memories: tuple[tuple[int, int], ...]  # (address, bytes) of all RAM and flash
    contents: tuple[tuple[int, bytes], ...]  # what lies in flash, the bad image included
    forbidden: tuple[tuple[int, int], ...]  # (address, bytes) from which nothing may ever run
    rest: str  # the function in which the bootloader stays when nothing is fit to boot
    core: str = "cortex-m4"
    flash: HiddenFlash | None = None
    ready: Mapping[int, int] = field(default_factory=dict)  # registers that always read so


@dataclass(frozen=True)
class Visit:
    """One execution of one instruction on the path."""

    step: int  # instructions from reset
    address: int
    size: int
    behind_it: int  # instructions back to the IT whose block this one is in; 0: in none
    fresh: tuple[int, ...]  # registers (0 to 12; 13 is lr) that the instruction before changed


@dataclass(frozen=True)
class Second:
    """A second fault in one run, wherever the first one has led."""

    after: int  # instructions
    kind: Kind
    detail: int = 0  # CLEAR: register; FLIP: bit, of a short instruction modulo its bits


@dataclass(frozen=True)
class Fault:
    kind: Kind
    visit: Visit
    detail: int = 0  # CLEAR: register; FLIP: bit
    second: Second | None = None


@dataclass
class Tally:
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    fallen: list[Fault] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.outcomes.total()


def functions(elf_path: Path, choose: Callable[[str], bool]) -> list[tuple[int, int]]:
    """(address, bytes) of the functions whose names `choose` accepts."""
    with elf_path.open("rb") as stream:
        return _functions(ELFFile(stream), choose)


def _functions(elf: ELFFile, choose: Callable[[str], bool]) -> list[tuple[int, int]]:
    return [
        (entry["st_value"] & ~1, entry["st_size"])
        for table in elf.iter_sections()
        if isinstance(table, SymbolTableSection)
        for entry in table.iter_symbols()
        if entry["st_info"]["type"] == "STT_FUNC" and entry["st_size"] and choose(entry.name)
    ]


def symbol(elf: ELFFile, name: str) -> int | None:
    """Value of `name`, of a function without the Thumb bit; None if there is none."""
    for table in elf.iter_sections():
        if isinstance(table, SymbolTableSection):
            for entry in table.get_symbol_by_name(name) or ():
                is_function = entry["st_info"]["type"] == "STT_FUNC"
                return int(entry["st_value"]) & (~1 if is_function else ~0)
    return None


def member(elf: ELFFile, struct: str, name: str) -> int:
    """Offset of a member of `struct NAME`, as the program was compiled; DeviceError if the debug
    information has none."""
    units = elf.get_dwarf_info().iter_CUs() if elf.has_dwarf_info() else ()
    for unit in units:
        for die in unit.get_top_DIE().iter_children():
            if die.tag == "DW_TAG_structure_type" and _name(die) == struct:
                for part in die.iter_children():
                    if _name(part) == name:
                        return int(part.attributes["DW_AT_data_member_location"].value)
    raise DeviceError(f"no struct {struct} with {name} in the debug information; compile with -g")


def _name(die: DIE) -> str | None:
    name = die.attributes.get("DW_AT_name")
    return name.value.decode() if name else None


def trace(
    target: Target,
    ranges: Sequence[tuple[int, int]],
    passes: int = ALL_VISITS,
    middle: int = 0,
    seed: int = 1,
) -> list[Visit]:
    """The instructions within `ranges` that a run without faults executes, in order: of each its
    first and last `passes` visits, and about `middle` of those between.

    DeviceError if that run does not end in the bootloader's rest: then the image is not bad, or
    the bootloader is.
    """
    order = [*(f"path {at:x} {size:x}" for at, size in ranges), "limit 20000000"]
    order.append(f"trace {passes:x} {middle:x} {seed & 0xFFFFFFFF:x}")
    with _ordered(target, order) as (command, stdin):
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DeviceError(f"{target.elf.name}: cannot be traced: {done.stderr.strip()}")
    path, *lines = done.stdout.splitlines()
    outcome = Outcome(int(path.split()[2]))
    if outcome is not Outcome.RESTED:
        raise DeviceError(f"without a fault the bad image is not refused: {outcome.name}")
    return [_visit(line) for line in lines]


def _visit(line: str) -> Visit:
    step, address, size, behind, fresh = (int(word, 16) for word in line.split()[1:])
    return Visit(step, address, size, behind, tuple(r for r in range(14) if fresh >> r & 1))


def every_fault(visits: Iterable[Visit]) -> Iterator[Fault]:
    """All single faults of these visits."""
    for visit in visits:
        yield Fault(Kind.SKIP, visit)
        for register in visit.fresh if not visit.behind_it else ():
            yield Fault(Kind.CLEAR, visit, register)
        for bit in range(8 * visit.size):
            yield Fault(Kind.FLIP, visit, bit)


def random_doubles(visits: Sequence[Visit], count: int, dice: random.Random) -> list[Fault]:
    """Pairs of faults of any kinds: half close together, half anywhere."""
    faults = []
    for i in range(count):
        visit = dice.choice(visits)
        room = visits[-1].step - visit.step + 1
        after = dice.randrange(min(room, 8) if i % 2 else room)
        kind = dice.choice(_KINDS)
        detail = {
            Kind.SKIP: 0,
            Kind.CLEAR: dice.randrange(REGISTERS),
            Kind.FLIP: dice.randrange(32),
        }
        second = Second(after, kind, detail[kind])
        first = dice.choice(list(every_fault([visit])) if i % 3 else [Fault(Kind.SKIP, visit)])
        faults.append(replace(first, second=second))
    return faults


def inject(
    target: Target,
    faults: Iterable[Fault],
    instructions: int,
    report: Callable[[int], None] = lambda done: None,
    workers: int = 2,
) -> Tally:
    """Runs every fault; `instructions` bounds one run, from the fault on."""
    # Within an IT block the processor model does not stop: the fault is laid from before it.
    waiting = sorted(faults, key=lambda f: f.visit.step - f.visit.behind_it)
    blocks = [waiting[at : at + BLOCK] for at in range(0, len(waiting), BLOCK)]
    tally = Tally()
    lock = threading.Lock()

    def told(fault: Fault, outcome: Outcome) -> None:
        with lock:
            tally.outcomes[outcome] += 1
            if outcome is Outcome.RAN:
                tally.fallen.append(fault)
            report(tally.count)

    with ThreadPoolExecutor(workers) as pool:
        shares = [[f for block in blocks[i::workers] for f in block] for i in range(workers)]
        list(pool.map(lambda share: _suffer(target, share, instructions, told), shares))
    return tally


def _suffer(
    target: Target,
    faults: Sequence[Fault],
    instructions: int,
    told: Callable[[Fault, Outcome], None],
) -> None:
    """One process after the other, until every fault has an outcome."""
    done = 0
    while done < len(faults):
        order = [f"limit {instructions:x}", "faults", *map(_line, faults[done:])]
        before = done
        with (
            _ordered(target, order) as (command, stdin),
            subprocess.Popen(
                command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process,
        ):
            assert process.stdout is not None and process.stderr is not None
            for line in process.stdout:
                told(faults[done], Outcome(int(line)))
                done += 1
            said = process.stderr.read().strip()
        if process.returncode > 0:
            raise DeviceError(f"{target.elf.name}: {said or process.returncode}")
        if process.returncode < 0 and done < len(faults):
            # Unicorn itself died on a wild fault: no verdict of the bootloader's.
            told(faults[done], Outcome.CRASHED)
            done += 1
        elif done == before:
            raise DeviceError(f"{target.elf.name}: no outcomes of {len(faults) - done} faults")


def _line(fault: Fault) -> str:
    v = fault.visit
    numbers = (_KINDS.index(fault.kind), v.step, v.address, v.size, v.behind_it, fault.detail)
    s = fault.second
    second = (s.after, _KINDS.index(s.kind), s.detail) if s else (0, len(_KINDS), 0)
    return "fault " + " ".join(f"{n:x}" for n in (*numbers, *second))


@contextmanager
def _ordered(target: Target, order: Sequence[str]) -> Iterator[tuple[list[str], IO[bytes]]]:
    """The command of glitch.c on that target, and its standard input."""
    program = _program()
    with tempfile.TemporaryFile() as stdin, tempfile.NamedTemporaryFile() as content:
        lines = [*_describe(target, content), *order]
        content.flush()
        stdin.write("".join(f"{line}\n" for line in lines).encode())
        stdin.seek(0)
        yield [str(program), content.name], stdin


def _describe(target: Target, content: IO[bytes]) -> Iterator[str]:
    """The target in glitch.c's words; what lies in memory goes to `content`."""
    from unicorn import arm_const

    core = target.core.upper().replace("-", "_")
    yield f"core {getattr(arm_const, 'UC_CPU_ARM_' + core):x}"
    for address, size in target.memories:
        yield f"memory {address:x} {size:x}"
    hidden = [(target.flash.base, target.flash.bytes)] if target.flash else []
    pages = sorted({(at & -PAGE, PAGE) for at in target.ready})
    for address, size in _gaps(DEVICES, [*target.memories, *hidden, *pages]):
        yield f"device {address:x} {size:x}"
    with target.elf.open("rb") as stream:
        elf = ELFFile(stream)
        loads = [s for s in elf.iter_segments("PT_LOAD") if s["p_filesz"]]
        start = min(s["p_paddr"] for s in loads)
        end = max(s["p_paddr"] + s["p_filesz"] for s in loads)
        rest = symbol(elf, target.rest)
        if rest is None:
            raise DeviceError(f"{target.elf.name} has no function {target.rest}")
        bottom, top = symbol(elf, "link_stack_bottom"), symbol(elf, "link_stack_top")
        marks = _functions(elf, lambda name: True)
        program = [(s["p_paddr"], s.data()) for s in loads]
    vectors = min(program)[1]
    yield f"code {start:x} {end - start + 1 & ~1:x}"
    if bottom is not None and top is not None:
        yield f"stack {bottom:x} {top - bottom:x}"
    if target.flash:
        yield f"hidden {target.flash.base:x} {target.flash.bytes:x}"
        yield f"hidden_unit {target.flash.erase_bytes:x}"
        yield from (f"flash {i} {at:x}" for i, at in enumerate(target.flash.functions))
    for at, data in (*target.contents, *program):
        yield f"load {at:x} {content.tell():x} {len(data):x}"
        content.write(data)
    yield from (f"forbidden {at:x} {size:x}" for at, size in target.forbidden)
    yield from (f"register {at:x} {value:x}" for at, value in target.ready.items())
    yield from (f"mark {at:x}" for at, _ in marks if start <= at < end)
    stack, entry = (int.from_bytes(vectors[i : i + 4], "little") for i in (0, 4))
    yield f"start {entry & ~1:x} {stack:x}"
    yield f"rest {rest:x}"


def _gaps(
    whole: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """`whole` without what is `taken`."""
    for start, size in whole:
        at = start
        for other, bytes_ in sorted(taken):
            if start <= other < start + size:
                if other > at:
                    yield at, other - at
                at = other + bytes_
        if at < start + size:
            yield at, start + size - at


def _program() -> Path:
    try:
        import unicorn
    except ImportError as e:
        raise DeviceError("Unicorn is missing; ./setup test") from e
    home = Path(unicorn.__file__).parent
    library = home / "lib" / "libunicorn.so.2"
    if not library.exists():
        raise DeviceError(f"{library} is missing; ./setup test")
    link = ("-Wl,--no-as-needed", str(library), f"-Wl,-rpath,{library.parent}")
    return compile_native("glitch", [SOURCE], [], [home / "include"], ("-D_DEFAULT_SOURCE", *link))
