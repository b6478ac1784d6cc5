"""Bad images of every kind, in the flash of a board whose bootloader is then attacked by faults."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from elftools.elf.elffile import ELFFile

from tinyseal.board import HEADER_BYTES, Board, Memory
from tinyseal.codegen.firmware import firmware_of
from tinyseal.errors import BoardError, DeviceError, UsageError
from tinyseal.package.keys import DEV_ENCRYPT, Algorithm, Key, load_key
from tinyseal.package.mcuboot import Version, read_image
from tinyseal.package.provision import DEVICE_ID_BYTES, Identity, counter_image, storage_image
from tinyseal.package.sign import SignRequest, development_key, sign_image, signature_of, slot_of
from tinyseal.torture.faults import (
    Fault,
    HiddenFlash,
    Kind,
    Outcome,
    Tally,
    Target,
    Visit,
    every_fault,
    functions,
    inject,
    member,
    random_doubles,
    symbol,
    trace,
)

PAYLOAD_BYTES: Final = 1024  # what is hashed at each run; the path is the same for more
COUNTER: Final = 5  # of the board: images with less are old
PASSES: Final = 2  # of a loop: its first and its last ones
MIDDLE: Final = 1  # and, about, of those between
SPARE_INSTRUCTIONS: Final = 4_000_000  # that a run may take beyond twice those without a fault
UNSIGNED_DEPENDENCY: Final = struct.pack("<HHB3xQ", 0x40, 12, 1, 0)  # on any capsule
REST: Final = "stay"

# What start-up and console of a family wait for, as firmware/hal/FAMILY reads it.
READY: Final = {
    "nordic": {
        0x40000100: 1,  # CLOCK, EVENTS_HFCLKSTARTED
        0x4000211C: 1,  # UART, EVENTS_TXDRDY
        0x4001E400: 1,  # NVMC, READY
    }
}

# Not on the path: what the console says of it.
TALK: Final = (REST, "tell", "put", "put_status", "uart_write", "fault_report", "cortexm_fault")


@dataclass(frozen=True)
class AttackResult:
    """All faults against one kind of bad image."""

    board: str
    image: str
    path: int  # instructions of the program that the run without faults executes
    faulted: int  # those of them that were hit
    count: int
    failures: int
    outcomes: dict[str, int]
    seconds: float
    fallen: tuple[str, ...]


def bad_images(board: Board, key: Key, stranger: Key) -> dict[str, bytes]:
    """One image of each kind that must never run, as it lies in application slot A. Encrypted ones
    where the board decrypts, with the development key in its storage."""
    payload = bytes(i * 7 & 0xFF for i in range(PAYLOAD_BYTES))
    request = SignRequest(board, "app", "a", Version(2, 0, 0, 0), COUNTER)
    other = board.model_copy(update={"name": f"other-{board.name}"})
    good = sign_image(payload, request, key)

    def bent(at: int, by: bytes = b"\1", of: bytes = good) -> bytes:
        """The good image, its bytes from `at` on other ones: XORed with `by`."""
        image = bytearray(of)
        for i, byte in enumerate(by):
            image[at + i] ^= byte
        return bytes(image)

    protected_bytes = int.from_bytes(good[10:12], "little")
    tlvs = HEADER_BYTES + PAYLOAD_BYTES + protected_bytes  # of those without a signature
    length = len(good) - tlvs
    longer = (length + len(UNSIGNED_DEPENDENCY)).to_bytes(2, "little")
    images = {
        "magic": bent(0),
        "header": bent(12, b"\xff" * 4),  # of a length that wraps
        "payload": bent(HEADER_BYTES + 100),
        "signature": bent(len(good) - 1),
        "protected": bent(HEADER_BYTES + PAYLOAD_BYTES + 10),
        "unprotected": good[: tlvs + 2] + longer + good[tlvs + 4 :] + UNSIGNED_DEPENDENCY,
        "length": bent(
            read_image(good).entries[-1].offset + 2, b"\xff\xff"
        ),  # of the last TLV: past its section
        "trailing": good + bytes(16),
        "truncated": good[: len(good) - 70],
        "stranger": sign_image(payload, request, stranger),
        "downgrade": sign_image(payload, replace(request, security_counter=COUNTER - 1), key),
        "capsule": sign_image(payload, replace(request, image="capsule"), key),
        "other slot": sign_image(payload, replace(request, slot="b"), key),
        "other board": sign_image(payload, replace(request, board=other), key),
    }
    if board.boot is not None and board.boot.mode != "xip":
        del images["other slot"]  # an image is for both
    if board.boot is not None and board.boot.encrypted:
        nobody = X25519PrivateKey.generate()
        theirs = Key(nobody.public_key(), nobody, "theirs")
        sealed = sign_image(payload, request, key, load_key(DEV_ENCRYPT))
        images["sealed"] = sign_image(payload, request, key, theirs)
        images["ciphertext"] = bent(HEADER_BYTES + 100, of=sealed)
    return images


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
    require_attackable(board)
    dice = random.Random(seed)
    images = bad_images(board, load_key(development_key(board)), _stranger(board, dice))
    for kind in kinds:
        if kind not in images:
            raise UsageError(f"no kind of bad image {kind!r}; kinds: {', '.join(images)}")
    walked = functions(bootloader, lambda name: name not in TALK)
    plans = []
    for name in kinds or images:
        target = _target(board, bootloader, images[name])
        visits = trace(target, walked, PASSES, MIDDLE, seed)
        faults = [*every_fault(visits), *random_doubles(visits, len(visits), dice)]
        plans.append((name, target, visits, faults))
    total = sum(len(faults) for *_, faults in plans)
    results: list[AttackResult] = []
    done = 0

    def report_more(more: int) -> None:
        report(done + more, total)

    for name, target, visits, faults in plans:
        if count is not None and total > count:
            faults = dice.sample(faults, max(1, -(-len(faults) * count // total)))
        started = time.monotonic()
        limit = 2 * visits[-1].step + SPARE_INSTRUCTIONS
        tally = inject(target, faults, limit, report_more, workers)
        done += len(faults)
        results.append(_result(board, name, visits, faults, tally, time.monotonic() - started))
    return results


def _stranger(board: Board, dice: random.Random) -> Key:
    """A key that the board does not know."""
    number = dice.randbytes(32)
    if signature_of(board) is Algorithm.ECDSA_P256:
        signer = ec.derive_private_key(1 + int.from_bytes(number[1:], "big"), ec.SECP256R1())
        return Key(signer.public_key(), signer, "stranger")
    private = Ed25519PrivateKey.from_private_bytes(number)
    return Key(private.public_key(), private, "stranger")


def require_attackable(board: Board) -> None:
    """BoardError for a board that Unicorn cannot be."""
    if board.flash is None or board.boot is None or not board.core.is_arm:
        raise BoardError(f"{board.name}: faults are injected into Cortex-M boards with flash only")
    if board.core.has_mve:
        raise BoardError(
            f"{board.name}: Unicorn knows no {board.core.value}: its bootloader is compiled to "
            "loops of Armv8.1-M (DLS, LE); glitch qemu-m33, whose bootloader is of the same source"
        )
    is_modelled = board.runner is not None and board.runner.kind == "qemu"
    if not is_modelled and firmware_of(board).family not in READY:
        raise BoardError(
            f"{board.name}: its start-up waits for clocks, which this campaign has not; glitch a "
            "board that QEMU runs, its bootloader is of the same source"
        )


def _target(board: Board, bootloader: Path, image: bytes) -> Target:
    assert board.flash is not None and board.boot is not None
    flash = board.flash_memory
    assert flash is not None
    counters = board.partitions("counter")[0]
    slot = slot_of(board, "app", "a")
    slots = [p for role in ("app", "capsule") for p in board.partitions(role)]
    values = Identity(bytes(DEVICE_ID_BYTES), decrypt_key=load_key(DEV_ENCRYPT)).values()
    copied = [image for image in (board.boot.app, board.boot.capsule) if image]
    return Target(
        elf=bootloader,
        memories=tuple((m.base, m.bytes) for m in board.memory if not copied or m != flash),
        contents=(
            *((m.base, b"\xff" * m.bytes) for m in board.memory if m.kind == "flash"),
            (flash.base + counters.offset, counter_image(board, {"app": COUNTER})),
            (slot.address, image),
            *(
                (flash.base + p.offset, storage_image(board, values))
                for p in board.partitions("storage")
                if board.boot.encrypted
            ),
        ),
        forbidden=tuple(
            [(place.address, place.bytes) for place in copied]
            or [(flash.base + p.offset, p.bytes) for p in slots]
        ),
        rest=REST,
        core=board.core.value,
        flash=_hidden_flash(board, flash, bootloader) if copied else None,
        ready=READY.get(firmware_of(board).family or "", {}),
    )


def _hidden_flash(board: Board, flash: Memory, bootloader: Path) -> HiddenFlash:
    """Where images are copied to RAM, flash is what the driver says it is: Unicorn has no chip.

    Follows hal.flash of firmware/hal/hal.h in the bootloader's own bytes, by its debug information.
    """
    assert board.flash is not None
    with bootloader.open("rb") as stream:
        elf = ELFFile(stream)
        hal = symbol(elf, "hal")
        if hal is None:
            raise DeviceError(f"{bootloader.name}: has no symbol hal")
        driver = _word(elf, hal + member(elf, "hal", "flash"))
        read, program, erase = (
            _word(elf, driver + member(elf, "hal_flash", name)) & ~1
            for name in ("read", "program", "erase")
        )
    return HiddenFlash(flash.base, flash.bytes, board.flash.erase_bytes, (read, program, erase))


def _word(elf: ELFFile, at: int) -> int:
    for segment in elf.iter_segments("PT_LOAD"):
        offset = at - segment["p_vaddr"]
        if 0 <= offset <= segment["p_filesz"] - 4:
            return int.from_bytes(segment.data()[offset : offset + 4], "little")
    raise DeviceError(f"the bootloader has nothing at {at:#x}")


def _result(
    board: Board,
    image: str,
    visits: Sequence[Visit],
    faults: Sequence[Fault],
    tally: Tally,
    seconds: float,
) -> AttackResult:
    return AttackResult(
        board.name,
        image,
        len({visit.address for visit in visits}),
        len({fault.visit.address for fault in faults}),
        tally.count,
        tally.outcomes[Outcome.RAN],
        {outcome.name.lower(): n for outcome, n in sorted(tally.outcomes.items(), key=str)},
        round(seconds, 1),
        tuple(_told(fault) for fault in tally.fallen),
    )


def _told(fault: Fault) -> str:
    detail = f" {fault.detail}" if fault.kind is not Kind.SKIP else ""
    told = f"{fault.kind.value}{detail} at {fault.visit.address:#x}, step {fault.visit.step}"
    if fault.second:
        told += f"; {fault.second.after} on: {fault.second.kind.value} {fault.second.detail}"
    return told
