"""Prepaid queries on virtual boards: the firmware as it ships."""

import asyncio
import json
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from smpclient import SMPClient
from smpclient.transport.serial import SMPSerialTransport
from typer.testing import CliRunner

from support.boards import booted, firmware, scons
from support.metered import (
    DEVICE_ID,
    DEVICE_KEY,
    FAMILY,
    VENDOR,
    metered_board,
    metered_firmware,
    provisioned,
    reached_by,
)
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.codegen.generate import family_id
from tinyseal.device.client import Client, RefusedError, open_port
from tinyseal.device.smp_meter import (
    KeyRead,
    MeterError,
    ReceiptRead,
    RedeemWrite,
    StatusRead,
)
from tinyseal.fleet.receipts import read_receipt
from tinyseal.fleet.vouchers import Voucher
from tinyseal.graph.load import load_model
from tinyseal.package.files import write_secret

SMALL = Path("tests/corpus/chain.tflite")
EEMPTY, EMETER = 14, 16


def ask(port, *requests):
    async def all_of_them():
        async with SMPClient(SMPSerialTransport(), port) as client:
            return [await client.request(r, timeout_s=20.0) for r in requests]

    return asyncio.run(all_of_them())


def infer(request, port, times):
    """Status of each of some inferences: 0, or the code of the refusal."""
    codes = []
    with Client(open_port(port, request.board.console.baud)) as client:
        client.sync()
        for tensor, index in zip(client.info().inputs, range(9), strict=False):
            client.load(index, bytes(tensor.bytes))
        for _ in range(times):
            try:
                client.infer()
                codes.append(0)
            except RefusedError as e:
                codes.append(e.code)
    return codes


def voucher(subject, serial, quantity):
    return Voucher(DEVICE_ID, subject, serial, quantity).sign(VENDOR)


@pytest.mark.parametrize("board", ["qemu-m4", "qemu-rv32", "host"])
def test_buy_redeem_spend_refuse_top_up_sync(board, tmp_path):
    request = metered_firmware(board, SMALL)
    image = provisioned(request, tmp_path)
    flash = tmp_path / "flash.bin"
    model = bytes.fromhex(load_model(ROOT / SMALL).model_id)
    with metered_board(request, image, flash) as machine:
        port = machine.port
        (status,) = ask(port, StatusRead())
        assert (status.status, status.balance, status.model) == (0, 0, model)
        assert status.family == family_id(FAMILY)
        assert infer(request, port, 1) == [EEMPTY]
        one = voucher(model, 1, 3)
        done, again, other, key = ask(
            port, RedeemWrite(voucher=one), RedeemWrite(voucher=one),
            RedeemWrite(voucher=voucher(bytes(32), 1, 3)), KeyRead(),
        )  # fmt: skip
        assert done.balance == 3
        assert (again.err.rc, other.err.rc) == (MeterError.USED, MeterError.MODEL)
        assert (key.id, key.key) == (DEVICE_ID, DEVICE_KEY.raw)
        assert infer(request, port, 5) == [0, 0, 0, EEMPTY, EEMPTY]
        (topped,) = ask(port, RedeemWrite(voucher=voucher(family_id(FAMILY), 1, 2)))
        assert topped.balance == 2
        assert infer(request, port, 1) == [0]
        (made,) = ask(port, ReceiptRead(have=0))
        first = read_receipt(made.receipt, DEVICE_KEY.raw)
        assert (first.sequence, first.counter) == (1, 4)
        assert [(a.credited, a.spent) for a in first.accounts] == [(3, 3), (2, 1)]
    with metered_board(request, image, flash) as machine:  # the power was gone
        assert infer(request, machine.port, 2) == [0, EEMPTY]
        again, new = ask(machine.port, ReceiptRead(have=0), ReceiptRead(have=1))
        assert again.receipt == made.receipt
        assert read_receipt(new.receipt, DEVICE_KEY.raw).previous == first.hash


@pytest.mark.parametrize("board", ["qemu-m4", "qemu-rv32"])
def test_vouchers_and_receipts_between_two_layers(board, tmp_path):
    """They neither lose a query of the inferences that go on, nor give one away."""
    request = metered_firmware(board, SMALL)
    model = bytes.fromhex(load_model(ROOT / SMALL).model_id)
    times = 20_000
    with metered_board(request, provisioned(request, tmp_path), tmp_path / "flash.bin") as machine:
        port = machine.port
        (done,) = ask(port, RedeemWrite(voucher=voucher(model, 1, times)))
        assert done.balance == times
        with Client(open_port(port, request.board.console.baud)) as client:
            client.sync()
            for index, tensor in enumerate(client.info().inputs):
                client.load(index, bytes(tensor.bytes))
            client.raw(b"infer %d\n" % (times + 500))  # more than is paid, so far
            before, done, again, made, after = ask(
                port, StatusRead(), RedeemWrite(voucher=voucher(model, 2, 1000)),
                RedeemWrite(voucher=voucher(model, 2, 1000)), ReceiptRead(have=0), StatusRead(),
            )  # fmt: skip
            assert times > before.balance > after.balance - 1000 > 0, "inferences go on"
            assert before.balance + 1000 >= done.balance > after.balance
            assert again.err.rc == MeterError.USED
            first = read_receipt(made.receipt, DEVICE_KEY.raw)
            assert [a.credited for a in first.accounts] == [times + 1000]
            assert client.line(120.0).startswith(f"ok {times + 500} ")
        status, made = ask(port, StatusRead(), ReceiptRead(have=1))
        assert (status.balance, status.counter) == (500, times + 500)
        (account,) = read_receipt(made.receipt, DEVICE_KEY.raw).accounts
        assert (account.credited, account.spent) == (times + 1000, times + 500)


