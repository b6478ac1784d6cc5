"""Layers given to the tuned kernels have the reference's bytes: portable form and instructions."""

import json
import subprocess

import pytest
from typer.testing import CliRunner

from support.tuned import layers, run_chains, run_layers
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.errors import DeviceError, PlanError
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.plan.kernels import KernelSet, scale, sums, tuned
from tinyseal.plan.planner import plan
from tinyseal.profiles import load_board
from tinyseal.torture import kernels
from tinyseal.torture.kernels import torture_kernels

M4 = load_board("qemu-m4")
FUNCTIONS = {kernel.function for of in (scale, sums, tuned) for kernel in of.KERNELS}


def test_portable_form_equals_the_reference(campaign, tmp_path):
    ran = run_layers(M4, 6 * campaign, tmp_path)
    taken = [kernel.function for kernel in ran if kernel.set is KernelSet.TUNED]
    assert len(taken) > len(ran) / 3
    assert set(taken) == FUNCTIONS


def test_layers_write_over_what_the_one_before_left(campaign, tmp_path):
    """Chains: outputs slide into their inputs' memory as far as the lag says."""
    assert run_chains(M4, 12 * campaign, tmp_path) > 6 * campaign


def test_dsp_form_equals_the_reference(campaign):
    """Many layers a boot, on the virtual Cortex-M4."""
    result = torture_kernels(M4, "tuned", 150 * campaign, seed=107)
    print(f"{result.count} layers on {M4.name}")
    assert not result.failures
    assert set(result.functions) == FUNCTIONS


def test_torture_counts_names_and_keeps_what_fails(monkeypatch, tmp_path):
    broken = Interpreter.invoke

    def flip(self, inputs):
        first, *rest = broken(self, inputs)
        return [~first, *rest]

    monkeypatch.setattr(Interpreter, "invoke", flip)
    monkeypatch.setattr(kernels, "CAPSULES", 2)
    options = ["--board", "qemu-m4", "--kernels", "tuned", "--count", "1", "--jobs", "1", "--json"]
    options += ["--save", str(tmp_path / "failed")]
    done = CliRunner().invoke(app, ["torture", "kernels", *options])
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told["failures"] == 2 and told["count"] >= 1 and told["seconds"] > 0
    assert told["failed"][0].startswith("capsule 0, ")
    assert told["failed"][1].endswith("): lowest, highest, ramp, noise 1, noise 2")
    kept = sorted((tmp_path / "failed").iterdir())
    assert [path.name.split("_")[:2] for path in kept] == [["capsule", "0"], ["capsule", "1"]]
    assert all(len(load_model(path).ops) == 1 for path in kept)


def test_torture_runs_the_same_layers_in_several_processes(monkeypatch):
    monkeypatch.setattr(kernels, "CAPSULES", 1)
    apart = torture_kernels(M4, "tuned", 50, seed=2, jobs=2)
    alone = torture_kernels(M4, "tuned", 50, seed=2)
    assert apart.functions == alone.functions and not apart.failures + alone.failures


def test_torture_goes_on_behind_a_capsule_that_crashes_or_writes_where_it_must_not(monkeypatch):
    """The second write is behind what the plan says, and what the first one leaves is enough."""
    real, made = kernels.generate_capsule, []

    def spoilt(plan, *arguments, **options):
        made.append(plan)
        start = "static void invoke(const struct capsule_memory *memory)\n{\n"
        bad = ("*(volatile int *)0xfffffff0 = 1;", f"memory->region[0][{plan.arena_bytes[0]}] = 1;")
        text = real(plan, *arguments, **options)
        assert start in text
        return text.replace(start, f"{start}    {(*bad, '')[len(made) - 1]}\n")

    monkeypatch.setattr(kernels, "generate_capsule", spoilt)
    monkeypatch.setattr(kernels, "CAPSULES", 3)
    result = torture_kernels(M4, "tuned", 1, seed=1)
    assert len(made) == 3
    crashed, *guards = result.failures
    assert crashed.startswith("capsule 0: ") and "the board crashed: fault" in crashed
    assert guards[0] == "capsule 1: wrote past its arena: lowest" and len(guards) == 5


def test_a_set_without_kernels_for_the_board_is_told(monkeypatch):
    monkeypatch.setattr(kernels, "CAPSULES", 1)
    with pytest.raises(PlanError, match="takes no layer"):
        torture_kernels(load_board("host"), "tuned", 1, seed=1)


def test_a_board_that_is_not_virtual_is_told_before_anything_is_built():
    with pytest.raises(DeviceError, match=r"microbit: has no \[runner\]"):
        torture_kernels(load_board("microbit"), "auto", 1, seed=1)


def test_a_board_whose_rom_copies_code_to_ram_has_as_many_capsules_as_fit(monkeypatch):
    monkeypatch.setattr(kernels, "CAPSULES", 2)
    result = torture_kernels(load_board("esp32c3"), "auto", 1, seed=1)
    assert result.count >= 2 * kernels.LAYERS and not result.failures


def test_other_cores_take_none():
    graph = layers(1, 20)
    for step in plan(graph, load_board("host"), KernelSet.TUNED).steps:
        assert step.kernel.set is KernelSet.REFERENCE


@pytest.mark.parametrize("options", ["-O0", "-Os", "-O2 -fno-omit-frame-pointer"])
def test_compiles_with_other_peoples_flags(options, tmp_path):
    """Exported sources do; a build may keep r7 for its frames."""
    kernels = ROOT / "firmware/runtime/kernels"
    for source in sorted(kernels.glob("nn_tuned_*.c")):
        flags = ["-std=c11", "-mcpu=cortex-m4", "-mthumb", *options.split(), "-Werror", "-Wall"]
        command = ["arm-none-eabi-gcc", *flags, f"-I{kernels}", "-c", str(source)]
        subprocess.run([*command, "-o", str(tmp_path / "kernel.o")], check=True)
