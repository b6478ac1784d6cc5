"""The application's parsers, compiled for this machine with sanitizers, under hostile bytes."""

from __future__ import annotations

import struct
import subprocess
import zlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest

from tinyseal.build.firmware import ROOT, THIRD_PARTY
from tinyseal.build.third_party import monocypher
from tinyseal.codegen.firmware import generate_board_config
from tinyseal.codegen.generate import generate_capsule
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board

MODEL = ROOT / "models/ad_int8.tflite"
FIRMWARE = ROOT / "firmware"
RUNS = 150
FLAGS = ["-std=c11", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WORDS = [
    b"help", b"echo", b"info", b"layers", b"labels", b"load", b"infer", b"time", b"read",
    b"clear", b"name", b"profile", b"timestamp", b"db", b"print", b"results", b"0",
    b"1", b"180", b"640", b"2560", b"4294967295", b"4294967296", b"99999999999", b"-1",
    b"AAAA", b"AA==", b"====", b"00ff", b"0", b"3610a686", b"\n", b"%", b"\r\n", b" ", b"  ", b"\0",
    b"\xff", b"x" * 300,
]  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The program: commands on standard input, answers on standard output."""
    folder = tmp_path_factory.mktemp("app")
    # There is no flash under it, so it has the services of a board without flash for them.
    board = load_board("qemu-m4").model_copy(update={"services": load_board("qemu-m0").services})
    made = plan(load_model(MODEL), board, KernelSet.REFERENCE)
    for name, text in {
        "capsule.c": generate_capsule(made),
        "board_config.h": generate_board_config(made.board),
    }.items():
        (folder / name).write_text(text)
    curve = monocypher(ROOT / THIRD_PARTY)
    functions = (
        *(f for f in FIRMWARE.glob("app/*.c") if f.name != "images.c"),
        *(
            f
            for d in ("nv", "crypto", "boot", "runtime", "services")
            for f in FIRMWARE.glob(f"{d}/*.c")
        ),
        *(FIRMWARE / "sim" / name for name in ("boot_bench.c", "flash_sim.c")),
        curve.source,
        *FIRMWARE.glob("runtime/kernels/nn_fc*.c"),
    )
    layers = ("hal", "nv", "crypto", "boot", "sim", "runtime", "services", "app")
    includes = [folder, curve.include_dir, *(FIRMWARE / layer for layer in layers)]
    program = folder / "app"
    subprocess.run(
        ["gcc", *FLAGS, *(f"-I{i}" for i in includes), str(folder / "capsule.c"),
         *(str(Path(__file__).parent / "support" / n) for n in ("host_hal.c", "host_images.c")),
         *map(str, functions),
         "-o", str(program)],
        check=True,
    )  # fmt: skip
    return program


def _talk(app: Path, data: bytes) -> bytes:
    done = subprocess.run([str(app)], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0, (data[:2000], done.stderr.decode(errors="replace")[:2000])
    return done.stdout


def test_hostile_bytes_never_reach_outside_a_buffer(app):
    rng = np.random.default_rng(1)
    marker = b"\n\necho still here\n"
    for run in range(RUNS):
        if run % 3 == 0:
            data = rng.integers(0, 256, 4000, dtype=np.uint8).tobytes()
        else:
            picks = rng.integers(0, len(WORDS), 600)
            glue = [b" ", b"\n", b"%", b""]
            data = b"".join(WORDS[i] + glue[g] for i, g in zip(picks, picks % 4, strict=True))
        assert _talk(app, data + marker).endswith(b"ok still here\r\n")


def test_both_protocols_infer_on_one_line(app):
    graph = load_model(MODEL)
    x = np.random.default_rng(2).integers(-128, 128, (1, 640), dtype=np.int8)
    commands = []
    for offset in range(0, 640, 180):
        chunk = x.tobytes()[offset : offset + 180]
        text = b64encode(chunk).decode()
        commands.append(f"load 0 {offset} {text} {zlib.crc32(chunk):08x}\n")
    commands += ["infer 2\n", "read 0 0 180\n", "results%"]
    lines = _talk(app, "".join(commands).encode()).decode().splitlines()
    y = Interpreter(graph).invoke([x])[0].ravel()
    expected = y.tobytes()[:180]
    assert f"ok {b64encode(expected).decode()} {zlib.crc32(expected):08x}" in lines
    quant = graph.tensor(graph.outputs[0]).quant
    reals = np.float32(quant.scale) * (y - np.float32(quant.zero_point))
    assert f"m-results-[{','.join(f'{v:.3f}' for v in reals)}]" in lines


def test_floats_print_as_printf_does(tmp_path):
    """out_float3 against %.3f: halves, neighbours of powers of ten, any bits below its limit."""
    source = tmp_path / "floats.c"
    source.write_text(
        '#include "out.h"\n#include <stdio.h>\nint main(void) { float f;\n'
        "while (fread(&f, 4, 1, stdin) == 1) { out_float3(f); out_end(); } fflush(stdout); }\n"
    )
    program = tmp_path / "floats"
    subprocess.run(
        ["gcc", *FLAGS, f"-I{FIRMWARE / 'hal'}", f"-I{FIRMWARE / 'app'}", str(source),
         str(FIRMWARE / "app/out.c"), str(Path(__file__).parent / "support/host_hal.c"),
         "-o", str(program)],
        check=True,
    )  # fmt: skip
    rng = np.random.default_rng(3)
    values = np.concatenate([
        rng.integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32),
        rng.integers(-4000, 4000, 5000) / np.float32(16),
        rng.uniform(-1, 1, 20000) * np.float32(10.0) ** rng.integers(-6, 9, 20000),
        [0.0, -0.0, 0.0005, 0.9995, 1e-45, 2.0**29 - 32],
    ]).astype(np.float32)  # fmt: skip
    values = values[np.isfinite(values) & (np.abs(values) < 2.0**29)]
    lines = _talk(program, values.tobytes()).decode().split("\r\n")[:-1]
    assert lines == [f"{v:.3f}" for v in values]
    extreme = struct.pack("<4f", np.inf, -np.inf, np.nan, 2.0**29)
    limit = "536870912.000"
    assert _talk(program, extreme).decode().replace("-", "").split() == [limit] * 4