def cli(*words, code=0):
    done = CliRunner().invoke(app, ["meter", *map(str, words)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


@pytest.mark.parametrize(
    ("board", "link"), [("qemu-m4", "serial"), ("qemu-m4", "ble"), ("host", "serial")]
)
def test_the_tool_from_price_to_an_old_flash(board, link, tmp_path, monkeypatch):
    """What an operator does, and what a user with a programmer does about it."""
    monkeypatch.setenv("TINYSEAL_DATABASE", f"sqlite:///{tmp_path}/fleet.db")
    request = metered_firmware(board, SMALL)
    image, flash, old = provisioned(request, tmp_path), tmp_path / "flash.bin", tmp_path / "old.bin"
    sold = ("issue", "--device", DEVICE_ID.hex(), "--key", tmp_path / "vendor.pem")
    private = VENDOR.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(tmp_path / "vendor.pem", private)

    @contextmanager
    def running(flash):
        with (
            metered_board(request, image, flash) as machine,
            reached_by(link, machine, request.board) as at,
        ):
            yield machine, at

    cli("price", "0.01", "--model", SMALL)
    with running(flash) as (machine, at):
        cli("sync", *at, "--enroll")
        cli(*sold, "--model", SMALL, "-n", 2, "--out", tmp_path / "one.bin")
        assert json.loads(cli("redeem", tmp_path / "one.bin", *at, "--json"))["balance"] == 2
        assert infer(request, machine.port, 3) == [0, 0, EEMPTY]
        assert "0 queries left, 2 used" in cli("status", *at)
        text = cli(*sold, "--family", FAMILY, "-n", 5).split()
        cli("redeem", *text, *at)
        done = CliRunner().invoke(app, ["meter", "redeem", *text, *at])
        assert done.exit_code == 1 and "redeemed before" in str(done.exception)
        told = json.loads(cli("sync", *at, "--json"))
        assert (told["counter"], told["findings"]) == (2, [])
    shutil.copy(flash, old)
    with running(flash) as (machine, at):
        assert infer(request, machine.port, 4) == [0] * 4
        assert json.loads(cli("sync", *at, "--json"))["counter"] == 6
    assert json.loads(cli("reconcile", "--json"))["findings"] == []
    assert "0.02 EUR" in cli("report")
    with running(old) as (machine, at):  # the flash of before
        assert infer(request, machine.port, 5) == [0] * 5, "it serves again, that is the truth"
        told = json.loads(cli("sync", *at, "--json", code=1))
        assert {f["kind"] for f in told["findings"]} == {"rollback"}
    assert "rollback" in cli("reconcile", code=1)


def test_a_voucher_of_somebody_elses_ledger_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSEAL_DATABASE", f"sqlite:///{tmp_path}/fleet.db")
    request = metered_firmware("host", SMALL)
    model = bytes.fromhex(load_model(ROOT / SMALL).model_id)
    (tmp_path / "v.bin").write_bytes(voucher(model, 1, 2))
    with (
        metered_board(request, provisioned(request, tmp_path)) as machine,
        reached_by("ble", machine, request.board) as at,
    ):
        assert json.loads(cli("redeem", tmp_path / "v.bin", *at, "--json"))["balance"] == 2
        assert infer(request, machine.port, 3) == [0, 0, EEMPTY]
        told = json.loads(cli("sync", "--enroll", *at, "--json", code=1))
        assert told["counter"] == 2
        (finding,) = told["findings"]
        assert "never issued" in finding["text"], "this ledger did not sell it"


def test_with_one_time_bits_an_old_flash_serves_nothing(tmp_path):
    request = metered_firmware("host", SMALL)
    each = request.board.queries_per_bit
    image, flash = provisioned(request, tmp_path), tmp_path / "flash.bin"
    model = bytes.fromhex(load_model(ROOT / SMALL).model_id)
    with metered_board(request, image, flash) as machine:
        ask(machine.port, RedeemWrite(voucher=voucher(model, 1, 1000)))
    bought = flash.read_bytes()
    with metered_board(request, image, flash) as machine:
        assert infer(request, machine.port, each - 1) == [0] * (each - 1)
    flash.write_bytes(bought)
    with metered_board(request, image, flash) as machine:  # short of a bit, as the SPEC says
        assert infer(request, machine.port, each + 1) == [0] * (each + 1)
    flash.write_bytes(bought)
    with metered_board(request, image, flash) as machine:
        assert infer(request, machine.port, 2) == [EMETER] * 2
        (status,) = ask(machine.port, StatusRead())
        assert status.status == MeterError.ROLLBACK


def test_a_metered_model_on_a_board_without_identity_is_refused(tmp_path):
    request = metered_firmware("qemu-m4", SMALL)
    with booted(request) as client:
        client.load(0, bytes(client.info().inputs[0].bytes))
        with pytest.raises(RefusedError) as refused:
            client.infer()
        assert refused.value.code == EMETER


def test_an_unmetered_model_costs_nothing(tmp_path):
    with booted(firmware("qemu-m4", SMALL)) as client:
        client.load(0, bytes(client.info().inputs[0].bytes))
        client.infer(3)


def test_a_board_without_metering_gets_no_metered_model():
    done = scons("-s", "board=qemu-m0", "policy=metered")
    assert done.returncode == 2 and "services.metering = false" in done.stdout


def test_a_query_costs_less_than_a_hundredth_of_spotting_a_keyword():
    told = json.loads(cli("cost", "--board", "qemu-m4", "--json"))
    assert 0 < told["charge"] < told["amortised"] < told["opening"]
    assert told["percent"] < 1
    assert 0 < told["ram_bytes"] <= 256
    assert told["flash_bytes"]["meter"] + told["flash_bytes"]["meter_voucher"] <= 2048
