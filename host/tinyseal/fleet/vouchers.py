"""Vouchers: queries that a vendor signs for one model on one device (firmware/SPEC.md)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from tinyseal.errors import UsageError, VoucherError
from tinyseal.package.keys import Key

VOUCHER: Final = struct.Struct("<B2s2sII")  # form, device, subject, serial, quantity
NOT_AFTER: Final = struct.Struct("<I")
assert VOUCHER.size == 13
FORM: Final = 0x10
FORM_NOT_AFTER: Final = 0x01
SIGNATURE_BYTES: Final = 64
CONTEXT: Final = b"tinyseal voucher"
DEVICE_ID_BYTES: Final = 16
SUBJECT_BYTES: Final = 32
MAX_U32: Final = 2**32 - 1

DIGITS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
GROUP_CHARS: Final = 8
_ALIKE: Final = str.maketrans("OIL", "011")


@dataclass(frozen=True)
class Voucher:
    """`device` and `subject` (a model's id, or a family's) are known to whoever verifies it; the
    voucher itself carries two bytes of each."""

    device: bytes
    subject: bytes
    serial: int  # of this device and subject, from 1
    quantity: int  # queries
    not_after: int | None = None  # the device's counter up to which it can be redeemed

    def __post_init__(self) -> None:
        if len(self.device) != DEVICE_ID_BYTES or len(self.subject) != SUBJECT_BYTES:
            raise UsageError(
                f"a voucher is for a device id of {DEVICE_ID_BYTES} bytes and a model id of "
                f"{SUBJECT_BYTES}, not {len(self.device)} and {len(self.subject)}"
            )
        for name, value, low in (
            ("serial number", self.serial, 1),
            ("quantity", self.quantity, 1),
            ("count it is good for", self.not_after or 0, 0),
        ):
            if not low <= value <= MAX_U32:
                raise UsageError(f"{name} {value}: expected {low} to {MAX_U32}")

    @property
    def head(self) -> bytes:
        """The bytes before the signature."""
        form = FORM if self.not_after is None else FORM | FORM_NOT_AFTER
        head = VOUCHER.pack(form, self.device, self.subject, self.serial, self.quantity)
        return head if self.not_after is None else head + NOT_AFTER.pack(self.not_after)

    @property
    def message(self) -> bytes:
        return CONTEXT + self.device + self.subject + self.head

    def sign(self, key: Key) -> bytes:
        """The voucher as a device takes it."""
        if not isinstance(key.private, Ed25519PrivateKey):
            raise UsageError(f"{key.name}: expected an Ed25519 private key to sign with")
        return self.head + key.private.sign(self.message)

    def is_signed(self, data: bytes, key: Key) -> bool:
        """Whether `data` is this voucher, signed by `key`."""
        if data[:-SIGNATURE_BYTES] != self.head:
            return False
        assert isinstance(key.public, Ed25519PublicKey)
        try:
            key.public.verify(data[-SIGNATURE_BYTES:], self.message)
        except InvalidSignature:
            return False
        return True


def read_voucher(data: bytes, device: bytes, subject: bytes) -> Voucher:
    """The voucher in `data`, if it is one for this device and subject. VoucherError if not; its
    signature is another question."""
    if len(data) < VOUCHER.size or data[0] & ~FORM_NOT_AFTER != FORM:
        raise VoucherError("this is no voucher")
    _, short_device, short_subject, serial, quantity = VOUCHER.unpack_from(data)
    limited = bool(data[0] & FORM_NOT_AFTER)
    size = VOUCHER.size + NOT_AFTER.size * limited + SIGNATURE_BYTES
    if len(data) != size or not serial or not quantity:
        raise VoucherError(f"a voucher of {len(data)} B, expected {size} and numbers above 0")
    for what, short, whole in (("device", short_device, device), ("model", short_subject, subject)):
        if whole[:2] != short:
            raise VoucherError(f"the voucher is for another {what}, {short.hex()}…")
    not_after = NOT_AFTER.unpack_from(data, VOUCHER.size)[0] if limited else None
    return Voucher(device, subject, serial, quantity, not_after)


def to_text(data: bytes) -> str:
    """A signed voucher in groups of eight characters, each with a check of its own."""
    bits = int.from_bytes(data, "big")
    groups = -(-8 * len(data) // (5 * (GROUP_CHARS - 1)))
    bits <<= groups * 5 * (GROUP_CHARS - 1) - 8 * len(data)
    digits = [bits >> 5 * i & 31 for i in reversed(range(groups * (GROUP_CHARS - 1)))]
    out = []
    for group in range(groups):
        part = digits[group * (GROUP_CHARS - 1) :][: GROUP_CHARS - 1]
        check = _times_alpha(_horner(group, part))
        out.append("".join(DIGITS[d] for d in (*part, check)))
    return "-".join(out)


def from_text(text: str) -> bytes:
    """The bytes of a voucher that was typed or scanned. VoucherError names the group to look at."""
    plain = re.sub(r"[-\s]", "", text).upper().translate(_ALIKE)
    digits = [DIGITS.find(c) for c in plain]
    if -1 in digits:
        raise VoucherError(f"{plain[digits.index(-1)]!r} is no character of a voucher")
    groups, rest = divmod(len(digits), GROUP_CHARS)
    bits = 0
    for group in range(groups):
        part = digits[group * GROUP_CHARS :][:GROUP_CHARS]
        if _horner(group, part):
            shown = "".join(DIGITS[d] for d in part)
            raise VoucherError(f"group {group + 1}, {shown}, has a wrong character")
        for digit in part[:-1]:
            bits = bits << 5 | digit
    size = {18: 77, 19: 81}.get(groups, 0)
    spare = groups * 5 * (GROUP_CHARS - 1) - 8 * size
    if rest or not size or bits & ((1 << spare) - 1):
        raise VoucherError(f"a voucher has 18 or 19 groups of {GROUP_CHARS}, this has {groups}")
    data = (bits >> spare).to_bytes(size, "big")
    if (data[0] & FORM_NOT_AFTER) != (size == 81):
        raise VoucherError("this is no voucher")
    return data


def _times_alpha(x: int) -> int:
    """In GF(32), x^5 + x^2 + 1: every place of a group weighs another power of alpha."""
    return (x << 1 ^ (0x25 if x & 16 else 0)) & 31


def _horner(group: int, digits: list[int]) -> int:
    check = group + 1
    for digit in digits:
        check = _times_alpha(check) ^ digit
    return check
