"""The ledger over HTTP, for an operator's backend: what `tinyseal meter serve` serves.

Every call needs an API key, and has a rate. Input is hostile: it is checked before the ledger sees
it.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, HTTPException, Path, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from sqlalchemy import BigInteger, Engine, String, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from tinyseal import __version__
from tinyseal.errors import FleetError, ToolError, UsageError
from tinyseal.fleet.database import Base
from tinyseal.fleet.ledger import Ledger, MeterSubject, money, now_ms
from tinyseal.fleet.reconcile import Balance, reconcile
from tinyseal.fleet.vouchers import MAX_U32, to_text
from tinyseal.package.keys import Key

KEY_PREFIX: Final = "tsm_"
MAX_BUCKETS: Final = 10_000  # of callers remembered; beyond, the longest unseen is forgotten


class MeterApiKey(Base):
    """Who may call. The key itself is told once and not kept."""

    __tablename__ = "meter_api_key"

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    made: Mapped[int] = mapped_column(BigInteger)
    revoked: Mapped[int | None] = mapped_column(BigInteger)


def make_api_key(engine: Engine, name: str) -> str:
    """A new key for `name`; UsageError if it has one."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    with engine.begin() as c:
        if c.execute(select(MeterApiKey.number).where(MeterApiKey.name == name)).first():
            raise UsageError(f"API key {name!r}: exists; give another name")
        c.execute(insert(MeterApiKey).values(name=name, digest=_digest(key), made=now_ms()))
    return key


def revoke_api_key(engine: Engine, name: str) -> None:
    with engine.begin() as c:
        done = c.execute(
            update(MeterApiKey)
            .where(MeterApiKey.name == name, MeterApiKey.revoked.is_(None))
            .values(revoked=now_ms())
            .returning(MeterApiKey.number)
        ).first()
    if done is None:
        raise UsageError(f"API key {name!r}: there is none")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


class Rates:
    """A token bucket for each caller."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, when

    def wait(self, caller: str) -> float:
        """Seconds until this call would be in time; 0: it is, and counts."""
        now = self._clock()
        tokens, then = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - then) * self._per_second)
        seconds = 0.0 if tokens >= 1 else (1 - tokens) / self._per_second
        self._buckets[caller] = (tokens - 1 if not seconds else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]
        return seconds


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _whole(value: object) -> object:
    """JSON knows no integers: 3.0 is one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
Hex16 = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="16 bytes, hexadecimal")]
Hex32 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="32 bytes, hexadecimal")]
Name = Annotated[str, Field(max_length=100, pattern="^[ -~]*$", description="printable ASCII")]
Count = Annotated[int, Field(ge=0, le=MAX_U32), WHOLE]
DevicePath = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Device id, hexadecimal.")]
SubjectPath = Annotated[
    str, Path(pattern="^[0-9a-f]{64}$", description="Model id, or a family's, hexadecimal.")
]


class Problem(BaseModel):
    """Why a call was refused."""

    detail: str


class NewDevice(Strict):
    id: Hex16
    public_key: Hex32
    name: Name = ""


class Enrolled(Strict):
    is_new: bool


class Price(Strict):
    micros: Annotated[int, Field(ge=0, le=10**15, description="millionths, of one query"), WHOLE]
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "EUR"
    name: Name = ""


class Priced(Price):
    subject: Hex32


class Order(Strict):
    device: Hex16
    subject: Hex32
    quantity: Annotated[int, Field(ge=1, le=MAX_U32), WHOLE]
    not_after: Count | None = None


class Sold(Strict):
    serial: Count
    voucher: str  # hexadecimal
    text: str
    price: str


class NewReceipt(Strict):
    receipt: Annotated[str, Field(pattern="^([0-9a-f]{2}){1,400}$", description="hexadecimal")]


class Kept(Strict):
    is_new: bool
    sequence: Count
    counter: Count
    newest: Count  # that was known before


class DeviceState(Strict):
    newest: Count
    balances: list[dict[str, Any]]
    findings: list[dict[str, Any]]


