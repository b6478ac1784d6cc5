"""Plan -> C text. Same plan, same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from tinyseal.codegen.emission import Emission, Emitted
from tinyseal.codegen.emitters import EMITTERS
from tinyseal.codegen.templates import render
from tinyseal.graph.ir import DType, Tensor
from tinyseal.graph.reference_statistics import Reference
from tinyseal.graph.selftest import SEED, expected_crc
from tinyseal.plan.model import Plan, Step

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

    @property
    def constant_bytes(self) -> int:
        """Flash of its weights and other arrays."""
        return sum(array.data.nbytes for array in self.c.arrays)


def emit_layers(plan: Plan) -> list[Layer]:
    layers = []
    for step in plan.steps:
        emission = Emission(plan, step)
        EMITTERS[step.kernel.function](emission)
        layers.append(Layer(step, emission.done()))
    return layers


@dataclass(frozen=True)
class Terms:
    """On what terms a model runs."""

    is_metered: bool = False  # every inference is a prepaid query
    family: str = ""  # vouchers for the family are good for all its models
    reference: Reference | None = None  # what inputs and outputs are held against


UNMETERED: Final = Terms()


def family_id(family: str) -> bytes:
    """What stands for a family where a model id could stand; zeros for none."""
    return hashlib.sha256(family.encode()).digest() if family else bytes(32)


def generate_capsule(
    plan: Plan, kernels: str = "auto", terms: Terms = UNMETERED, *, is_image: bool = True
) -> str:
    """The text of `capsule.c`: constants, one function a layer, and the capsule table. `kernels`
    is the kernel set the user asked for. Not an image: linked into a program by its own scripts,
    which know no section for the table."""
    layers = emit_layers(plan)
    states = _states(plan)
    headers = {h for layer in layers for h in layer.c.headers}
    return render(
        "capsule.c",
        plan=plan,
        graph=plan.graph,
        kernels=kernels,
        is_image=is_image,
        layers=layers,
        headers=sorted(headers - {"string.h"}),
        has_string_h=bool(states) or "string.h" in headers,
        shared={a.name: a for layer in layers for a in layer.c.shared}.values(),
        functions={f.name: f for layer in layers for f in layer.c.functions}.values(),
        states=states,
        model_id_bytes=[f"0x{b:02x}" for b in bytes.fromhex(plan.graph.model_id)],
        family_bytes=[f"0x{b:02x}" for b in family_id(terms.family)],
        policy="CAPSULE_METERED" if terms.is_metered else "CAPSULE_UNMETERED",
        reference=terms.reference,
        test_seed=SEED,
        test_crc=expected_crc(plan.graph),
        inputs=[_tensor(plan, i) for i in plan.graph.inputs],
        outputs=[_tensor(plan, i) for i in plan.graph.outputs],
        arena_bytes=per_region(plan.arena_bytes),
        state_bytes=per_region(plan.state_bytes),
    )


def _states(plan: Plan) -> list[dict[str, int]]:
    """Where each variable tensor lies, and the byte it starts with: TFLM starts int8 state at
    its zero point, every other at 0 (which then is its zero point)."""
    states = []
    for tensor in plan.graph.tensors:
        if tensor.is_variable and tensor.index in plan.buffers:
            at = plan.buffers[tensor.index]
            zero = tensor.quant.zero_point if tensor.quant and tensor.dtype is DType.S8 else 0
            states.append(
                {"region": at.region, "offset": at.offset, "bytes": at.bytes, "byte": zero & 0xFF}
            )
    return states


def per_region(values: tuple[int, ...]) -> tuple[int, ...]:
    """`values` of the regions a board has, zeros for the rest."""
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
