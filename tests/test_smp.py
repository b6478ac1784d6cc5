"""Device management over SMP: stock clients against virtual boards."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import struct
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import cbor2
import pytest
from mcumgr_toolkit import MCUmgrClient
from smp import packet
from smp.header import Version
from smp.image_management import IMG_MGMT_ERR
from smp.os_management import OS_MGMT_RET_RC, MCUbootMode, MCUbootModeQueryResponse
from smpclient import SMPClient
from smpclient.generics import error, error_v2, success
from smpclient.requests.image_management import (
    ImageStatesRead,
    ImageStatesWrite,
    ImageUploadWrite,
)
from smpclient.requests.os_management import (
    BootloaderInformationRead,
    EchoWrite,
    MCUMgrParametersRead,
    ResetWrite,
    TaskStatisticsRead,
)
from smpclient.requests.statistics_management import GroupData, ListOfGroups
from smpclient.transport.serial import SMPSerialTransport

from support.boards import firmware
from support.chain import running, signed, tampered
from tinyseal.build.firmware import ROOT
from tinyseal.build.size import measure_images
from tinyseal.device.client import open_port
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.graph.selftest import expected_crc
from tinyseal.package.keys import DEV_ENCRYPT, Use, create_key, load_key
from tinyseal.package.provision import Identity, storage_image
from tinyseal.package.sign import parse_version

SMALL = Path("tests/corpus/chain.tflite")
LONG_LAYERS = Path("models/kws_int8.tflite")
ENOTSUP = 8
EMSGSIZE = 7
EINVAL = 3
SLOTS = "ab"
IMAGES = ("app", "capsule")


@contextmanager
def served(name, tmp_path, images=None, model=SMALL, **rest):
    """A running board with images of version 1.0 in its slots a; how it was built, its port."""
    request = firmware(name, model)
    images = {(i, "a"): signed(request, i) for i in IMAGES} if images is None else images
    with running(request, images, tmp_path, **rest) as board:
        board.boot()
        yield request, board


def ask(board, *requests):
    """The answers to some requests, by a stock client."""

    async def all_of_them():
        async with SMPClient(SMPSerialTransport(), board.machine.port) as client:
            return [await client.request(r, 20.0) for r in requests]

    return asyncio.run(all_of_them())


def upload(board, image, data, **rest):
    """Uploads by a stock client; the offsets that the device told."""

    async def whole():
        async with SMPClient(SMPSerialTransport(), board.machine.port, 20.0) as client:
            return [offset async for offset in client.upload(data, image, **rest)]

    return asyncio.run(whole())


def chunk(off, data, **rest):
    return ImageUploadWrite(off=off, data=data, **rest)


def state(board):
    """Of the images that the device lists: (image, slot), version and set flags."""
    (answer,) = ask(board, ImageStatesRead())
    flags = ("bootable", "pending", "confirmed", "active", "permanent")
    return {
        (i.image, i.slot): (i.version, " ".join(f for f in flags if getattr(i, f)))
        for i in answer.images
    }


def image_hash(data):
    """What the signature is over: TLV 0x10, whose header is 10 00 20 00."""
    return data[(at := data.rindex(b"\x10\x00\x20\x00") + 4) : at + 32]


class Wire:
    """Requests by hand, for what stock clients have no words for."""

    def __init__(self, board):
        self._port = open_port(board.machine.port, 115200)
        self._port.timeout = 20

    def send(self, group, command, write=False, body=None, version=1):
        payload = cbor2.dumps(body or {})
        head = struct.pack(">BBHHBB", (2 if write else 0) | version << 3, 0, len(payload),
                           group, 7, command)  # fmt: skip
        for line in packet.encode(head + payload):
            self._port.write(line)

    def receive(self):
        """The next answer, lines of others left out."""
        decoder = packet.decode()
        next(decoder)
        while True:
            line = self._port.read_until(b"\n")
            assert line, "no answer"
            if line[:2] in (b"\x06\x09", b"\x04\x14"):
                try:
                    decoder.send(line)
                except StopIteration as whole:
                    return cbor2.loads(whole.value[8:])

    def ask(self, *request, **rest):
        self.send(*request, **rest)
        return self.receive()

    def close(self):
        self._port.close()


def test_the_service_stays_small():
    request = firmware("qemu-m4", SMALL)
    flash, ram = measure_images(request, []).service()
    assert 8 * 1024 < flash < 12 * 1024
    assert request.board.services.smp_buffer_bytes < ram < 4 * 1024


class EchoOfVersion1(EchoWrite):
    version: Version = Version.V1


MODES = {
    "qemu-m4": MCUbootMode.DIRECT_XIP_WITH_REVERT,
    "qemu-m7": MCUbootMode.SWAP_WITHOUT_SCRATCH,
    "qemu-m33": MCUbootMode.RAM_LOADER,
}


@pytest.mark.parametrize("name", MODES)
def test_a_stock_client_understands_the_mode(name, tmp_path):
    with served(name, tmp_path) as (_, board):
        answer, unknown = ask(
            board, BootloaderInformationRead(query="mode"), BootloaderInformationRead(query="age")
        )
        assert answer.bootloader == "MCUboot"
        told = MCUbootModeQueryResponse.model_validate(answer.response)
        assert told.mode == MODES[name] and told.no_downgrade is True
        assert refused(unknown) == OS_MGMT_RET_RC.QUERY_YIELDS_NO_ANSWER


class StateOfVersion1(ImageStatesWrite):
    version: Version = Version.V1


def test_a_stock_client_talks_to_the_os_group(tmp_path):
    with served("qemu-m4", tmp_path) as (request, board):
        text = "x" * 700
        echo, old, large, parameters, bootloader, slots, tasks, reset = ask(
            board, EchoWrite(d=text), EchoOfVersion1(d=""), EchoWrite(d="x" * 1500),
            MCUMgrParametersRead(), BootloaderInformationRead(),
            BootloaderInformationRead(query="slots"), TaskStatisticsRead(), ResetWrite(),
        )  # fmt: skip
        assert echo.r == text
        assert old.r == "" and old.header.version == Version.V1
        assert error(large) and large.rc == EMSGSIZE
        assert parameters.buf_size == request.board.services.smp_buffer_bytes
        assert bootloader.bootloader == "MCUboot"
        assert [(s["image"], s["slot"], s["address"]) for s in slots.response] == [
            (i, s, request.board.image_address(name, s))
            for i, name in enumerate(IMAGES)
            for s in range(2)
        ]
        assert error(tasks) and tasks.rc == ENOTSUP
        assert success(reset)
        assert board.boot().reset == "requested"


def smpmgr(board, *words):
    """What the stock tool prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "smpmgr", "--port", board.machine.port, "--timeout", "20",
         *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ErrorV" not in done.stdout, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["qemu-m3", "qemu-m4", "qemu-rv32"])
