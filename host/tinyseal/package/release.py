"""What a release must not hold: development keys, wherever they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tinyseal.errors import KeyFileError
from tinyseal.package.keys import DEV_SIGN, DEV_SIGN_P256, Key, load_key, refuse_development
from tinyseal.package.mcuboot import Tlv, read_image


def check_release(
    keys: Iterable[Key] = (),
    images: Mapping[str, bytes] | None = None,
    bootloader: bytes | None = None,
) -> None:
    """The policy of `release=1`; KeyFileError names the first offender: a key, an image (by
    name) signed with one, or a bootloader that trusts one."""
    refuse_development((key.name, key.hash) for key in keys)
    for name, data in (images or {}).items():
        refuse_development((name, entry.value) for entry in read_image(data).all(Tlv.KEYHASH))
    development = [load_key(path).raw for path in (DEV_SIGN, DEV_SIGN_P256)]
    if bootloader is not None and any(raw in bootloader for raw in development):
        raise KeyFileError(
            "the bootloader trusts the development key, which anybody has; a release needs keys "
            "of its own (tinyseal keys new)"
        )
