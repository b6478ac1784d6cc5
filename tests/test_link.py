"""Bad lines: what they do to frames, and updates over them; what an update costs on the line."""

from __future__ import annotations

import asyncio
import os
import random
import tty
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support.boards import firmware
from tinyseal.bench.link import bench_link
from tinyseal.build.firmware import ROOT, Request
from tinyseal.device.client import open_port
from tinyseal.errors import DeviceError
from tinyseal.profiles import load_board
from tinyseal.torture import link as link_torture
from tinyseal.torture.link import WORST, torture_link, troubles
from tinyseal.virtual.bad_link import BadLink, Faults

SMALL = Path("tests/corpus/chain.tflite")
KWS = Path("models/kws_int8.tflite")
FRAMES = [b"frame %d\n" % i for i in range(60)]


@asynccontextmanager
async def line_of(tmp_path, faults, cut_at=None):
    """A bad line, the end of the tool, and that of the board."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    line = BadLink(os.ttyname(theirs), 115200, tmp_path / "line", faults, random.Random(1), cut_at)
    try:
        async with line:
            with open_port(str(line.port), 115200) as tool:
                tool.timeout = 0
                yield line, tool, ours
    finally:
        os.close(ours)
        os.close(theirs)


async def all_that_comes(board, seconds=0.6):
    data = b""
    for _ in range(int(seconds / 0.02)):
        await asyncio.sleep(0.02)
        try:
            data += os.read(board, 65536)
        except BlockingIOError:
            continue
    return data


def carried(tmp_path, faults, seconds=0.6):
    """What arrives of FRAMES, as lines; and the tally."""

    async def carry():
        async with line_of(tmp_path, faults) as (line, tool, board):
            tool.write(b"".join(FRAMES))
            data = await all_that_comes(board, seconds)
            os.write(board, b"answer\n")
            for _ in range(20):
                await asyncio.sleep(0.02)
                if tool.in_waiting:
                    break
            return data, line.tally, tool.read(100)

    data, tally, answer = asyncio.run(carry())
    return data.splitlines(keepends=True), tally, answer


def test_a_good_line_changes_nothing(tmp_path):
    frames, tally, answer = carried(tmp_path, Faults())
    assert frames == FRAMES and answer == b"answer\n"
    assert (tally.frames, tally.bytes) == (61, sum(map(len, FRAMES)) + 7)


def test_each_fault_is_what_it_is_called(tmp_path):
    frames, tally, _ = carried(tmp_path, Faults(lost=0.3))
    assert tally.lost > 0 and len(frames) in (60 - tally.lost, 61 - tally.lost)  # or the answer
    assert set(frames) < set(FRAMES)

    frames, tally, _ = carried(tmp_path, Faults(damaged=0.3))
    wrong = sum(f not in FRAMES for f in frames)
    assert 0 < wrong <= tally.damaged

    frames, tally, _ = carried(tmp_path, Faults(doubled=0.3))
    assert tally.doubled > 0 and set(frames) == set(FRAMES)
    assert len(frames) in (60 + tally.doubled, 59 + tally.doubled)  # the answer may be, too

    frames, tally, _ = carried(tmp_path, Faults(overtaken=0.3))
    assert tally.overtaken > 0 and sorted(frames) == sorted(FRAMES) and frames != FRAMES

    frames, tally, _ = carried(tmp_path, Faults(stalled=0.02), seconds=3.0)
    assert tally.stalled > 0 and frames == FRAMES


def test_a_cut_line_is_gone_until_it_is_mended(tmp_path):
    async def carry():
        async with line_of(tmp_path, Faults(), cut_at=11) as (line, tool, board):
            tool.write(b"".join(FRAMES))
            before = await all_that_comes(board)
            assert line.is_cut and not line.port.exists()
            with pytest.raises(OSError):
                os.write(tool.fileno(), b"x")
            line.mend()
            with open_port(str(line.port), 115200) as again:
                again.write(FRAMES[0])
                return before, await all_that_comes(board, 0.2)

    assert asyncio.run(carry()) == (b"".join(FRAMES[:10]), FRAMES[0])


def test_troubles_cut_at_every_frame_and_never_exceed_the_worst():
    made = troubles(90, 120, 7)
    assert {t.cut_at for t in made if t.cut_at} == set(range(1, 91))
    noisy = [t.faults for t in made if not t.cut_at]
    assert len(noisy) == 30 and made == troubles(90, 120, 7) != troubles(90, 120, 8)
    for name in ("lost", "damaged", "doubled", "overtaken", "stalled"):
        shares = [getattr(f, name) for f in noisy]
        assert min(shares) >= 0 and WORST / 2 < max(shares) <= WORST
    assert {t.mends for t in made} == {True, False}


def test_updates_end_right_or_are_reported_as_failed():
    result = torture_link(firmware("host", SMALL), 8, 3)
    assert (result.count, result.failures, result.message) == (8, 0, "")
    assert result.cuts == 6 and result.outcomes.get("updated", 0) >= 3
    assert sum(result.outcomes.values()) == 8 and "LinkError" in result.outcomes


def test_troubles_without_a_count_cut_at_every_frame():
    for quiet, noisy in ((False, 30), (True, 0)):
        made = troubles(90, 0, 7, quiet)
        assert {t.cut_at for t in made if t.cut_at} == set(range(1, 91))
        assert len(made) == 90 + noisy


def test_connections_lost_over_ble_end_right_or_are_reported_as_failed():
    result = torture_link(firmware("host", SMALL), 6, 2, ble=True)
    assert (result.count, result.failures, result.message) == (6, 0, "")
    assert result.cuts == 6 and result.frames > 60
    assert result.outcomes.keys() >= {"updated", "LinkError"}
    with pytest.raises(DeviceError, match="qemu-rv32: has no line for BLE"):
        torture_link(Request(load_board("qemu-rv32"), SMALL), 1, 1, ble=True)


def test_a_tool_that_lies_is_found_out(monkeypatch):
    """The campaign itself: an update that claims to be done, and is not."""

    real, calls = link_torture.update, 0

    async def first_honest(device, images, **how):
        nonlocal calls
        calls += 1
        if calls == 3:  # after that over the good line, and the look at it afterwards
            return None
        return await real(device, images, **how)

    monkeypatch.setattr(link_torture, "update", first_honest)
    result = torture_link(firmware("host", SMALL), 1, 1)
    assert result.failures == 1 and "told to be updated, and runs something else" in result.message


def test_bytes_on_the_line_are_within_the_goals():
    serial, ble = bench_link(firmware("host", KWS))
    size = (ROOT / firmware("host", KWS).image("capsule").with_suffix(".bin")).stat().st_size
    assert size < serial.image_bytes == ble.image_bytes < size + 0x200 + 400
    # Four characters for three bytes, and 127 of a line carry 124.
    assert 0.70 <= serial.efficiency < 0.75 * 124 / 127
    # 244 bytes a notification, in 261 of the link layer.
    assert 0.90 <= ble.efficiency < 244 / 261
    assert serial.requests == ble.requests and serial.requests_per_64k < 40
    assert serial.line_seconds == serial.line_bytes * 10 / 115200 and ble.line_seconds is None
