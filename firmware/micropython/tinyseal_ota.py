"""Updates of models under MicroPython: signed .mpy files in two slots, tried once, kept or dropped.

    slots = tinyseal_ota.Slots("kws_int8", KEY)    # 32 bytes: tinyseal keys export --format hex
    with slots.receive() as image:
        image.write(chunk)                         # as they come, from wherever
    model = slots.load(time.ticks_us)              # after a restart, as at every start
    slots.confirm()                                # when the program is content with it

The images are MCUboot's, SPEC.md says how. Which bytes may be hostile: all of an image; those of
the filesystem only as far as its signatures go. SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import io
import os
import struct
import sys

import vfs

from tinyseal import verify

_HEADER = "<IIHHIIBBHII"  # magic, load address, sizes of header, TLVs, payload, flags, version, pad
_MAGIC = 0x96F3B83D
_NON_BOOTABLE = 0x10
_TLVS_BYTES = 512  # more than any area of TLVs takes
_AREA, _PROTECTED_AREA = 0x6907, 0x6908
_KEYHASH, _SHA256, _ED25519 = 0x01, 0x10, 0x24
_SEC_CNT, _MODEL = 0x50, 0xA0
_SPKI = bytes.fromhex("302a300506032b6570032100")  # in front of a public key, in its hash
_PIECE = 512

_STATE = "<4sIIBBBB"  # magic, sequence, security counter, kept, trial, tried, 0
_STATE_MAGIC = b"TSO1"
_STATE_BYTES = 16
_SUM_BYTES = 8  # of SHA-256
_LETTERS = ("", "a", "b")  # of slots

_SHELF = "/.tinyseal"  # where an image's payload is a file while it is imported

# As .mpy files number them; one for an ARM core runs on the later ones as well.
_ARCHS = (
    "none", "x86", "x64", "armv6", "armv6m", "armv7m", "armv7em", "armv7emsp", "armv7emdp",
    "xtensa", "xtensawin", "rv32imc",
)  # fmt: skip
_ARMV6M, _ARMV7EMDP = 4, 8


class OtaError(Exception):
    """An image that is refused, or no model; one line says why."""


def mismatch(head):
    """Why a .mpy file that begins with the 4 bytes `head` does not run here; None if it does."""
    mine = getattr(sys.implementation, "_mpy", 0)
    if len(head) < 4 or head[0] != 0x4D:
        return "is no .mpy file"
    if not mine:
        return "this firmware loads no .mpy files: MICROPY_PERSISTENT_CODE_LOAD is off"
    arch, version = head[2] >> 2 & 0x0F, (head[1], head[2] & 3)
    has_arch, has = mine >> 10, (mine & 0xFF, mine >> 8 & 3)
    if version[0] != has[0] or (arch and version[1] != has[1]):
        return f"is .mpy version {_text(version)}, this firmware loads {_text(has)}: export it anew"
    if arch and not has_arch:
        return f"is native code for {_name(arch)}, this firmware loads none: MICROPY_EMIT_* is off"
    if arch == has_arch or (_ARMV6M <= arch <= has_arch <= _ARMV7EMDP):
        return None
    mine = _name(has_arch)
    best = "armv7m" if mine == "armv7em" else mine  # what there is of it
    return f"is for {_name(arch)}, this firmware runs {mine}: export it with --mpy {best}"


def _name(arch):
    return _ARCHS[arch] if arch < len(_ARCHS) else f"architecture {arch}"


def _text(version):
    """Of two numbers, or four: the last of those counts builds."""
    text = ".".join(map(str, version[:3]))
    return text if len(version) < 4 else f"{text}+{version[3]}"


class _Image:
    """What a sound image says."""

    def __init__(self, start, count, version, counter):
        self.start = start
        self.count = count
        self.version = version
        self.counter = counter


def _judge(path, model, key):
    """The image in a file; OtaError unless it is signed by `key`, for `model`, and runs here."""
    size = os.stat(path)[6]
    with open(path, "rb") as file:
        head = file.read(32)
        if len(head) < 32:
            raise OtaError(f"{path}: {size} bytes are no image")
        fields = struct.unpack(_HEADER, head)
        magic, _, header, protected, payload, flags = fields[:6]
        if magic != _MAGIC or flags != _NON_BOOTABLE or header < 32:
            raise OtaError(f"{path}: is no signed .mpy")
        if (
            header > size
            or payload > size - header
            or protected > min(size - header - payload, _TLVS_BYTES)
            or size - header - payload - protected > _TLVS_BYTES
        ):
            raise OtaError(f"{path}: is cut off or damaged: {size} bytes")
        signed = header + payload + protected
        file.seek(0)
        digest = _digest(file, signed)
        proof = _entries(path, file.read(size - signed), _AREA)
        file.seek(header + payload)
        said = _entries(path, file.read(protected), _PROTECTED_AREA)
        file.seek(header)
        head = file.read(4)
    _require(path, proof, {_KEYHASH: 32, _SHA256: 32, _ED25519: 64})
    _require(path, said, {_SEC_CNT: 4, _MODEL: None})
    if digest != proof[_SHA256]:
        raise OtaError(f"{path}: is damaged: its hash is another")
    if proof[_KEYHASH] != hashlib.sha256(_SPKI + key).digest():
        raise OtaError(f"{path}: is signed by another key")
    if not verify(key, digest, proof[_ED25519]):
        raise OtaError(f"{path}: its signature is wrong")
    if said[_MODEL] != model.encode():
        raise OtaError(f"{path}: is a model {said[_MODEL].decode()}, not {model}")
    why = mismatch(head)
    if why:
        raise OtaError(f"{path}: {why}")
    (counter,) = struct.unpack("<I", said[_SEC_CNT])
    return _Image(header, payload, fields[6:10], counter)


def _digest(file, count):
    """SHA-256 of the next `count` bytes."""
    digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
    while count:
        got = file.readinto(piece[: min(count, _PIECE)])
        if not got:
            break  # shorter than it was: the hash tells
        digest.update(piece[:got])
        count -= got
    return digest.digest()


def _entries(path, area, magic):
    """The TLVs of an area, by type."""
    found = {}
    at = 4
    is_sound = len(area) >= 4 and struct.unpack_from("<HH", area) == (magic, len(area))
    while is_sound and at < len(area):
        kind, count = struct.unpack_from("<HH", area, at) if len(area) - at >= 4 else (None, 0)
        is_sound = kind is not None and kind not in found and count <= len(area) - at - 4
        found[kind] = area[at + 4 : at + 4 + count]
        at += 4 + count
    if not is_sound:
        raise OtaError(f"{path}: is damaged: its TLVs cannot be read")
    return found


def _require(path, entries, sizes):
    """Exactly the TLVs of `sizes`."""
    for kind in entries:
        if kind not in sizes:
            raise OtaError(f"{path}: has an unknown TLV 0x{kind:02x}")
    for kind, size in sizes.items():
        if kind not in entries or size not in (None, len(entries[kind])):
            raise OtaError(f"{path}: TLV 0x{kind:02x} is missing or has a wrong length")


class _Payload(io.IOBase):
    """The .mpy inside of an image, as a file."""

    def __init__(self, path, image):
        self._file = open(path, "rb")  # noqa: SIM115
        self._file.seek(image.start)
        self._left = image.count

    def readinto(self, buffer):
        got = self._file.readinto(memoryview(buffer)[: min(len(buffer), self._left)])
        self._left -= got
        return got

    def ioctl(self, request, argument):
        if request == 4:  # close
            self._file.close()
            return 0
        return -1


class _Shelf:
    """A filesystem with one file: so an image is imported from where it lies, and never copied."""

    def __init__(self, name, path, image):
        self._name = "/" + name
        self._path = path
        self._image = image

    def mount(self, readonly, mkfs):
        pass

    def umount(self):
        pass

    def chdir(self, path):
        pass

    def stat(self, path):
        if path != self._name:
            raise OSError(2)
        return (0x8000,) + (0,) * 9

    def open(self, path, mode):
        return _Payload(self._path, self._image)


def _import(model, path, image):
    """The module in an image."""
    sys.modules.pop(model, None)
    vfs.mount(_Shelf(model + ".mpy", path, image), _SHELF)
    sys.path.insert(0, _SHELF)
    try:
        return __import__(model)
    finally:
        sys.path.remove(_SHELF)
        vfs.umount(_SHELF)


class _Receiver:
    """A file that becomes the trial when it is closed, if it is sound."""

    def __init__(self, slots, slot):
        self._slots = slots
        self._slot = slot
        self._file = open(slots._path(slot), "wb")  # noqa: SIM115

    def write(self, data):
        return self._file.write(data)

    def close(self):
        """OtaError if the image is refused."""
        self._file.close()
        self._slots._take(self._slot)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if kind is None:
            self.close()
        else:
            self._file.close()


class Slots:
    """One model's two slots: files MODEL_a.img and MODEL_b.img, and MODEL_0.ota, MODEL_1.ota that
    say which of them runs."""

    def __init__(self, model, key, folder="."):
        """`key`: the vendor's public key, 32 bytes. Nothing is written."""
        self._model = model
        self._key = bytes(key)
        self._folder = folder
        self._loaded = 0  # slot of the model that load() gave
        self._image = None  # of that model
        self.dropped = None  # why load() went back to the model before; None: it did not
        self._sequence, self._counter, self._kept, self._trial, self._tried = self._read_state()

    def receive(self):
        """A file for a new image: write() it, close() it; or `with`. Until it is closed and sound
        nothing changes but that an earlier trial is given up."""
        if self._trial:
            self._set(self._kept, 0, 0)
        slot = 3 - self._kept if self._kept else 1
        if slot == self._loaded:
            self._loaded = 0  # what runs is no longer what its slot holds
        return _Receiver(self, slot)

    def load(self, clock=None):
        """The model, at every start: that on trial the first time, afterwards the one that was
        kept. `clock` as for load() of a .mpy. OtaError if there is none that is sound."""
        self.dropped = None
        if self._trial and self._tried:
            self._drop("it was tried, and not confirmed")
        if self._trial:
            # Before it runs: whatever it does to this board, the next start goes back.
            self._set(self._kept, self._trial, 1)
            try:
                return self._start(self._trial, clock)
            except Exception as e:
                self._drop(str(e) or type(e).__name__)
        if not self._kept:
            why = ": " + self.dropped if self.dropped else ""
            raise OtaError(f"no model {self._model} in {self._folder}{why}")
        return self._start(self._kept, clock)

    def confirm(self):
        """Keeps the model on trial; older security counters are refused from now on. Does nothing
        when what runs was kept before."""
        if not self._loaded:
            raise OtaError(f"{self._model}: load() it first; then it can be kept")
        if self._loaded == self._trial:
            self._counter = max(self._counter, self._image.counter)
            self._set(self._trial, 0, 0)

    def revert(self):
        """Gives up what was received or is on trial."""
        if self._trial:
            self._drop("reverted")

    def state(self):
        """What runs, and what waits."""
        return {
            "model": self._model,
            "kept": _LETTERS[self._kept],
            "trial": _LETTERS[self._trial],
            "tried": bool(self._tried),
            "running": _LETTERS[self._loaded],
            "version": _text(self._image.version) if self._loaded else None,
            "security_counter": self._counter,
        }

    def _start(self, slot, clock):
        path = self._path(slot)
        image = self._judge(slot)
        model = _import(self._model, path, image).load(clock)
        if not model.self_test():
            raise OtaError(f"{path}: fails its self-test on this board")
        self._loaded, self._image = slot, image
        return model

    def _judge(self, slot):
        path = self._path(slot)
        image = _judge(path, self._model, self._key)
        if image.counter < self._counter:
            raise OtaError(
                f"{path}: security counter {image.counter}, at least {self._counter} is wanted"
            )
        return image

    def _take(self, slot):
        try:
            image = self._judge(slot)
            if self._kept:
                self._compare(image, self._judge(self._kept), self._path(slot))
        except OtaError:
            os.remove(self._path(slot))
            raise
        self._set(self._kept, slot, 0)

    def _compare(self, new, old, path):
        """With a security counter of its own a vendor may go back to an older version."""
        if new.counter == old.counter and new.version < old.version:
            raise OtaError(
                f"{path}: version {_text(new.version)} is older than {_text(old.version)}"
            )

    def _drop(self, why):
        slot = self._trial
        self._set(self._kept, 0, 0)
        self.dropped = why
        if f"{self._model}_{_LETTERS[slot]}.img" in os.listdir(self._folder):
            os.remove(self._path(slot))

    def _path(self, slot):
        return f"{self._folder}/{self._model}_{_LETTERS[slot]}.img"

    def _state_path(self, number):
        return f"{self._folder}/{self._model}_{number}.ota"

    def _set(self, kept, trial, tried):
        """Writes the state over the older of its two files: a cut leaves the newer."""
        self._sequence += 1
        self._kept, self._trial, self._tried = kept, trial, tried
        record = struct.pack(
            _STATE, _STATE_MAGIC, self._sequence, self._counter, kept, trial, tried, 0
        )
        with open(self._state_path(self._sequence & 1), "wb") as file:
            file.write(record + hashlib.sha256(record).digest()[:_SUM_BYTES])

    def _read_state(self):
        """The newest of the records that are whole."""
        newest = (0, 0, 0, 0, 0)
        for number in (0, 1):
            try:
                with open(self._state_path(number), "rb") as file:
                    data = file.read(_STATE_BYTES + _SUM_BYTES + 1)
            except OSError:
                continue
            record = data[:_STATE_BYTES]
            if data[_STATE_BYTES:] != hashlib.sha256(record).digest()[:_SUM_BYTES]:
                continue
            magic, sequence, counter, kept, trial, tried, _ = struct.unpack(_STATE, record)
            if magic == _STATE_MAGIC and max(kept, trial) < 3 and sequence > newest[0]:
                newest = (sequence, counter, kept, trial, tried)
        return newest
