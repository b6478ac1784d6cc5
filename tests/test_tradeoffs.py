"""optimise= and ram=: what is asked for is had, at the least cost there is."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.host_capsule import HostCapsule
from support.random_network import Maker, random_network
from tinyseal.errors import PlanError
from tinyseal.graph.load import load_model
from tinyseal.graph.lowering import Alias
from tinyseal.graph.ops import lower
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.tflite import import_tflite
from tinyseal.plan import planner
from tinyseal.plan.choose import candidates
from tinyseal.plan.cost import code_bytes
from tinyseal.plan.goal import Goal, Optimise
from tinyseal.plan.kernels import KernelSet
from tinyseal.plan.kernels.stream import Stream
from tinyseal.plan.planner import draft, plan
from tinyseal.plan.search import NEARLY, fastest
from tinyseal.plan.tuning import Measured, Tuning, shape_key
from tinyseal.profiles import load_board

PROJECT = Path(__file__).resolve().parents[1]
M4 = load_board("qemu-m4")
NAMES = ("kws", "ic", "vww", "ad")


def model(name):
    return load_model(PROJECT / "models" / f"{name}_int8.tflite")


@pytest.mark.parametrize("name", NAMES)
def test_each_goal_has_the_least_of_its_own(name):
    graph = model(name)
    plans = {goal: plan(graph, M4, goal=Goal(goal)) for goal in Optimise}
    least = {
        Optimise.SPEED: lambda p: p.instructions,
        Optimise.SIZE: code_bytes,
        Optimise.RAM: lambda p: sum(p.arena_bytes),
    }
    for goal, figure in least.items():
        slack = NEARLY if goal is Optimise.SPEED else 1
        assert figure(plans[goal]) <= slack * min(figure(p) for p in plans.values())
    assert sum(plans[Optimise.RAM].arena_bytes) == plans[Optimise.RAM].arena_lower_bound


@pytest.mark.parametrize(("name", "most"), [("ic", 34_000), ("vww", 40_000)])
def test_what_is_nearly_as_fast_and_smaller_is_taken(name, most):
    graph = model(name)
    made = plan(graph, M4)
    fewest = sum(
        candidates(lower(graph, op), M4, None)[0].instructions
        for op in graph.ops
        if not isinstance(lower(graph, op).params, Alias)
    )
    assert sum(made.arena_bytes) <= most
    assert fewest < made.instructions <= NEARLY * fewest
    measured = Tuning({shape_key(made.steps[0].lowered.params): Measured("nn_conv_s8")})
    tuned = plan(graph, M4, goal=Goal(tuning=measured))
    assert tuned.steps[0].is_tuned and tuned.macs == made.macs
    assert not any(isinstance(step.lowered.params, Stream) for step in tuned.steps)


def test_a_budget_is_met_and_less_ram_never_costs_fewer_instructions():
    graph = model("kws")
    fast, lean = plan(graph, M4), plan(graph, M4, goal=Goal(Optimise.RAM))
    most, least = sum(fast.arena_bytes), sum(lean.arena_bytes)
    assert least < most
    costs = []
    for ram in np.linspace(most, least, 3, dtype=int).tolist():
        made = plan(graph, M4, goal=Goal(ram=ram))
        assert sum(made.arena_bytes) <= ram
        costs.append(made.instructions)
    assert costs[0] == fast.instructions and costs == sorted(costs)
    assert costs[-1] <= lean.instructions
    with pytest.raises(PlanError) as caught:
        plan(graph, M4, goal=Goal(ram=least - 1))
    assert f"arena needs {least} B at least, ram= allows {least - 1} B: 1 B too many" in str(
        caught.value
    )
    assert f"try ram={least} or a smaller input" in str(caught.value)


def every_plan(graph, goal, monkeypatch):
    """Bytes and instructions of all routes, streams among them, where they are few enough to try;
    of the best alone where that fits."""
    every = []

    def routes(ways, step=0):
        if step == len(ways):
            yield ()
        else:
            for way in ways[step]:
                yield from ((way, *rest) for rest in routes(ways, way.end))

    def try_all(ways, lay_out, *_):
        few = list(itertools.islice(routes(ways), 513))
        if len(few) <= 512:
            every.extend(lay_out(route) for route in few)
        return lay_out(fastest(ways))

    with monkeypatch.context() as patched:
        patched.setattr(planner, "smallest_arena", try_all)
        patched.setattr(planner, "cheapest_that_fits", try_all)
        made = draft(graph, M4, goal=goal)
    return {(sum(p.arena_bytes), p.instructions) for p in every or [made]}


def networks(count):
    for seed in range(count):
        rng = np.random.default_rng([12, seed])
        yield seed, import_tflite(random_network(rng, 12) if seed % 3 else residual(rng), "m")


def residual(rng):
    """Two residual blocks, as random as the rest."""
    maker = Maker(rng)
    x = maker.input((1, 5 + maker.below(9), 1 + maker.below(9), 1 + maker.below(4)))
    maker.builder.output(maker.residual(maker.residual(x)).index)
    return maker.builder.build()


def test_the_search_finds_what_trying_everything_finds(monkeypatch, campaign):
    tried = 0
    smallest = Goal(Optimise.RAM)
    for seed, graph in networks(120 * campaign):
        figures = every_plan(graph, smallest, monkeypatch)
        if len(figures) < 3:
            continue
        tried += 1
        lean = plan(graph, M4, goal=smallest)
        assert (sum(lean.arena_bytes), lean.instructions) == min(figures), seed
        for ram in sorted({size for size, _ in figures})[:: 1 + len(figures) // 5]:
            within = every_plan(graph, Goal(ram=ram), monkeypatch)
            made = plan(graph, M4, goal=Goal(ram=ram))
            assert made.instructions == min(c for size, c in within if size <= ram), (seed, ram)
    assert tried > 5 * campaign


@pytest.mark.parametrize("goal", [Goal(Optimise.SIZE), Goal(Optimise.RAM)])
def test_a_lean_plan_computes_the_same_bytes(goal, tmp_path):
    graph = model("kws")
    made = plan(graph, load_board("host"), KernelSet.REFERENCE, goal=goal)
    shape = graph.tensor(graph.inputs[0]).shape
    value = np.random.default_rng(3).integers(-128, 128, shape, dtype=np.int8)
    (wanted,) = Interpreter(graph).invoke([value])
    np.testing.assert_array_equal(HostCapsule(made, tmp_path).invoke([value])[0], wanted)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from tinyseal.cli import main; main()", *arguments],
        cwd=PROJECT, env=os.environ | {"PYTHONPATH": str(PROJECT / "host")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(("optimise", "most"), [("size", 8 << 10), ("speed", 20 << 10)])
def test_code_on_the_m4_is_within_its_limit(optimise, most):
    done = run("bench", "--model", "models/kws_int8.tflite", "--kernels", "auto",
               "--optimise", optimise, "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["bit_exact"] and row["flash_code"] <= most


def test_check_plans_for_the_budget_or_says_what_it_would_take():
    done = run("check", "models/kws_int8.tflite", "--ram", "10k", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["fits"] and report["ram"] == 10240
    assert report["arena"][0]["bytes"] <= report["arena"][0]["free"] == 10240
    done = run("check", "models/kws_int8.tflite", "--ram", "4k")
    assert done.returncode == 1, done.stderr
    assert "ram= allows 4096 B" in done.stdout and "fits" not in done.stdout
    done = run("check", "models/kws_int8.tflite", "--ram", "4x")
    assert done.returncode == 2
    assert "expected bytes, as 49152 or 48k" in done.stderr
    assert len(done.stderr.splitlines()) == 1
