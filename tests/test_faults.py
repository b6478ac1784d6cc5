"""The fault campaign: finds the holes of a naive verifier, so that finding none means something."""

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from typer.testing import CliRunner

from tinyseal.cli import app
from tinyseal.errors import BoardError, DeviceError
from tinyseal.torture import faults
from tinyseal.torture.faults import Fault, Kind, Outcome, Second, Target

NAIVE = Path(__file__).parent / "naive_boot"
SLOT = 0x8000


def fnv1a(data):
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value.to_bytes(4, "little")


@pytest.fixture(scope="session")
def naive_elf(tmp_path_factory):
    elf = tmp_path_factory.mktemp("naive") / "naive.elf"
    subprocess.run(
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-Os", "-g", "-std=c11", "-Wall",
         "-Wextra", "-Werror", "-nostdlib", "-T", NAIVE / "naive_boot.ld", NAIVE / "naive_boot.c",
         "-o", elf],
        check=True,
    )  # fmt: skip
    return elf


def target(elf, image):
    return Target(
        elf=elf,
        memories=((0, 0x10000), (0x20000000, 0x10000)),
        contents=((SLOT, image),),
        forbidden=((SLOT, 0x1000),),
        rest="rest",
    )


BAD = bytes(64) + b"\1\2\3\4"


def path(elf, image=BAD):
    ranges = faults.functions(elf, lambda name: name != "rest")
    attacked = target(elf, image)
    return attacked, faults.trace(attacked, ranges)


def test_every_kind_of_fault_brings_the_naive_verifier_down(naive_elf):
    attacked, visits = path(naive_elf)
    assert len(visits) > 300
    chosen = list(faults.every_fault(visits))
    tally = faults.inject(attacked, chosen, 100_000)
    assert tally.count == len(chosen)
    assert {fault.kind for fault in tally.fallen} == {Kind.SKIP, Kind.CLEAR, Kind.FLIP}
    assert tally.outcomes[Outcome.RESTED] > len(chosen) // 4


def test_double_faults_run_and_fall_too(naive_elf):
    attacked, visits = path(naive_elf)
    chosen = faults.random_doubles(visits, 300, random.Random(1))
    kinds = {(fault.kind, fault.second.kind) for fault in chosen}
    assert len(kinds) == len(Kind) ** 2
    tally = faults.inject(attacked, chosen, 100_000)
    assert tally.count == 300 and tally.outcomes[Outcome.RAN] > 0


def test_a_second_fault_is_like_a_first_one_there(naive_elf):
    """A fault that does nothing, then one that brings the verifier down by itself."""
    attacked, visits = path(naive_elf)
    singles = [f for f in faults.every_fault(visits[20:]) if not f.visit.behind_it]
    fallen = faults.inject(attacked, singles, 100_000).fallen
    first = Fault(Kind.CLEAR, visits[10], 12)  # a register that nothing holds
    pairs = [
        replace(first, second=Second(f.visit.step - visits[10].step, f.kind, f.detail))
        for f in fallen
    ]
    assert pairs and faults.inject(attacked, pairs, 100_000).outcomes == {Outcome.RAN: len(pairs)}


def test_good_image_is_no_target(naive_elf):
    image = bytes(64)
    with pytest.raises(DeviceError, match="not refused"):
        path(naive_elf, image + fnv1a(image))


def test_missing_rest_function_is_named(naive_elf):
    attacked = target(naive_elf, BAD)
    with pytest.raises(DeviceError, match="no function nowhere"):
        faults.trace(Target(**{**attacked.__dict__, "rest": "nowhere"}), [])


def test_glitched_bootloader_refuses_a_bad_image(campaign):
    count = 20_000 * campaign
    arguments = ["torture", "faults", "--count", str(count), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= count and report["failures"] == 0
    assert sum(run["outcomes"]["rested"] for run in report["runs"]) > report["count"] // 4
    assert all(0 < run["faulted"] <= run["path"] for run in report["runs"])


@pytest.mark.parametrize("board", ["qemu-m33", "qemu-m7"])
def test_glitched_bootloader_runs_no_ciphertext(board, campaign):
    kinds = ["--kind", "sealed", "--kind", "ciphertext"]
    count = 80 * campaign
    words = ["torture", "faults", "--board", board, *kinds, "--count", str(count), "--json"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= count and report["failures"] == 0
    assert {run["image"] for run in report["runs"]} == {"sealed", "ciphertext"}


def test_glitched_bootloader_refuses_a_bad_image_in_a_flash_without_addresses(campaign):
    """Its start-up asks the chip; the driver is found by the layout that was compiled."""
    count = 40 * campaign
    words = ["torture", "faults", "--board", "qemu-m4-nor", "--kind", "signature", "--json"]
    done = CliRunner().invoke(app, [*words, "--count", str(count)])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= count and report["failures"] == 0
    assert report["runs"][0]["path"] > 3000  # the signature was computed: its image was read
    assert report["runs"][0]["outcomes"]["rested"] > 0


def test_glitched_bootloader_refuses_a_bad_image_where_registers_say_ready(campaign):
    """Clock, flash controller and UART of an nRF51, on a core without Thumb-2."""
    count = 40 * campaign
    words = ["torture", "faults", "--board", "qemu-m0", "--kind", "signature", "--json"]
    done = CliRunner().invoke(app, [*words, "--count", str(count)])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= count and report["failures"] == 0
    assert report["runs"][0]["path"] > 3000  # the signature was computed: the console was awaited
    assert report["runs"][0]["outcomes"]["rested"] > 0


def test_a_member_that_is_not_there_is_named(naive_elf):
    with naive_elf.open("rb") as stream, pytest.raises(DeviceError, match="no struct hal with fl"):
        faults.member(ELFFile(stream), "hal", "flash")


def test_a_core_that_unicorn_does_not_know_is_refused():
    done = CliRunner().invoke(app, ["torture", "faults", "--board", "qemu-m55"])
    assert isinstance(done.exception, BoardError)
    assert "qemu-m55: Unicorn knows no cortex-m55: its bootloader is compiled to loops" in str(
        done.exception
    )


def test_a_board_whose_start_up_waits_for_clocks_is_refused():
    done = CliRunner().invoke(app, ["torture", "faults", "--board", "stm32l475"])
    assert isinstance(done.exception, BoardError)
    assert "stm32l475: its start-up waits for clocks" in str(done.exception)


def test_unknown_kind_of_image_is_named():
    done = CliRunner().invoke(app, ["torture", "faults", "--kind", "nonesuch"])
    assert done.exit_code != 0
    assert "no kind of bad image 'nonesuch'; kinds: magic, header" in str(done.exception)
