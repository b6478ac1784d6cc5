"""The emulator killed in the midst of writing: what was told is there afterwards."""

import json

import pytest
from typer.testing import CliRunner

from support.boards import VIRTUAL, firmware
from tinyseal.build.firmware import ROOT, Request
from tinyseal.cli import app
from tinyseal.cli.campaign import SMALL_MODEL
from tinyseal.errors import BoardError, DeviceError, UsageError
from tinyseal.package.update import read_set
from tinyseal.profiles import load_board
from tinyseal.torture import kill, kill_update, kill_upload
from tinyseal.torture.kill import Ledger, torture_kill
from tinyseal.torture.link import write_release


def test_nothing_that_was_told_is_lost(campaign):
    result = CliRunner().invoke(app, ["torture", "kill", "--count", str(100 * campaign), "--json"])
    told = json.loads(result.stdout)
    assert result.exit_code == 0, told
    assert told["count"] >= 100 * campaign and told["failures"] == 0
    assert told["seconds"] > 0
    lasting = [n for n in VIRTUAL if load_board(n).runner.flash_file_bytes]
    assert [run["board"] for run in told["runs"]] == lasting
    assert all(run["steps"] > 0 for run in told["runs"])


@pytest.mark.parametrize(
    ("lines", "found", "fault"),
    [
        ([], (5, 5), ""),
        ([], (6, 5), ""),
        ([], (6, 6), ""),
        ([], (4, 5), "the counter is 4, not one of 5, 6"),
        ([], (7, 5), "the counter is 7"),
        ([], (5, None), "the key is None"),
        (["c 6"], (6, 5), ""),
        (["c 6"], (6, 6), ""),
        (["c 6"], (5, 5), "the counter is 5, not one of 6, 7"),
        (["c 6", "k 6"], (6, 6), ""),
        (["c 6", "k 6"], (6, 5), "the key is 5, not one of 6, 7"),
        (["c 6", "k 6", "c 7"], (7, 4), "the key is 4, not one of 6, 7, 8"),
    ],
)
def test_loss_is_noticed(lines, found, fault):
    ledger = Ledger()
    ledger.settle(5, 5)
    ledger.begin()
    for line in lines:
        ledger.hear(line)
    assert ledger.settle(*found).startswith(fault)
    assert bool(ledger.settle(*found)) is False


def test_rolled_back_flash_is_a_failure(monkeypatch):
    """The same flash, put back to what it was some kills ago."""
    cycle, kept = kill._cycle, []

    def put_back(board, elf, flash, ledger, rng):
        with flash.open("r+b") as f:
            if kept:
                f.write(kept[0])
            else:
                kept.append(f.read(board.flash_memory.bytes))
        return cycle(board, elf, flash, ledger, rng)

    monkeypatch.setattr(kill, "_cycle", put_back)
    result = kill._run(load_board("qemu-m4"), 6, "1")
    assert result.failures > 0
    assert "the counter is 0" in result.message


def test_board_that_forgets_is_refused():
    board = load_board("qemu-m4")
    forgetful = board.runner.model_copy(update={"flash_file_bytes": None})
    with pytest.raises(BoardError, match="qemu-m4: is not virtual, or keeps no flash in a file"):
        torture_kill([board.model_copy(update={"runner": forgetful})], 1, 1)


def test_an_update_that_is_killed_ends_old_or_new(campaign):
    """In place, copied to RAM, swapped; encrypted where the board can."""
    boards = [word for name in ("qemu-m33", "qemu-m4", "qemu-m7") for word in ("--board", name)]
    words = ["torture", "kill", "--update", *boards, "--count", str(24 * campaign), "--json"]
    result = CliRunner().invoke(app, words)
    told = json.loads(result.stdout)
    assert result.exit_code == 0, told
    assert told["count"] >= 24 * campaign and told["failures"] == 0
    assert [run["board"] for run in told["runs"]] == ["qemu-m33", "qemu-m4", "qemu-m7"]


def test_a_forgotten_trial_is_a_failure(monkeypatch):
    """The state register erased after the kills: the update stays, though nobody confirmed it."""
    request = firmware("qemu-m7", SMALL_MODEL)
    offset, size = request.board.counter_areas()["state"]

    def forget(update, seconds):
        update.finish()
        with update._flash.open("r+b") as file:
            file.seek(offset)
            file.write(b"\xff" * size)
        update.kills += 1

    monkeypatch.setattr(kill_update._Update, "_kill", forget)
    result = kill_update._run(request, 1, "1")
    assert result.failures == 1 and "nobody confirmed version 2.0.0+0" in result.message


@pytest.mark.parametrize(("board", "kills"), [("host", 100), ("qemu-m4", 4)])
def test_an_upload_that_is_killed_ends_at_the_next_try(board, kills, campaign):
    count = kills * campaign
    words = ["torture", "kill", "--upload", "--board", board, "--count", str(count), "--json"]
    result = CliRunner().invoke(app, words)
    told = json.loads(result.stdout)
    assert result.exit_code == 0, told
    assert told["count"] >= count and told["failures"] == 0
    assert told["runs"][0]["steps"] > 0


@pytest.mark.parametrize(
    "words", [["kill"], ["kill", "--update"], ["kill", "--upload"], ["link"], ["meter"]]
)
def test_campaigns_take_a_board_of_ones_own(words, tmp_path):
    """By the path of its profile: where a name of boards/ is looked up, this fails."""
    own = tmp_path / "own.toml"
    text = (ROOT / "boards/host.toml").read_text()
    own.write_text(text.replace('name = "host"', 'name = "own"', 1))
    words = ["torture", *words, "--board", str(own), "--count", "1", "--json"]
    result = CliRunner().invoke(app, words)
    told = json.loads(result.stdout)
    assert result.exit_code == 0, told
    assert {run["board"] for run in told["runs"]} == {"own"} and told["failures"] == 0


def test_an_update_that_is_gone_again_is_a_failure(tmp_path):
    """The whole flash put back to what it was before the update."""
    request = firmware("host", SMALL_MODEL)
    release = read_set([write_release(request, tmp_path, ["capsule"], kill_upload.COUNTER)])
    flash = tmp_path / "flash.bin"
    update = kill_upload._Update(request, release, ["capsule"], flash)
    update.begin()
    before = flash.read_bytes()
    update.finish()
    update.kill(0.1)
    flash.write_bytes(before)
    with pytest.raises(DeviceError, match="neither kept nor new"):
        update.kill(0.1)


def test_uploads_where_there_are_none_are_refused():
    request = Request(load_board("qemu-m0"), SMALL_MODEL)
    with pytest.raises(BoardError, match="qemu-m0: takes no images over SMP"):
        kill_upload.torture_upload([request], 1, 1)


def test_one_campaign_at_a_time():
    result = CliRunner().invoke(app, ["torture", "kill", "--upload", "--update"])
    assert isinstance(result.exception, UsageError) and "two campaigns" in str(result.exception)
