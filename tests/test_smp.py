"""Device management over SMP: stock clients against virtual boards."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path

from smp.header import Version
from smpclient import SMPClient
from smpclient.generics import error, success
from smpclient.requests.os_management import (
    BootloaderInformationRead,
    EchoWrite,
    MCUMgrParametersRead,
    ResetWrite,
    TaskStatisticsRead,
)
from smpclient.transport.serial import SMPSerialTransport

from support.boards import firmware
from tinyseal.device.client import Client, open_port
from tinyseal.device.virtual import start

SMALL = Path("tests/corpus/chain.tflite")
ENOTSUP = 8
EMSGSIZE = 7


@contextmanager
def served(name):
    """A running board: the request it was built by, its port."""
    request = firmware(name, SMALL)
    with start(request) as machine:
        with Client(open_port(machine.port, request.board.console.baud)) as client:
            machine.go()
            client.boot()
        yield request, machine.port


def ask(port, *requests):
    """The answers to some requests, by a stock client."""

    async def all_of_them():
        async with SMPClient(SMPSerialTransport(), port) as client:
            return [await client.request(r) for r in requests]

    return asyncio.run(all_of_them())


class EchoOfVersion1(EchoWrite):
    version: Version = Version.V1


def test_a_stock_client_talks_to_the_os_group():
    with served("qemu-m4") as (request, port):
        text = "x" * 700
        echo, old, large, parameters, bootloader, tasks, reset = ask(
            port, EchoWrite(d=text), EchoOfVersion1(d=""), EchoWrite(d="x" * 1500),
            MCUMgrParametersRead(), BootloaderInformationRead(), TaskStatisticsRead(),
            ResetWrite(),
        )  # fmt: skip
        assert echo.r == text
        assert old.r == "" and old.header.version == Version.V1
        assert error(large) and large.rc == EMSGSIZE
        assert parameters.buf_size == request.board.services.smp_buffer_bytes
        assert bootloader.bootloader == "MCUboot"
        assert error(tasks) and tasks.rc == ENOTSUP
        assert success(reset)
        with Client(open_port(port, request.board.console.baud)) as client:
            client.boot()
            assert client.info().reset == "requested"
