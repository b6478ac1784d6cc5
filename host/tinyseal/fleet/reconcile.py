"""What receipts and vouchers say together: replays, clones, old flash, gaps; and who used what.

One pass over the receipts in the order of the table's key, one device in memory at a time, so time
grows with their number and memory does not.
"""

from __future__ import annotations

import enum
import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Row, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from tinyseal.fleet.ledger import MeterDevice, MeterEvent, MeterReceipt, MeterSubject, MeterVoucher
from tinyseal.fleet.receipts import ACCOUNT, NO_ANCHOR, RECEIPT, SIGNATURE_BYTES, WINDOW, Account

_Row = Row[*tuple[Any, ...]]

BATCH: Final = 10_000  # rows asked for at a time
FIRST: Final = bytes(32)


class Kind(enum.StrEnum):
    GAP = "gap"  # receipts are missing between two that are there
    ROLLBACK = "rollback"  # an earlier copy of the flash was put back
    CLONE = "clone"  # two devices go on from the same flash, by turns
    REPLAY = "replay"  # a voucher counted twice, or one that nobody issued counted
    COUNTER = "counter"  # numbers that cannot follow each other
    REFUSED = "refused"  # the device said itself that its records contradict each other


@dataclass(frozen=True)
class Finding:
    device: str  # hexadecimal
    kind: Kind
    sequence: int  # of the receipt where it shows; 0 for none
    text: str


@dataclass(frozen=True)
class Balance:
    """One model or family on one device, by its newest receipt."""

    device: str
    subject: str
    issued: int  # queries of all vouchers
    price: int
    credited: int
    spent: int


@dataclass
class Total:
    """One model or family, over all devices."""

    name: str
    currency: str
    devices: int = 0
    vouchers: int = 0
    issued: int = 0
    price: int = 0
    credited: int = 0
    spent: int = 0


@dataclass
class Reconciled:
    devices: int = 0
    receipts: int = 0
    vouchers: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    totals: dict[str, Total] = field(default_factory=dict)


class _Signed(NamedTuple):
    """A receipt, with what following it takes."""

    sequence: int
    counter: int
    anchor: int
    previous: bytes
    hash: bytes
    received: int
    books: dict[bytes, _Book]  # by subject


_Book = tuple[bytes, int, int, int, int]  # an Account's fields: millions of them are made


class _Sold(NamedTuple):
    quantity: int
    price: int


_Sales = dict[bytes, dict[int, _Sold]]  # by subject, by serial number


def reconcile(
    engine: Engine,
    balances: Callable[[Balance], None] = lambda balance: None,
    progress: Callable[[int], None] = lambda receipts: None,
    only: bytes | None = None,
) -> Reconciled:
    """Goes through everything once, or through one device's. `balances` is given each device's, in
    their order; `progress` how many receipts are done."""
    result = Reconciled()
    with engine.connect() as c:
        subjects = {
            row.number: row
            for row in c.execute(
                select(
                    MeterSubject.number, MeterSubject.id, MeterSubject.name, MeterSubject.currency
                )
            )
        }
        names = {row.id: row for row in subjects.values()}
        wanted = select(MeterDevice.number, MeterDevice.id).order_by(MeterDevice.number)
        one = None
        if only is not None:
            wanted = wanted.where(MeterDevice.id == only)
            one = c.execute(wanted).scalar()
        receipts = _Groups(c, _of(_receipts(), MeterReceipt.device, one))
        vouchers = _Groups(c, _of(_vouchers(), MeterVoucher.device, one))
        events = _Groups(c, _of(_events(), MeterEvent.device, one))
        devices = c.execution_options(yield_per=BATCH).execute(wanted)
        for number, device in devices:
            sold: _Sales = defaultdict(dict)
            for _, subject, serial, quantity, price in vouchers.of(number):
                sold[subjects[subject].id][serial] = _Sold(quantity, price)
                result.vouchers += 1
            chain = [_signed(row) for row in receipts.of(number)]
            result.devices += 1
            result.receipts += len(chain)
            name = device.hex()
            found = [
                *(Finding(name, Kind(kind), 0, text) for _, kind, text in events.of(number)),
                *_judge(name, chain, sold),
            ]
            result.findings += found
            result.kinds.update(f.kind for f in found)
            for balance in _balances(name, chain, sold):
                balances(balance)
                _add(result.totals, balance, names, sold)
            if result.devices % 500 == 0:
                progress(result.receipts)
    progress(result.receipts)
    return result


