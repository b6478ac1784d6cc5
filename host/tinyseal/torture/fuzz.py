"""Hostile bytes for the firmware's parsers: libFuzzer with sanitizers, corpus kept."""

from __future__ import annotations

import enum
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tinyseal.build.firmware import ROOT
from tinyseal.build.third_party import monocypher
from tinyseal.codegen.firmware import generate_board_config
from tinyseal.errors import BuildError
from tinyseal.profiles import load_board

CORPUS: Final = ROOT / "tests" / "corpus"
_FIRMWARE: Final = ROOT / "firmware"
_SMP_BOARD: Final = "qemu-m4"  # whose sizes of buffers the application is built with
_FLAGS: Final = (
    "-std=c11", "-g", "-O2", "-D_POSIX_C_SOURCE=200809L",
    "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
# What a hash compares tells nothing of how far an input came.
_NOT_COVERED: Final = "src:*/firmware/crypto/*\nsrc:*/monocypher.c\n"
_COMPILERS: Final = ("clang", "clang-14")
_RUNS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")


class Target(enum.Enum):
    """What is fed: readers of flash, the application with all that it receives, or what the host
    reads of devices (fleet/fuzz.py)."""

    READERS = "readers"
    SMP = "smp"
    FLEET = "fleet"

    @property
    def corpus(self) -> Path:
        return CORPUS / ("fuzz" if self is Target.READERS else f"fuzz_{self.value}")


@dataclass(frozen=True)
class FuzzResult:
    count: int  # executions
    failures: int
    seconds: float
    message: str  # what broke, if something did


def fuzz(count: int, seed: int, target: Target = Target.READERS) -> FuzzResult:
    """At least `count` executions from the corpus on; what is found anew is not kept there.

    BuildError without clang and its run-time libraries.
    """
    with tempfile.TemporaryDirectory() as scratch:
        program = _compile(Path(scratch), target)
        found = Path(scratch) / "found"
        found.mkdir()
        started = time.monotonic()
        done = subprocess.run(
            [str(program), f"-runs={count}", f"-seed={seed}", "-max_len=4096", "-timeout=20",
             "-print_final_stats=1", f"-artifact_prefix={scratch}/", str(found),
             str(target.corpus)],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        seconds = round(time.monotonic() - started, 1)
    runs = _RUNS.search(done.stderr)
    lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "error" in line]
    return FuzzResult(
        int(runs.group(1)) if runs else 0,
        int(done.returncode != 0),
        seconds,
        (lines[0] if lines else done.stderr[-200:]) if done.returncode else "",
    )


def _sources(target: Target) -> list[Path]:
    folders = ["nv", "crypto", "boot"]
    folders += ["runtime", "services", "app"] if target is Target.SMP else []
    named = {
        Target.READERS: ("sim/flash_sim.c", "fuzz/fuzz.c", "fuzz/fuzz_meter.c",
                         "services/delta.c", "services/slot_writer.c", "services/meter.c",
                         "services/meter_voucher.c", "fuzz/fuzz_telemetry.c", "services/cbor.c",
                         "services/consent.c", "services/observe.c", "services/telemetry.c"),
        Target.SMP: ("sim/flash_sim.c", "sim/boot_bench.c", "sim/ed25519_memo.c",
                     "fuzz/fuzz_smp.c"),
    }  # fmt: skip
    own = {_FIRMWARE / "app" / name for name in ("main.c", "images.c")}  # the target has its own
    found = {p for f in folders for p in (_FIRMWARE / f).glob("*.c")} - own
    return sorted(found) + [_FIRMWARE / name for name in named[target]]


def _compile(folder: Path, target: Target) -> Path:
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise BuildError("clang is missing; apt-get install clang libclang-rt-14-dev")
    ignored = folder / "not_covered"
    ignored.write_text(_NOT_COVERED)
    (folder / "board_config.h").write_text(generate_board_config(load_board(_SMP_BOARD)))
    curve = monocypher(ROOT / "build" / "third_party")
    layers = ("hal", "nv", "crypto", "boot", "sim", "runtime", "services", "app", "fuzz")
    includes = [folder, curve.include_dir, *(_FIRMWARE / layer for layer in layers)]
    memo = ["-Wl,--wrap=ed25519_check"] if target is Target.SMP else []
    sources = [*_sources(target), curve.source]
    program = folder / "fuzz"
    done = subprocess.run(
        [compiler, *_FLAGS, f"-fsanitize-coverage-ignorelist={ignored}", *memo,
         *(f"-I{i}" for i in includes), *map(str, sources), "-o", str(program)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line]
        raise BuildError(f"fuzz: {lines[0] if lines else done.stderr.strip()[:300]}")
    return program
