"""Fault injection on the verification path: the real Cortex-M bootloader, one glitch a run.

Unicorn runs the ELF from reset with a bad image in flash. One pass without faults walks the path;
at each instruction chosen the process forks, and the child suffers the fault and runs to its end.
So every fault starts from exactly the state of the real path, and none sees another's.

Model of the attacker: instruction skip, register cleared, one bit of a fetched instruction
flipped; singly, or two skips in one run. After Moro et al., "Formal verification of a software
countermeasure against instruction skip attacks", 2014, and Riviere et al., "High precision fault
injections on the instruction cache of ARMv7-M architectures", 2015.
"""

from __future__ import annotations

import enum
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyseal.errors import DeviceError

PAGE: Final = 0x1000
PERIPHERALS: Final = ((0x40000000, 0x200000), (0xE0000000, 0x100000))  # read 0 where none wrote
AIRCR: Final = 0xE000ED0C
SYSRESETREQ: Final = 4
THUMB_BIT: Final = 1 << 5  # of the CPSR, where QEMU keeps it for M-profile, too
REGISTER_COUNT: Final = 14  # r0 to r12 and lr
NOP: Final = b"\x00\xbf"
WIDE_NOP: Final = b"\xaf\xf3\x00\x80"


class Outcome(enum.Enum):
    """How a run ended."""

    RESTED = 0  # the bootloader refused, and waits or resets
    RAN = 1  # an instruction of the bad image was fetched: the attack worked
    CRASHED = 2  # fault handler territory: bad access, undefined instruction
    HUNG = 3  # out of instructions


class Kind(enum.Enum):
    SKIP = "skip"
    CLEAR = "clear"  # a register that the instruction before wrote
    FLIP = "flip"  # a bit of the instruction
    DOUBLE = "double"  # two skips


@dataclass(frozen=True)
class Fault:
    kind: Kind
    step: int  # which instruction of the traced path, from 0
    detail: int = 0  # CLEAR: register; FLIP: bit; DOUBLE: instructions later, of the traced path


@dataclass(frozen=True)
class Target:
    """What is attacked."""

    elf: Path  # the bootloader
    memories: tuple[tuple[int, int], ...]  # (address, bytes) of all RAM and flash
    contents: tuple[tuple[int, bytes], ...]  # what lies in flash, the bad image included
    forbidden: tuple[tuple[int, int], ...]  # (address, bytes) from which nothing may ever run
    rest: str  # the function in which the bootloader stays when nothing is fit to boot


@dataclass(frozen=True)
class Visit:
    """One execution of one instruction on the path."""

    address: int
    size: int
    fresh: tuple[int, ...]  # registers (0 to 12; 13 is lr) that changed since the visit before
    behind_it: int = 0  # instructions back to the IT whose block this one is in; 0: in none


@dataclass
class Tally:
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    fallen: list[tuple[Fault, int]] = field(default_factory=list)  # with the address

    @property
    def count(self) -> int:
        return self.outcomes.total()


