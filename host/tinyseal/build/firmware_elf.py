"""Small firmwares of their own for a board: what tests and torture campaigns run on it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.build.firmware import (
    COMPILE_FLAGS,
    DEFAULT_MODEL,
    MEMORY,
    P256_M_FLAGS,
    ROOT,
    SMALL_FLAGS,
    THIRD_PARTY,
    WARNINGS,
    Request,
    SourceGroup,
    bare_texts,
    hal_folders,
    link,
    link_flags,
    model_groups,
    require_toolchain,
    rom_sources,
)
from tinyseal.build.third_party import monocypher, p256_m
from tinyseal.codegen.firmware import firmware_of
from tinyseal.errors import BuildError

FIRMWARE: Final = ROOT / "firmware"
# Not by build: processes that build in folders of their own share it. Each file appears when whole.
CACHE: Final = ROOT / "build" / "bare"
FLASHTEST: Final = (
    FIRMWARE / "flashtest" / "flashtest.c",
    *(FIRMWARE / "app" / name for name in ("line.c", "out.c")),
    *(FIRMWARE / "nv" / name for name in ("nv_area.c", "nv_counter.c", "nv_crc.c", "nv_kv.c")),
)
FLASHTEST_INCLUDES: Final = tuple(FIRMWARE / name for name in ("app", "nv"))


def flashtest(board: Board) -> Path:
    """The firmware that does to the board's flash what it is told."""
    return compile_firmware(board, "flashtest", FLASHTEST, FLASHTEST_INCLUDES)


def cryptotest(board: Board, as_bootloader: bool = False) -> Path:
    """The firmware that puts test vectors to the cryptography: the application's, or the
    bootloader's, with its shorter Monocypher, C library and flags. It has twice the stack:
    signature checks go deeper than inference does."""
    own = firmware_of(board)
    roomy = own.model_copy(update={"stack_bytes": 2 * own.stack_bytes})
    curve, p256 = monocypher(ROOT / THIRD_PARTY), p256_m(ROOT / THIRD_PARTY)
    sources = [
        FIRMWARE / "cryptotest" / "cryptotest.c",
        *(FIRMWARE / "app" / name for name in ("line.c", "out.c")),
        *sorted((FIRMWARE / "crypto").glob("*.c")),
        *sorted((FIRMWARE / "crypto" / "p256").glob("*.c")),
        p256 / "p256-m.c",
    ]
    if as_bootloader:
        sources += [FIRMWARE / "bootloader" / "monocypher_small.c", ROOT / MEMORY]
    else:
        sources.append(curve.source)
    return compile_firmware(
        board.model_copy(update={"firmware": roomy}),
        "cryptotest",
        sources,
        (FIRMWARE / "app", FIRMWARE / "crypto", FIRMWARE / "crypto" / "p256"),
        (curve.include_dir, curve.frame_dir, p256),
        (*P256_M_FLAGS, *(SMALL_FLAGS if as_bootloader else ())),
    )


def kerneltest(board: Board, kernels: str, capsules: Sequence[str], folder: Path) -> Path:
    """The firmware that runs `capsules`, texts of codegen/generate.py that are no images, from a
    folder of their own. The set `kernels` says which sources they may call. Kernels and capsules
    are compiled as for a product."""
    whole = alone(board)
    request = Request(whole, DEFAULT_MODEL, kernels)
    *groups, of_capsule = model_groups(request)
    runtime, test = Path("firmware/runtime"), Path("firmware/kerneltest")
    app, nv = Path("firmware/app"), Path("firmware/nv")
    sources = (test / "kerneltest.c", app / "line.c", app / "out.c", nv / "nv_crc.c")
    main = SourceGroup(sources, "-Os", (test, runtime, app, nv), ())
    objects, base = _compile(whole, "kerneltest", [_of_board(whole), main, *groups])
    names = [f"capsule_{number}" for number in range(len(capsules))]
    for name, text in zip(names, capsules, strict=True):
        (folder / f"{name}.c").write_text(f"#define capsule_table {name}\n{text}")
    (folder / "capsules.c").write_text(
        '#include "kerneltest.h"\n'
        f"extern const struct capsule {', '.join(names)};\n"
        f"const struct capsule *const kerneltest_capsules[] = {{ &{', &'.join(names)} }};\n"
        f"const unsigned kerneltest_count = {len(names)};\n"
    )
    made = replace(
        of_capsule,
        files=tuple(folder / f"{name}.c" for name in (*names, "capsules")),
        include_dirs=(*of_capsule.include_dirs, test),
    )
    objects += [
        _object(whole, made, source, base, folder / f"{source.stem}.o") for source in made.files
    ]
    return _link(whole, base, objects, folder / "kerneltest.elf")


