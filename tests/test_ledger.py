"""The ledger: what devices did, as their receipts tell it, and who cheats."""

import csv
import json

import pytest
from typer.testing import CliRunner

from support.meter import Device, key_of, voucher
from tinyseal.cli import app
from tinyseal.errors import UsageError, VoucherError
from tinyseal.fleet.database import open_database
from tinyseal.fleet.ledger import Ledger, micros, money
from tinyseal.fleet.reconcile import Kind, reconcile
from tinyseal.fleet.vouchers import from_text
from tinyseal.package.provision import StorageKey

KWS, VWW = bytes(range(32)), bytes(range(100, 132))
VENDOR = key_of(100)


@pytest.fixture
def ledger(database_url):
    ticks = iter(range(1, 10**6))
    made = Ledger(open_database(database_url), lambda: next(ticks))
    yield made
    made.engine.dispose()


def enrolled(ledger, number=1, subject=KWS):
    device = Device(number)
    ledger.enroll(device.id, device.key.raw)
    assert device.mount(subject) == 0
    return device


def buy(ledger, device, quantity, subject=KWS):
    issued = ledger.issue(device.id, subject, quantity, VENDOR)
    assert device.redeem_text(issued.text) == (0, 0)
    return issued


def use(device, times):
    assert [device.charge() for _ in range(times)] == [0] * times


def sync(ledger, device):
    """As `tinyseal meter sync` does it."""
    return ledger.store(device.receipt_bytes(ledger.newest(device.id)))


def kinds(ledger):
    return {f.kind for f in reconcile(ledger.engine).findings}


def test_an_honest_device_agrees_with_the_ledger(ledger):
    device = enrolled(ledger)
    ledger.set_price(KWS, micros("0.002"), "EUR", "kws")
    assert buy(ledger, device, 10).price == 20_000
    use(device, 4)
    assert sync(ledger, device).is_new and not sync(ledger, device).is_new
    buy(ledger, device, 5)
    ledger.issue(device.id, KWS, 3, VENDOR)  # not redeemed yet
    use(device, 11)
    assert sync(ledger, device).receipt.counter == 15
    balances = []
    result = reconcile(ledger.engine, balances.append)
    assert result.findings == [] and (result.devices, result.receipts, result.vouchers) == (1, 2, 3)
    assert [(b.issued, b.credited, b.spent) for b in balances] == [(18, 15, 15)]
    total = result.totals[KWS.hex()]
    assert (total.name, total.price, total.currency) == ("kws", 36_000, "EUR")


def test_a_flash_put_back_is_found_at_the_next_sync(ledger):
    device = enrolled(ledger)
    buy(ledger, device, 100)
    sync(ledger, device)
    old = device.flash()
    use(device, 30)
    sync(ledger, device)
    device.write_flash(old)
    device.mount(KWS)
    use(device, 50)
    behind = sync(ledger, device)
    assert not behind.is_new and behind.receipt.sequence < behind.newest, "it gives its old one"
    forked = ledger.store(device.receipt_bytes(behind.receipt.sequence))
    assert forked.is_new
    found = reconcile(ledger.engine).findings
    assert [f.kind for f in found] == [Kind.ROLLBACK]
    assert "30 queries" in found[0].text and found[0].sequence == 2


def test_two_devices_with_one_flash_are_a_clone(ledger):
    device = enrolled(ledger)
    buy(ledger, device, 100)
    sync(ledger, device)
    copy = device.flash()
    flashes = [copy, copy]
    newest = [1, 1]
    for turn in (0, 1, 0, 1):
        device.write_flash(flashes[turn])
        device.mount(KWS)
        use(device, 5 + turn)
        stored = ledger.store(device.receipt_bytes(newest[turn]))
        newest[turn] = stored.receipt.sequence
        flashes[turn] = device.flash()
    assert kinds(ledger) == {Kind.CLONE}