@pytest.mark.parametrize("number", [0, 1])
def test_stock_smpmgr_updates_an_image(name, number, tmp_path):
    with served(name, tmp_path) as (request, board):
        image = IMAGES[number]
        data = signed(request, image, "b", version=parse_version("1.1.2+3"))
        file = tmp_path / f"{image}.bin"
        file.write_bytes(data)
        assert "slot=0" in smpmgr(board, "image", "state-read")
        smpmgr(board, "--line-buffers", 16, "image", "upload", file, "--slot", number)
        assert state(board)[number, 1] == ("1.1.2.3", "bootable")
        smpmgr(board, "image", "state-write", image_hash(data).hex())
        assert state(board)[number, 1] == ("1.1.2.3", "bootable pending")
        assert state(board)[number, 0] == ("1.0.0", "bootable confirmed active")
        smpmgr(board, "os", "reset")
        assert board.boot().images[image] == ("b", "1.1.2+3", 0, "trial")
        assert state(board)[number, 1] == ("1.1.2.3", "bootable active")
        assert state(board)[number, 0] == ("1.0.0", "bootable confirmed")
        smpmgr(board, "image", "state-write", "--confirm")
        assert state(board)[number, 1] == ("1.1.2.3", "bootable confirmed active")
        board.client.reset()
        assert board.client.info().images[image] == ("b", "1.1.2+3", 0, "confirmed")


