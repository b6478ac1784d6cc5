"""`tinyseal keys`: signing and encryption keys."""

from __future__ import annotations

import enum
import os
import sys
from pathlib import Path
from typing import Any

import typer

from tinyseal.cli.output import JsonOption, console, errors, print_json
from tinyseal.errors import KeyFileError, UsageError
from tinyseal.package.files import read_file, write_file
from tinyseal.package.keys import (
    Algorithm,
    Key,
    Passphrase,
    Use,
    c_array,
    create_key,
    load_key,
    require_private,
)

app = typer.Typer(no_args_is_help=True, help="Keys that sign and encrypt images.")


class Purpose(enum.Enum):
    SIGN = "sign"
    ENCRYPT = "encrypt"


class Form(enum.Enum):
    """How a public key is written."""

    PEM = "pem"
    C = "c"
    HEX = "hex"


FileArgument = typer.Argument(..., help="A PEM file.")
PassphraseOption = typer.Option(False, "--passphrase", help="Ask for a passphrase.")
PassphraseFileOption = typer.Option(
    None, "--passphrase-file", help="The passphrase is the first line of this file."
)
PassphraseEnvOption = typer.Option(
    None, "--passphrase-env", metavar="NAME", help="The passphrase is in this variable."
)
UseOption = typer.Option(
    Purpose.SIGN, "--use", help="What for: Ed25519 and ECDSA P-256 sign, X25519 encrypts."
)
TypeOption = typer.Option(
    None, "--type", help="ecdsa-p256: to sign images for boards whose profile says so."
)
FormOption = typer.Option(Form.PEM, "--format", help="PEM, a C array, or hexadecimal digits.")
OutOption = typer.Option(None, "--out", "-o", help="File to write; standard output if left out.")
NameOption = typer.Option("public_key", "--name", help="Of the C array.")


@app.command("new")
def new(
    file: Path = FileArgument,
    use: Purpose = UseOption,
    algorithm: Algorithm | None = TypeOption,
    passphrase: bool = PassphraseOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    as_json: bool = JsonOption,
) -> None:
    """Make a key pair, in a new file that only you can read.

    Example: tinyseal keys new vendor.pem --type ecdsa-p256
    """
    given = _given(passphrase_file, passphrase_env)
    if given is None and passphrase:
        given = _ask(file, confirm=True)
    wanted = Use.ENCRYPT if use is Purpose.ENCRYPT else Use.SIGN_IMAGES
    key = create_key(file, wanted, given, algorithm)
    _show(key, given is not None, as_json)


@app.command("show")
def show(
    file: Path = FileArgument,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
    as_json: bool = JsonOption,
) -> None:
    """Show what a key is and the hash by which images name it."""
    key = load_key(file, passphrase=passphrase_source(passphrase_file, passphrase_env))
    _show(key, b"ENCRYPTED PRIVATE KEY" in read_file(file), as_json)


@app.command("export")
def export(
    file: Path = FileArgument,
    form: Form = FormOption,
    name: str = NameOption,
    out: Path | None = OutOption,
    passphrase_file: Path | None = PassphraseFileOption,
    passphrase_env: str | None = PassphraseEnvOption,
) -> None:
    """Write the public half of a key."""
    if not name.isidentifier() or not name.isascii():
        raise UsageError(f"--name {name!r}: is no name for a C array")
    key = load_key(file, passphrase=passphrase_source(passphrase_file, passphrase_env))
    text = {
        Form.PEM: key.public_pem.decode("ascii"),
        Form.C: c_array(name, key.raw),
        Form.HEX: key.raw.hex() + "\n",
    }[form]
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_file(out, text.encode("ascii"))


def passphrase_source(file: Path | None, variable: str | None) -> Passphrase:
    """Where a passphrase comes from once one is needed: file, variable, or the terminal."""

    def get(path: Path) -> bytes:
        given = _given(file, variable)
        return _ask(path, confirm=False) if given is None else given

    return get


def _given(file: Path | None, variable: str | None) -> bytes | None:
    if file is not None and variable is not None:
        raise UsageError("--passphrase-file and --passphrase-env: give one of them")
    if file is not None:
        lines = read_file(file).splitlines()
        require_private(file)
        return lines[0] if lines else b""
    if variable is not None:
        if variable not in os.environ:
            raise UsageError(f"--passphrase-env {variable}: there is no such variable")
        return os.fsencode(os.environ[variable])
    return None


def _ask(path: Path, confirm: bool) -> bytes:
    if not sys.stdin.isatty():
        raise KeyFileError(
            f"{path}: has a passphrase and there is no terminal to ask at; give "
            "--passphrase-file or --passphrase-env"
        )
    answer: str = typer.prompt(
        f"passphrase of {path}", hide_input=True, confirmation_prompt=confirm, err=True
    )
    return answer.encode()


def _show(key: Key, has_passphrase: bool, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "file": key.name,
        "algorithm": key.algorithm.title,
        "use": key.use.value,
        "private": key.private is not None,
        "passphrase": has_passphrase,
        "public_key": key.raw.hex(),
        "key_hash": key.hash.hex(),
        "development_key": key.is_development,
    }
    if as_json:
        print_json(facts)
        return
    half = "key pair" if key.private is not None else "public key"
    lock = ", with passphrase" if has_passphrase else ""
    console.print(f"{key.name}: {key.algorithm.title} {half} to {key.use.value}{lock}", **_PLAIN)
    console.print(f"public key  {key.raw.hex()}", **_PLAIN)
    console.print(f"key hash    {key.hash.hex()}", **_PLAIN)
    if key.is_development:
        errors.print("development key: anybody has its private half", style="yellow")


_PLAIN: dict[str, Any] = {"markup": False, "highlight": False, "soft_wrap": True}
