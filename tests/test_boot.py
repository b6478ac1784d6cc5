"""What boots and what does not: imgtool's images, and every attack that has happened to others."""

import hashlib
import hmac
import itertools
import struct
import subprocess
import sys
import uuid

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tinyseal.build.firmware import ROOT
from tinyseal.build.native import SANITIZE, compile_native
from tinyseal.build.third_party import monocypher

GOOD = 0x5AC3963C
(EMPTY, EREAD, EWRITE, EHEADER, ESIZE, ETLV, EDUPLICATE, EUNPROTECTED, ETRAILING, EHASH, EKEY,
 ESIGNATURE, EADDRESS, EBOARD, ECOUNTER, EVERSION, EDEPENDENCY, ENCRYPTED, EUNWRAP, EEXHAUSTED,
 ENOCOUNTER, ENOSTATE, ECHANGED, REVERTED) = range(1, 25)  # fmt: skip
ENOKEY = 27
NO_SLOT = 255
APP, CAPSULE = 0, 1
ERASE, PROGRAM, UNITS = 1024, 4, 5
SLOT = ERASE * UNITS
HEADER = 0x40
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SPKI = SIGNER.public_key().public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
PUBLIC = SPKI[-32:]


@pytest.fixture(scope="session")
def driver():
    return build_driver()


def build_driver(more_sources=(), more_folders=(), system_dirs=(), more_flags=()):
    """The driver, for Ed25519 or as the flags say."""
    curve = monocypher(ROOT / "build" / "third_party")
    folders = [ROOT / "firmware" / name for name in ("hal", "nv", "crypto", "boot", "sim")]
    sources = [p for d in folders[1:4] for p in sorted(d.glob("*.c"))]
    sources += [folders[4] / "flash_sim.c", folders[4] / "boot_bench.c", curve.source]
    sources += [ROOT / "tests" / "support" / "boot_driver.c", *more_sources]
    flags = [*SANITIZE, "-Wno-error=conversion", *more_flags]
    system = [curve.include_dir, *system_dirs]
    return compile_native("boot_driver", sources, [*folders, *more_folders], system, flags=flags)


class Seen:
    """One start: what runs and why not the rest."""

    def __init__(self, line):
        n = [int(word) for word in line.split()]
        self.status = n[0]
        self.slot, self.entry, self.trial = [n[1], n[9]], [n[2], n[10]], [n[3], n[11]]
        self.slots = [n[4:6], n[12:14]]
        self.counter = [n[6], n[14]]
        self.counter_status = [n[7], n[15]]
        self.request = [n[8], n[16]]
        self.state_status, self.writes = n[17:19]


