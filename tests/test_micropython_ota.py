"""tinyseal_ota: signed models under MicroPython, on Unix and on a Cortex-M3 under QEMU."""

import functools
import random
import re
import shutil

import numpy as np
import pytest
from click.testing import CliRunner as ClickRunner
from imgtool.main import imgtool
from typer.testing import CliRunner

from support.judge import sample_inputs
from support.micropython import Qemu, Unix, literals, modules_folder
from tinyseal.build.export import plan_export
from tinyseal.build.firmware import ROOT, THIRD_PARTY
from tinyseal.build.micropython import arch_for, build_native
from tinyseal.build.third_party import micropython
from tinyseal.cli import app
from tinyseal.codegen.generate import UNMETERED
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.selftest import expected_crc
from tinyseal.package.keys import DEV_SIGN, create_key, load_key
from tinyseal.package.mcuboot import Version
from tinyseal.package.sign import SignRequest, sign_image, sign_mpy
from tinyseal.plan.kernels import KernelSet
from tinyseal.profiles import load_board

CORPUS = ROOT / "tests" / "corpus"
# Two models of one name and one input, so that the output tells which one runs.
MODELS = {"old": CORPUS / "tanh.tflite", "new": CORPUS / "logistic.tflite"}
KEY = load_key(DEV_SIGN)
PORTS = {"unix": ("host", "x64"), "qemu": ("qemu-m3", "armv7m")}
UNDEFINED = {"x64": b"\x0f\x0b", "armv7m": b"\xff\xde"}  # instructions
FLASH_BYTES = 0x14000


@functools.cache
def native(path, board, arch):
    """A model as a .mpy."""
    graph = load_model(path)
    profile = load_board(board)
    made = plan_export(graph, profile, KernelSet.REFERENCE)
    source = micropython(ROOT / THIRD_PARTY)
    return build_native(made, "reference", UNMETERED, arch_for(arch, profile), source)


def outputs(path, inputs):
    return b"".join(o.tobytes() for o in Interpreter(load_model(path)).invoke(inputs))


def sealed(payload, version=(1, 0, 0, 0), counter=0, model="m", key=KEY):
    return sign_mpy(payload, model, Version(*version), counter, key)


# A flash under littlefs. `cut` counts erases and programs; the one it counts down to is torn, half
# done, and then there is no power any more.
FLASH = """
import sys, os, vfs
class Dark(BaseException):
    pass
class Flash:
    def __init__(self, cells, size, cut=-1):
        self.cells, self.size, self.cut = cells, size, cut
    def _spend(self, at, data):
        if self.cut > 0:
            self.cut -= 1
            if self.cut == 0:
                self.cells[at : at + len(data) // 2] = data[: len(data) // 2]
        if self.cut == 0:
            raise Dark
        self.cells[at : at + len(data)] = data
    def readblocks(self, block, buffer, offset=0):
        at = block * 512 + offset
        buffer[:] = self.cells[at : at + len(buffer)]
    def writeblocks(self, block, buffer, offset=0):
        self._spend(block * 512 + offset, bytes(buffer))
    def ioctl(self, request, value):
        if request == 6:
            self._spend(value * 512, b"\\xff" * 512)
        return {3: 0, 4: self.size // 512, 5: 512, 6: 0}.get(request)
"""


