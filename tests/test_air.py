"""SMP over BLE: virtual boards as peripherals, spoken to by smpclient's own BLE transport."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from smp.error import MGMT_ERR
from smpclient import SMPClient
from smpclient.requests.os_management import EchoWrite, MCUMgrParametersRead, ResetWrite
from smpclient.transport.bumble import SMPBumbleTransport
from smpclient.transport.serial import SMPSerialTransport

from support.boards import firmware
from support.ota import ota, write_set
from tinyseal.build.firmware import ROOT
from tinyseal.device.client import Client, open_port
from tinyseal.errors import DeviceError
from tinyseal.virtual.air import (
    CHARACTERISTIC,
    MAX_PACKET_BYTES,
    SERVICE,
    STALE_SECONDS,
    Packets,
    on_air,
)
from tinyseal.virtual.boards import start

SMALL = Path("tests/corpus/chain.tflite")
KWS = Path("models/kws_int8.tflite")
BOARDS = ["host", "qemu-m4", "qemu-m33"]
NAME = "tinyseal 1"


@contextmanager
def aired(board, count=1):
    """Running boards that advertise as "tinyseal N"; the air, and the machines."""
    request = firmware(board, SMALL)
    baud = request.board.console.baud
    with ExitStack() as stack:
        machines = [stack.enter_context(start(request)) for _ in range(count)]
        for machine in machines:
            with Client(open_port(machine.port, baud)) as client:
                machine.go()
                client.boot()
        radios = {f"tinyseal {i + 1}": (m.radio, baud) for i, m in enumerate(machines)}
        yield stack.enter_context(on_air(radios)), machines


async def asked(client, request):
    return await client.request(request, 10.0)


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_is_found_by_name_and_answers(board):
    async def talk(hci):
        seen = await SMPBumbleTransport.scan(hci=hci, timeout_s=1.0)
        assert [(s.name, s.has_smp_service) for s in seen] == [(NAME, True)]
        async with SMPClient(SMPBumbleTransport(hci=hci), NAME, 10.0) as client:
            for size in (0, 1, 200, 400):  # an answer of several notifications
                text = os.urandom(size // 2).hex()
                assert (await asked(client, EchoWrite(d=text))).r == text

    with aired(board) as (air, _):
        asyncio.run(talk(air.hci))


def test_largest_packet_and_reset_over_ble():
    async def talk(hci):
        async with SMPClient(SMPBumbleTransport(hci=hci), NAME, 10.0) as client:
            told = await asked(client, MCUMgrParametersRead())
            around = len(EchoWrite(d="x" * 1000).BYTES) - 1000
            largest = EchoWrite(d="x" * (told.buf_size - around))
            assert len(largest.BYTES) == told.buf_size
            assert (await asked(client, largest)).rc == MGMT_ERR.EMSGSIZE  # of its answer
            await asked(client, ResetWrite())
            for _ in range(40):
                try:
                    return await client.request(EchoWrite(d="back"), 0.5)
                except TimeoutError:
                    continue

    with aired("host") as (air, _):
        assert asyncio.run(talk(air.hci)).r == "back"


def test_both_images_are_updated_over_ble(tmp_path):
    release = write_set(firmware("host", SMALL), tmp_path / "release")
    with aired("host") as (air, machines):
        code, told = ota("update", release, "--ble", NAME, "--hci", air.hci)
        assert (code, told["outcome"]) == (0, "updated"), told
        with Client(open_port(machines[0].port, 115200)) as client:
            client.sync()
            images = client.info().images
            assert {i: images[i][1] for i in images} == {"app": "1.1.0+0", "capsule": "1.1.0+0"}
            assert {images[i][3] for i in images} == {"confirmed"}


def test_a_program_that_is_killed_leaves_the_board_in_reach():
    async def talk(hci):
        for _ in range(3):
            transport = SMPBumbleTransport(hci=hci)
            client = SMPClient(transport, NAME)
            await client.connect(10.0)
            assert (await asked(client, EchoWrite(d="x"))).r == "x"
            half = EchoWrite(d="never ends" * 20).BYTES
            await transport.send(half[: len(half) // 2])
            transport._state.transport.sink.close()  # as the kernel does
        async with SMPClient(SMPBumbleTransport(hci=hci), NAME, 10.0) as client:
            return await asked(client, EchoWrite(d="here"))

    with aired("host") as (air, _):
        assert asyncio.run(talk(air.hci)).r == "here"


def test_console_and_radio_share_the_server():
    """Both ask at once; each gets its own answers, if not at the first try."""

    async def stubborn(client, count):
        for number in range(count):
            text = f"{number} {os.urandom(60).hex()}"
            for _ in range(20):
                try:
                    assert (await client.request(EchoWrite(d=text), 0.4)).r == text
                    break
                except TimeoutError:
                    continue
            else:
                pytest.fail(f"no answer to echo {number}")

    async def talk(hci, port):
        async with (
            SMPClient(SMPBumbleTransport(hci=hci), NAME, 10.0) as radio,
            SMPClient(SMPSerialTransport(), port, 10.0) as console,
        ):
            await asyncio.gather(stubborn(radio, 30), stubborn(console, 30))

    with aired("host") as (air, machines):
        asyncio.run(talk(air.hci, machines[0].port))


def test_a_packet_cut_short_on_the_line_ends_with_the_silence():
    with start(firmware("host", SMALL)) as machine, open_port(machine.radio, 115200) as radio:
        machine.go()
        whole = EchoWrite(d="whole").BYTES
        for cut in (1, 7, 8, 9, len(whole) - 1):
            radio.write(whole[:cut])
            time.sleep(1.1)
            radio.write(whole)
            radio.timeout = 5.0
            assert b"whole" in radio.read(len(whole))
        too_long = bytes([2, 0, 0xFF, 0xFF, 0, 0, 1, 0]) + bytes(0xFFFF)
        radio.write(too_long + whole)
        assert b"whole" in radio.read(len(whole))


def test_packets_are_cut_where_their_headers_say():
    time = [10.0]
    packets = Packets(lambda: time[0])
    one, two = EchoWrite(d="one").BYTES, EchoWrite(d="number two").BYTES
    assert packets.push(one + two[:5]) == [one]
    assert packets.push(two[5:] + one) == [two, one]
    assert packets.push(two[:9]) == []
    time[0] += STALE_SECONDS + 0.1
    assert packets.push(one) == [one]
    assert packets.push(b"\x00\x00" + (MAX_PACKET_BYTES).to_bytes(2, "big") + bytes(4)) == []
    assert packets.push(one) == [one]


def test_the_uuids_for_ports_are_those_of_clients():
    text = (ROOT / "firmware/hal/radio.h").read_text()
    for name, uuid in (("SERVICE", SERVICE), ("CHARACTERISTIC", CHARACTERISTIC)):
        block = text.partition(f"#define RADIO_{name} ")[2].partition("}")[0]
        told = bytes(int(b, 16) for b in re.findall(r"0x([0-9a-f]{2})", block))
        assert told[::-1].hex() == uuid.replace("-", "")


def test_a_name_that_no_advertisement_holds_is_refused():
    with pytest.raises(DeviceError, match="1 to 29 bytes"), on_air({"x" * 30: ("/dev/null", 1)}):
        pass
    with pytest.raises(DeviceError, match="/nonesuch"), on_air({"x": ("/nonesuch", 9600)}):
        pass


def test_run_leaves_boards_in_reach_until_it_is_told_to_end():
    firmware("host", KWS)
    command = [sys.executable, "-c", "from tinyseal.cli import main; main()", "run"]
    tool = subprocess.Popen(
        [*command, "--board", "host", "--count", "2", "--ble", "kitchen", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
    )
    text = ""
    while not text.endswith("\n}\n"):
        line = tool.stdout.readline()
        assert line, text
        text += line
    told = json.loads(text)
    assert [(b["name"], b["ble"]) for b in told["boards"]] == [
        ("host-1", "kitchen-1"),
        ("host-2", "kitchen-2"),
    ]

    async def talk(transport, where):
        async with SMPClient(transport, where, 10.0) as client:
            return (await asked(client, EchoWrite(d="x"))).r

    for board in told["boards"]:
        assert asyncio.run(talk(SMPSerialTransport(), board["port"])) == "x"
        assert asyncio.run(talk(SMPBumbleTransport(hci=told["hci"]), board["ble"])) == "x"
    tool.send_signal(signal.SIGINT)
    assert tool.wait(10) == 0
    for board in told["boards"]:
        assert not Path(f"/proc/{board['pid']}").exists()
