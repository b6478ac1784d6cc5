"""PlatformIO without its registry: the tools it would download, put where it looks for them.

`tool-scons` is SCons from PyPI, which is what that package holds; the platforms are some lines
of our own, which compile with this machine's compilers. Everything else is PlatformIO itself:
projects, libraries, their dependencies, the build.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from platformio.dependencies import get_core_dependencies

PLATFORM_PY = """
from platformio.public import PlatformBase


class {title}Platform(PlatformBase):
    pass
"""
MAIN_PY = """
from SCons.Script import AlwaysBuild, Default, DefaultEnvironment

env = DefaultEnvironment()
env.Replace(_BINPREFIX="", AR="gcc-ar", CC="gcc", CXX="g++", RANLIB="gcc-ranlib",
            PROGSUFFIX="", ARFLAGS=["rc"], LIBS=["m"])
env.Tool("gcc")
env.Tool("g++")
env.Tool("gnulink")
env.Tool("ar")
env.Append(CCFLAGS=["-Wall", "-Wextra", "-Werror"])
Default([env.BuildProgram()])
"""
ARDUINO_PY = """
from os.path import join

from SCons.Script import DefaultEnvironment

env = DefaultEnvironment()
core = join(env.PioPlatform().get_dir(), "cores", "small")
env.Append(CPPPATH=[core])
env.Prepend(LIBS=[env.BuildLibrary(join("$BUILD_DIR", "core"), core)])
"""
# As much of Arduino's core as a sketch needs that prints once a second; it ends after one round.
ARDUINO_H = """
#pragma once
#include <chrono>
#include <cstdio>

struct Port {
    void begin(long) {}
    void print(const char *text) { std::fputs(text, stdout); }
    void print(unsigned long number) { std::printf("%lu", number); }
    void println(const char *text) { std::puts(text); }
    void println(unsigned long number) { std::printf("%lu\\n", number); }
};
extern Port Serial;
unsigned long micros();
inline void delay(unsigned long) {}
void setup();
void loop();
"""
ARDUINO_CPP = """
#include "Arduino.h"
Port Serial;
unsigned long micros()
{
    using namespace std::chrono;
    return duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count();
}
int main()
{
    setup();
    loop();
}
"""


class PlatformIo:
    """A home of PlatformIO in `folder`, with SCons and the platforms `native` and `small`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scons = folder / "packages" / "tool-scons"
        version = get_core_dependencies()["tool-scons"].removeprefix("~")
        self._write(
            scons,
            {
                "package.json": json.dumps({"name": "tool-scons", "version": version}),
                ".piopm": json.dumps(
                    {
                        "type": "tool",
                        "name": "tool-scons",
                        "version": version,
                        "spec": {"owner": "platformio", "name": "tool-scons"},
                    }
                ),
                "scons.py": "import SCons.Script\nSCons.Script.main()\n",
                ".piokeep": "",
            },
        )
        for name in ("native", "small"):
            self._write(
                folder / "platforms" / name,
                {
                    "platform.json": json.dumps(
                        {
                            "name": name,
                            "version": "1.0.0",
                            "title": name,
                            "description": "this machine",
                            "frameworks": {"arduino": {"script": "builder/arduino.py"}},
                            "packages": {},
                        }
                    ),
                    "platform.py": PLATFORM_PY.format(title=name.capitalize()),
                    "builder/main.py": MAIN_PY,
                    "builder/arduino.py": ARDUINO_PY,
                    "cores/small/Arduino.h": ARDUINO_H,
                    "cores/small/Arduino.cpp": ARDUINO_CPP,
                    "boards/here.json": json.dumps(
                        {
                            "name": "here",
                            "vendor": "nobody",
                            "url": "",
                            "frameworks": ["arduino"],
                            "build": {"mcu": "here", "f_cpu": "1000000L"},
                            "upload": {"maximum_ram_size": 1 << 20, "maximum_size": 1 << 20},
                        }
                    ),
                },
            )

    @staticmethod
    def _write(folder: Path, files: dict[str, str]) -> None:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PLATFORMIO_CORE_DIR": str(self.folder),
            "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
            "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
            "PLATFORMIO_NO_ANSI": "1",
        }

    def __call__(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Runs pio; both streams are in `stdout`."""
        return subprocess.run(
            [sys.executable, "-m", "platformio", *map(str, words)],
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
        )