class Device:
    """A board with MicroPython: what is in its flash outlives the process it runs in."""

    def __init__(self, port, board, arch, folder):
        self.port, self.board, self.arch = port, board, arch
        self.memory = folder / f"{port.name}.bin"  # the flash, then what is sent
        self.memory.write_bytes(b"\xff" * FLASH_BYTES + bytes(0x1000000 - FLASH_BYTES))
        self.fresh = self.memory.read_bytes()[:FLASH_BYTES]
        said = self.run(
            "with open('tinyseal_ota.py', 'wb') as f: f.write(sent)\nprint('ready')",
            "vfs.VfsLfs2.mkfs(flash)\nvfs.mount(flash, '/flash')\nos.chdir('/flash')\n",
            sent=(ROOT / "firmware/micropython/tinyseal_ota.py").read_bytes(),
        )
        assert said == "ready\n", said
        self.fresh = self.memory.read_bytes()[:FLASH_BYTES]

    def mpy(self, which):
        return native(MODELS[which], self.board, self.arch)

    def run(self, code, start=None, sent=b""):
        """What it prints; what it writes to the flash is kept, also if it dies meanwhile."""
        start = start or (
            "vfs.mount(flash, '/flash')\nos.chdir('/flash')\nsys.path.insert(0, '/flash')\n"
            f"import tinyseal_ota\nKEY = {KEY.raw!r}\nslots = tinyseal_ota.Slots('m', KEY)\n"
        )
        self._write(FLASH_BYTES, sent)
        power_on = f"{FLASH}flash = Flash(memory, {FLASH_BYTES})\n"
        power_on += f"sent = bytes(memory[{FLASH_BYTES} : {FLASH_BYTES + len(sent)}])\n"
        return self.port.run(power_on + start + code, memory=self.memory)

    def renew(self):
        self._write(0, self.fresh)

    def _write(self, at, data):
        with self.memory.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def install(self, data):
        """What it says of an update."""
        return self.run(
            "try:\n with slots.receive() as f: f.write(sent)\n"
            "except tinyseal_ota.OtaError as e: print(e)\nelse: print('taken')",
            sent=data,
        ).strip()

    def start(self, inputs, then=""):
        """A start of the program: the outputs, and why it went back."""
        said = self.run(
            f"m = slots.load()\nprint((m.predict({literals(inputs)}), slots.dropped))\n{then}"
        )
        return eval(said)

    def state(self):
        return eval(self.run("print(slots.state())"))


@pytest.fixture(scope="module")
def modules():
    words = ["export", "micropython", str(modules_folder()), "--kernels", "reference"]
    result = CliRunner().invoke(app, [*words, "--model", str(MODELS["old"])])
    assert result.exit_code == 0, result.output
    return modules_folder()


@pytest.fixture(scope="module", params=[Unix, Qemu], ids=lambda port: port.name)
def every_device(request, modules, tmp_path_factory):
    place = tmp_path_factory.mktemp("board")
    return Device(request.param(modules), *PORTS[request.param.name], place)


@pytest.fixture
def device(every_device):
    every_device.renew()
    return every_device


@pytest.fixture(scope="module")
def sample():
    """Inputs, and what the models make of them."""
    drawn = sample_inputs(load_model(MODELS["old"]), np.random.default_rng(3), 0)
    made = {name: outputs(path, drawn) for name, path in MODELS.items()}
    assert made["old"] != made["new"]
    return [i.tobytes() for i in drawn], made


def test_an_update_is_tried_proven_and_kept(device, sample):
    inputs, made = sample
    assert device.install(sealed(device.mpy("old"))) == "taken"
    assert device.start(inputs, "slots.confirm()") == (made["old"], None)
    new = sealed(device.mpy("new"), (1, 1, 0, 0), counter=4)
    assert device.install(new) == "taken"
    assert device.state() == {
        "model": "m", "kept": "a", "trial": "b", "tried": False, "running": "", "version": None,
        "security_counter": 0,
    }  # fmt: skip
    assert device.start(inputs, "slots.confirm()") == (made["new"], None)
    assert device.start(inputs) == (made["new"], None)
    state = device.state()
    assert (state["kept"], state["trial"], state["security_counter"]) == ("b", "", 4)


def test_an_update_nobody_confirms_is_gone_with_the_next_start(device, sample):
    inputs, made = sample
    device.install(sealed(device.mpy("old")))
    device.start(inputs, "slots.confirm()")
    device.install(sealed(device.mpy("new")))
    assert device.start(inputs) == (made["new"], None)
    assert device.start(inputs) == (made["old"], "it was tried, and not confirmed")
    assert device.start(inputs) == (made["old"], None)


