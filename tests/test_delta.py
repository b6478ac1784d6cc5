"""Patches: made by detools and `package/delta.py`, applied by detools and by the device's C."""

import contextlib
import dataclasses
import hashlib
import json
import random
import struct
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.build.third_party import monocypher
from tinyseal.cli import app
from tinyseal.errors import ImageError
from tinyseal.package import delta
from tinyseal.package.keys import DEV_ENCRYPT, DEV_SIGN, Use, load_private
from tinyseal.package.sign import SignRequest, parse_version, sign_image
from tinyseal.profiles import load_board

M4, M33 = load_board("qemu-m4"), load_board("qemu-m33")
DONE, HUNGRY = 3, 1
EFORMAT, EOLD, EROOM, ESTREAM, ESHORT, EHASH = range(-16, -22, -1)
SLOTS = {"a": 0x21020000, "b": 0x21060000}


def image(payload, slot="a", version="1.0.0", board=M4, kind="app", **more):
    request = SignRequest(board, kind, slot, parse_version(version), 0, **more)
    return sign_image(payload, request, load_private(DEV_SIGN, Use.SIGN))


def code(seed, size, base):
    """Bytes with what images have: runs, repetitions, noise and addresses."""
    draw = random.Random(seed)
    made = bytearray()
    while len(made) < size:
        kind = draw.randrange(4)
        if kind == 0:
            made += bytes([draw.randrange(256)]) * draw.randrange(1, 80)
        elif kind == 1:
            made += draw.randbytes(draw.randrange(1, 80))
        elif kind == 2:
            made += bytes(-len(made) % 4)
            made += (base + draw.randrange(size)).to_bytes(4, "little") * draw.randrange(1, 9)
        elif made:
            at = draw.randrange(len(made))
            made += made[at : at + draw.randrange(1, 80)]
    return bytes(made[:size])


@pytest.fixture(scope="session")
def driver():
    firmware = ROOT / "firmware"
    folders = [firmware / name for name in ("services", "boot", "crypto", "nv", "hal", "sim")]
    curve = monocypher(ROOT / "build" / "third_party")
    sources = [
        *(firmware / "services" / name for name in ("delta.c", "slot_writer.c")),
        *(p for name in ("boot", "crypto", "nv") for p in sorted((firmware / name).glob("*.c"))),
        firmware / "sim" / "flash_sim.c",
        ROOT / "tests/support/delta_driver.c",
        curve.source,
    ]
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wno-error=conversion"]
    return compile_native("delta", sources, folders, [curve.include_dir], flags=flags)


class Device:
    """The C, on a flash of one geometry."""

    def __init__(self, driver, folder, erase_bytes=1024, program_bytes=4, units=40):
        self.command = [str(driver), str(erase_bytes), str(program_bytes), str(units)]
        self.out = folder / "out.bin"

    def apply(self, old, patch, seed=1):
        """How it ended, and the image that was made."""
        self.out.unlink(missing_ok=True)
        done = subprocess.run(
            [*self.command, str(seed), str(self.out)],
            input=struct.pack("<I", len(old)) + old + patch,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr.decode()
        end = int(done.stdout.split()[0])
        return end, self.out.read_bytes() if end == DONE else None


@pytest.fixture
def device(driver, tmp_path):
    return Device(driver, tmp_path)


@pytest.fixture(scope="module")
def pair():
    """An image, and the next version of it for the other slot: moved, changed, longer."""
    payload = code(1, 12_000, SLOTS["a"])
    moved = bytearray(payload.replace((SLOTS["a"] >> 16).to_bytes(2, "little"), b"\x06\x21"))
    moved[3000:3010] = b"other code"
    moved[7000:7000] = code(9, 300, SLOTS["b"])
    old, new = image(payload), image(bytes(moved), "b", "1.0.1")
    return old, new, delta.make_patch(old, new)


@pytest.mark.parametrize("geometry", [(256, 1), (1024, 4), (4096, 4), (1024, 16), (512, 32)])
def test_the_device_makes_the_new_image(driver, tmp_path, pair, geometry):
    old, new, patch = pair
    erase_bytes, program_bytes = geometry
    units = -(-len(new) // erase_bytes) + 3
    device = Device(driver, tmp_path, erase_bytes, program_bytes, units)
    for seed in range(3):
        assert device.apply(old, patch, seed) == (DONE, new)


def test_a_moved_image_costs_little(pair):
    old, new, patch = pair
    assert len(patch) < 0.15 * len(new)
    info = delta.read_patch(patch)
    assert (info.old_base, info.new_base) == (SLOTS["a"], SLOTS["b"])
    moved = delta.move_addresses(old, info)
    assert moved != old and delta.move_addresses(moved, info) == old


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    old=st.integers(0, 2**32).flatmap(
        lambda seed: st.integers(1, 5000).map(lambda n: code(seed, n, SLOTS["a"]))
    ),
    edits=st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 700), st.binary(max_size=60)), max_size=6
    ),
    board=st.sampled_from([M4, M33]),
)
def test_any_image_comes_out_of_any_other(device, old, edits, board):
    new = bytearray(old)
    for at, gone, put in edits:
        new[at : at + gone] = put
    before = image(old, board=board)
    after = image(bytes(new) or b"x", "b", "2.0.0", board)
    patch = delta.make_patch(before, after)
    assert delta.apply_patch(before, patch) == after
    assert device.apply(before, patch) == (DONE, after)


