"""Native `.mpy` files: those for x64 and Cortex-M without FPU are run, the others are linked."""

import numpy as np
import pytest
from typer.testing import CliRunner

from support.judge import sample_inputs
from support.micropython import Qemu, Unix, literals, modules_folder
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter

MODEL = ROOT / "models" / "kws_int8.tflite"
NUMBERS = {"armv6m": 4, "armv7m": 5, "armv7emsp": 7, "armv7emdp": 8, "xtensa": 9, "rv32imc": 11}

BOARDS = {"x64": "host", "armv6m": "qemu-m0", "armv7m": "qemu-m3", "rv32imc": "qemu-rv32"} | {
    "armv7emsp": "qemu-m4", "armv7emdp": "qemu-m7", "xtensa": "qemu-xtensa",
}  # fmt: skip


def export(out, arch):
    words = ["export", "micropython", str(out), "--board", BOARDS.get(arch, "qemu-m3")]
    words += ["--model", str(MODEL)]
    return CliRunner().invoke(app, [*words, "--mpy", arch])


# A filesystem with one file, which lies in the machine's memory.
IMPORT = """
import io, sys, vfs
class Fs:
    def mount(self, readonly, mkfs):
        pass
    def stat(self, path):
        if path != '/kws_int8.mpy':
            raise OSError(2)
        return (0x8000,) + (0,) * 9
    def open(self, path, mode):
        return io.BytesIO(memory[0:BYTES])
vfs.mount(Fs(), '/models')
sys.path.insert(0, '/models')
"""


@pytest.mark.parametrize(
    ("arch", "port"),
    [("x64", Unix), ("armv7m", Qemu), ("armv6m", Qemu)],
    ids=["x64", "armv7m", "armv6m"],
)
def test_native_model_gives_the_references_bytes(tmp_path, arch, port):
    result = export(tmp_path, arch)
    assert result.exit_code == 0, result.exception
    mpy = (tmp_path / f"mpy/{arch}/kws_int8.mpy").read_bytes()
    (tmp_path / "memory").write_bytes(mpy.ljust(0x1000000, b"\0"))
    assert CliRunner().invoke(app, ["export", "micropython", str(modules_folder())]).exit_code == 0
    graph = load_model(MODEL)
    inputs = sample_inputs(graph, np.random.default_rng(9), 0)
    wanted = [o.tobytes() for o in Interpreter(graph).invoke(inputs)]
    said = port(modules_folder()).run(
        f"BYTES = {len(mpy)}\n{IMPORT}import kws_int8\nm = kws_int8.load(lambda: 5)\n"
        f"print((m.self_test(), m.predict({literals([i.tobytes() for i in inputs])})))",
        memory=tmp_path / "memory",
    )
    assert eval(said) == (True, wanted[0])


@pytest.mark.parametrize("arch", NUMBERS)
def test_native_model_is_linked_for(arch, tmp_path):
    result = export(tmp_path, arch)
    assert result.exit_code == 0, result.exception
    made = (tmp_path / "mpy" / arch / "kws_int8.mpy").read_bytes()
    assert made[:2] == b"M\x06"
    assert made[2] >> 2 & 0x1F == NUMBERS[arch]


def test_a_missing_compiler_is_one_line(tmp_path):
    words = ["export", "micropython", str(tmp_path / "out"), "--board", "esp32"]
    result = CliRunner().invoke(app, [*words, "--mpy", "xtensawin"])
    assert str(result.exception) == (
        "xtensawin: xtensa-esp32-elf-gcc is missing; install ESP-IDF's tools"
    )
    assert not any(tmp_path.iterdir())


def test_unknown_arch_lists_the_choices(tmp_path):
    assert "choices: x64, armv6m" in str(export(tmp_path, "armv9").exception)
