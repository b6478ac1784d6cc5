"""A model as a library: what other people's builds make of it computes the reference's bytes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from typer.testing import CliRunner

from support.platformio import PlatformIo
from tinyseal.board import BOARDS_DIR
from tinyseal.build.export import library_files, plan_export
from tinyseal.build.firmware import BUILD, ROOT, WARNINGS
from tinyseal.cli import app
from tinyseal.codegen.library import Kind
from tinyseal.errors import ToolError, UsageError
from tinyseal.graph.load import load_model
from tinyseal.graph.reference import Interpreter
from tinyseal.graph.samples import sample_inputs
from tinyseal.plan.kernels import KernelSet
from tinyseal.profiles import load_board

KWS = ROOT / "models/kws_int8.tflite"
BINARY = ROOT / "models/digits_binary.tflite"
SVDF = ROOT / "tests/corpus/svdf.tflite"
IC = ROOT / "models/ic_int8.tflite"  # within 24 KiB, most of its layers are streamed
OTHERS = [
    BINARY,
    IC,
    *(ROOT / f"tests/corpus/{n}.tflite" for n in ("svdf", "quantize", "dequantize")),
]
M4 = "-mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16"
PLATFORMIO = """
[platformio]
platform = "small"
board = "here"
frameworks = ["arduino", "espidf", "zephyr"]
"""
CALLER = """
#include <tinyseal.h>
int main() { tinyseal_init(); return tinyseal_invoke() + tinyseal_self_test(); }
"""


def export(*words):
    done = CliRunner().invoke(app, ["export", *map(str, words)])
    if isinstance(done.exception, ToolError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def run(*words, cwd=None, data=None):
    done = subprocess.run([*map(str, words)], cwd=cwd, input=data, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def computes_the_reference(program, model):
    """Of all sample inputs: bytes in, bytes out."""
    graph = load_model(model)
    count = 0
    for _, inputs in sample_inputs(graph):
        given = b"".join(np.ascontiguousarray(i).tobytes() for i in inputs)
        expected = b"".join(o.tobytes() for o in Interpreter(graph).invoke(inputs))
        assert run(program, data=given) == expected
        count += 1
    assert count > 0


@pytest.fixture(scope="module")
def cmake(tmp_path_factory):
    """The keyword-spotting model as a CMake package, built and installed for this machine."""
    folder = tmp_path_factory.mktemp("cmake")
    export("cmake", "--model", KWS, folder / "kws")
    run(
        "cmake",
        "-S",
        folder / "kws",
        "-B",
        folder / "build",
        "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror",
    )
    run("cmake", "--build", folder / "build", "-j2")
    run("cmake", "--install", folder / "build", "--prefix", folder / "installed")
    return folder


def test_cmake_package_computes_the_reference(cmake):
    computes_the_reference(cmake / "build/classify", KWS)


def test_installed_cmake_package_is_found_and_linked_also_from_cpp(cmake, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(user C CXX)\n"
        "find_package(tinyseal_kws_int8 0.1 REQUIRED)\nadd_executable(user user.cpp)\n"
        "target_link_libraries(user PRIVATE tinyseal::tinyseal)\n"
    )
    (tmp_path / "user.cpp").write_text(CALLER)
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={cmake / 'installed'}")
    run("cmake", "--build", build)
    run(build / "user")


def test_cmake_package_is_cross_compiled_and_linked_for_cortex_m4(cmake, tmp_path):
    toolchain = tmp_path / "m4.cmake"
    toolchain.write_text(
        "set(CMAKE_SYSTEM_NAME Generic)\nset(CMAKE_SYSTEM_PROCESSOR arm)\n"
        "set(CMAKE_C_COMPILER arm-none-eabi-gcc)\n"
        "set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)\n"
        f'set(CMAKE_C_FLAGS_INIT "{M4}")\n'
        f'set(CMAKE_EXE_LINKER_FLAGS_INIT "{M4} --specs=nosys.specs -Wl,--gc-sections")\n'
    )
    build = tmp_path / "build"
    run("cmake", "-S", cmake / "kws", "-B", build, f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    run("cmake", "--build", build, "-j2")
    symbols = run("arm-none-eabi-nm", build / "classify").decode()
    assert " T tinyseal_invoke" in symbols and " R capsule_table" in symbols
    assert "smlad" in run("arm-none-eabi-objdump", "-d", build / "classify").decode()


@pytest.mark.parametrize("model", OTHERS, ids=lambda p: p.stem)
def test_sources_are_clean_and_compute_the_reference(model, tmp_path):
    told = json.loads(export("cmake", "--model", model, "--ram", "24k", "--json", tmp_path / "lib"))
    assert 0 < sum(told["arena_bytes"]) <= 24 << 10
    sources = [*(tmp_path / "lib/src").rglob("*.c"), tmp_path / "lib/examples/classify/main.c"]
    flags = ("-std=c11", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = tmp_path / "program"
    run("gcc", *flags, *WARNINGS, f"-I{tmp_path / 'lib/src'}", *sources, "-o", program)
    computes_the_reference(program, model)


def test_functions_refuse_what_is_wrong(cmake, tmp_path):
    (tmp_path / "user.c").write_text(
        """
        #include <assert.h>
        #include <string.h>
        #include "tinyseal.h"
        int main(void)
        {
            float in[TINYSEAL_INPUT_0_ELEMENTS] = { 0 }, out[TINYSEAL_OUTPUT_0_ELEMENTS];
            assert(tinyseal_invoke() == TINYSEAL_ESTART);
            tinyseal_init();
            assert(tinyseal_input(1) == 0 && tinyseal_output(1) == 0);
            assert(tinyseal_quantize(1, in, 1) == TINYSEAL_EINDEX);
            assert(tinyseal_quantize(0, in, 1) == TINYSEAL_ECOUNT);
            in[0] = 1e9f;
            in[1] = -1e9f;
            assert(tinyseal_quantize(0, in, TINYSEAL_INPUT_0_ELEMENTS) == 0);
            const signed char *q = tinyseal_input(0);
            assert(q[0] == 127 && q[1] == -128 && q[2] == TINYSEAL_INPUT_0_ZERO_POINT);
            assert(tinyseal_invoke() == 0);
            assert(tinyseal_dequantize(1, out, 1) == TINYSEAL_EINDEX);
            assert(tinyseal_dequantize(0, out, 3) == TINYSEAL_ECOUNT);
            assert(tinyseal_dequantize(0, out, TINYSEAL_OUTPUT_0_ELEMENTS) == 0);
            q = tinyseal_output(0);
            for (unsigned i = 0; i < TINYSEAL_OUTPUT_0_ELEMENTS; i++) {
                assert(out[i] == TINYSEAL_OUTPUT_0_SCALE
                                     * (float)(q[i] - TINYSEAL_OUTPUT_0_ZERO_POINT));
                assert(q[i] <= q[tinyseal_best()]);
            }
            assert(strcmp(tinyseal_label(0), "down") == 0 && *tinyseal_label(12) == 0);
            return 0;
        }
        """
    )
    where = (f"-I{cmake / 'kws/src'}", tmp_path / "user.c")
    library = cmake / "build/libtinyseal_kws_int8.a"
    run("gcc", "-Wall", "-Wextra", "-Werror", *where, library, "-o", tmp_path / "user")
    run(tmp_path / "user")


def test_a_damaged_weight_fails_the_self_test(tmp_path):
    """A test that always said yes would be worth nothing."""
    model = ROOT / "tests/corpus/fully_connected.tflite"
    export("cmake", "--model", model, "--kernels", "reference", tmp_path / "lib")
    capsule = tmp_path / "lib/src/capsule.c"
    weight = re.compile(r"(int8_t layer_0_weights\[[^{]*\{\s*)(-?\d+)")
    text, changes = weight.subn(
        lambda m: m[1] + ("127" if int(m[2]) < 0 else "-127"), capsule.read_text()
    )
    assert changes == 1
    capsule.write_text(text)
    (tmp_path / "user.c").write_text(CALLER)
    sources = [*(tmp_path / "lib/src").rglob("*.c"), tmp_path / "user.c"]
    run("gcc", "-O1", f"-I{tmp_path / 'lib/src'}", *sources, "-o", tmp_path / "user")
    assert subprocess.run([tmp_path / "user"]).returncode == 256 - 5  # TINYSEAL_ETEST


@pytest.fixture(scope="module")
def pio(tmp_path_factory):
    return PlatformIo(tmp_path_factory.mktemp("pio"))


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A profile that says what PlatformIO calls the board."""
    path = tmp_path_factory.mktemp("boards") / "qemu-m4.toml"
    path.write_text((BOARDS_DIR / "qemu-m4.toml").read_text() + PLATFORMIO)
    return path


