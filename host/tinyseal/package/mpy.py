"""What a `.mpy` file says of itself, in its first bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ARCHS: Final = (
    "none", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc",
)  # fmt: skip
HEADER_BYTES: Final = 4


@dataclass(frozen=True)
class Mpy:
    version: int
    sub_version: int  # of the interface for native code
    arch: str

    def __str__(self) -> str:
        return f".mpy {self.version}.{self.sub_version} for {self.arch}"


def read_mpy(data: bytes) -> Mpy | None:
    """None if it is no `.mpy` file."""
    if len(data) < HEADER_BYTES or data[0] != ord("M"):
        return None
    number = data[2] >> 2
    arch = ARCHS[number] if number < len(ARCHS) else f"architecture {number}"
    return Mpy(data[1], data[2] & 3, arch)
