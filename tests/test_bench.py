"""Instruction counts are exact, and `bench` tells what it measured."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tinyseal.bench.cycles import layer_cycles
from tinyseal.bench.inference import LayerRow, Row, ratios
from tinyseal.board import Core
from tinyseal.cli.bench import default_sets
from tinyseal.cli.bench_plot import draw
from tinyseal.errors import DeviceError
from tinyseal.plan.cycles import TIMINGS, Kind, classify
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import power_up
from tinyseal.virtual.icount import Counts, InstructionCounter, find_marks

PROJECT = Path(__file__).resolve().parents[1]
PLUGINS = PROJECT / "build" / "icount"

# invoke calls layer_0, a loop of known length, and layer_1, which ends in a tail call to `shared`.
# Before it, the coprocessors are switched on, for MVE.
ARM = """
    .syntax unified
    .thumb
    .section .vectors, "a"
    .word {stack}
    .word reset
    .text
    .macro function name
    .thumb_func
    .type \\name, %function
\\name:
    .endm
    .globl reset
    function reset
    ldr r0, =0xe000ed88
    ldr r1, =0x00f00000
    str r1, [r0]
    dsb
    isb
    bl invoke
    bl invoke
1:  b 1b
    .size reset, . - reset
    function invoke
    push {{r4, lr}}
    bl layer_0
    bl layer_1
    pop {{r4, pc}}
    .size invoke, . - invoke
    function layer_0
    ldr r0, =1000
1:  subs r0, #1
    bne 1b
    bx lr
    .size layer_0, . - layer_0
    function layer_1
    {layer_1}
    .size layer_1, . - layer_1
    function shared
    nop
    bx lr
    .size shared, . - shared
"""
# Skipped or not, an instruction in an IT block counts.
CONDITIONAL = """
    movs r0, #10
1:  cmp r0, #5
    ite eq
    addeq r1, #1
    addne r2, #1
    subs r0, #1
    bne 1b
    b shared
"""
# LE counts in every iteration, LETP too: 100 bytes are 7 vectors of 16.
LOW_OVERHEAD = """
    mov r4, lr
    movs r0, #100
    dls lr, r0
1:  adds r1, #1
    le lr, 1b
    ldr r1, ={ram}
    wlstp.8 lr, r0, 3f
2:  vldrb.8 q0, [r1], #16
    letp lr, 2b
3:  mov lr, r4
    b shared
"""
RISCV = """
    .globl reset
    .section .vectors, "ax"
    .type reset, @function
reset:
    la sp, {stack}
    call invoke
    call invoke
1:  j 1b
    .size reset, . - reset
    .type invoke, @function
invoke:
    mv s0, ra
    jal layer_0
    jal layer_1
    mv ra, s0
    ret
    .size invoke, . - invoke
    .type layer_0, @function
layer_0:
    li a0, 1000
1:  addi a0, a0, -1
    bnez a0, 1b
    ret
    .size layer_0, . - layer_0
    .type layer_1, @function
layer_1:
    li a0, 7
1:  addi a0, a0, -1
    bnez a0, 1b
    j shared
    .size layer_1, . - layer_1
    .type shared, @function
shared:
    nop
    ret
    .size shared, . - shared
