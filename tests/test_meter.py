"""Prepaid queries on the device: never under-counted, vouchers once, nothing forged."""

import itertools
import json
import random

import pytest
from typer.testing import CliRunner

from support.meter import (
    DEVICE,
    EMPTY,
    FORM,
    FULL,
    IDENTITY,
    LATE,
    MODEL,
    RECORDS,
    ROLLBACK,
    SIGNATURE,
    TYPED,
    USED,
    WORN,
    Device,
    key_of,
    library,
    voucher,
)  # fmt: skip
from tinyseal.cli import app
from tinyseal.codegen.generate import family_id
from tinyseal.errors import VoucherError
from tinyseal.fleet.receipts import read_receipt
from tinyseal.fleet.vouchers import Voucher, from_text, read_voucher, to_text
from tinyseal.package.provision import StorageKey

KWS, VWW = bytes(range(32)), bytes(range(100, 132))
SPEECH = family_id("speech")


def paid(device, quantity=10, model=KWS):
    assert device.mount(model) == 0
    assert device.redeem(voucher(device, model, quantity=quantity)) == 0
    return device


def test_what_was_bought_is_served_and_no_more():
    device = Device()
    assert device.mount(KWS) == 0
    assert device.charge() == EMPTY
    assert device.redeem(voucher(device, KWS, quantity=3)) == 0
    assert [device.charge() for _ in range(5)] == [0, 0, 0, EMPTY, EMPTY]
    assert device.counter == 3
    assert device.redeem(voucher(device, KWS, serial=2, quantity=2)) == 0
    assert device.balance == 2
    assert device.mount(KWS) == 0, "a restart"
    assert device.balance == 2 and [device.charge() for _ in range(3)] == [0, 0, EMPTY]


@pytest.mark.parametrize("geometry", [(256, 1), (1024, 4), (4096, 2), (2048, 32)])
def test_every_flash_geometry(geometry):
    device = Device(erase_bytes=geometry[0] * 4, program_bytes=geometry[1])
    paid(device, 40)
    assert [device.charge() for _ in range(41)] == [0] * 40 + [EMPTY]


def test_a_reservation_is_in_flash_before_it_is_served_and_lost_by_a_restart():
    device = paid(Device())
    assert device.reserve(4) == 0
    assert (device.counter, device.balance) == (4, 10)
    assert device.charge() == 0 and device.counter == 4
    device.mount(KWS)
    assert device.balance == 6
    assert device.reserve(100) == 0 and device.counter == 10, "no more than there are"
    assert [device.charge() for _ in range(7)] == [0] * 6 + [EMPTY]
    assert device.reserve(1) == EMPTY


def test_each_serial_number_is_redeemed_once_in_any_order():
    rng = random.Random(3)
    device = Device()
    device.mount(KWS)
    serials = list(range(1, 33))
    rng.shuffle(serials)
    for serial in serials:
        assert device.redeem(voucher(device, KWS, serial, 1)) == 0
        for again in serials[: serials.index(serial) + 1]:
            assert device.redeem(voucher(device, KWS, again, 1)) == USED
    assert device.balance == 32
    assert device.redeem(voucher(device, KWS, 100, 1)) == 0
    assert device.redeem(voucher(device, KWS, 68, 1)) == 0, "32 below the highest"
    assert device.redeem(voucher(device, KWS, 68, 1)) == USED
    assert device.redeem(voucher(device, KWS, 67, 1)) == USED, "33 below: too old to tell"
    assert device.redeem(voucher(device, KWS, 132, 1)) == 0, "a step of the whole window"
    assert device.redeem(voucher(device, KWS, 100, 1)) == USED
    assert device.redeem(voucher(device, KWS, 2**32 - 1, 1)) == 0
    account = device.receipt(0).accounts[0]
    assert (account.serial, account.window, account.credited) == (2**32 - 1, 0, 36)


