"""`tinyseal ota` against virtual boards: updates, refusals, reverts, and whatever is cut."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
import tty
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from serial.tools.list_ports_common import ListPortInfo

from support.boards import firmware, scons
from support.chain import signed
from support.ota import Relay, ota, write_set
from tinyseal.build.firmware import BUILD, ROOT
from tinyseal.device.client import Client, open_port
from tinyseal.device.links import Link
from tinyseal.device.ota import update
from tinyseal.device.smp import SmpDevice
from tinyseal.package.delta import make_patch
from tinyseal.package.sign import parse_version
from tinyseal.package.update import read_set
from tinyseal.virtual.air import on_air
from tinyseal.virtual.boards import start

SMALL = Path("tests/corpus/chain.tflite")
XIP = "qemu-m4"
FAST = "host"
TINYSEAL = (sys.executable, "-c", "from tinyseal.cli import main; main()")


@contextmanager
def on(name, flash=None):
    """A virtual board that runs: its firmware, its machine."""
    request = firmware(name, SMALL)
    with start(request, flash=flash) as machine:
        with Client(open_port(machine.port, request.board.console.baud)) as client:
            machine.go()
            client.boot()
        yield request, machine


def text_info(request, port):
    """What the board says by the other protocol."""
    with Client(open_port(port, request.board.console.baud)) as client:
        client.sync()
        return client.info()


@pytest.mark.parametrize("name", [XIP, FAST, "qemu-m7"])
def test_both_images_are_brought_up_to_date_and_kept(name, tmp_path):
    with on(name) as (request, machine):
        release = write_set(request, tmp_path / "release")
        code, told = ota("update", release, "--port", machine.port)
        assert (code, told["outcome"], told["board"]) == (0, "updated", name)
        images = {i["image"]: i for i in told["images"]}
        swapped = request.board.boot.mode == "swap"
        for image in images.values():
            assert image["version"] == "1.1.0+0" and image["version_before"] == "0.1.0+0"
            assert image["slot"] == ("a" if swapped else "b")
        assert told["checked"] == ["echo", "self-test"]
        sizes = sum(len(i.data) for i in read_set([release])) // len(request.slots)
        assert told["sent_bytes"] == sizes
        info = text_info(request, machine.port)
        assert info.images["app"][1:] == ("1.1.0+0", 0, "confirmed")
        assert info.images["capsule"][1:] == ("1.1.0+0", 0, "confirmed")

        code, told = ota("update", release, "--port", machine.port)
        assert (code, told["outcome"], told["sent_bytes"]) == (0, "unchanged", 0)
        code, told = ota("reset", "--port", machine.port)
        assert code == 0 and {i["version"] for i in told} == {"1.1.0+0"}


def test_older_and_foreign_images_are_refused_before_a_byte_is_sent(tmp_path):
    with on(XIP) as (request, machine):
        with Relay(machine.port, tmp_path / "line") as relay:
            old = write_set(request, tmp_path / "old", "0.0.9")
            code, told = ota("update", old, "--port", relay.port)
            assert (code, told["outcome"]) == (3, "refused")
            assert "0.0.9+0 is older than 0.1.0+0" in told["reason"]
            foreign = write_set(firmware(FAST, SMALL), tmp_path / "foreign")
            code, told = ota("update", foreign, "--port", relay.port)
            assert (code, told["outcome"]) == (3, "refused")
            assert "is for host app; the device is a qemu-m4" in told["reason"]
            assert relay.passed < 1000
        code, told = ota("state", "--port", machine.port)
        assert [i["slot"] for i in told["images"]] == ["a", "a"]


@pytest.mark.parametrize("name", [XIP, FAST])
def test_a_patch_from_what_runs_is_sent_instead_of_the_image(name, tmp_path):
    with on(name) as (request, machine):
        release = write_set(request, tmp_path / "release")
        slot = request.slots[-1]
        for image in ("app", "capsule"):
            old = (ROOT / request.signed(image)).read_bytes()
            new = (release / f"{image}_{slot}.img").read_bytes()
            (release / f"{image}.patch").write_bytes(make_patch(old, new))
        (release / "other.patch").write_bytes(b"TSDP of something else")
        code, told = ota("update", release, "--port", machine.port)
        assert (code, told["outcome"]) == (0, "updated"), told
        assert told["patches"] == ["app.patch", "capsule.patch"]
        assert told["sent_bytes"] == sum(
            (release / patch).stat().st_size for patch in told["patches"]
        )
        assert told["sent_bytes"] < len(new)
        assert text_info(request, machine.port).images["app"][1:] == ("1.1.0+0", 0, "confirmed")


def test_over_ble_devices_are_found_and_updated(tmp_path):
    with on(FAST) as (request, one), on(FAST) as (_, two):
        baud = request.board.console.baud
        radios = {"kitchen": (one.radio, baud), "porch": (two.radio, baud)}
        with on_air(radios) as air:
            code, told = ota("list", "--ble", "--hci", air.hci)
            assert code == 0
            found = {d["name"]: d for d in told if d["where"].startswith("BLE ")}
            assert set(found) == {"kitchen", "porch"}
            assert all(d["board"] == FAST and d["problem"] is None for d in found.values())
            release = write_set(request, tmp_path / "release", images=("app",))
            place = ("--ble", "porch", "--hci", air.hci)
            code, told = ota("update", release, *place)
            assert (code, told["outcome"], told["id"]) == (0, "updated", found["porch"]["id"])
            assert [d["version"] for d in told["images"]] == ["1.1.0+0", "0.1.0+0"]
        assert text_info(request, two.port).images["app"][1] == "1.1.0+0"
        assert text_info(request, one.port).images["app"][1] == "0.1.0+0"


def crashing(request, slot):
    """The application, with an undefined instruction where it begins."""
    built = (ROOT / request.image("app", slot).with_suffix(".bin")).read_bytes()
    base = request.board.image_address("app", "ab".index(slot)) + 0x200
    entry = struct.unpack_from("<I", built, 4)[0] - 1 - base
    return built[:entry] + b"\x00\xde" + built[entry + 2 :]


def test_an_image_that_crashes_is_gone_after_the_update_and_the_tool_says_so(tmp_path):
    with on(XIP) as (request, machine):
        bad = tmp_path / "bad.img"
        payload = crashing(request, "b")
        bad.write_bytes(signed(request, "app", "b", payload=payload, version=parse_version("2.0")))
        code, told = ota("update", bad, "--port", machine.port)
        assert (code, told["outcome"]) == (5, "reverted")
        assert "does not run bad.img, the old images run" in told["reason"]
        assert text_info(request, machine.port).images["app"][:2] == ("a", "0.1.0+0")
        good = write_set(request, tmp_path / "release")
        assert ota("update", good, "--port", machine.port)[0] == 0


def payload_offset(request, symbol):
    """Where a symbol of the capsule lies in its payload."""
    with (ROOT / request.image("capsule")).open("rb") as file:
        (found,) = ELFFile(file).get_section_by_name(".symtab").get_symbol_by_name(symbol)
    return found["st_value"] - request.board.image_address("capsule", 0) - 0x200


def test_a_model_that_computes_something_else_is_reverted(tmp_path):
    """Well signed, and of other weights than its self-test is of."""
    with on(FAST) as (request, machine):
        payload = bytearray((ROOT / request.image("capsule").with_suffix(".bin")).read_bytes())
        payload[payload_offset(request, "layer_0_input_1")] ^= 0x40
        bad = tmp_path / "bad.img"
        version = parse_version("2.0")
        bad.write_bytes(signed(request, "capsule", payload=bytes(payload), version=version))
        code, told = ota("update", bad, "--port", machine.port)
        assert (code, told["outcome"]) == (5, "reverted")
        assert "self test write: the device refused: self test failed (18" in told["reason"]
        info = text_info(request, machine.port)
        assert info.images["capsule"][:2] == ("a", "0.1.0+0")


def test_trials_are_ended_or_kept_by_hand(tmp_path):
    with on(FAST) as (request, machine):
        (image,) = read_set([write_set(request, tmp_path / "app", images=("app",)) / "app_a.img"])

        async def try_it():
            async with SmpDevice(Link(machine.port)) as device:
                await device.learn_buffer()
                await device.upload(0, image.data, image.hash, lambda done, had: None)
                await device.test(image.hash)

        def pending():
            return {i["slot"]: i["flags"] for i in ota("state", "--port", machine.port)[1]["images"]
                    if i["image"] == "app"}  # fmt: skip

        asyncio.run(try_it())
        assert "pending" in pending()["b"]
        code, told = ota("revert", "--port", machine.port)
        assert code == 0 and "pending" not in pending()["b"]
        code, told = ota("revert", "--port", machine.port)
        assert code == 1 and "no image is on trial" in told["reason"]

        for word, version in (("revert", "0.1.0+0"), ("confirm", "1.1.0+0")):
            asyncio.run(try_it())
            assert ota("reset", "--port", machine.port)[1][0]["version"] == "1.1.0+0"
            assert "confirmed" not in pending()["b"]
            code, told = ota(word, "--port", machine.port)
            assert code == 0 and told[0]["version"] == version
            assert ota("reset", "--port", machine.port)[1][0]["version"] == version
        assert ota("confirm", "--port", machine.port)[0] == 1
        assert ota("erase", "app", "--port", machine.port)[0] == 0
        assert list(pending()) == ["b"]


def test_another_update_on_trial_is_not_trampled_on(tmp_path):
    with on(FAST) as (request, machine):
        one = write_set(request, tmp_path / "one", "1.1.0", images=("app",))
        (image,) = read_set([one / "app_a.img"])

        async def try_it():
            async with SmpDevice(Link(machine.port)) as device:
                await device.learn_buffer()
                await device.upload(0, image.data, image.hash, lambda done, had: None)
                await device.test(image.hash)

        asyncio.run(try_it())
        ota("reset", "--port", machine.port)
        two = write_set(request, tmp_path / "two", "1.2.0", images=("app",))
        code, told = ota("update", two, "--port", machine.port)
        assert code == 3 and "another update is on trial, app b 1.1.0" in told["reason"]
        # Its own set finds it on trial, proves it, and keeps it: as after a killed tool.
        code, told = ota("update", one, "--port", machine.port)
        assert (code, told["outcome"], told["sent_bytes"]) == (0, "updated", 0)


def start_tool(*words):
    return subprocess.Popen(
        [*TINYSEAL, "ota", *map(str, words), "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_tool_goes_on_where_it_was(number, tmp_path):
    with on(FAST) as (request, machine), Relay(machine.port, tmp_path / "line") as relay:
        release = write_set(request, tmp_path / "release")
        relay.hold_after(24_000)
        tool = start_tool("update", release, "--port", relay.port)
        wait_for(lambda: relay.is_held)
        code, told = ota("state", "--port", relay.port)  # the line is the tool's
        assert code == 4 and f"(process {tool.pid})" in told["reason"]
        tool.send_signal(number)
        out, err = tool.communicate()
        if number == signal.SIGINT:
            assert tool.returncode == 130 and "goes on where it ended" in out
            assert "Traceback" not in err
        relay.hold_after(None)
        code, told = ota("update", release, "--port", relay.port)
        assert (code, told["outcome"]) == (0, "updated")
        whole = sum(len(i.data) for i in read_set([release])) // len(request.slots)
        assert told["sent_bytes"] < whole - 8000


def test_a_line_cut_in_the_middle_is_opened_again(tmp_path):
    with on(FAST) as (request, machine), Relay(machine.port, tmp_path / "line") as relay:
        release = write_set(request, tmp_path / "release")
        relay.cut_after(15_000)

        def mend():
            wait_for(lambda: relay.is_cut)
            time.sleep(1.0)
            relay.mend()

        thread = threading.Thread(target=mend)
        thread.start()
        code, told = ota("update", release, "--port", relay.port)
        thread.join()
        assert (code, told["outcome"]) == (0, "updated")


def usb_port(device, number):
    made = ListPortInfo(device)
    made.serial_number = number
    return made


def test_a_board_replugged_under_another_name_is_found_by_its_serial_number(tmp_path, monkeypatch):
    """Its old name has become that of another board of the same kind, which is left alone. Only the
    list of ports is made up: no USB device comes and goes here."""
    first, second = tmp_path / "ttyACM0", tmp_path / "ttyACM1"
    with on(FAST) as (request, machine), Relay(machine.port, first) as relay:
        release = write_set(request, tmp_path / "release")
        ports = [usb_port(str(first), "A1"), usb_port("/dev/null", "B2")]
        monkeypatch.setattr("tinyseal.device.smp.serial_ports", lambda: list(ports))
        relay.cut_after(15_000)
        ours, theirs = os.openpty()
        tty.setraw(theirs)

        def replug():
            wait_for(lambda: relay.is_cut and not first.is_symlink())
            first.symlink_to(os.ttyname(theirs))
            ports[0] = usb_port(str(first), "C3")
            time.sleep(1.0)
            relay.port = second
            relay.mend()
            ports.append(usb_port(str(second), "A1"))

        thread = threading.Thread(target=replug)
        thread.start()
        code, told = ota("update", release, "--port", first)
        thread.join()
        assert (code, told.get("error"), told["outcome"]) == (0, None, "updated")
        assert not select.select([ours], [], [], 0)[0]  # nothing was sent to that other board
        os.close(ours)
        os.close(theirs)


def test_a_line_that_stays_cut_is_said_and_the_next_try_goes_on(tmp_path):
    with on(FAST) as (request, machine), Relay(machine.port, tmp_path / "line") as relay:
        images = read_set([write_set(request, tmp_path / "release")])

        async def once(patience):
            async with SmpDevice(Link(str(relay.port)), patience) as device:
                return await update(device, images)

        relay.cut_after(20_000)
        with pytest.raises(Exception, match="No such file") as lost:
            asyncio.run(once(2.0))
        assert lost.value.exit_code == 4
        relay.mend()
        report = asyncio.run(once(20.0))
        assert report.outcome == "updated" and report.sent_bytes < sum(len(i.data) for i in images)


def reached(relay, tool, moment):
    return relay.passed > moment or tool.poll() is not None


def test_a_board_that_loses_power_in_an_update_takes_the_next(tmp_path):
    """At several moments, from the first chunk to the restart on trial."""
    flash = tmp_path / "flash.bin"
    request = firmware(FAST, SMALL)
    version = 1
    for moment in (3_000, 25_000, 45_000):
        version += 1
        release = write_set(request, tmp_path / f"r{version}", f"1.{version}.0")
        with (
            on(FAST, flash) as (_, machine),
            Relay(machine.port, tmp_path / "line") as relay,
            start_tool("update", release, "--port", relay.port) as tool,
        ):
            wait_for(partial(reached, relay, tool, moment))
            machine.kill()
            tool.kill()
        with on(FAST, flash) as (_, machine):
            code, told = ota("update", release, "--port", machine.port)
            assert code == 0, told
            assert text_info(request, machine.port).images["app"][1] == f"1.{version}.0+0"


def test_a_virtual_board_is_switched_on_for_the_command_and_keeps_its_flash(tmp_path):
    request = firmware(FAST, Path("models/kws_int8.tflite"))
    release = write_set(request, tmp_path / "release", images=("app",))
    place = ("--board", FAST, "--flash", tmp_path / "flash.bin")
    assert ota("update", release, *place)[1]["outcome"] == "updated"
    code, told = ota("state", *place)
    assert code == 0 and told["images"][1]["version"] == "1.1.0"
    assert told["images"][1]["flags"][:2] == ["active", "confirmed"]


def test_scons_ota_builds_and_updates(tmp_path):
    flash = ROOT / BUILD / FAST / "flash.bin"
    flash.unlink(missing_ok=True)
    words = (f"board={FAST}", f"model={SMALL}", "ota")
    assert "host: runs these images already" in scons(*words).stdout
    done = scons(*words, "version=0.1.7")
    assert done.returncode == 0 and "capsule: 0.1.7+0, was 0.1.0+0" in done.stdout
    done = scons(*words)
    assert done.returncode == 2 and "0.1.0+0 is older than 0.1.7+0" in done.stdout
    flash.unlink()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["update", "/nonesuch", "--port", "/dev/null"], 2, "no such file or folder"),
        (["state", "--port", "/dev/nonesuch"], 4, "No such file"),
        (["state", "--port", "a", "--ble", "b"], 2, "give one"),
        (["erase", "bootloader", "--port", "/dev/null"], 2, "expected app or capsule"),
        (["state", "--board", "nonesuch"], 2, "no board 'nonesuch'"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(words, code, said):
    done = subprocess.run(
        [*TINYSEAL, "ota", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
