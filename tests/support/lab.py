"""A lab of one machine: a serial port served by RFC 2217, labgrid's coordinator and exporter."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import serial
from serial import rfc2217

from tinyseal.device import labgrid


class _Pty(serial.Serial):
    """A pseudo-terminal has no modem lines."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass


class SerialServer:
    """Serves a port to one client after the other, with pyserial's own side of the protocol."""

    def __init__(self, port: str, baud: int) -> None:
        self._line = _Pty(port, baud, timeout=0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.number: int = self._listener.getsockname()[1]
        self.clients = 0
        self._stop = False
        self._drop = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def drop(self) -> None:
        """Ends the connection there is."""
        self._drop = True

    def _serve(self) -> None:
        while not self._stop:
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            client, _ = self._listener.accept()
            self.clients += 1
            with client, contextlib.suppress(OSError):
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        class Out:
            write = staticmethod(client.sendall)

        manager: Any = rfc2217.PortManager(self._line, Out())
        while not self._stop:
            if self._drop:
                self._drop = False
                return
            ready = select.select([client, self._line], [], [], 0.1)[0]
            if client in ready:
                data = client.recv(1024)
                if not data:
                    return
                self._line.write(b"".join(manager.filter(data)))
            if self._line in ready:
                client.sendall(b"".join(manager.escape(self._line.read(1024))))

    def __enter__(self) -> SerialServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop = True
        self._thread.join()
        self._listener.close()
        self._line.close()


@contextlib.contextmanager
def lab(folder: Path, place: str, port: int) -> Iterator[Callable[..., str]]:
    """A coordinator that knows `place`, with a serial port on TCP `port`; yields labgrid-client."""
    labgrid._require_labgrid()
    programs = labgrid.VENV / "bin"
    with socket.create_server(("127.0.0.1", 0)) as free:
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"LG_COORDINATOR": coordinator}
    (folder / "resources.yaml").write_text(
        f"rack:\n  NetworkSerialPort:\n    host: 127.0.0.1\n    port: {port}\n"
        "    speed: 115200\n    protocol: rfc2217\n"
    )

    def client(*words: str) -> str:
        return subprocess.run(
            [programs / "labgrid-client", *words],
            env=environment, capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip

    commands = (
        ["labgrid-coordinator", "-l", coordinator],
        ["labgrid-exporter", "-c", coordinator, "-n", "bench", "--hostname", "localhost",
         "resources.yaml"],
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        for name, *words in commands:
            process = subprocess.Popen(
                [programs / name, *words], cwd=folder, env=environment,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(process.wait)
            stack.callback(process.kill)
            deadline = time.monotonic() + 30
            ready = "resources" if name == "labgrid-exporter" else "places"
            while time.monotonic() < deadline:
                done = subprocess.run([programs / "labgrid-client", ready], env=environment,
                                      capture_output=True, text=True, check=False)  # fmt: skip
                if done.returncode == 0 and (ready == "places" or "bench" in done.stdout):
                    break
            else:
                raise AssertionError(f"{name} does not start: {done.stderr}")
        client("-p", place, "create")
        client("-p", place, "add-match", "bench/rack/*")
        before = os.environ.get("LG_COORDINATOR")
        os.environ["LG_COORDINATOR"] = coordinator
        try:
            yield client
        finally:
            if before is None:
                del os.environ["LG_COORDINATOR"]
            else:
                os.environ["LG_COORDINATOR"] = before
