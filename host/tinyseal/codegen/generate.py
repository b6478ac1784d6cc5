"""Plan -> C text. Same plan, same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from tinyseal import __version__
from tinyseal.codegen import literals
from tinyseal.codegen.emission import Emission, Emitted
from tinyseal.codegen.emitters import EMITTERS
from tinyseal.graph.ir import DType, Tensor
from tinyseal.plan.model import Plan, Step

TEMPLATES_DIR: Final = Path(__file__).resolve().parents[3] / "codegen_templates"
REGIONS: Final = 2  # CAPSULE_REGIONS

CAPSULE_DTYPES: Final = {
    DType.S8: "CAPSULE_S8",
    DType.S16: "CAPSULE_S16",
    DType.S32: "CAPSULE_S32",
    DType.S64: "CAPSULE_S64",
    DType.U8: "CAPSULE_U8",
    DType.BOOL: "CAPSULE_BOOL",
    DType.F32: "CAPSULE_F32",
}


@dataclass(frozen=True, eq=False)
class Layer:
    """A step and its C, as the template reads them."""

    step: Step
    c: Emitted


def generate_capsule(plan: Plan) -> str:
    """The text of `capsule.c`: constants, one function a layer, and the capsule table."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES_DIR),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters |= {
        "c_values": literals.c_values,
        "c_float": literals.c_float,
        "c_string": literals.c_string,
    }
    layers = []
    for step in plan.steps:
        emission = Emission(plan, step)
        EMITTERS[step.kernel.function](emission)
        layers.append(Layer(step, emission.done()))
    return environment.get_template("capsule.c.j2").render(
        version=__version__,
        plan=plan,
        graph=plan.graph,
        layers=layers,
        headers=sorted({h for layer in layers for h in layer.c.headers}),
        model_id_bytes=[f"0x{b:02x}" for b in bytes.fromhex(plan.graph.model_id)],
        inputs=[_tensor(plan, i) for i in plan.graph.inputs],
        outputs=[_tensor(plan, i) for i in plan.graph.outputs],
        arena_bytes=_per_region(plan.arena_bytes),
        state_bytes=_per_region(plan.state_bytes),
    )


def _per_region(values: tuple[int, ...]) -> tuple[int, ...]:
    return values + (0,) * (REGIONS - len(values))


def _tensor(plan: Plan, index: int) -> dict[str, Any]:
    tensor: Tensor = plan.graph.tensor(index)
    buffer = plan.buffers[index]
    return {
        "name": tensor.name,
        "bytes": tensor.bytes,
        "region": buffer.region,
        "offset": buffer.offset,
        "dims": tensor.shape or (1,),
        "rank": len(tensor.shape),
        "dtype": CAPSULE_DTYPES[tensor.dtype],
        "scale": tensor.quant.scale if tensor.quant else 0.0,
        "zero_point": tensor.quant.zero_point if tensor.quant else 0,
    }