class Device:
    def __init__(self, driver, mode="xip", images=1, program=PROGRAM, key=PUBLIC):
        self.process = subprocess.Popen(
            [driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.mode = mode
        self.do("config", ERASE, program, UNITS, mode, images)
        self.do("key", key.hex())

    def do(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, f"the driver died of {' '.join(map(str, words))[:80]}"
        return answer.strip()

    def write(self, image, slot, data):
        assert self.do("write", image, slot, data.hex()) == "0"

    def boot(self):
        return Seen(self.do("boot"))

    def address(self, image, slot):
        return int(self.do("address", image, slot).split()[self.mode == "ram"])

    def placed(self, image=APP, slot=0):
        """Keyword arguments of make() for an image that may run from there."""
        if self.mode == "ram":
            return {"flags": 0x20, "address": self.address(image, 0)}
        return {"flags": 0x100, "address": self.address(image, slot * (self.mode == "xip"))}


@pytest.fixture
def device(driver):
    devices = []

    def start(*args, **kwargs):
        devices.append(Device(driver, *args, **kwargs))
        return devices[-1]

    yield start
    for d in devices:
        d.process.stdin.close()
        d.process.stdout.close()
        assert d.process.wait() == 0


def tlv(kind, value):
    return struct.pack("<HH", kind, len(value)) + value


def section(magic, tlvs):
    body = b"".join(tlvs)
    return struct.pack("<HH", magic, 4 + len(body)) + body


def dependency(image, major):
    return tlv(0x40, struct.pack("<B3xBBHI", image, major, 0, 0, 0))


def make(address=0, flags=0, version=(1, 0, 0), counter=1, payload=b"tinyseal" * 20, **other):
    """An image, signed; `other` takes what an attacker or a careless maker would change."""
    protected = other.get("protected", [tlv(0x50, struct.pack("<I", counter))])
    protected = section(other.get("protected_magic", 0x6908), protected) if protected else b""
    header = struct.pack(
        "<IIHHIIBBHI4x",
        other.get("magic", 0x96F3B83D),
        address,
        other.get("header_bytes", HEADER),
        other.get("protected_bytes", len(protected)),
        other.get("payload_bytes", len(payload)),
        flags,
        *version,
        0,
    ).ljust(HEADER, b"\xff")
    signed = header + payload + protected
    digest = hashlib.sha256(signed).digest()
    signature = other.get("signer", SIGNER).sign(digest)
    tlvs = [
        tlv(0x10, digest),
        tlv(0x01, other.get("key_hash", hashlib.sha256(SPKI).digest())),
        tlv(other.get("signature_tlv", 0x24), signature),
        *other.get("unprotected", []),
    ]
    rest = section(0x6907, tlvs)
    if "total" in other:
        rest = rest[:2] + struct.pack("<H", len(rest) + other["total"]) + rest[4:]
    return signed + rest + other.get("trailing", b"")


def refused(device, **change):
    """The status of an image in slot 0, which must not boot."""
    d = device()
    d.write(APP, 0, make(**{**d.placed(), **change}))
    seen = d.boot()
    assert seen.status != GOOD and seen.slot[APP] == NO_SLOT and seen.entry[APP] == 0
    return seen.slots[APP][0]


def test_a_signed_image_boots(device):
    d = device()
    d.write(APP, 0, make(**d.placed()))
    seen = d.boot()
    assert seen.status == GOOD and seen.slot[APP] == 0 and seen.counter[APP] == 1
    assert seen.entry[APP] == d.address(APP, 0) + HEADER


def imgtool(tmp_path, *options, payload=b"payload!" * 30):
    key, source, target = tmp_path / "key.pem", tmp_path / "in.bin", tmp_path / "out.bin"
    key.write_bytes(
        SIGNER.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    source.write_bytes(payload)
    common = ["--key", key, "--align", PROGRAM, "--header-size", HEADER, "--pad-header",
              "--slot-size", SLOT, "--max-sectors", 16]  # fmt: skip
    command = [sys.executable, "-m", "imgtool.main", "sign", *common, *options, source, target]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.parametrize("extra", [[], ["--pad"], ["--pad", "--confirm"]])
def test_stock_imgtool_images_boot(device, tmp_path, extra):
    d = device()
    d.do("vendor", uuid.uuid5(uuid.NAMESPACE_DNS, "vendor").hex)
    d.do("class", 0, uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_DNS, "vendor"), "board").hex)
    target = imgtool(
        tmp_path, "--version", "1.2.3+4", "--security-counter", 7, "--vid", "vendor",
        "--cid", "board", "--rom-fixed", hex(d.address(APP, 0)), *extra,
    )  # fmt: skip
    d.write(APP, 0, target.read_bytes())
    seen = d.boot()
    assert seen.status == GOOD and seen.counter[APP] == 7


def test_imgtool_verifies_what_boots(device, tmp_path):
    d = device()
    image = make(**d.placed())
    key = tmp_path / "key.pem"
    key.write_bytes(
        SIGNER.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    path = tmp_path / "image.bin"
    for data, verdict in [(image, 0), (image[:70] + b"X" + image[71:], 1)]:
        path.write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-m", "imgtool.main", "verify", "--key", str(key), str(path)],
            capture_output=True,
        )
        assert (done.returncode != 0) == verdict
        d.write(APP, 0, data)
        assert (d.boot().status != GOOD) == verdict


@pytest.mark.parametrize("bits", [128, 256])
def test_imgtool_encrypted_images_are_decrypted_when_swapped_in(device, tmp_path, bits):
    private = X25519PrivateKey.from_private_bytes(bytes(range(7, 39)))
    (tmp_path / "enc.pem").write_bytes(
        private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    d = device("swap")
    d.do("decrypt", private.private_bytes_raw().hex())
    d.write(APP, 0, make(**d.placed()))
    assert d.boot().status == GOOD
    payload = bytes(range(256)) * 6
    image = imgtool(
        tmp_path, "--version", "2.0.0", "--security-counter", 2, "--pad", "--encrypt",
        tmp_path / "enc.pem", "--encrypt-keylen", bits, payload=payload,
    )  # fmt: skip
    assert payload not in image.read_bytes()
    d.write(APP, 1, image.read_bytes())
    seen = d.boot()
    assert seen.status == GOOD and seen.trial[APP] == 1
    assert payload.hex() in d.do("read", APP, 0, SLOT)
    assert d.do("confirm") == str(GOOD)
    seen = d.boot()
    assert seen.status == GOOD and seen.trial[APP] == 0 and seen.counter[APP] == 2
    # Encrypted for another board.
    d = device("swap")
    d.do("decrypt", bytes(32).hex())
    d.write(APP, 0, make(**d.placed()))
    d.write(APP, 1, image.read_bytes())
    seen = d.boot()
    assert seen.status == GOOD and seen.request[APP] == EUNWRAP and seen.trial[APP] == 0


# --- Encrypted images, attacked. ---

BOARD_KEY = X25519PrivateKey.from_private_bytes(bytes(range(7, 39)))
AES_FLAGS = {16: 0x4, 32: 0x8}


def aes_ctr(key, data):
    cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return cipher.update(data) + cipher.finalize()


def wrapped(key, ephemeral=None, shared=None, public=None):
    """The value of ENCX25519: `key` for the board, or what an attacker would write."""
    ephemeral = ephemeral or X25519PrivateKey.from_private_bytes(bytes(range(100, 132)))
    shared = shared or ephemeral.exchange(BOARD_KEY.public_key())
    derived = HKDF(hashes.SHA256(), len(key) + 32, None, b"MCUBoot_ECIES_v1").derive(shared)
    sealed = aes_ctr(derived[: len(key)], key)
    tag = hmac.digest(derived[len(key) :], sealed, "sha256")
    return (public or ephemeral.public_key().public_bytes_raw()) + tag + sealed


def encrypted(placed, key=bytes(range(16)), value=None, payload=b"secret model" * 9, **other):
    """As make(), encrypted under `key`; the signature is over the plain image."""
    flags = placed.get("flags", 0) | other.pop("aes", AES_FLAGS[len(key)])
    tlvs = [tlv(0x33, wrapped(key) if value is None else value)] if value != b"" else []
    image = make(**{**placed, "flags": flags}, payload=payload, unprotected=tlvs, **other)
    end = HEADER + len(payload)
    return image[:HEADER] + aes_ctr(key, image[HEADER:end]) + image[end:]


class Encrypting:
    """A board that decrypts, with a plain image in use; what is tried is put beside it."""

    def __init__(self, device, mode, key=BOARD_KEY):
        self.device = d = device(mode)
        d.do("decrypt", key.private_bytes_raw().hex() if key else "-")
        self.slot = 1
        self.placed = {"flags": 0x20, "address": d.address(APP, 0)} if mode == "ram" else {}
        d.write(APP, 0, make(**self.placed))
        assert d.boot().status == GOOD

    def make(self, **other):
        return encrypted(self.placed, **{"version": (2, 0, 0), "counter": 2, **other})

    def tried(self, image):
        """Why it was refused, with the old one running; GOOD if it was taken."""
        self.device.write(APP, 1, image)
        assert self.device.do("pending", 1, 0) == str(GOOD)
        seen = self.device.boot()
        assert seen.status == GOOD
        if seen.trial[APP]:
            return GOOD
        assert seen.request[APP] not in (0, GOOD) and seen.slot[APP] == 0
        assert seen.entry[APP] == self.device.address(APP, 0) + HEADER
        return seen.request[APP]


ENCRYPTED_MODES = pytest.mark.parametrize("mode", ["swap", "ram"])


@ENCRYPTED_MODES
def test_an_encrypted_image_of_our_own_making_is_taken(device, mode):
    for key in (bytes(range(16)), bytes(range(32))):
        it = Encrypting(device, mode)
        assert it.tried(it.make(key=key)) == GOOD


@ENCRYPTED_MODES
def test_every_bit_flipped_of_an_encrypted_image_is_refused(device, mode):
    """Header, ciphertext, wrapped key, tag, ephemeral key and all the rest."""
    it = Encrypting(device, mode)
    image = it.make(payload=b"short")
    for bit in range(8 * len(image)):
        mutant = bytearray(image)
        mutant[bit // 8] ^= 1 << bit % 8
        assert it.tried(bytes(mutant)) != GOOD, bit
    assert it.tried(image) == GOOD


@ENCRYPTED_MODES
def test_an_encrypted_image_truncated_at_every_length_is_refused(device, mode):
    it = Encrypting(device, mode)
    image = it.make(payload=b"short")
    for length in range(len(image)):
        assert it.tried(image[:length]) != GOOD, length
    assert it.tried(image) == GOOD


@ENCRYPTED_MODES
def test_a_key_for_another_board_or_none_is_told(device, mode):
    other = X25519PrivateKey.from_private_bytes(bytes(range(50, 82)))
    for key, status in ((other, EUNWRAP), (None, ENOKEY)):
        it = Encrypting(device, mode, key)
        assert it.tried(it.make()) == status
        assert it.tried(make(version=(2, 0, 0), counter=2, **it.placed)) == GOOD


@ENCRYPTED_MODES
def test_wrapped_keys_that_are_not_the_boards_are_refused(device, mode):
    it, key = Encrypting(device, mode), bytes(range(16))
    good = wrapped(key)
    elsewhere = wrapped(bytes(16))  # a sound one, of another image
    assert it.tried(it.make(value=elsewhere)) == EHASH
    for zero in (bytes(32), b"\x01" + bytes(31)):  # of low order: the shared secret is zero
        known = wrapped(key, shared=bytes(32), public=zero)
        assert it.tried(it.make(value=known)) == EUNWRAP
    for value in (good[:79], good + b"x", good[:32], good + bytes(16), wrapped(bytes(32)), b""):
        assert it.tried(it.make(value=value)) == ETLV
    assert it.tried(it.make(aes=0)) == ETLV  # a wrapped key, and not said to be encrypted
    assert it.tried(it.make(aes=0xC)) == EHEADER
    assert it.tried(it.make(value=good)) == GOOD


@ENCRYPTED_MODES
def test_a_plain_image_that_claims_to_be_encrypted_is_refused(device, mode):
    """The signature fits what lies there, and what lies there is not what was asked for."""
    it = Encrypting(device, mode)
    flags = it.placed.get("flags", 0) | 0x4
    clear = make(
        **{**it.placed, "flags": flags, "version": (2, 0, 0), "counter": 2},
        unprotected=[tlv(0x33, wrapped(bytes(range(16))))],
    )
    assert it.tried(clear) == EHASH


def test_an_encrypted_image_does_not_run_in_place(device):
    d = device()
    d.write(APP, 0, encrypted(d.placed()))
    seen = d.boot()
    assert seen.status == ENCRYPTED and seen.entry[APP] == 0


@ENCRYPTED_MODES
def test_what_an_application_says_without_the_key_boots_nothing(device, mode):
    """Of what is encrypted it judges the signature only; the bootloader judges the payload."""
    it = Encrypting(device, mode)
    bad = bytearray(it.make())
    bad[HEADER + 5] ^= 1
    forged = it.make(signer=Ed25519PrivateKey.generate())
    for image, told, booted in (
        (bytes(bad), GOOD, EHASH),
        (forged, ESIGNATURE, ESIGNATURE),
        (it.make(), GOOD, GOOD),
    ):
        it.device.write(APP, 1, image)
        assert it.device.do("slot", APP, 1) == str(told)
        assert it.tried(image) == booted


def test_ciphertext_that_changes_after_the_check_does_not_run(device):
    """CVE-2024-28183, of an image that is decrypted on its way to RAM."""
    it = Encrypting(device, "ram")
    image = it.make(counter=1, version=(1, 0, 0))
    it.device.write(APP, 0, image)
    assert it.device.boot().status == GOOD
    key_at = image.index(wrapped(bytes(range(16))))
    places = (HEADER, HEADER + 60, key_at, key_at + 40, key_at + 70)
    for place, look in itertools.product(places, (0, 1, 2)):
        it.device.do("lie", APP, 0, place, look, 10**6, "a5a5a5a5")
        seen = it.device.boot()
        # Each place is looked at twice: a third look never comes.
        assert (seen.status != GOOD) == (look < 2), (place, look)


# --- The attacks. ---


@pytest.mark.parametrize(
    "unprotected",
    [
        tlv(0x50, struct.pack("<I", 9)),
        dependency(1, 0),
        tlv(0x74, bytes(16)),
        tlv(0x75, bytes(16)),
        tlv(0xA5, b"vendor"),
        tlv(0x02, SPKI),
    ],
    ids=["counter", "dependency", "vendor-id", "class-id", "vendor-tlv", "public-key"],
)
def test_what_the_signature_does_not_cover_is_refused(device, unprotected):
    """CVE-2024-32883."""
    assert refused(device, unprotected=[unprotected]) == EUNPROTECTED


def test_unprotected_counter_does_not_stand_in_for_a_protected_one(device):
    counter = tlv(0x50, struct.pack("<I", 9))
    assert refused(device, protected=[], unprotected=[counter]) == EUNPROTECTED


def test_bytes_after_the_last_tlv_are_refused(device):
    for gap in (0, 1, 100, SLOT - ERASE - 600):
        assert refused(device, trailing=b"\xff" * gap + b"\x00") == ETRAILING
    d = device()
    image = make(**d.placed())
    for behind in (*range(300), *range(SLOT - ERASE - len(image) - 300, SLOT - ERASE - len(image))):
        d.write(APP, 0, image + b"\xff" * behind + b"\xfe")
        assert d.boot().slots[APP][0] == ETRAILING, behind


def test_tlv_lengths_that_walk_out_are_refused(device):
    counter = struct.pack("<I", 1)
    for length in (0, 3, 5, 8, 0x100, 0xFFFF):
        bad = struct.pack("<HH", 0x50, length) + counter
        assert refused(device, protected=[bad]) == ETLV
    for length in (5, 0x100, 0xFFFC, 0xFFFF):  # of one whose length no rule knows
        assert refused(device, protected=[struct.pack("<HH", 0xA5, length) + counter]) == ETLV
    for total in (-1, -5, 1, 4, 5, 0x1000):
        assert refused(device, total=total) in (ETLV, EUNPROTECTED, ESIGNATURE)
    for size in (1, 4, 11, 13, 16, 200, 0x101, 0xFFFF):
        assert refused(device, protected_bytes=size) in (ETLV, ESIZE)


def test_duplicates_are_refused(device):
    counter = tlv(0x50, struct.pack("<I", 1))
    assert refused(device, protected=[counter, counter]) == EDUPLICATE
    for kind, length in ((0x10, 32), (0x01, 32), (0x24, 64)):
        assert refused(device, unprotected=[tlv(kind, bytes(length))]) == EDUPLICATE


def test_sizes_that_wrap_are_refused(device):
    for size in (0, 2**32 - 1, 2**32 - HEADER, 2**32 - HEADER - 12, 2**31, SLOT):
        assert refused(device, payload_bytes=size) in (EHEADER, ESIZE)
    for size in (0, 16, 31, 0xFFFF, 0xFFFC):
        assert refused(device, header_bytes=size) in (EHEADER, ESIZE)


def test_unknown_flags_are_refused(device):
    d = device()
    for flag in [1 << bit for bit in range(32) if 1 << bit not in (0x4, 0x8, 0x20, 0x100)]:
        d.write(APP, 0, make(flags=0x100 | flag, address=d.address(APP, 0)))
        seen = d.boot()
        assert seen.status == EHEADER and seen.entry[APP] == 0
    assert refused(device, flags=0x10C) == EHEADER


def test_other_keys_and_forged_signatures_are_refused(device):
    other = Ed25519PrivateKey.generate()
    assert refused(device, signer=other) == ESIGNATURE
    spki = other.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    key_hash = hashlib.sha256(spki).digest()
    assert refused(device, signer=other, key_hash=key_hash) == EKEY


def test_image_for_another_board_or_slot_is_refused(device):
    d = device()
    assert refused(device, address=d.address(APP, 1)) == EADDRESS
    assert refused(device, flags=0) == EADDRESS
    assert refused(device, flags=0x20) == EADDRESS
    counter = tlv(0x50, struct.pack("<I", 1))
    assert refused(device, protected=[counter, tlv(0x75, b"b" * 16)]) == EBOARD
    for wanted, status in ((b"a" * 16, GOOD), (b"b" * 16, EBOARD)):
        d = device()
        d.do("class", 0, wanted.hex())
        d.write(APP, 0, make(protected=[counter, tlv(0x75, b"a" * 16)], **d.placed()))
        assert d.boot().status == status
    d.write(APP, 0, make(**d.placed()))
    assert d.boot().status == EBOARD


def test_truncated_at_every_length_is_refused(device):
    d = device()
    image = make(**d.placed(), payload=b"short")
    for length in range(len(image)):
        d.write(APP, 0, image[:length])
        seen = d.boot()
        assert seen.status != GOOD and seen.entry[APP] == 0, length
    d.write(APP, 0, image)
    assert d.boot().status == GOOD


def test_every_bit_flipped_is_refused(device):
    d = device()
    image = make(**d.placed(), payload=b"short")
    for bit in range(8 * len(image)):
        mutant = bytearray(image)
        mutant[bit // 8] ^= 1 << bit % 8
        d.write(APP, 0, bytes(mutant))
        seen = d.boot()
        assert seen.status != GOOD and seen.entry[APP] == 0, bit


@pytest.mark.parametrize("mode", ["xip", "swap", "ram"])
def test_flash_that_changes_after_the_check_is_refused(device, mode):
    """CVE-2024-28183: other bytes at every look from the second on, at every kind of place."""
    d = device(mode)
    image = make(**d.placed())
    d.write(APP, 0, image)
    assert d.boot().status == GOOD
    for place, look in itertools.product((0, 9, 13, 17, HEADER, HEADER + 50), (0, 1, 2)):
        d.do("lie", APP, 0, place, look, 10**6, "a5a5a5a5")
        seen = d.boot()
        # In XIP the last look of all, by the processor, is beyond any check.
        assert seen.status != GOOD or look == 2, (place, look)
    d.do("lie", APP, 0, 0, 0, 0, "")
    assert d.boot().status == GOOD


def two_versions(d, new, old=None):
    d.write(APP, 0, make(**{**d.placed(), **(old or {"version": (2, 0, 0), "counter": 5})}))
    assert d.boot().status == GOOD
    d.write(APP, 1, make(**{**d.placed(APP, 1), **new}))
    assert d.do("pending", 1, 0) == str(GOOD)
    return d.boot()


@pytest.mark.parametrize("mode", ["xip", "swap", "ram"])
def test_downgrades_are_refused_both_ways(device, mode):
    lower_counter = two_versions(device(mode), {"version": (9, 0, 0), "counter": 4})
    assert lower_counter.request[APP] == ECOUNTER and lower_counter.slot[APP] == 0
    older = two_versions(device(mode), {"version": (1, 9, 9), "counter": 5})
    assert older.request[APP] == EVERSION and older.slot[APP] == 0
    assert lower_counter.status == older.status == GOOD
    allowed = device(mode)
    allowed.do("downgrade", 1)
    assert two_versions(allowed, {"version": (1, 9, 9), "counter": 5}).trial[APP] == 1


@pytest.mark.parametrize("mode", ["xip", "swap", "ram"])
def test_unconfirmed_image_is_tried_once_and_the_counter_waits(device, mode):
    d = device(mode)
    trial = two_versions(d, {"version": (3, 0, 0), "counter": 6})
    assert trial.trial[APP] == 1 and trial.counter[APP] == 5
    back = d.boot()
    assert back.status == GOOD and back.request[APP] == REVERTED and back.trial[APP] == 0
    assert back.counter[APP] == 5
    assert d.boot().request[APP] == 0


@pytest.mark.parametrize("mode", ["xip", "swap", "ram"])
def test_confirmed_image_moves_the_counter_and_old_one_is_withdrawn(device, mode):
    d = device(mode)
    two_versions(d, {"version": (3, 0, 0), "counter": 6})
    assert d.do("confirm") == str(GOOD)
    seen = d.boot()
    assert seen.status == GOOD and seen.trial[APP] == 0 and seen.counter[APP] == 6
    assert d.do("pending", 1, 0) == str(GOOD)
    seen = d.boot()
    assert seen.status == GOOD and seen.request[APP] == ECOUNTER and seen.counter[APP] == 6


def test_trailer_of_imgtool_is_a_request_for_one_trial(device, tmp_path):
    d = device()
    d.write(APP, 0, make(**d.placed()))
    assert d.boot().status == GOOD
    options = ["--version", "2.0.0", "--rom-fixed", hex(d.address(APP, 1)), "--pad"]
    target = imgtool(tmp_path, *options, "--security-counter", 1)
    d.write(APP, 1, target.read_bytes())
    seen = d.boot()
    assert (seen.slot[APP], seen.trial[APP]) == (1, 1)
    assert [d.boot().slot[APP] for _ in range(3)] == [0, 0, 0]
    d.write(APP, 1, imgtool(tmp_path, *options, "--confirm").read_bytes())
    assert [d.boot().slot[APP] for _ in range(3)] == [0, 0, 0]  # no counter: refused
    d.write(APP, 1, imgtool(tmp_path, *options, "--confirm", "--security-counter", 3).read_bytes())
    seen = [d.boot() for _ in range(3)]
    assert [s.slot[APP] for s in seen] == [1, 1, 1] and seen[2].counter[APP] == 3


@pytest.mark.parametrize("mode", ["xip", "swap", "ram"])
def test_exhausted_counter_is_noticed_before_anything_is_changed(device, mode):
    d = device(mode)
    d.do("endurance", 5)
    d.write(APP, 0, make(**d.placed(), version=(2, 0, 0), counter=5))
    assert d.boot().status == GOOD
    assert 0 < int(d.do("wear", APP, 800)) < ERASE
    d.write(APP, 1, make(**d.placed(APP, 1), version=(3, 0, 0), counter=6))
    assert d.do("pending", 1, 0) == str(GOOD)
    seen = d.boot()
    assert seen.request[APP] == EEXHAUSTED and seen.slot[APP] == 0 and seen.trial[APP] == 0
    for _ in range(1500):
        seen = d.boot()
        assert seen.status == GOOD and seen.slot[APP] == 0 and seen.counter[APP] == 5
    assert seen.state_status == EEXHAUSTED and seen.counter_status[APP] == EEXHAUSTED
    assert d.do("pending", 1, 0) == str(EEXHAUSTED)


def test_failing_counter_read_ends_with_a_status(device):
    d = device()
    d.write(APP, 0, make(**d.placed()))
    assert d.boot().status == GOOD
    start = 2 * ERASE  # of the application's counter
    for fails, statuses in ((10**6, {ENOCOUNTER}), (1, {ENOCOUNTER})):
        d.do("fail", start, 2 * ERASE, fails)
        seen = d.boot()
        assert seen.status in statuses and seen.entry[APP] == 0
    d.do("fail", 0, 0, 0)
    assert d.boot().status == GOOD


def test_copy_that_went_wrong_is_swapped_back(device):
    """The new image is judged again where it arrived; the old one was not given up for it."""
    d = device("swap")
    d.write(APP, 0, make(**d.placed(), version=(1, 0, 0)))
    assert d.boot().status == GOOD
    d.write(APP, 1, make(**d.placed(APP, 1), version=(2, 0, 0)))
    assert d.do("pending", 1, 0) == str(GOOD)
    # Good when it is checked, and when it is asked whether it is erased; not when it is copied.
    d.do("lie", APP, 1, HEADER, 2, 3, "ee")
    seen = d.boot()
    assert seen.status == GOOD and seen.trial[APP] == 0
    version = bytes.fromhex(d.do("read", APP, 0, 32))[20]
    assert version == 1 and [d.boot().trial[APP] for _ in range(2)] == [0, 0]


def test_bootstrapped_image_is_kept_though_nobody_confirms_it(device):
    for mode in ("xip", "swap", "ram"):
        d = device(mode)
        d.write(APP, 1, make(**d.placed(APP, 1), counter=3))
        for start in range(5):
            seen = d.boot()
            assert seen.status == GOOD and seen.counter[APP] == 0
            assert start == 0 or seen.writes < 10  # nothing is swapped there and back
        assert d.do("confirm") == str(GOOD)
        assert d.boot().counter[APP] == 3


def pair(d, slot, version, app_needs=None, capsule_needs=None):
    counter = tlv(0x50, struct.pack("<I", 1))
    for image, needs in ((APP, app_needs), (CAPSULE, capsule_needs)):
        extra = [] if needs is None else [dependency(image ^ 1, needs)]
        d.write(
            image,
            slot,
            make(version=(version, 0, 0), protected=[counter, *extra], **d.placed(image, slot)),
        )


@pytest.mark.parametrize("mode", ["xip", "swap", "ram"])
def test_capsule_that_does_not_fit_leaves_the_old_pair(device, mode):
    d = device(mode, images=2)
    pair(d, 0, 1, capsule_needs=1)
    assert d.boot().status == GOOD
    pair(d, 1, 2, capsule_needs=2)
    assert d.do("pending", 2, 0) == str(GOOD)
    seen = d.boot()
    assert seen.status == GOOD and seen.request[CAPSULE] == EDEPENDENCY
    assert seen.trial == [0, 0] and 0 not in seen.entry
    assert d.do("pending", 3, 0) == str(GOOD)
    seen = d.boot()
    assert seen.status == GOOD and seen.trial == [1, 1]
    seen = d.boot()
    assert seen.status == GOOD and seen.request == [REVERTED, REVERTED]


def test_application_runs_alone_when_no_capsule_is_valid(device):
    d = device(images=2)
    d.write(APP, 0, make(**d.placed()))
    seen = d.boot()
    assert seen.status == GOOD and seen.slot == [0, NO_SLOT] and seen.entry[CAPSULE] == 0


def test_dependency_on_nothing_there_is_refused(device):
    counter = tlv(0x50, struct.pack("<I", 1))
    d = device()
    for image in (0, 1, 2, 254):
        d.write(APP, 0, make(protected=[counter, dependency(image, 0)], **d.placed()))
        assert d.boot().status == EDEPENDENCY
