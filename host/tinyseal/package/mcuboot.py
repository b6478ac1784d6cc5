"""MCUboot's image format: its numbers, and a strict reader.

The numbers are those of `imgtool`, and a test holds them to it. The reader tells everything that
is wrong and at which offset. An image that any of our bootloaders takes has nothing wrong; one of
MCUboot's that uses what ours do not know may be sound here and be refused by a board.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

IMAGE_MAGIC: Final = 0x96F3B83D
TLV_INFO_MAGIC: Final = 0x6907
TLV_PROT_INFO_MAGIC: Final = 0x6908

HEADER: Final = struct.Struct("<IIHHIIBBHII")  # magic, load, sizes, flags, version, pad
TLV_INFO: Final = struct.Struct("<HH")  # magic, length of the area with this
TLV_ENTRY: Final = struct.Struct("<HH")  # type, length of the value
DEPENDENCY: Final = struct.Struct("<B3xBBHI")  # image, lowest version
assert (HEADER.size, TLV_INFO.size, TLV_ENTRY.size, DEPENDENCY.size) == (32, 4, 4, 12)

TRAILER_MAGIC: Final = bytes.fromhex("77c295f360d2ef7f3552500f2cb67980")  # flash of up to 8 bytes
TRAILER_MAGIC_WIDE: Final = bytes.fromhex("2de15d29410b8d77679c110f1f8a")  # behind a u16: the unit
MIN_TRAILER_ALIGN: Final = 8
ERASED: Final = 0xFF


class Flag(enum.IntFlag):
    """Of the header."""

    PIC = 0x0000001
    ENCRYPTED_AES128 = 0x0000004
    ENCRYPTED_AES256 = 0x0000008
    NON_BOOTABLE = 0x0000010
    RAM_LOAD = 0x0000020
    ROM_FIXED = 0x0000100
    COMPRESSED_LZMA1 = 0x0000200
    COMPRESSED_LZMA2 = 0x0000400
    COMPRESSED_ARM_THUMB = 0x0000800


ENCRYPTED: Final = Flag.ENCRYPTED_AES128 | Flag.ENCRYPTED_AES256


class Tlv(enum.IntEnum):
    """Types of type-length-value entries."""

    KEYHASH = 0x01
    PUBKEY = 0x02
    SHA256 = 0x10
    SHA384 = 0x11
    SHA512 = 0x12
    RSA2048 = 0x20
    ECDSASIG = 0x22
    RSA3072 = 0x23
    ED25519 = 0x24
    SIG_PURE = 0x25
    ENCRSA2048 = 0x30
    ENCKW = 0x31
    ENCEC256 = 0x32
    ENCX25519 = 0x33
    ENCX25519_SHA512 = 0x34
    DEPENDENCY = 0x40
    SEC_CNT = 0x50
    BOOT_RECORD = 0x60
    DECOMP_SIZE = 0x70
    DECOMP_SHA = 0x71
    DECOMP_SIGNATURE = 0x72
    COMP_DEC_SIZE = 0x73
    UUID_VID = 0x74
    UUID_CID = 0x75


MPY_MODEL: Final = 0xA0  # of the types left to vendors: the model whose `.mpy` the payload is

# What may stand outside of the signature: the signature itself and what leads to it. Anything
# else there could be changed by anybody (CVE-2024-32883).
UNPROTECTED: Final = frozenset(
    {
        *(Tlv.KEYHASH, Tlv.PUBKEY, Tlv.SHA256, Tlv.SHA384, Tlv.SHA512),
        *(Tlv.RSA2048, Tlv.ECDSASIG, Tlv.RSA3072, Tlv.ED25519, Tlv.SIG_PURE),
        *(Tlv.ENCRSA2048, Tlv.ENCKW, Tlv.ENCEC256, Tlv.ENCX25519, Tlv.ENCX25519_SHA512),
    }
)
WRAPPED_KEYS: Final = frozenset(
    {Tlv.ENCRSA2048, Tlv.ENCKW, Tlv.ENCEC256, Tlv.ENCX25519, Tlv.ENCX25519_SHA512}
)
MAY_REPEAT: Final = frozenset({Tlv.DEPENDENCY, Tlv.BOOT_RECORD})
SIZES: Final[dict[Tlv, Sequence[int]]] = {
    Tlv.KEYHASH: (32,),
    Tlv.SHA256: (32,),
    Tlv.ECDSASIG: range(8, 73),  # DER
    Tlv.ED25519: (64,),
    Tlv.ENCX25519: (80, 96),  # public key, HMAC-SHA256, wrapped AES-128 or AES-256 key
    Tlv.DEPENDENCY: (DEPENDENCY.size,),
    Tlv.SEC_CNT: (4,),
    Tlv.UUID_VID: (16,),
    Tlv.UUID_CID: (16,),
}


@dataclass(frozen=True, order=True)
class Version:
    major: int = 0
    minor: int = 0
    revision: int = 0
    build: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}+{self.build}"


@dataclass(frozen=True)
class Header:
    load_address: int
    header_bytes: int
    protected_bytes: int  # of the protected TLV area with its info, 0 if there is none
    image_bytes: int  # of the payload
    flags: int
    version: Version
    pad: int

    @property
    def is_encrypted(self) -> bool:
        return bool(self.flags & ENCRYPTED)


@dataclass(frozen=True)
class Entry:
    """One TLV; `offset` is that of its type."""

    type: int
    value: bytes
    offset: int
    protected: bool

    @property
    def name(self) -> str:
        known = self.type in Tlv._value2member_map_
        return Tlv(self.type).name if known else f"0x{self.type:04x}"


@dataclass(frozen=True)
class Trailer:
    """State at the end of a slot, as MCUboot keeps it. None: not set."""

    align: int
    image_ok: int | None
    copy_done: int | None


@dataclass(frozen=True)
class Problem:
    offset: int
    text: str

    def __str__(self) -> str:
        return f"offset 0x{self.offset:x}: {self.text}"


@dataclass
class Image:
    """What could be read; with a structural problem, the fields behind it are empty."""

    data: bytes
    header: Header | None = None
    entries: list[Entry] = field(default_factory=list)
    signed_bytes: int = 0  # the hash, and so the signature, covers [0, signed_bytes)
    end: int = 0  # first byte behind the TLVs
    trailer: Trailer | None = None
    problems: list[Problem] = field(default_factory=list)

    @property
    def payload(self) -> bytes:
        """The payload as it lies in the file, encrypted if it is."""
        h = self.header
        return self.data[h.header_bytes : h.header_bytes + h.image_bytes] if h else b""

    def all(self, kind: Tlv) -> list[Entry]:
        return [e for e in self.entries if e.type == kind]

    def value(self, kind: Tlv) -> bytes | None:
        """Of the only entry of that type; None if there is none, or one of a wrong length."""
        found = self.all(kind)
        if not found or len(found[0].value) not in SIZES.get(kind, (len(found[0].value),)):
            return None
        return found[0].value


def read_image(data: bytes) -> Image:
    """Reads an image, padded to a slot or not. Nothing raises: see `problems`."""
    image = Image(data)
    if _read_header(image) and _read_areas(image):
        image.problems += _rule_problems(image)
        _read_rest(image)
    return image


def _read_header(image: Image) -> bool:
    size = len(image.data)
    if size < HEADER.size:
        return _fatal(image, 0, f"{size} bytes are no image: the header alone has {HEADER.size}")
    magic, load, header_bytes, protected, payload, flags, *version, pad = HEADER.unpack_from(
        image.data
    )
    if magic != IMAGE_MAGIC:
        return _fatal(image, 0, f"magic is 0x{magic:08x}, of an image 0x{IMAGE_MAGIC:08x}")
    image.header = Header(load, header_bytes, protected, payload, flags, Version(*version), pad)
    if header_bytes < HEADER.size:
        return _fatal(image, 8, f"header size is {header_bytes}, at least {HEADER.size}")
    if header_bytes > size:
        return _fatal(image, 8, f"header size is {header_bytes}, the file has {size} bytes")
    if payload > size - header_bytes:
        text = f"payload has {payload} bytes, after the header the file has {size - header_bytes}"
        return _fatal(image, 12, text)
    return True


def _read_areas(image: Image) -> bool:
    assert image.header is not None
    at = image.header.header_bytes + image.header.image_bytes
    if image.header.protected_bytes:
        end = _read_area(image, at, TLV_PROT_INFO_MAGIC, image.header.protected_bytes)
        if end is None:
            return False
        at = end
    image.signed_bytes = at
    end = _read_area(image, at, TLV_INFO_MAGIC, None)
    image.end = end or 0
    return end is not None


def _read_area(image: Image, at: int, wanted: int, declared: int | None) -> int | None:
    """The offset behind the TLV area at `at`; None after a fatal problem."""
    room = len(image.data) - at
    what = "protected TLVs" if declared is not None else "TLVs"
    if room < TLV_INFO.size:
        _fatal(image, at, f"the file ends before the {what}")
        return None
    magic, total = TLV_INFO.unpack_from(image.data, at)
    if magic != wanted:
        more = ""
        if magic == TLV_PROT_INFO_MAGIC and declared is None:
            more = "; a protected area which the header does not count is not signed"
        _fatal(image, at, f"magic of the {what} is 0x{magic:04x}, should be 0x{wanted:04x}{more}")
        return None
    if declared is not None and total != declared:
        _fatal(image, at + 2, f"the {what} have {total} bytes, the header says {declared}")
        return None
    if total < TLV_INFO.size or total > room:
        _fatal(image, at + 2, f"the {what} have {total} bytes, the file has {room} there")
        return None
    end: int = at + total
    at += TLV_INFO.size
    while at < end:
        if end - at < TLV_ENTRY.size:
            _fatal(image, at, f"{end - at} bytes at the end of the {what} are no TLV")
            return None
        kind, size = TLV_ENTRY.unpack_from(image.data, at)
        if size > end - at - TLV_ENTRY.size:
            text = f"TLV 0x{kind:04x} has {size} bytes, its area {end - at - TLV_ENTRY.size}"
            _fatal(image, at + 2, text)
            return None
        start = at + TLV_ENTRY.size
        value = image.data[start : start + size]
        image.entries.append(Entry(kind, value, at, declared is not None))
        at = start + size
    return end


def _rule_problems(image: Image) -> Iterator[Problem]:
    """What can be read, and must not be so."""
    h = image.header
    assert h is not None
    known = 0
    for flag in Flag:
        known |= flag
    if h.flags & ~known:
        yield Problem(16, f"unknown flags 0x{h.flags & ~known:x}")
    if h.flags & ENCRYPTED == ENCRYPTED:
        yield Problem(16, "encrypted with AES-128 and with AES-256 at once")
    if h.flags & Flag.ROM_FIXED and h.flags & Flag.RAM_LOAD:
        yield Problem(16, "to run in place and to be loaded into RAM at once")
    seen: set[int] = set()
    for e in image.entries:
        if e.type in seen and e.type in Tlv._value2member_map_ and e.type not in MAY_REPEAT:
            yield Problem(e.offset, f"second {e.name}")
        seen.add(e.type)
        if not e.protected and e.type not in UNPROTECTED:
            yield Problem(e.offset, f"{e.name} is not protected by the signature")
        if e.protected and e.type in UNPROTECTED:
            yield Problem(e.offset, f"{e.name} among the protected TLVs")
        sizes = SIZES.get(Tlv(e.type)) if e.type in Tlv._value2member_map_ else None
        if sizes and len(e.value) not in sizes:
            few = " or ".join(map(str, sizes))
            expected = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 2 else few
            yield Problem(e.offset + 2, f"{e.name} has {len(e.value)} bytes, should be {expected}")
    wrapped = [e for e in image.entries if e.type in WRAPPED_KEYS]
    if h.is_encrypted != bool(wrapped):
        has = "no TLV holds" if h.is_encrypted else "a TLV holds"
        no = "" if h.is_encrypted else "not "
        yield Problem(16, f"flags say {no}encrypted, and {has} a wrapped key")
    expected_bytes = 80 if h.flags & Flag.ENCRYPTED_AES128 else 96
    for e in wrapped:
        if e.type == Tlv.ENCX25519 and h.is_encrypted and len(e.value) != expected_bytes:
            yield Problem(e.offset + 2, f"{e.name} has a key of another size than the flags say")
    if Tlv.SHA256 not in seen:
        yield Problem(image.signed_bytes, "no SHA256")


def _read_rest(image: Image) -> None:
    """Behind the TLVs there is nothing, or erased flash with a trailer at its end."""
    rest = image.data[image.end :]
    if not rest:
        return
    align = _trailer_align(rest)
    if align is None:
        at = next((i for i, b in enumerate(rest) if b != ERASED), None)
        if at is not None:
            image.problems.append(
                Problem(image.end + at, f"{len(rest) - at} bytes after the last TLV")
            )
        return
    # From the end: magic, image_ok, copy_done; each in a unit of its own, the magic in 16 bytes
    # that end its units.
    ok = len(rest) - max(16, align) - align
    done = ok - align
    if done < 0:
        image.problems.append(Problem(image.end, "the trailer overlaps the TLVs"))
        return
    flags = [None if rest[at] == ERASED else rest[at] for at in (ok, done)]
    image.trailer = Trailer(align, flags[0], flags[1])
    for at, flag in zip((ok, done), flags, strict=True):
        if flag not in (None, 1):
            image.problems.append(Problem(image.end + at, f"a flag is 0x{flag:02x}, not 1"))
    for at, byte in enumerate(rest[: len(rest) - 16]):
        if byte != ERASED and at not in (ok, done):
            image.problems.append(
                Problem(image.end + at, "bytes between the last TLV and the trailer")
            )
            break


def _trailer_align(rest: bytes) -> int | None:
    """The trailer's unit, if the magic is there."""
    if rest.endswith(TRAILER_MAGIC):
        return MIN_TRAILER_ALIGN
    if len(rest) >= 16 and rest.endswith(TRAILER_MAGIC_WIDE):
        align = int.from_bytes(rest[-16:-14], "little")
        return align if align in (16, 32) else None
    return None


def _fatal(image: Image, offset: int, text: str) -> bool:
    image.problems.append(Problem(offset, text))
    return False
