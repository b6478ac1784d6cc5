"""The size report accounts for every byte of a linked firmware."""

import io
import subprocess

import pytest
from elftools.elf.elffile import ELFFile
from rich.console import Console

from tinyseal.board import Memory
from tinyseal.build.size import Sizes, measure, report
from tinyseal.errors import BuildError

FLASH = Memory(name="flash", kind="flash", base=0, bytes=0x10000)
RAM = Memory(name="ram", kind="ram", base=0x20000000, bytes=0x4000)

CAPSULE = """
static const signed char layer_0_weights[300] = { 1, 2, 3 };
static const int layer_0_bias[10] = { 4 };
static __attribute__((noinline)) int layer_0(int i)
{
    return layer_0_weights[i] * layer_0_bias[i & 7];
}
extern int nn_twice(int);
int invoke(int i) { return nn_twice(layer_0(i)); }
"""
# "board" and "hello, board" become one string, in a place both files name.
KERNEL = """
const char *volatile nn_text = "board";
int nn_twice(int i) { return 2 * i + *nn_text; }
"""
APP = """
extern int invoke(int);
static unsigned char arena[1000];
static int boots = 7;
const char *volatile greeting = "hello, board";
int reset(void)
{
    boots++;
    arena[boots] = (unsigned char)invoke(boots);
    return arena[0] + *greeting;
}
"""
LINKER_SCRIPT = """
ENTRY(reset)
SECTIONS {
    .text 0 : { *(.text*) *(.rodata*) }
    .data 0x20000000 : AT(LOADADDR(.text) + SIZEOF(.text)) { *(.data*) }
    .bss (NOLOAD) : { *(.bss*) }
    .stack (NOLOAD) : ALIGN(8) { . += 0x800; }
}
"""


def link(folder, app=APP):
    """An ELF with debug information, as the build makes it, and its map."""
    sources = {
        "capsule.c": CAPSULE,
        "firmware/runtime/kernels/nn_twice.c": KERNEL,
        "firmware/app/main.c": app,
    }
    objects = []
    for name, text in sources.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        objects.append(name.replace(".c", ".o"))
        run(folder, "-g", "-O1", "-ffunction-sections", "-fdata-sections", "-c", name,
            "-o", objects[-1])  # fmt: skip
    (folder / "t.ld").write_text(LINKER_SCRIPT)
    run(folder, "-nostdlib", "-Wl,-Map=t.map", "-Wl,--no-warn-rwx-segments", "-T", "t.ld",
        *objects, "-o", "t.elf")  # fmt: skip
    return (folder / "t.elf").read_bytes(), (folder / "t.map").read_text()


def run(folder, *arguments):
    subprocess.run(
        ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", *arguments], cwd=folder, check=True
    )


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    return link(tmp_path_factory.mktemp("size"))


def sizes_of(linked, memories=(FLASH, RAM)):
    elf, link_map = linked
    return measure(io.BytesIO(elf), link_map, memories, ["conv_2d_0"])


def test_totals_are_those_of_the_sections(linked):
    sizes = sizes_of(linked)
    sections = {s.name: s["sh_size"] for s in ELFFile(io.BytesIO(linked[0])).iter_sections()}
    flash, ram = sizes.memories
    assert flash.used == sections[".text"] + sections[".data"]
    assert ram.used == sections[".data"] + sections[".bss"] + sections[".stack"]
    assert flash.free == 0x10000 - flash.used
    for memory in sizes.memories:
        parts = [p for p in sizes.parts if p.memory == memory.name]
        assert sum(p.bytes for p in parts) == memory.used
        assert all(p.bytes > 0 for p in parts)


def test_bytes_belong_to_layers_kernels_and_rooms(linked):
    sizes = sizes_of(linked)
    assert sizes.named("layer 0 conv_2d_0", {"flash"}, "weights") == 300
    assert sizes.named("layer 0 conv_2d_0", {"flash"}, "constants") == 40
    assert sizes.named("layer 0 conv_2d_0", {"flash"}, "code") > 0
    assert sizes.named("kernel nn_twice", {"flash"}, "code") > 0
    assert sizes.named("arena", {"ram"}) == 1000
    assert sizes.named("stack", {"ram"}) == 0x800
    assert sizes.named("firmware main", {"ram"}) == 8  # boots, greeting
    # the same eight bytes as stored, and the text they point to
    assert sizes.named("firmware main", {"flash"}, "constants") == 8 + len("hello, board\0")


def test_json_round_trip(linked):
    sizes = sizes_of(linked)
    assert Sizes.from_json(sizes.to_json()) == sizes


def test_report_shows_the_change(linked, tmp_path):
    before = sizes_of(linked)
    after = sizes_of(link(tmp_path, APP.replace("arena[1000]", "arena[1200]")))
    text = io.StringIO()
    Console(file=text, width=120).print(report(after, before))
    lines = {line.split()[0]: line.split() for line in text.getvalue().splitlines() if line}
    assert lines["arena"][-2:] == ["1,200", "+200"]
    assert lines["ram"][2] == "+200"
    assert "+" not in "".join(lines["stack"])


def test_section_outside_every_memory_is_refused(linked):
    with pytest.raises(BuildError, match=r"\.data at 0x20000000 lies in no memory"):
        sizes_of(linked, [FLASH])


def test_half_an_elf_is_refused(linked):
    with pytest.raises(BuildError, match="not a whole ELF"):
        sizes_of((linked[0][:40], linked[1]))