"""
EXPECTED = {
    "qemu-m0": (ARM, "movs r0, #1\n    b shared", Counts(4, (2002, 4))),
    "qemu-m4": (ARM, CONDITIONAL, Counts(4, (2002, 1 + 10 * 6 + 1 + 2))),
    "qemu-m55": (ARM, LOW_OVERHEAD, Counts(4, (2002, 3 + 200 + 2 + 14 + 2 + 2))),
    "qemu-rv32": (RISCV, "", Counts(5, (2002, 1 + 14 + 1 + 2))),
}


def assemble(board, source, layer_1, folder):
    flash, ram = (next(m for m in board.memory if m.kind == kind) for kind in ("flash", "ram"))
    stack = hex(ram.base + 0x1000)
    text = source.format(stack=stack, layer_1=layer_1.replace("{ram}", hex(ram.base)))
    (folder / "loop.S").write_text(text)
    (folder / "loop.ld").write_text(
        f"ENTRY(reset) SECTIONS {{ . = {flash.base:#x}; .text : {{ *(.vectors) *(.text) }} }}"
    )
    subprocess.run(
        [f"{board.toolchain.prefix}gcc", *board.toolchain.cflags, "-nostdlib", "-T", "loop.ld",
         "-Wl,--nmagic", "loop.S", "-o", "loop.elf"],
        cwd=folder, check=True,
    )  # fmt: skip
    return folder / "loop.elf"


@pytest.mark.parametrize("name", EXPECTED)
def test_a_loop_of_known_length_counts_exactly(name, tmp_path):
    source, layer_1, expected = EXPECTED[name]
    board = load_board(name)
    elf = assemble(board, source, layer_1, tmp_path)
    with (
        InstructionCounter(find_marks(elf), PLUGINS) as counter,
        power_up(board, elf, extra=counter.qemu_args) as machine,
    ):
        machine.go()
        deadline = time.monotonic() + 20
        while len(counter.counts()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert counter.counts() == [expected, expected]


# layer_0: a load or an ALU, 1000 times an ALU and a branch, 999 of them taken, a return.
CYCLES = {
    "qemu-m0": 2 + 2000 + 999 * 2 + 3,
    "qemu-m4": 1 + 2000 + 999 * 2 + 3,
    "qemu-rv32": 1 + 2000 + 999 * 2 + 3,
}


@pytest.mark.parametrize("name", CYCLES)
def test_a_loop_of_known_length_has_the_cycles_of_its_instructions(name, tmp_path):
    source, layer_1, expected = EXPECTED[name]
    board = load_board(name)
    elf = assemble(board, source, layer_1, tmp_path)
    with (
        InstructionCounter(find_marks(elf), PLUGINS, tallies=True) as counter,
        power_up(board, elf, extra=counter.qemu_args) as machine,
    ):
        machine.go()
        deadline = time.monotonic() + 20
        while len(counter.counts()) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        executed = counter.executed()
    for layer, count in enumerate((expected.own, *expected.layers)):
        assert sum(insn.count for insn in executed if insn.layer == layer) == count
    cycles = layer_cycles(board, elf, executed, 2, TIMINGS[board.core])
    assert len(cycles) == 3 and cycles[1] == CYCLES[name]


@pytest.mark.parametrize(
    ("core", "text", "expected"),
    [
        (Core.M0, "adds r0, r1, r2", (Kind.ALU, 0)),
        (Core.M0, "muls r0, r1", (Kind.MULTIPLY, 0)),
        (Core.M0, "ldrsb r2, [r4, r2]", (Kind.LOAD, 1)),
        (Core.M0, "push {r3, r4-r6, lr}", (Kind.STORE_MANY, 5)),
        (Core.M4, "ldrd r2, r3, [r0], #8", (Kind.LOAD_MANY, 2)),
        (Core.M4, "ldmia.w sp!, {r4, r5, r6, pc}", (Kind.LOAD_MANY, 4)),
        (Core.M4, "smlad r4, ip, r2, r4", (Kind.MULTIPLY, 0)),
        (Core.M4, "smmulr r0, r0, r1", (Kind.MULTIPLY, 0)),
        (Core.M4, "smull r0, r1, r2, r3", (Kind.LONG_MULTIPLY, 0)),
        (Core.M4, "bne.n 20", (Kind.BRANCH, 0)),
        (Core.M4, "bls.w 20", (Kind.BRANCH, 0)),
        (Core.M4, "bic.w r0, r1, r2", (Kind.ALU, 0)),
        (Core.M4, "bfi r0, r1, 0, 4", (Kind.ALU, 0)),
        (Core.M4, "cbz r0, 20", (Kind.BRANCH, 0)),
        (Core.M4, "strb.w r0, [r1, #3]", (Kind.STORE, 1)),
        (Core.M4, "vldr s0, [r0]", (Kind.LOAD, 1)),
        (Core.M4, "vmul.f32 s0, s1, s2", (Kind.ALU, 0)),
        (Core.M55, "vldrb.8 q0, [r1], 16", (Kind.VECTOR_MEMORY, 1)),
        (Core.M55, "vmladava.s8 r0, q0, q1", (Kind.VECTOR, 0)),
        (Core.M55, "le lr, 20", (Kind.BRANCH, 0)),
        (Core.RV32IMC, "lbu a0,0(a1)", (Kind.LOAD, 0)),
        (Core.RV32IMC, "mulh a0,a1,a2", (Kind.LONG_MULTIPLY, 0)),
        (Core.RV32IMC, "bnez a0,20", (Kind.BRANCH, 0)),
        (Core.RV32IMC, "sll a0,a1,a2", (Kind.ALU, 0)),
    ],
)
def test_an_instruction_is_of_its_class(core, text, expected):
    mnemonic, _, operands = text.partition(" ")
    assert classify(core, mnemonic, operands) == expected


def test_firmware_without_a_model_is_refused(tmp_path):
    (tmp_path / "x.S").write_text("nop\n")
    subprocess.run(["gcc", "-c", "x.S", "-o", "x.o"], cwd=tmp_path, check=True)
    with pytest.raises(DeviceError, match="0 functions named invoke"):
        find_marks(tmp_path / "x.o")
    with pytest.raises(DeviceError, match="not an ELF file"):
        find_marks(tmp_path / "x.S")


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from tinyseal.cli import main; main()", "bench", *arguments],
        cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT / "host")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_bench_measures_every_set_and_the_counts_add_up(tmp_path):
    chart = tmp_path / "chart.png"
    done = bench("--board", "qemu-m4", "--model", "models/ad_int8.tflite", "--kernels",
                 "reference", "--kernels", "cmsis-nn", "--json", "--plot", str(chart))  # fmt: skip
    assert done.returncode == 0, done.stderr
    reference, cmsis_nn = json.loads(done.stdout)
    for row in (reference, cmsis_nn):
        assert (row["board"], row["model"]) == ("qemu-m4", "ad_int8")
        assert row["bit_exact"] is True
        assert row["macs"] == sum(layer["macs"] for layer in row["layers"]) == 264192
        own = row["instructions"] - sum(layer["instructions"] for layer in row["layers"])
        assert 0 < own < 75 * len(row["layers"])  # between layers, console and radio are looked at
        assert row["flash_weights"] > 264192
        assert 0 < row["flash_code"] < 8_000
        for layer in row["layers"]:
            assert layer["shape"] == "vector" and layer["distance"] > 1
        # A product 14/16, each of 1,672 outputs 5, each of 1,672 inputs 1.
        assert row["floor"] == 264192 * 14 / 16 + 1672 * 5 + 1672
        assert 768 <= row["ram_arena"] <= 1600
        assert row["ram_static"] > 0
        cycles = [layer["cycles"] for layer in row["layers"]]
        assert row["instructions"] < row["cycles"] < 1.6 * row["instructions"]
        assert 0 < row["cycles"] - sum(cycles) < 1500
    assert {layer["kernels"] for layer in cmsis_nn["layers"]} == {"cmsis-nn"}
    assert cmsis_nn["ratio"] == 1.0 < reference["ratio"]
    assert cmsis_nn["instructions"] < 580_000
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_a_model_that_does_not_fit_is_left_out_of_several():
    words = ("--board", "qemu-m0", "--kernels", "reference", "--json")
    large, small = "models/ic_int8.tflite", "tests/corpus/chain.tflite"
    done = bench("--model", large, "--model", small, *words)
    assert done.returncode == 0
    assert [row["model"] for row in json.loads(done.stdout)] == ["chain"]
    assert "left out: qemu-m0: arena needs 14336 B" in done.stderr
    assert bench("--model", large, *words).returncode == 1


def test_bench_names_the_valid_choices():
    done = bench("--board", "qemu-m5")
    assert done.returncode != 0
    assert "qemu-m55" in done.stderr and len(done.stderr.splitlines()) == 1


def test_bench_refuses_a_picture_it_cannot_draw_before_it_measures(tmp_path):
    done = bench("--plot", str(tmp_path / "chart.bmp"))
    assert done.returncode == 2
    assert "name it *.png or *.svg" in done.stderr and len(done.stderr.splitlines()) == 1


def row(kernels, instructions):
    layer = LayerRow(
        "conv_2d_0", "nn_conv_s8", kernels, 100, instructions - 5, 90.0, "dense", 25.0, None
    )
    return Row("qemu-m4", "kws", kernels, instructions, 90.0, None, 100, 1, 2, 3, 4, True, (layer,))


def test_ratios_are_to_one_set_or_absent():
    rows = [row("reference", 600), row("cmsis-nn", 200)]
    assert ratios(rows, "cmsis-nn") == [3.0, 1.0]
    assert ratios(rows[:1], "cmsis-nn") == [None]


def test_a_picture_has_every_set_and_the_layer_furthest_from_its_floor(tmp_path):
    rows = [row("reference", 905), row("cmsis-nn", 185)]
    draw([rows], tmp_path / "a.svg")
    draw([rows], tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    for words in ("reference", "cmsis-nn", "kws on qemu-m4; floor 0.000", "conv_2d_0, x 2.00"):
        assert f"<!-- {words}" in text or f"<!--  {words}" in text, words


def test_cmsis_nn_is_measured_on_arm_only():
    assert "cmsis-nn" in default_sets(load_board("qemu-m0"))
    assert "cmsis-nn" not in default_sets(load_board("qemu-rv32"))


@pytest.mark.parametrize(
    ("board", "signature", "empty"), [("qemu-m4", 3_000_000, 5), ("qemu-rv32", 5_100_000, 12)]
)
def test_boot_cost_is_that_of_hashing_the_images_twice_and_of_signatures(board, signature, empty):
    """On rv32, what drives the flash runs from RAM and belongs to it. `empty`: most for a byte that
    is only looked at."""
    done = bench("--boot", "--board", board, "--model", "tests/corpus/chain.tflite", "--json")
    assert done.returncode == 0, done.stderr
    (cost,) = json.loads(done.stdout)
    hashed = 2 * (cost["app_bytes"] + cost["capsule_bytes"])
    slots = cost["app_slot_bytes"] + cost["capsule_slot_bytes"]
    # SHA-256 takes 58 instructions a byte, and what is behind an image is looked at word by word.
    assert 0.8 * signature < cost["signature"] < 1.2 * signature
    least = 50 * hashed + 4 * cost["signature"] + slots
    assert least < cost["after"] < 70 * hashed + 4 * cost["signature"] + empty * slots
    assert cost["first"] > 0
