"""Keys, images, provisioning and merged files; imgtool judges the format in both directions."""

import ctypes
import hashlib
import itertools
import json
import os
import random
import re
import shlex
import stat
import struct
import sys

import imgtool.image
import imgtool.keys
import pytest
from click.testing import CliRunner as ClickRunner
from imgtool.main import imgtool as imgtool_cli
from intelhex import IntelHex

from tinyseal.board import HEADER_BYTES, trailer_bytes
from tinyseal.build.firmware import ROOT
from tinyseal.build.native import compile_native
from tinyseal.build.third_party import monocypher
from tinyseal.cli import main
from tinyseal.errors import ImageError, KeyFileError, ToolError, UsageError
from tinyseal.package import mcuboot
from tinyseal.package.keys import (
    DEV_ENCRYPT,
    DEV_SIGN,
    DEV_SIGN_P256,
    DEVELOPMENT_HASHES,
    Use,
    create_key,
    load_key,
    refuse_development,
)
from tinyseal.package.mcuboot import Flag, Tlv, Version, read_image
from tinyseal.package.merge import Part, Room, merge, place, room_of_bootloader, to_bin, to_hex
from tinyseal.package.provision import (
    Identity,
    StorageKey,
    counter_image,
    read_storage,
    storage_image,
)
from tinyseal.package.sign import (
    VENDOR_UUID,
    Dependency,
    SignRequest,
    class_name,
    class_uuid,
    imgtool_options,
    parse_dependency,
    parse_version,
    sign_image,
    slot_of,
)
from tinyseal.package.verify import Judgement, Outcome, judge, signed_part
from tinyseal.profiles import board_names, load_board

BOARDS = [load_board(name) for name in board_names() if load_board(name).flash]
M4 = load_board("qemu-m4")
M33 = load_board("qemu-m33")  # encrypted, runs from RAM
M7 = load_board("qemu-m7")  # encrypted, swaps
PLACED = {"xip": Flag.ROM_FIXED, "ram": Flag.RAM_LOAD, "swap": 0}  # an image's flags, by mode
PAYLOAD = bytes(random.Random(1).randbytes(3000))


def request(board=M4, image="app", slot="a", version=None, counter=7, **more):
    return SignRequest(board, image, slot, version or Version(1, 2, 3, 4), counter, **more)


def signed(**more):
    return sign_image(PAYLOAD, request(**more), load_key(DEV_SIGN))


