"""Keys in PEM files: Ed25519 to sign, ECDSA P-256 to sign images, X25519 to encrypt them; PKCS8, as
imgtool reads them.

A private key lies in a file that only its owner can read, or it is not used. The development keys
of the repository are public, and known here by their hash.
"""

from __future__ import annotations

import enum
import hashlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from tinyseal.errors import KeyFileError
from tinyseal.package.files import read_file, write_secret

KEYS_DIR: Final = Path(__file__).resolve().parents[3] / "keys"
DEV_SIGN: Final = KEYS_DIR / "dev_sign.pem"
DEV_SIGN_P256: Final = KEYS_DIR / "dev_sign_p256.pem"
DEV_ENCRYPT: Final = KEYS_DIR / "dev_enc.pem"

# Key hashes of the above, as images carry them: renamed or re-encoded, they are the same keys.
DEVELOPMENT_HASHES: Final = frozenset(
    map(
        bytes.fromhex,
        (
            "a03d19fae4995cd76c01c06ea48a56d269ca30558cc95a3cc1718dcb3d3e8482",
            "4b3d216ba97212357f838020df18bcba431480edea15b30b87ff18247988294f",
            "d0a452a4c153b7eb22e626f32ab3b80964a382a0de858dde63722fd1b8bd97d3",
        ),
    )
)

Passphrase = Callable[[Path], bytes]  # asked for when a file turns out to be encrypted


class Algorithm(enum.Enum):
    """By the names that profiles and options have for them."""

    ED25519 = "ed25519"
    ECDSA_P256 = "ecdsa-p256"
    X25519 = "x25519"

    @property
    def title(self) -> str:
        return {"ecdsa-p256": "ECDSA P-256"}.get(self.value, self.value.capitalize())


class Use(enum.Enum):
    SIGN = "sign"
    SIGN_IMAGES = "sign images"
    ENCRYPT = "encrypt"

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """Those that will do."""
        return {
            Use.SIGN: (Algorithm.ED25519,),
            Use.SIGN_IMAGES: (Algorithm.ED25519, Algorithm.ECDSA_P256),
            Use.ENCRYPT: (Algorithm.X25519,),
        }[self]


Public = Ed25519PublicKey | X25519PublicKey | ec.EllipticCurvePublicKey
Private = Ed25519PrivateKey | X25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Key:
    """A key pair, or the public half of one."""

    public: Public
    private: Private | None
    name: str  # of the file, for messages

    @property
    def algorithm(self) -> Algorithm:
        if isinstance(self.public, ec.EllipticCurvePublicKey):
            return Algorithm.ECDSA_P256
        is_ed25519 = isinstance(self.public, Ed25519PublicKey)
        return Algorithm.ED25519 if is_ed25519 else Algorithm.X25519

    @property
    def use(self) -> Use:
        """The widest it is good for."""
        return next(use for use in Use if self.algorithm in use.algorithms)

    @property
    def raw(self) -> bytes:
        """The public key: 32 bytes, of P-256 the 64 of x and y."""
        if isinstance(self.public, ec.EllipticCurvePublicKey):
            point = self.public.public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )
            return point[1:]
        return self.public.public_bytes_raw()

    @property
    def spki(self) -> bytes:
        """The public key as SubjectPublicKeyInfo, DER."""
        return self.public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def hash(self) -> bytes:
        """What the KEYHASH entry of an image holds: SHA-256 of `spki`."""
        return hashlib.sha256(self.spki).digest()

    @property
    def is_development(self) -> bool:
        return self.hash in DEVELOPMENT_HASHES

    @property
    def public_pem(self) -> bytes:
        return self.public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def create_key(
    path: Path,
    use: Use,
    passphrase: bytes | None = None,
    algorithm: Algorithm | None = None,
) -> Key:
    """A new key pair in a new file, mode 0600, of the use's first algorithm if none is given.
    ToolError; nothing is overwritten."""
    algorithm = algorithm or use.algorithms[0]
    if algorithm not in use.algorithms:
        raise KeyFileError(f"{path}: {_needed(use)}, not {algorithm.title}")
    if passphrase == b"":
        raise KeyFileError(f"{path}: the passphrase is empty; leave the option out for none")
    private = _generate(algorithm)
    lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        lock = serialization.BestAvailableEncryption(passphrase)
    pem = private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    write_secret(path, pem)
    return Key(private.public_key(), private, str(path))


