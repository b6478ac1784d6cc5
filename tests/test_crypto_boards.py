"""The firmware's cryptography on virtual boards, against Wycheproof and CAVP.

A sample of each file; all of it on qemu-m4 with --campaign 2 or more. Every Ed25519 vector on what
the bootloader verifies with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from test_crypto import ED25519_BAD, ED25519_GOOD, cavp, wycheproof
from tinyseal.build.firmware_elf import cryptotest
from tinyseal.device.client import Client, RefusedError, open_port
from tinyseal.profiles import load_board
from tinyseal.virtual.boards import power_up

BOARDS = ["qemu-m0", "qemu-m4", "qemu-rv32", "qemu-xtensa"]
OF_BOOTLOADER = ["qemu-m0", "qemu-m4", "qemu-rv32", "qemu-xtensa"]
SAMPLE = 12  # cases of a file
CHUNK = 120  # bytes of a line


class Board:
    """One board, with what it computes as functions."""

    def __init__(self, client: Client, everything: bool) -> None:
        self.client = client
        self.everything = everything

    def some(self, cases: list, sample: int = SAMPLE) -> list:
        return cases if self.everything else cases[:: -(-len(cases) // sample)]

    def __call__(self, command: str, *operands: bytes) -> str:
        self.client.command("clear")
        for number, operand in enumerate(operands):
            for at in range(0, len(operand), CHUNK):
                self.client.command(f"put {number} {operand[at : at + CHUNK].hex()}")
        return self.client.command(command, 60.0)

    def digest(self, bits: int, message: bytes) -> str:
        self.client.command(f"sha {bits}")
        for at in range(0, len(message), 1000):
            self("update", message[at : at + 1000])
        return self.client.command("final")


@pytest.fixture(scope="module", params=BOARDS)
def board(request):
    everything = request.config.getoption("--campaign") > 1 and request.param == "qemu-m4"
    with served(request.param) as client:
        yield Board(client, everything)


@contextmanager
def served(name: str, as_bootloader: bool = False) -> Iterator[Client]:
    profile = load_board(name)
    with (
        power_up(profile, cryptotest(profile, as_bootloader)) as machine,
        Client(open_port(machine.port, profile.console.baud)) as client,
    ):
        machine.go()
        client.boot()
        yield client
        used, there = map(int, client.command("stack").split())
        print(f"{profile.name}: {used} B of stack")
        assert used < there


@pytest.mark.parametrize("bits", [256, 512])
@pytest.mark.parametrize("length", ["Short", "Long"])
def test_sha2(board, bits, length):
    records = cavp(f"hashes/SHA2/SHA{bits}{length}Msg.rsp", "Len", "Msg", "MD")
    for record in board.some(records, 3 if length == "Long" else SAMPLE):
        message = bytes.fromhex(record["Msg"])[: int(record["Len"]) // 8]
        assert board.digest(bits, message) == record["MD"]


def test_hmac(board):
    for group, test in board.some(wycheproof("hmac_sha256_test.json")):
        tag = board("hmac", bytes.fromhex(test["key"]), bytes.fromhex(test["msg"]))
        same = tag[: group["tagSize"] // 4] == test["tag"]
        assert same == (test["result"] == "valid"), test["tcId"]


def test_hkdf(board):
    for _, test in board.some(wycheproof("hkdf_sha256_test.json")):
        operands = (bytes.fromhex(test[k]) for k in ("ikm", "salt", "info"))
        try:
            digest = board(f"hkdf {test['size']}", *operands)
        except RefusedError:
            digest = ""
        valid = digest == hashlib.sha256(bytes.fromhex(test["okm"])).hexdigest()
        assert valid == (test["result"] == "valid"), test["tcId"]


@pytest.mark.parametrize("bits", [128, 256])
@pytest.mark.parametrize("kind", ["GFSbox", "KeySbox", "VarKey", "VarTxt"])
def test_aes(board, bits, kind):
    name = f"ciphers/AES/ECB/ECB{kind}{bits}.rsp"
    for record in board.some(cavp(name, "KEY", "PLAINTEXT", "CIPHERTEXT")):
        key, plain = bytes.fromhex(record["KEY"]), bytes.fromhex(record["PLAINTEXT"])
        assert board("aes", key, plain) == record["CIPHERTEXT"]


def test_ed25519(board):
    check_ed25519(board)


@pytest.mark.parametrize("name", OF_BOOTLOADER)
def test_ed25519_of_the_bootloader(name):
    with served(name, as_bootloader=True) as client:
        check_ed25519(Board(client, everything=name == "qemu-m4"))


def check_ed25519(board):
    for group, test in board.some(wycheproof("ed25519_test.json")):
        key, message, signature = map(
            bytes.fromhex, (group["publicKey"]["pk"], test["msg"], test["sig"])
        )
        if len(signature) != 64:
            continue  # the caller's length check
        verdict = int(board("ed25519", key, message, signature), 16)
        assert verdict == (ED25519_GOOD if test["result"] == "valid" else ED25519_BAD), test["tcId"]


def test_x25519(board):
    for _, test in board.some(wycheproof("x25519_test.json")):
        shared = board("x25519", bytes.fromhex(test["private"]), bytes.fromhex(test["public"]))
        assert shared == test["shared"], test["tcId"]
