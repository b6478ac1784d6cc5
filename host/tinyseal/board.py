"""Board profiles: one TOML a board, data only, every key known and every number in range."""

from __future__ import annotations

import enum
import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tinyseal.errors import BoardError

BOARDS_DIR: Final = Path(__file__).resolve().parents[2] / "boards"


class Core(enum.Enum):
    """Processor cores, by the name the compiler knows them under."""

    M0 = "cortex-m0"
    M3 = "cortex-m3"
    M4 = "cortex-m4"
    M7 = "cortex-m7"
    M33 = "cortex-m33"
    M55 = "cortex-m55"
    RV32IMC = "rv32imc"
    LX106 = "lx106"
    HOST = "host"

    @property
    def has_dsp(self) -> bool:
        """Armv7E-M's packed 16-bit multiplies (SMLAD)."""
        return self in (Core.M4, Core.M7, Core.M33, Core.M55)

    @property
    def has_mve(self) -> bool:
        """Helium vectors."""
        return self is Core.M55

    @property
    def is_arm(self) -> bool:
        return self.value.startswith("cortex-")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Toolchain(_Strict):
    prefix: str  # "arm-none-eabi-"; "" for the host's own compiler
    cflags: tuple[str, ...]  # machine flags, given to compiler and linker alike
    package: str  # Debian package, for the message when it is missing


class Memory(_Strict):
    """One address range. The linker places code and constants in `flash`, the rest in `ram`."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    kind: Literal["flash", "ram"]
    base: Annotated[int, Field(ge=0, lt=2**32)]
    bytes: Annotated[int, Field(gt=0, le=2**32)]
    arena_bytes: Annotated[int, Field(ge=0)] = 0  # how much of it the model's arena may take


class Clock(_Strict):
    hz: Annotated[int, Field(gt=0)]


class Console(_Strict):
    baud: Annotated[int, Field(gt=0)]


class QemuRunner(_Strict):
    """A virtual board: how to start it. `{elf}` stands for the firmware."""

    kind: Literal["qemu"]
    binary: str
    package: str  # Debian package
    args: tuple[str, ...]


class Board(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
    title: str
    chip: str
    core: Core
    toolchain: Toolchain
    memory: tuple[Memory, ...]
    clock: Clock
    console: Console
    runner: QemuRunner | None = None

    @property
    def arena_regions(self) -> tuple[Memory, ...]:
        """RAM the arena may use, fastest first; at most CAPSULE_REGIONS of them."""
        return tuple(m for m in self.memory if m.arena_bytes)


def load_board(name: str, boards_dir: Path = BOARDS_DIR) -> Board:
    """The profile `boards/<name>.toml`; BoardError names file, key and what was expected."""
    path = boards_dir / f"{name}.toml"
    if not path.is_file():
        raise BoardError(f"no board {name!r}; boards: {', '.join(board_names(boards_dir))}")
    try:
        return Board.model_validate(tomllib.loads(path.read_text()), strict=False)
    except (tomllib.TOMLDecodeError, ValidationError) as e:
        raise BoardError(f"{path}: {e}") from e


def board_names(boards_dir: Path = BOARDS_DIR) -> list[str]:
    return sorted(p.stem for p in boards_dir.glob("*.toml"))