def code_offset(mpy):
    """Where the machine code of a .mpy begins: behind header, names and the code's length."""
    at = 4

    def number():
        nonlocal at
        value = 0
        while True:
            value = value << 7 | mpy[at] & 0x7F
            at += 1
            if not mpy[at - 1] & 0x80:
                return value

    names, objects = number(), number()
    assert objects == 0
    for _ in range(names):
        length = number()
        at += 0 if length & 1 else (length >> 1) + 1
    number()
    return at


def test_a_capsule_that_crashes_the_board_is_reverted(device, sample):
    inputs, made = sample
    device.install(sealed(device.mpy("old")))
    device.start(inputs, "slots.confirm()")
    crash = bytearray(device.mpy("new"))
    at = code_offset(crash)
    crash[at : at + 16] = UNDEFINED[device.arch] * (16 // len(UNDEFINED[device.arch]))
    assert device.install(sealed(bytes(crash))) == "taken"
    said = device.run("slots.load()\nprint('alive')")
    assert "alive" not in said and ("signal 4" in said or "HardFault" in said), said
    assert device.start(inputs) == (made["old"], "it was tried, and not confirmed")


def test_a_capsule_that_computes_wrong_is_reverted_at_once(device, sample):
    inputs, made = sample
    device.install(sealed(device.mpy("old")))
    device.start(inputs, "slots.confirm()")
    crc = expected_crc(load_model(MODELS["new"])).to_bytes(4, "little")
    assert device.mpy("new").count(crc) == 1
    bent = device.mpy("new").replace(crc, bytes(4))
    assert device.install(sealed(bent)) == "taken"
    assert device.start(inputs) == (made["old"], "./m_b.img: fails its self-test on this board")


def test_the_first_model_that_fails_leaves_none(device):
    crc = expected_crc(load_model(MODELS["new"])).to_bytes(4, "little")
    device.install(sealed(device.mpy("new").replace(crc, bytes(4))))
    said = device.run("slots.load()")
    assert "OtaError: no model m in .: ./m_a.img: fails its self-test on this board" in said


def changed(data, at, value):
    return data[:at] + bytes([value]) + data[at + 1 :]


def test_what_is_not_signed_so_is_refused_and_the_old_one_runs(device, sample, tmp_path):
    inputs, made = sample
    mpy = device.mpy("new")
    device.install(sealed(device.mpy("old"), (1, 2, 0, 0), counter=2))
    device.start(inputs, "slots.confirm()")
    good = sealed(mpy, (1, 2, 0, 0), counter=2)
    other = create_key(tmp_path / "other.pem", KEY.use)
    foreign = "armv6m" if device.arch == "x64" else "armv7emsp"
    runs = {"armv7m": "armv7em"}.get(device.arch, device.arch)  # as ports/qemu has it
    number = {"armv6m": 4, "armv7emsp": 7}[foreign]
    app_image = sign_image(mpy, SignRequest(load_board("qemu-m4"), "app", "a", Version(9), 9), KEY)
    payload_end = 32 + len(mpy)
    refusals = [
        (b"", "./m_b.img: 0 bytes are no image"),
        (app_image, "./m_b.img: is no signed .mpy"),
        (good[:-1], "./m_b.img: is damaged: its TLVs cannot be read"),
        (good[:100], "./m_b.img: is cut off or damaged: 100 bytes"),
        (good + b"\xff", "./m_b.img: is damaged: its TLVs cannot be read"),
        (good + bytes(600), f"./m_b.img: is cut off or damaged: {len(good) + 600} bytes"),
        (changed(good, 200, good[200] ^ 1), "./m_b.img: is damaged: its hash is another"),
        (changed(good, 20, 9), "./m_b.img: is damaged: its hash is another"),
        (changed(good, payload_end + 8, 9), "./m_b.img: is damaged: its hash is another"),
        (changed(good, len(good) - 1, good[-1] ^ 1), "./m_b.img: its signature is wrong"),
        (sealed(mpy, (2, 0, 0, 0), 3, key=other), "./m_b.img: is signed by another key"),
        (sealed(mpy, (2, 0, 0, 0), 3, model="n"), "./m_b.img: is a model n, not m"),
        (sealed(mpy, (9, 0, 0, 0), 1), "./m_b.img: security counter 1, at least 2 is wanted"),
        (
            sealed(mpy, (1, 1, 9, 9), 2),
            "./m_b.img: version 1.1.9+9 is older than 1.2.0+0",
        ),
        (
            sealed(changed(mpy, 2, number << 2 | 3), (2, 0, 0, 0), 3),
            f"./m_b.img: is for {foreign}, this firmware runs {runs}: "
            f"export it with --mpy {device.arch}",
        ),
        (
            sealed(changed(mpy, 1, 7), (2, 0, 0, 0), 3),
            "./m_b.img: is .mpy version 7.3, this firmware loads 6.3: export it anew",
        ),
        (sealed(bytes(500), (2, 0, 0, 0), 3), "./m_b.img: is no .mpy file"),
    ]
    images = [data for data, _ in refusals] + [sealed(mpy, (0, 1, 0, 0), counter=3)]
    said = device.run(
        f"at = 0\nfor count in {[len(data) for data in images]!r}:\n"
        " try:\n  with slots.receive() as f: f.write(sent[at : at + count])\n"
        " except tinyseal_ota.OtaError as e: print(e)\n else: print('taken')\n at += count",
        sent=b"".join(images),
    ).splitlines()
    assert said == [*(why for _, why in refusals), "taken"]
    assert device.install(changed(good, 300, good[300] ^ 1)).endswith("its hash is another")
    assert device.start(inputs) == (made["old"], None)  # and that trial was given up


def test_every_byte_counts(device):
    """Any byte of an image changed: refused. On Unix all of them, under QEMU some."""
    good = sealed(device.mpy("new"))
    places = range(len(good))
    if device.port.name == "qemu":
        places = random.Random(1).sample(places, 20)
    said = device.run(
        "good, taken = bytearray(sent), []\n"
        f"fast = Flash(bytearray({FLASH_BYTES}), {FLASH_BYTES})\n"
        "vfs.VfsLfs2.mkfs(fast)\nvfs.mount(fast, '/fast')\n"
        "slots = tinyseal_ota.Slots('m', KEY, '/fast')\n"
        f"for at in {list(places)!r}:\n good[at] ^= 1 << at % 8\n try:\n"
        "  with slots.receive() as f: f.write(good)\n"
        "  taken.append(at)\n except tinyseal_ota.OtaError: pass\n good[at] ^= 1 << at % 8\n"
        "with slots.receive() as f: f.write(good)\n"
        "print(taken, slots.state()['trial'])",
        sent=good,
    )
    assert said == "[] a\n"


def test_power_cut_anywhere_leaves_the_old_or_the_new_model(modules, sample, tmp_path):
    """Before and in the middle of every write of an update, from its first byte to its
    confirmation; after it the board starts twice."""
    device = Device(Unix(modules), *PORTS["unix"], tmp_path)
    inputs, made = sample
    device.install(sealed(device.mpy("old")))
    device.start(inputs, "slots.confirm()")
    said = device.run(
        f"before = memory[0:{FLASH_BYTES}]\ninputs = {inputs!r}\nseen = []\nvfs.umount('/flash')\n"
        """
def power(cells, cut=-1):
    vfs.mount(Flash(cells, len(before), cut), '/flash')
    os.chdir('/flash')
def update():
    with tinyseal_ota.Slots('m', KEY).receive() as f:
        for at in range(0, len(sent), 256):
            f.write(sent[at : at + 256])
    slots = tinyseal_ota.Slots('m', KEY)
    slots.load()
    slots.confirm()
def outcome(cells):
    power(cells)
    try:
        return tinyseal_ota.Slots('m', KEY).load().predict(*inputs)
    finally:
        os.chdir('/')
        vfs.umount('/flash')
cut, done = 0, False
while not done:
    cut += 1
    mine = bytearray(before)
    try:
        power(mine, cut)
        update()
        done = True
    except Dark:
        pass
    os.chdir('/')
    vfs.umount('/flash')
    seen.append((outcome(mine), outcome(mine)))
print((cut, seen))
""",
        sent=sealed(device.mpy("new"), (1, 1, 0, 0), 1),
    )
    cuts, seen = eval(said.splitlines()[-1])  # before it, finalisers of files without power
    old, new = made["old"], made["new"]
    assert cuts > 50
    assert set(seen) <= {(old, old), (new, old), (new, new)}
    assert seen[0] == (old, old) and seen[-1] == (new, new)


def test_imgtool_judges_ours_and_ours_takes_imgtools(device, sample, tmp_path):
    inputs, made = sample
    (tmp_path / "ours.img").write_bytes(sealed(device.mpy("new"), (1, 2, 3, 4), 7))
    judged = ClickRunner().invoke(
        imgtool, ["verify", "-k", str(DEV_SIGN), str(tmp_path / "ours.img")]
    )
    assert judged.exit_code == 0, judged.output
    (tmp_path / "m.mpy").write_bytes(device.mpy("new"))
    words = "--pad-header -H 32 -S 0x100000 -v 1.2.3+4 -s 7 --non-bootable --custom-tlv 0xa0 m"
    theirs = ["sign", "-k", str(DEV_SIGN), *words.split(), str(tmp_path / "m.mpy")]
    done = ClickRunner().invoke(imgtool, [*theirs, str(tmp_path / "theirs.img")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "theirs.img").read_bytes() == (tmp_path / "ours.img").read_bytes()
    assert device.install((tmp_path / "theirs.img").read_bytes()) == "taken"
    assert device.start(inputs) == (made["new"], None)


def test_a_stream_of_pieces_from_an_ordinary_file_and_folder(modules, sample, tmp_path):
    """As on a board that has its files on its own filesystem: no flash of ours, other folder."""
    inputs, made = sample
    new = native(MODELS["new"], *PORTS["unix"])
    shutil.copy(ROOT / "firmware/micropython/tinyseal_ota.py", tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "new.img").write_bytes(sealed(new))
    said = Unix(modules).run(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport tinyseal_ota, time\n"
        f"slots = tinyseal_ota.Slots('m', {KEY.raw!r}, {str(tmp_path / 'models')!r})\n"
        f"with slots.receive() as out, open({str(tmp_path / 'new.img')!r}, 'rb') as f:\n"
        " while piece := f.read(100): out.write(piece)\n"
        "m = slots.load(time.ticks_us)\nslots.confirm()\n"
        f"print((m.predict({literals(inputs)}), m.latency()['count'], slots.state()['version']))"
    )
    assert eval(said) == (made["new"], 1, "1.0.0+0")
    names = sorted(p.name for p in (tmp_path / "models").iterdir())
    assert names == ["m_0.ota", "m_1.ota", "m_a.img"]


def test_export_signs_what_it_links(tmp_path):
    words = ["export", "micropython", str(tmp_path / "out"), "--board", "host", "--mpy", "x64"]
    words += ["--model", str(MODELS["old"]), "--version", "1.2.3", "--security-counter", "5"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.exception
    image = tmp_path / "out/mpy/x64/tanh.img"
    assert image.with_suffix(".mpy").read_bytes() in image.read_bytes()
    assert (tmp_path / "out/tinyseal_ota.py").is_file()
    shown = CliRunner().invoke(app, ["inspect", str(image)])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"payload +.*\.mpy 6\.3 for x64", shown.output)
    assert "model tanh for MicroPython" in shown.output
    refused = CliRunner().invoke(app, [*words, "--release"])
    assert "development key" in str(refused.exception)


def test_export_for_another_core_says_which(tmp_path):
    words = ["export", "micropython", str(tmp_path / "out"), "--board", "qemu-m3"]
    result = CliRunner().invoke(app, [*words, "--mpy", "armv7emsp"])
    assert str(result.exception).startswith(
        "--mpy armv7emsp: qemu-m3 is a cortex-m3, for which there is armv7m; "
        "armv7emsp is for --board "
    )
    assert "qemu-m4" in str(result.exception) and not (tmp_path / "out").exists()
