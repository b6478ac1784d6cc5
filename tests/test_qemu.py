"""A virtual board that does not start says why."""

import pytest

from tinyseal.errors import DeviceError
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import power_up


def board(**changes):
    profile = load_board("qemu-m4")
    return profile.model_copy(update={"runner": profile.runner.model_copy(update=changes)})


def test_qemus_own_words_are_passed_on(tmp_path):
    elf = tmp_path / "firmware.elf"
    elf.touch()
    with pytest.raises(DeviceError, match=r"qemu-m4: QEMU: .*unsupported machine type") as error:
        power_up(board(args=("-M", "nonesuch")), elf)
    assert "\n" not in str(error.value)


def test_missing_qemu_names_its_package(tmp_path):
    with pytest.raises(DeviceError, match="qemu-nonesuch is missing; apt-get install some-package"):
        power_up(board(binary="qemu-nonesuch", package="some-package"), tmp_path)


def test_missing_firmware_says_how_to_build_it(tmp_path):
    with pytest.raises(DeviceError, match="scons board=qemu-m4"):
        power_up(board(), tmp_path / "firmware.elf")
