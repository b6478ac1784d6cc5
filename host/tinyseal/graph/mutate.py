"""Damaged copies of model files, for the torture of the importer: file number -> bytes, always
the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from flatbuffers import encode

from tinyseal.errors import ToolError
from tinyseal.graph.tflite import import_tflite

CHANGES_PER_FILE: Final = (1, 1, 1, 2, 3)  # few: with more, most files fall at the first read
VECTOR_FIELDS: Final = 16  # of a vector's elements, so many become fields of their own


@dataclass(frozen=True)
class Field:
    """A range of the file the importer reads as one value: offset, length, enum, number."""

    offset: int
    bytes: int
    in_vector: bool = False  # a dimension, index, scale, zero point or constant: never structure


@dataclass(frozen=True)
class Seed:
    """A sound model, and every field the importer reads of it, in the order of reading."""

    name: str
    data: bytes
    fields: tuple[Field, ...]

    @cached_property
    def numbers(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.in_vector) or self.fields


def make_seed(name: str, data: bytes) -> Seed:
    """Imports `data` once and notes what was read."""
    fields: dict[Field, None] = {}
    # A refused model is as good a seed, up to where it was refused.
    with _recorded(fields), suppress(ToolError):
        import_tflite(data, name)
    return Seed(name, data, tuple(f for f in fields if f.offset + f.bytes <= len(data)))


@contextmanager
def _recorded(fields: dict[Field, None]) -> Iterator[None]:
    """While open, what flatbuffers reads is added to `fields`."""
    get, vector = encode.Get, encode.GetVectorAsNumpy

    def recording_get(packer: Any, buffer: Any, head: int) -> Any:
        fields[Field(head, packer.size)] = None
        return get(packer, buffer, head)

    def recording_vector(dtype: Any, buffer: Any, count: int, offset: int) -> Any:
        values = vector(dtype, buffer, count, offset)
        for i in range(min(count, VECTOR_FIELDS)):
            fields[Field(offset + i * values.itemsize, values.itemsize, True)] = None
        return values

    encode.Get, encode.GetVectorAsNumpy = recording_get, recording_vector
    try:
        yield
    finally:
        encode.Get, encode.GetVectorAsNumpy = get, vector


def mutate(seeds: Sequence[Seed], number: int, seed: int) -> bytes:
    """Damaged file `number` of campaign `seed`."""
    rng = random.Random(f"{seed}/{number}")
    model = rng.choice(seeds)
    data = bytearray(model.data)
    for _ in range(rng.choice(CHANGES_PER_FILE)):
        rng.choice(CHANGES)(data, model, seeds, rng)
    return bytes(data)


Change = Callable[[bytearray, Seed, Sequence[Seed], random.Random], None]


def _field(
    data: bytearray, model: Seed, rng: random.Random, fields: Sequence[Field] = ()
) -> Field | None:
    """A field still inside the file; earlier changes may have cut it."""
    field = rng.choice(fields or model.fields)
    return field if field.offset + field.bytes <= len(data) else None


def _put(data: bytearray, field: Field, value: int) -> None:
    size = field.bytes
    data[field.offset : field.offset + size] = (value % 256**size).to_bytes(size, "little")


def _flip_anywhere(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _flip_in_field(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    if field := _field(data, model, rng):
        data[field.offset + rng.randrange(field.bytes)] ^= 1 << rng.randrange(8)


def _set_field(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    """A value from the edges of its type, of the file, and of what sound files hold."""
    if field := _field(data, model, rng):
        _put(data, field, rng.choice(_edges(data, field, rng)))


def _set_number(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    """As _set_field, but where the file stays readable: what it then says is wrong."""
    if field := _field(data, model, rng, model.numbers):
        _put(data, field, rng.choice(_edges(data, field, rng)))


def _edges(data: bytearray, field: Field, rng: random.Random) -> tuple[int, ...]:
    bits = 8 * field.bytes
    old = int.from_bytes(data[field.offset : field.offset + field.bytes], "little")
    return (
        *(0, 1, 2, 127, 128, 2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1, 2 ** (bits // 2)),
        *(len(data), len(data) - field.offset, -field.offset),
        *(old + 1, old - 1, old + 4, old - 4, 2 * old, 3 * old, -old),
        *(0x7F800000, 0x7FC00000, 0x00000001, 0xFF7FFFFF),  # infinity, NaN, tiny, huge
        *(rng.randrange(8), rng.randrange(256), rng.getrandbits(bits)),
    )


def _copy_field(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    """One field's value into another: offsets and lengths that are right, but elsewhere."""
    source, target = _field(data, model, rng), _field(data, model, rng)
    if source and target:
        value = int.from_bytes(data[source.offset : source.offset + source.bytes], "little")
        _put(data, target, value)


def _retarget(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    """A field becomes the distance to another one: a table read as some other table."""
    source, target = _field(data, model, rng), _field(data, model, rng)
    if source and target:
        _put(data, source, rng.choice((1, -1)) * (target.offset - source.offset))


def _truncate(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _append(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    """A random tail; half of them look like the zip archive of TFLite metadata."""
    tail = rng.randbytes(rng.randint(1, 256))
    if rng.random() < 0.5:
        tail = b"PK\3\4" + tail + b"PK\1\2" + rng.randbytes(46) + b"PK\5\6" + rng.randbytes(18)
    data += tail


def _splice(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    """The head of this file, the rest of another, cut at the same place."""
    other = rng.choice(seeds).data
    cut = rng.randrange(min(len(data), len(other)) + 1)
    data[cut:] = other[cut:]


def _copy_block(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    if data:
        size = rng.randint(1, min(64, len(data)))
        source, target = (rng.randrange(len(data) - size + 1) for _ in range(2))
        data[target : target + size] = data[source : source + size]


def _fill_block(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    if data:
        start = rng.randrange(len(data))
        size = min(rng.randint(1, 64), len(data) - start)
        data[start : start + size] = bytes([rng.choice((0, 0xFF, 0x80))]) * size


def _shift(data: bytearray, model: Seed, seeds: Sequence[Seed], rng: random.Random) -> None:
    """Bytes taken out or put in: everything behind them moves."""
    at, size = rng.randrange(len(data) + 1), rng.randint(1, 16)
    if rng.random() < 0.5:
        del data[at : at + size]
    else:
        data[at:at] = rng.randbytes(size)


# What aims at fields is listed several times: most bytes are weights, where damage is sound.
CHANGES: Final[tuple[Change, ...]] = (
    _set_field,
    _set_field,
    _set_field,
    _set_number,
    _set_number,
    _set_number,
    _set_number,
    _set_number,
    _set_number,
    _copy_field,
    _copy_field,
    _retarget,
    _retarget,
    _flip_in_field,
    _flip_in_field,
    _flip_anywhere,
    _truncate,
    _append,
    _splice,
    _copy_block,
    _fill_block,
    _shift,
)
