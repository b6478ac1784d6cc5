"""Exact instruction counts of a virtual board: QEMU with our plugin, one row an inference."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from elftools.common.exceptions import ELFError
from elftools.elf.constants import P_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinyseal.errors import DeviceError

SOURCE: Final = Path(__file__).with_name("icount.c")
_CFLAGS: Final = ("-std=c11", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra")
# With what GCC adds to a function it has changed the arguments of; on Xtensa a dot is a dollar.
_LAYER: Final = re.compile(r"layer_(\d+)([.$](isra|constprop)[.$]\d+)*")


@dataclass(frozen=True)
class Counts:
    """Instructions of one inference: those of `invoke` itself, and of each layer."""

    own: int
    layers: tuple[int, ...]

    @property
    def total(self) -> int:
        return self.own + sum(self.layers)


@dataclass(frozen=True)
class Executed:
    """An instruction in one layer (0 is `invoke` itself, 1 the first layer) of an inference.
    `taken`: how often another than the next in memory followed."""

    layer: int
    address: int
    count: int
    taken: int


@dataclass(frozen=True)
class Marks:
    """Where in the firmware an inference and its layers start; addresses as QEMU sees them."""

    invoke: tuple[int, int]  # first address, and the first after it
    layers: tuple[int, ...]
    first: int | None = None  # where `invoke` is entered, if not at its first address
    also: tuple[int, int] | None = None  # code elsewhere that belongs to `invoke`

    def text(self) -> str:
        """As icount.c reads it."""
        lines = (f"{self.invoke[0]:x} {self.invoke[1]:x}", *(f"{a:x}" for a in self.layers))
        return "\n".join(lines) + "\n"


def find_marks(elf: Path) -> Marks:
    """The functions `invoke` and `layer_N` that every capsule has; DeviceError if absent."""
    invokes: list[tuple[int, int]] = []
    layers: dict[int, int] = {}
    for name, address, size in _functions(elf):
        layer = _LAYER.fullmatch(name)
        if layer:
            layers[int(layer[1])] = address
        elif name == "invoke":
            invokes.append((address, address + size))
    if len(invokes) != 1 or sorted(layers) != list(range(len(layers))):
        raise DeviceError(
            f"{elf}: {len(invokes)} functions named invoke, layers {sorted(layers)}; instructions "
            "can be counted in firmware with one model, not stripped of its symbols"
        )
    return Marks(invokes[0], tuple(layers[i] for i in sorted(layers)))


def boot_marks(elf: Path) -> Marks:
    """The bootloader from reset until it is left; DeviceError if `elf` cannot be read."""
    if not any(True for _ in _functions(elf)):
        raise DeviceError(f"{elf}: has no functions; stripped of its symbols?")
    with elf.open("rb") as file:
        image = ELFFile(file)
        entry = image["e_entry"] & ~int(image["e_machine"] == "EM_ARM")
        # Whole segments: start-up code, being assembly, need not be a function. A second one is
        # code that runs from RAM.
        code = [(s["p_vaddr"], s["p_vaddr"] + s["p_memsz"])
                for s in image.iter_segments("PT_LOAD") if s["p_flags"] & P_FLAGS.PF_X]  # fmt: skip
    code.sort(key=lambda segment: not segment[0] <= entry < segment[1])
    if len(code) > 2:
        raise DeviceError(f"{elf}: has {len(code)} segments of code, expected two at most")
    return Marks(code[0], (), entry, code[1] if len(code) == 2 else None)


def function_ranges(elf: Path, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """First address of each of some functions, and the first behind it; DeviceError if one is not
    there, or twice."""
    found: dict[str, tuple[int, int]] = {}
    for name, address, size in _functions(elf):
        if name in names:
            if name in found:
                raise DeviceError(f"{elf}: has two functions {name}")
            found[name] = (address, address + size)
    for name in names:
        if name not in found:
            raise DeviceError(f"{elf}: has no function {name}")
    return found


def _functions(elf: Path) -> Iterator[tuple[str, int, int]]:
    """(name, first address, bytes)."""
    try:
        with elf.open("rb") as file:
            image = ELFFile(file)
            is_arm = image["e_machine"] == "EM_ARM"
            table = image.get_section_by_name(".symtab")
            for symbol in table.iter_symbols() if isinstance(table, SymbolTableSection) else ():
                if symbol["st_info"]["type"] == "STT_FUNC":
                    # Bit 0 of an Arm function's address says Thumb.
                    address = symbol["st_value"] & ~int(is_arm)
                    yield symbol.name, address, symbol["st_size"]
    except (OSError, ELFError) as e:
        raise DeviceError(f"{elf}: not an ELF file that can be read: {e}") from e


class InstructionCounter:
    """One run of QEMU: give it `qemu_args`, then read `counts` as inferences finish.

    `folder` keeps the compiled plugin from one run to the next. With `tallies`, single
    instructions are counted as well, of the last inference.
    """

    def __init__(self, marks: Marks, folder: Path, tallies: bool = False) -> None:
        plugin = _build(folder)
        self._run = tempfile.TemporaryDirectory(prefix="icount-")
        run = Path(self._run.name)
        marks_file, self._out, self._insns = run / "marks", run / "counts", run / "insns"
        marks_file.write_text(marks.text())
        for path in (plugin, marks_file):
            if "," in str(path):
                raise DeviceError(f"{path}: QEMU takes no plugin whose path has a comma")
        first = "" if marks.first is None else f",first={marks.first:x}"
        also = "" if marks.also is None else ",also={:x}-{:x}".format(*marks.also)
        insns = f",insns={self._insns}" if tallies else ""
        self.qemu_args = (
            "-plugin",
            f"{plugin},marks={marks_file},out={self._out}{insns}{first}{also}",
        )

    def counts(self) -> list[Counts]:
        """One entry for each inference that has returned."""
        text = self._out.read_text() if self._out.exists() else ""
        rows = [
            [int(w) for w in line.split()] for line in text.splitlines(True) if line[-1] == "\n"
        ]
        return [Counts(row[0], tuple(row[1:])) for row in rows]

    def executed(self) -> list[Executed]:
        """Every instruction of the last inference, with tallies; read when it has returned."""
        lines = (line.split() for line in self._insns.read_text().splitlines())
        return [Executed(int(k), int(a, 16), int(n), int(t)) for k, a, n, t in lines]

    def close(self) -> None:
        self._run.cleanup()

    def __enter__(self) -> InstructionCounter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _build(folder: Path) -> Path:
    """The plugin as a shared library in `folder`, compiled unless this very one is there."""
    compiler = os.environ.get("CC", "cc")
    if shutil.which(compiler) is None:
        raise DeviceError(f"counting instructions needs a C compiler: no {compiler}; install gcc")
    digest = hashlib.sha256(SOURCE.read_bytes())
    digest.update("\0".join((compiler, *_CFLAGS)).encode())
    library = folder.resolve() / f"icount-{digest.hexdigest()[:16]}.so"
    if not library.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}")
        result = subprocess.run(
            [compiler, *_CFLAGS, str(SOURCE), "-o", str(fresh)],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            why = (result.stderr.strip().splitlines() or ["no message"])[0]
            raise DeviceError(f"{SOURCE.name} does not compile with {compiler}: {why}")
        fresh.rename(library)
    return library