def test_a_voucher_redeemed_on_both_branches_is_a_replay(ledger):
    device = enrolled(ledger)
    buy(ledger, device, 10)
    sync(ledger, device)
    old = device.flash()
    again = buy(ledger, device, 7)
    sync(ledger, device)
    device.write_flash(old)
    device.mount(KWS)
    use(device, 1)
    assert device.redeem(again.data) == 0
    ledger.store(device.receipt_bytes(1))
    assert kinds(ledger) == {Kind.ROLLBACK, Kind.REPLAY}


def test_a_voucher_that_nobody_issued_is_found(ledger):
    device = enrolled(ledger)
    buy(ledger, device, 10)
    assert device.redeem(voucher(device, KWS, 2, 1000)) == 0  # somebody has the vendor's key
    sync(ledger, device)
    (finding,) = reconcile(ledger.engine).findings
    assert finding.kind is Kind.REPLAY and "never issued" in finding.text


def test_missing_receipts_are_a_gap_until_they_come(ledger):
    device = enrolled(ledger)
    buy(ledger, device, 10)
    kept = []
    for have in range(4):
        use(device, 1)
        kept.append(device.receipt_bytes(have))
    for data in (kept[0], kept[3]):
        ledger.store(data)
    (finding,) = reconcile(ledger.engine).findings
    assert (finding.kind, finding.text) == (Kind.GAP, "receipt 2 to 3 missing")
    for data in (kept[2], kept[1]):
        ledger.store(data)
    assert kinds(ledger) == set()


def test_a_counter_that_was_set_back_below_a_receipt_shows(ledger):
    """With the device's key in hand its books can be forged; not so that they add up."""
    device = enrolled(ledger)
    buy(ledger, device, 100)
    use(device, 20)
    sync(ledger, device)
    book = bytearray(device.get(StorageKey.METER_BOOK)[:-16])
    book[8 + 32 : 8 + 36] = (10_000).to_bytes(4, "little")
    device.set(StorageKey.METER_BOOK, device.tag(bytes(book)))
    device.mount(KWS)
    use(device, 200)
    sync(ledger, device)
    assert kinds(ledger) == {Kind.REPLAY}


def test_receipts_of_strangers_and_forgers_are_refused(ledger):
    stranger = Device(9)
    stranger.mount(KWS)
    with pytest.raises(VoucherError, match="not known"):
        sync(ledger, stranger)
    ledger.enroll(stranger.id, key_of(8).raw)
    with pytest.raises(VoucherError, match="not signed"):
        sync(ledger, stranger)
    with pytest.raises(UsageError, match="is known with key"):
        ledger.enroll(stranger.id, stranger.key.raw)
    assert ledger.enroll(stranger.id, key_of(8).raw) is False


def test_serial_numbers_are_of_device_and_model(ledger):
    for number in (1, 2):
        ledger.enroll(bytes([number]) * 16, key_of(number).raw)
    serials = [
        ledger.issue(bytes([device]) * 16, subject, 1, VENDOR).voucher.serial
        for device, subject in [(1, KWS), (1, KWS), (1, VWW), (2, KWS), (1, KWS)]
    ]
    assert serials == [1, 2, 1, 1, 3]


def test_a_model_is_sold_in_one_currency(ledger):
    ledger.enroll(bytes([1]) * 16, key_of(1).raw)
    ledger.set_price(KWS, 5, "CHF")
    ledger.set_price(KWS, 5, "EUR")
    ledger.issue(bytes([1]) * 16, KWS, 1, VENDOR)
    ledger.set_price(KWS, 7, "EUR")
    with pytest.raises(UsageError, match="sold in EUR"):
        ledger.set_price(KWS, 5, "CHF")


