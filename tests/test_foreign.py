"""Somebody else's firmware, signed and encrypted by stock imgtool with the numbers that
`tinyseal boards` prints, boots on boards of every boot mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.boards import firmware
from support.chain import running
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.package.keys import DEV_ENCRYPT, DEV_SIGN, load_key
from tinyseal.virtual.flash_file import prepare_flash

SOURCE = ROOT / "tests" / "foreign" / "foreign.c"
SMALL = Path("tests/corpus/chain.tflite")


def run(*words):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def tinyseal(*words):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


def compiled(facts, image, version, folder):
    """The payload, linked for the image's address."""
    ram = next(m for m in facts["memory"] if m["kind"] == "ram")
    tools, start = facts["toolchain"], image["payload_address"]
    elf, binary = folder / f"{version}.elf", folder / f"{version}.bin"
    defines = {
        "UART_BASE": f"{facts['firmware']['uart_base']:#x}u",
        "STACK_TOP": f"{ram['base'] + ram['bytes']:#x}u",
        "VERSION": f'"{version}"',
    }
    run(
        f"{tools['prefix']}gcc", *tools["cflags"], "-Os", "-Wall", "-Werror", "-ffreestanding",
        *(f"-D{name}={value}" for name, value in defines.items()), "-nostdlib",
        f"-Wl,--section-start=.vectors={start:#x}", f"-Wl,-Ttext={start + 0x100:#x}",
        "-Wl,-e,reset", SOURCE, "-o", elf,
    )  # fmt: skip
    run(f"{tools['prefix']}objcopy", "-O", "binary", elf, binary)
    return binary


def imgtool(image, version, binary, *more):
    signed = binary.with_suffix(".img")
    run(
        sys.executable, "-m", "imgtool.main", "sign", "--key", DEV_SIGN, "--version", version,
        "--security-counter", "1", *image["imgtool"], *more, binary, signed,
    )  # fmt: skip
    return signed


@pytest.mark.parametrize(
    ("name", "mode"), [("qemu-m4", "xip"), ("qemu-m33", "ram"), ("qemu-m7", "swap")]
)
def test_a_stock_imgtool_project_boots_and_is_updated(name, mode, tmp_path):
    request = firmware(name, SMALL)
    facts = json.loads(tinyseal("boards", name, "--json"))
    assert facts["boot"]["mode"] == mode
    slot_a, slot_b = (i for i in facts["images"] if i["image"] == "app")
    old = imgtool(slot_a, "1.0.0", compiled(facts, slot_a, "1.0.0", tmp_path))
    run(sys.executable, "-m", "imgtool.main", "verify", "--key", DEV_SIGN, old)
    more, flash = ["--pad"], tmp_path / "flash.bin"
    if facts["boot"]["encrypted"]:
        public = tmp_path / "public.pem"
        public.write_bytes(load_key(DEV_ENCRYPT).public_pem)
        more += ["--encrypt", public]
        tinyseal("provision", "-b", name, "--flash", flash, "--decrypt-key", DEV_ENCRYPT)
    update = compiled(facts, slot_b, "2.0.0", tmp_path)
    new = imgtool(slot_b, "2.0.0", update, *more)
    assert (update.read_bytes() in new.read_bytes()) is not facts["boot"]["encrypted"]
    prepare_flash(request.board, flash)
    base = next(m["base"] for m in facts["memory"] if m["name"] == facts["flash"]["memory"])
    with flash.open("r+b") as file:
        for slot, image in ((slot_a, old), (slot_b, new)):
            file.seek(slot["slot_address"] - base)
            file.write(image.read_bytes())
    for expected in ("2.0.0", "1.0.0", "1.0.0"):  # nobody confirms it
        with running(request, {}, tmp_path, flash) as board:
            lines = [board.client.line(20.0) for _ in range(10)]
            assert lines[-1] == f"foreign {expected}", lines
