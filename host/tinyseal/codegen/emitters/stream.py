"""Several layers as one function: each call by the emitter of its own kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import repeat

from tinyseal.codegen.emission import Emission, Part
from tinyseal.plan.kernels.stream import Move, Place, Stream, loops

Emitter = Callable[[Emission], None]


def emitter(emitters: Mapping[str, Emitter]) -> Emitter:
    """Of streams; `emitters` are those of the kernels they call."""

    def emit(e: Emission) -> None:
        p = e.step.lowered.params
        own = e.step.scratch
        assert isinstance(p, Stream) and own is not None
        e.header("string.h")
        memory = {
            "input": e.plan.buffers[e.step.lowered.inputs[0]],
            "output": e.plan.buffers[e.step.lowered.outputs[0]],
            "lines": own,
        }

        def at(place: Place, stride: int = 0) -> str:
            whole = memory[place.memory]
            offset = f"{whole.offset + place.offset}" + (f" + turn * {stride}" if stride else "")
            return e.pointer_to(whole.region, offset)

        scratch = replace(own, offset=own.offset + p.lines, bytes=own.bytes - p.lines)
        for loop in loops(p.calls):
            margin = "    " if loop.count > 1 else ""
            if loop.count > 1:
                e.statement(f"for (int turn = 0; turn < {loop.count}; turn++) {{")
            for call, strides in zip(loop.calls, loop.strides, strict=True):
                *sources, target = map(at, call.places, strides or repeat(0))
                if isinstance(call, Move):
                    e.statement(f"{margin}memmove({target}, {sources[0]}, {call.bytes});")
                    continue
                item = replace(call.lowered, params=call.params)
                step = replace(e.step, lowered=item, kernel=call.kernel, scratch=scratch)
                part = Part(e, step, sources, target)
                emitters[call.kernel.function](part)
                part.finish(margin)
            if loop.count > 1:
                e.statement("}")

    return emit