def test_a_model_has_its_own_balance_and_a_family_serves_all_of_its_models():
    device = Device()
    device.mount(KWS, SPEECH)
    assert device.redeem(voucher(device, VWW)) == MODEL
    assert device.redeem(voucher(device, KWS, quantity=2)) == 0
    assert device.redeem(voucher(device, SPEECH, quantity=3)) == 0
    assert device.balance == 5
    assert device.charge() == 0
    assert device.mount(VWW) == 0
    assert (device.balance, device.charge()) == (0, EMPTY)
    assert device.redeem(voucher(device, VWW, quantity=7)) == 0
    assert device.redeem(voucher(device, KWS, serial=2, quantity=1)) == 0, "it has an account"
    assert device.balance == 7 and device.charge() == 0
    assert device.mount(bytes(32), SPEECH) == 0, "another model of the family"
    assert device.balance == 3 and device.charge() == 0
    assert device.mount(KWS, SPEECH) == 0
    assert device.balance == 2 + 2
    assert [device.charge() for _ in range(5)] == [0] * 4 + [EMPTY]
    spent = {a.subject: (a.credited, a.spent) for a in device.receipt(0).accounts}
    assert spent == {KWS: (3, 3), SPEECH: (3, 3), VWW: (7, 1)}
    device.mount(VWW)
    assert device.balance == 6


def test_accounts_and_balances_have_an_end():
    device = Device()
    for i in range(4):
        subject = bytes([i + 1]) * 32
        device.mount(subject)
        assert device.redeem(voucher(device, subject, quantity=2**32 - 1)) == 0
        assert device.redeem(voucher(device, subject, serial=2, quantity=1)) == FULL
        assert device.charge() == 0
    device.mount(KWS)
    assert device.redeem(voucher(device, KWS)) == FULL
    assert device.charge() == EMPTY


def test_a_voucher_is_too_late_past_its_count():
    device = paid(Device(), 10)
    early, late = (voucher(device, KWS, serial, 5, not_after=4) for serial in (2, 3))
    for _ in range(4):
        device.charge()
    assert device.redeem(early) == 0
    device.charge()
    assert device.redeem(late) == LATE
    assert device.balance == 10


def test_any_of_the_vendors_may_sign_and_nobody_else():
    vendors = tuple(key_of(n) for n in (50, 51, 52, 53))
    device = Device(vendors=vendors)
    device.mount(KWS)
    for serial, vendor in enumerate(vendors, 1):
        assert device.redeem(voucher(device, KWS, serial, 1, vendor=vendor)) == 0
    assert device.redeem(voucher(device, KWS, 9, 1, vendor=key_of(54))) == SIGNATURE
    assert device.redeem(voucher(device, KWS, 9, 1, vendor=device.key)) == SIGNATURE


@pytest.mark.parametrize("not_after", [None, 1000])
def test_every_flipped_bit_of_a_voucher_is_refused(not_after):
    device = Device()
    device.mount(KWS)
    good = voucher(device, KWS, not_after=not_after)
    before = device.flash()
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert device.redeem(bytes(bad)) in (FORM, DEVICE, MODEL, SIGNATURE), bit
    for other in [good[:n] for n in range(len(good))] + [good + b"\0", good + good]:
        assert device.redeem(other) == FORM
    assert device.flash() == before, "nothing was written"
    assert device.redeem(good) == 0 and device.balance == 10


def test_another_devices_and_another_models_voucher_are_refused_by_name_and_by_signature():
    other = Device(2)
    device = Device(1)
    device.mount(KWS)
    assert device.redeem(voucher(other, KWS)) == DEVICE
    near = Voucher(device.id[:2] + bytes(14), KWS, 1, 10).sign(key_of(100))
    assert device.redeem(near) == SIGNATURE
    assert device.redeem(voucher(device, VWW)) == MODEL
    assert device.redeem(voucher(device, KWS[:2] + bytes(30))) == SIGNATURE
    receipt = paid(device).receipt_bytes(0)
    assert device.redeem(receipt) == FORM


