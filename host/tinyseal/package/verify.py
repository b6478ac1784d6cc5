"""Whether an image is what its hash and signature say, and which of its bytes that is about."""

from __future__ import annotations

import enum
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tinyseal.errors import ImageError
from tinyseal.package.keys import DEVELOPMENT_HASHES, Key
from tinyseal.package.mcuboot import ENCRYPTED, Flag, Image, Tlv

ECIES_INFO: Final = b"MCUBoot_ECIES_v1"
MAC_KEY_BYTES: Final = 32


class Outcome(enum.Enum):
    VALID = "valid"
    WRONG = "wrong"
    MISSING = "missing"
    UNKNOWN = "not checked"
    OTHER_KEY = "by another key"


@dataclass(frozen=True)
class Judgement:
    hash: Outcome
    signature: Outcome
    reason: str  # why something was not checked; "" if all was

    @property
    def good(self) -> bool:
        """Nothing that was checked is wrong, and there is a signature."""
        bad = (Outcome.WRONG, Outcome.MISSING, Outcome.OTHER_KEY)
        return self.hash not in bad and self.signature not in bad


@dataclass(frozen=True)
class Region:
    """A run of bytes of the file, and whether a change in it breaks the signature."""

    name: str
    start: int
    bytes: int
    signed: bool
    note: str


def is_development(image: Image) -> bool:
    return image.value(Tlv.KEYHASH) in DEVELOPMENT_HASHES


def judge(image: Image, key: Key | None = None, decryption: Key | None = None) -> Judgement:
    """Checks hash and signature as the bootloader does. `key` signs; `decryption`, an X25519 key
    pair, opens an encrypted image: hash and signature cover the payload as it was before.
    """
    stated = image.value(Tlv.SHA256)
    if stated is None or not image.signed_bytes:
        return Judgement(Outcome.MISSING, Outcome.MISSING, "")
    reason = ""
    if decryption is None and is_sealed(image):
        # The signature can be checked all the same, since it is over the hash.
        hash_outcome, reason = Outcome.UNKNOWN, "the payload is encrypted; its key was not given"
    else:
        digest = hashlib.sha256(signed_part(image, decryption)).digest()
        same = hmac.compare_digest(digest, stated)
        hash_outcome = Outcome.VALID if same else Outcome.WRONG
    signature = image.value(Tlv.ED25519) or image.value(Tlv.ECDSASIG)
    if signature is None:
        return Judgement(hash_outcome, Outcome.MISSING, reason)
    if key is None:
        return Judgement(hash_outcome, Outcome.UNKNOWN, reason or "no key was given")
    if image.value(Tlv.KEYHASH) != key.hash:
        return Judgement(hash_outcome, Outcome.OTHER_KEY, reason)
    try:
        _verify(key, signature, stated)
    except InvalidSignature:
        return Judgement(hash_outcome, Outcome.WRONG, reason)
    return Judgement(hash_outcome, Outcome.VALID, reason)


def _verify(key: Key, signature: bytes, digest: bytes) -> None:
    """InvalidSignature if it is not that key's."""
    if isinstance(key.public, ec.EllipticCurvePublicKey):
        key.public.verify(signature, digest, ec.ECDSA(Prehashed(hashes.SHA256())))
    else:
        assert isinstance(key.public, Ed25519PublicKey)
        key.public.verify(signature, digest)


def is_sealed(image: Image) -> bool:
    """Whether the payload is encrypted as it lies there. What is flagged so may lie in the clear:
    where slots are swapped, it does in slot a."""
    if image.header is None or not image.header.is_encrypted:
        return False
    digest = hashlib.sha256(image.data[: image.signed_bytes]).digest()
    return digest != image.value(Tlv.SHA256)


def signed_part(image: Image, decryption: Key | None = None) -> bytes:
    """What the hash covers: header, payload, protected TLVs; the payload decrypted if need be.
    ImageError if the key does not open it."""
    header = image.header
    assert header is not None
    if decryption is None or not is_sealed(image):
        return image.data[: image.signed_bytes]
    start, end = header.header_bytes, header.header_bytes + header.image_bytes
    secret = unwrap_key(image, decryption)
    plain = _aes_ctr(secret, image.payload)
    return image.data[:start] + plain + image.data[end : image.signed_bytes]


def unwrap_key(image: Image, decryption: Key) -> bytes:
    """The payload's AES key, out of ENCX25519: an ephemeral public key, a tag, and the key
    encrypted under what HKDF-SHA-256 makes of the shared secret."""
    header, wrapped = image.header, image.value(Tlv.ENCX25519)
    if wrapped is None or header is None:
        raise ImageError(f"{decryption.name}: the image has no key wrapped for X25519")
    size = 16 if header.flags & ENCRYPTED == Flag.ENCRYPTED_AES128 else 32
    theirs, tag, sealed = wrapped[:32], wrapped[32:64], wrapped[64:]
    if theirs[31] & 0x80:  # X25519 ignores that bit; the bootloader does not
        raise ImageError("ENCX25519: its public key has a bit too many")
    assert isinstance(decryption.private, X25519PrivateKey)
    try:
        shared = decryption.private.exchange(X25519PublicKey.from_public_bytes(theirs))
    except ValueError as e:  # a point of low order
        raise ImageError("ENCX25519: its public key is none") from e
    derived = HKDF(hashes.SHA256(), size + MAC_KEY_BYTES, None, ECIES_INFO).derive(shared)
    expected = hmac.digest(derived[size:], sealed, "sha256")
    if len(sealed) != size or not hmac.compare_digest(expected, tag):
        raise ImageError(f"{decryption.name}: the image is encrypted for another key")
    return _aes_ctr(derived[:size], sealed)


def _aes_ctr(key: bytes, data: bytes) -> bytes:
    context = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return context.update(data) + context.finalize()


def regions(image: Image) -> list[Region]:
    """The file from its start to its end; what could not be read is one region."""
    header = image.header
    if header is None:
        return [Region("unreadable", 0, len(image.data), False, "")]
    payload_end = header.header_bytes + header.image_bytes
    if payload_end > len(image.data) or not image.signed_bytes:
        return [Region("unreadable", 0, len(image.data), False, "")]
    sealed = "when decrypted" if header.is_encrypted else ""
    found = [
        Region("header", 0, header.header_bytes, True, ""),
        Region("payload", header.header_bytes, header.image_bytes, True, sealed),
    ]
    if header.protected_bytes:
        found.append(Region("protected TLVs", payload_end, header.protected_bytes, True, ""))
    end = image.end or len(image.data)
    note = "each proves itself"
    found.append(Region("TLVs", image.signed_bytes, end - image.signed_bytes, False, note))
    rest = len(image.data) - end
    if rest:
        trailer = 16 if image.trailer is None else max(16, image.trailer.align)
        trailer += 0 if image.trailer is None else 2 * image.trailer.align
        if image.trailer is not None:
            found.append(Region("erased", end, rest - trailer, False, ""))
            note = "the bootloader's"
            found.append(Region("trailer", len(image.data) - trailer, trailer, False, note))
        else:
            found.append(Region("rest", end, rest, False, ""))
    return [r for r in found if r.bytes]
