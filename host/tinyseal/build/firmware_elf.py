"""Small firmwares of their own for a board: what tests and torture campaigns run on it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.build.firmware import (
    BUILD,
    COMPILE_FLAGS,
    MEMORY,
    P256_M_FLAGS,
    ROOT,
    SMALL_FLAGS,
    THIRD_PARTY,
    WARNINGS,
    bare_texts,
    hal_folders,
    link,
    link_flags,
    require_toolchain,
    rom_sources,
)
from tinyseal.build.third_party import monocypher, p256_m
from tinyseal.codegen.firmware import firmware_of
from tinyseal.errors import BuildError

FIRMWARE: Final = ROOT / "firmware"
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
    require_toolchain(board)
    folders = tuple(ROOT / folder for folder in hal_folders(board))
    of_board = (p for d in folders for p in sorted(d.glob("*.[cS]")))
    rom = (ROOT / p for p in rom_sources(board.core))
    sources = list(dict.fromkeys((*of_board, *rom, *sources)))
    texts = bare_texts(board)
    compiler = f"{board.toolchain.prefix}gcc"
    flags = [*board.toolchain.cflags, *COMPILE_FLAGS, "-Os", *WARNINGS, *more_flags]
    flags += [f"-I{d}" for d in (*folders, *include_dirs)]
    flags += [word for d in system_dirs for word in ("-isystem", str(d))]
    digest = hashlib.sha256(repr((flags, link_flags(board), texts)).encode())
    headers = (h for d in (*folders, *include_dirs, *system_dirs) for h in sorted(d.glob("*.h")))
    for path in (*sources, *headers):
        digest.update(path.read_bytes())
    folder = ROOT / BUILD / board.name / f"{name}-{digest.hexdigest()[:16]}"
    elf = folder / f"{name}.elf"
    if elf.exists():
        return elf
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        (folder / file).write_text(text)
    objects = []
    for number, source in enumerate(sources):
        objects.append(str(folder / f"{number}-{source.stem}.o"))
        command = [compiler, *flags, f"-I{folder}", "-c", str(source), "-o", objects[-1]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error:" in line]
            raise BuildError(f"{name}: {lines[0] if lines else done.stderr.strip()}")
    scratch = folder / f"{name}.{os.getpid()}"
    linker = [compiler, *link_flags(board), "-T", str(folder / "link.ld"), *objects]
    link([*linker, "-o", str(scratch)], board)
    scratch.rename(elf)
    return elf