def test_weights_trained_further_are_differences():
    """Every byte changes by a little: bsdiff alone would take them all for new."""
    draw = random.Random(5)
    weights = bytes(draw.randrange(256) for _ in range(20_000))
    trained = bytes((w + draw.choice((-2, -1, 1, 2))) & 0xFF for w in weights)
    frame = code(2, 2000, SLOTS["a"])
    old, new = image(frame + weights + frame[:900]), image(frame + trained + frame[:900], "b")
    assert len(delta.make_patch(old, new)) < 0.5 * len(new)


def test_no_damaged_patch_is_done_with_another_image(device, pair, campaign):
    """Whatever is changed or cut off, the device ends in an error or with the image promised."""
    old, new, patch = pair
    draw = random.Random(3)
    ends = set()
    for _ in range(60 * campaign):
        damaged = bytearray(patch)
        kind = draw.randrange(4)
        if kind == 0:
            damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del damaged[draw.randrange(len(damaged)) :]
        elif kind == 2:
            at = draw.randrange(delta.HEADER.size)
            damaged[at] = draw.randrange(256)
        else:
            at = draw.randrange(delta.HEADER.size, len(damaged))
            damaged[at : at + 20] = draw.randbytes(20)
        end, made = device.apply(old, bytes(damaged), draw.randrange(100))
        assert end < 0 or made == new
        ends.add(end)
        with contextlib.suppress(ImageError):
            assert delta.apply_patch(old, bytes(damaged)) == new
    assert {ESHORT, EHASH} <= ends and ends & {ESTREAM, EOLD}


def edited(patch, **fields):
    info = dataclasses.replace(delta.read_patch(patch), **fields)
    sizes = [info.old_bytes, info.new_bytes, info.old_base, info.new_base]
    return (
        delta.HEADER.pack(
            delta.MAGIC, delta.FORMAT, info.image, *sizes, info.span, info.stream_bytes,
            info.old_hash, info.new_hash,
        )
        + patch[delta.HEADER.size :]
    )  # fmt: skip


def test_what_a_header_may_not_say(device, pair):
    old, new, patch = pair
    assert device.apply(old, b"\x3d\xb8\xf3\x96" + patch[4:])[0] == EFORMAT
    assert device.apply(old, edited(patch, old_hash=bytes(32)))[0] == EOLD
    assert device.apply(old, edited(patch, old_bytes=len(old) - 4))[0] == EOLD
    assert device.apply(old, edited(patch, old_bytes=2**32 - 1))[0] == EOLD
    assert device.apply(old, edited(patch, new_bytes=40 * 1024))[0] == EROOM
    assert device.apply(old, edited(patch, new_bytes=2**32 - 1))[0] == EROOM
    assert device.apply(old, edited(patch, new_bytes=0))[0] == EROOM
    assert device.apply(old, edited(patch, new_bytes=len(new) + 1))[0] in (ESTREAM, ESHORT)
    assert device.apply(old, edited(patch, new_bytes=len(new) - 1))[0] in (ESTREAM, EHASH)
    assert device.apply(old, edited(patch, new_hash=bytes(32)))[0] == EHASH
    assert device.apply(old, edited(patch, stream_bytes=2**32 - 1))[0] == ESHORT
    assert device.apply(old, edited(patch, stream_bytes=10))[0] == ESTREAM
    assert device.apply(old, edited(patch, span=0))[0] == EHASH
    assert device.apply(new, patch)[0] == EOLD
    assert device.apply(old, patch) == (DONE, new)


