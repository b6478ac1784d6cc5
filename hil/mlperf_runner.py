"""Starts MLCommons' MLPerf Tiny runner on any serial port: that of a virtual board, for one.

    python hil/mlperf_runner.py --runner tiny/benchmark/runner --port /dev/pts/5 --mode p ...

The runner looks for its device among the USB serial ports, by vendor and product. A
pseudo-terminal is none, so this adds `--port` to the list it sees, with the identity of
hil/mlperf_devices.yaml. All other arguments are the runner's own; paths among them may be
relative. Its results are in sessions/ of its own folder, as ever.
"""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from pathlib import Path

import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

DEVICES = Path(__file__).resolve().parent / "mlperf_devices.yaml"
VENDOR, PRODUCT = 0x1209, 0x0001  # pid.codes: for tests on one's own bench


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runner", type=Path, required=True, help="folder of its main.py")
    parser.add_argument("--port", required=True, help="serial port of the board")
    parser.add_argument("--dataset_path", type=Path, default=Path("build/mlperf"))
    ours, theirs = parser.parse_known_args()
    if not (ours.runner / "main.py").is_file():
        sys.exit(f"error: {ours.runner}: no main.py; give benchmark/runner of mlcommons/tiny")
    try:
        serial.Serial(ours.port).close()
    except serial.SerialException as e:
        sys.exit(f"error: {e}")
    show(ours.port)
    do_without_libusb()
    arguments = ["--device_list", str(DEVICES), "--dataset_path", str(ours.dataset_path.resolve())]
    os.chdir(ours.runner)
    sys.path.insert(0, os.getcwd())
    sys.argv = ["main.py", *arguments, *theirs]
    runpy.run_path("main.py", run_name="__main__")


def show(port: str) -> None:
    """Lets pyserial's list of ports have the board's."""
    info = ListPortInfo(port)
    info.vid, info.pid = VENDOR, PRODUCT
    info.description = "tinyseal"
    known = list_ports.comports
    list_ports.comports = lambda include_links=False: [
        *(p for p in known(include_links) if p.device != port),
        info,
    ]


def do_without_libusb() -> None:
    """The runner also asks libusb for power meters; without libusb there are none."""
    import usb.core

    try:
        usb.core.find()
    except usb.core.NoBackendError:
        usb.core.find = lambda *_, **__: []


if __name__ == "__main__":
    main()
