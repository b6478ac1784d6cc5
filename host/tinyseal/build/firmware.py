"""What a firmware is made of: source groups, flags and files per board. SConstruct obeys this."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tinyseal import __version__
from tinyseal.board import Board, Core
from tinyseal.build import tuning
from tinyseal.build.third_party import CmsisNn, cmsis_nn, monocypher, p256_m
from tinyseal.codegen.firmware import (
    Identity,
    ImageName,
    bootloader_place,
    firmware_of,
    generate_app_script,
    generate_bare_script,
    generate_board_config,
    generate_boot_config,
    generate_bootloader_script,
    generate_capsule_script,
    image_place,
)
from tinyseal.codegen.generate import UNMETERED, Terms, generate_capsule
from tinyseal.errors import BuildError
from tinyseal.graph.load import load_model
from tinyseal.graph.reference_statistics import WINDOW, build_reference
from tinyseal.plan.goal import Goal, Optimise
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.kernels.cmsis_nn import FUNCTIONS as CMSIS_NN_FUNCTIONS
from tinyseal.plan.model import Plan
from tinyseal.plan.planner import plan

ROOT: Final = Path(__file__).resolve().parents[3]
AUTO: Final = "auto"
KERNEL_CHOICES: Final = (AUTO, *(s.value for s in KernelSet))
DEFAULT_BOARD: Final = "qemu-m4"
DEFAULT_MODEL: Final = Path("models/kws_int8.tflite")

MEMORY: Final = Path("firmware/bootloader/memory.c")  # the C library's block functions, short
# Relative to ROOT, like every path of the build. Those who build the same board at a time, say
# tests, each need a folder of their own.
BUILD: Final = Path(os.environ.get("TINYSEAL_BUILD", "build"))
THIRD_PARTY: Final = Path("build/third_party")  # fetched sources, for all boards and folders

SLOTS: Final = ("a", "b")
BOARD_FILES: Final = (
    "board_config.h", "boot_config.h", "bootloader.ld", "app_a.ld", "app_b.ld", "capsule_a.ld",
    "capsule_b.ld",
)  # fmt: skip
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
# What -Os leaves on and makes code longer.
SMALL_FLAGS: Final = ("-fno-move-loop-invariants", "-fno-tree-loop-im")
# Functions that run from RAM share its segment with data: no MMU is there to tell them apart.
MONOCYPHER_FLAGS: Final = ("-w",)
# p256-m as it is outside of Mbed TLS. What it verifies is public: how long a multiplication takes
# may tell it.
P256_M_FLAGS: Final = ("-DMBEDTLS_PSA_P256M_DRIVER_ENABLED", "-DMUL64_IS_CONSTANT_TIME")
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
    version: str = __version__  # of application and capsule
    security_counter: int = 0  # of both
    key: Path | None = None  # signs; None: the development key
    encrypt: Path | None = None  # encrypts for this key
    release: bool = False  # refuses development keys
    terms: Terms = UNMETERED  # of the capsule
    reference: Path | None = None  # calibration samples that inputs and outputs are held against
    window: int = WINDOW  # inferences that are held against them together
    optimise: Optimise = Optimise.SPEED
    ram: int | None = None  # bytes the arena may take; None: what the board has
    tuning: Path | None = None  # kernels as measured; None: the board's own file, if there is one
    words: Mapping[str, str] = field(default_factory=dict, compare=False)  # as the user gave them

    @property
    def takes_cmsis_nn(self) -> bool:
        """Whether a layer may be given to CMSIS-NN."""
        return self.board.core.is_arm and self.kernels in (AUTO, KernelSet.CMSIS_NN.value)

    @property
    def board_folder(self) -> Path:
        """Objects that do not depend on the model, relative to ROOT."""
        return BUILD / self.board.name

    @property
    def folder(self) -> Path:
        metered = "-metered" if self.terms.is_metered else ""
        family = f"-{self.terms.family}" if self.terms.family else ""
        observed = f"-observed{self.window}" if self.reference else ""
        goal = f"-{self.optimise.value}" if self.optimise is not Optimise.SPEED else ""
        ram = f"-ram{self.ram}" if self.ram is not None else ""
        name = f"{self.model.stem}-{self.kernels}{goal}{ram}{metered}{family}{observed}"
        return self.board_folder / name

    @property
    def model_files(self) -> tuple[Path, ...]:
        """The model, and the labels beside it if there are any."""
        labels = self.model.with_suffix(".labels.txt")
        files = [self.model, *([labels] if (ROOT / labels).is_file() else [])]
        return (*files, *(f for f in (self.reference, self.tuning_file) if f))

    @property
    def tuning_file(self) -> Path | None:
        """What kernels=auto obeys."""
        if self.kernels != AUTO:
            return None
        own = tuning.default_file(self.board)
        return self.tuning or (own if (ROOT / own).is_file() else None)

    @property
    def slots(self) -> tuple[str, ...]:
        """For which an image is linked: one ELF serves both where it runs at one address."""
        return SLOTS[:1] if self.board.has_one_place else SLOTS

    @property
    def signed_slots(self) -> tuple[str, ...]:
        """For which a signed image is made. Where slots are swapped, that of slot a lies there in
        the clear and that of slot b is the encrypted one; else one file serves both."""
        boot = self.board.boot
        swapped = boot is not None and boot.mode == "swap"
        return SLOTS if swapped and self.encrypt is not None else self.slots

    @property
    def bootloader(self) -> Path:
        return self.board_folder / "bootloader.elf"

    def image(self, image: ImageName, slot: str = "a") -> Path:
        """The ELF of an image."""
        folder = self.board_folder if image == "app" else self.folder
        return folder / f"{image}_{slot}.elf"

    def signed(self, image: ImageName, slot: str = "a") -> Path:
        return self.folder / f"{image}_{slot}.signed.bin"

    @property
    def elves(self) -> dict[str, Path]:
        """What a board with fresh images runs, by name."""
        return {
            "bootloader": self.bootloader,
            "app": self.image("app"),
            "capsule": self.image("capsule"),
        }

    @property
    def merged(self) -> Path:
        """Bootloader and signed images, each at its address."""
        return self.folder / "firmware.hex"

    def plan(self) -> Plan:
        """Reads the model and plans it: seconds of work for large models."""
        wanted = None if self.kernels == AUTO else KernelSet(self.kernels)
        return plan(load_model(ROOT / self.model), self.board, wanted, goal=self.goal())

    def goal(self) -> Goal:
        """Reads the file of measured kernels, if there is one."""
        file = self.tuning_file
        if file is None:
            return Goal(self.optimise, self.ram)
        measured = tuning.read_file(ROOT / file, self.board)
        compiler = tuning.compiler_of(self.board)
        return Goal(self.optimise, self.ram, tuning.tuning_of(measured, compiler))


@dataclass(frozen=True)
class SourceGroup:
    """Files compiled with the same flags. `of_model`: they are made for one model. `of`: the
    images that are linked of them."""

    files: tuple[Path, ...]
    optimise: str
    include_dirs: tuple[Path, ...]
    of: tuple[str, ...]
    flags: tuple[str, ...] = WARNINGS
    of_model: bool = False


def source_groups(request: Request) -> list[SourceGroup]:
    """All sources, the capsule last. What an image does not use costs nothing: the linker drops
    its sections.

    Raises BuildError when CMSIS-NN is wanted and cannot be had.
    """
    board = request.board
    firmware = Path("firmware")
    hal, runtime, boot = firmware / "hal", firmware / "runtime", firmware / "boot"
    nv, crypto, setup = firmware / "nv", firmware / "crypto", firmware / "setup"
    app, services = firmware / "app", firmware / "services"
    both = ("bootloader", "app")
    folders = hal_folders(board)
    curve = monocypher(ROOT / THIRD_PARTY)
    of_boot: tuple[Path, ...] = (hal, nv, crypto, boot, setup)
    system_dirs = [curve.include_dir, curve.frame_dir]
    of_both = _sources(nv, crypto, boot, setup)
    if is_ecdsa(board):
        arithmetic = p256_m(ROOT / THIRD_PARTY)
        system_dirs.append(arithmetic)
        of_boot = (*of_boot, crypto / "p256")
        of_both += (*_sources(crypto / "p256"), _in_project(arithmetic / "p256-m.c"))
    of_curve = tuple(f"-isystem{_in_project(d)}" for d in system_dirs)
    boot_flags = (*of_curve, *mode_flags(board), *SMALL_FLAGS, *WARNINGS)
    rom = rom_sources(board.core)
    bootloader = tuple(f for f in _sources(firmware / "bootloader") if f not in rom)
    return [
        SourceGroup(
            tuple(f for f in _sources(*folders) if f not in rom),
            "-Os",
            folders,
            both,
            (*SMALL_FLAGS, *WARNINGS),
        ),
        SourceGroup(rom, "-Os", folders, (*both, "capsule")),
        SourceGroup(
            of_both,
            "-Os",
            of_boot,
            both,
            boot_flags,
        ),
        SourceGroup((_in_project(curve.source),), "-Os", (), ("app",), MONOCYPHER_FLAGS),
        SourceGroup(bootloader, "-Os", of_boot, ("bootloader",), boot_flags),
        SourceGroup(
            _sources(runtime, services, app),
            "-Os",
            (*of_boot, runtime, services, app),
            ("app",),
            boot_flags,
        ),
        *model_groups(request),
    ]


def model_groups(request: Request) -> list[SourceGroup]:
    """The kernels, CMSIS-NN if a layer may call it, and the generated model."""
    of = ("capsule",)
    runtime = Path("firmware/runtime")
    is_small = request.optimise is Optimise.SIZE
    level = "-Os" if is_small else "-O2"
    kernels = SourceGroup(_sources(runtime / "kernels"), level, (runtime,), of, of_model=is_small)
    capsule = (request.folder / "capsule.c",)
    includes = (runtime, runtime / "kernels")
    if not request.takes_cmsis_nn:
        return [kernels, SourceGroup(capsule, level, includes, of, of_model=True)]
    library = cmsis_nn(ROOT / THIRD_PARTY, request.cmsis_nn)
    system = tuple(f"-isystem{_in_project(path)}" for path in library.include_dirs)
    theirs, ours = (*system, *CMSIS_NN_FLAGS), (*system, *WARNINGS)
    glue = _sources(runtime / "cmsis_nn")
    return [
        kernels,
        SourceGroup(_cmsis_nn_sources(library), level, (), of, theirs, of_model=is_small),
        SourceGroup(glue, level, (runtime,), of, ours, of_model=is_small),
        SourceGroup(capsule, level, includes, of, ours, of_model=True),
    ]


def _cmsis_nn_sources(library: CmsisNn) -> tuple[Path, ...]:
    return tuple(_in_project(path) for path in library.sources_of(CMSIS_NN_FUNCTIONS))


def _in_project(path: Path) -> Path:
    """`path` as the build names it: from the project's folder if it is in there."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.resolve()


