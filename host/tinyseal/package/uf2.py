"""Intel HEX -> UF2, the format of bootloaders that appear as a drive.

Source: Microsoft, "USB Flashing Format (UF2)": blocks of 512 bytes, little-endian.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from tinyseal.package.files import read_file
from tinyseal.package.merge import parse_hex

PAYLOAD_BYTES: Final = 256  # a flash page: what every such bootloader takes
ERASED: Final = 0xFF
_HEAD: Final = struct.Struct("<8I")  # magic, magic, flags, address, bytes, number, of, family
_START: Final = (0x0A324655, 0x9E5D5157)
_END: Final = struct.pack("<I", 0x0AB16F30)
_FAMILY_PRESENT: Final = 0x2000
_DATA_BYTES: Final = 476
assert _HEAD.size + _DATA_BYTES + len(_END) == 512


def to_uf2(image: Path, family: int) -> bytes:
    """The pages of an Intel HEX file that hold data, each filled up with erased bytes."""
    data = parse_hex(image, read_file(image))
    data.padding = ERASED
    pages = sorted({address // PAYLOAD_BYTES for address in data.addresses()})
    blocks = []
    for number, page in enumerate(pages):
        address = page * PAYLOAD_BYTES
        head = _HEAD.pack(
            *_START, _FAMILY_PRESENT, address, PAYLOAD_BYTES, number, len(pages), family
        )
        payload = data.tobinstr(start=address, size=PAYLOAD_BYTES)
        blocks.append(head + payload.ljust(_DATA_BYTES, b"\0") + _END)
    return b"".join(blocks)
