"""scons rebuilds what changed and nothing else, and says in one line what is wrong."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tinyseal.build.firmware import link
from tinyseal.build.native import compile_native
from tinyseal.errors import BuildError
from tinyseal.profiles import load_board

PROJECT = Path(__file__).resolve().parents[1]
FOLDERS = ("boards", "codegen_templates", "firmware", "host", "keys")
MODEL = "models/ad_int8.tflite"  # the quickest to plan
FIRMWARE = (f"model={MODEL}", "kernels=reference")  # so that kernels of ours are in it


class Project:
    """A copy of the project that a test may change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in FOLDERS:
            shutil.copytree(PROJECT / name, folder / name)
        shutil.copy(PROJECT / "SConstruct", folder)
        (folder / "models").mkdir()
        shutil.copy(PROJECT / MODEL, folder / MODEL)
        # What was fetched once serves here, too.
        (PROJECT / "build" / "third_party").mkdir(parents=True, exist_ok=True)
        (folder / "build").mkdir()
        (folder / "build" / "third_party").symlink_to(PROJECT / "build" / "third_party")

    def scons(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if name != "TINYSEAL_OBJECTS"}
        return subprocess.run(
            [sys.executable, "-m", "SCons", *arguments],
            cwd=self.folder, env=own | {"TINYSEAL_BUILD": "build"} | env,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def build(self, *arguments: str, **env: str) -> list[tuple[str, str]]:
        """What a successful build did: (step, first file) in any order."""
        result = self.scons(*FIRMWARE, *arguments, **env)
        assert result.returncode == 0, result.stdout + result.stderr
        words = [line.split() for line in result.stdout.splitlines() if line.startswith("  ")]
        return sorted((w[0], Path(w[1]).name) for w in words if w[0] in STEPS)

    def append(self, name: str, text: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(text)


# Where what is compiled is not what a test asks for.
OBJECTS = {"TINYSEAL_OBJECTS": str(PROJECT / "build" / "objects")}
STEPS = ("cc", "as", "gen", "link", "copy", "sign", "merge")
CAPSULES = [
    (step, f"capsule_{slot}.{kind}")
    for slot in "ab"
    for step, kind in (("link", "elf"), ("copy", "bin"), ("sign", "signed.bin"))
]
IMAGES = [*CAPSULES, ("merge", "firmware.hex")]


def test_builds_in_other_folders_share_objects_and_give_the_same_bytes(tmp_path):
    project, made = Project(tmp_path / "project"), []
    for number, word in enumerate(("cc", "Retrieved", "cc")):
        if number == 2:
            project.append("firmware/hal/uart_ring.h", "\n#define OTHER 1\n")
        own = {"TINYSEAL_BUILD": f"build/{number}", "TINYSEAL_OBJECTS": str(tmp_path / "objects")}
        result = project.scons(*FIRMWARE, **own)
        assert result.returncode == 0, result.stderr
        lines = [line.split() for line in result.stdout.splitlines() if "uart_ring.c.o" in line]
        assert [line[0] for line in lines] == [word]
        made.append((project.folder / f"build/{number}/qemu-m4/bootloader.bin").read_bytes())
    assert made[0] == made[1] == made[2]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("fresh"))
    project.steps = project.build()
    return project


@pytest.fixture
def project(fresh):
    """The project, built."""
    fresh.build()
    return fresh


def outputs(project):
    folder = project.folder / "build" / "qemu-m4" / "ad_int8-reference"
    return {p.name: p for p in folder.iterdir() if p.is_file()}


def test_first_build_makes_every_image_and_the_size_report(fresh):
    assert set(IMAGES) <= set(fresh.steps)
    files = outputs(fresh)
    for name in ("capsule_a.elf", "capsule_b.signed.bin", "app_a.signed.bin", "firmware.hex"):
        assert files[name].stat().st_size > 1000
    report = json.loads(files["size.json"].read_text())
    assert report["last"] is None
    for memory in report["memories"]:
        parts = [p["bytes"] for p in report["parts"] if p["memory"] == memory["name"]]
        assert sum(parts) == memory["used"]
    layers = {p["name"] for p in report["parts"] if p["name"].startswith("layer ")}
    assert len(layers) == 10


def test_nothing_changed_nothing_done(project):
    before = {name: p.stat().st_mtime_ns for name, p in outputs(project).items()}
    assert project.build() == []
    assert {name: p.stat().st_mtime_ns for name, p in outputs(project).items()} == before


def test_a_new_date_is_no_change(project):
    os.utime(project.folder / "firmware/runtime/kernels/nn_fc.c")
    assert project.build() == []


def test_a_changed_kernel_is_compiled_and_linked(project):
    kernel = project.folder / "firmware/runtime/kernels/nn_fc.c"
    text = kernel.read_text()
    kernel.write_text(text.replace(")\n{\n", ')\n{\n    __asm__ volatile(".space 64");\n'))
    assert kernel.read_text() != text
    assert project.build() == sorted([("cc", "nn_fc.c.o"), *IMAGES])
    report = json.loads(outputs(project)["size.json"].read_text())
    assert report["last"]["memories"] != report["memories"]
    shown = project.scons(*FIRMWARE, "size").stdout
    assert "kernel nn_fc" in shown
    assert "+/-" in shown


def test_a_changed_header_compiles_its_users(project):
    project.append("firmware/runtime/kernels/nn_fc.h", "\n/* changed */\n")
    compiled = {name for step, name in project.build() if step == "cc"}
    assert compiled == {"nn_fc.c.o", "capsule.c.o"}


def test_a_changed_board_is_generated_anew(project):
    profile = project.folder / "boards/qemu-m4.toml"
    text = profile.read_text()
    profile.write_text(text.replace("stack_bytes = 0x2000", "stack_bytes = 0x3000"))
    assert profile.read_text() != text
    steps = project.build()
    assert ("gen", "board_config.h") in steps
    assert {("link", "app_a.elf"), ("merge", "firmware.hex")} <= set(steps)


def test_a_changed_template_is_generated_anew(project):
    project.append("codegen_templates/capsule.c.j2", "/* changed */\n")
    assert ("gen", "capsule.c") in project.build()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["board=qemu-m5"], ["qemu-m5", "qemu-m55", "qemu-rv32"]),
        (["model=models/nonesuch.tflite"], ["nonesuch", MODEL]),
        (["kernels=fastest"], ["fastest", "auto", "reference", "cmsis-nn", "tuned"]),
        (["bord=qemu-m4"], ["bord", "board", "model", "kernels"]),
        (["cmsis_nn=nowhere", f"model={MODEL}"], ["nowhere", "checkout"]),
        (["flsh"], ["flsh", "run", "size", "clean"]),
    ],
)
def test_a_wrong_word_is_one_line_with_the_choices(fresh, arguments, words):
    result = fresh.scons(*arguments)
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if "error" in line]
    assert len(errors) == 1
    assert not [word for word in words if word not in errors[0]]
    assert "Traceback" not in result.stdout + result.stderr


