"""`tinyseal check` and `tinyseal boards`, as a user calls them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from support.tflite_builder import ModelBuilder
from tinyseal import cli
from tinyseal.build.firmware import BUILD
from tinyseal.codegen.generate import generate_capsule
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan.planner import plan
from tinyseal.profiles import board_names, load_board

MODELS = Path(__file__).resolve().parents[1] / "models"

SMALL = """
name = "small"
title = "Small"
chip = "small"
core = "cortex-m4"
toolchain = { prefix = "", cflags = [], package = "gcc" }
clock = { hz = 1000000 }
cost = { cycles_per_instruction = 2.0 }
console = { baud = 115200 }
capabilities = { fpu = true, trustzone = false, otp = false, rng = false, unique_id = false }
flash = { memory = "rom", erase_bytes = 4096, program_bytes = 4, endurance_cycles = 10000 }

[[memory]]
name = "rom"
kind = "flash"
base = 0
bytes = %(flash)d

[[memory]]
name = "ram"
kind = "ram"
base = 0x20000000
bytes = 0x10000
arena_bytes = %(arena)d

[[partition]]
name = "boot"
role = "bootloader"
offset = 0
bytes = 0x4000

[[partition]]
name = "counter"
role = "counter"
offset = 0x4000
bytes = 0x8000

[[partition]]
name = "app_a"
role = "app"
offset = 0xc000
bytes = 0x8000

[[partition]]
name = "app_b"
role = "app"
offset = 0x14000
bytes = 0x8000

[[partition]]
name = "model_a"
role = "capsule"
offset = 0x1c000
bytes = %(model)d

[[partition]]
name = "model_b"
role = "capsule"
offset = %(model_b)d
bytes = %(model)d

