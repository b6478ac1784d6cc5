"""ESP32-C3: packed for its ROM, and run whole in an emulated chip: boot, inference, update."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.boards import booted, firmware
from tinyseal.build.firmware import ROOT
from tinyseal.device.client import Client, open_port
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.virtual.boards import start
from tinyseal.virtual.chips.esp32c3 import Stopped, load_rom_image

SMALL = Path("tests/corpus/chain.tflite")


@pytest.fixture(scope="module")
def built():
    return firmware("esp32c3", SMALL)


def test_esptool_and_our_rom_accept_the_bootloader_and_no_damaged_one(built, tmp_path):
    packed = (ROOT / built.bootloader).with_suffix(".bin")
    for damage, is_valid in ((0, True), (1, False)):
        data = bytearray(packed.read_bytes())
        data[1000] ^= damage
        (tmp_path / "boot.bin").write_bytes(data)
        command = [sys.executable, "-m", "esptool", "--chip", "esp32c3", "image-info"]
        done = subprocess.run(
            [*command, str(tmp_path / "boot.bin")], capture_output=True, text=True, timeout=60
        )
        valid = re.findall(r"(?:Checksum|Validation hash): \w+ \((\w+)\b", done.stdout)
        assert [v == "valid" for v in valid] == [is_valid] * 2, done.stdout
        if is_valid:
            assert "Chip ID: 5 (ESP32-C3)" in done.stdout
            assert load_rom_image(bytes(data))[0] == 0x40380000
        else:
            with pytest.raises(Stopped, match="checksum"):
                load_rom_image(bytes(data))


def test_it_boots_and_computes_the_references_bytes(built):
    graph = load_model(ROOT / built.model)
    with booted(built) as client:
        info = client.info()
        assert info.images["app"] == ("a", "0.1.0+0", 0, "confirmed")
        for name, inputs in sample_inputs(graph):
            outputs, _ = client.run(info, inputs)
            wanted = Interpreter(graph).invoke(inputs)
            assert all(np.array_equal(a, b) for a, b in zip(outputs, wanted, strict=True)), name


@pytest.mark.parametrize("place", ["bootloader", "app_a"])
def test_damaged_flash_does_not_run(built, tmp_path, place):
    """The ROM refuses the bootloader, the bootloader the application."""
    flash = tmp_path / "flash.bin"
    with start(built, flash=flash):
        pass
    data = bytearray(flash.read_bytes())
    offset = next(p.offset for p in built.board.partition if p.name == place)
    data[offset + 0x1234] ^= 0x10
    flash.write_bytes(data)
    with (
        start(built, flash=flash) as machine,
        Client(open_port(machine.port, built.board.console.baud)) as client,
    ):
        machine.go()
        if place == "bootloader":
            with pytest.raises(Exception, match="ROM: checksum"):
                machine.wait()
        else:
            assert any("nothing boots" in client.line(20.0) for _ in range(3))
