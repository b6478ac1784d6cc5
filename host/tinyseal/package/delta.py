"""Patches: a new image as what differs from the old one, for `firmware/services/delta.c`.

detools finds what is where (bsdiff's search) and packs it; its own `apply_patch` is the judge of
every patch made here. Two things are done around it. Images that run in place are linked for
their slot, so the old one's addresses are moved first, as the device does. And weights that were
all trained a little further have no eight bytes in common with what they were, so bsdiff takes
them for new: gaps between two places that it knows are tried against their old neighbourhood.
What detools has packed is then coded bit by bit under adaptive probabilities: heatshrink, which
knows repetitions only, makes half as much again of small differences.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tinyseal.errors import ImageError
from tinyseal.package.files import read_file
from tinyseal.package.mcuboot import Flag, Image, Tlv, read_image
from tinyseal.package.sign import IMAGE_NUMBERS, recognise_class

MAGIC: Final = 0x50445354  # "TSDP"
FORMAT: Final = 1
HEADER: Final = struct.Struct("<IBB2xIIIIII32s32s")
assert HEADER.size == 96
SUFFIX: Final = ".patch"

Bytes = npt.NDArray[np.uint8]

RAW_BITS: Final = 6.5  # what a byte of no old neighbour costs, about
LARGEST_BITS: Final = 9.0  # a large difference costs more than that
MAX_BYTES: Final = 1 << 27  # numbers of the stream have that many digits


@dataclass(frozen=True)
class PatchInfo:
    """The header of a patch."""

    image: int  # 0 application, 1 capsule
    old_bytes: int
    new_bytes: int
    old_base: int  # what the images are linked for; addresses move from one to the other
    new_base: int
    span: int
    stream_bytes: int
    old_hash: bytes  # the old image's SHA-256 TLV, as devices tell it
    new_hash: bytes  # SHA-256 of the whole new file


@dataclass(frozen=True)
class _Run:
    """New bytes [start, end); `shift` further on in the old image are what they were, or None."""

    start: int
    end: int
    shift: int | None


def make_patch(old: bytes, new: bytes, image: int | None = None) -> bytes:
    """The patch that makes `new` of `old`, padding left out; verified by applying it.

    `image`: 0 application, 1 capsule; None: what the images say, if their board is one of ours.
    ImageError if there can be no patch between the two.
    """
    before, after = _sound(old, "old"), _sound(new, "new")
    if before.value(Tlv.UUID_CID) != after.value(Tlv.UUID_CID):
        raise ImageError("the two images are for different boards, or one is the application's")
    fixed = [
        i.header is not None and bool(i.header.flags & Flag.ROM_FIXED) for i in (before, after)
    ]
    if all(fixed) and _base(before) == _base(after):
        raise ImageError(
            f"both images are for the slot at 0x{_base(after):08x}; a patch goes to the other one "
            "than the old image runs from, so give the new image linked for that"
        )
    old, new = old[: before.end], new[: after.end]
    info = PatchInfo(
        _image_number(after) if image is None else image,
        len(old),
        len(new),
        _base(before),
        _base(after),
        max(len(old), len(new)),
        0,
        before.value(Tlv.SHA256) or b"",
        hashlib.sha256(new).digest(),
    )
    source = move_addresses(old, info)
    stream = _encode(_chunks(source, new, _runs(source, new)))
    patch = _pack(info, stream)
    if apply_patch(old, patch) != new:
        raise ImageError("the patch does not give the new image back; this is a fault of tinyseal")
    return patch


def apply_patch(old: bytes, patch: bytes) -> bytes:
    """The new image, by detools; ImageError if the patch is damaged or for another image."""
    info, stream = read_patch(patch), patch[HEADER.size :]
    image = read_image(old)
    old = old[: image.end]
    if image.value(Tlv.SHA256) != info.old_hash or len(old) != info.old_bytes:
        raise ImageError("the patch is made from another image than this one")
    import detools

    packed = bytes([0]) + _number(info.new_bytes) + _number(0) + _decode(stream, info.new_bytes)
    made = io.BytesIO()
    try:
        detools.apply_patch(io.BytesIO(move_addresses(old, info)), io.BytesIO(packed), made)
    except detools.Error as e:
        raise ImageError(f"the patch is damaged: {e}") from e
    if hashlib.sha256(made.getvalue()).digest() != info.new_hash:
        raise ImageError("the patch is damaged: what it makes has another hash than it says")
    return made.getvalue()


def is_patch(data: bytes) -> bool:
    return data[:4] == MAGIC.to_bytes(4, "little")


def read_patch(patch: bytes) -> PatchInfo:
    """ImageError if it is none."""
    if len(patch) < HEADER.size or not is_patch(patch):
        raise ImageError("this is no patch: it does not begin with TSDP")
    _, form, *fields = HEADER.unpack_from(patch)
    if form != FORMAT:
        raise ImageError(f"patch format {form}: this tinyseal knows {FORMAT}")
    info = PatchInfo(*fields)
    if len(patch) != HEADER.size + info.stream_bytes:
        raise ImageError(
            f"the patch has {len(patch)} B, its header says {HEADER.size + info.stream_bytes}"
        )
    return info


def best_patch(current_hash: bytes, new: bytes, folder: Path) -> Path | None:
    """The smallest patch of `folder` (files `*.patch`) that makes the image `new` of the one a
    device runs, named by its SHA-256 TLV; None if there is none. Other files do not matter."""
    new = new[: read_image(new).end]
    wanted = (current_hash, hashlib.sha256(new).digest())
    fits = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        data = read_file(path)
        try:
            info = read_patch(data)
        except ImageError:
            continue
        if (info.old_hash, info.new_hash) == wanted and len(data) < len(new):
            fits.append((len(data), path))
    return min(fits)[1] if fits else None


def move_addresses(old: bytes, info: PatchInfo) -> bytes:
    """The old image as if it were linked for the new one's place, near enough: aligned words that
    are addresses within it change places with those of the new one. Twice is not at all."""
    whole = len(old) // 4 * 4
    words = np.frombuffer(old[:whole], "<u4")
    if info.old_base == info.new_base:
        return old
    olds, news = np.uint32(info.old_base), np.uint32(info.new_base)
    is_old = words - olds < info.span
    is_new = ~is_old & (words - news < info.span)
    moved = np.where(is_old, words - olds + news, np.where(is_new, words - news + olds, words))
    return moved.astype("<u4").tobytes() + old[whole:]


def _sound(data: bytes, which: str) -> Image:
    image = read_image(data)
    if image.problems or image.header is None:
        raise ImageError(f"the {which} image is not sound: {image.problems[0]}")
    if image.header.is_encrypted:
        raise ImageError(
            f"the {which} image is encrypted; encryption leaves nothing for a patch to find"
        )
    if image.end >= MAX_BYTES:
        raise ImageError(f"the {which} image has {image.end} B; patches are for under {MAX_BYTES}")
    return image


def _image_number(image: Image) -> int:
    known = recognise_class(image.value(Tlv.UUID_CID) or b"")
    if known is None:
        raise ImageError("the images are for no board of this project; say which with --image")
    return IMAGE_NUMBERS[known.split()[1]]


def _base(image: Image) -> int:
    assert image.header is not None
    placed = image.header.flags & (Flag.ROM_FIXED | Flag.RAM_LOAD)
    return image.header.load_address if placed else 0


def _pack(info: PatchInfo, stream: bytes) -> bytes:
    sizes = (info.old_bytes, info.new_bytes, info.old_base, info.new_base, info.span, len(stream))
    return HEADER.pack(MAGIC, FORMAT, info.image, *sizes, info.old_hash, info.new_hash) + stream


# --- What is where. ---


def _runs(old: bytes, new: bytes) -> list[_Run]:
    """New bytes by where they were; neighbours of one shift are one run."""
    known = [*_matches(old, new), _Run(len(new), len(new), len(old) - len(new))]
    before, after = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    runs: list[_Run] = []
    last = _Run(0, 0, 0)
    for match in known:
        for run in (*_gap(before, after, last, match), match):
            if run.start == run.end:
                continue
            if runs and runs[-1].shift == run.shift:
                run = _Run(runs.pop().start, run.end, run.shift)
            runs.append(run)
        last = match
    return runs


def _matches(old: bytes, new: bytes) -> Iterator[_Run]:
    """What bsdiff's search finds, in order."""
    import detools

    packed = io.BytesIO()
    detools.create_patch(io.BytesIO(old), io.BytesIO(new), packed, compression="none")
    data = packed.getvalue()
    at = 1
    total, at = _read_number(data, at)
    _, at = _read_number(data, at)
    made = source = 0
    while made < total:
        same, at = _read_number(data, at)
        at += same
        extra, at = _read_number(data, at)
        at += extra
        seek, at = _read_number(data, at)
        yield _Run(made, made + same, source - made)
        made += same + extra
        source += same + seek