class _Groups:
    """Rows ordered by device, given out device by device."""

    def __init__(self, c: Connection, statement: Select[*tuple[Any, ...]]) -> None:
        rows = c.execution_options(yield_per=BATCH).execute(statement)
        self._groups = itertools.groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, device: int) -> list[_Row]:
        if self._next is None or self._next[0] != device:
            return []
        rows = list(self._next[1])
        self._next = next(self._groups, None)
        return rows


def _of(
    statement: Select[*tuple[Any, ...]], device: InstrumentedAttribute[int], one: int | None
) -> Select[*tuple[Any, ...]]:
    return statement if one is None else statement.where(device == one)


def _receipts() -> Select[*tuple[Any, ...]]:
    return select(MeterReceipt.device, MeterReceipt.received, MeterReceipt.data).order_by(
        MeterReceipt.device, MeterReceipt.sequence, MeterReceipt.hash
    )


def _vouchers() -> Select[*tuple[Any, ...]]:
    return select(
        MeterVoucher.device, MeterVoucher.subject, MeterVoucher.serial, MeterVoucher.quantity,
        MeterVoucher.price,
    ).order_by(MeterVoucher.device, MeterVoucher.subject, MeterVoucher.serial)  # fmt: skip


def _events() -> Select[*tuple[Any, ...]]:
    return select(MeterEvent.device, MeterEvent.kind, MeterEvent.text).order_by(
        MeterEvent.device, MeterEvent.number
    )


def _signed(row: _Row) -> _Signed:
    content = row[2][:-SIGNATURE_BYTES]
    _, _, _, _, _, sequence, counter, anchor, previous = RECEIPT.unpack_from(content)
    books = {book[0]: book for book in ACCOUNT.iter_unpack(content[RECEIPT.size :])}
    digest = hashlib.sha256(content).digest()
    return _Signed(sequence, counter, anchor, previous, digest, row[1], books)


def _judge(device: str, chain: Sequence[_Signed], sold: _Sales) -> list[Finding]:
    """Everything that is wrong with one device; `chain` is in the order of numbers."""
    if not chain:
        return []
    found: list[Finding] = []
    last: _Signed | None = None
    is_straight = True
    for receipt in chain:
        if last is None:
            if receipt.sequence > 1:
                found.append(_gap(device, 1, receipt.sequence))
        elif receipt.sequence == last.sequence + 1 and receipt.previous == last.hash:
            _compare(device, last, receipt, found)
        elif receipt.sequence > last.sequence + 1:
            found.append(_gap(device, last.sequence + 1, receipt.sequence))
            _compare(device, last, receipt, found)
        else:
            is_straight = False
        last = receipt
    leaves = [chain[-1]]
    if not is_straight:
        leaves = _judge_forks(device, chain, found)
    for leaf in leaves:
        found += _judge_credits(device, leaf, sold)
    return list(dict.fromkeys(found))


def _gap(device: str, first: int, beyond: int) -> Finding:
    missing = str(first) if first == beyond - 1 else f"{first} to {beyond - 1}"
    return Finding(device, Kind.GAP, beyond, f"receipt {missing} missing")


def _compare(device: str, old: _Signed, new: _Signed, found: list[Finding]) -> None:
    """Nothing that a device counts goes back, and each count is charged to somebody."""
    wrong = ""
    paid = 0
    for subject, book in old.books.items():
        then = new.books.get(subject)
        if then is None or then[1] < book[1] or then[2] < book[2] or then[3] < book[3]:
            wrong = f"the account of {subject.hex()[:16]}… went back"
            break
        paid -= book[2]
    if not wrong:
        paid += sum(book[2] for book in new.books.values())
        if new.counter < old.counter:
            wrong = f"the counter went back from {old.counter} to {new.counter}"
        elif new.counter - old.counter != paid:
            wrong = f"{new.counter - old.counter} queries counted, {paid} charged"
        elif old.anchor != NO_ANCHOR and (new.anchor == NO_ANCHOR or new.anchor < old.anchor):
            wrong = "the anchor went back"
    if wrong:
        found.append(Finding(device, Kind.COUNTER, new.sequence, wrong))


