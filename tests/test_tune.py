"""Measured kernels: files that are obeyed, and the measuring that writes them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from support.boards import booted, firmware
from tinyseal.bench.tune import timed_over
from tinyseal.build.firmware import Request
from tinyseal.build.tuning import compiler_of, file_text, merged, read_file, tuning_of
from tinyseal.errors import BoardError, BuildError
from tinyseal.graph.load import load_model
from tinyseal.graph.ops import lower
from tinyseal.plan.goal import Goal
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.planner import plan
from tinyseal.plan.tuning import Measured, Tuning, shape_key
from tinyseal.profiles import load_board

PROJECT = Path(__file__).resolve().parents[1]
MODEL = Path("tests/corpus/conv_2d.tflite")
M4 = load_board("qemu-m4")


def params(model):
    graph = load_model(PROJECT / model)
    return lower(graph, graph.ops[0]).params


def kernels(tuning, wanted=None):
    made = plan(load_model(PROJECT / MODEL), M4, wanted, goal=Goal(tuning=tuning))
    return [(step.kernel.function, step.is_tuned, step.instructions) for step in made.steps]


def test_a_shape_is_told_by_sizes_and_not_by_values():
    conv = params(MODEL)
    assert shape_key(conv).startswith("Conv2D batches=1 in_h=")
    assert shape_key(replace(conv, in_offset=99, act_min=-1)) == shape_key(conv)
    assert shape_key(replace(conv, stride_h=7)) != shape_key(conv)
    add = params("tests/corpus/add.tflite")
    assert "walk=" in shape_key(add) and "Add" in shape_key(add)


def test_auto_obeys_a_choice_and_its_costs_and_a_set_asked_for_does_not():
    shape = shape_key(params(MODEL))
    tuning = Tuning({shape: Measured("nn_conv_s8", {"nn_conv_s8": 123})})
    assert kernels(tuning) == [("nn_conv_s8", True, 123)]
    cycles = replace(tuning, unit="cycles")
    assert kernels(cycles)[0][2] == pytest.approx(123 / M4.cost.cycles_per_instruction)
    ((function, is_tuned, _),) = kernels(tuning, KernelSet.TUNED)
    assert function != "nn_conv_s8" and not is_tuned


def test_files_are_merged_by_shape_and_compiler_and_read_back(tmp_path):
    first = Tuning({"Conv2D a=1": Measured("nn_conv_s8", {"nn_conv_s8": 5})})
    again = Tuning({"Conv2D a=1": Measured("nn_fc_s8", {"nn_fc_s8": 4, "nn_conv_s8": 6})})
    content = merged(merged(None, M4, first, "gcc 1"), M4, first, "gcc 2")
    content = merged(content, M4, again, "gcc 2")
    path = tmp_path / "t.toml"
    path.write_text(file_text(content))
    back = read_file(path, M4)
    assert back == content
    assert tuning_of(back, "gcc 1") == first and tuning_of(back, "gcc 2") == again
    assert not tuning_of(back, "gcc 3").layers
    cycles = merged(content, M4, replace(again, unit="cycles"), "gcc 2")
    assert cycles.unit == "cycles" and len(cycles.layer) == 1  # other units cannot be compared


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"nn_conv_s8"', '"nn_conf_s8"', ["nn_conf_s8", "measured: nn_conv_s8"]),
        ('board = "qemu-m4"', 'board = "qemu-m7"', ["board", "expected qemu-m4, is qemu-m7"]),
        ('unit = "instructions"', 'unit = "hours"', ["unit", "instructions"]),
        ("choice =", "choise =", ["choise"]),
        ("= 5", "= -5", ["costs"]),
    ],
)
def test_a_fault_in_a_file_is_named(tmp_path, before, after, words):
    first = Tuning({"Conv2D a=1": Measured("nn_conv_s8", {"nn_conv_s8": 5})})
    text = file_text(merged(None, M4, first, "gcc 1"))
    assert before in text
    path = tmp_path / "t.toml"
    path.write_text(text.replace(before, after, 1))
    with pytest.raises(BoardError) as caught:
        read_file(path, M4)
    assert str(path) in str(caught.value)
    assert not [word for word in words if word not in str(caught.value)]


def test_a_compiler_that_is_missing_is_named(monkeypatch):
    tools = M4.toolchain.model_copy(update={"prefix": "no-such-"})
    with pytest.raises(BuildError, match="no-such-gcc does not tell its version; apt-get install"):
        compiler_of(M4.model_copy(update={"toolchain": tools}))


def scons(*words):
    return subprocess.run(
        [sys.executable, "-m", "SCons", "-Q", f"model={MODEL}", *words],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_wrong_choice_is_obeyed_until_the_board_is_tuned_again(tmp_path):
    path, shape = tmp_path / "tuning.toml", shape_key(params(MODEL))
    slow = Tuning({shape: Measured("nn_conv_s8", {"nn_conv_s8": 1})})
    path.write_text(file_text(merged(None, M4, slow, compiler_of(M4))))
    word = f"tuning={path}"

    def built():
        done = scons(word, "firmware")
        assert done.returncode == 0, done.stderr
        assert f"tuned 1 of 1 layers by {path}" in done.stdout
        return (PROJECT / Request(M4, MODEL).folder / "capsule.c").read_text()

    assert "nn_conv_s8(" in built()
    done = scons(word, "tune")
    assert done.returncode == 0, done.stderr
    tuned = tuning_of(read_file(path, M4), compiler_of(M4)).layers[shape]
    assert tuned.choice == min(tuned.costs, key=tuned.costs.get) != "nn_conv_s8"
    assert len(tuned.costs) >= 3 and tuned.costs["nn_conv_s8"] > 1
    text = built()
    assert f"{tuned.choice}(" in text and "nn_conv_s8(" not in text


def test_a_real_board_is_timed_over_its_port():
    request = firmware("qemu-m4", MODEL)
    assert isinstance(request, Request)
    with booted(request) as client:
        port = client._transport.port
        costs = timed_over(port)(request, request.plan())
    assert len(costs) == 1 and costs[0] > 0


def test_a_board_whose_clock_says_nothing_is_refused(tmp_path):
    done = scons("board=host", f"tuning={tmp_path / 't.toml'}", "tune")
    assert done.returncode != 0
    assert "host: its runner counts neither instructions nor cycles" in done.stderr
    assert "Traceback" not in done.stderr