def _gap(old: Bytes, new: Bytes, last: _Run, match: _Run) -> list[_Run]:
    """What lies between two places that are known: first as if the one before went on, then new
    bytes, then as if the one behind had begun earlier; where the cheapest borders are."""
    start, end = last.end, match.start
    if start == end:
        return []
    assert last.shift is not None and match.shift is not None
    raw = np.full(end - start, RAW_BITS)
    first = np.cumsum([0.0, *(_bits(old, new, start, end, last.shift) - raw)])
    then = np.cumsum([0.0, *(_bits(old, new, start, end, match.shift) - raw)])
    saved = np.minimum.accumulate(first)  # up to each border, at most
    border = int(np.argmin(saved + (then[-1] - then)))
    head = int(np.argmin(first[: border + 1]))
    return [
        _Run(start, start + head, last.shift),
        _Run(start + head, start + border, None),
        _Run(start + border, end, match.shift),
    ]


def _bits(old: Bytes, new: Bytes, start: int, end: int, shift: int) -> npt.NDArray[np.float64]:
    """About what the differences of new [start, end) cost each; outside of the old image, too
    much."""
    bits = np.full(end - start, 1e6)
    low, high = max(start, -shift), min(end, len(old) - shift)
    if low < high:
        difference = (new[low:high] - old[low + shift : high + shift]).view(np.int8)
        size = np.abs(difference.astype(np.int16))
        bits[low - start : high - start] = np.minimum(2 * np.log2(1.0 + size) + 0.5, LARGEST_BITS)
    return bits


