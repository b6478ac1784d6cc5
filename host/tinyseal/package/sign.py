"""Payload -> signed image, by imgtool: header, protected TLVs, hash, signature, encryption.

Without encryption the image is a function of its inputs: signatures take no random numbers. With
it, the payload's key is new every time; header, hash and signature stay what they were, because
they cover the payload before it was encrypted.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

import click
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from imgtool import image as imgtool_image
from imgtool import keys as imgtool_keys
from imgtool.version import SemiSemVersion

from tinyseal.board import HEADER_BYTES, Board, BootMode, Flash, Partition, trailer_bytes
from tinyseal.errors import BoardError, ImageError, UsageError
from tinyseal.package.keys import DEV_SIGN, DEV_SIGN_P256, Algorithm, Key
from tinyseal.package.mcuboot import HEADER, MPY_MODEL, Version
from tinyseal.profiles import board_names, load_board

ImageName = Literal["app", "capsule"]
SlotName = Literal["a", "b"]
IMAGE_NAMES: Final[tuple[ImageName, ...]] = get_args(ImageName)
SLOT_NAMES: Final[tuple[SlotName, ...]] = get_args(SlotName)
IMAGE_NUMBERS: Final[dict[str, int]] = {"app": 0, "capsule": 1}  # of dependencies
SLOT_NUMBERS: Final[dict[str, int]] = {"a": 0, "b": 1}

# imgtool tells on stdout what it signs. Its print is silenced, and not stdout redirected, which
# would swallow what the build's other threads say meanwhile.
vars(imgtool_image)["print"] = lambda *args, **kwargs: None

VENDOR: Final = "tinyseal"  # imgtool sign --vid tinyseal
VENDOR_UUID: Final = uuid.uuid5(uuid.NAMESPACE_DNS, VENDOR)


def class_name(board: str, image: str) -> str:
    """What imgtool's --cid takes: an image is for one kind of board, and one of its images."""
    return f"{board} {image}"


def class_uuid(board: str, image: str) -> uuid.UUID:
    """The value of UUID_CID: name-based (RFC 9562, version 5) under the vendor's."""
    return uuid.uuid5(VENDOR_UUID, class_name(board, image))


def recognise_class(value: bytes) -> str | None:
    """The board and image that a UUID_CID is for, among the boards of this project."""
    for board in board_names():
        for image in IMAGE_NUMBERS:
            if class_uuid(board, image).bytes == value:
                return class_name(board, image)
    return None


@dataclass(frozen=True)
class Dependency:
    image: str
    version: Version  # at least


@dataclass(frozen=True)
class Slot:
    """Where an image is to lie."""

    partition: Partition
    address: int  # as the processor sees it
    flash: Flash

    @property
    def image_bytes(self) -> int:
        """Room for an image, without the trailer's."""
        return self.partition.bytes - trailer_bytes(self.partition, self.flash)


@dataclass(frozen=True)
class SignRequest:
    """`load_address`: the image is copied there and run from RAM; None: where the board's profile
    says."""

    board: Board
    image: ImageName
    slot: SlotName
    version: Version
    security_counter: int
    dependencies: tuple[Dependency, ...] = ()
    load_address: int | None = None
    pad: bool = False  # to the whole slot, with the trailer's magic: to be tried at the next boot
    confirm: bool = False  # padded, and to stay
    # With a key to encrypt for: not encrypted yet, for the slot that it runs in place from.
    clear: bool = False


def run_address(request: SignRequest) -> int:
    """Where the image's header will lie when it runs."""
    if request.load_address is not None:
        return request.load_address
    return request.board.image_address(request.image, SLOT_NUMBERS[request.slot])


def slot_of(board: Board, image: str, slot: str) -> Slot:
    """UsageError if the board has no such slot."""
    slots = board.partitions("app" if image == "app" else "capsule")
    number = SLOT_NUMBERS[slot]
    memory = board.flash_memory
    if memory is None or board.flash is None or number >= len(slots):
        raise UsageError(
            f"{board.name}: has no slot {slot} for the {image}; its profile has {len(slots)} "
            f'[[partition]] of role "{image}"'
        )
    return Slot(slots[number], memory.base + slots[number].offset, board.flash)