[boot]
mode = "xip"
"""


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command line; returns (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["tinyseal", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return call


@pytest.fixture
def small(tmp_path):
    """Path of a board with slots of so many bytes for the model, and so much arena."""

    def make(model: int = 0x60000, arena: int = 0x8000) -> Path:
        path = tmp_path / "small.toml"
        numbers = {"model": model, "model_b": 0x1C000 + model, "flash": 0x5C000 + 2 * model}
        path.write_text(SMALL % {**numbers, "arena": arena})
        return path

    return make


def test_model_that_fits_exits_0_with_exact_figures(run, small):
    path = small()
    code, out, _ = run("check", MODELS / "ad_int8.tflite", "--board", path, "--json")
    assert code == 0
    report = json.loads(out)
    graph = import_tflite((MODELS / "ad_int8.tflite").read_bytes(), "ad_int8")
    made = plan(graph, load_board(str(path)))
    assert report["supported"] and report["fits"]
    assert [r["bytes"] for r in report["arena"]] == list(made.arena_bytes)
    assert f".arena_bytes = {{ {made.arena_bytes[0]}, 0 }}" in generate_capsule(made)
    assert report["arena_lower_bound"] <= report["arena"][0]["bytes"]
    weights = sum(t.bytes for t in graph.tensors if t.data is not None)
    # Multipliers and shifts, and what a kernel's own layout of the weights adds.
    assert weights <= report["flash"]["weights"] <= 1.1 * weights
    assert report["macs"] == made.macs == sum(layer["macs"] for layer in report["layers"])
    assert report["cycles"] == pytest.approx(2 * report["instructions"], abs=2)
    assert report["seconds"] == pytest.approx(report["cycles"] / 1e6, rel=1e-6)
    assert len(report["operators"]) == 10
    assert report["operators"][0]["operator"] == "FULLY_CONNECTED"


def test_table_shows_layers_arena_and_verdict(run, small):
    code, out, _ = run("check", MODELS / "ad_int8.tflite", "--board", small())
    assert code == 0
    assert "fully_connected_9" in out and "lower bound 768" in out
    assert "ad_int8 on small: fits" in out
    assert "A  input" in out


def test_too_small_an_arena_exits_1_and_says_by_how_much(run, small):
    code, out, _ = run("check", MODELS / "ad_int8.tflite", "--board", small(arena=512))
    assert code == 1
    assert "-256" in out
    assert "does not fit: small: arena needs 768 B, 512 B free; largest: " in out


def test_a_model_larger_than_its_slot_exits_1_though_the_flash_is_larger(run, small):
    words = ("check", MODELS / "ad_int8.tflite", "--board", small(model=0x2C000))
    code, out, _ = run(*words)
    assert code == 1
    room = 0x2C000 - 0x1000 - 0x200 - 320  # less trailer, header, TLVs
    assert "does not fit: the capsule has about" in out
    assert f"its slot model_a has room for {room:,}:" in out and "B too many" in out
    flash = json.loads(run(*words, "--json")[1])["flash"]
    assert (flash["slot"], flash["free"], flash["fits"]) == ("model_a", room, False)
    assert (
        room < flash["bytes"] == flash["weights"] + flash["code_estimate"] < 0x1C000 + 2 * 0x2C000
    )


def test_an_application_larger_than_its_slot_is_told(run, tmp_path, monkeypatch):
    monkeypatch.setattr("tinyseal.cli.check.ROOT", tmp_path)
    words = ("check", MODELS / "ad_int8.tflite", "--board", "qemu-m4")
    assert json.loads(run(*words, "--json")[1])["app"]["bytes"] is None
    (tmp_path / BUILD / "qemu-m4").mkdir(parents=True)
    built = tmp_path / BUILD / "qemu-m4/app_a.bin"
    built.write_bytes(bytes(257_216))
    assert run(*words)[0] == 0
    built.write_bytes(bytes(257_217))
    code, out, _ = run(*words)
    assert code == 1
    assert "the application has 257,217 B, its slot app_a has room for 257,216: 1 B too" in out


def test_plot_is_a_picture_with_every_buffer(run, small, tmp_path):
    picture = tmp_path / "arena.svg"
    code, out, _ = run(
        "check", MODELS / "ad_int8.tflite", "--board", small(), "--plot", picture, "--json"
    )
    assert code == 0
    titles = [e.text for e in ET.parse(picture).iter("{http://www.w3.org/2000/svg}title")]
    for held in json.loads(out)["buffers"]:
        assert f"{held['name']}: {held['bytes']} B at {held['offset']}" in titles


def unsupported_model() -> bytes:
    """Two operators nobody reads, a version from the future, and one sound FULLY_CONNECTED."""
    b = ModelBuilder()
    x = b.input("x", (1, 4), scale=0.1)
    names = iter("abcde")

    def next_tensor() -> int:
        return b.tensor(next(names), (1, 4), scale=0.1)

    w = b.const("w", np.ones((4, 4), np.int8), scale=0.1)
    dense = next_tensor()
    b.op("FULLY_CONNECTED", [x, w, -1], [dense], version=4)
    gelu = next_tensor()
    b.op("GELU", [dense], [gelu], with_options=False)
    custom = next_tensor()
    b.op("CUSTOM", [gelu], [custom], custom_code="MyOp", with_options=False)
    late = next_tensor()
    b.op("FULLY_CONNECTED", [custom, w, -1], [late], version=99)
    b.output(late)
    return b.build()


def test_all_unsupported_operators_are_listed_with_a_way_out(run, tmp_path):
    model = tmp_path / "odd.tflite"
    model.write_bytes(unsupported_model())
    code, out, _ = run("check", model, "--board", "host", "--json")
    assert code == 1
    report = json.loads(out)
    assert not report["supported"] and not report["fits"]
    bad = {o["node"]: o for o in report["operators"] if o["problem"]}
    assert [(o["operator"], o["version"], o["output"]) for o in bad.values()] == [
        ("GELU", 1, "b"),
        ("MyOp", 1, "c"),
        ("FULLY_CONNECTED", 99, "d"),
    ]
    assert "HARD_SWISH" in bad[1]["way_out"]
    assert bad[3]["way_out"].startswith("convert so that it has version")
    code, out, _ = run("check", model, "--board", "host")
    assert code == 1 and "3 of 4 operators are not supported" in out
    assert all(name in out for name in ("GELU", "MyOp", "99"))


def test_float_operators_are_all_told_to_be_quantised(run, tmp_path):
    b = ModelBuilder()
    x = b.input("x", (1, 4), "float32")
    w = b.const("w", np.ones((4, 4), np.float32))
    y, z = b.tensor("y", (1, 4), "float32"), b.tensor("z", (1, 4), "float32")
    b.op("FULLY_CONNECTED", [x, w, -1], [y])
    b.op("FULLY_CONNECTED", [y, w, -1], [z])
    b.output(z)
    model = tmp_path / "float.tflite"
    model.write_bytes(b.build())
    code, out, _ = run("check", model, "--board", "host", "--json")
    assert code == 1
    operators = json.loads(out)["operators"]
    assert [o["way_out"].split(":")[0] for o in operators] == ["quantise the model to int8"] * 2


@pytest.mark.parametrize("keep", [0, 3, 8, 500, 3000, 20000])
def test_truncated_model_is_one_line(run, tmp_path, keep):
    model = tmp_path / "cut.tflite"
    model.write_bytes((MODELS / "kws_int8.tflite").read_bytes()[:keep])
    code, out, err = run("check", model, "--board", "host")
    assert code == 1 and out == ""
    assert err.startswith("error: cut: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.tflite", "--board", "host"], "nothing.tflite: cannot be read"),
        ([MODELS / "ad_int8.tflite", "--board", "z80"], "no board 'z80'; boards: "),
        ([MODELS / "ad_int8.tflite", "--board", "host", "--kernels", "x"], "no kernel set 'x'"),
    ],
)
def test_wrong_arguments_exit_2_with_one_line(run, arguments, message):
    code, _, err = run("check", *arguments)
    assert code == 2
    assert err.startswith(f"error: {message}") and err.count("\n") == 1


def test_boards_lists_every_board(run):
    code, out, _ = run("boards")
    assert code == 0
    assert all(name in out for name in board_names())
    code, out, _ = run("boards", "--json")
    assert [b["name"] for b in json.loads(out)] == board_names()


@pytest.mark.parametrize("name", board_names())
def test_one_board_is_shown_with_all_its_memories(run, name):
    code, out, _ = run("boards", name)
    assert code == 0
    board = load_board(name)
    for memory in board.memory:
        assert memory.name in out and f"0x{memory.base:08x}" in out
    assert all(partition.name in out for partition in board.partition)
    code, out, _ = run("boards", name, "--json")
    shown = json.loads(out)
    assert shown["name"] == name
    assert [m["bytes"] for m in shown["memory"]] == [m.bytes for m in board.memory]


def test_partitions_are_drawn_with_the_room_between_them(run, small):
    code, out, _ = run("boards", small())
    assert code == 0
    lines = out.splitlines()
    boot = next(i for i, line in enumerate(lines) if "boot" in line and "16 KiB" in line)
    free = next(i for i, line in enumerate(lines) if "free" in line and "256 KiB" in line)
    assert boot < free and "0x00004000" in "\n".join(lines[boot:free])


def test_unknown_board_is_a_usage_error(run):
    code, _, err = run("boards", "z80")
    assert code == 2 and err.startswith("error: no board 'z80'; boards: ")
