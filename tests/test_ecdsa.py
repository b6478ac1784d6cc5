"""Images signed with ECDSA over P-256: the arithmetic, the verdict, the board, the tools."""

import ctypes
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from typer.testing import CliRunner

from support.boards import firmware
from support.chain import running, signed, tampered
from test_boot import APP, EKEY, ESIGNATURE, ETLV, EUNPROTECTED, GOOD, Device, build_driver, make
from test_crypto import wycheproof
from test_crypto_boards import Board, served
from tinyseal.build.firmware import P256_M_FLAGS, ROOT, THIRD_PARTY
from tinyseal.build.native import compile_native
from tinyseal.build.third_party import monocypher, p256_m
from tinyseal.cli import app
from tinyseal.errors import KeyFileError, UsageError
from tinyseal.package.keys import DEV_SIGN, DEV_SIGN_P256, Algorithm, Use, create_key, load_key
from tinyseal.package.mcuboot import Tlv, read_image
from tinyseal.package.verify import Outcome, judge
from tinyseal.profiles import load_board

SMALL = Path("tests/corpus/chain.tflite")
VECTORS = "ecdsa_secp256r1_sha256_test.json"
FOLDER = ROOT / "firmware" / "crypto" / "p256"
ECDSA_GOOD, ECDSA_BAD = 0x43695AD2, 0x3C96A52D
BUDGET = 16 * 1024  # of a Cortex-M4's bootloader


class Signer:
    """As test_boot's make() uses one."""

    def __init__(self, number=0x1234567):
        self.private = ec.derive_private_key(number, ec.SECP256R1())
        public = self.private.public_key()
        self.spki = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, digest):
        scheme = ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True)
        return self.private.sign(digest, scheme)


SIGNER = Signer()


def ecdsa_image(**change):
    name = hashlib.sha256(SIGNER.spki).digest()
    return make(**{"signer": SIGNER, "signature_tlv": 0x22, "key_hash": name, **change})


@pytest.fixture(scope="session")
def library():
    curve, arithmetic = monocypher(ROOT / THIRD_PARTY), p256_m(ROOT / THIRD_PARTY)
    sources = [FOLDER / "ecdsa_p256.c", arithmetic / "p256-m.c", curve.source]
    flags = ["-shared", "-fPIC", *P256_M_FLAGS]
    system = [arithmetic, curve.include_dir]
    made = ctypes.CDLL(str(compile_native("ecdsa.so", sources, [FOLDER], system, flags)))
    made.ecdsa_p256_check.restype = ctypes.c_uint32
    return made


@pytest.fixture(scope="session")
def driver():
    arithmetic = p256_m(ROOT / THIRD_PARTY)
    sources = [FOLDER / "ecdsa_p256.c", arithmetic / "p256-m.c"]
    flags = ["-DBOOT_BUILD_ECDSA_P256=1", *P256_M_FLAGS]
    return build_driver(sources, [FOLDER], [arithmetic], flags)


@pytest.fixture
def device(driver):
    made = Device(driver, key=SIGNER.spki[-64:])
    yield made
    made.process.stdin.close()
    assert made.process.wait() == 0


def profile(folder, board):
    """That board, with the other signature."""
    path = folder / f"{board}-p256.toml"
    text = (ROOT / "boards" / f"{board}.toml").read_text()
    text = text.replace(f'name = "{board}"', f'name = "{board}-p256"')
    path.write_text(text.replace("[boot]\n", '[boot]\nsignature = "ecdsa-p256"\n'))
    return path


@pytest.fixture(scope="module")
def m4(tmp_path_factory):
    """A user's own board, out of the project's folder."""
    return firmware(str(profile(tmp_path_factory.mktemp("boards"), "qemu-m4")), SMALL)


def operands(group, test):
    return bytes.fromhex(group["publicKey"]["uncompressed"])[1:], bytes.fromhex(test["sig"])


def test_every_vector_of_wycheproof(library):
    for group, test in wycheproof(VECTORS):
        public, der = operands(group, test)
        digest = hashlib.sha256(bytes.fromhex(test["msg"])).digest()
        raw = ctypes.create_string_buffer(64)
        verdict = ECDSA_BAD
        if library.ecdsa_p256_decode(der, ctypes.c_size_t(len(der)), raw) == 0:
            assert raw.raw == b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(der))
            verdict = library.ecdsa_p256_check(public, digest, raw.raw)
        expected = ECDSA_GOOD if test["result"] == "valid" else ECDSA_BAD
        assert verdict == expected, test["tcId"]


