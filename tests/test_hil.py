"""The tests of hil/ on a virtual board, by the ways its users take; benches that are not right."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo
from typer.testing import CliRunner

from support.boards import firmware, scons
from tinyseal.build.firmware import BUILD, ROOT, Request
from tinyseal.cli import app
from tinyseal.device.client import Client, open_port
from tinyseal.device.flasher import flash
from tinyseal.device.hil import Job, run_jobs
from tinyseal.device.rigs import BENCH, Rig, load_bench
from tinyseal.errors import BoardError, DeviceError, UsageError
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import start

AD = Path("models/ad_int8.tflite")
VWW = Path("models/vww_int8.tflite")
KWS = Path("models/kws_int8.tflite")
SMALL = Path("tests/corpus/chain.tflite")
TESTS = {
    "test_boots",
    "test_identifies_itself",
    "test_infers_the_reference_bytes",
    "test_survives_garbage",
    "test_reports_time",
    "test_reset_restarts_it",
    "test_an_update_is_tried_proven_and_kept",
    "test_an_update_that_was_cut_goes_on",
    "test_an_update_nobody_keeps_is_gone_with_the_next_start",
}
ABSENT = '[[rig]]\nname = "nucleo_f446"\nboard = "qemu-m4"\nusb_serial = "066DFF49"\n'


def hil(tmp_path, *words):
    """Runs the suite as `scons hil` does; its process, and its JUnit report's test cases."""
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "hil", f"--junitxml={report}", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
        capture_output=True,
        text=True,
        timeout=300,
    )
    cases = list(ET.parse(report).iter("testcase")) if report.is_file() else []
    return done, cases


def test_virtual_board_passes_and_the_report_says_so():
    done = scons("board=qemu-m4", f"model={KWS}", "hil")
    assert done.returncode == 0, done.stdout
    root = ET.parse(ROOT / BUILD / "hil/qemu-m4.xml").getroot()
    (suite,) = root.iter("testsuite")
    assert suite.get("name") == "hil-qemu-m4"
    counts = [suite.get(key) for key in ("tests", "failures", "errors", "skipped")]
    assert counts == ["13", "0", "0", "0"]
    cases = list(root.iter("testcase"))
    assert {c.get("name").partition("[")[0] for c in cases} == TESTS
    assert all("kws_int8" in c.get("name") for c in cases)
    told = [{p.get("name"): p.get("value") for p in c.iter("property")} for c in cases]
    measured = [t for t in told if t]
    assert [t["inferences"] for t in measured] == ["32", "32"]
    assert all(int(t["median_us"]) > 0 for t in measured)


def test_a_board_on_a_port_passes_the_same_tests(tmp_path):
    """The way of real boards, no flasher: a running board is found at `--port`."""
    request = firmware("qemu-m4", AD)
    with (
        start(request) as machine,
        open_port(machine.port, request.board.console.baud),
    ):
        machine.go()
        port = f"--port={machine.port}"
        done, cases = hil(tmp_path, f"--model={AD}", port, "-k", "not cut and not nobody")
        assert done.returncode == 0, done.stdout
        assert len(cases) == 9 and not any(list(c.iter("failure")) for c in cases)
        (skipped,) = (s for c in cases for s in c.iter("skipped"))
        assert skipped.get("message") == "BLE of a real board: say its name, --ble NAME"
        with Client(open_port(machine.port, request.board.console.baud)) as client:
            client.sync()
            assert client.info().board == "qemu-m4"


def test_a_board_with_the_wrong_firmware_is_an_error_that_says_so(tmp_path):
    request = firmware("qemu-m4", SMALL)
    with (
        start(request) as machine,
        open_port(machine.port, request.board.console.baud),
    ):
        machine.go()
        done, cases = hil(tmp_path, f"--model={AD}", f"--port={machine.port}", "-k", "boots")
    assert done.returncode == 1
    (error,) = cases[0].iter("error")
    assert "runs chain on qemu-m4" in error.text and "no [flasher]" in error.text


def test_failing_board_fails(tmp_path):
    """Firmware of another model than the one it should be: not one test passes."""
    model = tmp_path / "impostor.tflite"
    model.write_bytes((ROOT / SMALL).read_bytes())
    wanted = ROOT / Request(load_board("qemu-m4"), model).merged
    wanted.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / firmware("qemu-m4", AD).merged, wanted)
    done, cases = hil(tmp_path, f"--model={model}", "-k", "identifies or structured")
    assert done.returncode == 1
    assert len(cases) == 2 and all(list(c.iter("failure")) for c in cases)


def test_absent_rig_is_a_skip_that_says_so(tmp_path):
    bench = tmp_path / "bench.toml"
    bench.write_text(ABSENT)
    done, cases = hil(tmp_path, f"--bench={bench}", "--rig=nucleo_f446")
    assert done.returncode == 0, done.stdout
    assert len(cases) == 13
    for case in cases:
        (skipped,) = case.iter("skipped")
        assert skipped.get("message") == "nucleo_f446 absent: no USB serial 066DFF49"


def test_list_shows_what_is_present(tmp_path):
    bench = tmp_path / "bench.toml"
    bench.write_text(ABSENT)
    done = CliRunner().invoke(app, ["hil", "list", "--json", "--bench", str(bench)])
    assert done.exit_code == 0
    places = {p["name"]: p for p in json.loads(done.stdout)}
    assert not places["nucleo_f446"]["present"]
    assert places["nucleo_f446"]["where"] == "no USB serial 066DFF49"
    assert places["qemu-m4"] == {
        "name": "qemu-m4",
        "board": "qemu-m4",
        "kind": "virtual",
        "present": True,
        "where": "qemu-system-arm",
    }
    assert "nucleo_f446" in CliRunner().invoke(app, ["hil", "list", "--bench", str(bench)]).stdout


