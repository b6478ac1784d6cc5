"""Power cuts at every flash operation: the firmware's own code over the strict flash simulator."""

from __future__ import annotations

import os
import subprocess
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT
from tinyseal.build.native import SANITIZE, compile_native
from tinyseal.build.third_party import monocypher
from tinyseal.errors import BoardError

SCENARIOS: Final = (
    "counter",
    "kv",
    "xip_install",
    "xip_revert",
    "swap_install",
    "swap_revert",
    "swap_encrypted",
    "ram_encrypted",
    "xip_smp",
    "swap_smp",
    "ram_smp",
    "xip_delta",
    "swap_delta",
    "ram_delta",
)
_FOLDERS: Final = tuple(
    ROOT / "firmware" / name for name in ("services", "hal", "nv", "crypto", "boot", "sim")
)
_SERVICES: Final = tuple(
    _FOLDERS[0] / name
    for name in ("cbor.c", "delta.c", "slot_writer.c", "slots.c", "smp.c", "smp_image.c")
)
# A campaign verifies the same few signatures thousands of times: see ed25519_memo.c.
# Monocypher under a sanitizer is not clean to -Wconversion.
_FLAGS: Final = ("-Wno-error=conversion", "-Wl,--wrap=ed25519_check")


@dataclass(frozen=True)
class PowerResult:
    """One scenario on one geometry."""

    board: str
    scenario: str
    erase_bytes: int
    program_bytes: int
    count: int  # cuts made
    failures: int
    seconds: float
    message: str  # what broke, if something did


def simulator(sanitize: Sequence[str] = SANITIZE) -> Path:
    """The campaign program. With sanitizers it also sees undefined behaviour, at five times the
    price: tests run it so, on a few cuts."""
    curve = monocypher(ROOT / "build" / "third_party")
    sources = [*_SERVICES, *(p for d in _FOLDERS[2:] for p in sorted(d.glob("*.c")))]
    return compile_native(
        "power", [*sources, curve.source], _FOLDERS, [curve.include_dir], flags=(*sanitize, *_FLAGS)
    )


def torture_power(
    boards: Sequence[Board],
    count: int,
    seed: int,
    report: Callable[[int], None] = lambda cuts: None,
) -> list[PowerResult]:
    """At least `count` cuts in all, shared between every scenario on every board's geometry.

    Boards of one geometry get different numbers, so each has cuts of its own.
    """
    jobs = [(board, scenario) for board in boards for scenario in SCENARIOS]
    share = -(-count // len(jobs))
    program = simulator(())
    done = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [
            pool.submit(
                _run, program, board, scenario, share, seed + zlib.crc32(board.name.encode())
            )
            for board, scenario in jobs
        ]
        for run in as_completed(runs):
            done += run.result().count
            report(done)
    return [run.result() for run in runs]


def _run(program: Path, board: Board, scenario: str, count: int, seed: int) -> PowerResult:
    if board.flash is None:
        raise BoardError(f"{board.name}: has no [flash]; there is no geometry to cut power on")
    geometry = (board.flash.erase_bytes, board.flash.program_bytes)
    started = time.monotonic()
    done = subprocess.run(
        [str(program), scenario, *map(str, (*geometry, count, seed))],
        capture_output=True,
        text=True,
        check=False,
    )
    words = done.stdout.split()
    cuts, failures = (int(words[0]), int(words[1])) if len(words) == 2 else (0, 1)
    return PowerResult(
        board.name,
        scenario,
        *geometry,
        cuts,
        failures,
        round(time.monotonic() - started, 1),
        done.stderr.strip().replace("\n", "; ")[:400],
    )
