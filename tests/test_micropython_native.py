"""Native `.mpy` files: that for x64 is run by MicroPython, the others are linked."""

import numpy as np
import pytest
from typer.testing import CliRunner

from support.judge import sample_inputs
from support.micropython import Unix, literals, modules_folder
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter

MODEL = ROOT / "models" / "kws_int8.tflite"
NUMBERS = {"armv6m": 4, "armv7m": 5, "armv7emsp": 7, "armv7emdp": 8, "rv32imc": 11}


BOARDS = {"x64": "host", "armv6m": "qemu-m0", "armv7m": "qemu-m3", "rv32imc": "qemu-rv32"} | {
    "armv7emsp": "qemu-m4", "armv7emdp": "qemu-m7", "xtensa": "qemu-xtensa",
}  # fmt: skip


def export(out, arch):
    words = ["export", "micropython", str(out), "--board", BOARDS.get(arch, "qemu-m3")]
    words += ["--model", str(MODEL)]
    return CliRunner().invoke(app, [*words, "--mpy", arch])


def test_native_model_gives_the_references_bytes(tmp_path):
    result = export(tmp_path, "x64")
    assert result.exit_code == 0, result.exception
    assert CliRunner().invoke(app, ["export", "micropython", str(modules_folder())]).exit_code == 0
    graph = load_model(MODEL)
    inputs = sample_inputs(graph, np.random.default_rng(9), 1)
    wanted = [o.tobytes() for o in Interpreter(graph).invoke(inputs)]
    said = Unix(modules_folder()).run(
        "import kws_int8, time\nm = kws_int8.load(time.ticks_us)\n"
        f"print((m.self_test(), m.predict({literals([i.tobytes() for i in inputs])})))",
        cwd=tmp_path / "mpy" / "x64",
    )
    assert eval(said) == (True, wanted[0])


@pytest.mark.parametrize("arch", NUMBERS)
def test_native_model_is_linked_for(arch, tmp_path):
    result = export(tmp_path, arch)
    assert result.exit_code == 0, result.exception
    made = (tmp_path / "mpy" / arch / "kws_int8.mpy").read_bytes()
    assert made[:2] == b"M\x06"
    assert made[2] >> 2 & 0x1F == NUMBERS[arch]


def test_what_the_linker_cannot_do_is_one_line(tmp_path):
    result = export(tmp_path, "xtensa")
    assert str(result.exception).startswith(
        "xtensa: MicroPython's mpy_ld.py cannot link this model"
    )
    assert not any(tmp_path.iterdir())


def test_unknown_arch_lists_the_choices(tmp_path):
    assert "choices: x64, armv6m" in str(export(tmp_path, "armv9").exception)
