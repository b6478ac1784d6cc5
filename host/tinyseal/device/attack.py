"""Bad images of every kind, in the flash of a board whose bootloader is then attacked by faults."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tinyseal.board import HEADER_BYTES, Board
from tinyseal.device.faults import (
    Fault,
    Kind,
    Outcome,
    Tally,
    Target,
    Visit,
    every_fault,
    functions,
    inject,
    random_doubles,
    trace,
    without_hot,
)
from tinyseal.errors import BoardError, UsageError
from tinyseal.package.keys import DEV_SIGN, Key, load_key
from tinyseal.package.mcuboot import Version
from tinyseal.package.provision import counter_image
from tinyseal.package.sign import SignRequest, sign_image, slot_of

PAYLOAD_BYTES: Final = 1024  # what is hashed at each run; the path is the same for more
COUNTER: Final = 5  # of the board: images with less are old
PASSES: Final = 2  # of a loop: its first and its last ones
HOT: Final = 1000  # executions in one run, of an instruction that is left alone
RUN_INSTRUCTIONS: Final = 60_000_000  # several times what refusing takes
REST: Final = "stay"

# Arithmetic whose every wrong result is a wrong hash or signature; sampled, not walked.
ARITHMETIC: Final = (
    "sha256_", "sha512_", "compress", "load_", "store_", "rotate", "crypto_", "fe_", "ge_",
    "lookup_", "slide_", "mod_l", "redc", "remove_l", "multiply", "invsqrt", "is_above_l",
    "hash_to_scalar", "mem", "str",
)  # fmt: skip
# Not on the path: what the console says of it.
TALK: Final = (REST, "tell", "put", "uart", "fault", "cortexm_fault")


@dataclass(frozen=True)
class AttackResult:
    """All faults against one kind of bad image."""

    board: str
    image: str
    path: int  # instructions of the verification, passes of loops included
    count: int
    failures: int
    outcomes: dict[str, int]
    seconds: float
    fallen: tuple[str, ...]


def bad_images(board: Board, key: Key, stranger: Key) -> dict[str, bytes]:
    """One image of each kind that must never run, as it lies in application slot A."""
    payload = bytes(i * 7 & 0xFF for i in range(PAYLOAD_BYTES))
    request = SignRequest(board, "app", "a", Version(2, 0, 0, 0), COUNTER)
    other = board.model_copy(update={"name": f"other-{board.name}"})
    good = sign_image(payload, request, key)

    def bent(at: int) -> bytes:
        image = bytearray(good)
        image[at] ^= 1
        return bytes(image)

    return {
        "magic": bent(0),
        "payload": bent(HEADER_BYTES + 100),
        "signature": bent(len(good) - 1),
        "protected": bent(HEADER_BYTES + PAYLOAD_BYTES + 10),
        "truncated": good[: len(good) - 70],
        "stranger": sign_image(payload, request, stranger),
        "downgrade": sign_image(payload, replace(request, security_counter=COUNTER - 1), key),
        "capsule": sign_image(payload, replace(request, image="capsule"), key),
        "other slot": sign_image(payload, replace(request, slot="b"), key),
        "other board": sign_image(payload, replace(request, board=other), key),
    }


def attack(
    board: Board,
    bootloader: Path,
    count: int | None,
    seed: int,
    kinds: Sequence[str] = (),
    report: Callable[[int, int], None] = lambda done, of: None,
    workers: int = 2,
) -> list[AttackResult]:
    """About `count` faults (None: every one), shared between the `kinds` of bad images (none: all).

    UsageError for a kind there is not, BoardError for a board that is no Cortex-M with flash.
    """
    dice = random.Random(seed)
    private = Ed25519PrivateKey.from_private_bytes(dice.randbytes(32))
    stranger = Key(private.public_key(), private, "stranger")
    images = bad_images(board, load_key(DEV_SIGN), stranger)
    walked = functions(bootloader, lambda name: not name.startswith((*ARITHMETIC, *TALK)))
    farthest = _target(board, bootloader, images["downgrade"])  # all but its counter is right
    walked = without_hot(farthest, walked, HOT)
    for kind in kinds:
        if kind not in images:
            raise UsageError(f"no kind of bad image {kind!r}; kinds: {', '.join(images)}")
    plans = []
    for name in kinds or images:
        image = images[name]
        target = _target(board, bootloader, image)
        passes = None if count is None else PASSES
        visits = trace(target, walked, passes)
        faults = list(every_fault(visits, passes))
        plans.append((name, target, visits, faults))
    total = sum(len(faults) for *_, faults in plans)
    results: list[AttackResult] = []
    done = 0

    def report_more(more: int) -> None:
        report(done + more, total)

    for name, target, visits, faults in plans:
        if count is not None and total > count:
            faults = dice.sample(faults, max(1, len(faults) * count // total))
        faults += random_doubles(visits, max(8, len(faults) // 50), dice)
        started = time.monotonic()
        tally = inject(target, walked, visits, faults, RUN_INSTRUCTIONS, report_more, workers)
        done += len(faults)
        results.append(_result(board, name, visits, tally, time.monotonic() - started))
    return results


def _target(board: Board, bootloader: Path, image: bytes) -> Target:
    if board.flash is None or not board.core.is_arm:
        raise BoardError(f"{board.name}: faults are injected into Cortex-M boards with flash only")
    slot = slot_of(board, "app", "a")
    base = slot.address - slot.partition.offset
    counters = board.partitions("counter")[0]
    return Target(
        elf=bootloader,
        memories=tuple((m.base, m.bytes) for m in board.memory),
        contents=(
            *((base + p.offset, b"\xff" * p.bytes) for p in board.partition),
            (base + counters.offset, counter_image(board, {"app": COUNTER})),
            (slot.address, image),
        ),
        forbidden=tuple(
            (base + p.offset, p.bytes)
            for role in ("app", "capsule")
            for p in board.partitions(role)
        ),
        rest=REST,
    )


def _result(
    board: Board, image: str, visits: Sequence[Visit], tally: Tally, seconds: float
) -> AttackResult:
    return AttackResult(
        board.name,
        image,
        len(visits),
        tally.count,
        tally.outcomes[Outcome.RAN],
        {outcome.name.lower(): n for outcome, n in sorted(tally.outcomes.items(), key=str)},
        round(seconds, 1),
        tuple(f"{_told(fault)} at {address:#x}" for fault, address in tally.fallen),
    )


def _told(fault: Fault) -> str:
    detail = f" {fault.detail}" if fault.kind is not Kind.SKIP else ""
    return f"{fault.kind.value}{detail} in step {fault.step}"
