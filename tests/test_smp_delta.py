"""Patches over SMP: sent like an image, by a stock client, to virtual boards."""

from __future__ import annotations

import hashlib

import pytest
from smp.image_management import IMG_MGMT_ERR
from smpclient.generics import success
from smpclient.requests.image_management import ImageStatesWrite

from support.boards import firmware
from support.chain import running, signed
from test_smp import SMALL, ask, chunk, image_hash, refused, served, state, upload
from tinyseal.package.delta import make_patch
from tinyseal.package.sign import parse_version

NEWER = parse_version("1.1")


def images_and_patch(request, image, version=NEWER):
    """What runs, its successor for the other slot, and the patch between."""
    old = signed(request, image)
    new = signed(request, image, "b", version=version)
    return old, new, make_patch(old, new)


def sent(board, patch):
    """The last answer to the application's patch, in pieces of odd lengths."""
    first = {"len": len(patch), "image": 0, "sha": hashlib.sha256(patch).digest()}
    requests = [chunk(0, patch[:101], **first)]
    requests += [chunk(at, patch[at : at + 77]) for at in range(101, len(patch), 77)]
    return ask(board, *requests)[-1]


@pytest.mark.parametrize("name", ["qemu-m4", "qemu-m33"])
def test_a_patched_capsule_boots(name, tmp_path):
    with served(name, tmp_path) as (request, board):
        _, new, patch = images_and_patch(request, "capsule")
        assert len(patch) < len(new) / 4
        assert upload(board, 1, patch)[-1] == len(patch)
        assert state(board)[1, 1] == ("1.1.0", "bootable")
        (answer,) = ask(board, ImageStatesWrite(hash=image_hash(new)))
        assert success(answer)
        board.client.reset()
        assert board.client.info().images["capsule"] == ("b", "1.1.0+0", 0, "trial")
        (answer,) = ask(board, ImageStatesWrite(confirm=True))
        assert success(answer)
        board.client.reset()
        assert board.client.info().images["capsule"] == ("b", "1.1.0+0", 0, "confirmed")


def test_a_patched_application_boots_and_bad_patches_do_not(tmp_path):
    with served("qemu-m4", tmp_path) as (request, board):
        _, new, patch = images_and_patch(request, "app")
        newer = signed(request, "app", "b", version=parse_version("1.2"))
        other = make_patch(signed(request, "app", version=NEWER), newer)
        damaged = bytearray(patch)
        damaged[-40] ^= 4
        elsewhere = bytearray(patch)
        elsewhere[20:24] = patch[16:20]  # the new base: the slot that runs
        too_long, wrong_image, wrong_old, too_short, wrong_slot = ask(
            board,
            chunk(0, patch[:200], len=len(patch) + 1),
            chunk(0, patch[:200], len=len(patch), image=1),
            chunk(0, other[:200], len=len(other)),
            chunk(0, patch[:95], len=len(patch)),
            chunk(0, bytes(elsewhere), len=len(patch)),
        )
        assert refused(too_long) == IMG_MGMT_ERR.INVALID_LENGTH
        assert refused(wrong_image) == IMG_MGMT_ERR.INVALID_SLOT
        assert refused(wrong_old) == IMG_MGMT_ERR.HASH_NOT_FOUND
        assert refused(wrong_slot) == IMG_MGMT_ERR.INVALID_FLASH_ADDRESS
        assert refused(too_short) == IMG_MGMT_ERR.INVALID_IMAGE_HEADER
        assert refused(sent(board, bytes(damaged))) == IMG_MGMT_ERR.INVALID_HASH
        assert (0, 1) not in state(board)
        answer = sent(board, patch)
        assert answer.off == len(patch) and answer.match is True
        assert state(board)[0, 1] == ("1.1.0", "bootable")
        (answer,) = ask(board, ImageStatesWrite(hash=image_hash(new)))
        assert success(answer)
        board.client.reset()
        assert board.client.info().images["app"] == ("b", "1.1.0+0", 0, "trial")


def test_a_patch_of_an_older_image_is_refused(tmp_path):
    """Where the client asks for an upgrade, or the board's security counter forbids it."""
    with served("qemu-m4", tmp_path) as (request, board):
        _, _, patch = images_and_patch(request, "capsule", parse_version("0.9"))
        sha = hashlib.sha256(patch).digest()
        (answer,) = ask(board, chunk(0, patch, len=len(patch), image=1, sha=sha, upgrade=True))
        assert refused(answer) == IMG_MGMT_ERR.CURRENT_VERSION_IS_NEWER


def test_a_cut_patch_goes_on_or_begins_anew(tmp_path):
    """The link goes: on from where it was. The board goes: from the start, and it still runs."""
    request = firmware("qemu-m4", SMALL)
    old, _, patch = images_and_patch(request, "app")
    sha = hashlib.sha256(patch).digest()
    flash = tmp_path / "flash.bin"
    first = chunk(0, patch[:150], len=len(patch), image=0, sha=sha)
    images = {("app", "a"): old, ("capsule", "a"): signed(request, "capsule")}
    with running(request, images, tmp_path, flash=flash) as board:
        board.boot()
        (answer,) = ask(board, first)
        assert answer.off == 150
        (answer,) = ask(board, first)  # a new client asks in its way
        assert answer.off == 150
    with running(request, {}, tmp_path, flash=flash) as board:
        assert board.boot().images["app"] == ("a", "1.0.0+0", 0, "confirmed")
        assert set(state(board)) == {(0, 0), (1, 0)}
        assert upload(board, 0, patch)[-1] == len(patch)
        assert state(board)[0, 1] == ("1.1.0", "bootable")