def parse_version(text: str) -> Version:
    """MAJOR.MINOR.REVISION+BUILD, all but the first may be left out. UsageError."""
    found = re.fullmatch(r"(\d+)(?:\.(\d+)(?:\.(\d+)(?:\+(\d+))?)?)?", text, re.ASCII)
    limits = (0xFF, 0xFF, 0xFFFF, 0xFFFFFFFF)
    if found is None:
        raise UsageError(f"version {text!r}: expected MAJOR.MINOR.REVISION+BUILD, as 1.2.3+4")
    numbers = [int(group or 0) for group in found.groups()]
    for number, limit in zip(numbers, limits, strict=True):
        if number > limit:
            raise UsageError(f"version {text!r}: {number} is above {limit}, the format's most")
    return Version(*numbers)


def parse_dependency(text: str) -> Dependency:
    """IMAGE:VERSION, the image by name or number. UsageError."""
    name, colon, version = text.partition(":")
    names = {**{n: n for n in IMAGE_NUMBERS}, **{str(i): n for n, i in IMAGE_NUMBERS.items()}}
    if not colon or name not in names:
        raise UsageError(
            f"dependency {text!r}: expected app:VERSION or capsule:VERSION, as app:1.2.0"
        )
    return Dependency(names[name], parse_version(version))


def sign_image(payload: bytes, request: SignRequest, key: Key, encrypt: Key | None = None) -> bytes:
    """The signed image, or the whole slot if it is padded. ImageError if it does not fit."""
    slot = slot_of(request.board, request.image, request.slot)
    if not payload:
        raise ImageError(f"the {request.image} is empty; there is nothing to sign")
    room = request.board.payload_bytes(request.image)
    if len(payload) > room:
        raise ImageError(
            f"{request.board.name}: the {request.image} has {len(payload)} B, "
            f"{slot.partition.name} has room for {room}"
        )
    if encrypt is not None:
        require_encryption(request.board)
    mode = _mode_of(request)
    if request.clear and (encrypt is None or request.slot != "a" or mode != "swap"):
        raise UsageError(
            "an image to be encrypted later is for slot a of a board that swaps, with a key to "
            "encrypt for"
        )
    if not 0 <= request.security_counter < 2**32:
        raise UsageError(f"security counter {request.security_counter}: expected 0 to {2**32 - 1}")
    if len(request.dependencies) > 1:
        raise UsageError("two dependencies: an image has one other to depend on")
    if any(d.image == request.image for d in request.dependencies):
        raise UsageError(f"the {request.image} cannot depend on itself")
    if (request.pad or request.confirm) and not trailer_bytes(slot.partition, slot.flash):
        raise UsageError(
            f"{request.board.name}: {slot.partition.name} is one erase unit and has no trailer to "
            "ask for a trial in; leave out --pad and --confirm, and send the image over SMP"
        )
    require_signer(request.board, key)
    unit = slot.flash.program_bytes
    made = imgtool_image.Image(
        version=SemiSemVersion(*vars(request.version).values()),
        header_size=HEADER_BYTES,
        pad_header=True,
        pad=request.pad or request.confirm,
        confirm=request.confirm,
        test=request.pad and not request.confirm,
        align=unit,
        slot_size=slot.partition.bytes,
        max_sectors=0,  # MCUboot's swap keeps its progress there; ours does not
        load_addr=run_address(request) if mode == "ram" else 0,
        rom_fixed=run_address(request) if mode == "xip" else None,
        security_counter=request.security_counter,
        vid=VENDOR,
        cid=class_name(request.board.name, request.image),
    )
    try:
        return _create(
            made,
            payload,
            _signer(key),
            "hash",
            imgtool_keys.X25519Public(encrypt.public) if encrypt else None,
            _dependencies(request),
            clear=request.clear,
        )
    except click.ClickException as e:
        raise ImageError(
            f"{request.board.name}: the {request.image} cannot be signed for "
            f"{slot.partition.name}: {e.format_message()}"
        ) from e


