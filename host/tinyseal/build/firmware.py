"""What a firmware is made of: source groups, flags and files per board. SConstruct obeys this."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tinyseal.board import Board, Core
from tinyseal.build.third_party import CmsisNn, cmsis_nn
from tinyseal.codegen.firmware import (
    firmware_of,
    generate_board_config,
    generate_link_script,
)
from tinyseal.codegen.generate import generate_capsule
from tinyseal.errors import BuildError
from tinyseal.graph.load import load_model
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.kernels.cmsis_nn import FUNCTIONS as CMSIS_NN_FUNCTIONS
from tinyseal.plan.model import Plan
from tinyseal.plan.planner import plan

ROOT: Final = Path(__file__).resolve().parents[3]
AUTO: Final = "auto"
KERNEL_CHOICES: Final = (AUTO, *(s.value for s in KernelSet))
DEFAULT_BOARD: Final = "qemu-m4"
DEFAULT_MODEL: Final = Path("models/kws_int8.tflite")

THIRD_PARTY: Final = Path("build/third_party")  # fetched sources, for all boards

BOARD_FILES: Final = ("board_config.h", "link.ld")
MODEL_FILES: Final = ("capsule.c", "layers.txt")

WARNINGS: Final = (
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wmissing-prototypes",
    "-Werror",
)
COMPILE_FLAGS: Final = ("-std=c11", "-g", "-ffunction-sections", "-fdata-sections", "-fno-common")
# Its requantisation relies on sums that wrap: left shifts, and right ones by 31, where the mask
# is (1 << 31) - 1. Its warnings are its authors' business.
CMSIS_NN_FLAGS: Final = ("-fwrapv", "-w")
# Functions that run from RAM share its segment with data: no MMU is there to tell them apart.
LINK_FLAGS: Final = (
    "-nostartfiles",
    "-Wl,--gc-sections",
    "-Wl,--fatal-warnings",
    "-Wl,--no-warn-rwx-segments",
)


@dataclass(frozen=True)
class Request:
    """One firmware: which model for which board, with which kernels."""

    board: Board
    model: Path
    kernels: str = AUTO
    cmsis_nn: Path | None = None  # a checkout to take instead of the pinned CMSIS-NN
    words: Mapping[str, str] = field(default_factory=dict, compare=False)  # as the user gave them

    @property
    def takes_cmsis_nn(self) -> bool:
        """Whether a layer may be given to CMSIS-NN."""
        return self.board.core.is_arm and self.kernels in (AUTO, KernelSet.CMSIS_NN.value)

    @property
    def board_folder(self) -> Path:
        """Objects that do not depend on the model, relative to ROOT."""
        return Path("build") / self.board.name

    @property
    def folder(self) -> Path:
        return self.board_folder / f"{self.model.stem}-{self.kernels}"

    @property
    def model_files(self) -> tuple[Path, ...]:
        """The model, and the labels beside it if there are any."""
        labels = self.model.with_suffix(".labels.txt")
        return (self.model, labels) if (ROOT / labels).is_file() else (self.model,)

    @property
    def elf(self) -> Path:
        return self.folder / "firmware.elf"

    def plan(self) -> Plan:
        """Reads the model and plans it: seconds of work for large models."""
        wanted = None if self.kernels == AUTO else KernelSet(self.kernels)
        return plan(load_model(ROOT / self.model), self.board, wanted)


@dataclass(frozen=True)
class SourceGroup:
    """Files compiled with the same flags. `of_model`: they are made for one model."""

    files: tuple[Path, ...]
    optimise: str
    include_dirs: tuple[Path, ...]
    flags: tuple[str, ...] = WARNINGS
    of_model: bool = False


def source_groups(request: Request) -> list[SourceGroup]:
    """All sources, the capsule last. Unused kernels cost nothing: the linker drops their sections.

    Raises BuildError when CMSIS-NN is wanted and cannot be had.
    """
    board = request.board
    hal = Path("firmware/hal")
    runtime = Path("firmware/runtime")
    folders = (hal, hal / core_folder(board.core), hal / firmware_of(board).hal)
    return [
        SourceGroup(_sources(*folders), "-Os", folders),
        SourceGroup(_sources(runtime / "kernels"), "-O2", (runtime,)),
        SourceGroup(
            _sources(Path("firmware/app")),
            "-Os",
            (hal, runtime, Path("firmware/app")),
        ),
        *_model_groups(request),
    ]


def _model_groups(request: Request) -> list[SourceGroup]:
    """The generated model, and CMSIS-NN if a layer may call it."""
    runtime = Path("firmware/runtime")
    capsule = (request.folder / "capsule.c",)
    includes = (runtime, runtime / "kernels")
    if not request.takes_cmsis_nn:
        return [SourceGroup(capsule, "-O2", includes, of_model=True)]
    library = cmsis_nn(ROOT / THIRD_PARTY, request.cmsis_nn)
    system = tuple(f"-isystem{_in_project(path)}" for path in library.include_dirs)
    return [
        SourceGroup(_cmsis_nn_sources(library), "-O2", (), (*system, *CMSIS_NN_FLAGS)),
        SourceGroup(_sources(runtime / "cmsis_nn"), "-O2", (runtime,), (*system, *WARNINGS)),
        SourceGroup(capsule, "-O2", includes, (*system, *WARNINGS), of_model=True),
    ]


def _cmsis_nn_sources(library: CmsisNn) -> tuple[Path, ...]:
    return tuple(_in_project(path) for path in library.sources_of(CMSIS_NN_FUNCTIONS))


def _in_project(path: Path) -> Path:
    """`path` as the build names it: from the project's folder if it is in there."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.resolve()