def test_platformio_takes_project_and_library(pio, board, tmp_path):
    told = json.loads(
        export("platformio", "--model", KWS, "--board", board, tmp_path / "l", "--json")
    )
    assert told["environments"] == ["arduino", "espidf", "zephyr", "plain"]
    project = tmp_path / "l/examples/classify"
    done = pio("project", "config", "--lint", "-d", project)
    assert done.returncode == 0 and "free from linting errors" in done.stdout, done.stdout
    done = pio("pkg", "pack", "-o", tmp_path, tmp_path / "l")
    assert done.returncode == 0, done.stdout
    (packed,) = tmp_path.glob("tinyseal_kws_int8-*.tar.gz")
    with tarfile.open(packed) as archive:
        names = archive.getnames()
    assert {"library.json", "LICENSE", "src/tinyseal.h", "src/capsule.c"} <= set(names)
    done = pio("run", "-d", project, "-e", "plain", "-e", "arduino")
    assert done.returncode == 0, done.stdout
    computes_the_reference(project / ".pio/build/plain/program", KWS)
    said = run(project / ".pio/build/arduino/program").decode()
    assert "self-test" not in said and ", us: " in said


def test_scons_framework_builds_by_platformio(pio):
    words = ("-Q", "board=qemu-m4", f"model={SVDF.relative_to(ROOT)}", "framework=plain")
    done = subprocess.run(
        [sys.executable, "-m", "SCons", *words],
        cwd=ROOT, env=pio.environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    project = ROOT / BUILD / "qemu-m4/svdf-auto/platformio/examples/classify"
    computes_the_reference(project / ".pio/build/plain/program", SVDF)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["framework=plain"], "platform native is not on this machine, and the registry"),
        (["framework=espidf"], "boards/qemu-m4.toml has no [platformio]"),
        (["framework=plain", "kernels=cmsis-nn"], "an export carries no sources of others"),
    ],
)
def test_scons_framework_says_plainly_why_not(tmp_path, words, expected):
    """Without a network: a proxy that is not there."""
    nowhere = {"PLATFORMIO_CORE_DIR": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "SCons", "-Q", *words],
        cwd=ROOT, env={**os.environ, **nowhere}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and expected in done.stderr
    assert done.stderr.count("\n") == 1


