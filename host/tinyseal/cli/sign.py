"""`tinyseal sign`: a binary into a signed image."""

from __future__ import annotations

import enum
from pathlib import Path

import typer

from tinyseal.board import HEADER_BYTES
from tinyseal.build.firmware import DEFAULT_BOARD
from tinyseal.cli.boards import named_board
from tinyseal.cli.keys import PassphraseEnvOption, PassphraseFileOption, passphrase_source
from tinyseal.cli.numbers import parse_address
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.package.files import write_file
from tinyseal.package.keys import Use, load_key, load_private
from tinyseal.package.merge import read_binary
from tinyseal.package.release import check_release
from tinyseal.package.sign import (
    IMAGE_NUMBERS,
    ImageName,
    SignRequest,
    parse_dependency,
    parse_version,
    run_address,
    sign_image,
    slot_of,
)
from tinyseal.package.sign import SlotName as SlotLetter


class ImageChoice(enum.Enum):
    APP = "app"
    CAPSULE = "capsule"


class SlotChoice(enum.Enum):
    A = "a"
    B = "b"


InputArgument = typer.Argument(..., help="The binary, .bin or .hex, without a header.")
BoardOption = typer.Option(DEFAULT_BOARD, "--board", "-b", help="The board it is for.")
ImageOption = typer.Option(..., "--image", help="Which of the board's images it is.")
SlotOption = typer.Option(SlotChoice.A, "--slot", help="The slot it is linked for.")
VersionOption = typer.Option(..., "--version", help="MAJOR.MINOR.REVISION+BUILD")
CounterOption = typer.Option(
    0, "--security-counter", min=0, max=2**32 - 1, help="Images with a lower one are refused later."
)
KeyOption = typer.Option(
    ...,
    "--key",
    "-k",
    help="Private signing key (Ed25519 or ECDSA P-256, as the board's profile says; PEM).",
)
EncryptOption = typer.Option(None, "--encrypt", help="Encrypt for this key (X25519, PEM).")
DependsOption = typer.Option(
    [], "--depends", help="IMAGE:VERSION the other image must have at least, as app:1.2.0."
)
LoadOption = typer.Option(
    None,
    "--load-address",
    metavar="ADDRESS",
    help="To be copied there and run from RAM; where the board's profile says if left out.",
)
ClearOption = typer.Option(
    False, "--clear", help="Not encrypted yet: for slot a of a board that swaps; with --encrypt."
)
PadOption = typer.Option(False, "--pad", help="Fill the slot; to be tried at the next boot.")
ConfirmOption = typer.Option(False, "--confirm", help="Fill the slot, marked as confirmed.")
ReleaseOption = typer.Option(False, "--release", help="Refuse development keys.")
OutOption = typer.Option(..., "--out", "-o", help="The image to write.")


def sign(
    source: Path = InputArgument,
    board: str = BoardOption,
    image: ImageChoice = ImageOption,
    slot: SlotChoice = SlotOption,
    version: str = VersionOption,
    security_counter: int = CounterOption,
    key: Path = KeyOption,
    encrypt: Path | None = EncryptOption,
    clear: bool = ClearOption,
    depends: list[str] = DependsOption,
    load_address: str | None = LoadOption,
    pad: bool = PadOption,
    confirm: bool = ConfirmOption,
    release: bool = ReleaseOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    out: Path = OutOption,
    as_json: bool = JsonOption,
) -> None:
    """Sign a binary for a slot of a board, in MCUboot's format."""
    profile = named_board(board)
    name: ImageName = image.value
    letter: SlotLetter = slot.value
    request = SignRequest(
        profile,
        name,
        letter,
        parse_version(version),
        security_counter,
        tuple(map(parse_dependency, depends)),
        parse_address(load_address),
        pad,
        confirm,
        clear,
    )
    signing = load_private(key, Use.SIGN_IMAGES, passphrase_source(passphrase_file, passphrase_env))
    encryption = load_key(encrypt, Use.ENCRYPT) if encrypt else None
    if release:
        check_release(k for k in (signing, encryption) if k)
    place = slot_of(profile, name, letter)
    payload = read_binary(source, run_address(request) + HEADER_BYTES)
    data = sign_image(payload, request, signing, encryption)
    write_file(out, data)
    if as_json:
        print_json(
            {
                "file": str(out),
                "bytes": len(data),
                "board": profile.name,
                "image": IMAGE_NUMBERS[name],
                "slot": letter,
                "address": place.address,
                "version": str(request.version),
                "security_counter": security_counter,
                "key_hash": signing.hash.hex(),
                "development_key": signing.is_development,
                "encrypted": encryption is not None and not clear,
            }
        )
        return
    console.print(
        f"{out}: {len(data):,} B for {place.partition.name} of {profile.name}, "
        f"version {request.version}, security counter {security_counter}",
        highlight=False,
        soft_wrap=True,
    )
    if signing.is_development:
        errors.print("signed with the development key, which anybody has", style="yellow")