def load_key(path: Path, use: Use | None = None, passphrase: Passphrase | None = None) -> Key:
    """The key in a PEM file, private or public. KeyFileError if it is no such key, if it is for
    another use, if the passphrase is wrong, or if a private key can be read by others."""
    pem = read_file(path)
    key = _parse(path, pem, passphrase)
    if use is not None and key.algorithm not in use.algorithms:
        raise KeyFileError(f"{path}: is {key.algorithm.title}, to {key.use.value}; {_needed(use)}")
    if key.private is not None and not key.is_development:
        require_private(path)
    return key


def load_private(path: Path, use: Use, passphrase: Passphrase | None = None) -> Key:
    key = load_key(path, use, passphrase)
    if key.private is None:
        raise KeyFileError(f"{path}: is the public half only; the private key is needed here")
    return key


def require_private(path: Path) -> None:
    """KeyFileError if others than the owner may read or change the file."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"{path}: mode {mode:04o} lets others at a private key; chmod 600 {path}"
        )


def _parse(path: Path, pem: bytes, passphrase: Passphrase | None) -> Key:
    try:
        if b"PRIVATE KEY-----" not in pem:
            public = serialization.load_pem_public_key(pem)
            if isinstance(public, Ed25519PublicKey | X25519PublicKey) or (
                isinstance(public, ec.EllipticCurvePublicKey)
                and isinstance(public.curve, ec.SECP256R1)
            ):
                return Key(public, None, str(path))
            raise KeyFileError(_other_kind(path))
        private = _load_private_pem(path, pem, passphrase)
    except (ValueError, UnsupportedAlgorithm) as e:
        raise KeyFileError(
            f"{path}: is no key in PEM format (PKCS8 or SubjectPublicKeyInfo)"
        ) from e
    if isinstance(private, Ed25519PrivateKey | X25519PrivateKey) or (
        isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(private.curve, ec.SECP256R1)
    ):
        return Key(private.public_key(), private, str(path))
    raise KeyFileError(_other_kind(path))


def _load_private_pem(path: Path, pem: bytes, passphrase: Passphrase | None) -> object:
    try:
        return serialization.load_pem_private_key(pem, None)
    except TypeError:  # it is encrypted
        if passphrase is None:
            raise KeyFileError(f"{path}: has a passphrase, and none was given") from None
    secret = passphrase(path)
    if not secret:
        raise KeyFileError(f"{path}: has a passphrase, and an empty one was given")
    try:
        return serialization.load_pem_private_key(pem, secret)
    except ValueError as e:
        raise KeyFileError(f"{path}: the passphrase is wrong") from e


def _other_kind(path: Path) -> str:
    return f"{path}: is a key of another kind; Ed25519, ECDSA P-256 and X25519 are used here"


def _needed(use: Use) -> str:
    return f"{' or '.join(a.title for a in use.algorithms)} is needed to {use.value}"


def _generate(algorithm: Algorithm) -> Private:
    if algorithm is Algorithm.ECDSA_P256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm is Algorithm.X25519:
        return X25519PrivateKey.generate()
    return Ed25519PrivateKey.generate()


def refuse_development(hashes: Iterable[tuple[str, bytes]]) -> None:
    """The policy of `release=1`, for key hashes and where they are from; KeyFileError."""
    for where, value in hashes:
        if value in DEVELOPMENT_HASHES:
            raise KeyFileError(
                f"{where}: is or uses a development key ({value.hex()[:16]}…), which anybody has; "
                "a release needs keys of its own (tinyseal keys new)"
            )


def c_array(name: str, data: bytes) -> str:
    """A const array in C, eight bytes a line."""
    rows = [data[i : i + 8] for i in range(0, len(data), 8)]
    body = "".join("    " + " ".join(f"0x{b:02x}," for b in row) + "\n" for row in rows)
    return f"const unsigned char {name}[{len(data)}] = {{\n{body}}};\n"
