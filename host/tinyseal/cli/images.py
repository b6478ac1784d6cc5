"""Signing and merging for `scons`: what becomes of the linked images.

imgtool and the crypto package are imported when something is signed, not by every build.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinyseal.build.firmware import ROOT, Request
from tinyseal.cli.output import errors
from tinyseal.codegen.firmware import Identity, ImageName
from tinyseal.errors import BuildError

if TYPE_CHECKING:
    from tinyseal.package.mcuboot import Version

# The first application with the capsule table of today (CAPSULE_ABI 3).
ABI_SINCE = "0.1.0"


def signing_key(request: Request) -> Path:
    """The file, as the build names it."""
    from tinyseal.package.sign import development_key

    return request.key or development_key(request.board).relative_to(ROOT)


def check_key(request: Request) -> None:
    """Before anything is built: BuildError, UsageError or KeyFileError for a key that will not
    do."""
    from tinyseal.package.keys import Use, load_key, load_private, refuse_development
    from tinyseal.package.sign import parse_version, require_encryption, require_signer

    parse_version(request.version)
    if request.release and request.key is None:
        raise BuildError("release=1 needs key=PATH; the development key signs no release")
    keys = []
    if request.key is not None:
        _require_file("key", request.key)
        keys.append(load_private(ROOT / request.key, Use.SIGN_IMAGES))
        require_signer(request.board, keys[-1])
    if request.encrypt is not None:
        require_encryption(request.board)
        _require_file("encrypt", request.encrypt)
        keys.append(load_key(ROOT / request.encrypt, Use.ENCRYPT))
    if request.release:
        refuse_development((key.name, key.hash) for key in keys)


def _require_file(option: str, path: Path) -> None:
    if not (ROOT / path).is_file():
        raise BuildError(f"{option} {path}: no such file")


def signed_fields(request: Request) -> list[str]:
    """What a signed image depends on besides its payload."""
    return [request.version, str(request.security_counter), str(request.encrypt)]


def identity(request: Request) -> Identity:
    """What the bootloader accepts: this board's images, signed by this key."""
    from tinyseal.package.keys import Use, load_key
    from tinyseal.package.sign import VENDOR_UUID, class_uuid

    name = request.board.name
    return Identity(
        VENDOR_UUID.bytes,
        (class_uuid(name, "app").bytes, class_uuid(name, "capsule").bytes),
        (load_key(ROOT / signing_key(request), Use.SIGN_IMAGES).raw,),
    )


def sign(request: Request, image: ImageName, slot: str) -> None:
    """Signs the payload beside the image's ELF."""
    from tinyseal.package.files import write_file
    from tinyseal.package.keys import Use, load_key, load_private
    from tinyseal.package.sign import Dependency, SignRequest, parse_version, sign_image

    key = load_private(ROOT / signing_key(request), Use.SIGN_IMAGES)
    version = parse_version(request.version)
    since: Version = min(version, parse_version(ABI_SINCE))
    wanted = SignRequest(
        request.board,
        image,
        "a" if slot == "a" else "b",
        version,
        request.security_counter,
        dependencies=(Dependency("app", since),) if image == "capsule" else (),
        clear=slot == "a" and len(request.signed_slots) > len(request.slots),
    )
    linked = slot if slot in request.slots else request.slots[0]
    payload = (ROOT / request.image(image, linked).with_suffix(".bin")).read_bytes()
    encrypt = load_key(ROOT / request.encrypt, Use.ENCRYPT) if request.encrypt else None
    write_file(ROOT / request.signed(image, slot), sign_image(payload, wanted, key, encrypt))
    if (image, slot) != ("app", "a"):
        return
    if key.is_development:
        errors.print(
            "signed with the development key, which anybody has; key=PATH takes another",
            style="yellow",
        )
    if encrypt is not None and encrypt.is_development:
        errors.print("encrypted for the development key, which anybody has", style="yellow")


def pack_bootloader(request: Request) -> None:
    """Into the format that the chip's ROM loads. BuildError if esptool refuses it."""
    from tinyseal.build.esp import pack

    pack(request.board, ROOT / request.bootloader)


def merge(request: Request) -> None:
    """Bootloader and fresh images as one Intel HEX file."""
    from tinyseal.package.files import write_file
    from tinyseal.package.merge import place, to_hex

    bootloader = (ROOT / request.bootloader.with_suffix(".bin")).read_bytes()
    images = {
        ("app", "a"): (ROOT / request.signed("app")).read_bytes(),
        ("capsule", "a"): (ROOT / request.signed("capsule")).read_bytes(),
    }
    write_file(ROOT / request.merged, to_hex(place(request.board, bootloader, images)))
