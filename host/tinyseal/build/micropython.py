"""Models as a MicroPython user C module, and as native `.mpy` files that need no firmware built."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyseal.board import Board, Core
from tinyseal.build.export import closure
from tinyseal.build.firmware import ROOT, THIRD_PARTY
from tinyseal.build.third_party import monocypher
from tinyseal.codegen.generate import Terms
from tinyseal.codegen.micropython import (
    generate_build_files,
    generate_model,
    generate_models,
    generate_readme,
    symbol,
)
from tinyseal.errors import BuildError, UsageError
from tinyseal.plan.model import Plan
from tinyseal.profiles import board_names, load_board

MODULE: Final = ROOT / "firmware" / "micropython"
MARK: Final = Path("tinyseal/micropython.mk")  # what tells an export from another folder
_FOLDERS: Final = tuple(ROOT / "firmware" / f for f in ("micropython", "runtime", "nv", "crypto"))


@dataclass(frozen=True)
class Arch:
    """A kind of processor as MicroPython tells them apart in `.mpy` files."""

    name: str
    prefix: str  # of the compiler
    package: str  # Debian's, with it
    flags: tuple[str, ...]
    real: str  # MICROPY_FLOAT_IMPL of firmware for it
    cores: frozenset[Core]  # whose firmware loads it, and whose kernels these flags are for

    @property
    def is_xtensa(self) -> bool:
        return self.name.startswith("xtensa")

    @property
    def library(self) -> tuple[Path, ...]:
        """What the compiler calls and no header names."""
        memory = ROOT / "firmware/bootloader/memory.c"
        return (memory, ROOT / "firmware/hal/xtensa/rom.c") if self.is_xtensa else (memory,)


_M7: Final = frozenset({Core.M7})
_M4: Final = _M7 | {Core.M4, Core.M33}
_M3: Final = frozenset({Core.M3})
_M0: Final = frozenset({Core.M0, Core.M0PLUS})
_THUMB: Final = ("-mthumb", "-mno-unaligned-access")
_WHOLE: Final = ("-fno-function-sections", "-fno-data-sections")  # one .literal a file
_ARM: Final = ("arm-none-eabi-", "gcc-arm-none-eabi")
ARCHS: Final = {
    arch.name: arch
    for arch in (
        Arch(
            "x64", "", "gcc",
            ("-fno-stack-protector", "-fcf-protection=none"), "DOUBLE", frozenset({Core.HOST}),
        ),
        Arch("armv6m", *_ARM, (*_THUMB, "-mcpu=cortex-m0"), "FLOAT", _M0),
        Arch("armv7m", *_ARM, (*_THUMB, "-mcpu=cortex-m3"), "FLOAT", _M3),
        Arch(
            "armv7emsp", *_ARM,
            (*_THUMB, "-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"), "FLOAT", _M4,
        ),
        Arch(
            "armv7emdp", *_ARM,
            (*_THUMB, "-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"), "DOUBLE", _M7,
        ),
        Arch(
            "rv32imc", "riscv64-unknown-elf-", "gcc-riscv64-unknown-elf",
            ("-march=rv32imac", "-mabi=ilp32", "-mno-relax", "--specs=picolibc.specs"), "NONE",
            frozenset({Core.RV32IMC}),
        ),
        Arch(
            "xtensa", "xtensa-lx106-elf-", "gcc-xtensa-lx106", ("-mforce-l32", *_WHOLE), "NONE",
            frozenset({Core.LX106}),
        ),
        Arch(
            "xtensawin", "xtensa-esp32-elf-", "(Espressif's own)", _WHOLE, "FLOAT",
            frozenset({Core.LX6}),
        ),
    )
}  # fmt: skip
_NATIVE_FLAGS: Final = (
    "-std=gnu11", "-O2", "-fpic", "-fno-common", "-U_FORTIFY_SOURCE", "-DNDEBUG", "-DNO_QSTR",
    "-DMICROPY_ENABLE_DYNRUNTIME=1", "-ffunction-sections", "-fdata-sections", "-fno-jump-tables",
    "-fno-tree-loop-distribute-patterns", "-w",
)  # fmt: skip
_QSTRS: Final = "mp_native_qstr_table"
_OPAQUE: Final = """
static inline const uint16_t *opaque(const uint16_t *table)
{
    __asm__("" : "+r"(table));
    return table;
}
"""


def arch_for(name: str, board: Board) -> Arch:
    """UsageError unless there is such an architecture, and firmware of `board` loads it."""
    if name not in ARCHS:
        raise UsageError(f"no --mpy {name!r}; choices: {', '.join(ARCHS)}")
    arch = ARCHS[name]
    if board.core in arch.cores:
        return arch
    mine = [a.name for a in ARCHS.values() if board.core in a.cores] or ["none"]
    boards = [b for b in board_names() if load_board(b).core in arch.cores]
    raise UsageError(
        f"--mpy {name}: {board.name} is a {board.core.value}, for which there is "
        f"{' or '.join(mine)}; {name} is for --board {' or '.join(boards)}"
    )


def module_files(
    plans: Sequence[Plan], kernels: str, terms: Terms, natives: Sequence[str] = ()
) -> dict[str, bytes]:
    """Every file of the export but the `.mpy` files, by its path in there."""
    made = {f"{symbol(plan)}.c": generate_model(plan, kernels, terms) for plan in plans}
    made["modtinyseal_models.c"] = generate_models(plans)
    sources = {name: text.encode() for name, text in made.items()}
    sources |= closure(sources, "modtinyseal.h", _roots())
    units = sorted(name for name in sources if name.endswith(".c"))
    texts = generate_build_files(units)
    return {
        "README.md": generate_readme(plans, natives).encode(),
        "LICENSE": (ROOT / "LICENSE").read_bytes(),
        "LICENSE.monocypher": (
            monocypher(ROOT / THIRD_PARTY).include_dir / "LICENSE.txt"
        ).read_bytes(),
        "tinyseal/tinyseal.pyi": (MODULE / "tinyseal.pyi").read_bytes(),
        "tinyseal_ota.py": (MODULE / "tinyseal_ota.py").read_bytes(),
        **{f"tinyseal/{name}": text.encode() for name, text in texts.items()},
        **{f"tinyseal/src/{name}": sources[name] for name in sorted(sources)},
    }


def build_native(plan: Plan, kernels: str, terms: Terms, arch: Arch, source: Path) -> bytes:
    """The model as a `.mpy` for `arch`, linked by the tool of the MicroPython source at `source`.

    BuildError where the compiler is missing, or the linker has a limit that the model meets.
    """
    compiler = shutil.which(f"{arch.prefix}gcc")
    if compiler is None:
        raise BuildError(
            f"{arch.name}: {arch.prefix}gcc is missing; "
            + (
                "install ESP-IDF's tools"
                if arch.package[0] == "("
                else f"apt-get install {arch.package}"
            )
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sources = {"model.c": generate_model(plan, kernels, terms).encode()}
        sources |= closure(sources, "mpmodel.h", _roots())
        for path in (MODULE / "natmodel.c", *arch.library):
            sources[path.name] = path.read_bytes()
        for name, data in sources.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(data)
        linker = [sys.executable, str(source / "tools" / "mpy_ld.py"), "--arch", arch.name]
        config, out = folder / "config.h", folder / "out.mpy"
        named = [str(folder / n) for n in ("mpmodel.c", "natmodel.c")]
        _run([*linker, "--preprocess", "-o", str(config), *named], arch.name)
        flags = [
            *_NATIVE_FLAGS, *arch.flags, f"-I{folder}", f"-I{source}",
            f"-DMP_CONFIGFILE=<{_compilable(config, arch)}>",
            f"-DMICROPY_FLOAT_IMPL=MICROPY_FLOAT_IMPL_{arch.real}",
            f"-Dcapsule_table={symbol(plan)}",
        ]  # fmt: skip
        objects = []
        for unit in sorted(folder.rglob("*.c")):
            objects.append(str(unit.with_suffix(".o")))
            _run([compiler, *flags, "-c", str(unit), "-o", objects[-1]], arch.name)
        if not arch.is_xtensa:
            objects = [_merge(compiler, arch, objects, folder)]
        _run([*linker, "--qstrs", str(config), "-o", str(out), *objects], arch.name)
        return out.read_bytes()


def _compilable(config: Path, arch: Arch) -> Path:
    """mpy_ld's header as the compiler may have it. Of a table and an index gcc makes one address
    for Xtensa, and mpy_ld knows only the table's."""
    if not arch.is_xtensa:
        return config
    text = config.read_text().replace(f"({_QSTRS}[", f"(opaque({_QSTRS})[")
    made = config.with_name("compiled.h")
    made.write_text(text + _OPAQUE)
    return made