def test_text_of_a_voucher_finds_typing_errors():
    device = Device()
    device.mount(KWS)
    rng = random.Random(1)
    for serial, not_after in enumerate([None, 77, None], 1):
        data = voucher(device, KWS, serial, 5, not_after)
        text = to_text(data)
        assert from_text(text) == data
        groups = text.split("-")
        for place in range(len(groups)):
            for _ in range(4):
                wrong = list(groups)
                letters = list(wrong[place])
                at = rng.randrange(8)
                letters[at] = rng.choice(
                    sorted(set("0123456789ABCDEFGHJKMNPQRSTVWXYZ") - {letters[at]})
                )
                wrong[place] = "".join(letters)
                assert device.redeem_text("-".join(wrong)) == (TYPED, place + 1)
                with pytest.raises(VoucherError, match=f"group {place + 1},"):
                    from_text("-".join(wrong))
        for a, b in itertools.combinations(range(8), 2):
            letters = list(groups[3])
            letters[a], letters[b] = letters[b], letters[a]
            if letters != list(groups[3]):
                assert device.redeem_text(
                    "-".join([*groups[:3], "".join(letters), *groups[4:]])
                ) == (TYPED, 4)
        swapped = [groups[1], groups[0], *groups[2:]]
        assert device.redeem_text("-".join(swapped)) == (TYPED, 1)
        longer = (text + "-00000000", text + text)
        for bad in ("", "-", text[:-1], text[:-9], *longer, text.replace("-", "_"), "U" + text[1:]):
            assert device.redeem_text(bad)[0] in (FORM, TYPED)
            with pytest.raises(VoucherError):
                from_text(bad)
        loose = text.lower().replace("-", " ").replace("0", "o").replace("1", "l")
        assert device.redeem_text(loose) == (0, 0)
    assert device.balance == 15


def test_python_and_device_agree_on_what_is_a_voucher():
    device = Device()
    good = Voucher(device.id, KWS, 7, 2**32 - 1, 0)
    data = good.sign(key_of(100))
    assert read_voucher(data, device.id, KWS) == good
    assert good.is_signed(data, key_of(100)) and not good.is_signed(data, key_of(99))
    for bad in (data[:-1], data + b"0", b"", data[:5] + bytes(4) + data[9:]):
        with pytest.raises(VoucherError):
            read_voucher(bad, device.id, KWS)
    with pytest.raises(VoucherError, match="another model"):
        read_voucher(data, device.id, VWW)


