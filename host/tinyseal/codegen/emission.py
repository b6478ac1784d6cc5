"""What an emitter hands to the template: C objects as data, so that templates only lay out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tinyseal.graph.lowering import Array
from tinyseal.plan.model import Buffer, Plan, Step

C_TYPES: Final = {
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "int64": "int64_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
    "float32": "float",
    "bool": "uint8_t",
}


@dataclass(frozen=True, eq=False)
class CArray:
    """A constant array, aligned to 4 bytes or more."""

    name: str
    data: Array

    @property
    def ctype(self) -> str:
        return C_TYPES[self.data.dtype.name]

    @property
    def size(self) -> int:
        return int(self.data.size)


@dataclass(frozen=True)
class CStruct:
    """A constant struct with designated initialisers, every value already C text."""

    ctype: str
    name: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CFunction:
    """A kernel's instance: one call with constants, which layers of the same sizes share."""

    name: str
    parameters: str
    statement: str


@dataclass(frozen=True, eq=False)
class Emitted:
    """One layer in C: constants, and the statements of its function."""

    headers: tuple[str, ...] = ()
    shared: tuple[CArray, ...] = ()  # one of a name in the whole capsule
    functions: tuple[CFunction, ...] = ()  # likewise
    arrays: tuple[CArray, ...] = ()
    structs: tuple[CStruct, ...] = ()
    statements: tuple[str, ...] = ()


class Emission:
    """Collects one layer's C; emitters call it, in order, then return `emission.done()`."""

    def __init__(self, plan: Plan, step: Step) -> None:
        self.plan = plan
        self.step = step
        self.prefix = f"layer_{step.index}"
        self._headers: list[str] = []
        self._arrays: list[CArray] = []
        self._shared: list[CArray] = []
        self._functions: list[CFunction] = []
        self._structs: list[CStruct] = []
        self._statements: list[str] = []

    def header(self, name: str) -> None:
        self._headers.append(name)

    def array(self, suffix: str, data: Array | None) -> str:
        """A constant array named `layer_N_<suffix>`; the name, or `0` for None."""
        if data is None:
            return "0"
        array = CArray(f"{self.prefix}_{suffix}", np.ascontiguousarray(data))
        self._arrays.append(array)
        return array.name

    def shared_array(self, suffix: str, data: Array) -> str:
        """A constant array named `shared_<suffix>`, the same for every layer that asks for it."""
        array = CArray(f"shared_{suffix}", np.ascontiguousarray(data))
        self._shared.append(array)
        return array.name

    def shared_function(self, suffix: str, parameters: str, statement: str) -> str:
        """A function named `shared_<suffix>`, the same for every layer that asks for it."""
        function = CFunction(f"shared_{suffix}", parameters, statement)
        self._functions.append(function)
        return function.name

    def struct(self, ctype: str, suffix: str, **fields: Any) -> str:
        """A constant struct; integers and C text as values; returns its name."""
        name = f"{self.prefix}_{suffix}"
        values = tuple((key, str(value)) for key, value in fields.items())
        self._structs.append(CStruct(ctype, name, values))
        return name

    def statement(self, text: str) -> None:
        self._statements.append(text)

    def input(self, position: int) -> str:
        """C expression of type `const void *` for an input, constant or not."""
        index = self.step.lowered.inputs[position]
        data = self.plan.graph.tensor(index).data
        if data is not None:
            return self.array(f"input_{position}", data)
        return self.pointer(self.plan.buffers[index])

    def output(self, position: int = 0) -> str:
        """C expression of type `void *`."""
        return self.pointer(self.plan.buffers[self.step.lowered.outputs[position]])

    def state(self, position: int) -> str:
        return self.pointer(self.plan.buffers[self.step.lowered.state[position]])

    def scratch(self) -> str:
        assert self.step.scratch is not None
        return self.pointer(self.step.scratch)

    def done(self) -> Emitted:
        return Emitted(
            tuple(self._headers),
            tuple(self._shared),
            tuple(self._functions),
            tuple(self._arrays),
            tuple(self._structs),
            tuple(self._statements),
        )

    @staticmethod
    def pointer(buffer: Buffer) -> str:
        return Emission.pointer_to(buffer.region, str(buffer.offset))

    @staticmethod
    def pointer_to(region: int, offset: str) -> str:
        # Through void *: the arena and every tensor in it are aligned to CAPSULE_ALIGN.
        return f"(void *)(memory->region[{region}] + {offset})"


class Part(Emission):
    """One of several calls in a layer: what they have in common is there once."""

    def __init__(
        self, whole: Emission, step: Step, inputs_at: Sequence[str], output_at: str
    ) -> None:
        super().__init__(whole.plan, step)
        self._whole = whole
        self._inputs_at = inputs_at
        self._output_at = output_at
        self._headers, self._shared = whole._headers, whole._shared
        self._functions = whole._functions

    def array(self, suffix: str, data: Array | None) -> str:
        if data is None:
            return "0"
        for array in self._whole._arrays:
            if array.data.dtype == data.dtype and np.array_equal(array.data, data):
                return array.name
        return self._whole.array(f"{len(self._whole._arrays)}_{suffix}", data)

    def struct(self, ctype: str, suffix: str, **fields: Any) -> str:
        values = tuple((key, str(value)) for key, value in fields.items())
        for struct in self._whole._structs:
            if (struct.ctype, struct.fields) == (ctype, values):
                return struct.name
        return self._whole.struct(ctype, f"{len(self._whole._structs)}_{suffix}", **fields)

    def input(self, position: int) -> str:
        return self._inputs_at[position]

    def output(self, position: int = 0) -> str:
        return self._output_at

    def finish(self, margin: str) -> None:
        """Hands the call over, in a block of its own."""
        lines = ["{", *(f"    {text}" for text in self._statements), "}"]
        self._whole._statements += [margin + line for line in lines]
