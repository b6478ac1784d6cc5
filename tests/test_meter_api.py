"""The ledger over HTTP: what its OpenAPI page says is what it does."""

import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient

from support.meter import Device, key_of
from tinyseal.errors import UsageError
from tinyseal.fleet.database import open_database
from tinyseal.fleet.ledger import Ledger
from tinyseal.fleet.meter_api import Rates, make_api_key, make_app, revoke_api_key
from tinyseal.fleet.vouchers import from_text

KWS = bytes(range(32))


@pytest.fixture
def engine(database_url):
    made = open_database(database_url)
    yield made
    made.dispose()


def test_every_call_keeps_to_the_schema(engine, campaign):
    """Schemathesis makes calls of what the OpenAPI page says, and judges the answers by it."""
    app = make_app(engine, key_of(100), per_second=1e6, burst=10**6)
    Ledger(engine).enroll(bytes(16), key_of(1).raw)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    headers = {"X-API-Key": make_api_key(engine, "schemathesis")}
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) == 6
    for operation in operations:

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(max_examples=20 * campaign, deadline=None, derandomize=True)
        def judge(case):
            case.call_and_validate(headers=headers)

        judge()


def test_an_operators_backend_sells_and_keeps(engine):
    client = TestClient(make_app(engine, key_of(100)))
    client.headers["X-API-Key"] = make_api_key(engine, "shop")
    device = Device(1)
    device.mount(KWS)
    identity = {"id": device.id.hex(), "public_key": device.key.raw.hex()}
    assert client.post("/v1/devices", json=identity).json() == {"is_new": True}
    price = {"micros": 2000, "currency": "CHF", "name": "kws"}
    assert client.put(f"/v1/prices/{KWS.hex()}", json=price).status_code == 200
    order = {"device": device.id.hex(), "subject": KWS.hex(), "quantity": 50}
    sold = client.post("/v1/vouchers", json=order).json()
    assert (sold["serial"], sold["price"]) == (1, "0.10 CHF")
    assert from_text(sold["text"]).hex() == sold["voucher"]
    assert device.redeem_text(sold["text"]) == (0, 0)
    assert device.charge() == 0
    receipt = {"receipt": device.receipt_bytes(0).hex()}
    assert client.post("/v1/receipts", json=receipt).json() == {
        "is_new": True, "sequence": 1, "counter": 1, "newest": 0,
    }  # fmt: skip
    assert client.post("/v1/receipts", json=receipt).json()["is_new"] is False
    state = client.get(f"/v1/devices/{device.id.hex()}").json()
    assert state["findings"] == [] and state["balances"][0]["spent"] == 1
    assert client.get("/v1/prices").json()[0]["name"] == "kws"
    broken = {"receipt": receipt["receipt"][:-2] + "00"}
    refused = client.post("/v1/receipts", json=broken)
    assert refused.status_code == 409 and "not signed" in refused.json()["detail"]
    assert TestClient(make_app(engine, None)).get("/openapi.json").status_code == 200


def test_without_a_valid_key_nothing_is_done(engine):
    client = TestClient(make_app(engine, key_of(100)))
    key = make_api_key(engine, "shop")
    with pytest.raises(UsageError, match="exists"):
        make_api_key(engine, "shop")
    for headers in ({}, {"X-API-Key": "tsm_wrong"}, {"X-API-Key": ""}):
        assert client.get("/v1/prices", headers=headers).status_code == 401
    assert client.get("/v1/prices", headers={"X-API-Key": key}).status_code == 200
    revoke_api_key(engine, "shop")
    assert client.get("/v1/prices", headers={"X-API-Key": key}).status_code == 401
    with pytest.raises(UsageError, match="there is none"):
        revoke_api_key(engine, "shop")


def test_calls_beyond_the_rate_are_told_when_to_come_again(engine):
    now = [0.0]
    client = TestClient(make_app(engine, None, 2.0, 3, lambda: now[0]))
    shop = {"X-API-Key": make_api_key(engine, "shop")}
    other = {"X-API-Key": make_api_key(engine, "other")}
    codes = [client.get("/v1/prices", headers=shop).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    late = client.get("/v1/prices", headers=shop)
    assert late.headers["Retry-After"] == "1"
    assert client.get("/v1/prices", headers=other).status_code == 200
    now[0] = 0.5
    assert client.get("/v1/prices", headers=shop).status_code == 200
    guesses = [client.get("/v1/prices", headers={"X-API-Key": str(i)}) for i in range(5)]
    assert [g.status_code for g in guesses] == [401, 401, 401, 429, 429], "guessing is slow"


def test_rates_remember_only_so_many_callers():
    rates = Rates(1.0, 1, lambda: 0.0)
    for caller in range(20_000):
        rates.wait(str(caller))
    assert len(rates._buckets) <= 10_000
    assert rates.wait("19999") > 0
