"""What the owner of a device allows to leave it, signed (firmware/SPEC.md, "Consent")."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tinyseal.errors import UsageError
from tinyseal.package.keys import Key

CONTEXT: Final = b"tinyseal consent"
FORM: Final = 0x30
BODY: Final = struct.Struct("<BBBxI16sHxxI")
BYTES: Final = 96
assert BODY.size + 64 == BYTES
EPSILON_ONE: Final = 256
NOT_BY_RADIO: Final = 1


class Level(enum.IntEnum):
    """As enum consent_level: each allows what those before it do."""

    NONE = 0
    HEALTH = 1
    NOISED = 2
    AGGREGATED = 3
    SAMPLES = 4


@dataclass(frozen=True)
class Consent:
    """`sequence` replaces lower ones. `epsilon` is what a report with noise costs of `budget`,
    which all reports there ever were take from."""

    device: bytes
    level: Level
    sequence: int
    epsilon: float = 0.0
    budget: float = 0.0
    not_by_radio: bool = False

    def sign(self, owner: Key) -> bytes:
        """UsageError for what a device would not take."""
        if not isinstance(owner.private, Ed25519PrivateKey):
            raise UsageError(f"{owner.name}: expected a private Ed25519 key")
        if len(self.device) != 16:
            raise UsageError(f"device id: has {len(self.device)} bytes, expected 16")
        if not 0 < self.sequence < 2**32:
            raise UsageError(f"sequence {self.sequence}: expected 1 to {2**32 - 1}")
        epsilon = _fixed("epsilon", self.epsilon, 2**16)
        budget = _fixed("budget", self.budget, 2**32)
        if self.level is Level.NOISED and not 0 < epsilon <= budget:
            raise UsageError(
                "level noised: needs an epsilon of 1/256 or more, and a budget not below it"
            )
        body = BODY.pack(
            FORM, self.level, NOT_BY_RADIO if self.not_by_radio else 0, self.sequence,
            self.device, epsilon, budget,
        )  # fmt: skip
        return body + owner.private.sign(CONTEXT + body)


def _fixed(name: str, value: float, end: int) -> int:
    scaled = round(value * EPSILON_ONE)
    if not 0 <= scaled < end:
        raise UsageError(f"{name} {value:g}: expected 0 to {(end - 1) / EPSILON_ONE:g}")
    return scaled