def test_espidf_component_names_every_source(tmp_path):
    yaml = pytest.importorskip("yaml")
    export("espidf", "--model", KWS, tmp_path / "kws")
    manifest = yaml.safe_load((tmp_path / "kws/idf_component.yml").read_text())
    assert manifest["version"] and manifest["dependencies"] == {"idf": ">=5.0"}
    listed = (tmp_path / "kws/CMakeLists.txt").read_text().split('"')[1::2]
    on_disk = {str(p.relative_to(tmp_path / "kws")) for p in (tmp_path / "kws/src").rglob("*.c")}
    assert set(listed) == on_disk | {"src"}


def test_arduino_zip_is_a_library_and_the_same_each_time(tmp_path):
    for name in ("a.zip", "b.zip"):
        export("arduino", "--model", KWS, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        text = archive.read("tinyseal_kws_int8/library.properties").decode()
        assert {n.split("/")[0] for n in archive.namelist()} == {"tinyseal_kws_int8"}
    properties = dict(line.split("=", 1) for line in text.splitlines())
    assert properties["name"] == "tinyseal_kws_int8" and properties["includes"] == "tinyseal.h"


def test_only_an_earlier_export_is_written_over(tmp_path):
    export("cmake", "--model", KWS, tmp_path / "lib")
    (tmp_path / "lib/src/stale.c").write_text("#error stale\n")
    export("cmake", "--model", SVDF, tmp_path / "lib")
    assert not (tmp_path / "lib/src/stale.c").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("dear")
    with pytest.raises(UsageError, match="not empty, and not an earlier export"):
        export("cmake", "--model", KWS, tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["cmake", "--model", "none.tflite", "x"], "none.tflite: no such file"),
        (["cmake", "--kernels", "cmsis-nn", "x"], "carries no sources of others; choices: tuned"),
        (["cmake", "--kernels", "fast", "x"], "no kernel set 'fast'"),
        (["cmake", "--board", "nonesuch", "x"], "no board 'nonesuch'"),
        (["arduino", "x"], "x: arduino writes a .zip file"),
        (["cmake", "x.zip"], "x.zip: arduino writes a .zip file"),
        (["cmake", "/proc/x"], "/proc/x: cannot be written"),
    ],
)
def test_wrong_words_are_answered_in_one_line(words, expected):
    with pytest.raises(ToolError) as error:
        export(*words)
    assert expected in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_same_model_gives_the_same_bytes(kind):
    made = plan_export(load_model(SVDF), load_board("qemu-m4"), KernelSet.TUNED)
    files = library_files(made, KernelSet.TUNED, kind)
    assert files == library_files(made, KernelSet.TUNED, kind)
    assert all(str(ROOT).encode() not in data for data in files.values())