def _merge(compiler: str, arch: Arch, objects: Sequence[str], folder: Path) -> str:
    """One object with what the model calls, for mpy_ld keeps all it is given. Not for Xtensa, whose
    literals it takes by their file and offset, with addends where only the compiler leaves them."""
    script, whole = folder / "merge.ld", folder / "whole.o"
    script.write_text(_MERGE)
    library = _run([compiler, *arch.flags, "-print-libgcc-file-name"], arch.name).strip()
    _run(
        [compiler, *arch.flags, "-nostdlib", "-r", "-Wl,--gc-sections,-e,mpy_init", "-T",
         str(script), "-o", str(whole), *objects, library],
        arch.name,
    )  # fmt: skip
    return str(whole)


# mpy_ld knows sections by these names, and wants each to begin at 0.
_MERGE: Final = """SECTIONS
{
    .text 0 : { *(.text .text.*) }
    .literal 0 : { *(.literal .literal.*) }
    .rodata 0 : { *(.rodata .rodata.*) }
    .data.rel.ro 0 : { *(.data.rel.ro .data.rel.ro.*) }
    .bss 0 : { *(.bss .bss.* COMMON) }
    /DISCARD/ : { *(.ARM.exidx* .ARM.extab* .eh_frame .comment .note.*) }
}
"""


def _roots() -> tuple[Path, ...]:
    """Where exported sources come from."""
    return (*_FOLDERS, monocypher(ROOT / THIRD_PARTY).include_dir)


def _run(command: Sequence[str], what: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        said = result.stderr + result.stdout  # mpy_ld's own errors are on stdout
        lines = [line for line in said.splitlines() if "rror" in line or "undefined" in line]
        if "Traceback" in said:
            raise BuildError(
                f"{what}: MicroPython's mpy_ld.py cannot link this model; compile the module "
                "into a firmware instead"
            )
        raise BuildError(f"{what}: {lines[-1] if lines else said.strip()[-300:]}")
    return result.stdout
