"""A modelled chip as a process: python -m tinyseal.virtual.chips MODEL FLASH BOOT BASE:BYTES...

FLASH is the file that keeps its flash, BOOT what lies where reset begins ("-": what the flash
has there), BASE:BYTES its RAM. Prints its console's pseudo-terminal, and waits for a line before
it starts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tinyseal.virtual.chips.chip import Chip, Stopped
from tinyseal.virtual.chips.esp32c3 import Esp32C3
from tinyseal.virtual.chips.nrf52840 import Nrf52840
from tinyseal.virtual.chips.stm32 import Stm32F405, Stm32H743, Stm32L475

Make = Callable[[Path, bytes, Sequence[tuple[int, int]]], Chip]
MODELS: Final[dict[str, Make]] = {
    "esp32c3": Esp32C3,
    "nrf52840": Nrf52840,
    "stm32f405": Stm32F405,
    "stm32h743": Stm32H743,
    "stm32l475": Stm32L475,
}


def main() -> None:
    model, flash, boot, *memory = sys.argv[1:]
    sizes = [(int(base), int(size)) for base, size in (m.split(":") for m in memory)]
    first = b"" if boot == "-" else Path(boot).read_bytes()
    chip = MODELS[model](Path(flash), first, sizes)
    print(chip.line.name, flush=True)
    if not sys.stdin.readline():
        return
    try:
        chip.run()
    except Stopped as e:
        sys.exit(f"{model}: {e}")


main()