def stream(*numbers):
    """A patch's stream of numbers alone."""
    packed = b"".join(map(delta._number, numbers))
    return delta._encode(iter([delta._Piece(packed, False)]))


@pytest.mark.parametrize(
    "numbers",
    [
        (-1,),
        (1 << 30,),
        (0, -1),
        (0, 1 << 26),
        (0, 0, -1),
        (0, 0, 1 << 26),
        (1 << 20,),
    ],
    ids=str,
)
def test_a_stream_may_not_leave_the_images(device, pair, numbers):
    old, _, patch = pair
    hostile = stream(*numbers)
    made = edited(patch, stream_bytes=len(hostile))[: delta.HEADER.size] + hostile
    assert device.apply(old, made)[0] == ESTREAM


def test_an_endless_stream_ends(device, pair):
    """Seeking to and fro makes nothing; it ends with the patch's bytes."""
    old, _, patch = pair
    hostile = stream(*(0, 0, 5, 0, 0, -5) * 3000)
    made = edited(patch, stream_bytes=len(hostile))[: delta.HEADER.size] + hostile
    assert device.apply(old, made)[0] == ESHORT


def test_images_that_no_patch_is_for(pair):
    old, new, _ = pair
    with pytest.raises(ImageError, match="old image is not sound"):
        delta.make_patch(b"nonsense" * 10, new)
    with pytest.raises(ImageError, match="both images are for the slot at 0x21060000"):
        delta.make_patch(new, new)
    with pytest.raises(ImageError, match="different boards"):
        delta.make_patch(old, image(b"x" * 100, board=load_board("qemu-m3")))
    with pytest.raises(ImageError, match="different boards"):
        delta.make_patch(old, image(b"x" * 100, kind="capsule"))
    secret = sign_image(
        bytes(200),
        SignRequest(load_board("qemu-m33"), "app", "a", parse_version("1"), 0),
        load_private(DEV_SIGN, Use.SIGN),
        load_private(DEV_ENCRYPT, Use.ENCRYPT),
    )
    with pytest.raises(ImageError, match="encrypted"):
        delta.make_patch(secret, secret)


def test_the_best_patch_is_for_what_runs(tmp_path, pair):
    old, new, patch = pair
    newer = image(new[0x200:], "b", "1.0.2")
    (tmp_path / "1.patch").write_bytes(patch)
    (tmp_path / "2.patch").write_bytes(delta.make_patch(old, newer))
    (tmp_path / "junk.patch").write_bytes(b"TSDP")
    current = delta.read_patch(patch).old_hash
    padded = new + b"\xff" * 64
    assert delta.best_patch(current, padded, tmp_path) == tmp_path / "1.patch"
    assert delta.best_patch(current, newer, tmp_path) == tmp_path / "2.patch"
    assert delta.best_patch(hashlib.sha256(b"").digest(), new, tmp_path) is None
    assert delta.best_patch(current, old, tmp_path) is None


def run(*words):
    return CliRunner().invoke(app, ["delta", *map(str, words)])


def test_the_command_tells_what_it_saved(tmp_path, pair):
    old, new, patch = pair
    (tmp_path / "old.img").write_bytes(old)
    (tmp_path / "new.img").write_bytes(new)
    out = tmp_path / "update.patch"
    done = run(tmp_path / "old.img", tmp_path / "new.img", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert out.read_bytes() == patch
    assert facts["bytes"] == len(patch) and facts["new_bytes"] == len(new)
    assert facts["saved"] == round(1 - len(patch) / len(new), 4)
    assert facts["image"] == "app" and facts["from"] == "1.0.0+0" and facts["to"] == "1.0.1+0"
    assert run(tmp_path / "old.img", tmp_path / "new.img", "-o", out).exit_code == 0
    bad = run(tmp_path / "old.img", tmp_path / "none.img", "-o", out)
    assert bad.exit_code != 0 and not isinstance(bad.exception, AssertionError)
