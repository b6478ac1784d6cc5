"""Every attack of issue 3 has a test that fails without the defence.

Here: that the defences and tests are there, and in firmware/SPEC.md's table. With --campaign 2:
that each test really fails in a copy of the project from which the defence was taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tinyseal.build.firmware import ROOT

IMAGE = "firmware/boot/boot_image.c"
BOOT = "firmware/boot/boot.c"
SECONDS = 300.0


@dataclass(frozen=True)
class Attack:
    name: str
    tests: tuple[str, ...]  # in tests/, each of which fails without the defence
    cuts: tuple[tuple[str, str, str], ...]  # file, defence, what stands in its place


def boot(*names: str) -> tuple[str, ...]:
    return tuple(f"test_boot.py::{name}" for name in names)


NO_HASH = (IMAGE, "image->hash, sizeof digest) == 0 ? BOOT_GOOD : BOOT_EHASH;",
           "image->hash, sizeof digest) <= UINT32_MAX ? BOOT_GOOD : BOOT_EHASH;")  # fmt: skip
NO_SECOND_LOOK = (
    BOOT,
    "        if (!look_again(b)) {\n            continue;\n        }\n",
    "        (void)look_again(b);\n        b->status[0][0] = BOOT_GOOD;\n"
    "        b->second_look[0] = b->second_look[1] = BOOT_IMAGE_REFLOW;\n",
)
NO_FIRST_SIGNATURE = (
    IMAGE,
    "    return boot_signature_check(key->public_key, image->hash, image->signature);",
    "    return boot_signature_check(key->public_key, image->hash, image->signature) != 0\n"
    "               ? BOOT_GOOD\n               : BOOT_ESIGNATURE;",
)

NO_COUNTER = (
    (BOOT, "        if (image->counter < old->counter) {", "        if (0) {"),
    (
        BOOT,
        "    return image->counter >= nv_counter_value(&b->counter[i]) ? BOOT_GOOD "
        ": BOOT_ECOUNTER;",
        "    return BOOT_GOOD;",
    ),
    (BOOT, "nv_counter_value(&b->counter[i]) > image->counter", "0"),
)

ATTACKS = (
    Attack(
        "TLVs that must be protected and are not (CVE-2024-32883); an unsigned dependency",
        boot("test_what_the_signature_does_not_cover_is_refused",
             "test_unprotected_counter_does_not_stand_in_for_a_protected_one"),
        ((IMAGE, "            return BOOT_EUNPROTECTED;\n", "            ;\n"),),
    ),
    Attack(
        "bytes after the last TLV",
        boot("test_bytes_after_the_last_tlv_are_refused"),
        ((IMAGE, "            return BOOT_ETRAILING;\n", "            ;\n"),),
    ),
    Attack(
        "a TLV length that walks past its section",
        boot("test_tlv_lengths_that_walk_out_are_refused"),
        ((IMAGE, "        if (len > end - offset) {", "        if (len > end) {"),),
    ),
    Attack(
        "image re-read after the check with other content (CVE-2024-28183)",
        boot("test_flash_that_changes_after_the_check_is_refused",
             "test_ciphertext_that_changes_after_the_check_does_not_run"),
        (NO_SECOND_LOOK,),
    ),
    Attack(
        "counter exhausted, and noticed only after the permanent swap",
        boot("test_exhausted_counter_is_noticed_before_anything_is_changed"),
        ((BOOT, "        return BOOT_EEXHAUSTED;\n    }\n    return BOOT_GOOD;",
          "    }\n    return BOOT_GOOD;"),),
    ),
    Attack(
        "endless loop when one counter read fails",
        boot("test_failing_counter_read_ends_with_a_status"),
        ((BOOT, "        const int err = boot_state_mount(&b->counter[i]);",
          "        int err;\n        do {\n            err = boot_state_mount(&b->counter[i]);\n"
          "        } while (err);"),),
    ),
    Attack(
        "a counter that cannot be read taken for zero",
        boot("test_failing_counter_read_ends_with_a_status"),
        ((BOOT, "    if (b->counter_status[i] == BOOT_ENOCOUNTER) {", "    if (0) {"),),
    ),
    Attack(
        "a copy not re-verified before its source is discarded",
        boot("test_copy_that_went_wrong_is_swapped_back"),
        ((BOOT, "    memset(b->status, 0, sizeof b->status);\n    memset(&b->state",
          "    for (uint32_t i = 0; i < BOOT_IMAGES; i++) {\n"
          "        b->status[i][0] = BOOT_GOOD;\n"
          "        b->first_look[i][0] = BOOT_IMAGE_FLOW;\n"
          "        b->image[i][0] = b->image[i][1];\n    }\n    memset(&b->state"),),
    ),
    Attack(
        "a bootstrapped image unconfirmed and then destructively reverted",
        boot("test_bootstrapped_image_is_kept_though_nobody_confirms_it"),
        ((BOOT, "        } else if (is_valid(b, i, 1)) {", "        } else {"),),
    ),
    Attack(
        "downgrade by an older version with the same counter",
        boot("test_downgrades_are_refused_both_ways"),
        ((BOOT, "            return BOOT_EVERSION;\n", "            ;\n"),),
    ),
    Attack(
        "downgrade by a lower counter with a higher version",
        boot("test_downgrades_are_refused_both_ways"),
        NO_COUNTER,
    ),
    Attack(
        "a withdrawn image, its counter below the board's",
        boot("test_confirmed_image_moves_the_counter_and_old_one_is_withdrawn"),
        NO_COUNTER,
    ),
    Attack(
        "image for another board",
        boot("test_image_for_another_board_or_slot_is_refused"),
        ((IMAGE, "image->class_id, 16))) {", "image->class_id, 0))) {"),),
    ),
    Attack(
        "image for another slot",
        boot("test_image_for_another_board_or_slot_is_refused"),
        ((IMAGE, "    if (placed != 0 && image->load_address != rules->address) {",
          "    if (0) {"),),
    ),
    Attack(
        "a header whose sizes wrap",
        boot("test_sizes_that_wrap_are_refused"),
        ((IMAGE, "|| image->payload_bytes > room - image->header_bytes) {",
          "|| image->payload_bytes + image->header_bytes > room) {"),),
    ),
    Attack(
        "development key in a release: scons",
        ("test_release.py::test_a_release_refuses_the_development_key",),
        (("host/tinyseal/cli/images.py",
          "        refuse_development((key.name, key.hash) for key in keys)", "        pass"),),
    ),
    Attack(
        "development key in a release: images and bootloader that are merged",
        ("test_package.py::test_a_release_refuses_development_keys_in_images_and_bootloader",),
        (("host/tinyseal/package/release.py",
          "    if bootloader is not None and any(raw in bootloader for raw in development):",
          "    if bootloader is None:"),),
    ),
    Attack(
        "signed by another key, or forged",
        boot("test_other_keys_and_forged_signatures_are_refused"),
        (NO_FIRST_SIGNATURE,),
    ),
    Attack(
        "a valid image truncated at every length",
        boot("test_truncated_at_every_length_is_refused"),
        ((IMAGE, "    if ((seen & SEEN_SIGNED) != SEEN_SIGNED) {", "    if (0) {"),
         (IMAGE, "|| bytes > source->bytes - offset) {", ") {"),
         (IMAGE, "    if (load16(section) != SECTION_MAGIC || bytes < SECTION_BYTES",
          "    if (0"), NO_HASH, NO_FIRST_SIGNATURE, NO_SECOND_LOOK),
    ),
    Attack(
        "every single bit of the signed region flipped",
        boot("test_every_bit_flipped_is_refused"),
        (NO_HASH, NO_SECOND_LOOK),
    ),
    Attack(
        "every single bit of an encrypted image flipped",
        boot("test_every_bit_flipped_of_an_encrypted_image_is_refused"),
        (NO_HASH, NO_SECOND_LOOK),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A copy of the project that may be broken."""
    copy = tmp_path_factory.mktemp("scratch")
    for name in ("firmware", "host", "tests", "boards", "codegen_templates", "keys"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("SConstruct", "pyproject.toml"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "build").mkdir()
    (copy / "build" / "third_party").symlink_to(ROOT / "build" / "third_party")
    return copy


def run(copy: Path, tests: list[str]) -> tuple[int, str]:
    """pytest's exit code; 1, too, for tests that never end."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env={**os.environ, "PYTHONPATH": str(copy / "host")},
            timeout=SECONDS, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 1, "did not end"
    return done.returncode, done.stdout


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: a.name)
def test_the_defence_is_what_the_test_needs(attack, campaign, request):
    for file, defence, _ in attack.cuts:
        assert (ROOT / file).read_text().count(defence) == 1, (file, defence)
    for test in attack.tests:
        file, name = test.split("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text()
        assert f"`{name}`" in (ROOT / "firmware/SPEC.md").read_text()
    if campaign == 1:
        return
    copy = request.getfixturevalue("scratch")
    for file, defence, gap in attack.cuts:
        (copy / file).write_text((copy / file).read_text().replace(defence, gap))
    try:
        for test in attack.tests:
            code, said = run(copy, [f"tests/{test}"])
            assert code == 1, f"{test} passes without its defence:\n{said[-2000:]}"
            assert "BuildError" not in said, said[-2000:]
    finally:
        for file, *_ in attack.cuts:
            shutil.copy(ROOT / file, copy / file)
