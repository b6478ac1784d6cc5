"""Between the ledger and one device, over SMP: vouchers there, receipts back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

from tinyseal.device.smp import SmpDevice, SmpError
from tinyseal.device.smp_meter import (
    METER_GROUP,
    REASONS,
    KeyRead,
    MeterError,
    ReceiptRead,
    RedeemWrite,
    StatusRead,
)
from tinyseal.errors import VoucherError
from tinyseal.fleet.ledger import Ledger
from tinyseal.fleet.receipts import Receipt
from tinyseal.fleet.reconcile import Finding, Kind, reconcile
from tinyseal.fleet.vouchers import to_text

MAX_RECEIPTS: Final = 8  # of one sync: one that waited, one of now, and some for luck
CONTRADICTIONS: Final = (MeterError.RECORDS, MeterError.ROLLBACK)


@dataclass(frozen=True)
class Status:
    """What a device says of the model in service."""

    reason: str  # why it serves nothing; "" if it serves
    balance: int
    counter: int
    life: int
    model: str
    family: str


@dataclass(frozen=True)
class Synced:
    device: str
    new: int  # receipts that were not known
    newest: Receipt
    findings: tuple[Finding, ...]  # all there are on this device


async def status(device: SmpDevice) -> Status:
    try:
        told = await device.request(StatusRead())
    except SmpError as e:
        _explain(e)
    reason = REASONS.get(MeterError(told.status), "") if told.status else ""
    family = told.family.hex() if any(told.family) else ""
    return Status(reason, told.balance, told.counter, told.life, told.model.hex(), family)


async def redeem(device: SmpDevice, voucher: bytes, ledger: Ledger | None = None) -> int:
    """The balance after it. VoucherError if the device refuses the voucher."""
    lost = device.lost
    try:
        balance = (await device.request(RedeemWrite(voucher=voucher))).balance
    except SmpError as e:
        # A request whose answer got lost was sent again, and had been carried out.
        if e.group != METER_GROUP or e.rc != MeterError.USED or device.lost == lost:
            _explain(e)
        balance = (await device.request(StatusRead())).balance
    if ledger is not None:
        ledger.mark_redeemed(to_text(voucher))
    return balance


async def sync(device: SmpDevice, ledger: Ledger, enroll: bool = False) -> Synced:
    """Fetches the receipts that the ledger does not have. `enroll` trusts a device that is not
    known yet in what it says of itself.

    VoucherError if it gives none, or one that is not its own.
    """
    try:
        who = await device.request(KeyRead())
    except SmpError as e:
        _explain(e)
    if enroll:
        ledger.enroll(who.id, who.key)
    have, new = ledger.newest(who.id), 0
    for _ in range(MAX_RECEIPTS):
        try:
            given = (await device.request(ReceiptRead(have=have))).receipt
        except SmpError as e:
            if e.group == METER_GROUP and e.rc in CONTRADICTIONS:
                ledger.note(who.id, Kind.REFUSED, REASONS[MeterError(e.rc)])
            _explain(e)
        stored = ledger.store(given)
        if stored.receipt.device != who.id:
            raise VoucherError(f"device {who.id.hex()} gave a receipt of another")
        if not stored.is_new and stored.receipt.sequence < have:
            text = f"gave receipt {stored.receipt.sequence} again after {have}"
            ledger.note(who.id, Kind.ROLLBACK, text)
        elif not stored.is_new and stored.receipt.sequence == have:
            break  # nothing happened since
        new += stored.is_new
        have = stored.receipt.sequence
    findings = reconcile(ledger.engine, only=who.id).findings
    return Synced(who.id.hex(), new, stored.receipt, tuple(findings))


def _explain(error: SmpError) -> NoReturn:
    """The device's refusal in words; what is not of this group stays as it is."""
    if error.group == METER_GROUP and error.rc in REASONS:
        raise VoucherError(f"the device refuses: {REASONS[MeterError(error.rc)]}") from error
    raise error
