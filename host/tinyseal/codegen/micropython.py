"""Plans -> the texts of a MicroPython module with these models."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tinyseal.codegen.generate import UNMETERED, Terms, emit_layers, generate_capsule
from tinyseal.codegen.templates import render
from tinyseal.plan.model import Plan


def symbol(plan: Plan) -> str:
    """What a model's table is called, where several are linked into one program."""
    return "capsule_" + re.sub(r"\W", "_", plan.graph.name, flags=re.ASCII)


def generate_model(plan: Plan, kernels: str, terms: Terms = UNMETERED) -> str:
    capsule = generate_capsule(plan, kernels, terms, is_image=False)
    return render("micropython/model.c", symbol=symbol(plan), capsule=capsule)


def generate_models(plans: Sequence[Plan]) -> str:
    """The list that the module looks models up in."""
    return render("micropython/models.c", symbols=[symbol(plan) for plan in plans])


def generate_build_files(sources: Sequence[str]) -> dict[str, str]:
    """For MicroPython's two ways to build: make, and CMake."""
    names = ("micropython.mk", "micropython.cmake")
    return {name: render(f"micropython/{name}", sources=sources) for name in names}


def generate_readme(plans: Sequence[Plan], natives: Sequence[str]) -> str:
    return render(
        "micropython/README.md",
        names=[plan.graph.name for plan in plans],
        board=plans[0].board,
        natives=natives,
        models=[
            {
                "name": plan.graph.name,
                "id": plan.graph.model_id,
                "arena": sum(plan.arena_bytes),
                "constants": sum(layer.constant_bytes for layer in emit_layers(plan)),
            }
            for plan in plans
        ],
    )
