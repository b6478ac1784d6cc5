"""The bootloader's numbers, in words."""

from __future__ import annotations

import re

from tinyseal.build.firmware import ROOT
from tinyseal.cli.console import Explaining
from tinyseal.device.boot_status import TEXTS, explained

BOOT = ROOT / "firmware/boot"


def test_host_and_firmware_have_the_same_words_for_a_number():
    header = (BOOT / "boot_status.h").read_text()
    numbers = dict(re.findall(r"(BOOT_\w+) = (\d+),", header))
    texts = re.findall(r'\[(BOOT_\w+)\] = "([^"]+)"', (BOOT / "boot_status.c").read_text())
    assert {int(numbers[name]): text for name, text in texts} == TEXTS


def test_the_specification_lists_them():
    spec = (ROOT / "firmware/SPEC.md").read_text()
    assert all(f"| {number:02} | {text} |" in spec for number, text in TEXTS.items())


def test_only_lines_of_the_bootloader_are_put_in_words():
    assert explained("boot capsule b 10") == "boot capsule b damaged"
    assert explained("boot app a good") == "boot app a good"
    assert explained("boot app a 99") == "boot app a unknown status 99"
    assert (
        explained("boot tinyseal 0.1.0 qemu-m4 nothing boots: 12")
        == "boot tinyseal 0.1.0 qemu-m4 nothing boots: bad signature"
    )
    for line in ("ok boot app a 10", "boot", "boot app c 10", "image app a 1.0.0+0 0 confirmed"):
        assert explained(line) == line


def test_a_terminal_shows_words_however_the_line_arrives():
    text = "\r\nboot app a 10\r\nok 3\r\nprompt"
    for size in range(1, len(text)):
        explaining = Explaining()
        shown = "".join(explaining.rx(text[i : i + size]) for i in range(0, len(text), size))
        assert shown == text.replace("10", "damaged")