def _judge_forks(device: str, chain: Sequence[_Signed], found: list[Finding]) -> list[_Signed]:
    """Goes through the receipts as they came. Whoever goes on from a receipt that was gone on
    from before has put its flash back; whoever returns to a branch that was left is another
    device. Returns the ends of all branches."""
    known: dict[bytes, _Signed] = {}
    wanted: set[bytes] = set()  # hashes of receipts that are missing so far
    parents: set[bytes] = set()
    forks: list[tuple[_Signed, _Signed | None, _Signed]] = []  # new, from, left behind
    returns = 0
    tip: _Signed | None = None
    for receipt in sorted(chain, key=lambda r: (r.received, r.sequence)):
        parent = known.get(receipt.previous)
        is_filler = receipt.hash in wanted
        if parent is None and receipt.previous != FIRST:
            wanted.add(receipt.previous)
        elif parent is not None and receipt.sequence != parent.sequence + 1:
            text = f"follows receipt {parent.sequence}"
            found.append(Finding(device, Kind.COUNTER, receipt.sequence, text))
        if tip is not None and not is_filler and receipt.previous != tip.hash:
            if receipt.previous in parents:
                forks.append((receipt, parent, tip))
            elif parent is not None:
                returns += 1
            elif receipt.sequence <= tip.sequence:
                forks.append((receipt, None, tip))
        if parent is not None:
            _compare(device, parent, receipt, found)
        known[receipt.hash] = receipt
        parents.add(receipt.previous)
        tip = tip if is_filler else receipt
    assert tip is not None
    kind = Kind.CLONE if returns else Kind.ROLLBACK
    for new, parent, left in forks:
        since = left.counter - (parent.counter if parent else 0)
        text = (
            f"goes on from receipt {parent.sequence if parent else 0} a second time; "
            f"{max(0, since)} queries counted since were left out"
        )
        found.append(Finding(device, kind, new.sequence, text))
        found += _redeemed_twice(device, new, parent, left, tip)
    return [r for r in chain if r.hash not in parents]


def _redeemed_twice(
    device: str, new: _Signed, parent: _Signed | None, left: _Signed, tip: _Signed
) -> Iterator[Finding]:
    """Vouchers redeemed on the branch that was left, and on the one that is now."""
    for subject in left.books.keys() & tip.books.keys():
        then, now = Account(*left.books[subject]), Account(*tip.books[subject])
        before = parent.books.get(subject) if parent else None
        old = Account(*before) if before else None
        twice = [
            serial
            for serial in range(max(1, now.serial - WINDOW), now.serial + 1)
            if now.is_redeemed(serial) and then.is_redeemed(serial)
            and not (old and old.is_redeemed(serial) is not False and serial <= old.serial)
        ]  # fmt: skip
        if twice:
            serials = ", ".join(map(str, twice))
            text = f"voucher {serials} of {subject.hex()[:16]}… redeemed on both branches"
            yield Finding(device, Kind.REPLAY, new.sequence, text)


def _judge_credits(device: str, leaf: _Signed, sold: _Sales) -> Iterator[Finding]:
    """What vouchers brought is what was issued."""
    for subject, book in leaf.books.items():
        account = Account(*book)
        issued = sold.get(subject, {})
        most = 0
        strange = ""
        for serial, one in issued.items():
            most += one.quantity if account.is_redeemed(serial) is not False else 0
        for serial in range(max(1, account.serial - WINDOW), account.serial + 1):
            if account.is_redeemed(serial) and serial not in issued:
                strange = f"voucher {serial} was never issued here"
        if not strange and account.credited > most:
            strange = f"{account.credited} queries credited, {most} sold"
        if not strange and account.credited < most and account.serial <= WINDOW + 1:
            strange = f"{account.credited} queries credited of {most} redeemed"
        if strange:
            text = f"{strange}, for {subject.hex()[:16]}…"
            yield Finding(device, Kind.REPLAY, leaf.sequence, text)


def _balances(device: str, chain: Sequence[_Signed], sold: _Sales) -> Iterator[Balance]:
    """What the receipt that came last says, of everything sold or used."""
    newest = max(chain, key=lambda r: (r.received, r.sequence)) if chain else None
    books: Mapping[bytes, _Book] = newest.books if newest else {}
    for subject in sorted(sold.keys() | books.keys()):
        one = sold.get(subject, {})
        book = books.get(subject)
        yield Balance(
            device,
            subject.hex(),
            sum(s.quantity for s in one.values()),
            sum(s.price for s in one.values()),
            book[1] if book else 0,
            book[2] if book else 0,
        )


def _add(
    totals: dict[str, Total], balance: Balance, names: Mapping[bytes, Any], sold: _Sales
) -> None:
    subject = bytes.fromhex(balance.subject)
    total = totals.get(balance.subject)
    if total is None:
        known = names.get(subject)
        total = totals[balance.subject] = Total(
            known.name if known else "", known.currency if known else ""
        )
    total.devices += 1
    total.vouchers += len(sold.get(subject, {}))
    total.issued += balance.issued
    total.price += balance.price
    total.credited += balance.credited
    total.spent += balance.spent
