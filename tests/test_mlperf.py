"""A board on a pseudo-terminal, spoken to as MLPerf Tiny's runner does.

What is sent and what is waited for was observed of the runner (mlcommons/tiny, benchmark/runner):
commands end in `%` without a line feed, data comes 31 bytes a command, an answer is over with the
first line that holds `m-ready`, and lines are recognised by the patterns below.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import serial

from support.boards import firmware
from tinyseal import __version__
from tinyseal.build.firmware import ROOT
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter

KWS = Path("models/kws_int8.tflite")
IC = Path("models/ic_int8.tflite")
BYTES_PER_COMMAND = 31
ANSWER_SECONDS = 5.0  # the runner's patience, but for `infer`
INFER_SECONDS = 30.0
START_SECONDS = 120.0
BRACKETS = r"^m-{}-\[([^]]+)\]$"
LAP = r"^m-lap-us-([0-9]+)$"


class Runner:
    """The runner's half of the dialogue."""

    def __init__(self, line):
        self.line = line
        self.line.timeout = 0.1
        self.text = b""

    def send(self, command, seconds=ANSWER_SECONDS):
        """Lines of the answer, the one with `m-ready` last."""
        self.line.write(f"{command}%".encode())
        lines = []
        deadline = time.monotonic() + seconds
        while not (lines and "m-ready" in lines[-1]):
            assert time.monotonic() < deadline, f"no answer to {command}: {lines}"
            self.text += self.line.read(256)
            *whole, self.text = self.text.split(b"\n")
            lines += [line.decode().strip("\r\0") for line in whole if line.strip(b"\r\0")]
        return lines

    def asked(self, command, pattern):
        (found,) = [m[1] for m in map(re.compile(pattern).match, self.send(command)) if m]
        return found

    def load(self, data):
        self.send(f"db load {len(data)}")
        for i in range(0, len(data), BYTES_PER_COMMAND):
            answer = self.send(f"db {data[i : i + BYTES_PER_COMMAND].hex()}")
        return answer

    def infer(self, times, warmups):
        """Microseconds it took, and the results."""
        answer = self.send(f"infer {times} {warmups}", INFER_SECONDS)
        laps = [int(m[1]) for m in map(re.compile(LAP).match, answer) if m]
        (results,) = [m[1] for m in map(re.compile(BRACKETS.format("results")).match, answer) if m]
        start, end = laps
        return end - start, [float(value) for value in results.split(",")]


@contextmanager
def served(model):
    """`scons pty`, and the path it prints."""
    firmware("qemu-m4", model)
    process = subprocess.Popen(
        [sys.executable, "-m", "SCons", "-s", "board=qemu-m4", f"model={model}", "pty"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while "/dev/pts/" not in (line := process.stdout.readline()):
            assert process.poll() is None and time.monotonic() < deadline
        yield line.split()[-1]
    finally:
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C
        process.wait(20)


@pytest.mark.parametrize(
    ("model", "name", "offset", "runs"), [(KWS, "kws01", 0, 2), (IC, "ic01", 128, 1)]
)
def test_runners_dialogue_gives_the_references_results(model, name, offset, runs):
    graph = load_model(ROOT / model)
    reference = Interpreter(graph)
    quant = graph.tensor(graph.outputs[0]).quant
    shape = graph.tensor(graph.inputs[0]).shape
    rng = np.random.default_rng(11)
    with served(model) as port:
        for _ in range(runs):  # the runner is started, ends, is started once more
            with serial.Serial(port, 115200) as line:
                runner = Runner(line)
                assert runner.asked("name", BRACKETS.format("name-dut")) == "tinyseal qemu-m4"
                model_pattern = BRACKETS.format("model")
                assert runner.asked("profile", model_pattern) == name
                profile = runner.asked("profile", BRACKETS.format("profile"))
                assert profile == f"tinyseal {__version__}"
                before = int(runner.asked("timestamp", LAP))
                assert int(runner.asked("timestamp", LAP)) > before
                x = rng.integers(-128, 128, shape, dtype=np.int8)
                sent = (x.astype(np.int16) + offset).astype(np.uint8).tobytes()
                assert runner.load(sent)[0] == "m-load-done"
                microseconds, results = runner.infer(3, 1)
                assert microseconds > 0
                y = reference.invoke([x])[0].astype(np.float32).ravel()
                reals = np.float32(quant.scale) * (y - np.float32(quant.zero_point))
                assert results == [float(f"{v:.3f}") for v in reals]
                told = runner.asked("results", BRACKETS.format("results"))
                assert [float(value) for value in told.split(",")] == results


def test_a_cut_command_does_not_spoil_the_next():
    """The runner stopped in the middle and started again: a lone `%` ends what was left over."""
    with served(KWS) as port, serial.Serial(port, 115200) as line:
        runner = Runner(line)
        runner.send("db load 490")
        runner.send("db 00112233")
        line.write(b"db 4455")
        runner.send("")
        assert runner.asked("name", BRACKETS.format("name-dut")) == "tinyseal qemu-m4"
        assert runner.load(bytes(490))[0] == "m-load-done"