class _Machine:
    """One Cortex-M in Unicorn. Slots are not executable: running one is what ends a run."""

    def __init__(self, target: Target) -> None:
        unicorn = _unicorn()
        arm = unicorn.arm_const
        self._unicorn = unicorn
        self.cpu = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.cpu.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        self.registers = [getattr(arm, f"UC_ARM_REG_R{i}") for i in range(13)]
        self.registers.append(arm.UC_ARM_REG_LR)
        self._pc, self._sp = arm.UC_ARM_REG_PC, arm.UC_ARM_REG_SP
        self._cpsr = arm.UC_ARM_REG_CPSR
        for address, size in (*target.memories, *PERIPHERALS):
            self.cpu.mem_map(address, -(-size // PAGE) * PAGE)
        with target.elf.open("rb") as stream:
            elf = ELFFile(stream)
            loads = [s for s in elf.iter_segments("PT_LOAD") if s["p_filesz"]]
            for segment in loads:
                self.cpu.mem_write(segment["p_paddr"], segment.data())
            vectors = min(segment["p_paddr"] for segment in loads)
            self.rest = symbol(elf, target.rest)
        for address, content in target.contents:
            self.cpu.mem_write(address, content)
        for address, size in target.forbidden:
            self.cpu.mem_protect(
                address // PAGE * PAGE, -(-size // PAGE) * PAGE, unicorn.UC_PROT_READ
            )
        self.forbidden = target.forbidden
        self.was_reset = False
        self.cpu.hook_add(
            unicorn.UC_HOOK_MEM_WRITE, self._on_system_write, begin=AIRCR, end=AIRCR + 3
        )
        stack, entry = (int.from_bytes(self.cpu.mem_read(vectors + i, 4), "little") for i in (0, 4))
        self.cpu.reg_write(self._sp, stack)
        self.pc = entry

    @property
    def pc(self) -> int:
        """Of the next instruction, without the Thumb bit."""
        return int(self.cpu.reg_read(self._pc)) & ~1

    @pc.setter
    def pc(self, address: int) -> None:
        self.cpu.reg_write(self._pc, address | 1)

    def run(self, instructions: int) -> Outcome | None:
        """Until rest, a verdict or out of `instructions`; None if a hook stopped it."""
        try:
            self.cpu.emu_start(self.pc | 1, self.rest, count=instructions)
        except self._unicorn.UcError:
            return Outcome.RAN if self._is_forbidden() else Outcome.CRASHED
        if self._is_forbidden():
            return Outcome.RAN
        return Outcome.RESTED if self.pc == self.rest or self.was_reset else None

    def values(self) -> tuple[int, ...]:
        return tuple(self.cpu.reg_read(r) for r in self.registers)

    def _is_forbidden(self) -> bool:
        """Whether an instruction of the slot is next. A branch to an even address is none: Armv7-M
        has no Arm state, and faults (B1.5.4, INVSTATE)."""
        is_thumb = self.cpu.reg_read(self._cpsr) & THUMB_BIT
        pc = self.pc
        inside = any(start <= pc < start + size for start, size in self.forbidden)
        return inside and bool(is_thumb)

    def _on_system_write(
        self, cpu: Any, access: int, at: int, size: int, value: int, _: Any
    ) -> None:
        if value & SYSRESETREQ:
            self.was_reset = True
            cpu.emu_stop()


def symbol(elf: ELFFile, name: str) -> int:
    """Address of function `name`, without the Thumb bit; DeviceError if there is none."""
    for table in elf.iter_sections():
        if isinstance(table, SymbolTableSection):
            for entry in table.get_symbol_by_name(name) or ():
                return int(entry["st_value"]) & ~1
    raise DeviceError(f"the bootloader has no function {name}")


def _unicorn() -> Any:
    try:
        import unicorn
        import unicorn.arm_const
    except ImportError as e:
        raise DeviceError("Unicorn is missing; ./setup test") from e
    return unicorn


def functions(elf_path: Path, choose: Callable[[str], bool]) -> list[tuple[int, int]]:
    """(address, bytes) of the functions whose names `choose` accepts."""
    with elf_path.open("rb") as stream:
        return [
            (entry["st_value"] & ~1, entry["st_size"])
            for table in ELFFile(stream).iter_sections()
            if isinstance(table, SymbolTableSection)
            for entry in table.iter_symbols()
            if entry["st_info"]["type"] == "STT_FUNC" and entry["st_size"] and choose(entry.name)
        ]


def without_hot(
    target: Target, ranges: Sequence[tuple[int, int]], most: int, limit: int = 200_000_000
) -> list[tuple[int, int]]:
    """`ranges` less the instructions that a run without faults executes more than `most` times:
    loops over bytes, which would be all that a campaign sees."""
    machine = _Machine(target)
    counts: Counter[tuple[int, int]] = Counter()
    _watch(machine, ranges, lambda at, size: counts.update(((at, size),)))
    machine.run(limit)
    cut = list(ranges)
    for (at, size), count in counts.items():
        if count > most:
            cut = [piece for whole in cut for piece in _split(whole, at, size)]
    return cut


def _split(whole: tuple[int, int], at: int, size: int) -> list[tuple[int, int]]:
    start, end = whole[0], whole[0] + whole[1]
    if not start <= at < end:
        return [whole]
    pieces = [(start, at - start), (at + size, end - at - size)]
    return [piece for piece in pieces if piece[1]]


def trace(
    target: Target,
    ranges: Sequence[tuple[int, int]],
    passes: int | None = None,
    limit: int = 200_000_000,
) -> list[Visit]:
    """The instructions within `ranges` that a run without faults executes, in order. What they
    change is looked at for the first and last `passes` of each (None: all), which takes longest.

    DeviceError if that run does not end in the bootloader's rest: then the image is not bad, or
    the bootloader is.
    """
    machine = _Machine(target)
    path: list[tuple[int, int]] = []
    _watch(machine, ranges, lambda at, size: path.append((at, size)))
    outcome = machine.run(limit)
    if outcome is not Outcome.RESTED:
        raise DeviceError(
            f"without a fault the bad image is not refused: {outcome.name if outcome else 'HUNG'}"
        )
    chosen = bytearray(len(path))
    for step in _steps([at for at, _ in path], passes):
        chosen[step] = 1
    fresh = _fresh_registers(target, ranges, chosen, limit)
    visits: list[Visit] = []
    left = 0  # instructions of the IT block still to come
    for step, (at, size) in enumerate(path):
        behind = visits[-1].behind_it + 1 if left else 0
        visits.append(Visit(at, size, fresh.get(step, ()), behind))
        left = left - 1 if left else _it_length(machine, at)
    return visits


def _steps(addresses: Sequence[int], passes: int | None) -> Iterator[int]:
    """Of each instruction the first and last `passes` executions."""
    total, seen = Counter(addresses), Counter[int]()
    for step, address in enumerate(addresses):
        seen[address] += 1
        if passes is None or not passes < seen[address] <= total[address] - passes:
            yield step


def _fresh_registers(
    target: Target, ranges: Sequence[tuple[int, int]], chosen: bytearray, limit: int
) -> dict[int, tuple[int, ...]]:
    """By chosen step, the registers that the step before changed."""
    machine = _Machine(target)
    fresh: dict[int, tuple[int, ...]] = {}
    step = -1
    before: tuple[int, ...] | None = None

    def on_visit(at: int, size: int) -> None:
        nonlocal step, before
        step += 1
        now = machine.values() if chosen[step] or chosen[min(step + 1, len(chosen) - 1)] else None
        if chosen[step] and now is not None and before is not None:
            fresh[step] = _changed(before, now)
        before = now

    _watch(machine, ranges, on_visit)
    machine.run(limit)
    return fresh


def _changed(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, ...]:
    # What a called function, itself untraced, changed counts as well: its results.
    return tuple(r for r in range(REGISTER_COUNT) if before[r] != after[r] and after[r] != 0)


def _it_length(machine: _Machine, at: int) -> int:
    """How many instructions follow under the IT at `at`; 0 if it is none (Armv7-M ARM, A7.7.38)."""
    first = int.from_bytes(machine.cpu.mem_read(at, 2), "little")
    mask = first & 15
    if first >> 8 != 0xBF or not mask:
        return 0
    return 4 - ((mask & -mask).bit_length() - 1)


def every_fault(visits: Sequence[Visit], passes: int | None = None) -> Iterator[Fault]:
    """All single faults on a path; of an instruction in a loop, those of its first and last
    `passes`, or of all."""
    for step in _steps([visit.address for visit in visits], passes):
        visit = visits[step]
        yield Fault(Kind.SKIP, step)
        for register in visit.fresh if not visit.behind_it else ():
            yield Fault(Kind.CLEAR, step, register)
        for bit in range(8 * visit.size):
            yield Fault(Kind.FLIP, step, bit)


def random_doubles(visits: Sequence[Visit], count: int, dice: random.Random) -> list[Fault]:
    """Pairs of skips: half close together, half anywhere."""
    faults = []
    for i in range(count):
        step = dice.randrange(len(visits))
        room = len(visits) - step
        faults.append(Fault(Kind.DOUBLE, step, dice.randrange(min(room, 8) if i % 2 else room)))
    return faults


def inject(
    target: Target,
    ranges: Sequence[tuple[int, int]],
    visits: Sequence[Visit],
    faults: Iterable[Fault],
    instructions: int,
    report: Callable[[int], None] = lambda done: None,
    workers: int = 2,
) -> Tally:
    """Runs every fault of the path `visits`; `instructions` bounds one run, from the fault on."""

    def stop_at(fault: Fault) -> int:
        # Within an IT block the processor model does not stop: the fault is laid from before it.
        return fault.step - visits[fault.step].behind_it

    waiting = sorted(faults, key=stop_at)
    tally = Tally()
    machine = _Machine(target)
    children: dict[int, tuple[Fault, int]] = {}
    position = -1  # of the instruction about to run, on the traced path
    resumed = False
    cursor = 0

    def on_visit(at: int, size: int) -> None:
        nonlocal position, resumed
        if resumed:  # the instruction that was stopped at, seen again
            resumed = False
            return
        position += 1
        if cursor < len(waiting) and stop_at(waiting[cursor]) == position:
            machine.cpu.emu_stop()

    watch = _watch(machine, ranges, on_visit)
    while cursor < len(waiting):
        outcome = machine.run(instructions)
        if outcome is not None or position != stop_at(waiting[cursor]):
            raise DeviceError(f"the path ended at step {position} of {stop_at(waiting[cursor])}")
        while cursor < len(waiting) and stop_at(waiting[cursor]) == position:
            while len(children) >= workers:
                _reap(children, tally)
            fault = waiting[cursor]
            cursor += 1
            child = os.fork()
            if child == 0:
                # Whatever happens in here must not come back as a second parent.
                try:
                    for hook in watch:
                        machine.cpu.hook_del(hook)
                    visit = visits[fault.step]
                    os._exit(_suffer(machine, ranges, visit, fault, instructions).value)
                finally:
                    os._exit(Outcome.CRASHED.value)
            children[child] = (fault, visits[fault.step].address)
            report(cursor)
        resumed = True
    while children:
        _reap(children, tally)
    return tally


def _reap(children: dict[int, tuple[Fault, int]], tally: Tally) -> None:
    pid, status = os.wait()
    fault, address = children.pop(pid)
    # A child that died of a signal is a crash of Unicorn on a wild fault, not a verdict.
    outcome = (
        Outcome(os.waitstatus_to_exitcode(status)) if os.WIFEXITED(status) else Outcome.CRASHED
    )
    tally.outcomes[outcome] += 1
    if outcome is Outcome.RAN:
        tally.fallen.append((fault, address))


def _suffer(
    machine: _Machine,
    ranges: Sequence[tuple[int, int]],
    visit: Visit,
    fault: Fault,
    instructions: int,
) -> Outcome:
    """In the child, stopped before the instruction: the fault, then on to the end."""
    outcome = None
    if fault.kind is Kind.CLEAR:
        machine.cpu.reg_write(machine.registers[fault.detail], 0)
    elif visit.behind_it:
        # The instruction stays as it was made for the rest of the run: more than a glitch does.
        _patch(machine, visit.address, _bent(machine, visit, fault))
    elif fault.kind is Kind.FLIP:
        outcome = _step_bent(machine, visit, fault)
    else:
        machine.pc = visit.address + visit.size
    if outcome is None and fault.kind is Kind.DOUBLE:
        outcome = _skip_later(machine, ranges, fault.detail, instructions)
    if outcome is None:
        outcome = machine.run(instructions)
    return outcome or Outcome.HUNG


def _bent(machine: _Machine, visit: Visit, fault: Fault) -> bytes:
    """The instruction with a bit flipped, or as a NOP of its size."""
    code = bytearray(machine.cpu.mem_read(visit.address, visit.size))
    if fault.kind is Kind.FLIP:
        code[fault.detail // 8] ^= 1 << fault.detail % 8
        return bytes(code)
    return NOP if visit.size == len(NOP) else WIDE_NOP


def _patch(machine: _Machine, at: int, code: bytes) -> None:
    machine.cpu.mem_write(at, code)
    machine.cpu.ctl_remove_cache(at, at + len(code))


def _skip_later(
    machine: _Machine, ranges: Sequence[tuple[int, int]], later: int, instructions: int
) -> Outcome | None:
    left = later

    def on_visit(at: int, size: int) -> None:
        nonlocal left
        if left == 0:
            machine.cpu.emu_stop()
        left -= 1

    hooks = _watch(machine, ranges, on_visit)
    outcome = machine.run(instructions)
    for hook in hooks:
        machine.cpu.hook_del(hook)
    if outcome is None:
        machine.pc = machine.pc + _size(machine, machine.pc)
    return outcome


def _step_bent(machine: _Machine, visit: Visit, fault: Fault) -> Outcome | None:
    """One step with the bit flipped; memory keeps its content, as in a glitched fetch."""
    sound = bytes(machine.cpu.mem_read(visit.address, visit.size))
    bent = _bent(machine, visit, fault)
    _patch(machine, visit.address, bent)
    outcome = machine.run(1)
    if bytes(machine.cpu.mem_read(visit.address, visit.size)) == bent:  # else the step wrote there
        _patch(machine, visit.address, sound)
    return outcome


def _size(machine: _Machine, at: int) -> int:
    """Bytes of the Thumb instruction: 4 if its first halfword says so (Armv7-M ARM, A5.1)."""
    first = int.from_bytes(machine.cpu.mem_read(at, 2), "little")
    return 4 if first >> 11 in (0b11101, 0b11110, 0b11111) else 2


def _watch(
    machine: _Machine,
    ranges: Sequence[tuple[int, int]],
    visit: Callable[[int, int], None],
) -> list[int]:
    """Calls `visit(address, bytes)` before every instruction within `ranges`."""
    unicorn = _unicorn()
    return [
        machine.cpu.hook_add(
            unicorn.UC_HOOK_CODE, lambda cpu, at, size, _: visit(at, size), begin=start, end=end - 1
        )
        for start, end in ((start, start + size) for start, size in ranges)
    ]
