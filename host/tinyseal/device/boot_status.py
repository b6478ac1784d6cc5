"""What the bootloader's numbers mean: it has no room for the words.

The numbers are enum boot_status's, in firmware/boot/boot_status.h.
"""

from __future__ import annotations

import re
from typing import Final

TEXTS: Final = {
    1: "no image",
    2: "cannot read flash",
    3: "cannot write flash",
    4: "bad header",
    5: "larger than its slot",
    6: "malformed TLVs",
    7: "a TLV twice",
    8: "TLV not protected or unknown",
    9: "bytes after the image",
    10: "damaged",
    11: "unknown key",
    12: "bad signature",
    13: "linked for another slot",
    14: "for another board or image",
    15: "withdrawn by security counter",
    16: "older version",
    17: "needs another version of the other image",
    18: "encrypted",
    19: "encrypted for another board",
    20: "counter exhausted",
    21: "cannot read security counter",
    22: "cannot read state",
    23: "changed between two looks",
    24: "reverted, was not confirmed",
    25: "an image is on trial",
    26: "slots do not fit the flash",
    27: "encrypted, no key in storage",
}

_LINE: Final = re.compile(
    r"^(boot (?:(?:app|capsule) [ab]|tinyseal \S+ \S+ nothing boots:) )(\d+)\b"
)


def explained(line: str) -> str:
    """A line from a board; the bootloader's with words in place of the number."""
    found = _LINE.match(line)
    if found is None:
        return line
    number = int(found.group(2))
    return found.group(1) + TEXTS.get(number, f"unknown status {number}") + line[found.end() :]
