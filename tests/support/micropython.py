"""MicroPython with our module: ports built from source, and Python run on them."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tinyseal.build.firmware import BUILD, ROOT, THIRD_PARTY
from tinyseal.build.third_party import micropython

# What the ports would need from git submodules, or from this machine.
_WITHOUT = [
    "FROZEN_MANIFEST=", "STRIP=true", "MICROPY_SSL_MBEDTLS=0",
    *(f"MICROPY_PY_{name}=0" for name in ("BTREE", "FFI", "SSL", "THREAD", "SOCKET", "BLUETOOTH")),
    *(f"MICROPY_VFS_{name}=0" for name in ("LFS1", "LFS2", "FAT")),
]  # fmt: skip
_QEMU = [
    "qemu-system-arm",
    "-machine",
    "mps2-an385",
    "-nographic",
    "-monitor",
    "none",
    "-semihosting",
]
_PROMPT, _END = b"raw REPL; CTRL-B to exit\r\n>", b"\x04"


def modules_folder() -> Path:
    """Where a test exports to: always the same, so that only what changed is compiled again."""
    return ROOT / BUILD / "micropython" / "modules"


def build_port(port: str, target: str, modules: Path, *words: str) -> Path:
    """`target` of ports/`port`, with the user C modules in `modules`."""
    source = micropython(ROOT / THIRD_PARTY)
    folder = ROOT / BUILD / "micropython" / port
    tools = source / "mpy-cross" / "build" / "mpy-cross"
    command = ["make", "-j2", "-C", str(source / "ports" / port), f"BUILD={folder}",
               f"USER_C_MODULES={modules}", f"MICROPY_MPYCROSS={tools}",
               "MICROPY_MPYCROSS_DEPENDENCY=", *words]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-1500:] + result.stderr[-1500:]
    return folder / target


class Unix:
    """The unix port: a program."""

    name = "unix"

    def __init__(self, modules: Path) -> None:
        self.program = build_port("unix", "micropython", modules, "VARIANT=standard", *_WITHOUT)

    def run(self, code: str, cwd: Path | None = None) -> str:
        command = [str(self.program), "-c", code]
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd
        )
        return result.stdout + result.stderr


class Qemu:
    """ports/qemu for the MPS2 AN385: a Cortex-M3 that runs Python from its raw REPL."""

    name = "qemu"

    def __init__(self, modules: Path) -> None:
        self.firmware = build_port("qemu", "firmware.elf", modules, "BOARD=MPS2_AN385", *_WITHOUT)

    def run(self, code: str, cwd: Path | None = None) -> str:
        command = [*_QEMU, "-serial", "stdio", "-kernel", str(self.firmware)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as qemu:
            try:
                _hear(qemu, b">>> ")  # what is said before that is lost
                _say(qemu, b"\x01")
                _hear(qemu, _PROMPT)
                _say(qemu, code.encode() + _END)
                _hear(qemu, b"OK")
                printed = _hear(qemu, _END)
                raised = _hear(qemu, _END)
                return (printed + raised).decode().replace("\r\n", "\n")
            finally:
                qemu.kill()


def _say(qemu: subprocess.Popen[bytes], data: bytes) -> None:
    assert qemu.stdin is not None
    qemu.stdin.write(data)
    qemu.stdin.flush()


def _hear(qemu: subprocess.Popen[bytes], end: bytes, seconds: float = 60) -> bytes:
    """What it says before `end`."""
    assert qemu.stdout is not None
    said, deadline = b"", time.monotonic() + seconds
    while not said.endswith(end):
        ready, _, _ = select.select([qemu.stdout], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {end!r} after {seconds} s; heard {said[-300:]!r}"
        byte = qemu.stdout.read(1) if ready else b""
        assert byte, f"QEMU ended; heard {said[-300:]!r}"
        said += byte
    return said.removesuffix(end)


def literals(values: Sequence[bytes]) -> str:
    """Arguments of predict()."""
    return ", ".join(repr(value) for value in values)