def core_folder(core: Core) -> str:
    """The folder of firmware/hal with a core's start-up code."""
    return "cortexm" if core.is_arm else {Core.RV32IMC: "riscv", Core.LX106: "xtensa"}[core]


def link_flags(board: Board) -> tuple[str, ...]:
    return (*(board.toolchain.library_cflags or board.toolchain.cflags), *LINK_FLAGS)


def require_toolchain(board: Board) -> None:
    """BuildError if the board's compiler is not installed."""
    compiler = f"{board.toolchain.prefix}gcc"
    if shutil.which(compiler) is None:
        raise BuildError(f"{compiler} is missing; apt-get install {board.toolchain.package}")


def board_texts(board: Board) -> dict[str, str]:
    """The contents of BOARD_FILES, in board_folder."""
    return {
        "board_config.h": generate_board_config(board),
        "link.ld": generate_link_script(board),
    }


def model_texts(request: Request) -> dict[str, str]:
    """The contents of MODEL_FILES, in folder."""
    made = request.plan()
    return {
        "capsule.c": generate_capsule(made, request.kernels),
        "layers.txt": "".join(f"{step.label}\n" for step in made.steps),  # for the size report
    }


def link(command: Sequence[str], board: Board) -> None:
    """Runs the linker. BuildError says which memory is too small, by how much; what else a
    linker may complain about it passes on."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sys.stderr.write("" if result.returncode else result.stderr)
    if result.returncode == 0:
        return
    overflows = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", result.stderr)
    if not overflows:
        raise BuildError(f"{board.name}: the linker failed:\n{result.stderr.rstrip()}")
    needs = ", ".join(f"{name} is {int(excess):,} B too small" for name, excess in overflows)
    raise BuildError(
        f"{board.name}: {needs} for this firmware; try a smaller model or another board "
        f"(tinyseal check MODEL --board {board.name} says what takes how much)"
    )


def generator_inputs() -> list[Path]:
    """The Python sources and templates that decide what the generated files say."""
    host = ROOT / "host/tinyseal"
    packages = ("graph", "optimise", "plan", "codegen")
    python = [host / "board.py", host / "__init__.py", host / "build/firmware.py"]
    python += [p for package in packages for p in (host / package).rglob("*.py")]
    templates = (ROOT / "codegen_templates").glob("*.j2")
    return sorted(p.relative_to(ROOT) for p in (*python, *templates))


def _sources(*folders: Path) -> tuple[Path, ...]:
    found = (p for folder in folders for p in (ROOT / folder).glob("*.[cS]"))
    return tuple(sorted(p.relative_to(ROOT) for p in found))
