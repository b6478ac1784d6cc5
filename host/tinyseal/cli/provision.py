"""`tinyseal provision`: a board's identity, secrets and counters."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any, BinaryIO

import typer

from tinyseal.board import Board, Partition, Role
from tinyseal.build.firmware import DEFAULT_BOARD
from tinyseal.cli.boards import named_board
from tinyseal.cli.keys import PassphraseEnvOption, PassphraseFileOption, passphrase_source
from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.errors import ImageError, UsageError
from tinyseal.package.files import write_file
from tinyseal.package.keys import Key, Use, load_key, load_private
from tinyseal.package.merge import place, to_bin, to_hex
from tinyseal.package.provision import (
    DEVICE_ID_BYTES,
    Identity,
    StorageKey,
    counter_image,
    is_erased,
    meter_book,
    read_counter,
    storage_image,
)
from tinyseal.package.release import check_release
from tinyseal.virtual.flash_file import prepare_flash

BoardOption = typer.Option(DEFAULT_BOARD, "--board", "-b", help="The board it is for.")
IdOption = typer.Option(
    None, "--device-id", help=f"{2 * DEVICE_ID_BYTES} hexadecimal digits; random if left out."
)
DeviceKeyOption = typer.Option(
    None, "--device-key", help="Ed25519 key pair that the device signs with."
)
DecryptKeyOption = typer.Option(
    None, "--decrypt-key", help="X25519 key pair that opens encrypted images."
)
VendorOption = typer.Option(
    [], "--vendor-key", help="Ed25519 public key whose vouchers the device takes; up to four."
)
OwnerOption = typer.Option(
    None, "--owner-key", help="Ed25519 public key of whoever decides what the device may tell."
)
CounterOption = typer.Option(
    [], "--counter", metavar="NAME:VALUE", help="Where a counter starts, as app:3; 0 if left out."
)
FlashOption = typer.Option(None, "--flash", help="Flash file of a virtual board to write into.")
ReplaceOption = typer.Option(
    False, "--replace", help="Write over storage that is there already. Counters stay."
)
OutOption = typer.Option([], "--out", "-o", help=".hex or .bin to write, for a flasher.")
StorageOption = typer.Option(None, "--storage", help="Write the storage partition to this file.")
CounterOutOption = typer.Option(
    None, "--counters", help="Write the counter partition to this file."
)
ReleaseOption = typer.Option(False, "--release", help="Refuse development keys.")


def provision(
    board: str = BoardOption,
    device_id: str | None = IdOption,
    device_key: Path | None = DeviceKeyOption,
    decrypt_key: Path | None = DecryptKeyOption,
    vendor_key: list[Path] = VendorOption,
    owner_key: Path | None = OwnerOption,
    counter: list[str] = CounterOption,
    flash: Path | None = FlashOption,
    replace: bool = ReplaceOption,
    out: list[Path] = OutOption,
    storage: Path | None = StorageOption,
    counters: Path | None = CounterOutOption,
    release: bool = ReleaseOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    as_json: bool = JsonOption,
) -> None:
    """Give a board its id, its keys and its counters. Once: counters are never set back.

    The files hold secret keys, and only you can read them.
    """
    profile = named_board(board)
    if not (flash or out or storage or counters):
        raise UsageError("nowhere to write to; give --flash, --out, --storage or --counters")
    for path in out:
        if path.suffix.lower() not in (".hex", ".bin"):
            raise UsageError(f"{path}: the file written is a .hex or a .bin; give it that suffix")
    ask = passphrase_source(passphrase_file, passphrase_env)
    identity = Identity(
        _device_id(device_id),
        load_private(device_key, Use.SIGN, ask) if device_key else None,
        load_private(decrypt_key, Use.ENCRYPT, ask) if decrypt_key else None,
        tuple(load_key(path, Use.SIGN, ask) for path in vendor_key),
        load_key(owner_key, Use.SIGN, ask) if owner_key else None,
    )
    single = (identity.device_key, identity.decrypt_key, identity.owner_key)
    known: list[Key] = [k for k in (*single, *identity.vendor_keys) if k]
    if release:
        check_release(known)
    starts = dict(map(_counter, counter))
    started = counter_image(profile, starts)
    stored = _storage(profile, identity, starts.get("queries", 0))
    kept = _into_flash_file(profile, flash, identity, started, replace) if flash else False
    for path in out:
        parts = place(profile, storage=stored, counter=started)
        data = to_hex(parts) if path.suffix.lower() == ".hex" else to_bin(parts)
        write_file(path, data, private=True)
    for target, data in ((storage, stored), (counters, started)):
        if target is not None:
            write_file(target, data, private=True)
    facts: dict[str, Any] = {
        "board": profile.name,
        "device_id": identity.device_id.hex(),
        "device_key": identity.device_key and identity.device_key.raw.hex(),
        "decrypt_key": identity.decrypt_key and identity.decrypt_key.raw.hex(),
        "owner_key": identity.owner_key and identity.owner_key.raw.hex(),
        "vendor_keys": [k.raw.hex() for k in identity.vendor_keys],
        "counters_kept": kept,
        "development_keys": [k.name for k in known if k.is_development],
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        if value:
            shown = " ".join(value) if isinstance(value, list) else value
            console.print(f"{name} {shown}", markup=False, highlight=False, soft_wrap=True)
    if facts["development_keys"]:
        errors.print("provisioned with development keys, which anybody has", style="yellow")


def _device_id(text: str | None) -> bytes:
    if text is None:
        return secrets.token_bytes(DEVICE_ID_BYTES)
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != DEVICE_ID_BYTES:
        raise UsageError(f"--device-id {text!r}: expected {2 * DEVICE_ID_BYTES} hexadecimal digits")
    return value


def _counter(text: str) -> tuple[str, int]:
    name, colon, number = text.partition(":")
    if not colon or not (number.isascii() and number.isdigit()):
        raise UsageError(f"--counter {text!r}: expected NAME:VALUE, as app:3")
    return name, int(number)


def _storage(board: Board, identity: Identity, queries: int) -> bytes:
    """The storage partition; a device that can sign keeps a book of prepaid queries from its
    counter on."""
    values = identity.values()
    if identity.device_key is not None:
        values[StorageKey.METER_BOOK] = meter_book(identity.device_key, queries)
    return storage_image(board, values)


def _into_flash_file(
    board: Board, path: Path, identity: Identity, counter: bytes, replace: bool
) -> bool:
    """Writes both partitions into a virtual board's flash; a new file is erased elsewhere. Says
    whether counters were there already, and stayed."""
    prepare_flash(board, path)
    roles: tuple[Role, ...] = ("storage", "counter")
    where = {role: board.partitions(role)[0] for role in roles}
    try:
        # In place: the file may be gigabytes of holes.
        with path.open("r+b") as file:
            os.fchmod(file.fileno(), 0o600)
            there = {role: _erased_at(file, p) for role, p in where.items()}
            if not there["storage"] and not replace:
                raise ImageError(
                    f"{path}: {where['storage'].name} is provisioned already; "
                    "--replace writes over it"
                )
            if there["counter"]:
                file.seek(where["counter"].offset)
                file.write(counter)
            file.seek(where["counter"].offset)
            queries = read_counter(board, "queries", file.read(where["counter"].bytes))
            storage = _storage(board, identity, queries)
            file.seek(where["storage"].offset)
            file.write(storage)
    except OSError as e:
        raise ImageError(f"{path}: cannot be written: {e.strerror}") from e
    return not there["counter"]


def _erased_at(file: BinaryIO, partition: Partition) -> bool:
    file.seek(partition.offset)
    return is_erased(file.read(partition.bytes))