@pytest.fixture
def tinyseal(capsys, monkeypatch):
    """The command line as users have it: exit code, standard output, standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tinyseal", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
            sys.exit(0)
        return (end.value.code or 0, *capsys.readouterr())

    return run


def imgtool_accepts(path, key=DEV_SIGN):
    """What stock `imgtool verify` says; its own traceback on a broken image is a no."""
    done = ClickRunner().invoke(imgtool_cli, ["verify", "-k", str(key), str(path)])
    return done.exit_code == 0


# The format


def test_numbers_are_imgtools():
    assert {t.name: t.value for t in Tlv} == imgtool.image.TLV_VALUES
    assert {f.name: f.value for f in Flag} == imgtool.image.IMAGE_F
    assert mcuboot.IMAGE_MAGIC == imgtool.image.IMAGE_MAGIC
    assert mcuboot.HEADER.size == imgtool.image.IMAGE_HEADER_SIZE
    assert mcuboot.TLV_INFO_MAGIC == imgtool.image.TLV_INFO_MAGIC
    assert mcuboot.TLV_PROT_INFO_MAGIC == imgtool.image.TLV_PROT_INFO_MAGIC
    assert mcuboot.TLV_ENTRY.size == imgtool.image.TLV_SIZE
    assert mcuboot.TLV_INFO.size == imgtool.image.TLV_INFO_SIZE
    assert mcuboot.MIN_TRAILER_ALIGN == imgtool.image.DEFAULT_MAX_ALIGN
    assert imgtool.image.Image().boot_magic == mcuboot.TRAILER_MAGIC
    wide = imgtool.image.Image(align=32).boot_magic
    assert wide == (32).to_bytes(2, "little") + mcuboot.TRAILER_MAGIC_WIDE


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.name)
@pytest.mark.parametrize("image", ["app", "capsule"])
@pytest.mark.parametrize("slot", ["a", "b"])
def test_imgtool_accepts_what_we_sign(board, image, slot, tmp_path):
    place_of = slot_of(board, image, slot)
    for form in ({}, {"pad": True}, {"confirm": True}):
        if form and not trailer_bytes(place_of.partition, board.flash):
            with pytest.raises(UsageError, match=f"{image}_{slot} is one erase unit"):
                signed(board=board, image=image, slot=slot, **form)
            continue
        path = tmp_path / "image.bin"
        path.write_bytes(signed(board=board, image=image, slot=slot, **form))
        assert imgtool_accepts(path)
        read = read_image(path.read_bytes())
        assert not read.problems
        assert read.payload == PAYLOAD
        assert read.header.flags == PLACED[board.boot.mode]
        wanted = board.image_address(image, "ab".index(slot)) if read.header.flags else 0
        assert read.header.load_address == wanted
        assert read.value(Tlv.UUID_CID) == class_uuid(board.name, image).bytes
        if form:
            assert len(read.data) == place_of.partition.bytes
            assert read.trailer.image_ok == (1 if "confirm" in form else None)


def test_the_same_input_gives_the_same_bytes(tmp_path):
    first = signed(dependencies=(Dependency("capsule", Version(1)),))
    assert signed(dependencies=(Dependency("capsule", Version(1)),)) == first
    assert signed(dependencies=(Dependency("capsule", Version(2)),)) != first
    sealed = [
        sign_image(PAYLOAD, request(board=M33), load_key(DEV_SIGN), load_key(DEV_ENCRYPT))
        for _ in range(2)
    ]
    a, b = map(read_image, sealed)
    assert a.payload != b.payload  # encrypted, with a key that is new every time
    for kind in (Tlv.SHA256, Tlv.ED25519, Tlv.KEYHASH, Tlv.SEC_CNT):
        assert a.value(kind) == b.value(kind)
    assert a.data[:HEADER_BYTES] == b.data[:HEADER_BYTES]


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.name)
def test_stock_imgtool_signs_the_same_image_with_the_options_that_are_listed(board, tmp_path):
    source, out = tmp_path / "app.bin", tmp_path / "app.img"
    source.write_bytes(PAYLOAD)
    for image, slot in itertools.product(["app", "capsule"], ["a", "b"]):
        words = ["sign", "-k", str(DEV_SIGN), "-v", "1.2.3+4", "-s", "7"]
        words += [*imgtool_options(request(board, image, slot)), str(source), str(out)]
        done = ClickRunner().invoke(imgtool_cli, words)
        assert done.exit_code == 0, done.output
        assert out.read_bytes() == signed(board=board, image=image, slot=slot)


def test_stock_imgtool_signs_the_same_image(tmp_path):
    """The options of README.md, given to stock imgtool, yield our bytes."""
    slot = slot_of(M4, "app", "b")
    source, out = tmp_path / "app.bin", tmp_path / "app.img"
    source.write_bytes(PAYLOAD)
    done = ClickRunner().invoke(
        imgtool_cli,
        [
            *("sign", "-k", str(DEV_SIGN), "--align", "4", "-v", "1.2.3+4", "-s", "7"),
            *("-H", "0x200", "--pad-header", "-S", hex(slot.partition.bytes), "-M", "0"),
            *("-F", hex(slot.address), "--vid", "tinyseal", "--cid", class_name("qemu-m4", "app")),
            *("-d", "(1, 2.0.0)", str(source), str(out)),
        ],
    )
    assert done.exit_code == 0, done.output
    ours = signed(slot="b", dependencies=(Dependency("capsule", Version(2)),))
    assert out.read_bytes() == ours


def test_the_imgtool_command_of_the_readme_makes_our_image(tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text()
    command = re.search(r"^    imgtool sign (.*?[^\\])$", text, re.DOTALL | re.MULTILINE).group(1)
    (tmp_path / "app.bin").write_bytes(PAYLOAD)
    (tmp_path / "vendor.pem").write_bytes(DEV_SIGN.read_bytes())
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command.replace("\\\n", " "))
    assert ClickRunner().invoke(imgtool_cli, ["sign", *words]).exit_code == 0
    ours = signed(version=Version(1, 2), counter=3)
    assert (tmp_path / "app.img").read_bytes() == ours


def test_a_payload_too_large_is_refused_with_numbers():
    with pytest.raises(ImageError, match="has 262144 B, app_a has room for 257"):
        sign_image(bytes(0x40000), request(), load_key(DEV_SIGN))
    with pytest.raises(ImageError, match="empty"):
        sign_image(b"", request(), load_key(DEV_SIGN))


@pytest.mark.parametrize(
    "text", ["", "1.", "256", "1.256", "1.2.65536", "1.2.3+4294967296", "٣", "1.2.3.4", "-1"]
)
def test_versions_out_of_range_are_refused(text):
    with pytest.raises(UsageError):
        parse_version(text)


@pytest.mark.parametrize("text", ["", "app", "kernel:1", "app:x", ":1", "2:1.0"])
def test_bad_dependencies_are_refused(text):
    with pytest.raises(UsageError):
        parse_dependency(text)


def test_dependencies_by_name_or_number():
    assert parse_dependency("capsule:1.2") == parse_dependency("1:1.2.0+0")
    with pytest.raises(UsageError, match="itself"):
        signed(dependencies=(Dependency("app", Version(1)),))
    with pytest.raises(UsageError, match="two dependencies"):
        signed(dependencies=(Dependency("capsule", Version(1)),) * 2)


def test_a_slot_the_board_lacks_is_refused():
    board = load_board("host").model_copy(update={"partition": ()})
    with pytest.raises(UsageError, match="has no slot"):
        slot_of(board, "app", "a")


# Malformed images


def test_every_truncation_is_a_problem_with_an_offset():
    data = signed()
    for size in range(len(data)):
        problems = read_image(data[:size]).problems
        assert problems and 0 <= problems[0].offset <= size


def test_bytes_after_the_tlvs_are_a_problem():
    read = read_image(signed() + b"\xff\xff\x00")
    assert "after the last TLV" in str(read.problems[0])


def test_mutations_never_raise(campaign):
    rng = random.Random(3)
    base = signed(dependencies=(Dependency("capsule", Version(1)),))
    interesting = [*range(32), *range(512 + len(PAYLOAD), len(base))]
    for _ in range(5000 * campaign):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 4)):
            data[rng.choice(interesting)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        read = read_image(bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data))
        for problem in read.problems:
            assert 0 <= problem.offset <= len(data)


# Verification


def test_every_flipped_bit_is_refused_by_us_and_by_imgtool(tmp_path):
    key, theirs = load_key(DEV_SIGN), imgtool.keys.load(str(DEV_SIGN))
    base = sign_image(PAYLOAD[:64], request(dependencies=(Dependency("capsule", Version(1)),)), key)
    whole = read_image(base)
    assert judge(whole, key).good and not whole.problems
    path = tmp_path / "image.bin"
    for bit in range(8 * len(base)):
        data = bytearray(base)
        data[bit // 8] ^= 1 << bit % 8
        read = read_image(bytes(data))
        assert read.problems or not judge(read, key).good, f"bit {bit} of byte {bit // 8}"
        if bit < 8 * whole.signed_bytes:
            path.write_bytes(data)
            try:
                verdict = imgtool.image.Image.verify(str(path), theirs)[0]
            except struct.error:
                continue
            assert verdict != imgtool.image.VerifyResult.OK, f"bit {bit % 8} of byte {bit // 8}"


# The bootloader's own reader, compiled for the host

GOOD, WRONG_ADDRESS, WRONG_BOARD = 0x5AC3963C, 13, 14  # enum boot_status


class Source(ctypes.Structure):
    _fields_ = [("read", ctypes.c_void_p), ("context", ctypes.c_void_p), ("bytes", ctypes.c_uint32)]


class Rules(ctypes.Structure):
    _fields_ = [
        ("keys", ctypes.c_char_p),
        ("key_count", ctypes.c_uint32),
        ("vendor_id", ctypes.c_char_p),
        ("class_id", ctypes.c_char_p),
        ("address", ctypes.c_uint32),
        ("flag", ctypes.c_uint32),
    ]


@pytest.fixture(scope="session")
def boot():
    """The verdict of firmware/boot on an image for a board, image and slot."""
    curve = monocypher(ROOT / "build" / "third_party")
    folders = [ROOT / "firmware" / name for name in ("boot", "crypto", "hal", "nv")]
    sources = [folders[0] / name for name in ("boot_image.c", "boot_signature.c")]
    sources += [curve.source, *sorted(folders[1].glob("*.c"))]
    sources += sorted(folders[3].glob("*.c"))
    library = ctypes.CDLL(
        str(
            compile_native(
                "image.so", sources, folders, [curve.include_dir], flags=["-shared", "-fPIC"]
            )
        )
    )
    library.boot_image_in_memory.restype = Source
    key = load_key(DEV_SIGN).raw

    def verdict(data, board=M4, image="app", slot="a"):
        source = library.boot_image_in_memory(bytes(data), len(data))
        ids = (VENDOR_UUID.bytes, class_uuid(board.name, image).bytes)
        address = board.image_address(image, "ab".index(slot))
        rules = Rules(key, 1, *ids, address, PLACED[board.boot.mode])
        out, flow = ctypes.create_string_buffer(1024), ctypes.c_uint32()
        by_reference = map(ctypes.byref, (source, source, rules, flow))
        return library.boot_image_check(out, *by_reference)

    return verdict


def resigned(data):
    """With hash and signature made right again, as far as the image can still be read."""
    read = read_image(bytes(data))
    digest, signature = read.all(Tlv.SHA256), read.all(Tlv.ED25519)
    if not digest or not signature or len(digest[0].value) != 32 or len(signature[0].value) != 64:
        return bytes(data)
    out, value = bytearray(data), hashlib.sha256(data[: read.signed_bytes]).digest()
    out[digest[0].offset + 4 : digest[0].offset + 36] = value
    start = signature[0].offset + 4
    out[start : start + 64] = load_key(DEV_SIGN).private.sign(value)
    return bytes(out)


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.name)
def test_the_bootloader_takes_what_we_sign_where_it_belongs(board, boot):
    for image, slot in itertools.product(["app", "capsule"], ["a", "b"]):
        data = signed(board=board, image=image, slot=slot)
        assert boot(data, board, image, slot) == GOOD
        elsewhere = boot(data, board, image, "b" if slot == "a" else "a")
        assert elsewhere == (GOOD if board.has_one_place else WRONG_ADDRESS)
        other = "capsule" if image == "app" else "app"
        assert boot(data, board, other, slot) != GOOD
        same_address = next((b for b in BOARDS if b is not board and _same(b, board)), None)
        if same_address:
            assert boot(data, same_address, image, slot) == WRONG_BOARD


def _same(a, b):
    return all(
        a.image_address(image, slot) == b.image_address(image, slot)
        for image, slot in itertools.product(["app", "capsule"], [0, 1])
    )


def test_what_the_bootloader_takes_has_nothing_wrong(boot, campaign):
    """Mutated and signed again, so that form decides: inspect never passes off as bad what boots,
    and what it finds bad never boots."""
    rng, key = random.Random(23), load_key(DEV_SIGN)
    base = sign_image(PAYLOAD[:40], request(dependencies=(Dependency("capsule", Version(1)),)), key)
    tlvs = HEADER_BYTES + 40
    outcomes = {True: 0, False: 0}
    for _ in range(4000 * campaign):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 3)):
            at = rng.choice([rng.randrange(32), rng.randrange(tlvs, len(base))])
            data[at] = rng.choice([data[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 0xFF])
        data = resigned(data)
        read = read_image(data)
        takes = boot(data) == GOOD
        outcomes[takes] += 1
        if takes:
            assert not read.problems and judge(read, key).good, data.hex()
    assert min(outcomes.values()) > 50 * campaign, outcomes


def test_we_verify_what_imgtool_signs(tmp_path, tinyseal):
    key = create_key(tmp_path / "k.pem", Use.SIGN)
    source, out = tmp_path / "app.bin", tmp_path / "app.img"
    source.write_bytes(PAYLOAD)
    forms = ["", "--pad", "--confirm", "--align 16 --confirm", "-L 0x20001000"]
    for more in map(str.split, forms):
        words = ["sign", "-k", key.name, "-v", "3.2.1", "-s", "auto", "-H", "0x200", "-S", "0x8000"]
        words += ["--pad-header", *more, str(source), str(out)]
        assert ClickRunner().invoke(imgtool_cli, words).exit_code == 0
        code, text, _ = tinyseal("inspect", out, "--key", key.name, "--json")
        facts = json.loads(text)
        assert code == 0, facts["problems"]
        assert facts["good"] and facts["signature"] == "valid" == facts["hash"]
        assert facts["header"]["version"] == "3.2.1+0"
        assert facts["security_counter"] == 3 << 24 | 2 << 16 | 1
        assert sum(r["bytes"] for r in facts["map"]) == len(out.read_bytes())
        if "--confirm" in more:
            assert facts["trailer"]["image_ok"] == 1


@pytest.mark.parametrize("bits", ["128", "256"])
def test_encrypted_images_open_with_their_key_only(bits, tmp_path):
    own, other = (create_key(tmp_path / f"{n}.pem", Use.ENCRYPT) for n in "ab")
    source, out, public = tmp_path / "app.bin", tmp_path / "app.img", tmp_path / "a.pub"
    source.write_bytes(PAYLOAD)
    public.write_bytes(own.public_pem)
    words = ["sign", "-k", str(DEV_SIGN), "-v", "1", "-H", "0x200", "-S", "0x8000", "--pad-header"]
    words += ["-E", str(public), "--encrypt-keylen", bits, str(source), str(out)]
    assert ClickRunner().invoke(imgtool_cli, words).exit_code == 0
    read, key = read_image(out.read_bytes()), load_key(DEV_SIGN)
    assert not read.problems and PAYLOAD[:64] not in read.data
    assert judge(read, key, own) == Judgement(Outcome.VALID, Outcome.VALID, "")
    assert judge(read, key).hash is Outcome.UNKNOWN and judge(read, key).signature is Outcome.VALID
    with pytest.raises(ImageError, match="another key"):
        judge(read, key, other)
    ours = read_image(sign_image(PAYLOAD, request(board=M33), key, load_key(public)))
    assert judge(ours, key, own) == Judgement(Outcome.VALID, Outcome.VALID, "")
    assert PAYLOAD in signed_part(ours, own)


def test_an_image_for_slot_a_of_a_board_that_swaps_is_clear_and_stays_good(tmp_path):
    own, path = create_key(tmp_path / "own.pem", Use.ENCRYPT), tmp_path / "app.img"
    path.write_bytes(
        sign_image(PAYLOAD, request(board=M7, clear=True), load_key(DEV_SIGN), encrypt=own)
    )
    read, key = read_image(path.read_bytes()), load_key(DEV_SIGN)
    assert read.header.is_encrypted and PAYLOAD in read.payload and not read.problems
    for opened in (None, own):
        assert judge(read, key, opened) == Judgement(Outcome.VALID, Outcome.VALID, "")
    assert imgtool_accepts(path)


def test_encrypted_images_go_where_they_can_be_opened(tmp_path):
    key, own = load_key(DEV_SIGN), create_key(tmp_path / "own.pem", Use.ENCRYPT)
    with pytest.raises(UsageError, match=r"qemu-m4: takes no .* in place.*qemu-m33"):
        sign_image(PAYLOAD, request(), key, own)
    plain = load_board("qemu-m55")
    with pytest.raises(UsageError, match=r"does not say .boot. encrypted = true"):
        sign_image(PAYLOAD, request(board=plain), key, own)
    for wrong in ({"slot": "b"}, {"board": M33}):
        with pytest.raises(UsageError, match="slot a of a board that swaps"):
            sign_image(PAYLOAD, request(**{"board": M7, "clear": True, **wrong}), key, own)
    sealed = sign_image(PAYLOAD, request(board=M7), key, own)
    assert place(M7, images={("app", "b"): sealed})
    with pytest.raises(ImageError, match="encrypted image goes to slot b"):
        place(M7, images={("app", "a"): sealed})
    unable = M7.model_copy(update={"boot": M7.boot.model_copy(update={"encrypted": False})})
    with pytest.raises(UsageError, match="takes no encrypted images"):
        place(unable, images={("app", "b"): sealed})


def test_an_unsigned_dependency_or_counter_is_told(tmp_path):
    """CVE-2024-32883: entries that must be protected, moved out from under the signature."""
    for kind, value in ((Tlv.SEC_CNT, bytes(4)), (Tlv.DEPENDENCY, bytes(12)), (0xA0, b"x")):
        base = signed()
        at = read_image(base).signed_bytes
        size = int.from_bytes(base[at + 2 : at + 4], "little") + 4 + len(value)
        entry = int(kind).to_bytes(2, "little") + len(value).to_bytes(2, "little") + value
        data = base[: at + 2] + size.to_bytes(2, "little") + base[at + 4 :] + entry
        problems = [str(p) for p in read_image(data).problems]
        assert any("not protected" in p for p in problems), problems


def test_inspect_names_key_counter_and_dependencies(tmp_path, tinyseal):
    path = tmp_path / "app.img"
    path.write_bytes(signed(dependencies=(Dependency("capsule", Version(2)),), confirm=True))
    code, text, _ = tinyseal("inspect", path)
    assert code == 0
    for words in ("security counter 7", "needs capsule >= 2.0.0+0", "for qemu-m4 app"):
        assert words in text
    assert "development key" in text and "image_ok set" in text and "signature: valid" in text
    code, text, _ = tinyseal("inspect", path, "--json")
    facts = json.loads(text)
    assert facts["development_key"] and facts["dependencies"][0]["at_least"] == "2.0.0+0"
    other = create_key(tmp_path / "other.pem", Use.SIGN)
    code, text, _ = tinyseal("inspect", path, "--key", other.name)
    assert code == 1 and "by another key" in text


def test_inspect_of_garbage_says_where_and_never_breaks(tmp_path, tinyseal, campaign):
    rng = random.Random(11)
    base = signed(dependencies=(Dependency("capsule", Version(2)),))
    path = tmp_path / "bad.img"
    for number in range(60 * campaign):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 5)):
            where = rng.choice([rng.randrange(32), rng.randrange(512 + len(PAYLOAD), len(base))])
            data[where] ^= 1 << rng.randrange(8)
        data = data[: rng.choice([len(data), rng.randrange(len(data))])] if number % 3 else data
        path.write_bytes(data)
        words = ["inspect", path, "--key", DEV_SIGN, *(["--json"] if number % 2 else [])]
        words += ["--decrypt", DEV_ENCRYPT] if number % 5 == 0 else []
        code, out, err = tinyseal(*words)
        assert code == (0 if bytes(data) == base else 1), (number, out, err)
        if number % 2:
            assert json.loads(out)["good"] is (code == 0)


# Keys


def test_new_keys_are_private_and_never_overwritten(tmp_path):
    os.umask(0)
    try:
        for use in Use:
            path = tmp_path / f"{use.value}.pem"
            key = create_key(path, use)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert load_key(path).hash == key.hash
            before = path.read_bytes()
            with pytest.raises(ToolError, match="never overwritten"):
                create_key(path, use)
            assert path.read_bytes() == before
    finally:
        os.umask(0o022)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_private_key_open_to_others_is_refused(tmp_path, mode):
    path = tmp_path / "k.pem"
    create_key(path, Use.SIGN)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key(path)


def test_passphrases(tmp_path):
    path = tmp_path / "k.pem"
    key = create_key(path, Use.SIGN, b"correct horse")
    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    assert load_key(path, passphrase=lambda _: b"correct horse").hash == key.hash
    with pytest.raises(KeyFileError, match="wrong"):
        load_key(path, passphrase=lambda _: b"battery staple")
    with pytest.raises(KeyFileError, match="empty"):
        load_key(path, passphrase=lambda _: b"")
    with pytest.raises(KeyFileError, match="none was given"):
        load_key(path)
    with pytest.raises(KeyFileError, match="empty"):
        create_key(tmp_path / "e.pem", Use.SIGN, b"")
    theirs = imgtool.keys.load(str(path), b"correct horse")
    assert theirs.get_public_bytes() == key.spki


def test_keys_of_imgtool_are_ours(tmp_path):
    kinds = {"ed25519": Use.SIGN, "ecdsa-p256": Use.SIGN_IMAGES, "x25519": Use.ENCRYPT}
    for kind, use in kinds.items():
        path = tmp_path / f"{kind}.pem"
        done = ClickRunner().invoke(imgtool_cli, ["keygen", "-t", kind, "-k", str(path)])
        assert done.exit_code == 0
        path.chmod(0o600)
        key = load_key(path, use)
        assert key.spki == imgtool.keys.load(str(path)).get_public_bytes()
    with pytest.raises(KeyFileError, match="Ed25519 is needed to sign"):
        load_key(path, Use.SIGN)
    other = tmp_path / "p384.pem"
    ClickRunner().invoke(imgtool_cli, ["keygen", "-t", "ecdsa-p384", "-k", str(other)])
    with pytest.raises(KeyFileError, match="another kind"):
        load_key(other)


def test_development_keys_are_known_by_hash(tmp_path):
    files = (DEV_SIGN, DEV_SIGN_P256, DEV_ENCRYPT)
    assert {load_key(file).hash for file in files} == DEVELOPMENT_HASHES
    renamed = tmp_path / "production.pem"
    renamed.write_bytes(load_key(DEV_SIGN).public_pem)
    assert load_key(renamed).is_development
    with pytest.raises(KeyFileError, match="development key"):
        refuse_development([("production.pem", load_key(renamed).hash)])
    own = create_key(tmp_path / "own.pem", Use.SIGN)
    refuse_development([("own.pem", own.hash)])


def test_keys_commands(tinyseal, tmp_path):
    path, secret = tmp_path / "k.pem", tmp_path / "secret"
    secret.write_text("open sesame\n")
    secret.chmod(0o600)
    code, out, _ = tinyseal("keys", "new", path, "--passphrase-file", secret, "--json")
    assert code == 0 and json.loads(out)["passphrase"] is True
    code, _, err = tinyseal("keys", "show", path)
    assert code == 1 and "no terminal" in err and err.count("\n") == 1
    code, shown, _ = tinyseal("keys", "show", path, "--passphrase-file", secret, "--json")
    facts = json.loads(shown)
    assert code == 0 and facts["key_hash"] == json.loads(out)["key_hash"]
    code, text, _ = tinyseal("keys", "export", path, "--format", "hex", "--passphrase-file", secret)
    assert code == 0 and text.strip() == facts["public_key"]
    secret.chmod(0o644)
    code, _, err = tinyseal("keys", "show", path, "--passphrase-file", secret)
    assert code == 1 and "chmod 600" in err
    public = tmp_path / "k.pub"
    assert tinyseal("keys", "export", DEV_SIGN, "-o", public)[0] == 0
    assert imgtool.keys.load(str(public)).get_public_bytes() == load_key(DEV_SIGN).spki
    code, text, _ = tinyseal("keys", "export", DEV_SIGN, "--format", "c", "--name", "vendor_key")
    assert code == 0 and "const unsigned char vendor_key[32] = {" in text
    code, text, err = tinyseal("keys", "show", DEV_SIGN)
    assert code == 0 and "development key" in err


def test_mutated_key_files_are_refused_in_one_line(tmp_path, campaign):
    rng, path = random.Random(29), tmp_path / "key.pem"
    seeds = [DEV_SIGN.read_bytes(), load_key(DEV_ENCRYPT).public_pem]
    for _ in range(300 * campaign):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            load_key(path, passphrase=lambda _: b"x")
        except ToolError as e:
            assert "\n" not in str(e)


# Commands


def test_sign_command_and_release(tinyseal, tmp_path):
    source, out = tmp_path / "app.bin", tmp_path / "app.img"
    source.write_bytes(PAYLOAD)
    base = ["sign", source, "--board", "qemu-m4", "--image", "app", "--slot", "a"]
    base += ["--version", "1.2.3+4", "--security-counter", 7, "--key", DEV_SIGN, "-o", out]
    code, text, err = tinyseal(*base, "--json")
    assert code == 0 and json.loads(text)["development_key"] is True
    assert out.read_bytes() == signed()
    out.unlink()
    code, _, err = tinyseal(*base, "--release")
    assert code == 1 and "development key" in err and err.count("\n") == 1
    assert not out.exists()
    hexed = tmp_path / "app.hex"
    ih = IntelHex()
    ih.frombytes(PAYLOAD, slot_of(M4, "app", "a").address + HEADER_BYTES)
    ih.write_hex_file(str(hexed))
    assert tinyseal(base[0], hexed, *base[2:])[0] == 0
    assert out.read_bytes() == signed()
    code, _, err = tinyseal(base[0], hexed, *base[2:], "--slot", "b")
    elsewhere = slot_of(M4, "app", "b").address + HEADER_BYTES
    assert code == 1 and f"{elsewhere:#010x}" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["app.bin", "app.hex", "app.img"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["sign", "/nowhere/app.bin"],
        ["sign", "{garbage}", "--version", "x"],
        ["sign", "{garbage}", "--depends", "x"],
        ["sign", "{garbage}", "--key", "{garbage}"],
        ["sign", "{garbage}", "--key", str(DEV_ENCRYPT)],
        ["sign", "{garbage}", "--encrypt", str(DEV_SIGN)],
        ["sign", "{garbage}", "--board", "nothing"],
        ["sign", "{garbage}", "--load-address", "zero"],
        ["sign", "{garbage}", "-o", "/nowhere/out.img"],
        ["sign", "{garbagehex}"],
        ["keys", "show", "{garbage}"],
        ["keys", "export", "{garbage}"],
        ["keys", "export", str(DEV_SIGN), "--name", "a b"],
        ["keys", "new", "/nowhere/k.pem"],
        ["inspect", "/nowhere/app.img"],
        ["inspect", "{garbagehex}"],
        ["inspect", "{garbage}", "--key", "{garbage}"],
        ["inspect", "{garbage}", "--decrypt", str(DEV_SIGN)],
        ["provision"],
        ["provision", "-o", "{out}.elf"],
        ["provision", "-o", "{out}.hex", "--device-id", "xyz"],
        ["provision", "-o", "{out}.hex", "--device-key", str(DEV_ENCRYPT)],
        ["provision", "-o", "{out}.hex", "--decrypt-key", "{garbage}"],
        ["provision", "-o", "{out}.hex", "--counter", "app"],
        ["provision", "-o", "{out}.hex", "--counter", "app:4294967296"],
        ["provision", "-o", "{out}.hex", "--counter", "votes:1"],
        ["provision", "--flash", "{garbage}"],
        ["merge", "-o", "{out}.hex"],
        ["merge", "-o", "{out}.txt", "--app", "{garbage}"],
        ["merge", "-o", "{out}.hex", "--bootloader", "{garbagehex}"],
    ],
)
def test_garbage_gives_one_line(tinyseal, arguments, tmp_path):
    garbage = tmp_path / "garbage.bin"
    garbage.write_bytes(random.Random(5).randbytes(777))
    (tmp_path / "garbage.hex").write_bytes(garbage.read_bytes())
    names = {"garbage": garbage, "garbagehex": tmp_path / "garbage.hex", "out": tmp_path / "out"}
    words = [a.format(**names) for a in arguments]
    if words[0] == "sign":
        defaults = {"--version": "1", "--image": "app", "--key": str(DEV_SIGN), "-o": "/dev/null/x"}
        for option, value in defaults.items():
            words += [] if option in words else [option, value]
    code, _, err = tinyseal(*words)
    assert code in (1, 2)
    assert err.startswith("error: ") and err.count("\n") == 1, err


# Provisioning: the firmware's own code reads what Python writes


@pytest.fixture(scope="session")
def nv():
    folders = [ROOT / "firmware" / name for name in ("hal", "nv", "sim")]
    sources = [*sorted(folders[1].glob("*.c")), folders[2] / "flash_sim.c"]
    return ctypes.CDLL(str(compile_native("nv.so", sources, folders, flags=["-shared", "-fPIC"])))


class Area(ctypes.Structure):
    _fields_ = [("flash", ctypes.c_void_p), ("start", ctypes.c_uint32), ("bytes", ctypes.c_uint32)]


class Kv(ctypes.Structure):
    _fields_ = [("area", Area), *[(n, ctypes.c_uint32) for n in ("sequence", "bank", "bytes")]]


class Counter(ctypes.Structure):
    _fields_ = [
        ("area", Area),
        ("endurance", ctypes.c_uint32),
        *[(name, ctypes.c_uint32) for name in ("value", "base", "sequence", "sector", "next")],
    ]


def flash_with(nv, flash, data):
    """The strict simulator, with `data` programmed where it is not erased; its struct."""
    nv.flash_sim_configure(len(data), flash.erase_bytes, flash.program_bytes)
    base = ctypes.addressof(ctypes.c_char.in_dll(nv, "flash_sim"))
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32)
    program = call(ctypes.c_void_p.from_address(base + ctypes.sizeof(ctypes.c_void_p)).value)
    unit = flash.program_bytes
    for at in range(0, len(data), unit):
        if any(b != 0xFF for b in data[at : at + unit]):
            assert program(at, data[at : at + unit], unit) == 0
    return base


def kv_value(nv, kv, key):
    buffer, size = ctypes.create_string_buffer(256), ctypes.c_uint32()
    assert nv.nv_kv_get(ctypes.byref(kv), key, buffer, 256, ctypes.byref(size)) == 0
    return None if size.value == 0xFFFFFFFF else buffer.raw[: size.value]


@pytest.fixture(scope="session")
def identity(tmp_path_factory):
    folder = tmp_path_factory.mktemp("identity")
    return Identity(
        bytes(range(16)),
        create_key(folder / "device.pem", Use.SIGN),
        create_key(folder / "decrypt.pem", Use.ENCRYPT),
        (create_key(folder / "v1.pem", Use.SIGN), create_key(folder / "v2.pem", Use.SIGN)),
        create_key(folder / "owner.pem", Use.SIGN),
    )


UNITS = [1, 2, 4, 8, 16, 32]


def with_unit(board, unit):
    return board.model_copy(
        update={"flash": board.flash.model_copy(update={"program_bytes": unit})}
    )


GEOMETRIES = [*BOARDS, *(with_unit(M4, unit) for unit in UNITS)]
NAMES = [f"{b.name}-{b.flash.program_bytes}" for b in GEOMETRIES]


@pytest.mark.parametrize("board", GEOMETRIES, ids=NAMES)
def test_firmware_reads_the_storage_that_python_writes(board, nv, identity):
    values = identity.values()
    data = storage_image(board, values)
    assert len(data) == board.partitions("storage")[0].bytes
    kv = Kv(Area(flash_with(nv, board.flash, data), 0, len(data)))
    assert nv.nv_kv_mount(ctypes.byref(kv)) == 0
    read = {k: kv_value(nv, kv, k) for k in StorageKey}
    assert {k: v for k, v in read.items() if v is not None} == values
    assert kv_value(nv, kv, 5) is None
    assert values[StorageKey.DECRYPT_KEY] == identity.decrypt_key.private.private_bytes_raw()
    # and can go on from there, which Python reads again
    assert nv.nv_kv_set(ctypes.byref(kv), 0x100, b"own", 3) == 0
    assert nv.nv_kv_set(ctypes.byref(kv), 0x101, b"", 0) == 0
    read = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p, ctypes.c_uint32)
    back = ctypes.create_string_buffer(len(data))
    fetch = read(ctypes.c_void_p.from_address(kv.area.flash).value)
    assert fetch(0, ctypes.cast(back, ctypes.c_char_p), len(data)) == 0
    assert read_storage(board, back.raw) == {**values, 0x100: b"own", 0x101: b""}


@pytest.mark.parametrize("board", GEOMETRIES, ids=NAMES)
def test_firmware_reads_the_counters_that_python_starts(board, nv):
    values = {"app": 3, "capsule": 2**32 - 1, "queries": 70000}
    data = counter_image(board, values)
    partition = board.partitions("counter")[0]
    assert len(data) == partition.bytes
    base = flash_with(nv, board.flash, data)
    for name, (offset, size) in board.counter_areas().items():
        counter = Counter(Area(base, offset - partition.offset, size), 1000)
        assert nv.nv_counter_mount(ctypes.byref(counter)) == 0
        assert counter.value == values.get(name, 0)
        assert nv.nv_counter_format(ctypes.byref(counter), 0) == -4  # it is there
        if name != "capsule":
            assert nv.nv_counter_advance(ctypes.byref(counter), 1) == 0


def test_storage_refuses_what_does_not_fit(identity):
    with pytest.raises(ImageError, match="a bank has room for"):
        storage_image(M4, {256: bytes(0x8000)})
    with pytest.raises(ImageError, match="out of range"):
        storage_image(M4, {0xFFFF: b""})
    with pytest.raises(UsageError, match="has 3 bytes"):
        Identity(b"abc").values()
    with pytest.raises(UsageError, match="vendor keys"):
        Identity(bytes(16), vendor_keys=identity.vendor_keys * 3).values()
    with pytest.raises(UsageError, match="expected one of"):
        counter_image(M4, {"votes": 1})


def test_reading_damaged_storage_never_raises(identity):
    rng = random.Random(17)
    base = storage_image(M4, identity.values())
    assert read_storage(M4, base) == identity.values()
    assert read_storage(M4, b"\xff" * len(base)) == {}
    for _ in range(500):
        data = bytearray(base)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(600)] = rng.randrange(256)
        read_storage(M4, bytes(data))


def test_provision_command_fills_a_virtual_flash(tmp_path, tinyseal):
    flash, secret = tmp_path / "new" / "flash.bin", tmp_path / "device.pem"
    assert tinyseal("keys", "new", secret)[0] == 0
    words = ["provision", "--board", "qemu-m4", "--device-key", secret, "--flash", flash]
    code, text, _ = tinyseal(
        *words, "--device-id", "00" * 15 + "07", "--counter", "app:3", "--json"
    )
    assert code == 0 and not json.loads(text)["counters_kept"]
    assert stat.S_IMODE(flash.stat().st_mode) == 0o600
    storage = M4.partitions("storage")[0]
    data = flash.read_bytes()
    values = read_storage(M4, data[storage.offset : storage.end])
    assert values[StorageKey.DEVICE_ID] == bytes(15) + b"\x07"
    counters = M4.partitions("counter")[0]
    assert data[counters.offset : counters.end] == counter_image(M4, {"app": 3})
    code, _, err = tinyseal(*words)
    assert code == 1 and "--replace" in err
    code, text, _ = tinyseal(*words, "--replace", "--counter", "app:0", "--json")
    assert code == 0 and json.loads(text)["counters_kept"]
    again = flash.read_bytes()
    assert again[counters.offset : counters.end] == data[counters.offset : counters.end]
    assert again[storage.offset : storage.end] != data[storage.offset : storage.end]


def test_provisioned_parts_merge_and_stay_private(tmp_path, tinyseal):
    storage, counters, out = (tmp_path / n for n in ("storage.bin", "counters.bin", "all.hex"))
    words = ["provision", "--decrypt-key", DEV_ENCRYPT, "--vendor-key", DEV_SIGN]
    code, _, err = tinyseal(*words, "--storage", storage, "--counters", counters, "-o", out)
    assert code == 0 and "development" in err
    merged = tmp_path / "merged.hex"
    code, _, _ = tinyseal("merge", "--storage", storage, "--counter", counters, "-o", merged)
    assert code == 0 and merged.read_bytes() == out.read_bytes()
    for path in (storage, counters, out, merged):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    code, _, err = tinyseal(*words, "-o", out, "--release")
    assert code == 1 and "development key" in err


# Merged files


@pytest.mark.parametrize("board", BOARDS, ids=lambda b: b.name)
def test_merged_file_has_every_part_at_its_address(board, tmp_path):
    images = {
        ("app", "a"): signed(board=board),
        ("capsule", "a"): signed(board=board, image="capsule"),
    }
    parts = place(board, b"\x11" * 1000, images, b"\x22" * 64, b"\x33" * 64)
    assert len(parts) == 5
    (tmp_path / "all.hex").write_bytes(to_hex(parts))
    ih = IntelHex(str(tmp_path / "all.hex"))
    for part in parts:
        assert bytes(ih.tobinarray(start=part.address, size=len(part.data))) == part.data
    in_flash = [p for p in parts if p.name != "bootloader"]  # that may lie in a memory far away
    flat = to_bin(in_flash)
    for part in in_flash:
        at = part.address - in_flash[0].address
        assert flat[at : at + len(part.data)] == part.data
    assert len(ih) == sum(len(p.data) for p in parts)
    assert to_hex(parts) == to_hex(place(board, b"\x11" * 1000, images, b"\x22" * 64, b"\x33" * 64))


def test_merge_refuses_what_does_not_fit():
    room = room_of_bootloader(M4)
    with pytest.raises(ImageError, match="not inside of"):
        place(M4, bytes(room.bytes + 1))
    with pytest.raises(ImageError, match="not inside of app_a"):
        merge([Part("app a", 0x21020000, bytes(2), Room("app_a", 0x21020000, 1))])
    with pytest.raises(ImageError, match="nothing to merge"):
        place(M4)
    parts = place(M4, bytes(16), {("app", "a"): signed()})
    with pytest.raises(ImageError, match="overlaps"):
        merge([*parts, parts[1]])


def test_merge_refuses_images_that_would_not_boot_there():
    with pytest.raises(ImageError, match="no sound image: offset 0x0"):
        place(M4, images={("app", "a"): bytes(0x1000)})
    with pytest.raises(ImageError, match="app_b is at"):
        place(M4, images={("app", "b"): signed()})
    with pytest.raises(ImageError, match="signed for qemu-m4 app, not for qemu-m4 capsule"):
        place(M4, images={("capsule", "a"): signed()})
    with pytest.raises(ImageError, match="signed for qemu-m7 app"):
        place(M4, images={("app", "a"): signed(board=load_board("qemu-m7"))})


def test_merge_command(tinyseal, tmp_path):
    boot, image = tmp_path / "boot.bin", tmp_path / "app.img"
    boot.write_bytes(b"\x01" * 100)
    image.write_bytes(signed())
    arguments = ["merge", "--board", "qemu-m4", "--bootloader", boot, "--app", image]
    arguments += ["-o", tmp_path / "all.hex"]
    code, out, _ = tinyseal(*arguments, "--json")
    assert code == 0
    assert [p["name"] for p in json.loads(out)] == ["bootloader", "app a"]
    # The bootloader lies in a memory of its own, half a gigabyte away.
    code, _, err = tinyseal(*arguments, "-o", tmp_path / "all.bin")
    assert code == 1 and "write a .hex" in err
    flash = ["merge", "--board", "qemu-m4", "--app", image, "-o", tmp_path / "all.bin"]
    assert tinyseal(*flash)[0] == 0
    assert (tmp_path / "all.bin").read_bytes() == image.read_bytes()
    code, out, _ = tinyseal(*arguments)
    assert code == 0 and "app_a" in out


def test_a_release_refuses_development_keys_in_images_and_bootloader(tmp_path, tinyseal):
    boot, image, out = (tmp_path / n for n in ("boot.bin", "app.img", "all.hex"))
    own = create_key(tmp_path / "own.pem", Use.SIGN)
    words = ["merge", "--bootloader", boot, "--app", image, "-o", out, "--release"]
    boot.write_bytes(b"\x01" * 100 + own.raw)
    image.write_bytes(signed())
    code, _, err = tinyseal(*words)
    assert code == 1 and f"{image}: " in err and "development key" in err
    image.write_bytes(sign_image(PAYLOAD, request(), own))
    assert tinyseal(*words)[0] == 0
    out.unlink()
    boot.write_bytes(b"\x01" * 33 + load_key(DEV_SIGN).raw)
    code, _, err = tinyseal(*words)
    assert code == 1 and "bootloader trusts the development key" in err and not out.exists()
