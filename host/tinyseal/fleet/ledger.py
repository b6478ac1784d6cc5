"""The ledger of prepaid queries: who was sold what, and what devices sign that they used.

Receipts go in as they come, verified; what they mean together is worked out by reconcile.py. All
times are milliseconds since 1970, UTC; money is in millionths of its currency.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from tinyseal.errors import FleetError, UsageError, VoucherError
from tinyseal.fleet.database import Base
from tinyseal.fleet.receipts import Receipt, read_receipt
from tinyseal.fleet.vouchers import (
    DEVICE_ID_BYTES,
    SUBJECT_BYTES,
    Voucher,
    from_text,
    to_text,
)
from tinyseal.package.keys import Key

MICROS: Final = 1_000_000
KEY_BYTES: Final = 32


class MeterDevice(Base):
    """A device, by its id and the key that its receipts are verified with."""

    __tablename__ = "meter_device"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[bytes] = mapped_column(LargeBinary(DEVICE_ID_BYTES), unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary(KEY_BYTES))
    name: Mapped[str] = mapped_column(String(100), default="")
    newest: Mapped[int] = mapped_column(BigInteger, default=0)  # number of its last new receipt


class MeterSubject(Base):
    """What is sold by the query: a model, or a family of them."""

    __tablename__ = "meter_subject"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[bytes] = mapped_column(LargeBinary(SUBJECT_BYTES), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    price: Mapped[int] = mapped_column(BigInteger, default=0)  # of one query
    currency: Mapped[str] = mapped_column(String(3), default="EUR")


class MeterVoucher(Base):
    __tablename__ = "meter_voucher"
    __table_args__ = (UniqueConstraint("device", "subject", "serial"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[int] = mapped_column(ForeignKey("meter_device.number"))
    subject: Mapped[int] = mapped_column(ForeignKey("meter_subject.number"))
    serial: Mapped[int] = mapped_column(BigInteger)
    quantity: Mapped[int] = mapped_column(BigInteger)
    not_after: Mapped[int | None] = mapped_column(BigInteger)
    price: Mapped[int] = mapped_column(BigInteger)  # of all of it
    currency: Mapped[str] = mapped_column(String(3))
    issued: Mapped[int] = mapped_column(BigInteger)
    redeemed: Mapped[int | None] = mapped_column(BigInteger)  # through this ledger's tool
    data: Mapped[bytes] = mapped_column(LargeBinary(81))


class MeterReceipt(Base):
    """In the order in which reconcile reads them. Two of one device and number are a finding, so
    both are kept."""

    __tablename__ = "meter_receipt"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012  SQLAlchemy reads it

    device: Mapped[int] = mapped_column(ForeignKey("meter_device.number"), primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    received: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[bytes] = mapped_column(LargeBinary(320))


class MeterEvent(Base):
    """What a sync noticed that no receipt says."""

    __tablename__ = "meter_event"

    number: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[int] = mapped_column(ForeignKey("meter_device.number"))
    kind: Mapped[str] = mapped_column(String(20))  # a Kind of reconcile.py
    seen: Mapped[int] = mapped_column(BigInteger)
    text: Mapped[str] = mapped_column(String(200))

    __table_args__ = (Index("ix_meter_event_device", "device"),)


@dataclass(frozen=True)
class Issued:
    """A voucher, and what it costs."""

    voucher: Voucher
    data: bytes
    price: int
    currency: str

    @property
    def text(self) -> str:
        return to_text(self.data)


@dataclass(frozen=True)
class Stored:
    """What became of a receipt."""

    receipt: Receipt
    is_new: bool
    newest: int  # of the device, by the ledger, before this one


def now_ms() -> int:
    return int(time.time() * 1000)


def money(micros: int, currency: str) -> str:
    """As people write it: at least two places, no more than it takes."""
    whole = f"{Decimal(micros) / MICROS:.6f}".rstrip("0")
    places = max(2, len(whole.partition(".")[2]))
    return f"{Decimal(micros) / MICROS:.{places}f} {currency}"


def micros(text: str) -> int:
    """Millionths, of a price as people write it."""
    try:
        value = Decimal(text) * MICROS
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or value != int(value) or value > 10**15:
        raise UsageError(f"price {text!r}: expected a number from 0, of at most six places")
    return int(value)


class Ledger:
    """Does what it is asked in one transaction each."""

    def __init__(self, engine: Engine, clock: Callable[[], int] = now_ms) -> None:
        self.engine = engine
        self._clock = clock

    def enroll(self, device: bytes, public_key: bytes, name: str = "") -> bool:
        """Makes a device known; False if it was. UsageError if it has another key: that is how a
        clone with keys of its own shows itself."""
        if len(device) != DEVICE_ID_BYTES or len(public_key) != KEY_BYTES:
            raise UsageError(
                f"expected a device id of {DEVICE_ID_BYTES} bytes and a public key of {KEY_BYTES}, "
                f"not {len(device)} and {len(public_key)}"
            )
        with self.engine.begin() as c:
            found = c.execute(
                select(MeterDevice.public_key).where(MeterDevice.id == device)
            ).scalar_one_or_none()
            if found is None:
                c.execute(insert(MeterDevice).values(id=device, public_key=public_key, name=name))
                return True
        if found != public_key:
            raise UsageError(
                f"device {device.hex()} is known with key {found.hex()[:16]}…, not "
                f"{public_key.hex()[:16]}…"
            )
        return False

    def set_price(self, subject: bytes, price: int, currency: str, name: str = "") -> None:
        if len(currency) != 3 or not (currency.isascii() and currency.isupper()):
            raise UsageError(f"currency {currency!r}: expected three capitals, as EUR")
        with self.engine.begin() as c:
            number = self._subject(c, subject, name)
            sold_in = c.execute(
                select(MeterVoucher.currency)
                .where(MeterVoucher.subject == number, MeterVoucher.currency != currency)
                .limit(1)
            ).scalar()
            if sold_in is not None:
                raise UsageError(
                    f"vouchers of {subject.hex()[:16]}… were sold in {sold_in}; sums take one "
                    f"currency, not {currency} as well"
                )
            values: dict[str, object] = {"price": price, "currency": currency}
            if name:
                values["name"] = name
            c.execute(update(MeterSubject).where(MeterSubject.number == number).values(**values))

    def issue(
        self,
        device: bytes,
        subject: bytes,
        quantity: int,
        key: Key,
        not_after: int | None = None,
        name: str = "",
    ) -> Issued:
        """A signed voucher with the next serial number of device and subject."""
        for _ in range(3):  # somebody else may take the number first
            try:
                with self.engine.begin() as c:
                    return self._issue(c, device, subject, quantity, key, not_after, name)
            except IntegrityError:
                continue
        raise FleetError(f"device {device.hex()}: others issue vouchers to it all the time")

    def _issue(
        self,
        c: Connection,
        device: bytes,
        subject: bytes,
        quantity: int,
        key: Key,
        not_after: int | None,
        name: str,
    ) -> Issued:
        number = self._device(c, device)[0]
        of = self._subject(c, subject, name)
        price, currency = c.execute(
            select(MeterSubject.price, MeterSubject.currency).where(MeterSubject.number == of)
        ).one()
        last = c.execute(
            select(func.max(MeterVoucher.serial)).where(
                MeterVoucher.device == number, MeterVoucher.subject == of
            )
        ).scalar_one()
        voucher = Voucher(device, subject, (last or 0) + 1, quantity, not_after)
        issued = Issued(voucher, voucher.sign(key), price * quantity, currency)
        c.execute(
            insert(MeterVoucher).values(
                device=number, subject=of, serial=voucher.serial, quantity=quantity,
                not_after=not_after, price=issued.price, currency=currency,
                issued=self._clock(), redeemed=None, data=issued.data,
            )
        )  # fmt: skip
        return issued

    def mark_redeemed(self, text: str) -> None:
        """Notes when a voucher was redeemed; nothing for one that this ledger did not issue."""
        with self.engine.begin() as c:
            c.execute(
                update(MeterVoucher)
                .where(MeterVoucher.data == from_text(text), MeterVoucher.redeemed.is_(None))
                .values(redeemed=self._clock())
            )

    def newest(self, device: bytes) -> int:
        """Number of the receipt that came last from a device; 0 without one, or if it is not known.
        Not the highest: behind an old flash the device goes on from an old one."""
        with self.engine.connect() as c:
            found = c.execute(
                select(MeterDevice.newest).where(MeterDevice.id == device)
            ).scalar_one_or_none()
            return found or 0

    def store(self, data: bytes) -> Stored:
        """Verifies a receipt and keeps it. One that is known already is no error; what an older one
        means is for reconcile, and for who asked the device."""
        receipt = read_receipt(data)
        with self.engine.begin() as c:
            number, key, newest = self._device(c, receipt.device)
            read_receipt(data, key)
            known = c.execute(
                select(MeterReceipt.sequence).where(
                    MeterReceipt.device == number,
                    MeterReceipt.sequence == receipt.sequence,
                    MeterReceipt.hash == receipt.hash,
                )
            ).scalar_one_or_none()
            if known is None:
                c.execute(
                    insert(MeterReceipt).values(
                        device=number, sequence=receipt.sequence, hash=receipt.hash,
                        received=self._clock(), data=data,
                    )
                )  # fmt: skip
                c.execute(
                    update(MeterDevice)
                    .where(MeterDevice.number == number)
                    .values(newest=receipt.sequence)
                )
        return Stored(receipt, known is None, newest)

    def note(self, device: bytes, kind: str, text: str) -> None:
        """Keeps an event for reconcile."""
        with self.engine.begin() as c:
            number = self._device(c, device)[0]
            c.execute(
                insert(MeterEvent).values(
                    device=number, kind=kind, seen=self._clock(), text=text[:200]
                )
            )

    def _device(self, c: Connection, device: bytes) -> tuple[int, bytes, int]:
        found = c.execute(
            select(MeterDevice.number, MeterDevice.public_key, MeterDevice.newest).where(
                MeterDevice.id == device
            )
        ).one_or_none()
        if found is None:
            raise VoucherError(
                f"device {device.hex()} is not known here; tinyseal meter enroll makes it known"
            )
        return found.number, found.public_key, found.newest

    def _subject(self, c: Connection, subject: bytes, name: str) -> int:
        if len(subject) != SUBJECT_BYTES:
            raise UsageError(f"a model id has {SUBJECT_BYTES} bytes, not {len(subject)}")
        found = c.execute(
            select(MeterSubject.number).where(MeterSubject.id == subject)
        ).scalar_one_or_none()
        if found is not None:
            return found
        return c.execute(
            insert(MeterSubject).values(id=subject, name=name).returning(MeterSubject.number)
        ).scalar_one()
