"""What every board must do, virtual or real, with every model that fits it."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import pytest

from tinyseal import __version__
from tinyseal.graph.samples import random_inputs, structured_inputs

MICROSECONDS: Final = 1e6
CLOCK_TOLERANCE: Final = 0.02  # of a crystal or an RC oscillator, and of the host's scheduler
SETS: Final = {"random": random_inputs, "structured": structured_inputs}


def test_boots(station, firmware):
    station.start()
    banner = station.dut.expect(
        rb"tinyseal (\S+) (\S+) (\S+) (power-on|requested|fault)\r\n", timeout=20
    )
    assert [word.decode() for word in banner.groups()[:3]] == [
        __version__,
        firmware.board.name,
        firmware.model.stem,
    ]
    assert banner[4] != b"fault"
    station.dut.expect(rb"m-timestamp-mode-performance\r\nm-lap-us-\d+\r\n", timeout=5)
    station.dut.expect_exact(b"m-init-done\r\nm-ready\r\n", timeout=5)


def test_identifies_itself(client, firmware, graph):
    info = client.info()
    assert (info.board, info.firmware) == (firmware.board.name, __version__)
    assert (info.model, info.model_id) == (graph.name, graph.model_id)
    assert info.kernels == firmware.kernels
    assert info.clock_hz == firmware.board.clock.hz
    assert bool(info.id) == firmware.board.capabilities.unique_id
    planned = firmware.plan()
    assert info.arena[: len(planned.arena_bytes)] == tuple(planned.arena_bytes)
    assert client.layers() == [step.label for step in planned.steps]
    assert tuple(client.labels()) == tuple(graph.labels)
    for told, numbers in ((info.inputs, graph.inputs), (info.outputs, graph.outputs)):
        expected = [graph.tensor(i) for i in numbers]
        assert [(t.dtype, t.shape) for t in told] == [(t.dtype.value, t.shape) for t in expected]
    name = client.mlperf("name")
    assert name == [f"m-name-dut-[tinyseal {info.board}]"]


@pytest.mark.parametrize("kind", SETS)
def test_infers_the_reference_bytes(client, graph, reference, kind, record_property):
    info = client.info()
    client.clear()
    reference.reset()
    wrong, ticks = {}, []
    for name, inputs in SETS[kind](graph):
        outputs, spent = client.run(info, inputs)
        ticks.append(spent)
        pairs = zip(outputs, reference.invoke(inputs), strict=True)
        differing = sum(
            int(np.count_nonzero(bytes_of(got) != bytes_of(expected))) for got, expected in pairs
        )
        if differing:
            wrong[name] = differing
    record_property("inferences", len(ticks))
    record_property("median_us", round(float(np.median(ticks)) / info.clock_hz * MICROSECONDS))
    assert not wrong, f"output bytes that differ from the reference, by input: {wrong}"
    assert client.info().stack_used < info.stack


def bytes_of(value):
    return np.ascontiguousarray(value).view(np.uint8).ravel()


def test_survives_garbage(client, graph, reference):
    rng = np.random.default_rng(8)
    noise = rng.integers(0, 256, 3000, dtype=np.uint8).tobytes()
    garbage = {
        "random bytes": noise,
        "random bytes that end lines": noise.replace(b"\x00", b"\n").replace(b"\xff", b"%"),
        "overlong line": b"x" * 5000 + b"\n",
        "overlong MLPerf command": b"db " + b"00" * 2500 + b"%",
        "half a command": b"load 0 0 AAAA",
        "commands in one breath": b"info\nlayers\ninfo\nbogus\nhelp\n",
        "cut MLPerf commands": b"name%profi%db load%db 0%infer%infer 0%resul",
        "a line of both protocols": b"name% echo\ntimestamp\n%",
        "NULs": bytes(600) + b"\n" + bytes(300) + b"%",
        "blanks and returns": b" \r\r \t" * 200 + b"\n",
    }
    for kind, data in garbage.items():
        client.raw(data)
        try:
            client.sync(20.0)
            assert client.info().model_id == graph.model_id
        except Exception as e:
            pytest.fail(f"after {kind}: {e}", pytrace=False)
    # It neither restarted meanwhile nor forgot how to compute.
    assert not [line for line in client.log if line.startswith("fault")]
    assert client.info().reset != "fault"
    client.clear()
    reference.reset()
    name, inputs = next(iter(random_inputs(graph)))
    for got, expected in zip(
        client.run(client.info(), inputs)[0], reference.invoke(inputs), strict=True
    ):
        np.testing.assert_array_equal(got, expected, err_msg=name)


def test_reports_time(client, graph):
    """The device's clock goes as fast as ours, and inferences take a part of what passes."""
    info = client.info()
    _, inputs = next(iter(random_inputs(graph)))
    for index, value in enumerate(inputs):
        client.load(index, value.tobytes())
    sent = time.monotonic()
    start = timestamp(client)
    received = time.monotonic()
    ticks = client.infer()
    time.sleep(0.5)
    late_sent = time.monotonic()
    passed = (timestamp(client) - start) % 2**32 / MICROSECONDS
    late_received = time.monotonic()
    assert 0 < ticks / info.clock_hz < passed
    assert passed < (late_received - sent) * (1 + CLOCK_TOLERANCE)
    assert passed > (late_sent - received) * (1 - CLOCK_TOLERANCE)


def timestamp(client):
    (line,) = client.mlperf("timestamp")
    return int(line.removeprefix("m-lap-us-"))


def test_reset_restarts_it(client, graph):
    client.log.clear()
    client.reset()
    info = client.info()
    assert (info.reset, info.model_id) == ("requested", graph.model_id)
    assert any(line.startswith("tinyseal ") and line.endswith(" requested") for line in client.log)