@pytest.mark.parametrize("key", [StorageKey.METER_BOOK, StorageKey.METER_RECEIPT])
def test_every_flipped_bit_of_a_record_is_noticed(key):
    device = paid(Device())
    device.charge()
    assert device.receipt(0).sequence == 1
    record = device.get(key)
    for bit in range(8 * len(record)):
        bad = bytearray(record)
        bad[bit // 8] ^= 1 << bit % 8
        device.set(key, bytes(bad))
        mounted = device.mount(KWS)
        if key == StorageKey.METER_BOOK:
            assert mounted == RECORDS and device.charge() == RECORDS, bit
            assert device.redeem(voucher(device, KWS, 2)) == RECORDS
        else:
            assert mounted == 0 and device.charge() in (0, EMPTY)
            with pytest.raises(AssertionError, match=str(RECORDS)):
                device.receipt_bytes(1)
        if bit % 64 == 0 and key == StorageKey.METER_RECEIPT:
            device.set(key, record)
            device.mount(KWS)
            device.redeem(voucher(device, KWS, bit + 2, 64))
    device.set(key, record)
    assert device.mount(KWS) == 0


def test_no_flipped_bit_of_the_flash_gives_more_than_the_last_commit_back():
    """A counter's word has a complement, no MAC: one that is spoilt is one that was torn."""
    device = paid(Device(erase_bytes=512))
    for _ in range(4):
        assert device.charge() == 0
    image = device.flash()
    used = [at for at, byte in enumerate(image) if byte != 0xFF]
    rng = random.Random(2)
    for at in used:
        bad = bytearray(image)
        bad[at] ^= 1 << rng.randrange(8)
        device.write_flash(bytes(bad))
        if device.mount(KWS) == 0:
            assert device.balance <= 6 + (at < 1024), at
    device.write_flash(image)
    assert device.mount(KWS) == 0 and device.balance == 6


def test_old_books_give_nothing_back():
    device = paid(Device(), 10)
    first = device.get(StorageKey.METER_BOOK)
    for _ in range(4):
        device.charge()
    assert device.redeem(voucher(device, KWS, 2, 10)) == 0
    for _ in range(8):
        device.charge()
    device.set(StorageKey.METER_BOOK, first)
    assert device.mount(KWS) == ROLLBACK, "12 queries, 10 credited"
    assert device.charge() == ROLLBACK
    device.set(StorageKey.METER_BOOK, device.tag(b""))
    assert device.mount(KWS) == RECORDS


def test_a_book_of_another_device_is_refused():
    other = paid(Device(2), 1000)
    book = other.get(StorageKey.METER_BOOK)
    device = paid(Device(1), 1)
    device.set(StorageKey.METER_BOOK, book)
    assert device.mount(KWS) == RECORDS


def test_a_device_without_identity_serves_nothing():
    device = Device()
    device.set(StorageKey.DEVICE_KEY, b"")
    assert device.mount(KWS) == IDENTITY
    device = Device(vendors=())
    assert device.mount(KWS) == 0 and device.charge() == EMPTY
    assert device.redeem(voucher(device, KWS)) == SIGNATURE


def test_near_the_end_of_its_life_the_counter_sells_nothing_and_still_reads():
    device = paid(Device(erase_bytes=512, endurance=3), 100_000)
    served = 0
    while (err := device.charge()) == 0:
        served += 1
    assert err == WORN and served == device.counter > 300
    for _ in range(20):
        device.mount(KWS)
        assert device.counter == served, "there was room left for restarts"
    assert device.receipt(0).counter == served


def test_receipts_chain_and_are_given_again_until_they_are_known():
    device = paid(Device())
    device.charge()
    first = device.receipt_bytes(0)
    assert device.receipt_bytes(0) == first
    device.charge()
    assert device.receipt_bytes(0) == first, "not known yet: the same bytes"
    second = device.receipt(1)
    assert (second.sequence, second.counter, second.anchor) == (2, 2, None)
    assert second.previous == read_receipt(first, device.key.raw).hash
    assert device.receipt(2) == second, "nothing happened since"
    device.mount(KWS)
    assert device.receipt(2) == second
    device.charge()
    assert device.receipt(2).sequence == 3


def test_every_flipped_bit_of_a_receipt_is_refused():
    device = paid(Device())
    good = device.receipt_bytes(0)
    for bit in range(8 * len(good)):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(VoucherError):
            read_receipt(bytes(bad), device.key.raw)
    for other in [good[:n] for n in range(len(good))] + [good + b"\0", good + good]:
        with pytest.raises(VoucherError):
            read_receipt(other, device.key.raw)


def test_the_anchor_stops_an_old_flash():
    device = paid(Device(otp=(8, 10)), 200)
    old = device.flash()
    for _ in range(25):
        device.charge()
    assert library().driver_burnt() == 2
    assert device.receipt(0).anchor == 2
    device.write_flash(old)
    assert device.mount(KWS) == ROLLBACK and device.charge() == ROLLBACK


def test_the_anchor_catches_up_after_a_cut_and_ends_with_its_bits():
    device = paid(Device(otp=(3, 10)), 200)
    for _ in range(9):
        device.charge()
    # The counter goes on, the bit was not burnt: as a cut leaves it
    device.otp = (0, 10)
    device.mount(KWS)
    for _ in range(6):
        device.charge()
    device.otp = (3, 10)
    assert device.mount(KWS) == 0 and library().driver_burnt() == 1
    for _ in range(100):
        assert device.charge() == 0
    assert library().driver_burnt() == 3


def test_without_an_anchor_an_old_flash_serves_again_and_its_receipts_tell():
    device = paid(Device(), 200)
    assert device.charge() == 0
    first = device.receipt(0)
    old = device.flash()
    for _ in range(50):
        device.charge()
    second = device.receipt(1)
    device.write_flash(old)
    assert device.mount(KWS) == 0 and device.balance == 199
    for _ in range(60):
        device.charge()
    forked = device.receipt(1)
    assert forked.sequence == second.sequence and forked.previous == second.previous == first.hash
    assert forked.hash != second.hash


def test_power_cuts_cost_at_most_one_query_each(campaign):
    count = 20_000 * campaign
    done = CliRunner().invoke(app, ["torture", "meter", "--count", str(count), "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= count and report["failures"] == 0
    assert report["cuts"] > count / 40
    assert all(0 < run["lost"] < run["cuts"] * 5 for run in report["runs"]), "reservations included"
