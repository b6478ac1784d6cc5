"""A release: built for a key of its own, booted, and deaf to the development key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support.boards import scons
from support.chain import answers, running, signed
from tinyseal.build.firmware import ROOT, Request
from tinyseal.device.client import Client, open_port
from tinyseal.package.keys import DEV_SIGN, Use, create_key, load_key
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import power_up

SMALL = Path("tests/corpus/chain.tflite")
BOARD = "qemu-m4"


def words(key: Path, version: str, counter: int) -> list[str]:
    """What a maker would type."""
    of = [f"board={BOARD}", f"model={SMALL}", "release=1", f"key={key}"]
    return [*of, f"version={version}", f"security_counter={counter}"]


def test_a_release_refuses_the_development_key():
    done = scons("-s", *words(DEV_SIGN.relative_to(ROOT), "2.3.4", 5))
    assert done.returncode == 2
    assert "development key" in done.stdout and done.stdout.count("\n") == 1


@pytest.fixture
def release(tmp_path):
    """Built in the project's folder, where a later build for the development key finds its own
    files changed and makes them anew."""
    key = tmp_path / "own.pem"
    own = create_key(key, Use.SIGN)
    done = scons("-s", *words(key, "2.3.4", 5))
    assert done.returncode == 0, done.stdout
    assert "development key" not in done.stdout
    request = Request(load_board(BOARD), SMALL, version="2.3.4", security_counter=5, key=key)
    yield replace(request, release=True), own
    done = scons("-s", f"board={BOARD}", f"model={SMALL}")
    assert done.returncode == 0, done.stdout


def test_a_release_boots_and_takes_its_own_key_only(release, tmp_path):
    request, own = release
    bootloader = (ROOT / request.bootloader.with_suffix(".bin")).read_bytes()
    assert own.raw in bootloader and load_key(DEV_SIGN).raw not in bootloader
    profile = request.board
    with (
        power_up(profile, ROOT / request.bootloader, image=ROOT / request.merged) as machine,
        Client(open_port(machine.port, profile.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        for image in ("app", "capsule"):
            assert client.info().images[image] == ("a", "2.3.4+0", 5, "confirmed")
    fresh = {"security_counter": 6}
    ours = {(i, "a"): signed(request, i, key=own, **fresh) for i in ("app", "capsule")}
    with running(request, ours, tmp_path) as board:
        answers(request, board, board.boot())
    for image in ("app", "capsule"):
        theirs = ours | {(image, "a"): signed(request, image, **fresh)}
        with running(request, theirs, tmp_path) as board:
            if image == "app":
                assert "nothing boots: unknown key" in board.client.line(20.0)
            else:
                info = board.boot()
                assert info.images[image][0] == "-" and "key" in info.images[image][3]
