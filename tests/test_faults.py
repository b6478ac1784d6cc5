"""The fault campaign: finds the holes of a naive verifier, so that finding none means something."""

import json
import random
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinyseal.cli import app
from tinyseal.device import faults
from tinyseal.device.faults import Kind, Outcome, Target
from tinyseal.errors import DeviceError

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
    chosen = faults.random_doubles(visits, 40, random.Random(1))
    tally = faults.inject(attacked, chosen, 100_000)
    assert tally.count == 40


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


def test_unknown_kind_of_image_is_named():
    done = CliRunner().invoke(app, ["torture", "faults", "--kind", "nonesuch"])
    assert done.exit_code != 0
    assert "no kind of bad image 'nonesuch'; kinds: magic, header" in str(done.exception)
