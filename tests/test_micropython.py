"""MicroPython with the module `tinyseal`: the unix port, a Cortex-M3 and an M0 under QEMU."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from support.judge import sample_inputs
from support.micropython import Microbit, Qemu, Unix, literals, modules_folder
from tinyseal.build.firmware import ROOT
from tinyseal.cli import app
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter

CORPUS = ROOT / "tests" / "corpus"
MODELS = [
    ROOT / "models" / "kws_int8.tflite",
    CORPUS / "concatenation.tflite",  # two inputs
    CORPUS / "chain.tflite",  # two outputs
    CORPUS / "svdf.tflite",  # state
]
GRAPHS = {path.stem: load_model(path) for path in MODELS}


def export(out, *options, models=MODELS, board="host"):
    chosen = [word for path in models for word in ("--model", str(path))]
    words = ["export", "micropython", str(out), "--board", board, *chosen, *options]
    return CliRunner().invoke(app, words)


def exported(port):
    """The models with the kernels of the port's core."""
    folder = modules_folder(f"modules-{port.board}")
    result = export(folder, board=port.board)
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def modules():
    return exported(Unix)


@pytest.fixture(scope="module", params=[Unix, Qemu, Microbit], ids=lambda port: port.name)
def python(request):
    return request.param(exported(request.param))


@pytest.mark.parametrize("name", GRAPHS)
def test_bytes_are_the_reference_interpreters(python, name):
    graph = GRAPHS[name]
    rng = np.random.default_rng(5)
    runs = [sample_inputs(graph, rng, run) for run in range(3)]
    reference = Interpreter(graph)
    wanted = [[o.tobytes() for o in reference.invoke(inputs)] for inputs in runs]

    calls = [f"m.predict({literals([i.tobytes() for i in inputs])})" for inputs in runs]
    said = python.run(f"import tinyseal\nm = tinyseal.load({name!r})\nprint([{', '.join(calls)}])")
    got = eval(said)
    assert [o if isinstance(o, list) else [o] for o in got] == wanted


def test_module_says_what_it_holds(python):
    said = python.run(
        "import tinyseal\nm = tinyseal.load()\ni = m.info()\n"
        "print(tinyseal.models(), m.self_test(), i['model_id'] , i['labels'], i['inputs'])"
    )
    graph = GRAPHS["kws_int8"]
    tensor = graph.tensor(graph.inputs[0])
    assert str(list(GRAPHS)) in said
    assert "True" in said
    assert repr(list(graph.labels)) in said
    assert f"'shape': {list(tensor.shape)}" in said
    assert f"'zero_point': {tensor.quant.zero_point}" in said
    assert str(bytes.fromhex(graph.model_id))[2:12] in said


def test_latency_counts_inferences(python):
    said = python.run(
        "import tinyseal, json\nm = tinyseal.load()\n"
        "for i in range(3): m.predict(bytes(490))\nprint(json.dumps(m.latency()))"
    )
    told = json.loads(said)
    assert told["count"] == 3
    assert told["min_us"] <= told["last_us"] <= told["max_us"]
    if python.name == "unix":  # ports/qemu has no clock
        assert told["min_us"] > 0


def test_hooks_pay_and_are_told(python):
    said = python.run(
        "import tinyseal\nm = tinyseal.load()\nleft = [1]\n"
        "def pay(model):\n left[0] -= 1\n return left[0] >= 0\n"
        "m.on_charge(pay)\nm.on_predict(lambda model, out, us: print(model is m, len(out)))\n"
        "m.predict(bytes(490))\n"
        "try: m.predict(bytes(490))\nexcept RuntimeError as e: print(e)\n"
    )
    assert said.splitlines() == ["True 12", "kws_int8: not paid for"]


def test_input_that_a_hook_resizes_is_refused(python):
    said = python.run(
        "import tinyseal\nm = tinyseal.load()\nb = bytearray(490)\n"
        "def pay(model):\n b.extend(bytes(5000))\n return True\nm.on_charge(pay)\n"
        "try: m.predict(b)\nexcept ValueError as e: print(e)\n"
    )
    assert said.strip() == "input has 5490 bytes, the model takes 490"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("m.predict(bytes(489))", "ValueError: input has 489 bytes, the model takes 490"),
        ("m.predict()", "TypeError: 0 inputs given, the model takes 1"),
        ("m.predict(5)", "TypeError: object with buffer protocol required"),
        ("tinyseal.load('nonesuch')", "ValueError: no model nonesuch in this firmware"),
        ("tinyseal.verify(b'', b'', bytes(64))", "ValueError: a public key must have 32 bytes"),
    ],
)
def test_wrong_arguments_are_one_clear_exception(python, code, told):
    said = python.run(f"import tinyseal\nm = tinyseal.load()\n{code}")
    assert told in said


def test_ed25519_of_others_is_verified(python):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, message = key.public_key().public_bytes_raw(), b"a model"
    signature = key.sign(message)
    wrong = bytes([signature[0] ^ 1]) + signature[1:]
    said = python.run(
        f"import tinyseal\nfor s in ({signature!r}, {wrong!r}):\n"
        f" print(tinyseal.verify({public!r}, {message!r}, s))"
    )
    assert said.split() == ["True", "False"]


def test_metered_model_wants_somebody_who_pays(tmp_path, modules):
    assert export(tmp_path, "--metered", models=MODELS[:1]).exit_code == 0
    text = (tmp_path / "tinyseal/src/capsule_kws_int8.c").read_text()
    assert "CAPSULE_METERED" in text
    said = with_model(modules, text, "tinyseal.load().predict(bytes(490))")
    assert "RuntimeError: kws_int8 is metered: give on_charge() a function that pays" in said


def with_model(modules, text, code):
    """What a firmware says that has this in place of the model."""
    source = modules / "tinyseal/src/capsule_kws_int8.c"
    before = source.read_text()
    try:
        source.write_text(text)
        return Unix(modules).run(f"import tinyseal\n{code}")
    finally:
        source.write_text(before)


def test_model_of_another_abi_is_refused(modules):
    text = (modules / "tinyseal/src/capsule_kws_int8.c").read_text()
    assert text.count(".abi = CAPSULE_ABI") == 1
    said = with_model(modules, text.replace(".abi = CAPSULE_ABI", ".abi = 2"), "tinyseal.load()")
    assert "RuntimeError: model is of capsule ABI 2, this module of 3: export both anew" in said


def test_firmware_without_native_code_says_so_of_a_mpy():
    source = (ROOT / "firmware/micropython/tinyseal_ota.py").read_text()
    said = Microbit(exported(Microbit)).run(f"{source}\nprint(mismatch(b'M\\x06\\x13\\x1f'))")
    assert said.strip() == (
        "is native code for armv6m, this firmware loads none: MICROPY_EMIT_* is off"
    )


def test_export_spares_folders_of_others(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    result = export(tmp_path)
    assert result.exit_code != 0
    assert "not an earlier export" in str(result.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_export_is_reproducible(tmp_path):
    for name in ("a", "b"):
        assert export(tmp_path / name, models=MODELS[1:]).exit_code == 0
    files = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
             for n in ("a", "b")]  # fmt: skip
    assert files[0] == files[1]
    assert len(files[0]) > 20
