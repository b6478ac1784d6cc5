"""Which images of a set go to a device, and which devices refuse them before a byte is sent."""

from dataclasses import replace

import pytest

from tinyseal.errors import UsageError
from tinyseal.package.keys import DEV_SIGN, Use, create_key, load_key, load_private
from tinyseal.package.sign import Dependency, SignRequest, parse_version, sign_image
from tinyseal.package.update import RefusedError, Running, Target, choose, read_set
from tinyseal.profiles import load_board

XIP, RAM = "qemu-m4", "qemu-m33"
PAYLOAD = bytes(range(256)) * 8


@pytest.fixture(scope="module")
def key():
    return load_private(DEV_SIGN, Use.SIGN)


@pytest.fixture
def image(tmp_path, key):
    """Makes a signed image file."""

    def make(board=XIP, image="app", slot="a", version="1.1.0", payload=PAYLOAD, **changes):
        request = SignRequest(load_board(board), image, slot, parse_version(version), 0)
        file = tmp_path / f"{board}_{image}_{slot}_{version}_{len(payload)}.img"
        file.write_bytes(sign_image(payload, replace(request, **changes), key))
        return file

    return make


def target(board=XIP, profile=True, **slots):
    """A device that runs version 1.0.0 of both images, in slot 0 where nothing else is said."""
    running = {
        number: Running(slots.get(name, 0), parse_version("1.0.0"), bytes([number]) * 32)
        for number, name in enumerate(("app", "capsule"))
    }
    return Target(board, load_board(board) if profile else None, running)


def chosen(paths, at):
    return [(c.what, c.slot, c.image.path.name) for c in choose(read_set(paths), at)]


def test_the_variant_for_the_free_slot_is_chosen(image):
    paths = [image(slot="a"), image(slot="b")]
    assert chosen(paths, target(app=0)) == [("app", 1, paths[1].name)]
    assert chosen(paths, target(app=1)) == [("app", 0, paths[0].name)]


def test_both_images_at_once_each_for_its_own_slot(image):
    paths = [image(image=i, slot=s) for i in ("capsule", "app") for s in ("b", "a")]
    found = chosen(paths, target(app=1, capsule=0))
    assert found == [("app", 0, paths[3].name), ("capsule", 1, paths[0].name)]


def test_from_ram_one_image_serves_both_slots(image):
    path = image(RAM)
    for slot in (0, 1):
        assert chosen([path], target(RAM, app=slot)) == [("app", None, path.name)]
    assert chosen([path], target(RAM, profile=False)) == [("app", None, path.name)]


def test_a_folder_gives_its_images_and_nothing_else(image, tmp_path):
    paths = [image(slot="a"), image(slot="b")]
    (tmp_path / "firmware.hex").write_text(":00000001FF\n")
    (tmp_path / "sub").mkdir()
    assert {i.path for i in read_set([tmp_path])} == set(paths)
    with pytest.raises(UsageError, match="no images in this folder"):
        read_set([tmp_path / "sub"])
    with pytest.raises(UsageError, match="no such file"):
        read_set([tmp_path / "nothing"])


def test_a_set_for_several_boards_gives_each_its_own(image):
    paths = [image(RAM), image(XIP, slot="b")]
    assert chosen(paths, target(RAM)) == [("app", None, paths[0].name)]
    assert chosen(paths, target(XIP)) == [("app", 1, paths[1].name)]


def test_what_runs_already_is_not_sent(image):
    path = image(slot="b")
    (read,) = read_set([path])
    at = target()
    at.running[0] = replace(at.running[0], hash=read.hash, version=read.version)
    assert choose([read], at) == []


def test_a_padded_file_is_sent_without_its_padding(image):
    plain, padded = image(slot="b"), image(slot="b", version="1.1.0+1", pad=True)
    assert len(padded.read_bytes()) == 0x40000
    (read,) = read_set([padded])
    assert abs(len(read.data) - len(plain.read_bytes())) < 16


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"board": "qemu-m7"}, "is for qemu-m7 app; the device is a qemu-m4"),
        ({"slot": "b", "version": "0.9.0"}, "0.9.0.* is older than 1.0.0"),
        ({"slot": "a"}, "linked for the slot that is in use; give the image for slot b"),
        (
            {
                "image": "capsule",
                "slot": "b",
                "dependencies": (Dependency("app", parse_version("1.0.1")),),
            },
            r"needs app 1.0.1\+0 or newer, the device has 1.0.0",
        ),
    ],
)
def test_refused_before_a_byte_is_sent(image, changes, said):
    with pytest.raises(RefusedError, match=said) as refused:
        choose(read_set([image(**changes)]), target())
    assert refused.value.exit_code == 3


def test_a_dependency_is_met_by_what_comes_along(image):
    capsule = image(
        image="capsule", slot="b", dependencies=(Dependency("app", parse_version("1.1.0+7")),)
    )
    found = chosen([capsule, image(slot="b")], target())
    assert [what for what, _, _ in found] == ["app", "capsule"]


def test_two_versions_or_two_files_for_a_slot_are_refused(image):
    with pytest.raises(RefusedError, match="give one version"):
        choose(read_set([image(slot="a"), image(slot="b", version="1.2.0")]), target())
    with pytest.raises(RefusedError, match="different images for one slot"):
        choose(read_set([image(), image(payload=PAYLOAD * 2)]), target())


def test_too_large_for_the_slot_is_refused(image, tmp_path, key):
    small = load_board(RAM)
    at = replace(target(RAM), board=load_board("qemu-m0"))
    large = tmp_path / "large.img"
    request = SignRequest(small, "app", "a", parse_version("2.0"), 0)
    large.write_bytes(sign_image(bytes(200_000), request, key))
    with pytest.raises(RefusedError, match=r"has \d+ B, a slot of qemu-m33 holds \d+"):
        choose(read_set([large]), at)


def test_without_a_profile_or_a_running_image_the_way_out_is_told(image):
    with pytest.raises(RefusedError, match="give it with --profile"):
        choose(read_set([image(slot="b")]), target(profile=False))
    at = target()
    del at.running[0]
    with pytest.raises(RefusedError, match="runs no app"):
        choose(read_set([image(slot="b")]), at)


def test_damaged_and_unsigned_files_are_refused(image, tmp_path, key):
    good = image().read_bytes()
    for name, data, said in (
        ("flipped", good[:0x300] + bytes([good[0x300] ^ 1]) + good[0x301:], "its hash is wrong"),
        ("cut", good[:-20], "offset"),
        ("text", b"hello", "are no image"),
        ("empty", b"", "0 bytes are no image"),
    ):
        file = tmp_path / name
        file.write_bytes(data)
        with pytest.raises(RefusedError, match=said):
            read_set([file])
    # Without its last TLV, the signature of 64 bytes.
    unsigned = bytearray(good[:-68])
    at = good.rindex(b"\x07\x69")
    total = int.from_bytes(good[at + 2 : at + 4], "little")
    unsigned[at + 2 : at + 4] = (total - 68).to_bytes(2, "little")
    file = tmp_path / "unsigned.img"
    file.write_bytes(unsigned)
    with pytest.raises(RefusedError, match="is not signed"):
        read_set([file])


def test_with_a_key_only_its_images_pass(image, tmp_path):
    path = image()
    assert read_set([path], load_key(DEV_SIGN, Use.SIGN))
    create_key(tmp_path / "other.pem", Use.SIGN)
    with pytest.raises(RefusedError, match="its signature is by another key"):
        read_set([path], load_key(tmp_path / "other.pem", Use.SIGN))
