"""Receipts: what a device signs of its counter and its books (firmware/SPEC.md)."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tinyseal.errors import VoucherError

# form, accounts, model's, family's; device, sequence, counter, anchor, previous
RECEIPT: Final = struct.Struct("<BBBB16sIII32s")
ACCOUNT: Final = struct.Struct("<32sIIII")  # subject, credited, spent, serial, window
assert RECEIPT.size == 64 and ACCOUNT.size == 48
FORM: Final = 0x20
CONTEXT: Final = b"tinyseal receipt"
SIGNATURE_BYTES: Final = 64
MAX_ACCOUNTS: Final = 4
NONE: Final = 0xFF
NO_ANCHOR: Final = 0xFFFFFFFF
WINDOW: Final = 32


@dataclass(frozen=True)
class Account:
    """What one model or family was given and has used, all in all."""

    subject: bytes
    credited: int
    spent: int
    serial: int  # the highest redeemed
    window: int  # bit i: serial - 1 - i is redeemed, too

    def is_redeemed(self, serial: int) -> bool | None:
        """None for those too old to tell."""
        below = self.serial - serial
        if below <= 0:
            return below == 0
        return bool(self.window >> (below - 1) & 1) if below <= WINDOW else None


@dataclass(frozen=True)
class Receipt:
    device: bytes
    sequence: int
    counter: int
    anchor: int | None  # bits of OTP burnt; None: the device has none
    previous: bytes  # hash of the receipt before; zeros: this is the first
    accounts: tuple[Account, ...]
    model: int | None  # which account pays for the model in service
    family: int | None
    hash: bytes  # what the next one says is `previous`


def read_receipt(data: bytes, key: bytes | None = None) -> Receipt:
    """The receipt in `data`; with the device's public key also its signature. VoucherError."""
    content, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    if len(content) < RECEIPT.size or content[0] != FORM:
        raise VoucherError("this is no receipt")
    _, count, model, family, device, sequence, counter, anchor, previous = RECEIPT.unpack_from(
        content
    )
    size = RECEIPT.size + count * ACCOUNT.size
    if count > MAX_ACCOUNTS or len(content) != size or not sequence:
        raise VoucherError(f"a receipt of {len(data)} B, expected {size + SIGNATURE_BYTES}")
    if key is not None:
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, CONTEXT + content)
        except InvalidSignature:
            raise VoucherError(
                f"receipt {sequence} is not signed by device {device.hex()}"
            ) from None
    accounts = tuple(
        Account(*ACCOUNT.unpack_from(content, RECEIPT.size + i * ACCOUNT.size))
        for i in range(count)
    )
    for which in (model, family):
        if which != NONE and which >= count:
            raise VoucherError(f"receipt {sequence} names account {which} of {count}")
    for account in accounts:
        if account.spent > account.credited:
            raise VoucherError(f"receipt {sequence} has more queries spent than credited")
    return Receipt(
        device, sequence, counter, None if anchor == NO_ANCHOR else anchor, previous, accounts,
        None if model == NONE else model, None if family == NONE else family,
        hashlib.sha256(content).digest(),
    )  # fmt: skip