def mode_flags(board: Board) -> tuple[str, ...]:
    """What firmware/boot/boot.h takes from the compiler's command line."""
    if board.boot is None:
        return ()
    mode = f"BOOT_{board.boot.mode.upper()}"
    flags = (f"-DBOOT_BUILD_MODE={mode}", f"-DBOOT_BUILD_DECRYPTS={int(board.boot.encrypted)}")
    return (*flags, "-DBOOT_BUILD_ECDSA_P256=1", *P256_M_FLAGS) if is_ecdsa(board) else flags


def is_ecdsa(board: Board) -> bool:
    """Whether its images are signed with ECDSA over P-256."""
    return board.boot is not None and board.boot.signature == "ecdsa-p256"


def rom_sources(core: Core) -> tuple[Path, ...]:
    """What GCC calls and the chip keeps in a ROM of its own, or on `host` in a C library that no
    image may use. The capsule has no way to another image's."""
    rom = _sources(Path("firmware/hal") / core_folder(core), pattern="rom.c")
    return (*rom, MEMORY) if core is Core.HOST else rom


def hal_folders(board: Board) -> tuple[Path, ...]:
    """The folders of firmware/hal a board is made of, relative to ROOT."""
    hal = Path("firmware/hal")
    firmware = firmware_of(board)
    family = (hal / firmware.family,) if firmware.family else ()
    return (hal, hal / core_folder(board.core), *family, hal / firmware.hal)


