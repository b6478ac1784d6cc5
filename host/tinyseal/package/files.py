"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tinyseal.errors import ToolError


def write_file(path: Path, data: bytes, private: bool = False) -> None:
    """Replaces `path` at once: a reader, or a power cut, finds the old bytes or the new ones.
    `private`: nobody but its owner can read it."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as e:
        raise ToolError(f"{path}: cannot be written: {e.strerror}") from e
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o600 if private else 0o666 & ~_umask())
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as e:
        os.unlink(name)
        raise ToolError(f"{path}: cannot be written: {e.strerror}") from e


def write_secret(path: Path, data: bytes) -> None:
    """Creates `path`, readable by nobody but its owner; a file that is there is left alone."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as e:
        raise ToolError(f"{path}: is there already; keys are never overwritten") from e
    except OSError as e:
        raise ToolError(f"{path}: cannot be written: {e.strerror}") from e
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ToolError(f"{path}: cannot be read: {e.strerror}") from e


def _umask() -> int:
    mask = os.umask(0o077)  # there is no way to ask without setting it
    os.umask(mask)
    return mask
