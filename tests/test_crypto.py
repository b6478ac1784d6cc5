"""The firmware's cryptography against Wycheproof, CAVP and the RFCs' own vectors."""

import ctypes
import json
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.build.third_party import monocypher

SMALL = ROOT / "firmware" / "bootloader" / "monocypher_small.c"
VECTORS = Path(__file__).parent / "vectors"
ED25519_GOOD, ED25519_BAD = 0x5269C3A6, 0x2D96A53C


@pytest.fixture(scope="session", params=["application", "bootloader"])
def crypto(request):
    """With Monocypher whole, and with the bootloader's shorter one."""
    curve = monocypher(ROOT / "build" / "third_party")
    folder = ROOT / "firmware" / "crypto"
    source = {"application": curve.source, "bootloader": SMALL}[request.param]
    sources = [*sorted(folder.glob("*.c")), source]
    dirs = [curve.include_dir, curve.frame_dir]
    flags = ["-shared", "-fPIC"]
    return ctypes.CDLL(str(compile_native("crypto.so", sources, [folder], dirs, flags)))


def wycheproof(name):
    groups = json.loads((VECTORS / name).read_text())["testGroups"]
    cases = [(group, test) for group in groups for test in group["tests"]]
    assert len(cases) > 80
    return cases


def cavp(name, *keys):
    """The records of a CAVP .rsp file, as dicts of text."""
    record, records = {}, []
    with cryptography_vectors.open_vector_file(name, "r") as lines:
        for line in lines:
            key, equals, value = (part.strip() for part in line.partition("="))
            if equals and not key.startswith("["):
                record[key] = value
            elif record.keys() >= set(keys):
                records.append(record)
                record = {}
    if record.keys() >= set(keys):
        records.append(record)
    return records