def core_folder(core: Core) -> str:
    """The folder of firmware/hal with a core's start-up code."""
    others = {
        Core.RV32IMC: "riscv",
        Core.LX106: "xtensa",
        Core.LX6: "xtensa",
        Core.HOST: "native",
    }
    return "cortexm" if core.is_arm else others[core]


def link_flags(board: Board) -> tuple[str, ...]:
    return (*(board.toolchain.library_cflags or board.toolchain.cflags), *LINK_FLAGS)


def require_toolchain(board: Board) -> None:
    """BuildError if the board's compiler is not installed."""
    compiler = f"{board.toolchain.prefix}gcc"
    if shutil.which(compiler) is None:
        raise BuildError(f"{compiler} is missing; apt-get install {board.toolchain.package}")


def bare_texts(board: Board) -> dict[str, str]:
    """What a firmware that runs without a bootloader is compiled and linked with."""
    return {
        "board_config.h": generate_board_config(board),
        "link.ld": generate_bare_script(board),
    }


def board_texts(board: Board, identity: Identity) -> dict[str, str]:
    """The contents of BOARD_FILES, in board_folder."""
    texts = {
        "board_config.h": generate_board_config(board),
        "boot_config.h": generate_boot_config(board, identity),
        "bootloader.ld": generate_bootloader_script(board),
    }
    for number, slot in enumerate(SLOTS):
        texts[f"app_{slot}.ld"] = generate_app_script(board, number)
        texts[f"capsule_{slot}.ld"] = generate_capsule_script(board, number)
    return texts


