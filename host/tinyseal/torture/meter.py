"""Prepaid queries under power cuts: the firmware's own meter over the strict flash simulator."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tinyseal.board import Board
from tinyseal.build.firmware import ROOT
from tinyseal.build.native import SANITIZE, compile_native
from tinyseal.build.third_party import monocypher
from tinyseal.errors import BoardError
from tinyseal.package.keys import Key
from tinyseal.package.provision import meter_book

_FOLDERS: Final = tuple(
    ROOT / "firmware" / name for name in ("hal", "nv", "crypto", "services", "sim")
)
# Monocypher under a sanitizer is not clean to -Wconversion.
_FLAGS: Final = (*SANITIZE, "-Wno-error=conversion")
_SEED: Final = bytes([1]) * 32  # of the device's key, as firmware/sim/meter/meter_torture.c has it


@dataclass(frozen=True)
class MeterResult:
    """One geometry."""

    board: str
    erase_bytes: int
    program_bytes: int
    count: int  # queries asked for
    cuts: int
    vouchers: int
    lost: int  # queries that cuts cost
    failures: int
    seconds: float
    message: str  # what broke, if something did


def meter_simulator() -> Path:
    """The campaign program, with sanitizers."""
    _, nv, crypto, services, sim = _FOLDERS
    curve = monocypher(ROOT / "build" / "third_party")
    sources = [
        *(p for d in (nv, crypto) for p in sorted(d.glob("*.c"))),
        *(services / name for name in ("meter.c", "meter_voucher.c")),
        sim / "flash_sim.c",
        sim / "meter" / "meter_torture.c",
        curve.source,
    ]
    return compile_native("meter", sources, _FOLDERS, [curve.include_dir], flags=_FLAGS)


def torture_meter(
    boards: Sequence[Board],
    count: int,
    seed: int,
    report: Callable[[int], None] = lambda queries: None,
) -> list[MeterResult]:
    """At least `count` queries in all, shared between the boards' geometries."""
    share = -(-count // len(boards))
    results: list[MeterResult] = []
    for board in boards:
        results.append(_run(board, share, seed))
        report(sum(r.count for r in results))
    return results


def _run(board: Board, count: int, seed: int) -> MeterResult:
    if board.flash is None:
        raise BoardError(f"{board.name}: has no [flash]; there is no geometry to cut power on")
    geometry = (board.flash.erase_bytes, board.flash.program_bytes)
    private = Ed25519PrivateKey.from_private_bytes(_SEED)
    book = meter_book(Key(private.public_key(), private, "simulated device"), 0)
    started = time.monotonic()
    done = subprocess.run(
        [str(meter_simulator()), *map(str, (*geometry, count, seed)), book.hex()],
        capture_output=True,
        text=True,
        check=False,
    )
    words = [int(word) for word in done.stdout.split()]
    queries, cuts, vouchers, lost, failures = words if len(words) == 5 else (0, 0, 0, 0, 1)
    return MeterResult(
        board.name,
        *geometry,
        queries,
        cuts,
        vouchers,
        lost,
        failures,
        round(time.monotonic() - started, 1),
        done.stderr.strip().replace("\n", "; ")[:400],
    )