@pytest.mark.parametrize("name", ["qemu-m4", "qemu-rv32"])
def test_a_stock_client_of_another_origin_updates_both_images(name, tmp_path):
    """mcumgr-toolkit shares no code with smpclient: Rust, its own framing, CBOR and checks."""
    with served(name, tmp_path) as (request, board):
        new = {
            number: signed(request, image, "b", version=parse_version("1.1.2+3"))
            for number, image in enumerate(IMAGES)
        }
        client = MCUmgrClient.serial(board.machine.port, timeout_ms=20_000)
        client.check_connection()
        client.use_auto_frame_size()
        assert client.os_echo("tinyseal") == "tinyseal"
        assert client.os_mcumgr_parameters().buf_size == request.board.services.smp_buffer_bytes
        with pytest.raises(RuntimeError, match=r"(?i)hash"):
            client.image_set_state(bytes(32))
        for number, data in new.items():
            client.image_upload(data, number, checksum=hashlib.sha256(data).digest())
            client.image_set_state(image_hash(data))
        pending = {(s.image, s.slot) for s in client.image_get_state() if s.pending}
        assert pending == {(0, 1), (1, 1)}
        client.os_system_reset()
        assert {i[:2] for i in board.boot().images.values()} == {("b", "1.1.2+3")}
        assert all(s.confirmed for s in client.image_set_state(confirm=True) if s.active)
        del client
        board.client.reset()
        assert board.client.info().images["capsule"] == ("b", "1.1.2+3", 0, "confirmed")


@pytest.mark.parametrize("name", ["qemu-m4-nor", "qemu-xtensa"])
def test_an_update_is_tried_and_reverted(name, tmp_path):
    with served(name, tmp_path) as (request, board):
        data = signed(request, "capsule", "b", version=parse_version("2.0"))
        assert upload(board, 1, data)[-1] == len(data)
        (answer,) = ask(board, ImageStatesWrite(hash=image_hash(data)))
        assert success(answer)
        board.client.reset()
        assert board.client.info().images["capsule"] == ("b", "2.0.0+0", 0, "trial")
        board.client.reset()
        assert board.client.info().images["capsule"] == ("a", "1.0.0+0", 0, "confirmed")


@pytest.mark.parametrize("name", ["qemu-m33", "qemu-m7"])
def test_an_encrypted_update_comes_over_the_console(name, tmp_path):
    """Copied to RAM, and swapped into place: the application cannot open it, the bootloader can."""
    own = load_key(DEV_ENCRYPT)
    board = firmware(name, SMALL).board
    storage = storage_image(board, Identity(bytes(16), decrypt_key=own).values())
    runs = "a" if board.boot.mode == "swap" else "b"
    with served(name, tmp_path, storage=storage) as (request, it):
        data = signed(request, "app", "b", encrypt=own, version=parse_version("2.0"))
        assert upload(it, 0, data)[-1] == len(data)
        assert state(it)[0, 1] == ("2.0.0", "bootable")
        (answer,) = ask(it, ImageStatesWrite(hash=image_hash(data)))
        assert success(answer)
        it.client.reset()
        assert it.client.info().images["app"] == (runs, "2.0.0+0", 0, "trial")
        (answer,) = ask(it, ImageStatesWrite(confirm=True))
        assert success(answer)
        it.client.reset()
        assert it.client.info().images["app"] == (runs, "2.0.0+0", 0, "confirmed")
        bent = tampered(signed(request, "capsule", "b", encrypt=own, version=parse_version("2.0")))
        assert upload(it, 1, bent)[-1] == len(bent)
        (answer,) = ask(it, ImageStatesWrite(hash=image_hash(bent)))
        assert success(answer)
        it.client.reset()
        assert it.client.info().images["capsule"] == ("a", "1.0.0+0", 0, "confirmed")
        assert "boot capsule b" in it.said()


def refused(answer):
    assert error_v2(answer), answer
    return answer.err.rc