def test_prices():
    assert [micros(t) for t in ("0", "0.002", "1.5", "12")] == [0, 2000, 1_500_000, 12_000_000]
    assert money(2000, "EUR") == "0.002 EUR" and money(36_500_000, "CHF") == "36.50 CHF"
    for bad in ("-1", "0.0000001", "x", "nan", "1e30"):
        with pytest.raises(UsageError):
            micros(bad)


def run(*words, code=0):
    done = CliRunner().invoke(app, ["meter", *map(str, words)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def test_commands_from_price_to_report(tmp_path, database_url, monkeypatch):
    monkeypatch.setenv("TINYSEAL_DATABASE", database_url)
    device = Device(1, vendors=(key_of(100), load_dev_key()))
    device.mount(KWS)
    run("enroll", "--device", device.id.hex(), "--public-key", device.key.raw.hex())
    run("price", "0.01", "--model", KWS.hex(), "--currency", "CHF")
    issue = (
        "issue", "--device", device.id.hex(), "--model", KWS.hex(), "-n", 25, "--key",
        "keys/dev_sign.pem",
    )  # fmt: skip
    told = json.loads(
        run(*issue, "--qr", tmp_path / "v.svg", "--out", tmp_path / "v.bin", "--json")
    )
    assert told["price"] == "0.25 CHF" and told["serial"] == 1
    assert from_text(told["text"]).hex() == told["voucher"]
    assert (tmp_path / "v.bin").read_bytes().hex() == told["voucher"]
    assert (tmp_path / "v.svg").read_text().startswith("<?xml")
    typed = run(*issue)
    assert device.redeem_text(told["text"]) == (0, 0)
    assert device.redeem_text(typed.replace("\n", " ")) == (0, 0)
    use(device, 5)
    ledger = Ledger(open_database(database_url))
    sync(ledger, device)
    assert json.loads(run("reconcile", "--json"))["findings"] == []
    assert "0 findings" in run("reconcile")
    report = json.loads(run("report", "--json", "--html", tmp_path / "r.html"))
    assert report["totals"][KWS.hex()]["spent"] == 5
    page = (tmp_path / "r.html").read_text()
    assert device.id.hex() in page and "0.50 CHF" in page
    (row,) = csv.DictReader(run("report", "--csv", "-").splitlines())
    assert (row["credited"], row["spent"], row["price_micros"]) == ("50", "5", "500000")
    assert device.redeem(voucher(device, KWS, 9, 5)) == 0
    sync(ledger, device)
    assert "never issued" in run("reconcile", "--json", code=1)


def load_dev_key():
    from tinyseal.package.keys import DEV_SIGN, Use, load_key

    return load_key(DEV_SIGN, Use.SIGN)


SIGNED = ("-n", "1", "--key", "keys/dev_sign.pem")


@pytest.mark.parametrize(
    "words, expected",
    [
        (("issue", "--device", "00", "--model", "00", *SIGNED), "no model id"),
        (("price", "1", "--model", "a", "--family", "b"), "one of them"),
        (("price", "x", "--family", "b"), "expected a number"),
        (("price", "1", "--family", "b", "--currency", "euro"), "three capitals"),
        (("issue", "--device", "00", "--family", "a", *SIGNED), "is not known"),
        (("enroll", "--device", "xx", "--public-key", "00"), "hexadecimal"),
        (("enroll", "--device", "00", "--public-key", "00"), "16 bytes"),
        (("reconcile", "--database", "nonsense"), "no database URL"),
        (("report", "--csv", "/nonesuch/x.csv"), "No such file"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(words, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSEAL_DATABASE", f"sqlite:///{tmp_path}/fleet.db")
    done = CliRunner().invoke(app, ["meter", *words])
    assert done.exit_code != 0 and expected in str(done.exception), done.output


def test_a_filled_ledger_is_reconciled_and_every_fault_found(campaign):
    told = json.loads(run("bench", "--devices", 2000, "--receipts", 20_000 * campaign, "--json"))
    assert told["faults"] == told["found"] == 20 and told["false_alarms"] == 0
