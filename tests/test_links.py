"""A port belongs to one program at a time, and the only board is found without being named."""

import asyncio
import contextlib
import os
import subprocess
import sys

import pytest
from serial.tools.list_ports_common import ListPortInfo

from tinyseal.device.links import Link, LinkError, attached, lock_holder, the_attached
from tinyseal.device.rigs import Bench, Rig
from tinyseal.device.smp import SmpDevice
from tinyseal.errors import DeviceError

HOLD = """
import sys, serial
port = serial.Serial(sys.argv[1], exclusive=True)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def pty():
    """A port with nobody at its other end."""
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    os.close(theirs)
    yield name
    os.close(ours)


def error_of(link, patience=0.5):
    async def ask():
        async with SmpDevice(link, patience) as device:
            await device.echo()

    with pytest.raises(LinkError) as caught:
        asyncio.run(ask())
    assert caught.value.exit_code == 4
    return str(caught.value)


def test_a_port_in_use_is_refused_with_the_name_of_its_holder(pty):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, pty], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        said = error_of(Link(pty))
        assert said.startswith(f"{pty}: in use by python") and f"(process {holder.pid})" in said
    finally:
        holder.communicate("")
    assert lock_holder(pty) is None
    assert "no answer" in error_of(Link(pty))


def test_a_port_that_is_not_there_or_silent_says_so(pty):
    assert error_of(Link("/dev/nonesuch")) == "/dev/nonesuch: No such file or directory"
    assert error_of(Link(pty)) == f"{pty}: echo write: no answer"


def test_a_board_that_takes_nothing_does_not_block_the_others(pty):
    """Its line is full, and nobody reads at the other end."""
    line = os.open(pty, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(line, b"x" * 512)

    async def both():
        beats = 0
        async with SmpDevice(Link(pty), patience=1.0) as device:
            echo = asyncio.create_task(device.echo())
            while not echo.done():
                await asyncio.sleep(0.05)
                beats += 1
            assert isinstance(echo.exception(), LinkError)
        return beats

    assert asyncio.run(both()) > 10
    os.close(line)


def port(device, serial_number=None, vid=0x1209):
    made = ListPortInfo(device)
    made.serial_number, made.vid, made.description = serial_number, vid, f"port {device}"
    return made


def test_the_only_attached_board_is_found():
    rig = Rig(name="desk", board="qemu-m4", usb_serial="A1")
    ports = [port("/dev/ttyS0", vid=None), port("/dev/ttyACM0"), port("/dev/ttyACM1", "A1")]
    found = attached(Bench(rig=(rig,)), ports)
    assert [(p.link.address, p.name, p.board) for p in found] == [
        ("/dev/ttyACM1", "desk", "qemu-m4"),
        ("/dev/ttyACM0", "port /dev/ttyACM0", None),
    ]
    assert the_attached(found).address == "/dev/ttyACM1"  # a rig is surely a board
    assert the_attached(attached(Bench(), ports[:2])).address == "/dev/ttyACM0"
    with pytest.raises(DeviceError, match=r"2 boards may be attached: .*ttyACM0.*ttyACM1"):
        the_attached(attached(Bench(), ports))
    with pytest.raises(DeviceError, match="no board is attached; say where"):
        the_attached(attached(Bench(), ports[:1]))
