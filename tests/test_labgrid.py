"""Boards of other machines: labgrid's coordinator, exporter and client on this one, RFC 2217."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.boards import firmware
from support.lab import SerialServer, lab
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.device.client import Client, open_port
from tinyseal.device.labgrid import RemoteLine, borrow
from tinyseal.errors import DeviceError
from tinyseal.virtual.boards import start

SMALL = Path("tests/corpus/chain.tflite")
BENCH = '[[rig]]\nname = "far"\nboard = "host"\nlabgrid = "desk"\n'


@pytest.fixture
def served():
    """A virtual board whose line is served over the network."""
    request = firmware("host", SMALL)
    with start(request) as machine, SerialServer(machine.port, 115200) as server:
        machine.go()
        yield server


def test_a_rig_of_another_machine_is_tested_and_given_back(served, tmp_path):
    bench, report = tmp_path / "bench.toml", tmp_path / "report.xml"
    bench.write_text(BENCH)
    with lab(tmp_path, "desk", served.number) as client:
        listed = CliRunner().invoke(app, ["hil", "list", "--bench", str(bench), "--json"])
        far = json.loads(listed.stdout)[0]
        assert (far["name"], far["present"], far["where"]) == ("far", True, "labgrid place desk")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "hil/test_board.py", f"--bench={bench}", "--rig=far",
             "--board=host", f"--model={SMALL}", f"--junitxml={report}", "-k",
             "boots or identifies or structured"],
            cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        cases = list(ET.parse(report).iter("testcase"))
        assert len(cases) == 3 and not any(list(case.iter("skipped")) for case in cases)
        assert "acquired: None" in client("-p", "desk", "show")
        with borrow("desk", 115200) as place:
            assert place.url == f"rfc2217://127.0.0.1:{served.number}"
            with (
                pytest.raises(DeviceError, match="already acquired place desk"),
                borrow("desk", 115200),
            ):
                pass
        with pytest.raises(DeviceError, match="nonesuch"), borrow("nonesuch", 115200):
            pass


def test_a_coordinator_that_does_not_answer_is_said_in_one_line(tmp_path, monkeypatch):
    bench = tmp_path / "bench.toml"
    bench.write_text(BENCH)
    monkeypatch.setenv("LG_COORDINATOR", "127.0.0.1:9")
    listed = CliRunner().invoke(app, ["hil", "list", "--bench", str(bench), "--json"])
    far = json.loads(listed.stdout)[0]
    assert not far["present"]
    assert far["where"].startswith("labgrid at 127.0.0.1:9: ") and "\n" not in far["where"]


def test_a_line_that_was_lost_is_opened_again(served):
    with (
        RemoteLine(f"rfc2217://127.0.0.1:{served.number}", 115200) as line,
        Client(open_port(line.port, 115200)) as client,
    ):
        client.sync()
        board = client.info().board
        served.drop()
        deadline = time.monotonic() + 20
        while served.clients < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        client.sync()
        assert (served.clients, client.info().board) == (2, board)


def test_no_server_is_one_line():
    with pytest.raises(DeviceError, match=r"^rfc2217://127\.0\.0\.1:9: .*refused"):
        RemoteLine("rfc2217://127.0.0.1:9", 115200)
