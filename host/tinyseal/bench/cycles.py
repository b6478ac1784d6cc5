"""Estimated cycles of what was executed: each instruction by its class."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.errors import DeviceError
from tinyseal.plan.cycles import Kind, Timing, classify
from tinyseal.virtual.icount import Executed

# "   21046:\tf8d1 c000 \tldr.w\tip, [r1]": the bytes in groups, then mnemonic and operands.
_LINE: Final = re.compile(r"^\s*([0-9a-f]+):\t[0-9a-f ]+\t(\S+)(?:\t([^;<@#\n]*))?", re.MULTILINE)


def layer_cycles(
    board: Board, elf: Path, executed: Sequence[Executed], layers: int, timing: Timing
) -> list[float]:
    """Of `invoke` itself, then of each layer.

    What `elf` does not hold, interrupts say, counts as one cycle an instruction.
    """
    kinds = dict(_disassembly(board, elf))
    cycles = [0.0] * (layers + 1)
    for insn in executed:
        kind, registers = kinds.get(insn.address, (Kind.ALU, 0))
        cycles[insn.layer] += timing.cycles(kind, registers, insn.count, insn.taken)
    return cycles


def _disassembly(board: Board, elf: Path) -> Iterator[tuple[int, tuple[Kind, int]]]:
    command = [f"{board.toolchain.prefix}objdump", "-d", str(elf)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as e:
        raise DeviceError(
            f"{command[0]} cannot read {elf}; apt-get install {board.toolchain.package}"
        ) from e
    for address, mnemonic, operands in _LINE.findall(done.stdout):
        yield int(address, 16), classify(board.core, mnemonic, operands)
