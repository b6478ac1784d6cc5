"""MicroPython with our module: ports built from source, and Python run on them."""

from __future__ import annotations

import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tinyseal.build.firmware import BUILD, ROOT, THIRD_PARTY
from tinyseal.build.third_party import micropython

# What the ports would need from git submodules, or from this machine.
_WITHOUT = [
    "FROZEN_MANIFEST=", "STRIP=true", "MICROPY_SSL_MBEDTLS=0",
    *(f"MICROPY_PY_{name}=0" for name in ("BTREE", "FFI", "SSL", "THREAD", "SOCKET", "BLUETOOTH")),
    *(f"MICROPY_VFS_{name}=0" for name in ("LFS1", "FAT")),
]  # fmt: skip
_PROMPT, _END = b"raw REPL; CTRL-B to exit\r\n>", b"\x04"
_FAULT = b"xPSR:"  # at the end of what it says of a processor that stopped


def modules_folder(name: str = "modules") -> Path:
    """Where a test exports to: always the same, so that only what changed is compiled again."""
    return ROOT / BUILD / "micropython" / name


def build_port(port: str, target: str, modules: Path, name: str, *words: str) -> Path:
    """`target` of ports/`port`, with the user C modules in `modules`."""
    source = micropython(ROOT / THIRD_PARTY)
    folder = ROOT / BUILD / "micropython" / name
    tools = source / "mpy-cross" / "build" / "mpy-cross"
    command = ["make", "-j2", "-C", str(source / "ports" / port), f"BUILD={folder}",
               f"USER_C_MODULES={modules}", f"MICROPY_MPYCROSS={tools}",
               "MICROPY_MPYCROSS_DEPENDENCY=", *_WITHOUT, *words]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-1500:] + result.stderr[-1500:]
    return folder / target


class Unix:
    """The unix port: a program."""

    name = "unix"
    board = "host"  # the profile of its core
    # What run() gives as `memory`: bytes that outlive the process, however it ends.
    MEMORY = """
class Memory:
    def __init__(self, path):
        self.file = open(path, 'r+b')
    def __getitem__(self, part):
        self.file.seek(part.start)
        return self.file.read(part.stop - part.start)
    def __setitem__(self, part, data):
        self.file.seek(part.start)
        self.file.write(data)
memory = Memory({path!r})
"""

    def __init__(self, modules: Path) -> None:
        self.program = build_port(
            "unix", "micropython", modules, self.name, "VARIANT=standard", "MICROPY_VFS_LFS2=1"
        )

    def run(self, code: str, cwd: Path | None = None, memory: Path | None = None) -> str:
        if memory is not None:
            code = self.MEMORY.format(path=str(memory)) + code
        with tempfile.NamedTemporaryFile("w", suffix=".py", dir=cwd) as script:
            script.write(code)
            script.flush()
            result = subprocess.run(
                [str(self.program), script.name],
                capture_output=True, text=True, timeout=60, check=False, cwd=cwd,
            )  # fmt: skip
        died = f"died: signal {-result.returncode}\n" if result.returncode < 0 else ""
        return result.stdout + result.stderr + died


class Qemu:
    """ports/qemu for the MPS2 AN385: a Cortex-M3 that runs Python from its raw REPL."""

    name = "qemu"
    board = "qemu-m3"
    # Room for a .mpy; littlefs asks for a clock.
    words: Sequence[str] = (
        "BOARD=MPS2_AN385",
        "MICROPY_HEAP_SIZE=1500000",
        "CFLAGS_EXTRA=-D'mp_hal_time_ns()=0ull'",
        "MICROPY_VFS_LFS2=1",
        f"LDSCRIPT={ROOT}/tests/support/mps2.ld",
    )
    machine: Sequence[str] = ("qemu-system-arm", "-machine", "mps2-an385")
    MEMORY = "import uctypes\nmemory = uctypes.bytearray_at(0x21000000, 0x1000000)\n"  # PSRAM

    def __init__(self, modules: Path) -> None:
        self.firmware = build_port("qemu", "firmware.elf", modules, self.name, *self.words)

    def run(self, code: str, cwd: Path | None = None, memory: Path | None = None) -> str:
        command = [*self.machine, "-nographic", "-monitor", "none", "-semihosting"]
        command += ["-serial", "stdio", "-kernel", str(self.firmware)]
        if memory is not None:
            code = self.MEMORY + code
            ram = f"memory-backend-file,id=ram,size=16M,mem-path={memory},share=on"
            command += ["-object", ram, "-machine", "memory-backend=ram"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as qemu:
            try:
                _hear(qemu, b">>> ")  # what is said before that is lost
                _say(qemu, b"\x01")
                _hear(qemu, _PROMPT)
                _say(qemu, code.encode() + _END)
                _hear(qemu, b"OK")
                printed = _hear(qemu, _END, _FAULT)
                raised = b"" if _FAULT in printed else _hear(qemu, _END)
                return (printed + raised).decode().replace("\r\n", "\n")
            finally:
                qemu.kill()


class Microbit(Qemu):
    """The same for a Cortex-M0 that loads no native code."""

    name = "microbit"
    board = "qemu-m0"
    words = ("BOARD=MICROBIT",)
    machine = ("qemu-system-arm", "-machine", "microbit",
               "-global", "nrf51-soc.flash-size=1048576",
               "-global", "nrf51-soc.sram-size=262144")  # fmt: skip


def _say(qemu: subprocess.Popen[bytes], data: bytes) -> None:
    assert qemu.stdin is not None
    qemu.stdin.write(data)
    qemu.stdin.flush()


def _hear(qemu: subprocess.Popen[bytes], *ends: bytes, seconds: float = 60) -> bytes:
    """What it says before one of `ends`; with it if it is not the first."""
    assert qemu.stdout is not None
    said, deadline = b"", time.monotonic() + seconds
    while not said.endswith(ends):
        ready, _, _ = select.select([qemu.stdout], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {ends!r} after {seconds} s; heard {said[-300:]!r}"
        byte = qemu.stdout.read(1) if ready else b""
        assert byte, f"QEMU ended; heard {said[-300:]!r}"
        said += byte
    return said.removesuffix(ends[0])


def literals(values: Sequence[bytes]) -> str:
    """Arguments of predict()."""
    return ", ".join(repr(value) for value in values)
