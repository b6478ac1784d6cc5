"""Cycles from executed instructions, by what class they are of.

A core's timing says what an instruction of each class takes out of memory without wait states.
Where a maker's table gives a range, the value for straight code out of such memory stands here.
Flash that is slower than the core, bus contention and caches come on top, and no emulator says how
much: firmware/DESIGN.md has how far off this is where cycles have been counted.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from tinyseal.board import Core


class Kind(enum.Enum):
    ALU = "alu"
    MULTIPLY = "multiply"  # 32 bits of the product, or packed products
    LONG_MULTIPLY = "long multiply"  # 64 bits of it, or the upper half on RISC-V
    DIVIDE = "divide"
    LOAD = "load"
    STORE = "store"
    LOAD_MANY = "load many"
    STORE_MANY = "store many"
    BRANCH = "branch"  # and whatever else may leave the line: calls, returns, loop ends
    VECTOR = "vector"
    VECTOR_MEMORY = "vector load or store"


@dataclass(frozen=True)
class Timing:
    """Cycles of an instruction. Of LOAD_MANY and STORE_MANY it is one, and as many as registers;
    a BRANCH that is not taken takes one. `source` is where the numbers are from."""

    multiply: float
    long_multiply: float
    divide: float
    load: float
    store: float
    taken: float  # what leaving the line adds to the one cycle of whatever does
    source: str
    alu: float = 1.0
    vector: float = 1.0
    vector_memory: float = 1.0

    def cycles(self, kind: Kind, registers: int, count: int, taken: int) -> float:
        each = {
            Kind.ALU: self.alu,
            Kind.MULTIPLY: self.multiply,
            Kind.LONG_MULTIPLY: self.long_multiply,
            Kind.DIVIDE: self.divide,
            Kind.LOAD: self.load,
            Kind.STORE: self.store,
            Kind.LOAD_MANY: 1.0 + registers * self.alu,
            Kind.STORE_MANY: 1.0 + registers * self.alu,
            Kind.BRANCH: self.alu,
            Kind.VECTOR: self.vector,
            Kind.VECTOR_MEMORY: self.vector_memory,
        }[kind]
        return count * each + taken * self.taken


_ARMV7M: Final = Timing(
    multiply=1, long_multiply=1, divide=6, load=2, store=1, taken=2,
    source="Cortex-M4 TRM, table 3-1; branches refill in 1 to 3 cycles: 2; loads are not paired",
)  # fmt: skip
TIMINGS: Final[dict[Core, Timing]] = {
    Core.M0: Timing(
        multiply=1, long_multiply=1, divide=1, load=2, store=2, taken=2,
        source="Cortex-M0 TRM, table 3-1; the multiplier of one cycle",
    ),
    Core.M0PLUS: Timing(
        multiply=1, long_multiply=1, divide=1, load=2, store=2, taken=1,
        source="Cortex-M0+ TRM, table 3-1; the multiplier of one cycle",
    ),
    Core.M3: Timing(
        multiply=1.5, long_multiply=4, divide=6, load=2, store=1, taken=2,
        source="Cortex-M3 TRM, table 3-1; MUL 1 and MLA 2: 1.5, long ones 3 to 5: 4",
    ),
    Core.M4: _ARMV7M,
    Core.M7: Timing(
        multiply=1, long_multiply=1, divide=6, load=0.5, store=0.5, taken=0.5, alu=0.5,
        source="estimate: two instructions a cycle but one product; branches predicted",
    ),
    Core.M33: Timing(
        multiply=1, long_multiply=1, divide=6, load=1.5, store=1, taken=2,
        source="estimate: as Cortex-M4, half of the loads hidden",
    ),
    Core.M55: Timing(
        multiply=1, long_multiply=1, divide=6, load=1, store=1, taken=2, alu=0.8,
        vector=1.5, vector_memory=1.5,
        source="estimate: a vector is two beats of 64 bits; memory and arithmetic overlap by half",
    ),
    Core.RV32IMC: Timing(
        multiply=1, long_multiply=5, divide=19, load=1.5, store=1, taken=2,
        source="CV32E40X user manual, pipeline; half of the loads wait a cycle for their use",
    ),
}  # fmt: skip

_ARM_LOADS: Final = re.compile(r"ldr(b|h|sb|sh|t|ex)?\b")
_ARM_MULTIPLIES: Final = re.compile(
    r"(mul|mla|mls|smmul|smmla|smmls|smlad|smuad|smusd|smlsd|smul[btw]|smla[btw])"
)
_ARM_BRANCHES: Final = re.compile(
    r"(b|bl|bx|blx|bxns|blxns)(eq|ne|cs|cc|hs|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al)?"
    r"|cbn?z|tb[bh]|le|letp|wls|wlstp\.\d+|dls|dlstp\.\d+"
)
_RISCV_BRANCHES: Final = re.compile(
    r"b(eq|ne|lt|ge|ltu|geu|gt|le|gtu|leu)z?|j|jal|jr|jalr|ret|call|tail"
)


def classify(core: Core, mnemonic: str, operands: str) -> tuple[Kind, int]:
    """The kind of an instruction as objdump prints it, and how many registers it moves."""
    if core is Core.RV32IMC:
        return _classify_riscv(mnemonic), 0
    return _classify_arm(mnemonic.removesuffix(".w").removesuffix(".n"), operands)


def _classify_arm(name: str, operands: str) -> tuple[Kind, int]:
    if name.startswith("v"):
        return _classify_vector(name, operands)
    if name.startswith(("ldrd", "strd")):
        return (Kind.LOAD_MANY if name[0] == "l" else Kind.STORE_MANY), 2
    if name.startswith(("ldm", "pop")):
        return Kind.LOAD_MANY, registers(operands)
    if name.startswith(("stm", "push")):
        return Kind.STORE_MANY, registers(operands)
    if _ARM_BRANCHES.fullmatch(name):
        return Kind.BRANCH, 0
    if name.startswith("ldr"):
        return Kind.LOAD, 1
    if name.startswith("str"):
        return Kind.STORE, 1
    if name.startswith(("umull", "smull", "umlal", "smlal", "umaal")):
        return Kind.LONG_MULTIPLY, 0
    if _ARM_MULTIPLIES.match(name):
        return Kind.MULTIPLY, 0
    if name.startswith(("sdiv", "udiv")):
        return Kind.DIVIDE, 0
    return Kind.ALU, 0


def _classify_vector(name: str, operands: str) -> tuple[Kind, int]:
    """MVE works on q registers; what else begins with a v is floating point."""
    is_vector = re.search(r"\bq[0-7]\b", operands) is not None
    if name.startswith(("vldm", "vpop")):
        return Kind.LOAD_MANY, registers(operands)
    if name.startswith(("vstm", "vpush")):
        return Kind.STORE_MANY, registers(operands)
    if name.startswith(("vldr", "vld2", "vld4")):
        return (Kind.VECTOR_MEMORY if is_vector else Kind.LOAD), 1
    if name.startswith(("vstr", "vst2", "vst4")):
        return (Kind.VECTOR_MEMORY if is_vector else Kind.STORE), 1
    return (Kind.VECTOR if is_vector else Kind.ALU), 0


def registers(operands: str) -> int:
    """How many a list like `{r4, r5-r7, lr}` has."""
    listed = operands.partition("{")[2].partition("}")[0]
    count = 0
    for part in filter(None, listed.replace(" ", "").split(",")):
        first, _, last = part.partition("-")
        count += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return count


def _classify_riscv(name: str) -> Kind:
    if re.fullmatch(r"l[bhw]u?", name):
        return Kind.LOAD
    if re.fullmatch(r"s[bhw]", name):
        return Kind.STORE
    if name.startswith("mulh"):
        return Kind.LONG_MULTIPLY
    if name == "mul":
        return Kind.MULTIPLY
    if name.startswith(("div", "rem")):
        return Kind.DIVIDE
    return Kind.BRANCH if _RISCV_BRANCHES.fullmatch(name) else Kind.ALU
