"""Consent, statistics and their records on virtual boards: the firmware as it ships."""

import json
from contextlib import contextmanager

import numpy as np
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from support.boards import scons
from support.metered import reached_by
from support.observed import DEVICE_ID, DEVICE_KEY, OWNER
from tinyseal.build.firmware import ROOT, Request
from tinyseal.build.size import measure_images
from tinyseal.cli import app
from tinyseal.device.client import Client, open_port
from tinyseal.graph.load import load_model
from tinyseal.graph.reference_statistics import quantised
from tinyseal.package.files import write_secret
from tinyseal.package.merge import place, to_hex
from tinyseal.package.provision import Identity, counter_image, storage_image
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import power_up

MODEL = "models/digits_int8.tflite"
WINDOW = 8


def cli(*words, code=0):
    done = CliRunner().invoke(app, ["observe", *map(str, words)])
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


@pytest.fixture(scope="module")
def images():
    with np.load(ROOT / "examples/digits/test.npz") as loaded:
        pixels = (loaded["images"] / 8 - 1).astype(np.float32)[..., None]
    return quantised(load_model(ROOT / MODEL), pixels)


@contextmanager
def running(request, image, flash, link):
    """The board, and options that say where it is."""
    with power_up(request.board, ROOT / request.bootloader, flash=flash, image=image) as machine:
        with Client(open_port(machine.port, request.board.console.baud)) as client:
            machine.go()
            client.boot()
        with reached_by(link, machine, request.board) as at:
            yield machine, at


def infer(request, port, images):
    with Client(open_port(port, request.board.console.baud)) as client:
        client.sync()
        for value in images:
            client.load(0, value.tobytes())
            client.infer()


def test_flash_of_statistics_does_not_grow(images, tmp_path):
    samples = tmp_path / "samples.npy"
    np.save(samples, images)
    done = scons("board=qemu-m4", f"model={MODEL}", f"reference={samples}", f"window={WINDOW}")
    assert done.returncode == 0, done.stdout
    request = Request(load_board("qemu-m4"), ROOT / MODEL, reference=samples, window=WINDOW)
    layers = [step.label for step in request.plan().steps]
    parts = [p for p in measure_images(request, layers).parts if p.kind != "data"]

    def flash(*names):
        sizes = [sum(p.bytes for p in parts if p.name == f"firmware {n}") for n in names]
        assert all(sizes)
        return sum(sizes)

    assert flash("observe", "telemetry") <= 4096
    assert flash("consent", "smp_telemetry", "nv_log") <= 2900


def test_what_statistics_take_of_an_inference(images, tmp_path):
    samples = tmp_path / "samples.npy"
    np.save(samples, images)
    told = json.loads(cli("cost", "--reference", samples, "--model", MODEL, "--json"))
    assert 0 < told["inputs"] < 15_000 and 0 < told["outputs"] < 10_000
    assert 0 < told["percent"] < 2, "of digits; of a keyword less than 1"


@pytest.mark.parametrize(
    ("board", "link"), [("qemu-m4", "serial"), ("qemu-m4", "ble"), ("host", "serial")]
)
def test_from_consent_to_the_verdict_on_drift(board, link, images, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYSEAL_DATABASE", f"sqlite:///{tmp_path}/fleet.db")
    samples = tmp_path / "samples.npy"
    np.save(samples, images)
    done = scons(f"board={board}", f"model={MODEL}", f"reference={samples}", f"window={WINDOW}")
    assert done.returncode == 0, done.stdout
    request = Request(load_board(board), ROOT / MODEL, reference=samples, window=WINDOW)
    values = Identity(DEVICE_ID, DEVICE_KEY, owner_key=OWNER).values()
    signed = {(i, "a"): (ROOT / request.signed(i)).read_bytes() for i in ("app", "capsule")}
    parts = place(
        request.board, None, signed, storage=storage_image(request.board, values),
        counter=counter_image(request.board, {}),
    )  # fmt: skip
    image, flash, owner = (tmp_path / n for n in ("all.hex", "flash.bin", "owner.pem"))
    image.write_bytes(to_hex(parts))
    write_secret(owner, OWNER.private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))  # fmt: skip
    with running(request, image, flash, link) as (machine, at):
        infer(request, machine.port, images[:WINDOW])
        refused = CliRunner().invoke(app, ["observe", "pull", *at])
        assert refused.exit_code == 1 and "owner does not allow" in str(refused.exception)
        cli("consent", "aggregated", "--key", owner, *at)
        infer(request, machine.port, images[: 2 * WINDOW])
        assert json.loads(cli("pull", *at, "--json"))["new"] == 3, "a start and two windows"
        assert json.loads(cli("pull", *at, "--json"))["new"] == 0
        told = json.loads(cli("report", "--json"))["devices"][0]
        assert (told["device"], told["board"], told["queries"]) == (DEVICE_ID.hex(), board, 16)
        assert told["verdict"] == "steady" and told["latency_p50"] > 0
    with running(request, image, flash, link) as (machine, at):  # the power was gone
        dead = images[: 2 * WINDOW].copy()
        dead[:] = -128
        infer(request, machine.port, dead)
        words = ("watch", *at, "--rounds", 1, "--json")
        assert json.loads(cli(*words, code=3))["alerts"][0]["rule"] == "drift >= 2"
        assert json.loads(cli("pull", *at, "--json"))["new"] == 0, "watching pulled them"
        page = tmp_path / "fleet.html"
        told = cli("report", "--json", "--html", page, "--alert", code=3)
        assert json.loads(told)["verdict"] == "drifted"
        assert "Where it drifts" in page.read_text() and DEVICE_ID.hex() in page.read_text()
        cli("consent", "none", "--key", owner, *at)
        refused = CliRunner().invoke(app, ["observe", "pull", *at])
        assert refused.exit_code == 1 and "owner does not allow" in str(refused.exception)
    assert DEVICE_ID.hex() in cli("report")
