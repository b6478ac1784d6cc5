"""ESP32: what is packed is what Espressif's tool accepts, the image's model computes the
reference's bytes where the chip would run it, and the drivers obey a model of the registers."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from intelhex import IntelHex

from support.boards import firmware, scons
from tinyseal.build.firmware import ROOT, Request
from tinyseal.codegen.firmware import image_place
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs

SUPPORT = ROOT / "tests/support/esp"
MODEL = Path("models/ad_int8.tflite")
OBJDUMP = "xtensa-lx106-elf-objdump"


@pytest.fixture(scope="module")
def built() -> Request:
    return firmware("esp32", MODEL)


def esptool(*words: str) -> str:
    command = [sys.executable, "-m", "esptool", "--chip", "esp32", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_esptool_accepts_the_bootloader_and_no_damaged_one(built, tmp_path):
    packed = (ROOT / built.bootloader).with_suffix(".bin")
    said = esptool("image-info", str(packed))
    assert "Chip ID: 0 (ESP32)" in said and "Flash size: 4MB" in said
    assert re.search(r"Checksum: \w+ \(valid\)", said)
    assert re.search(r"Validation hash: \w+ \(valid\)", said)
    damaged = bytearray(packed.read_bytes())
    damaged[1000] ^= 1
    (tmp_path / "damaged.bin").write_bytes(damaged)
    said = esptool("image-info", str(tmp_path / "damaged.bin"))
    assert "(valid)" not in said and "invalid" in said, said


def test_merged_file_has_flash_addresses(built):
    """What the ROM reads at 0x1000, images in their slots, and nothing over counters and keys."""
    merged = IntelHex(str(ROOT / built.merged))
    packed = (ROOT / built.bootloader).with_suffix(".bin").read_bytes()
    places = {p.name: p.offset for p in built.board.partition}
    wanted = {
        places["bootloader"]: packed,
        places["app_a"]: (ROOT / built.signed("app")).read_bytes(),
        places["capsule_a"]: (ROOT / built.signed("capsule")).read_bytes(),
    }
    assert {start for start, _ in merged.segments()} == set(wanted)
    for start, end in merged.segments():
        assert bytes(merged.tobinarray(start=start, end=end - 1)) == wanted[start]


def test_nothing_in_ram_calls_into_flash(built):
    """The flash does not answer while that code runs."""
    elf = str(ROOT / built.image("app"))
    done = subprocess.run(
        [OBJDUMP, "-d", "--section=.ramfunc", elf], capture_output=True, text=True, check=True
    )
    calls = re.findall(r"\tcall0\t(\w+)", done.stdout)
    assert calls and all(0x40080000 <= int(target, 16) < 0x400A0000 for target in calls)
    within = done.stdout[done.stdout.index("<exchange>:") :]
    assert "callx" not in within and "\tjx" not in within


def test_image_computes_the_references_bytes(built, tmp_path):
    """The merged image itself, at the addresses the chip runs it from. QEMU's LX106 has no memory
    there; a DC233C has the same instructions, and an MMU."""
    place = image_place(built.board, "capsule", 0)
    regions = [m.base for m in built.board.memory if m.arena_bytes]
    compiled = tmp_path / "compute.elf"
    subprocess.run(
        [
            "xtensa-lx106-elf-gcc", *built.board.toolchain.cflags, "-O1", "-nostdlib", "-static",
            "-Wl,-Ttext=0x10000", "-Wl,-estart", "-w",
            f"-DCAPSULE=0x{place.base:x}u", f"-DINPUTS=0x{INPUTS:x}u",
            *(f"-DREGION_{i}=0x{base:x}u" for i, base in enumerate(regions)),
            f"-I{ROOT / 'firmware/runtime'}", str(SUPPORT / "compute.c"), "-o", str(compiled),
        ],
        check=True,
    )  # fmt: skip
    flash = bytearray(b"\xff" * 0x400000)
    merged = IntelHex(str(ROOT / built.merged))
    for start, end in merged.segments():
        flash[start:end] = bytes(merged.tobinarray(start=start, end=end - 1))
    (tmp_path / "flash.bin").write_bytes(flash)
    graph = load_model(ROOT / built.model)
    for name, inputs in sample_inputs(graph):
        (tmp_path / "inputs.bin").write_bytes(as_bytes(inputs))
        assert compute(built, tmp_path) == as_bytes(Interpreter(graph).invoke(inputs)), name


INPUTS = 0x100000


def as_bytes(tensors: Sequence[np.ndarray]) -> bytes:
    return b"".join(np.ascontiguousarray(t).tobytes() for t in tensors)


def compute(built: Request, folder: Path) -> bytes:
    memory, fetch = built.board.flash_memory.base, built.board.flash.fetch_base
    loaded = (("flash", memory - 0x20000000), ("flash", fetch - 0x20000000), ("inputs", INPUTS))
    done = subprocess.run(
        [
            "qemu-system-xtensa", "-M", "lx60", "-cpu", "dc233c", "-m", "1G", "-nographic",
            "-monitor", "none", "-serial", "none", "-semihosting",
            "-kernel", str(folder / "compute.elf"),
            *(
                word
                for name, address in loaded
                for word in (
                    "-device",
                    f"loader,file={folder / name}.bin,addr=0x{address:x},force-raw=on",
                )
            ),
        ],
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


def obeys_the_model(built: Request, folder: Path, source: Path) -> subprocess.CompletedProcess[str]:
    """Compiles a driver for this machine, and lets it run on the model of the registers."""
    hal = ROOT / "firmware/hal"
    program = folder / "driver"
    subprocess.run(
        [
            "gcc", "-std=gnu11", "-O1", "-w", "-no-pie", f"-I{SUPPORT}", f"-I{hal}",
            f"-I{hal / 'esp32'}", f"-I{ROOT / built.board_folder}", str(SUPPORT / "model.c"),
            str(source), str(hal / "flash_check.c"), str(hal / "flash_mapped.c"),
            str(hal / "noinit.c"), "-o", str(program),
        ],
        check=True,
    )  # fmt: skip
    return subprocess.run([program], capture_output=True, text=True, timeout=60)


DRIVER = ROOT / "firmware/hal/espressif/espressif.c"


def test_driver_obeys_the_registers(built, tmp_path):
    done = obeys_the_model(built, tmp_path, DRIVER)
    assert (done.returncode, done.stdout) == (0, "good\n"), (done.returncode, done.stdout)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("    exchange(0, NOR_WRITE_ENABLE, 0, 8);\n", ""),
        ("    esp_chip_cache_off();\n    exchange", "    exchange"),
        ("    wait_until_done();\n    esp_chip_cache_on", "    esp_chip_cache_on"),
        ("UART_FIFO_BYTES - 2", "UART_FIFO_BYTES + 2"),
        ("WDT_KEY 0x50d83aa1u", "WDT_KEY 0x50d83aa2u"),
        ("SPI_COMMAND_8_BITS (7u << 28)", "SPI_COMMAND_8_BITS (8u << 28)"),
        ("in_page < SPI_BUFFER_BYTES", "1"),
    ],
)
def test_model_notices(built, tmp_path, right, wrong):
    """The driver with one thing wrong."""
    text = DRIVER.read_text()
    assert text.count(right) == 1
    (tmp_path / "espressif.c").write_text(text.replace(right, wrong))
    done = obeys_the_model(built, tmp_path, tmp_path / "espressif.c")
    assert done.returncode != 0


def test_run_says_that_nothing_emulates_it():
    done = scons("board=esp32", f"model={MODEL}", "run")
    assert done.returncode != 0
    assert "esp32: has no [runner]" in done.stdout