def test_what_cannot_boot_is_refused_early(tmp_path):
    with served("qemu-m4", tmp_path) as (request, board):
        good = signed(request, "app", "b")
        first = good[:512]
        short, wrong_slot, other_image, magic, no_length, number, offset, orphan = ask(
            board,
            chunk(0, first, len=request.board.partitions("app")[0].bytes),
            chunk(0, signed(request, "app", "a")[:512], len=len(good)),
            chunk(0, first, len=len(good), image=1),
            chunk(0, bytes(512), len=len(good)),
            chunk(0, first),
            chunk(0, first, len=len(good), image=2),
            chunk(0, first, len=100),
            chunk(512, first),
        )
        assert refused(short) == IMG_MGMT_ERR.INVALID_IMAGE_TOO_LARGE
        assert refused(wrong_slot) == IMG_MGMT_ERR.INVALID_FLASH_ADDRESS
        assert refused(other_image) == IMG_MGMT_ERR.INVALID_FLASH_ADDRESS
        assert refused(magic) == IMG_MGMT_ERR.INVALID_IMAGE_HEADER_MAGIC
        assert refused(no_length) == IMG_MGMT_ERR.INVALID_LENGTH
        assert refused(number) == IMG_MGMT_ERR.INVALID_SLOT
        assert refused(offset) == IMG_MGMT_ERR.INVALID_IMAGE_TOO_LARGE
        assert orphan.off == 0
        assert set(state(board)) == {(0, 0), (1, 0)}


def uploaded(board, data, image=0):
    """The last answer to an upload by hand, in chunks of odd lengths."""
    parts = [0, 777, 1500, *range(3000, len(data), 1800), len(data)]
    first = {"len": len(data), "image": image, "sha": hashlib.sha256(data).digest()}
    requests = [
        chunk(a, data[a:b], **(first if a == 0 else {})) for a, b in itertools.pairwise(parts)
    ]
    return ask(board, *requests)[-1]


def test_an_upload_that_ends_in_a_bad_image_is_not_a_success(tmp_path):
    request = firmware("qemu-m4", SMALL)
    images = {
        ("app", "a"): signed(request, "app", security_counter=2),
        ("capsule", "a"): signed(request, "capsule"),
    }
    with served("qemu-m4", tmp_path, images) as (request, board):
        board.client.reset()  # the counter follows
        old = signed(request, "app", "b", security_counter=1)
        assert refused(uploaded(board, old)) == IMG_MGMT_ERR.CURRENT_VERSION_IS_NEWER
        good = signed(request, "app", "b", security_counter=2)
        answer = uploaded(board, good)
        assert answer.off == len(good) and answer.match is True
        # A whole image whose payload or signature is wrong is there, and is none.
        for bad in (
            tampered(good),
            signed(
                request,
                "app",
                "b",
                security_counter=2,
                key=create_key(tmp_path / "other.pem", Use.SIGN),
            ),
        ):
            answer = uploaded(board, bad)
            assert answer.off == len(bad)
            assert (0, 1) not in state(board)
            (answer,) = ask(board, ImageStatesWrite(hash=image_hash(bad)))
            assert refused(answer) == IMG_MGMT_ERR.HASH_NOT_FOUND


MODEL = 64
EINPUT, ERANGE, EBUSY, ETEST = 7, 3, 10, 18
TIMES = 200_000


@pytest.mark.parametrize("name", ["qemu-m0", "qemu-m4", "qemu-rv32", "qemu-m33"])
def test_the_model_answers_over_smp_as_the_reference_does(name, tmp_path):
    graph = load_model(ROOT / SMALL)
    with served(name, tmp_path) as (_, board):
        wire = Wire(board)
        identity = wire.ask(MODEL, 0)
        assert identity["board"] == name and identity["model"] == graph.name
        assert identity["model_id"].hex() == graph.model_id
        assert identity["id"] == board.client.info().id
        (tensor,) = [wire.ask(MODEL, 1, body={"input": 0})]
        assert tuple(tensor["dims"]) == graph.tensor(graph.inputs[0]).shape
        assert wire.ask(MODEL, 3, True) == {"err": {"group": MODEL, "rc": EINPUT}}
        assert wire.ask(MODEL, 3, True, version=0) == {"rc": 6}
        _, inputs = sample_inputs(graph)[-1]
        for index, value in enumerate(inputs):
            data = value.tobytes()
            for at in range(0, len(data), 100):
                body = {"input": index, "off": at, "data": data[at : at + 100]}
                assert wire.ask(MODEL, 2, True, body)["off"] == min(at + 100, len(data))
        assert wire.ask(MODEL, 3, True)["times"] == 1
        for index, expected in enumerate(Interpreter(graph).invoke(inputs)):
            data = b"".join(
                wire.ask(MODEL, 4, body={"output": index, "off": at, "len": 1})["data"]
                for at in range(expected.nbytes)
            )
            assert data == expected.tobytes()
        assert wire.ask(MODEL, 4, body={"off": 10**6, "len": 1})["err"]["rc"] == ERANGE
        assert set(wire.ask(MODEL, 5, True)) == {"crc"}
        wire.close()
        stats, counted, unknown = ask(
            board, ListOfGroups(), GroupData(name="model"), GroupData(name="nonesuch")
        )
        assert stats.stat_list == ("smp_svr_stats", "model", "console")
        assert counted.fields == {"inferences": 1, "refused": 2}
        assert refused(unknown) == 2