def test_a_key_that_is_no_point_verifies_nothing(library):
    digest = bytes(range(32))
    r, s = decode_dss_signature(SIGNER.sign(digest))
    raw, public = r.to_bytes(32, "big") + s.to_bytes(32, "big"), SIGNER.spki[-64:]
    assert library.ecdsa_p256_check(public, digest, raw) == ECDSA_GOOD
    for other in (public[:-1] + bytes([public[-1] ^ 1]), bytes(64), b"\xff" * 64):
        assert library.ecdsa_p256_check(other, digest, raw) == ECDSA_BAD


@pytest.mark.parametrize("name", ["qemu-m0", "qemu-m4", "qemu-rv32"])
def test_vectors_on_boards(name):
    with served(name, as_bootloader=True) as client:
        board = Board(client, everything=False)
        short = [(g, t) for g, t in wycheproof(VECTORS) if well_formed(t)]
        for group, test in board.some(short, 16):
            public, der = operands(group, test)
            numbers = b"".join(n.to_bytes(32, "big") for n in decode_dss_signature(der))
            digest = hashlib.sha256(bytes.fromhex(test["msg"])).digest()
            verdict = int(board("ecdsa", public, digest, numbers), 16)
            assert verdict == (ECDSA_GOOD if test["result"] == "valid" else ECDSA_BAD), test["tcId"]


def well_formed(test):
    """Whether it is two numbers of 32 bytes; else DER alone refuses it."""
    try:
        return all(0 <= n < 1 << 256 for n in decode_dss_signature(bytes.fromhex(test["sig"])))
    except ValueError:
        return False


