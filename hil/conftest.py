"""The board under test, virtual or real, behind pytest-embedded's serial service.

A virtual board is a QEMU of its own for every test, stopped until the line is open; a real one is
flashed once for every model and restarted for every test. The tests do not know the difference.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tinyseal.build.firmware import AUTO, DEFAULT_BOARD, DEFAULT_MODEL, ROOT, Request
from tinyseal.device.client import Client, open_port
from tinyseal.device.flasher import flash
from tinyseal.device.labgrid import Borrowed, borrow
from tinyseal.device.links import Link, quiet_libraries
from tinyseal.device.rigs import BENCH, load_bench, serial_ports
from tinyseal.errors import DeviceError, ToolError
from tinyseal.graph.ir import Graph
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import VirtualBoard, start

BOOT_SECONDS: Final = 20.0


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tinyseal")
    group.addoption("--board", default=DEFAULT_BOARD, help="profile of the board")
    group.addoption("--rig", help="a real board by its name in the bench file")
    group.addoption("--bench", type=Path, default=BENCH, help="the bench file")
    group.addoption("--model", type=Path, action="append", help="a model; may be repeated")
    group.addoption("--ble", help="name that a real board advertises, for tests over BLE")
    group.addoption("--kernels", default=AUTO, help="kernel set of the firmware")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "firmware" not in metafunc.fixturenames:
        return
    option = metafunc.config.getoption
    try:
        board = load_board(option("--board"))
    except ToolError as e:
        raise pytest.UsageError(str(e)) from e
    requests = [
        Request(board, m, option("--kernels")) for m in option("--model") or [DEFAULT_MODEL]
    ]
    metafunc.parametrize(
        "firmware", requests, ids=[r.model.stem for r in requests], scope="session"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[Any]:
    """What we expect to go wrong is told in its own words, without our source code."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, ToolError):
        report.longrepr = f"{item.name}: {call.excinfo.value}"
    return report


class Station:
    """A board whose line is open, not yet started: `start()` it and listen with `dut`, or take a
    `started_client()`."""

    def __init__(self, dut: Any, machine: VirtualBoard | None) -> None:
        self.dut = dut
        self.started = False
        self._machine = machine

    def start(self) -> None:
        """Lets it boot while `dut` reads the line: none of its words is lost."""
        if self._machine is None:
            with self.client() as client:
                client.sync(BOOT_SECONDS)
            self.dut.write("reset")
        else:
            self._machine.go()
        self.started = True

    @contextmanager
    def started_client(self) -> Iterator[Client]:
        """The line for ourselves, of a board that has just booted. The line first: what the board
        says while pytest-embedded still reads does not come to the client."""
        with self.client() as client:
            if self._machine is None:
                client.sync(BOOT_SECONDS)
                client.reset()
            else:
                self._machine.go()
                client.boot(BOOT_SECONDS)
            self.started = True
            yield client

    @contextmanager
    def client(self) -> Iterator[Client]:
        """The line for ourselves: pytest-embedded looks at it 20 times a second, too slowly for
        thousands of commands."""
        with self.dut.serial.disable_redirect_thread():
            yield Client(self.dut.serial.proc)

    @contextmanager
    def links(self, kind: str, baud: int, ble: str | None) -> Iterator[Link]:
        """A way for SMP to the board, which has just booted: "serial" or "ble"."""
        with self.started_client():
            pass
        if kind == "serial":
            with self.dut.serial.disable_redirect_thread():
                yield Link(self.dut.serial.port, baud)
        elif self._machine is None:
            if ble is None:
                pytest.skip("BLE of a real board: say its name, --ble NAME")
            yield Link(ble, is_ble=True)
        else:
            if self._machine.radio is None:
                pytest.skip("this board has no radio")
            from tinyseal.virtual.air import on_air

            with on_air({"tinyseal": (self._machine.radio, baud)}) as air:
                yield Link("tinyseal", is_ble=True, hci=air.hci)


@pytest.fixture(scope="session")
def real_place(pytestconfig: pytest.Config) -> Iterator[Borrowed | None]:
    """Where a real board is; None for a virtual one."""
    if pytestconfig.getoption("port"):
        port = str(pytestconfig.getoption("port"))
        yield Borrowed(port, port)
        return
    name = pytestconfig.getoption("--rig")
    if name is None:
        yield None
        return
    rig = load_bench(pytestconfig.getoption("--bench")).named(name)
    if rig.board != pytestconfig.getoption("--board"):
        raise DeviceError(f"{name}: is a {rig.board}: board={rig.board} rig={name}")
    if rig.labgrid:
        with borrow(rig.labgrid, load_board(rig.board).console.baud) as place:
            yield place
        return
    found = rig.port(serial_ports())
    if found is None:
        pytest.skip(rig.absence)
    yield Borrowed(found, found)


@pytest.fixture(scope="session")
def real_port(real_place: Borrowed | None) -> str | None:
    """The serial port of a real board; None for a virtual one."""
    return real_place.port if real_place else None


@pytest.fixture(scope="session")
def installed(firmware: Request, graph: Graph, real_place: Borrowed | None) -> Request:
    """The firmware, on the board if that is a real one."""
    board = firmware.board
    if real_place is None:
        return firmware
    real_port = real_place.port
    if board.flasher is not None:
        flash(board, ROOT / firmware.merged, real_place.url)
        return firmware
    with Client(open_port(real_port, board.console.baud)) as client:
        client.sync(BOOT_SECONDS)
        info = client.info()
    if (info.board, info.model_id) != (board.name, graph.model_id):
        raise DeviceError(
            f"{real_port}: runs {info.model} on {info.board}, and the profile of {board.name} has "
            f"no [flasher]: flash {firmware.merged} by hand, then test with "
            f"model={firmware.model}"
        )
    return firmware


@pytest.fixture(scope="session")
def graph(firmware: Request) -> Graph:
    return load_model(ROOT / firmware.model)


@pytest.fixture
def machine(installed: Request, real_port: str | None) -> Iterator[VirtualBoard | None]:
    """A virtual board, not yet running."""
    if real_port is not None:
        yield None
        return
    with start(installed) as qemu:
        yield qemu


# What pytest-embedded asks for.
@pytest.fixture
def embedded_services() -> str:
    return "serial"


@pytest.fixture
def port(machine: VirtualBoard | None, real_port: str | None) -> str | None:
    return machine.port if machine else real_port


@pytest.fixture
def baud(firmware: Request) -> int:
    return firmware.board.console.baud


@pytest.fixture
def station(dut: Any, machine: VirtualBoard | None) -> Iterator[Station]:
    """Afterwards the board must start once more, whatever the test did to it."""
    made = Station(dut, machine)
    yield made
    if made.started:
        with made.client() as client:
            client.sync(BOOT_SECONDS)
            client.reset()


@pytest.fixture
def client(station: Station) -> Iterator[Client]:
    """A board that has just started, ready for commands."""
    with station.started_client() as client:
        yield client


@pytest.fixture(params=["serial", "ble"])
def link(
    request: pytest.FixtureRequest, station: Station, baud: int, pytestconfig: pytest.Config
) -> Iterator[Link]:
    """A board that has just started, for SMP."""
    with (
        quiet_libraries(),
        station.links(request.param, baud, pytestconfig.getoption("--ble")) as way,
    ):
        yield way


@pytest.fixture
def reference(graph: Graph) -> Interpreter:
    """The judge of its outputs."""
    return Interpreter(graph)
