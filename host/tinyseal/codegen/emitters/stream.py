"""Two layers as one function: each call by the emitter of its own kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tinyseal.codegen.emission import Emission, Part
from tinyseal.plan.kernels.stream import Move, Place, Stream
from tinyseal.plan.model import Buffer

Emitter = Callable[[Emission], None]


def emitter(emitters: Mapping[str, Emitter]) -> Emitter:
    """Of streams; `emitters` are those of the kernels they call."""

    def emit(e: Emission) -> None:
        p = e.step.lowered.params
        assert isinstance(p, Stream) and e.step.scratch is not None
        e.header("string.h")
        memory = {
            "input": e.plan.buffers[e.step.lowered.inputs[0]],
            "output": e.plan.buffers[e.step.lowered.outputs[0]],
            "lines": e.step.scratch,
        }

        def at(place: Place) -> Buffer:
            whole = memory[place.memory]
            return replace(whole, offset=whole.offset + place.offset)

        scratch = at(Place("lines", p.lines))
        for call in p.calls:
            if isinstance(call, Move):
                lines, rows = at(Place("lines", 0)), at(Place("lines", call.offset))
                pointers = f"{e.pointer(lines)}, {e.pointer(rows)}"
                e.statement(f"memmove({pointers}, {call.bytes});")
                continue
            item = replace(call.lowered, params=call.params)
            step = replace(e.step, lowered=item, kernel=call.kernel, scratch=scratch)
            part = Part(e, step, at(call.source), at(call.target))
            emitters[call.kernel.function](part)
            part.finish()

    return emit