def model_texts(request: Request, told: Callable[[str], None]) -> dict[str, str]:
    """The contents of MODEL_FILES, in folder; says how many kernels were chosen by measurement."""
    made = request.plan()
    if request.tuning_file is not None:
        count = sum(step.is_tuned for step in made.steps)
        told(f"  tuned {count} of {len(made.steps)} layers by {request.tuning_file}")
    terms = request.terms
    if request.reference is not None:
        samples = load_samples(request.reference)
        terms = replace(terms, reference=build_reference(made.graph, samples, request.window))
    return {
        "capsule.c": generate_capsule(made, request.kernels, terms),
        "layers.txt": "".join(f"{step.label}\n" for step in made.steps),  # for the size report
    }


def load_samples(path: Path) -> npt.NDArray[Any]:
    """Calibration samples of a .npy, or of a .npz: its array `x`, or the only one. BuildError."""
    try:
        with np.errstate(all="ignore"):
            loaded = np.load(ROOT / path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        names = loaded.files
        name = "x" if "x" in names else names[0] if len(names) == 1 else None
        if name is None:
            raise BuildError(f"{path}: holds {', '.join(names)}; expected an array x, or only one")
        samples: npt.NDArray[Any] = loaded[name]
        return samples
    except (OSError, ValueError, zipfile.BadZipFile) as e:
        raise BuildError(f"{path}: no .npy or .npz of samples: {e}") from e


def link(command: Sequence[str], board: Board) -> None:
    """Runs the linker. BuildError says what is too large for its place, by how much; what else a
    linker may complain about it passes on."""
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sys.stderr.write("" if result.returncode else result.stderr)
    if result.returncode == 0:
        return
    overflows = re.findall(r"region `(\w+)' overflowed by (\d+) bytes", result.stderr)
    # The stack's place is fixed: what RAM is short of shows as sections that overlap it.
    ends = re.findall(
        r"\.stack VMA \[(\w+),\w+\] overlaps section \S+ VMA \[\w+,(\w+)\]", result.stderr
    )
    if ends:
        excess = max(int(end, 16) + 1 - int(start, 16) for start, end in ends)
        raise BuildError(
            f"{board.name}: RAM is {excess:,} B too small for arena, stack and services; make "
            f"arena_bytes, stack_bytes or [services] in boards/{board.name}.toml smaller"
        )
    if not overflows:
        raise BuildError(f"{board.name}: the linker failed:\n{result.stderr.rstrip()}")
    needs = "; ".join(_excess(board, name, int(excess)) for name, excess in overflows)
    raise BuildError(f"{board.name}: {needs}")


def _excess(board: Board, region: str, excess: int) -> str:
    """What is too large for a region of a linker script, by how much, and the way out."""
    for place, what, way_out in (
        (bootloader_place(board), "bootloader", "give it more, or take away from [boot]"),
        *((image_place(board, "app", i), "application", "give its slots more") for i in (0, 1)),
        *(
            (
                image_place(board, "capsule", i),
                "capsule",
                f"try a smaller model (tinyseal check MODEL --board {board.name} says what takes "
                "how much)",
            )
            for i in (0, 1)
        ),
    ):
        if place.name == region:
            return (
                f"the {what} has {place.bytes + excess:,} B, {region} has room for "
                f"{place.bytes:,}: {excess:,} B too many; {way_out}"
            )
    return f"{region} is {excess:,} B too small for this firmware; try a smaller model"


def generator_inputs() -> list[Path]:
    """The Python sources and templates that decide what the generated files say."""
    host = ROOT / "host/tinyseal"
    packages = ("graph", "optimise", "plan", "codegen")
    python = [*host.glob("*.py"), host / "build/firmware.py"]
    python += [p for package in packages for p in (host / package).rglob("*.py")]
    templates = (ROOT / "codegen_templates").glob("*.j2")
    return sorted(p.relative_to(ROOT) for p in (*python, *templates))


def _sources(*folders: Path, pattern: str = "*.[cS]") -> tuple[Path, ...]:
    found = (p for folder in folders for p in (ROOT / folder).glob(pattern))
    return tuple(sorted(p.relative_to(ROOT) for p in found))