def test_a_missing_toolchain_names_its_package(fresh, tmp_path):
    result = fresh.scons("board=qemu-rv32", f"model={MODEL}", PATH=str(tmp_path))
    assert result.returncode != 0
    assert "riscv64-unknown-elf-gcc is missing" in result.stderr
    assert "apt-get install gcc-riscv64-unknown-elf" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_broken_model_is_one_line(fresh):
    (fresh.folder / "models" / "half.tflite").write_bytes((PROJECT / MODEL).read_bytes()[:5000])
    result = fresh.scons("model=models/half.tflite")
    assert result.returncode != 0
    assert "half" in result.stderr
    assert "Traceback" not in result.stdout + result.stderr


def test_a_model_too_large_for_the_flash_says_by_how_much(fresh):
    result = fresh.scons("board=qemu-m0", f"model={MODEL}", **OBJECTS)
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if "error" in line.lower()]
    assert (
        "qemu-m0: the capsule has " in errors[0] and " B too many; try a smaller model" in errors[0]
    )
    assert "overflowed" not in result.stderr


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        (
            "bootloader",
            "the bootloader has 28,772 B, bootloader has room for 28,672: 100 B too many",
        ),
        ("app_b", "the application has 35,108 B, app_b has room for 35,008: 100 B too many"),
        ("capsule_a", "the capsule has 69,924 B, capsule_a has room for 69,824: 100 B too many"),
        ("ram", "ram is 100 B too small"),
    ],
)
def test_what_is_too_large_for_its_place_is_told_with_the_numbers(region, expected):
    says = f'echo "region \\`{region}\' overflowed by 100 bytes" >&2; exit 1'
    with pytest.raises(BuildError, match=f"^qemu-m0: {expected}"):
        link(["sh", "-c", says], load_board("qemu-m0"))


def test_a_second_board_leaves_the_first_alone(project):
    assert project.build("board=qemu-m3", **OBJECTS)
    assert project.build() == []


def test_threads_that_compile_the_same_at_once_do_not_meet(tmp_path):
    source = tmp_path / "one.c"
    source.write_text("int main(void) { return 0; }\n")
    with ThreadPoolExecutor(4) as pool:
        made = [pool.submit(compile_native, "one", [source], [], cache=tmp_path) for _ in range(8)]
    (program,) = {m.result() for m in made}
    assert subprocess.run([program], check=False).returncode == 0
    assert list(program.parent.iterdir()) == [program]
