"""The counter and the key-value store in flash: never back, never half."""

import ctypes
import json
import subprocess
import sys
import zlib

import pytest
from typer.testing import CliRunner

from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.cli import app
from tinyseal.profiles import board_names, load_board
from tinyseal.torture.power import SCENARIOS, simulator

FOLDERS = [ROOT / "firmware" / name for name in ("hal", "nv", "sim")]
GEOMETRIES = [(64, 1), (128, 4), (256, 8), (1024, 16), (512, 32), (4096, 4)]


@pytest.fixture(scope="session")
def library():
    sources = [*sorted(FOLDERS[1].glob("*.c")), FOLDERS[2] / "flash_sim.c"]
    return ctypes.CDLL(str(compile_native("nv.so", sources, FOLDERS, flags=["-shared", "-fPIC"])))


class Area(ctypes.Structure):
    _fields_ = [("flash", ctypes.c_void_p), ("start", ctypes.c_uint32), ("bytes", ctypes.c_uint32)]


class Counter(ctypes.Structure):
    _fields_ = [
        ("area", Area),
        ("endurance", ctypes.c_uint32),
        *[(name, ctypes.c_uint32) for name in ("value", "base", "sequence", "sector", "next")],
    ]


def counter_on(library, erase_bytes=128, program_bytes=4, sectors=2, endurance=1000):
    library.flash_sim_configure(sectors * erase_bytes, erase_bytes, program_bytes)
    flash = ctypes.addressof(ctypes.c_char.in_dll(library, "flash_sim"))
    return Counter(Area(flash, 0, sectors * erase_bytes), endurance)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("erase_bytes, program_bytes", GEOMETRIES)
def test_every_power_cut_leaves_old_or_new(scenario, erase_bytes, program_bytes, campaign):
    # What goes over SMP is slow, and repeats itself sooner.
    count = (600 if scenario.endswith(("smp", "delta")) else 2000) * campaign
    done = subprocess.run(
        [str(simulator()), scenario, str(erase_bytes), str(program_bytes), str(count), "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    cuts, failures = map(int, done.stdout.split())
    assert cuts >= count and failures == 0


def test_simulator_stops_on_programming_twice(library):
    """The judge itself: what no chip forgives is not let pass."""
    program = (
        "import ctypes, sys; lib = ctypes.CDLL(sys.argv[1]); lib.flash_sim_configure(256, 128, 4);"
        "at = ctypes.addressof(ctypes.c_char.in_dll(lib, 'flash_sim'));"
        "call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32);"
        "prog = call(ctypes.c_void_p.from_address(at + 8).value);"
        "prog(0, b'abcd', 4); prog(int(sys.argv[2]), b'efgh', 4); print('passed')"
    )
    for address, verdict in [(4, "passed"), (0, ""), (2, ""), (256, "")]:
        done = subprocess.run(
            [sys.executable, "-c", program, library._name, str(address)],
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == verdict
        assert done.returncode == (0 if verdict else 3)


def test_counter_states_its_end_and_stops_there(library):
    counter = counter_on(library, endurance=3)
    assert library.nv_counter_mount(ctypes.byref(counter)) == -20  # NV_COUNTER_EBLANK
    assert library.nv_counter_format(ctypes.byref(counter), 7) == 0
    assert library.nv_counter_format(ctypes.byref(counter), 0) == -4  # FLASH_EVERIFY: it is there
    promised = library.nv_counter_headroom(ctypes.byref(counter))
    commits = 0
    while library.nv_counter_advance(ctypes.byref(counter), 1) == 0:
        commits += 1
    assert commits == promised
    assert library.nv_counter_headroom(ctypes.byref(counter)) == 0
    assert library.nv_counter_advance(ctypes.byref(counter), 1) == -21  # NV_COUNTER_EEXHAUSTED
    mounted = Counter(counter.area, counter.endurance)
    assert library.nv_counter_mount(ctypes.byref(mounted)) == -21
    assert library.nv_counter_value(ctypes.byref(mounted)) == 7 + commits


def test_counter_does_not_wrap(library):
    counter = counter_on(library)
    assert library.nv_counter_format(ctypes.byref(counter), 2**32 - 2) == 0
    assert library.nv_counter_advance(ctypes.byref(counter), 1) == 0
    assert library.nv_counter_advance(ctypes.byref(counter), 1) == -21
    assert library.nv_counter_value(ctypes.byref(counter)) & 0xFFFFFFFF == 2**32 - 1


@pytest.mark.parametrize("sectors, erase, program, err", [(1, 128, 4, -22), (2, 16, 4, -22)])
def test_counter_refuses_impossible_areas(library, sectors, erase, program, err):
    counter = counter_on(library, erase, program, sectors)
    assert library.nv_counter_mount(ctypes.byref(counter)) == err


def test_areas_guard_their_borders(library):
    counter_on(library)
    flash = ctypes.addressof(ctypes.c_char.in_dll(library, "flash_sim"))
    area = Area(flash, 128, 128)
    buffer = ctypes.create_string_buffer(256)
    read = library.nv_area_read
    assert read(ctypes.byref(area), 0, buffer, 128) == 0
    for offset, size in [(0, 129), (128, 1), (0xFFFFFFFF, 2), (1, 0xFFFFFFFF)]:
        assert (
            read(ctypes.byref(area), ctypes.c_uint32(offset), buffer, ctypes.c_uint32(size)) == -2
        )
    assert library.nv_area_program(ctypes.byref(area), 2, b"abcd", 4) == -3
    assert library.nv_area_erase(ctypes.byref(area), 64) in (-2, -3)


def test_crc_is_zlibs(library):
    library.nv_crc32.restype = ctypes.c_uint32
    for text in (b"", b"a", b"123456789", bytes(range(256))):
        assert library.nv_crc32(0, text, len(text)) == zlib.crc32(text)


def test_power_cuts_on_every_boards_flash(campaign):
    arguments = ["torture", "power", "--count", str(50_000 * campaign), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["count"] >= 50_000 * campaign and report["failures"] == 0
    cuts = {(run["board"], run["scenario"]): run["count"] for run in report["runs"]}
    boards = {name for name in board_names() if load_board(name).flash}
    assert cuts.keys() == {(board, scenario) for board in boards for scenario in SCENARIOS}
    assert min(cuts.values()) >= 50_000 * campaign // len(cuts)


def test_power_cuts_on_a_board_of_ones_own(tmp_path):
    """One with erase and program units that no board of the project has."""
    text = (ROOT / "boards" / "qemu-m4.toml").read_text()
    own = tmp_path / "own.toml"
    own.write_text(
        text.replace('name = "qemu-m4"', 'name = "own"')
        .replace("erase_bytes = 4096", "erase_bytes = 2048")
        .replace("program_bytes = 4", "program_bytes = 8")
    )
    words = ["torture", "power", "--board", str(own), "--count", "1000", "--json"]
    done = CliRunner().invoke(app, words)
    report = json.loads(done.stdout)
    assert done.exit_code == 0 and report["count"] >= 1000 and report["failures"] == 0
    assert {(r["board"], r["erase_bytes"], r["program_bytes"]) for r in report["runs"]} == {
        ("own", 2048, 8)
    }


def test_every_flash_geometry_has_a_campaign():
    boards = [load_board(name) for name in board_names()]
    assert {b.flash.program_bytes for b in boards if b.flash} <= {1, 2, 4, 8, 16, 32}
