"""Firmware on virtual boards: it boots, infers with the reference's bytes, and bears any noise."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from support import small_models
from support.boards import VIRTUAL, booted, firmware, scons
from support.tflite_builder import ModelBuilder
from tinyseal.build.firmware import ROOT
from tinyseal.device.client import Client, RefusedError, open_port
from tinyseal.errors import DeviceError
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.virtual.boards import start

AD = Path("models/ad_int8.tflite")
KWS = Path("models/kws_int8.tflite")
SMALL = Path("tests/corpus/chain.tflite")  # fits every board
RUNS = [
    ("qemu-m0", KWS),
    ("qemu-m4", KWS),
    ("qemu-rv32", AD),
    *((b, SMALL) for b in VIRTUAL),
]

# Numbers of firmware/app/status.h.
ECOMMAND, EARGUMENT, ERANGE, ECRC, ELONG, ENOISE, EINPUT, EONCE, EDATA = range(1, 10)


@pytest.fixture(scope="module")
def m4():
    """The default board with the anomaly detection model; tests leave it booted."""
    with booted(firmware("qemu-m4", AD)) as client:
        yield client


@pytest.mark.parametrize(("board", "model"), RUNS, ids=lambda v: getattr(v, "stem", v))
def test_board_gives_the_reference_bytes(board, model):
    graph = load_model(ROOT / model)
    reference = Interpreter(graph)
    with booted(firmware(board, model)) as client:
        info = client.info()
        assert (info.board, info.model_id) == (board, graph.model_id)
        assert info.reset == "power-on"
        assert info.stack_used < info.stack
        for _, inputs in sample_inputs(graph):
            outputs, ticks = client.run(info, inputs)
            assert ticks > 0
            for got, expected in zip(outputs, reference.invoke(inputs), strict=True):
                np.testing.assert_array_equal(got, expected)


def test_state_lives_on_and_clears(tmp_path):
    model = tmp_path / "memory.tflite"
    model.write_bytes(small_models.svdf())
    graph = load_model(model)
    reference = Interpreter(graph)
    rng = np.random.default_rng(5)
    with booted(firmware("qemu-m4", model)) as client:
        info = client.info()
        for run in range(8):
            if run == 5:
                client.clear()
                reference.reset()
            inputs = [rng.integers(-128, 128, (1, 3), dtype=np.int8)]
            np.testing.assert_array_equal(
                client.run(info, inputs)[0][0], reference.invoke(inputs)[0]
            )


def test_inputs_survive_repeated_inference(m4):
    graph = load_model(ROOT / AD)
    info = m4.info()
    x = np.random.default_rng(6).integers(-128, 128, (1, 640), dtype=np.int8)
    m4.load(0, x.tobytes())
    m4.infer(3)
    m4.infer(1)
    got = np.frombuffer(m4.read(0, info.outputs[0].bytes), np.int8).reshape(1, 640)
    np.testing.assert_array_equal(got, Interpreter(graph).invoke([x])[0])


def test_every_layer_is_timed_and_the_output_is_that_of_an_inference(m4):
    graph = load_model(ROOT / AD)
    info = m4.info()
    x = np.random.default_rng(7).integers(-128, 128, (1, 640), dtype=np.int8)
    m4.load(0, x.tobytes())
    ticks = m4.time_layers()
    assert len(ticks) == info.layers == 10 and min(ticks) > 0
    got = np.frombuffer(m4.read(0, info.outputs[0].bytes), np.int8).reshape(1, 640)
    np.testing.assert_array_equal(got, Interpreter(graph).invoke([x])[0])


def test_without_room_an_input_serves_one_inference(tmp_path):
    """A model whose input fills the micro:bit's RAM: loaded in place, used up by inference."""
    b = ModelBuilder()
    x = b.input("x", (1, 60, 100, 2), scale=0.05, zp=-3)
    y = b.tensor("y", (1, 1, 1, 2), scale=0.05, zp=-3)
    axes = b.const("axes", np.array([1, 2], np.int32))
    b.op("MEAN", [x, axes], [y], keep_dims=True)
    b.output(y)
    model = tmp_path / "wide.tflite"
    model.write_bytes(b.build())
    graph = load_model(model)
    request = firmware("qemu-m0", model)
    rng = np.random.default_rng(7)
    with booted(request) as client:
        info = client.info()
        assert info.staging == 0
        for _ in range(2):
            value = rng.integers(-128, 128, (1, 60, 100, 2), dtype=np.int8)
            np.testing.assert_array_equal(
                client.run(info, [value])[0][0], Interpreter(graph).invoke([value])[0]
            )
        with pytest.raises(RefusedError) as used_up:
            client.infer()
        assert used_up.value.code == EINPUT
        client.load(0, value.tobytes())
        with pytest.raises(RefusedError) as twice:
            client.infer(2)
        assert twice.value.code == EONCE
        assert "no room" in client.mlperf("db load 12000")[0]


