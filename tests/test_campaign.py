"""Campaigns through a fleet of virtual boards: canaries, pauses, stops, and their reports."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from support.boards import firmware
from support.chain import signed
from support.ota import ota, write_set
from tinyseal.build.firmware import ROOT
from tinyseal.device.links import Link
from tinyseal.device.ota import update
from tinyseal.device.smp import SmpDevice
from tinyseal.errors import FleetError
from tinyseal.fleet.campaign import Runner
from tinyseal.fleet.database import open_database
from tinyseal.fleet.fleet_file import Fleet, read_fleet
from tinyseal.fleet.history import kept
from tinyseal.fleet.records import Attempt
from tinyseal.fleet.report import as_html, read_report
from tinyseal.package.sign import parse_version
from tinyseal.package.update import read_set
from tinyseal.virtual.air import on_air
from tinyseal.virtual.boards import start

SMALL = Path("tests/corpus/chain.tflite")
FAST = "host"
TINYSEAL = (sys.executable, "-c", "from tinyseal.cli import main; main()")


class Heard:
    """What a campaign tells while it runs."""

    def __init__(self):
        self.order, self.words, self.under_way, self.most = [], [], 0, 0

    def began(self, device):
        self.order.append(device)
        self.under_way += 1
        self.most = max(self.most, self.under_way)

    def moved(self, device, done, total):
        assert 0 <= done <= total

    def ended(self, device, outcome, reason):
        self.under_way -= 1

    def said(self, text):
        self.words.append(text)


@pytest.fixture
def crowd(tmp_path):
    """Switches virtual boards on: links by name, the firmware."""
    with ExitStack() as stack:
        request = firmware(FAST, SMALL)

        def switch_on(count):
            links = {}
            for i in range(count):
                machine = stack.enter_context(start(request, flash=tmp_path / f"flash{i}.bin"))
                machine.go()
                links[f"d{i}"] = Link(machine.port)
            return request, links

        yield switch_on


@pytest.fixture
def engine(tmp_path):
    return open_database(f"sqlite:///{tmp_path}/fleet.db")


def fleet_of(links, **changes):
    listed = [{"name": name, "port": link.address} for name, link in links.items()]
    settings = {"name": "spring", "retry_seconds": 0.1, "tries": 2, "canary_share": 0.3, **changes}
    return Fleet.model_validate_json(json.dumps({**settings, "device": listed}))


def run(engine, fleet, links, images, **changes):
    heard = Heard()
    runner = Runner(engine, fleet, links, images, heard, **changes)
    asyncio.run(runner.run())
    return read_report(engine, str(runner.campaign_id)), heard


def outcomes(report):
    return {d.name: d.outcome for d in report.devices}


def test_canaries_go_first_and_everything_is_reported(crowd, engine, tmp_path):
    request, links = crowd(6)
    release = write_set(request, tmp_path / "release")
    fleet = fleet_of(links, parallel=3)
    report, heard = run(engine, fleet, links, read_set([release]))
    assert report.status == "done" and report.counts == {"updated": 6}
    assert fleet.canaries() == {"d0", "d3"} == set(heard.order[:2])
    assert [d.name for d in report.devices if d.is_canary] == ["d0", "d3"]
    assert 1 < heard.most <= 3
    for device in report.devices:
        assert device.board == FAST
        (attempt,) = device.attempts
        assert 0 < attempt.seconds < 60 and attempt.sent_bytes > 20_000
        changes = {c["image"]: (c["version_before"], c["version_after"]) for c in attempt.changes}
        assert changes == dict.fromkeys(("app", "capsule"), ("0.1.0+0", "1.1.0+0"))
        hashes = {i["hash"] for i in report.images}
        assert {c["hash_after"] for c in attempt.changes} == hashes

    # Again: all are asked, none is changed.
    report, heard = run(engine, fleet, links, read_set([release]))
    assert report.id == 2 and report.counts == {"unchanged": 6}

    code, told = ota("report", "1", "--database", f"sqlite:///{tmp_path}/fleet.db")
    assert code == 0 and told["status"] == "done" and len(told["devices"]) == 6
    assert told["devices"][0]["attempts"][0]["changes"][0]["version_after"] == "1.1.0+0"
    code, told = ota("report", "--list", "--database", f"sqlite:///{tmp_path}/fleet.db")
    assert [(r["id"], r["status"]) for r in told] == [(2, "done"), (1, "done")]


def test_a_bad_canary_stops_it_before_the_others(crowd, engine, tmp_path):
    request, links = crowd(3)
    bad = tmp_path / "bad.img"
    payload = (ROOT / request.image("app").with_suffix(".bin")).read_bytes()
    broken = b"\x0f\x0b" + payload[2:]  # ud2, where it is entered
    bad.write_bytes(signed(request, "app", payload=broken, version=parse_version("2.0")))
    fleet = fleet_of(links)
    report, heard = run(engine, fleet, links, read_set([bad]))
    assert report.status == "stopped" and "canary d0 did not take the update" in report.reason
    assert outcomes(report) == {"d0": "reverted", "d1": "waiting", "d2": "waiting"}
    assert heard.order == ["d0"]
    # What is right goes through, on the same devices.
    release = read_set([write_set(request, tmp_path / "release", images=("app",))])
    report, _ = run(engine, fleet, links, release)
    assert report.status == "done" and report.counts == {"updated": 3}, report.devices


def test_too_many_failures_stop_it_and_those_out_of_reach_do_not(crowd, engine, tmp_path):
    request, links = crowd(2)
    release = read_set([write_set(request, tmp_path / "release", images=("app",))])
    gone = {f"gone{i}": Link(f"/dev/nonesuch{i}") for i in range(4)}
    fleet = fleet_of({**links, **gone}, canary_share=0.1, parallel=1)
    report, _ = run(engine, fleet, {**links, **gone}, release)
    assert report.status == "incomplete", report.devices
    assert report.counts == {"out of reach": 4, "updated": 2}
    assert all(len(d.attempts) == 2 for d in report.devices if d.name in gone)
    assert report.devices[-1].attempts[0].reason == "/dev/nonesuch3: No such file or directory"

    foreign = write_set(firmware("qemu-m4", SMALL), tmp_path / "foreign", images=("app",))
    fleet = fleet_of(links | gone, name="other", canary_share=0, parallel=1, min_judged=2)
    report, heard = run(engine, fleet, {**links, **gone}, read_set([foreign]))
    assert report.status == "stopped" and heard.order == ["d0", "d1"]
    assert report.reason == "2 of 2 devices failed, more than 10%"


def test_a_pause_lets_devices_finish_and_the_rest_waits(crowd, engine, tmp_path):
    request, links = crowd(4)
    release = read_set([write_set(request, tmp_path / "release", images=("app",))])
    fleet = fleet_of(links, parallel=1, canary_share=0)

    class Pausing(Heard):
        def ended(self, device, outcome, reason):
            runner.pause()

    runner = Runner(engine, fleet, links, release, Pausing())
    asyncio.run(runner.run())
    report = read_report(engine)
    assert report.status == "paused" and report.counts == {"waiting": 3, "updated": 1}
    other = read_set([write_set(request, tmp_path / "other", "1.2.0", images=("app",))])
    with pytest.raises(FleetError, match="not finished: go on with those, or leave it with --new"):
        run(engine, fleet, links, other)
    again, heard = run(engine, fleet, links, release)
    assert again.id == report.id and again.status == "done"
    assert heard.order == ["d1", "d2", "d3"]  # d0 is left alone


def test_a_campaign_outlives_its_tool(tmp_path):
    """Killed in the middle, and interrupted; the boards of its crowd lose power with it."""
    request = firmware(FAST, Path("models/kws_int8.tflite"))
    release = write_set(request, tmp_path / "release")
    file = tmp_path / "fleet.toml"
    file.write_text(
        'name = "crowd"\nparallel = 2\ncanary_share = 0.2\n[[crowd]]\nname = "c"\n'
        f'board = "{FAST}"\ncount = 6\nfolder = "flash"\n'
    )
    database = f"sqlite:///{tmp_path}/fleet.db"
    words = ["campaign", file, release, "--database", database]
    engine = open_database(database)
    page = tmp_path / "report.html"

    def under_way(count):
        with Session(engine) as session:
            return len(list(session.scalars(select(Attempt)))) >= count

    for number, count in ((signal.SIGKILL, 2), (signal.SIGINT, 4)):
        tool = subprocess.Popen(
            [*TINYSEAL, "ota", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not under_way(count):
            assert tool.poll() is None, tool.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        tool.send_signal(number)
        _, err = tool.communicate(timeout=60)
        assert tool.returncode == (130 if number == signal.SIGINT else -number), err
        assert "Traceback" not in err
    assert read_report(engine).status == "paused"
    code, told = ota(*words, "--html", page)
    assert code == 0 and told["status"] == "done" and told["id"] == 1
    assert all(d["outcome"] in ("updated", "unchanged") for d in told["devices"])
    assert any(a["outcome"] == "cut" for d in told["devices"] for a in d["attempts"])
    assert "killed in it" in page.read_text()


def test_a_campaign_over_serial_and_ble(tmp_path):
    """The canary is the one on the air."""
    request = firmware(FAST, SMALL)
    release = write_set(request, tmp_path / "release", images=("capsule",))
    database = f"sqlite:///{tmp_path}/fleet.db"
    with ExitStack() as stack:
        near, far = [stack.enter_context(start(request)) for _ in range(2)]
        near.go()
        far.go()
        air = stack.enter_context(on_air({"far": (far.radio, request.board.console.baud)}))
        (tmp_path / "fleet.toml").write_text(
            'name = "both"\ncanary_share = 0.5\n'
            f'[[device]]\nname = "far"\nble = "far"\nhci = "{air.hci}"\n'
            f'[[device]]\nname = "near"\nport = "{near.port}"\n'
        )
        words = ["campaign", tmp_path / "fleet.toml", release, "--database", database]
        code, told = ota(*words)
    assert code == 0 and told["status"] == "done"
    devices = {d["name"]: d for d in told["devices"]}
    assert {n: (d["is_canary"], d["outcome"]) for n, d in devices.items()} == {
        "far": (True, "updated"),
        "near": (False, "updated"),
    }
    for device in devices.values():
        changes = {c["image"]: c["version_after"] for c in device["attempts"][0]["changes"]}
        assert changes == {"capsule": "1.1.0+0"}


def test_a_single_update_is_kept_like_a_campaign(crowd, tmp_path):
    request, links = crowd(2)
    release = write_set(request, tmp_path / "release", images=("capsule",))
    foreign = write_set(firmware("qemu-m4", SMALL), tmp_path / "foreign", images=("capsule",))
    database = f"sqlite:///{tmp_path}/fleet.db"
    where = ["--port", links["d0"].address, "--database", database]
    assert ota("update", release, *where)[0] == 0
    assert ota("update", release, *where)[1]["outcome"] == "unchanged"
    assert ota("update", foreign, *where)[0] == 3
    assert ota("update", release, "--port", links["d1"].address)[0] == 0  # nobody asked
    _, listed = ota("report", "--list", "--database", database)
    assert [(c["status"], c["counts"]) for c in listed] == [
        ("incomplete", {"refused": 1}),
        ("done", {"unchanged": 1}),
        ("done", {"updated": 1}),
    ]
    refused, _, updated = (
        ota("report", c["id"], "--database", database)[1]["devices"][0] for c in listed
    )
    assert "is for qemu-m4 capsule; the device is a host" in refused["attempts"][0]["reason"]
    assert refused["hardware_id"] == updated["hardware_id"] and updated["board"] == FAST
    assert updated["attempts"][0]["sent_bytes"] == listed[2]["sent_bytes"] > 0
    assert [c["image"] for c in updated["attempts"][0]["changes"]] == ["capsule"]


def test_a_single_update_that_is_stopped_is_gone_on_with(crowd, engine, tmp_path):
    """And its device is known again by its hardware, wherever it is plugged in."""
    request, links = crowd(1)
    images = read_set([write_set(request, tmp_path / "release", images=("capsule",))])

    async def update_once(link, stopped):
        async with SmpDevice(link) as device:

            async def work():
                if stopped:
                    raise KeyboardInterrupt
                return await update(device, images)

            return await kept(engine, device, images, work)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(update_once(links["d0"], stopped=True))
    assert read_report(engine).status == "paused"
    asyncio.run(update_once(links["d0"], stopped=False))
    report = read_report(engine)
    assert report.id == 1 and report.status == "done"
    assert [a.outcome for a in report.devices[0].attempts] == ["cut", "updated"]
    (tmp_path / "moved").symlink_to(links["d0"].address)
    asyncio.run(update_once(Link(str(tmp_path / "moved")), stopped=False))
    again = read_report(engine)
    assert again.id == 2 and again.devices[0].name == report.devices[0].name
    assert again.devices[0].outcome == "unchanged"


def test_the_page_stands_alone_and_hides_nothing(crowd, engine, tmp_path):
    request, links = crowd(1)
    release = read_set([write_set(request, tmp_path / "<release>", images=("app",))])
    report, _ = run(engine, fleet_of(links), links, release)
    page = as_html(report)
    assert "&lt;release&gt;" in page and "<release>" not in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    svg = ET.fromstring(re.search(r"<svg.*</svg>", page, re.DOTALL)[0])
    bars = [e for e in svg.iter() if e.tag.endswith("rect")]
    assert [b.get("class") for b in bars] == ["updated"]
    left, width = float(bars[0].get("x")), float(bars[0].get("width"))
    assert left + width <= float(svg.get("viewBox").split()[2])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "a"', "expected at least one"),
        ('name = "a"\n[[device]]\nname = "b"', r"device\[0\]: expected one of port and ble"),
        ('name = "a"\ncanary = 1\n[[device]]\nname = "b"\nport = "x"', "canary: unknown key; did"),
        ('name = "a"\ncanary_share = 2.0', "canary_share: expected a share from 0 to 1, is 2.0"),
        ("x = ", "is not TOML"),
        (
            'name = "a"\n[[device]]\nname = "b-1"\nport = "x"\n[[crowd]]\nname = "b"\n'
            'board = "host"\ncount = 1\nfolder = "f"',
            "has b-1 twice",
        ),
    ],
)
def test_a_wrong_fleet_file_is_told_by_key(tmp_path, text, said):
    file = tmp_path / "fleet.toml"
    file.write_text(text)
    with pytest.raises(FleetError, match=said):
        read_fleet(file)