def test_smp_is_served_while_the_model_runs(tmp_path):
    """Also an upload, and text that comes meanwhile is not lost."""
    with served("qemu-m4", tmp_path) as (request, board):
        info = board.client.info()
        for index, tensor in enumerate(info.inputs):
            board.client.load(index, bytes(tensor.bytes))
        wire = Wire(board)
        board.client.raw(b"infer %d\n" % TIMES)
        assert wire.ask(0, 0, True, {"d": "now"}) == {"r": "now"}
        assert wire.ask(MODEL, 3, True) == {"rc": EBUSY}
        data = signed(request, "capsule", "b")
        chunks = [data[at : at + 900] for at in range(0, len(data), 900)]
        for number, part in enumerate(chunks):
            body = {"image": 1, "off": 900 * number, "data": part, "len": len(data)}
            answer = wire.ask(1, 1, True, body)
            assert answer == {"off": 900 * number + len(part)}
        assert wire.ask(2, 0, body={"name": "model"})["fields"]["inferences"] < TIMES
        board.client.raw(b"echo afterwards\n")
        wire.close()
        assert board.client.line(60.0).startswith(f"ok {TIMES} ")
        assert board.client.line(20.0) == "ok afterwards"


UART_FIFO = 16  # bytes, of a 16550; others have one


@pytest.mark.parametrize(
    "name", ["qemu-m4", "qemu-m4-nor", "qemu-rv32", "nrf52840_dk", "stm32l475"]
)
def test_a_burst_during_an_inference_arrives(name, tmp_path):
    """More than the ring keeps, in one write: the interrupt fills it, stops, and goes on."""
    with served(name, tmp_path, model=LONG_LAYERS) as (request, board):
        info = board.client.info()
        for index, tensor in enumerate(info.inputs):
            board.client.load(index, bytes(tensor.bytes))
        wire = Wire(board)
        text = "x" * 1000
        board.client.raw(b"infer 200\n")  # still under way when the last byte has come
        wire.send(0, 0, True, {"d": text})
        board.client.raw(b"echo afterwards\n")
        assert wire.receive() == {"r": text}
        assert board.client.line(60.0).startswith("ok 200 ")
        assert board.client.line(20.0) == "ok afterwards"
        kept = wire.ask(2, 0, body={"name": "console"})["fields"]
        wire.close()
        assert UART_FIFO < kept["most"] <= request.board.services.uart_ring_bytes
        assert kept["lost"] == 0


def test_a_capsule_whose_outputs_are_wrong_fails_its_self_test(tmp_path):
    request = firmware("qemu-m4", SMALL)
    payload = (ROOT / request.image("capsule").with_suffix(".bin")).read_bytes()
    crc = expected_crc(load_model(ROOT / SMALL))
    assert payload.count(crc.to_bytes(4, "little")) == 1
    wrong = payload.replace(crc.to_bytes(4, "little"), bytes(4))
    images = {
        ("app", "a"): signed(request, "app"),
        ("capsule", "a"): signed(request, "capsule", payload=wrong),
    }
    with served("qemu-m4", tmp_path, images) as (_, board):
        assert Wire(board).ask(MODEL, 5, True) == {"err": {"group": MODEL, "rc": ETEST}}
