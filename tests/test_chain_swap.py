"""A board that swaps: images run in slot a, new ones come by slot b and go back there."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.boards import firmware
from support.chain import answers, read_flash, running, signed, tampered, write_flash
from tinyseal.package.sign import parse_version

SMALL = Path("tests/corpus/chain.tflite")
BOARD = "qemu-m7"
NEW = {"version": parse_version("2.0"), "pad": True}


@pytest.fixture(scope="module")
def request_():
    return firmware(BOARD, SMALL)


@pytest.fixture
def flash(request_, tmp_path):
    """With both images in their slots a."""
    file = tmp_path / "flash.bin"
    for image in ("app", "capsule"):
        write_flash(request_.board, file, image, "a", signed(request_, image))
    return file


def version(info, image):
    slot, number, _, standing = info.images[image]
    assert slot == "a"
    return number, standing


@pytest.mark.parametrize("updated", [("app",), ("capsule",), ("app", "capsule")], ids="+".join)
def test_a_trial_goes_back_over_a_power_cut_unless_it_is_confirmed(
    updated, request_, flash, tmp_path
):
    board, slots = request_.board, {}
    for image in updated:
        old = read_flash(board, flash, image, "a")
        new = signed(request_, image, "b", **NEW)
        write_flash(board, flash, image, "b", new)
        slots[image] = (old, new[: -board.flash.erase_bytes])  # all but the trailer
    kept = [image for image in ("app", "capsule") if image not in updated]
    with running(request_, {}, tmp_path, flash) as it:
        info = it.boot()
        assert all(version(info, image) == ("2.0.0+0", "trial") for image in updated)
        assert all(version(info, image) == ("1.0.0+0", "confirmed") for image in kept)
        for image, (_, new) in slots.items():
            assert read_flash(board, flash, image, "a").startswith(new)
    with running(request_, {}, tmp_path, flash) as it:
        info = it.boot()
        assert all(version(info, image) == ("1.0.0+0", "confirmed") for image in slots)
        answers(request_, it, info)
    for image, (old, new) in slots.items():
        assert read_flash(board, flash, image, "a") == old
        assert read_flash(board, flash, image, "b").startswith(new)
        write_flash(board, flash, image, "b", signed(request_, image, "b", **NEW))
    with running(request_, {}, tmp_path, flash) as it:
        it.boot()
        it.client.command("confirm")
        for _ in range(2):
            it.client.reset()
            info = it.client.info()
            assert all(version(info, image) == ("2.0.0+0", "confirmed") for image in updated)
        answers(request_, it, info)


def test_a_damaged_slot_a_is_filled_from_slot_b(request_, flash, tmp_path):
    """Whatever broke it: there is one more good application."""
    write_flash(request_.board, flash, "app", "b", signed(request_, "app", "b", **NEW))
    write_flash(request_.board, flash, "app", "a", tampered(signed(request_, "app")))
    with running(request_, {}, tmp_path, flash) as it:
        info = it.boot()
        assert version(info, "app")[0] == "2.0.0+0"
        answers(request_, it, info)


def test_an_image_that_runs_in_slot_b_is_refused(request_, flash, tmp_path):
    """As other boards have them: signed to run in place in either slot."""
    in_place = request_.board.model_copy(update={"boot": None})
    elsewhere = signed(request_, "app", "b", board=in_place, **NEW)
    write_flash(request_.board, flash, "app", "b", elsewhere)
    with running(request_, {}, tmp_path, flash) as it:
        assert version(it.boot(), "app") == ("1.0.0+0", "confirmed")
        assert "boot app b linked for another slot" in it.said()