def digest(crypto, name, message, pieces=1):
    state = ctypes.create_string_buffer(512)
    getattr(crypto, f"{name}_init")(state)
    step = -(-len(message) // pieces) or 1
    for at in range(0, len(message), step):
        part = message[at : at + step]
        getattr(crypto, f"{name}_update")(state, part, ctypes.c_size_t(len(part)))
    out = ctypes.create_string_buffer(64)
    getattr(crypto, f"{name}_final")(state, out)
    return out.raw


@pytest.mark.parametrize("bits", [256, 512])
@pytest.mark.parametrize("length", ["Short", "Long"])
def test_sha2_equals_cavp(crypto, bits, length):
    records = cavp(f"hashes/SHA2/SHA{bits}{length}Msg.rsp", "Len", "Msg", "MD")
    assert len(records) > 60
    for record in records:
        message = bytes.fromhex(record["Msg"])[: int(record["Len"]) // 8]
        for pieces in (1, 3):
            assert digest(crypto, f"sha{bits}", message, pieces)[: bits // 8].hex() == record["MD"]


def test_hmac_equals_wycheproof(crypto):
    for group, test in wycheproof("hmac_sha256_test.json"):
        key, message = bytes.fromhex(test["key"]), bytes.fromhex(test["msg"])
        state, tag = ctypes.create_string_buffer(512), ctypes.create_string_buffer(32)
        crypto.hmac_init(state, key, ctypes.c_size_t(len(key)))
        crypto.hmac_update(state, message, ctypes.c_size_t(len(message)))
        crypto.hmac_final(state, tag)
        same = tag.raw[: group["tagSize"] // 8].hex() == test["tag"]
        assert same == (test["result"] == "valid"), test["tcId"]


def test_hkdf_equals_wycheproof(crypto):
    for _, test in wycheproof("hkdf_sha256_test.json"):
        secret, salt, info = (bytes.fromhex(test[k]) for k in ("ikm", "salt", "info"))
        size = test["size"]
        out = ctypes.create_string_buffer(size)
        err = crypto.hmac_hkdf(
            secret, ctypes.c_size_t(len(secret)), salt, ctypes.c_size_t(len(salt)),
            info, ctypes.c_size_t(len(info)), out, ctypes.c_size_t(size),
        )  # fmt: skip
        valid = err == 0 and out.raw.hex() == test["okm"]
        assert valid == (test["result"] == "valid"), test["tcId"]


@pytest.mark.parametrize("bits", [128, 256])
@pytest.mark.parametrize("kind", ["GFSbox", "KeySbox", "VarKey", "VarTxt", "MMT"])
def test_aes_equals_cavp(crypto, bits, kind):
    """One block of counter mode over zeros is the block cipher of the counter."""
    records = cavp(f"ciphers/AES/ECB/ECB{kind}{bits}.rsp", "KEY", "PLAINTEXT", "CIPHERTEXT")
    assert records
    for record in records:
        key, plain = bytes.fromhex(record["KEY"]), bytes.fromhex(record["PLAINTEXT"])
        blocks = b"".join(
            ctr(crypto, key, plain[i : i + 16], bytes(16)) for i in range(0, len(plain), 16)
        )
        assert blocks.hex() == record["CIPHERTEXT"]


def ctr(crypto, key, counter, data, offset=0):
    state, out = ctypes.create_string_buffer(512), ctypes.create_string_buffer(len(data))
    assert crypto.aes_ctr_init(state, key, ctypes.c_size_t(len(key))) == 0
    crypto.aes_ctr_crypt(
        state, counter, ctypes.c_uint32(offset), data, out, ctypes.c_size_t(len(data))
    )
    return out.raw


@pytest.mark.parametrize("counter", [bytes(16), b"\xff" * 16, bytes(12) + b"\xff\xff\xff\xfe"])
@pytest.mark.parametrize("key", [bytes(range(16)), bytes(range(32))])
def test_ctr_from_any_offset_equals_a_well_kept_library(crypto, key, counter):
    data = bytes(i * 7 & 0xFF for i in range(1000))
    expected = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor().update(data)
    assert ctr(crypto, key, counter, data) == expected
    for offset in (1, 15, 16, 17, 255, 999):
        assert ctr(crypto, key, counter, data[offset:], offset) == expected[offset:]


def test_aes_refuses_other_key_lengths(crypto):
    state = ctypes.create_string_buffer(512)
    for length in (0, 15, 24, 33):
        assert crypto.aes_ctr_init(state, bytes(64), ctypes.c_size_t(length)) == -1


def check(crypto, public, message, signature):
    crypto.ed25519_check.restype = ctypes.c_uint32
    return crypto.ed25519_check(public, message, ctypes.c_size_t(len(message)), signature)


def test_ed25519_check_equals_wycheproof(crypto):
    for group, test in wycheproof("ed25519_test.json"):
        public = bytes.fromhex(group["publicKey"]["pk"])
        message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
        if len(signature) != 64:
            assert test["result"] == "invalid"  # the caller's length check
            continue
        expected = ED25519_GOOD if test["result"] == "valid" else ED25519_BAD
        assert check(crypto, public, message, signature) == expected, test["tcId"]


def test_ed25519_signs_as_others_do(crypto):
    for i in range(8):
        seed, message = bytes([i] * 32), bytes(range(i * 13))
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public, signature = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
        crypto.ed25519_public(seed, public)
        crypto.ed25519_sign(seed, message, ctypes.c_size_t(len(message)), signature)
        assert public.raw == key.public_key().public_bytes_raw()
        assert signature.raw == key.sign(message)
        assert check(crypto, public.raw, message, signature.raw) == ED25519_GOOD
        for bit in range(0, 512, 37):
            bent = bytearray(signature.raw)
            bent[bit // 8] ^= 1 << bit % 8
            assert check(crypto, public.raw, message, bytes(bent)) == ED25519_BAD


def test_x25519_equals_wycheproof(crypto):
    for _, test in wycheproof("x25519_test.json"):
        out = ctypes.create_string_buffer(32)
        crypto.crypto_x25519(out, bytes.fromhex(test["private"]), bytes.fromhex(test["public"]))
        assert out.raw.hex() == test["shared"], test["tcId"]