def alone(board: Board) -> Board:
    """The board with nothing beside a bootloader: that has the whole memory where reset begins, and
    its flash is not kept. Where a ROM copies it to RAM there is no more room than before."""
    if board.rom is not None:
        return board
    runner = board.runner and board.runner.model_copy(update={"flash_in_memory": False})
    return board.model_copy(update={"partition": (), "boot": None, "runner": runner})


def compile_firmware(
    board: Board,
    name: str,
    sources: Sequence[Path],
    include_dirs: Sequence[Path],
    system_dirs: Sequence[Path] = (),
    more_flags: Sequence[str] = (),
) -> Path:
    """`sources`, which have a main(), with the board's hal, as one ELF.

    Compiled once: the folder is named after everything that goes in. BuildError carries the
    compiler's first error.
    """
    system = tuple(f"-isystem{d}" for d in system_dirs)
    flags = (*WARNINGS, *more_flags, *system)
    own = SourceGroup(tuple(sources), "-Os", tuple(include_dirs), (), flags)
    objects, folder = _compile(board, name, [replace(_of_board(board), flags=flags), own])
    elf = folder / f"{name}.elf"
    return elf if elf.exists() else _link(board, folder, objects, elf)


def _of_board(board: Board) -> SourceGroup:
    """The board's hal, and what GCC calls."""
    files = (p for d in hal_folders(board) for p in sorted((ROOT / d).glob("*.[cS]")))
    rom = (ROOT / p for p in rom_sources(board.core))
    return SourceGroup(tuple(dict.fromkeys((*files, *rom))), "-Os", (), ())


def _compile(board: Board, name: str, groups: Sequence[SourceGroup]) -> tuple[list[Path], Path]:
    """Objects of all groups, and the folder they are in with the board's own files, which is named
    after everything that goes in. What is there is not compiled again."""
    require_toolchain(board)
    texts = bare_texts(board)
    words = [(group.optimise, group.flags, group.include_dirs) for group in groups]
    digest = hashlib.sha256(repr((words, _flags(board), link_flags(board), texts)).encode())
    for group in groups:
        folders = (*hal_folders(board), *group.include_dirs, *_system_dirs(group))
        headers = (h for d in folders for h in sorted((ROOT / d).glob("*.h")))
        for path in (*group.files, *headers):
            digest.update((ROOT / path).read_bytes())
    folder = CACHE / board.name / f"{name}-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        if not (folder / file).exists():
            scratch = folder / f"{file}.{os.getpid()}"
            scratch.write_text(text)
            scratch.rename(folder / file)
    sources = dict.fromkeys((source, group) for group in groups for source in group.files)
    objects = []
    for number, (source, group) in enumerate(sources):
        target = folder / f"{number}-{source.stem}.o"
        objects.append(target if target.exists() else _object(board, group, source, folder, target))
    return objects, folder


def _flags(board: Board) -> tuple[str, ...]:
    return (*board.toolchain.cflags, *COMPILE_FLAGS)


def _system_dirs(group: SourceGroup) -> list[Path]:
    mark = "-isystem"
    return [Path(flag.removeprefix(mark)) for flag in group.flags if flag.startswith(mark)]


def _object(board: Board, group: SourceGroup, source: Path, folder: Path, target: Path) -> Path:
    """Compiles one source of a group; `folder` has the board's own files."""
    compiler = f"{board.toolchain.prefix}gcc"
    includes = [f"-I{d}" for d in (*hal_folders(board), *group.include_dirs, folder)]
    scratch = target.with_suffix(f".{os.getpid()}")
    command = [compiler, *_flags(board), group.optimise, *group.flags, *includes, "-c", str(source)]
    done = subprocess.run(
        [*command, "-o", str(scratch)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error:" in line]
        raise BuildError(f"{source.name}: {lines[0] if lines else done.stderr.strip()}")
    scratch.rename(target)
    return target


def _link(board: Board, folder: Path, objects: Sequence[Path], elf: Path) -> Path:
    scratch = elf.with_suffix(f".{os.getpid()}")
    linker = [f"{board.toolchain.prefix}gcc", *link_flags(board), "-T", str(folder / "link.ld")]
    link([*linker, *map(str, objects), "-o", str(scratch)], board)
    scratch.rename(elf)
    return elf