def test_rig_is_found_by_its_usb_serial_number():
    def port(device, number):
        made = ListPortInfo(device)
        made.serial_number = number
        return made

    ports = [port("/dev/ttyACM2", "B"), port("/dev/ttyACM1", "A"), port("/dev/ttyACM0", "B")]
    rig = Rig(name="r", board="qemu-m4", usb_serial="B")
    assert rig.port(ports) == "/dev/ttyACM0"
    assert rig.model_copy(update={"usb_port": 1}).port(ports) == "/dev/ttyACM2"
    assert rig.model_copy(update={"usb_port": 2}).port(ports) is None
    assert rig.model_copy(update={"usb_serial": "C"}).port(ports) is None


def test_hil_run_tests_a_board_in_a_folder_of_its_own():
    words = ["hil", "run", "--model", str(SMALL), "--json", "host"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["boards"]
    assert (told["name"], told["passes"], told["failed"], told["passed"]) == ("host", True, 0, 13)
    assert "hil/host/" in told["report"]
    (suite,) = ET.parse(ROOT / told["report"]).iter("testsuite")
    assert suite.get("name") == "hil-host"


def test_a_board_that_cannot_be_built_says_why_and_fails():
    (outcome,) = run_jobs([Job("qemu-m0", "qemu-m0")], 1, [f"model={VWW}"])
    assert not outcome.is_good and outcome.passed == 0
    assert "qemu-m0" in outcome.error and "log.txt" in outcome.error


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], "hil/bench.toml has no rigs"), (["nonesuch"], "no rig or virtual board 'nonesuch'")],
)
def test_unknown_boards_are_answered_in_one_line(words, expected):
    done = CliRunner().invoke(app, ["hil", "run", *words])
    assert isinstance(done.exception, UsageError) and expected in str(done.exception)


def test_the_projects_bench_is_sound():
    load_bench(BENCH)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            ABSENT.replace("usb_serial", "serial"),
            "rig[0].serial: unknown key; did you mean usb_ser",
        ),
        (
            ABSENT.replace('usb_serial = "066DFF49"', ""),
            "rig[0]: expected one of usb_serial and labgrid",
        ),
        (ABSENT.replace('"066DFF49"', "66"), "rig[0].usb_serial: expected some text, is 66"),
        (ABSENT.replace("[[rig]]", "[[rigs]]"), "rigs: unknown key; did you mean rig?"),
        (ABSENT.replace("nucleo_f446", "F 446"), "rig[0].name: expected lower-case letters"),
        (ABSENT.replace("qemu-m4", "nucleo"), 'rig[0].board: no board "nucleo"; boards: '),
        (ABSENT + 'labgrid = "desk"', "rig[0]: expected one of usb_serial and labgrid"),
        (ABSENT + "usb_port = -1", "rig[0].usb_port: expected a whole number, 0 or more, is -1"),
        (ABSENT + ABSENT, "rig: expected different names, has nucleo_f446 2 times"),
        (ABSENT + ABSENT.replace("nucleo_f", "f"), "one rig at usb_serial 066DFF49, usb_port 0"),
        ("rig = 3", "rig: expected [[rig]] with name, board, usb_serial, usb_port, labgrid, is 3"),
        ("[[rig]", "is not TOML"),
    ],
)
def test_malformed_bench_says_where_and_what(tmp_path, text, expected):
    bench = tmp_path / "bench.toml"
    bench.write_text(text)
    with pytest.raises(BoardError) as error:
        load_bench(bench)
    assert str(error.value).startswith(f"{bench}: ")
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rig=nonesuch"], "no rig 'nonesuch'; rigs: "),
        (["rig=a", "port=/dev/null"], "port= and rig= both say where the board is"),
    ],
)
def test_wrong_words_are_answered_in_one_line(words, expected):
    done = scons("-s", f"model={SMALL}", *words, "hil")
    assert done.returncode == 2
    assert f"error: {expected}" in done.stdout


def board_with_flasher(**changes):
    board = firmware("qemu-m4", SMALL).board
    flasher = {"binary": "cp", "package": "coreutils", "args": ("{hex}", "{port}"), **changes}
    return board.model_validate({**board.model_dump(), "flasher": flasher})


def test_flasher_gets_the_files_it_asks_for(tmp_path):
    image = ROOT / firmware("qemu-m4", SMALL).merged
    flash(board_with_flasher(), image, str(tmp_path / "flashed"))
    assert (tmp_path / "flashed").read_bytes() == image.read_bytes()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"binary": "flash-o-matic", "package": "flashers"}, "flash-o-matic is missing; it comes"),
        ({"args": ("{hex}", "/nonesuch/file")}, "qemu-m4: cp failed with code 1: cp: "),
    ],
)
def test_flasher_that_fails_says_why(changes, expected):
    image = ROOT / firmware("qemu-m4", SMALL).merged
    with pytest.raises(DeviceError) as error:
        flash(board_with_flasher(**changes), image, "/dev/null")
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_board_without_flasher_says_what_to_do():
    request = firmware("qemu-m4", SMALL)
    with pytest.raises(DeviceError, match="qemu-m4: is a virtual board, with nothing to flash"):
        flash(request.board, ROOT / request.merged, "/dev/null")
    real = request.board.model_copy(update={"runner": None})
    with pytest.raises(DeviceError, match=r"no \[flasher\]; flash .*firmware.hex by hand"):
        flash(real, ROOT / request.merged, "/dev/null")
