"""Every kernel compiles for every board without a warning, whether a model needs it or not."""

import subprocess
from pathlib import Path

import pytest

from tinyseal.profiles import board_names, load_board

RUNTIME = Path(__file__).resolve().parents[1] / "firmware/runtime"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wmissing-prototypes", "-Werror"]


@pytest.mark.parametrize("name", board_names())
def test_kernels_compile_without_warning(name):
    toolchain = load_board(name).toolchain
    kernels = sorted(RUNTIME.glob("kernels/*.c"))
    assert kernels
    subprocess.run(
        [f"{toolchain.prefix}gcc", *toolchain.cflags, "-std=c11", "-O2", "-fsyntax-only", *WARNINGS,
         f"-I{RUNTIME}", *kernels],
        check=True,
    )  # fmt: skip