def _load(data=b"\x01\x02\x03", index=0, offset=0, crc=None):
    crc = zlib.crc32(data) if crc is None else crc
    return f"load {index} {offset} {b64encode(data).decode()} {crc:08x}"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("bogus", ECOMMAND),
        ("infer 0", EARGUMENT),
        ("infer 1 2", EARGUMENT),
        ("time 1", EARGUMENT),
        ("infer 4294967296", EARGUMENT),
        ("info now", EARGUMENT),
        ("load 0 0 AAAA", EARGUMENT),
        ("load 0 0 AAAA 0000000g", EARGUMENT),
        ("load 0 0 AAA 00000000", EDATA),
        ("load 0 0 A=AA 00000000", EDATA),
        ("load 0 0 ==== 00000000", EDATA),
        (_load(crc=1), ECRC),
        (_load(index=1), ERANGE),
        (_load(offset=700), ERANGE),
        (_load(offset=4294967295), ERANGE),
        ("read 0 0 0", ERANGE),
        ("read 0 0 181", ERANGE),
        ("read 0 640 1", ERANGE),
        ("read 0 4294967295 2", ERANGE),
        ("read 1 0 1", ERANGE),
        ("x" * 288, ELONG),
        ("caf\xe9", ENOISE),
    ],
)
def test_bad_command_is_refused_with_its_number(m4, command, code):
    m4.sync()
    m4.raw(command.encode("latin-1") + b"\n")
    assert m4.line(5.0).startswith(f"err {code} ")
    assert m4.info().board == "qemu-m4"


def test_longest_line_is_served(m4):
    m4.sync()
    m4.raw(b"echo " + b"x" * 282 + b"\n")
    assert m4.line(5.0) == "ok " + "x" * 282


@pytest.mark.parametrize("board", ["qemu-m0", "qemu-m4", "qemu-rv32", "qemu-xtensa"])
def test_noise_never_wedges_a_board(board):
    rng = np.random.default_rng(8)
    with booted(firmware(board, SMALL)) as client:
        for size in (1, 287, 288, 289, 5000):
            client.raw(rng.integers(0, 256, size, dtype=np.uint8).tobytes())
            client.raw(rng.choice(list(b"ab \r%\n12=/+"), size).astype(np.uint8).tobytes())
            client.sync(20.0)
        info = client.info()
        assert info.reset == "power-on"
        assert info.stack_used < info.stack


def test_reset_says_why(m4):
    m4.reset()
    assert m4.info().reset == "requested"
    assert any("requested" in line for line in m4.log)


def test_mlperf_commands_answer_as_specified(m4):
    assert m4.mlperf("name") == ["m-name-dut-[tinyseal qemu-m4]"]
    assert m4.mlperf("profile")[1] == "m-model-[ad01]"
    assert m4.mlperf("timestamp")[0].startswith("m-lap-us-")
    assert m4.mlperf("bogus") == ["e-[Unknown command: bogus]"]
    assert m4.mlperf("") == []
    for command in ("db", "db load", "db load 0", "db load 7", "db 0g", "db 000", "infer 0"):
        assert m4.mlperf(command)[-1].startswith("e-["), command


def test_mlperf_scores_an_anomaly(m4):
    """The runner sends float32; the answer is the mean squared error of the reconstruction."""
    graph = load_model(ROOT / AD)
    x_quant, y_quant = (graph.tensor(i).quant for i in (graph.inputs[0], graph.outputs[0]))
    reals = np.random.default_rng(9).normal(0, 10, 640).astype(np.float32)
    scaled = reals / np.float32(x_quant.scale)
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled)).astype(int) + x_quant.zero_point
    x = np.clip(q, -128, 127).astype(np.int8)[None]
    y = Interpreter(graph).invoke([x])[0].astype(float)[0]
    error = np.mean((y_quant.scale * (y - y_quant.zero_point) - reals) ** 2)
    data = reals.tobytes()
    assert m4.mlperf(f"db load {len(data)}") == [f"m-[Expecting {len(data)} bytes]"]
    for i in range(0, len(data), 31):
        answer = m4.mlperf(f"db {data[i : i + 31].hex()}")
    assert answer == ["m-load-done"]
    printed = "".join(line.removeprefix("m-buffer-") for line in m4.mlperf("db print"))
    assert bytes.fromhex(printed.replace("-", "")) == data
    lines = m4.mlperf("infer 2 1")
    assert [line.rstrip("0123456789") for line in lines[:-1]] == [
        "m-warmup-start-", "m-warmup-done", "m-infer-start-", "m-lap-us-", "m-lap-us-",
        "m-infer-done",
    ]  # fmt: skip
    result = float(lines[-1].removeprefix("m-results-[").removesuffix("]"))
    assert result == pytest.approx(error, rel=1e-5, abs=1e-3)
    assert m4.mlperf("results") == lines[-1:]


