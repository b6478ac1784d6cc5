"""What a plan is made for."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from tinyseal.plan.tuning import NO_TUNING, Tuning


class Optimise(enum.Enum):
    SPEED = "speed"  # the fewest instructions by estimate, or 0.2 % more for a smaller arena
    SIZE = "size"  # the least code in flash, then the fewest instructions
    RAM = "ram"  # the smallest arena that is found, then the fewest instructions


@dataclass(frozen=True)
class Goal:
    """`ram`: bytes the arena may take, over all regions; None: what the board has. It is met at
    the least cost in instructions that is found, whatever is optimised."""

    optimise: Optimise = Optimise.SPEED
    ram: int | None = None
    tuning: Tuning = NO_TUNING


FASTEST: Final = Goal()