_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": Problem, "description": "It contradicts what the ledger knows."},
    401: {"model": Problem, "description": "No API key, or one that is not valid."},
    429: {"model": Problem, "description": "Too many calls; Retry-After says when again."},
    503: {"model": Problem, "description": "The database does not answer."},
}
_HEADER: Final = APIKeyHeader(name="X-API-Key", auto_error=False)


def make_app(
    engine: Engine,
    key: Key | None,
    per_second: float = 50.0,
    burst: int = 100,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The service. `key` signs vouchers; without one, none are sold."""
    ledger = Ledger(engine)
    rates = Rates(per_second, burst, clock)

    def admit(request: Request, api_key: Annotated[str | None, Security(_HEADER)]) -> str:
        """The caller's name. Callers without a key share a bucket by their address."""
        name = None
        if api_key is not None:
            with engine.connect() as c:
                name = c.execute(
                    select(MeterApiKey.name).where(
                        MeterApiKey.digest == _digest(api_key), MeterApiKey.revoked.is_(None)
                    )
                ).scalar_one_or_none()
        address = request.client.host if request.client else "-"
        seconds = rates.wait(f"key {name}" if name is not None else f"address {address}")
        if seconds:
            raise HTTPException(
                429, "too many calls", headers={"Retry-After": str(int(seconds) + 1)}
            )
        if name is None:
            raise HTTPException(401, "no API key, or one that is not valid")
        return name

    app = FastAPI(
        title="tinyseal meter",
        version=__version__,
        description="Prepaid queries: prices, vouchers, receipts.",
        dependencies=[Depends(admit)],
        responses=_PROBLEMS,
    )

    @app.exception_handler(ToolError)
    def refuse(request: Request, error: ToolError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 503 if isinstance(error, FleetError) else 409)

    @app.post("/v1/devices")
    def enroll(device: NewDevice) -> Enrolled:
        """Make a device known, by the key that its receipts are verified with."""
        is_new = ledger.enroll(
            bytes.fromhex(device.id), bytes.fromhex(device.public_key), device.name
        )
        return Enrolled(is_new=is_new)

    @app.get("/v1/devices/{device}")
    def state(device: DevicePath) -> DeviceState:
        """What a device was sold, has redeemed and used, and what is wrong with it."""
        balances: list[Balance] = []
        raw = bytes.fromhex(device)
        result = reconcile(engine, balances.append, only=raw)
        return DeviceState(
            newest=ledger.newest(raw),
            balances=[asdict(b) for b in balances],
            findings=[asdict(f) for f in result.findings],
        )

    @app.get("/v1/prices")
    def prices() -> list[Priced]:
        """The price list."""
        with engine.connect() as c:
            return [
                Priced(subject=row.id.hex(), micros=row.price, currency=row.currency, name=row.name)
                for row in c.execute(
                    select(
                        MeterSubject.id, MeterSubject.price, MeterSubject.currency,
                        MeterSubject.name,
                    ).order_by(MeterSubject.number)
                )
            ]  # fmt: skip

    @app.put("/v1/prices/{subject}")
    def set_price(subject: SubjectPath, price: Price) -> Priced:
        """Set what a query of a model or family costs, for vouchers from now on."""
        ledger.set_price(bytes.fromhex(subject), price.micros, price.currency, price.name)
        return Priced(subject=subject, **price.model_dump())

    @app.post("/v1/vouchers")
    def issue(order: Order) -> Sold:
        """Sell a voucher."""
        if key is None:
            raise UsageError("this service has no key to sign vouchers with")
        issued = ledger.issue(
            bytes.fromhex(order.device),
            bytes.fromhex(order.subject),
            order.quantity,
            key,
            order.not_after,
        )
        return Sold(
            serial=issued.voucher.serial,
            voucher=issued.data.hex(),
            text=to_text(issued.data),
            price=money(issued.price, issued.currency),
        )

    @app.post("/v1/receipts")
    def store(receipt: NewReceipt) -> Kept:
        """Keep a receipt that a device gave. One that is known already is no error."""
        stored = ledger.store(bytes.fromhex(receipt.receipt))
        return Kept(
            is_new=stored.is_new,
            sequence=stored.receipt.sequence,
            counter=stored.receipt.counter,
            newest=stored.newest,
        )

    return app