def test_mlperf_results_are_the_outputs_to_three_places():
    graph = load_model(ROOT / KWS)
    quant = graph.tensor(graph.outputs[0]).quant
    x = np.random.default_rng(10).integers(-128, 128, 490, dtype=np.int8)
    y = Interpreter(graph).invoke([x])[0].astype(np.float32).ravel()
    with booted(firmware("qemu-m4", KWS)) as client:
        client.mlperf("db load 490")
        for i in range(0, 490, 31):
            client.mlperf(f"db {x[i : i + 31].tobytes().hex()}")
        results = client.mlperf("infer 1 0")[-1]
    reals = np.float32(quant.scale) * (y - np.float32(quant.zero_point))
    assert results == f"m-results-[{','.join(f'{v:.3f}' for v in reals)}]"


def test_qemu_ends_with_a_killed_tool():
    request = firmware("qemu-m4", AD)
    script = (
        "import sys, time; from pathlib import Path\n"
        "from tinyseal.profiles import load_board; from tinyseal.virtual.boards import power_up\n"
        "q = power_up(load_board('qemu-m4'), Path(sys.argv[1])); print(q.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    tool = subprocess.Popen(
        [sys.executable, "-c", script, str(ROOT / request.bootloader)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
    )
    pid = int(tool.stdout.readline())
    assert _runs(pid)
    tool.send_signal(signal.SIGKILL)
    tool.wait()
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["board=qemu-m5"], "no board 'qemu-m5'; did you mean qemu-m"),
        (["board=qemu"], "choices: esp32, esp32c3, host, "),
        (["model=models/none.tflite"], "models here: models/ad_int8.tflite"),
        (["kernels=fast"], "choices: auto, reference, cmsis-nn, tuned"),
        (["borad=qemu-m4"], "did you mean board?"),
        (["rnu"], "no target 'rnu'; did you mean run?"),
    ],
)
def test_wrong_words_are_answered_in_one_line(words, expected):
    done = scons("-s", *words)
    assert done.returncode == 2
    assert done.stdout.startswith("error: ") and done.stdout.count("\n") == 1
    assert expected in done.stdout


def test_missing_toolchain_names_its_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = scons("-s", "board=qemu-xtensa")
    assert done.returncode == 2
    assert "apt-get install gcc-xtensa-lx106" in done.stdout and done.stdout.count("\n") == 1


def test_second_build_does_nothing():
    request = firmware("qemu-m4", KWS)
    started = time.monotonic()
    done = scons("board=qemu-m4", f"model={KWS}")
    assert "is up to date" in done.stdout or "Nothing to be done" in done.stdout, done.stdout
    print(f"no-change build: {time.monotonic() - started:.2f} s")
    assert (ROOT / request.merged).is_file()


def test_model_that_does_not_fit_is_refused_with_numbers():
    done = scons("-s", "board=qemu-m0", "model=models/vww_int8.tflite")
    assert done.returncode == 2
    assert "qemu-m0: arena needs" in done.stdout and "12288 B free" in done.stdout


def test_console_answers_scripts():
    request = firmware("qemu-m4", AD)
    done = subprocess.run(
        [sys.executable, "-c", "from tinyseal.cli import main; main()", "console",
         "--board", "qemu-m4", "--image", str(ROOT / request.merged)],
        input="echo hello\nname%\nbogus\n", capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT / "host")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ok hello",
        "m-name-dut-[tinyseal qemu-m4]",
        "m-ready",
        "err 1 unknown command; try: help",
    ]


def test_silent_port_is_an_error_not_a_hang():
    master, slave = os.openpty()
    client = Client(open_port(os.ttyname(slave), 115200), seconds=0.5)
    with client, pytest.raises(DeviceError, match="no answer"):
        client.sync()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize(
    ("board", "illegal"),
    [
        ("qemu-m0", b"\x00\xde"),
        ("qemu-m4", b"\x00\xde"),
        ("qemu-m33", b"\x00\xde"),
        ("qemu-rv32", bytes(4)),
        ("qemu-xtensa", bytes(3)),
        ("host", b"\x0f\x0b"),
    ],
)
def test_fault_is_reported_and_the_board_starts_again(board, illegal):
    """An illegal instruction, put into the model's code."""
    request = firmware(board, SMALL)
    invoke = _symbol(ROOT / request.image("capsule"), "invoke")
    with (
        start(request) as machine,
        Client(open_port(machine.port, request.board.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        for index, tensor in enumerate(client.info().inputs):
            client.load(index, bytes(tensor.bytes))
        machine.write(invoke & ~1, illegal)
        machine.go()
        with pytest.raises(DeviceError, match=f"crashed: fault pc={invoke & ~1:08x}"):
            client.infer()
        client.boot()
        info = client.info()
        assert info.reset == "fault"
        client.reset()
        assert client.info().reset == "requested"


def _symbol(elf: Path, name: str) -> int:
    with elf.open("rb") as f:
        symbols = ELFFile(f).get_section_by_name(".symtab").get_symbol_by_name(name)
    return int(symbols[0]["st_value"])
