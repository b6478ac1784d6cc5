"""Encrypted images on virtual boards: run from RAM, or swapped in; with the key, without, with
another board's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.boards import booted, encrypted, firmware, scons
from support.chain import answers, read_flash, running, signed, tampered
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app as tinyseal
from tinyseal.package.keys import DEV_ENCRYPT, Use, create_key, load_key
from tinyseal.package.provision import Identity, storage_image
from tinyseal.package.sign import parse_version

SMALL = Path("tests/corpus/chain.tflite")
SEALED = Path("tests/corpus/add.tflite")  # other tests want SMALL's files as they are
RAM = ["qemu-m33", "qemu-m3-nor"]
SWAP = "qemu-m7"
NO_KEY = "encrypted, no key in storage"
OTHER_KEY = "encrypted for another board"


@pytest.fixture(scope="module")
def own():
    return load_key(DEV_ENCRYPT)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return create_key(tmp_path_factory.mktemp("keys") / "other.pem", Use.ENCRYPT)


def with_key(board, key):
    return storage_image(board, Identity(bytes(16), decrypt_key=key).values())


def sealed(request, key, slot="a", **changes):
    """Application and capsule for one slot, encrypted."""
    return {
        (image, slot): signed(request, image, slot, encrypt=key, **changes)
        for image in ("app", "capsule")
    }


def provision(board, flash, key, *more):
    words = ["provision", "-b", board.name, "--flash", str(flash), "--decrypt-key", str(key)]
    done = CliRunner().invoke(tinyseal, [*words, *more])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", [*RAM, SWAP])
def test_scons_encrypts_for_a_key_and_boots(name):
    request = encrypted(name, SEALED)
    sent = "b" if name == SWAP else "a"
    for image in ("app", "capsule"):
        payload = (ROOT / request.image(image).with_suffix(".bin")).read_bytes()
        lies = {slot: payload[:64] in (ROOT / request.signed(image, slot)).read_bytes()
                for slot in request.signed_slots}  # fmt: skip
        assert lies.pop(sent) is False and all(lies.values())
    with booted(request) as client:
        assert client.info().images["app"] == ("a", "0.1.0+0", 0, "confirmed")
        assert client.info().images["capsule"] == ("a", "0.1.0+0", 0, "confirmed")


@pytest.mark.parametrize("name", RAM)
def test_a_board_without_the_key_says_so_and_boots_once_it_has_it(name, tmp_path, own, other):
    request, flash = firmware(name, SMALL), tmp_path / "flash.bin"
    images = sealed(request, own)
    with running(request, images, tmp_path, flash) as board:
        lines = [board.client.line(20.0) for _ in range(5)]
        assert lines[0].endswith(f"nothing boots: {NO_KEY}")
        assert lines[1:3] == [f"boot app a {NO_KEY}", "boot app b no image"]
        assert "nothing boots" in board.client.line(20.0)
    wrong = tmp_path / "other.pem"
    wrong.write_bytes(Path(other.name).read_bytes())
    wrong.chmod(0o600)
    provision(request.board, flash, wrong)
    with running(request, {}, tmp_path, flash) as board:
        assert board.client.line(20.0).endswith(f"nothing boots: {OTHER_KEY}")
    provision(request.board, flash, DEV_ENCRYPT, "--replace")
    with running(request, {}, tmp_path, flash) as board:
        info = board.boot()
        assert info.images["app"] == ("a", "1.0.0+0", 0, "confirmed")
        answers(request, board, info)


@pytest.mark.parametrize("name", RAM)
def test_what_is_not_for_this_board_leaves_the_plain_image_running(name, tmp_path, own, other):
    request = firmware(name, SMALL)
    good = {(image, "a"): signed(request, image) for image in ("app", "capsule")}
    newer = {"version": parse_version("2.0"), "pad": True}
    for key, storage, why in (
        (own, None, NO_KEY),
        (other, with_key(request.board, own), OTHER_KEY),
    ):
        images = good | {("app", "b"): signed(request, "app", "b", encrypt=key, **newer)}
        with running(request, images, tmp_path, storage=storage) as board:
            assert board.boot().images["app"] == ("a", "1.0.0+0", 0, "confirmed")
            assert f"boot app b {why}" in board.said()


@pytest.mark.parametrize("name", RAM)
def test_a_tampered_encrypted_image_is_refused_and_the_other_slot_boots(name, tmp_path, own):
    request = firmware(name, SMALL)
    images = {**sealed(request, own), **sealed(request, own, "b")}
    images["app", "a"] = tampered(images["app", "a"])
    with running(request, images, tmp_path, storage=with_key(request.board, own)) as board:
        info = board.boot()
        assert info.images["app"][0] == "b" and "boot app a damaged" in board.said()
        answers(request, board, info)


def test_an_encrypted_update_is_decrypted_when_it_is_swapped_in(tmp_path, own):
    request, flash = firmware(SWAP, SMALL), tmp_path / "flash.bin"
    profile = request.board
    old = {(image, "a"): signed(request, image) for image in ("app", "capsule")}
    new = sealed(request, own, "b", version=parse_version("2.0"), security_counter=4, pad=True)
    with running(request, {**old, **new}, tmp_path, flash, with_key(profile, own)) as board:
        info = board.boot()
        for image in ("app", "capsule"):
            assert info.images[image] == ("a", "2.0.0+0", 0, "trial")
            payload = (ROOT / request.image(image).with_suffix(".bin")).read_bytes()
            assert payload in read_flash(profile, flash, image, "a")
        answers(request, board, info)
        board.client.command("confirm")
        board.client.reset()
        info = board.client.info()
        assert info.images["app"] == ("a", "2.0.0+0", 4, "confirmed")
        assert info.images["capsule"] == ("a", "2.0.0+0", 4, "confirmed")
    with running(request, {}, tmp_path, flash) as board:
        assert board.boot().images["app"] == ("a", "2.0.0+0", 4, "confirmed")


@pytest.mark.parametrize("why", [NO_KEY, OTHER_KEY, "damaged"])
def test_an_encrypted_update_that_cannot_be_opened_is_not_swapped_in(why, tmp_path, own, other):
    request = firmware(SWAP, SMALL)
    old = {(image, "a"): signed(request, image) for image in ("app", "capsule")}
    key = other if why == OTHER_KEY else own
    new = signed(request, "app", "b", encrypt=key, version=parse_version("2.0"), pad=True)
    images = {**old, ("app", "b"): tampered(new) if why == "damaged" else new}
    storage = None if why == NO_KEY else with_key(request.board, own)
    flash = tmp_path / "flash.bin"
    with running(request, images, tmp_path, flash, storage) as board:
        info = board.boot()
        assert info.images["app"] == ("a", "1.0.0+0", 0, "confirmed")
        assert f"boot app b {why}" in board.said()
        answers(request, board, info)
    assert read_flash(request.board, flash, "app", "b").startswith(new[:0x200])


def test_an_empty_slot_a_is_filled_from_an_encrypted_slot_b(tmp_path, own):
    request, flash = firmware(SWAP, SMALL), tmp_path / "flash.bin"
    with running(request, sealed(request, own, "b"), tmp_path, flash) as board:
        assert board.client.line(20.0).endswith("nothing boots: no image")
        assert [board.client.line(20.0) for _ in range(2)][1] == f"boot app b {NO_KEY}"
    provision(request.board, flash, DEV_ENCRYPT)
    with running(request, {}, tmp_path, flash) as board:
        info = board.boot()
        assert info.images["app"][:2] == ("a", "1.0.0+0")
        answers(request, board, info)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["board=qemu-m4", "encrypt=keys/dev_enc.pem"], "qemu-m4: takes no encrypted images"),
        (["board=qemu-m33", "encrypt=nonesuch.pem"], "encrypt nonesuch.pem: no such file"),
        (["board=qemu-m33", "encrypt=keys/dev_sign.pem"], "X25519 is needed to encrypt"),
        (
            ["board=qemu-m33", "encrypt=keys/dev_enc.pem", "release=1", "key={own}"],
            "development key",
        ),
    ],
)
def test_bad_encryption_options_are_one_line(words, expected, tmp_path):
    create_key(tmp_path / "own.pem", Use.SIGN)
    done = scons("-s", *(word.format(own=tmp_path / "own.pem") for word in words))
    assert done.returncode == 2
    assert done.stdout.startswith("error: ") and done.stdout.count("\n") == 1
    assert expected in done.stdout