@dataclass(frozen=True)
class _Piece:
    """A part of the packed patch: differences, or bytes that stand for themselves."""

    data: bytes
    is_difference: bool


def _chunks(old: bytes, new: bytes, runs: list[_Run]) -> Iterator[_Piece]:
    """As detools packs it: how many differences, they, how many new bytes, they, how far to seek;
    and so on."""
    before, after = np.frombuffer(old, np.uint8), np.frombuffer(new, np.uint8)
    at = source = 0
    while at < len(runs):
        shift, differences, extra = runs[at].shift, b"", b""
        if shift is not None and runs[at].start + shift == source:
            start, end = runs[at].start, runs[at].end
            differences = (after[start:end] - before[start + shift : end + shift]).tobytes()
            source = end + shift
            at += 1
        if at < len(runs) and runs[at].shift is None:
            extra = new[runs[at].start : runs[at].end]
            at += 1
        ahead = runs[at].shift if at < len(runs) else None
        seek = runs[at].start + ahead - source if ahead is not None else 0
        source += seek
        yield _Piece(_number(len(differences)), False)
        yield _Piece(differences, True)
        yield _Piece(_number(len(extra)) + extra + _number(seek), False)


def _number(value: int) -> bytes:
    """Seven bits a byte, the low ones first, bit 7 if more follow; bit 6 of the first: minus."""
    sign, rest = (0x40 if value < 0 else 0), abs(value)
    packed = [sign | (rest & 0x3F)]
    rest >>= 6
    while rest:
        packed[-1] |= 0x80
        packed.append(rest & 0x7F)
        rest >>= 7
    return bytes(packed)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next thing begins."""
    first = data[at]
    value, shift = first & 0x3F, 6
    while data[at] & 0x80:
        at += 1
        value |= (data[at] & 0x7F) << shift
        shift += 7
    return (-value if first & 0x40 else value), at + 1


# --- The range coder. ---

PROBABILITY_BITS: Final = 12
HISTORY: Final = 32
ZERO_RATE: Final = 4
TREE_RATE: Final = 5
TOP: Final = 1 << 24
WORD: Final = 0xFFFFFFFF


class _Model:
    """Probabilities that a bit is 0, of 4096; they follow what was seen."""

    def __init__(self) -> None:
        even = 1 << (PROBABILITY_BITS - 1)
        self.is_zero = [even] * HISTORY
        self.trees = {True: [even] * 256, False: [even] * 256}
        self.history = 0

    @staticmethod
    def learn(table: list[int], index: int, bit: int, rate: int) -> None:
        if bit:
            table[index] -= table[index] >> rate
        else:
            table[index] += ((1 << PROBABILITY_BITS) - table[index]) >> rate


class _Encoder:
    """Carries ripple through `low`, held back until no carry can reach them."""

    def __init__(self) -> None:
        self.model = _Model()
        self.out = bytearray()
        self.low, self.range = 0, WORD
        self.held, self.pending = 0, 0  # a byte, and how many 0xff behind it

    def bit(self, table: list[int], index: int, bit: int, rate: int) -> None:
        bound = (self.range >> PROBABILITY_BITS) * table[index]
        if bit:
            self.low += bound
            self.range -= bound
        else:
            self.range = bound
        self.model.learn(table, index, bit, rate)
        while self.range < TOP:
            self.range <<= 8
            self._shift()

    def _shift(self) -> None:
        if self.low < 0xFF000000 or self.low > WORD:
            carry = self.low >> 32
            self.out.append(self.held + carry & 0xFF)
            self.out += bytes([0xFF + carry & 0xFF]) * self.pending
            self.held, self.pending = self.low >> 24 & 0xFF, 0
        else:
            self.pending += 1
        self.low = self.low << 8 & WORD

    def byte(self, value: int, is_difference: bool) -> None:
        model = self.model
        if is_difference:
            some = int(value != 0)
            self.bit(model.is_zero, model.history, some, ZERO_RATE)
            model.history = (model.history << 1 | some) % HISTORY
            if not some:
                return
        node, tree = 1, model.trees[is_difference]
        for place in range(7, -1, -1):
            bit = value >> place & 1
            self.bit(tree, node, bit, TREE_RATE)
            node = node << 1 | bit

    def end(self) -> bytes:
        for _ in range(5):
            self._shift()
        return bytes(self.out[1:])  # the first is always 0


def _encode(pieces: Iterator[_Piece]) -> bytes:
    encoder = _Encoder()
    for piece in pieces:
        for value in piece.data:
            encoder.byte(value, piece.is_difference)
    return encoder.end()


class _Decoder:
    """As the device's. ImageError where the stream ends too early."""

    def __init__(self, stream: bytes) -> None:
        self.model = _Model()
        self.stream, self.at = stream, 4
        self.code, self.range = int.from_bytes(stream[:4], "big"), WORD

    def bit(self, table: list[int], index: int, rate: int) -> int:
        while self.range < TOP:
            if self.at >= len(self.stream):
                raise ImageError("the patch is damaged: it ends before the image is whole")
            self.code = (self.code << 8 | self.stream[self.at]) & WORD
            self.range <<= 8
            self.at += 1
        bound = (self.range >> PROBABILITY_BITS) * table[index]
        bit = int(self.code >= bound)
        if bit:
            self.code -= bound
            self.range -= bound
        else:
            self.range = bound
        self.model.learn(table, index, bit, rate)
        return bit

    def byte(self, is_difference: bool) -> int:
        model = self.model
        if is_difference:
            some = self.bit(model.is_zero, model.history, ZERO_RATE)
            model.history = (model.history << 1 | some) % HISTORY
            if not some:
                return 0
        node, tree = 1, model.trees[is_difference]
        while node < 256:
            node = node << 1 | self.bit(tree, node, TREE_RATE)
        return node - 256

    def number(self, packed: bytearray) -> int:
        start = len(packed)
        packed.append(self.byte(False))
        while packed[-1] & 0x80:
            packed.append(self.byte(False))
        return _read_number(bytes(packed), start)[0]


def _decode(stream: bytes, new_bytes: int) -> bytes:
    """What detools has packed, without its header. ImageError."""
    decoder, packed = _Decoder(stream), bytearray()
    made = 0
    while made < new_bytes:
        for is_difference in (True, False):
            count = decoder.number(packed)
            if not 0 <= count <= new_bytes - made:
                raise ImageError("the patch is damaged: it makes more than the image")
            packed += bytes(decoder.byte(is_difference) for _ in range(count))
            made += count
        decoder.number(packed)
    return bytes(packed)
