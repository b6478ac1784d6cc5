"""Hostile bytes for what the host reads of devices and of people: records, receipts, vouchers.
Each is read or refused, never more than that, and soon."""

from __future__ import annotations

import json
import random
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import cbor2

from tinyseal.errors import BuildError, ToolError
from tinyseal.fleet.alerts import USUAL, alerts
from tinyseal.fleet.metrics import families
from tinyseal.fleet.receipts import read_receipt
from tinyseal.fleet.telemetry import read_record
from tinyseal.fleet.vouchers import from_text
from tinyseal.fleet.watch import Watched, Window, window_json
from tinyseal.fleet.watch_page import watch_page
from tinyseal.torture.fuzz import FuzzResult, Target

SECONDS: Final = 1.0  # that one may take
MAX_BYTES: Final = 4096

MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)


def _shown(data: bytes) -> None:
    """A record that is taken is shown, too: on the page, as JSON, as metrics."""
    window = Window(1, MOMENT, read_record(data))
    taken = (window,)
    is_start = window.record.kind == "start"
    device = Watched("00", None, () if is_start else taken, taken if is_start else (), 0)
    watch_page([device], alerts([device], USUAL, MOMENT), MOMENT)
    json.dumps([device.to_json(), window_json(window)], allow_nan=False)
    for family in families([device], MOMENT):
        assert family.points


# By the beginning of a file's name.
READERS: Final[dict[str, Callable[[bytes], object]]] = {
    "record": _shown,
    "receipt": read_receipt,
    "voucher": lambda data: from_text(data.decode("latin-1")),
}


def fuzz_fleet(
    count: int, seed: int, report: Callable[[int], None] = lambda done: None
) -> FuzzResult:
    """`count` inputs, each made of one of the corpus; same seed, same inputs."""
    files = sorted(p for p in Target.FLEET.corpus.glob("*") if p.is_file())
    if not files:
        raise BuildError(f"{Target.FLEET.corpus}: holds nothing to begin with")
    corpus = [(READERS[p.name.split("_")[0]], p.read_bytes()) for p in files]
    rng = random.Random(seed)
    began = time.monotonic()
    failures, message = 0, ""
    for number in range(count):
        reader, data = corpus[rng.randrange(len(corpus))]
        wrong = _feed(reader, _mutated(rng, data, corpus))
        if wrong is not None:
            failures += 1
            message = message or f"input {number} of seed {seed}: {wrong}"
        if number % 1000 == 0:
            report(number)
    return FuzzResult(count, failures, round(time.monotonic() - began, 1), message)


def _feed(reader: Callable[[bytes], object], data: bytes) -> str | None:
    """What went wrong, if something did."""
    began = time.monotonic()
    try:
        reader(data)
    except ToolError:
        pass
    except Exception as e:  # what this looks for
        where = traceback.extract_tb(e.__traceback__)[-1]
        return f"{type(e).__name__}: {e} ({Path(where.filename).name}:{where.lineno})"
    took = time.monotonic() - began
    return f"took {took:.1f} s" if took > SECONDS else None


def _mutated(
    rng: random.Random, data: bytes, corpus: list[tuple[Callable[[bytes], object], bytes]]
) -> bytes:
    if data[0] >> 5 == 5 and rng.random() < 0.5:  # a map of CBOR: sound, with other contents
        fields = cbor2.loads(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            _change(rng, fields)
        return cbor2.dumps(fields)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(out) + 1)
        end = min(len(out), at + rng.choice((1, 1, 2, 4, 9, 40)))
        way = rng.randrange(6)
        if way == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif way == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 0x18, 0x1B, 0x3B, 0x5F, 0x7F, 0x80, 0x9B, 0xBF, 0xFB, 0xFF))
        elif way == 2:
            del out[at:end]
        elif way == 3:
            out[at:at] = rng.randbytes(end - at or 1)
        elif way == 4:
            out[at:at] = out[at:end] * rng.choice((1, 2, 50))
        else:
            other = corpus[rng.randrange(len(corpus))][1]
            begin = rng.randrange(len(other))
            out[at:end] = other[begin : begin + rng.choice((1, 4, 30, 200))]
    return bytes(out[:MAX_BYTES])


def _change(rng: random.Random, tree: Any) -> None:
    """One value anywhere in it: another one, gone, or there twice."""
    key = rng.choice(list(tree) if isinstance(tree, dict) else range(len(tree)))
    if isinstance(tree[key], list) and tree[key] and rng.random() < 0.8:
        _change(rng, tree[key])
    elif rng.random() < 0.3:
        if len(tree) > 1:
            del tree[key]
    elif isinstance(tree, list) and rng.random() < 0.3:
        tree.insert(key, tree[key])
    else:
        tree[key] = rng.choice(
            (0, 1, -1, 255, 65535, 2**31, 2**32 - 1, 2**40, 1.5, float("nan"), None, "x", b"", [],
             [[]], {}, True, tree[key])
        )  # fmt: skip