def test_a_signed_image_boots_and_others_do_not(device):
    def status(**change):
        device.write(APP, 0, ecdsa_image(**{**device.placed(), **change}))
        return device.boot().slots[APP][0]

    image = ecdsa_image(**device.placed())
    assert status() == GOOD
    stranger = Signer(99)
    assert status(signer=stranger) == ESIGNATURE
    assert status(signer=stranger, key_hash=hashlib.sha256(stranger.spki).digest()) == EKEY
    assert status(signature_tlv=0x24) == EUNPROTECTED  # Ed25519's, not known to this build
    length = len(SIGNER.sign(hashlib.sha256(b"").digest()))
    for bit in range(8 * length):  # of the last TLV: whatever it says, it is not that signature
        bent = bytearray(image)
        bent[-1 - bit // 8] ^= 1 << bit % 8
        device.write(APP, 0, bytes(bent))
        assert device.boot().slots[APP][0] in (ESIGNATURE, ETLV), bit


class Padded(Signer):
    def sign(self, digest):
        return super().sign(digest).ljust(72, b"\0")


def test_a_padded_signature_is_refused(device):
    """imgtool --pad-sig, for MCUboot before 1.5: bytes that no signature needs."""
    device.write(APP, 0, ecdsa_image(**device.placed(), signer=Padded()))
    assert device.boot().slots[APP][0] == ETLV


def test_the_board_boots_what_both_tools_sign(m4, tmp_path):
    image = tmp_path / "image.bin"
    payload = ROOT / m4.image("app").with_suffix(".bin")
    subprocess.run(
        [sys.executable, "-m", "imgtool.main", "sign", "--key", str(DEV_SIGN_P256), "--align", "4",
         "--version", "7.8.9+10", "--header-size", "0x200", "--pad-header", "--slot-size",
         "0x40000", "--rom-fixed", f"{m4.board.image_address('app', 0):#x}",
         "--security-counter", "1", "--vid", "tinyseal", "--cid", "qemu-m4-p256 app",
         "--pad", "--confirm", str(payload), str(image)],
        check=True, capture_output=True,
    )  # fmt: skip
    images = {("app", "a"): image.read_bytes(), ("capsule", "a"): signed(m4, "capsule")}
    with running(m4, images, tmp_path) as board:
        assert board.boot().images["app"][:2] == ("a", "7.8.9+10")


def test_imgtool_accepts_what_scons_signs(m4):
    for name in ("app", "capsule"):
        done = subprocess.run(
            [sys.executable, "-m", "imgtool.main", "verify", "-k", str(DEV_SIGN_P256),
             str(ROOT / m4.signed(name))],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert signed(m4, "app") == signed(m4, "app")  # the nonce is no random number


def test_the_board_refuses_a_changed_image_and_runs_the_other_slot(m4, tmp_path):
    images = {
        ("app", "a"): tampered(signed(m4, "app")),
        ("app", "b"): signed(m4, "app", "b"),
        ("capsule", "a"): signed(m4, "capsule"),
    }
    with running(m4, images, tmp_path) as board:
        assert board.boot().images["app"][0] == "b"
        assert "boot app a damaged" in board.said()


def test_the_bootloader_is_smaller_than_ed25519s(m4):
    size = (ROOT / m4.bootloader).with_suffix(".bin").stat().st_size
    other = (ROOT / firmware("qemu-m4", SMALL).bootloader).with_suffix(".bin").stat().st_size
    assert size < other <= BUDGET


def test_glitches_let_no_bad_image_run(m4):
    words = ["torture", "faults", "--board", str(m4.board.file), "--count", "60", "--json"]
    kinds = [word for kind in ("signature", "stranger") for word in ("--kind", kind)]
    done = CliRunner().invoke(app, [*words, *kinds])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["count"] >= 60 and told["failures"] == 0


def test_keys_of_the_other_kind_are_refused_in_one_line(m4, tmp_path):
    with pytest.raises(UsageError, match=r"takes images signed with ECDSA P-256, .*dev_sign\.pem"):
        signed(m4, "app", key=load_key(DEV_SIGN))
    plain = firmware("qemu-m4", SMALL)
    with pytest.raises(UsageError, match=r"qemu-m4: takes images signed with Ed25519"):
        signed(plain, "app", key=load_key(DEV_SIGN_P256))
    with pytest.raises(KeyFileError, match="is ECDSA P-256, to sign images; Ed25519 is needed"):
        load_key(DEV_SIGN_P256, Use.SIGN)
    own = tmp_path / "own.pem"
    done = CliRunner().invoke(app, ["keys", "new", str(own), "--type", "ecdsa-p256", "--json"])
    assert json.loads(done.stdout)["algorithm"] == "ECDSA P-256" and len(load_key(own).raw) == 64
    done = CliRunner().invoke(
        app, ["keys", "new", str(tmp_path / "x"), "--use", "encrypt", "--type", "ecdsa-p256"]
    )
    assert isinstance(done.exception, KeyFileError)
    assert str(done.exception).endswith("X25519 is needed to encrypt, not ECDSA P-256")
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (tmp_path / "p384.pem").write_bytes(other)
    with pytest.raises(KeyFileError, match="is a key of another kind"):
        load_key(tmp_path / "p384.pem")


def test_the_reader_judges_as_the_bootloader_does(m4, tmp_path):
    own = create_key(tmp_path / "k.pem", Use.SIGN_IMAGES, algorithm=Algorithm.ECDSA_P256)
    read = read_image(signed(m4, "app", key=own))
    assert not read.problems and len(read.value(Tlv.ECDSASIG)) in range(68, 73)
    assert judge(read, own).good
    forged = bytearray(read.data)
    forged[read.all(Tlv.ECDSASIG)[0].offset + 20] ^= 1
    assert judge(read_image(bytes(forged)), own).signature is Outcome.WRONG
    assert judge(read, load_key(DEV_SIGN_P256)).signature is Outcome.OTHER_KEY


def test_a_release_refuses_this_development_key_too(m4):
    from tinyseal.package.release import check_release

    bootloader = (ROOT / m4.bootloader).with_suffix(".bin").read_bytes()
    with pytest.raises(KeyFileError, match="the bootloader trusts the development key"):
        check_release(bootloader=bootloader)
    with pytest.raises(KeyFileError, match="uses a development key"):
        check_release(images={"app": signed(m4, "app")})


def test_the_profile_says_which():
    assert load_board("qemu-m4").boot.signature == "ed25519"
