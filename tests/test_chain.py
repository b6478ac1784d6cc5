"""The boot chain on virtual boards: bootloader, application, capsule, each verified apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.boards import VIRTUAL, booted, firmware, scons
from support.chain import answers, running, signed, tampered
from tinyseal.build.firmware import ROOT
from tinyseal.device.client import RefusedError
from tinyseal.package.keys import DEV_SIGN, Use, create_key
from tinyseal.package.sign import Dependency, parse_version

SMALL = Path("tests/corpus/chain.tflite")
# Run in place out of RAM and out of flash that answers commands, without VTOR; run from RAM.
KINDS = ["qemu-m0", "qemu-m4", "qemu-rv32", "qemu-m33", "qemu-m4-nor", "host"]
TAMPERED = "damaged"
EMODEL = 11


@pytest.mark.parametrize("name", VIRTUAL)
def test_every_board_boots_the_chain_it_is_given(name):
    with booted(firmware(name, SMALL)) as client:
        info = client.info()
    assert info.images["app"] == ("a", "0.1.0+0", 0, "confirmed")
    assert info.images["capsule"] == ("a", "0.1.0+0", 0, "confirmed")


@pytest.mark.parametrize("name", KINDS)
def test_a_tampered_image_is_refused_and_the_other_slot_boots(name, tmp_path):
    request = firmware(name, SMALL)
    images = {(i, s): signed(request, i, s) for i in ("app", "capsule") for s in ("a", "b")}
    for image in ("app", "capsule"):
        broken = images | {(image, "a"): tampered(images[image, "a"])}
        with running(request, broken, tmp_path) as board:
            info = board.boot()
            other = "capsule" if image == "app" else "app"
            assert (info.images[image][0], info.images[other][0]) == ("b", "a")
            assert f"boot {image} a {TAMPERED}" in board.said()
            answers(request, board, info)


def test_without_a_good_application_the_bootloader_says_why_again_and_again(tmp_path):
    request = firmware("qemu-m4", SMALL)
    with running(request, {("app", "a"): tampered(signed(request, "app"))}, tmp_path) as board:
        for _ in range(2):
            lines = [board.client.line(20.0) for _ in range(5)]
            assert "qemu-m4 nothing boots: damaged" in lines[0]
            assert lines[1].startswith(f"boot app a {TAMPERED}")
            assert lines[2] == "boot app b no image"


def test_without_a_good_capsule_the_application_answers(tmp_path):
    request = firmware("qemu-m4", SMALL)
    images = {
        ("app", "a"): signed(request, "app"),
        ("capsule", "a"): tampered(signed(request, "capsule")),
    }
    with running(request, images, tmp_path) as board:
        info = board.boot()
        assert info.model == "-" and info.inputs == ()
        assert info.images["capsule"][0] == "-" and TAMPERED in info.images["capsule"][3]
        with pytest.raises(RefusedError) as refused:
            board.client.infer()
        assert refused.value.code == EMODEL
        assert board.client.mlperf("results") == ["m-results-[]"]


@pytest.mark.parametrize("name", KINDS)
def test_an_image_on_trial_is_reverted_unless_it_is_confirmed(name, tmp_path):
    request = firmware(name, SMALL)
    images = {
        ("app", "a"): signed(request, "app"),
        ("capsule", "a"): signed(request, "capsule"),
        ("app", "b"): signed(request, "app", "b", version=parse_version("1.1"), pad=True),
    }
    with running(request, images, tmp_path) as board:
        assert board.boot().images["app"] == ("b", "1.1.0+0", 0, "trial")
        board.client.reset()
        info = board.client.info()
        assert info.images["app"] == ("a", "1.0.0+0", 0, "confirmed")
        answers(request, board, info)
    with running(request, images, tmp_path) as board:
        answers(request, board, board.boot())
        assert board.client.info().images["app"] == ("b", "1.1.0+0", 0, "trial")
        board.client.command("confirm")
        assert board.client.info().images["app"] == ("b", "1.1.0+0", 0, "confirmed")
        board.client.reset()
        assert board.client.info().images["app"] == ("b", "1.1.0+0", 0, "confirmed")


def test_the_security_counter_follows_a_confirmed_image_and_refuses_older_ones(tmp_path):
    request = firmware("qemu-m4", SMALL)
    flash = tmp_path / "flash.bin"
    images = {
        ("app", "a"): signed(request, "app", security_counter=3),
        ("capsule", "a"): signed(request, "capsule"),
    }
    with running(request, images, tmp_path, flash) as board:
        board.boot()
        board.client.reset()
        assert board.client.info().images["app"] == ("a", "1.0.0+0", 3, "confirmed")
    old = signed(request, "app", version=parse_version("2.0"), security_counter=2)
    base = request.board.flash_memory.base
    with flash.open("r+b") as file:  # a programmer's hand: the image, and not the counter
        file.seek(request.board.image_address("app", 0) - base)
        file.write(old)
    with running(request, images, tmp_path, flash) as board:
        assert "security counter" in board.client.line(20.0)


def test_what_stock_imgtool_signs_boots(tmp_path):
    request = firmware("qemu-m4", SMALL)
    image = tmp_path / "image.bin"
    subprocess.run(
        [sys.executable, "-m", "imgtool.main", "sign", "--key", str(DEV_SIGN), "--align", "4",
         "--version", "7.8.9+10", "--header-size", "0x200", "--pad-header", "--slot-size",
         "0x40000", "--rom-fixed", f"{request.board.image_address('app', 0):#x}",
         "--security-counter", "1", "--vid", "tinyseal", "--cid", "qemu-m4 app",
         "--pad", "--confirm",
         str(ROOT / request.image("app").with_suffix(".bin")), str(image)],
        check=True, capture_output=True,
    )  # fmt: skip
    images = {("app", "a"): image.read_bytes(), ("capsule", "a"): signed(request, "capsule")}
    with running(request, images, tmp_path) as board:
        info = board.boot()
        assert info.images["app"][:2] == ("a", "7.8.9+10")
        answers(request, board, info)


def test_a_capsule_of_another_abi_is_refused_by_the_application(tmp_path):
    request = firmware("qemu-m4", SMALL)
    payload = bytearray((ROOT / request.image("capsule").with_suffix(".bin")).read_bytes())
    payload[4] += 1
    images = {
        ("app", "a"): signed(request, "app"),
        ("capsule", "a"): signed(request, "capsule", payload=bytes(payload)),
    }
    with running(request, images, tmp_path) as board:
        info = board.boot()
        assert info.images["capsule"] == ("a", "1.0.0+0", 0, "model is for another application")
        assert info.model == "-"


def test_a_capsule_that_needs_a_newer_application_is_refused(tmp_path):
    request = firmware("qemu-m4", SMALL)
    needs = (Dependency("app", parse_version("9.0")),)
    images = {
        ("app", "a"): signed(request, "app"),
        ("capsule", "a"): signed(request, "capsule", dependencies=needs),
    }
    with running(request, images, tmp_path) as board:
        info = board.boot()
        assert info.images["app"][0] == "a" and info.images["capsule"][0] == "-"
        assert "needs another version" in info.images["capsule"][3]


def test_another_key_is_refused(tmp_path):
    request = firmware("qemu-m4", SMALL)
    other = create_key(tmp_path / "other.pem", Use.SIGN)
    with running(request, {("app", "a"): signed(request, "app", key=other)}, tmp_path) as board:
        assert "key" in board.client.line(20.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["release=1"], "release=1 needs key=PATH"),
        (["release=1", "key=keys/dev_sign.pem"], "development key"),
        (["release=yes"], "choices: 0, 1"),
        (["key=nonesuch.pem"], "nonesuch.pem: no such file"),
        (["security_counter=-1"], "expected a number from 0"),
        (["policy=paid"], "choices: unmetered, metered"),
        (["family=K W S"], "lower-case letters"),
        (["version=1.2.3.4"], "expected MAJOR.MINOR.REVISION+BUILD"),
    ],
)
def test_bad_signing_options_are_one_line(words, expected):
    done = scons("-s", *words)
    assert done.returncode == 2
    assert done.stdout.startswith("error: ") and done.stdout.count("\n") == 1
    assert expected in done.stdout