def sign_mpy(payload: bytes, model: str, version: Version, counter: int, key: Key) -> bytes:
    """A model's native `.mpy` as an image that no bootloader takes: firmware/micropython's
    tinyseal_ota.py does. As `imgtool sign --non-bootable -H 32 --custom-tlv 0xa0 MODEL` does it."""
    made = imgtool_image.Image(
        version=SemiSemVersion(*vars(version).values()),
        header_size=HEADER.size,
        pad_header=True,
        security_counter=counter,
        non_bootable=True,
    )
    named = {MPY_MODEL: model.encode()}
    return _create(
        made, payload, imgtool_keys.Ed25519(key.private), "hash", None, custom_tlvs=named
    )


def _create(made: Any, payload: bytes, *how: object, **more: object) -> bytes:
    """imgtool works on files."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "payload.bin"), Path(folder, "image.bin")
        source.write_bytes(payload)
        made.load(str(source))
        made.create(*how, **more)
        made.save(str(target))
        return target.read_bytes()


def imgtool_options(request: SignRequest) -> list[str]:
    """What stock imgtool's `sign` is given for this board, image and slot, besides keys, version,
    and what else is up to the signer. UsageError as slot_of."""
    slot = slot_of(request.board, request.image, request.slot)
    options = {
        "--align": str(slot.flash.program_bytes),
        "--header-size": f"{HEADER_BYTES:#x}",
        "--slot-size": f"{slot.partition.bytes:#x}",
        "--max-sectors": "0",
        "--vid": VENDOR,
        "--cid": class_name(request.board.name, request.image),
    }
    place = {"xip": "--rom-fixed", "ram": "--load-addr"}.get(_mode_of(request))
    if place is not None:
        options[place] = f"{run_address(request):#x}"
    return ["--pad-header", *(word for option in options.items() for word in option)]


def _signer(key: Key) -> imgtool_keys.Ed25519 | imgtool_keys.ECDSA256P1:
    if not isinstance(key.private, ec.EllipticCurvePrivateKey):
        return imgtool_keys.Ed25519(key.private)
    signer = imgtool_keys.ECDSA256P1(key.private)
    # As imgtool's own, with the nonce of RFC 6979.
    scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    signer.raw_sign = partial(key.private.sign, signature_algorithm=scheme)
    return signer


def signature_of(board: Board) -> Algorithm:
    """What the board's bootloader verifies."""
    return Algorithm(board.boot.signature) if board.boot is not None else Algorithm.ED25519


def require_signer(board: Board, key: Key) -> None:
    """UsageError if the board's bootloader verifies no signatures of such a key."""
    wanted = signature_of(board)
    if key.algorithm is not wanted:
        raise UsageError(
            f"{board.name}: takes images signed with {wanted.title}, {key.name} is "
            f"{key.algorithm.title}; [boot] signature of its profile says which"
        )


def development_key(board: Board) -> Path:
    return DEV_SIGN_P256 if signature_of(board) is Algorithm.ECDSA_P256 else DEV_SIGN


def require_encryption(board: Board) -> None:
    """UsageError if the board's bootloader opens no encrypted images."""
    if board.boot is not None and board.boot.encrypted:
        return
    why = "its profile does not say [boot] encrypted = true"
    if board.boot is not None and board.boot.mode == "xip":
        why = (
            "its images run in place, from flash that holds them in the clear; [boot] mode = "
            '"swap" or "ram" with encrypted = true decrypts them'
        )
    raise UsageError(
        f"{board.name}: takes no encrypted images: {why}; boards that do: {_encrypted_boards()}"
    )


def _encrypted_boards() -> str:
    names = []
    for name in board_names():
        with contextlib.suppress(BoardError):  # somebody's profile with a fault
            boot = load_board(name).boot
            names += [name] if boot is not None and boot.encrypted else []
    return ", ".join(names)


def _mode_of(request: SignRequest) -> BootMode:
    if request.load_address is not None:
        return "ram"
    return request.board.boot.mode if request.board.boot is not None else "xip"


def _dependencies(request: SignRequest) -> dict[str, list[object]] | None:
    if not request.dependencies:
        return None
    return {
        imgtool_image.DEP_IMAGES_KEY: [IMAGE_NUMBERS[d.image] for d in request.dependencies],
        imgtool_image.DEP_VERSIONS_KEY: [
            SemiSemVersion(*vars(d.version).values()) for d in request.dependencies
        ],
    }
