"""Arm's CMSIS-NN for the build: fetched once, pinned and hash-checked, or a user's own checkout.

The PyPI wheel `bakenn` carries what we need of CMSIS-NN 4.0.0 and of the CMSIS core headers, with
licence and provenance. It is unpacked, never installed: nothing of its own Python runs here.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from tinyseal.errors import BuildError

VERSION: Final = "4.0.0"
_WHEEL: Final = "bakenn==1.0.0"
_WHEEL_SHA256: Final = "b8251e71a8fc39252df0d308fe9a5837bd86f7a31f1596a7dd4a319196f30e56"
_VENDOR: Final = PurePosixPath("bakenn/backend/cmsis_nn/vendor")
_TREE_SHA256: Final = "b7278e7238fae8df174180c2a655f0dc91d7b8564d9a598691cee010a1fc7468"
# The wheel's own stand-in for memcpy and memset; we link a C library.
_NOT_CMSIS: Final = "bakenn_cmsis_memory.c"

_DEFINITION: Final = re.compile(r"^[A-Za-z_][\w *]*?\b(arm_\w+)\s*\(", re.MULTILINE)
_NAME: Final = re.compile(r"\barm_\w+")


@dataclass(frozen=True)
class CmsisNn:
    """CMSIS-NN on disk. Compile `sources` with flags of their own: they are not clean under ours,
    and give `include_dirs` to our code as system headers (-isystem)."""

    version: str
    include_dirs: tuple[Path, ...]
    sources: tuple[Path, ...]

    def sources_of(self, functions: Iterable[str]) -> tuple[Path, ...]:
        """The files that define `functions` and everything those call, sorted.

        Raises BuildError when this CMSIS-NN lacks one of `functions`.
        """
        waiting, found = set(functions), set[Path]()
        for name in sorted(waiting - self._definitions.keys()):
            raise BuildError(f"CMSIS-NN {self.version} has no {name}; try another checkout")
        while waiting:
            source = self._definitions[waiting.pop()]
            if source not in found:
                found.add(source)
                waiting |= set(_NAME.findall(_read(source))) & self._definitions.keys()
        return tuple(sorted(found))

    @cached_property
    def _definitions(self) -> dict[str, Path]:
        return {name: s for s in self.sources for name in _DEFINITION.findall(_read(s))}


def cmsis_nn(cache: Path, checkout: Path | None = None) -> CmsisNn:
    """CMSIS-NN in `cache`, fetched if it is not there yet; or the library at `checkout`.

    A checkout without the CMSIS core headers gets those of the wheel. Raises BuildError when
    there is no network and nothing in the cache, or when what is there is not what was pinned.
    """
    if checkout is None:
        vendor = _fetch(cache)
        nn, core, version = vendor / "cmsis_nn", vendor / "cmsis_core" / "Include", VERSION
    else:
        nn = _library(checkout)
        core = _core_headers(checkout) or _fetch(cache) / "cmsis_core" / "Include"
        version = _checkout_version(nn)
    sources = sorted(s for s in (nn / "Source").rglob("*.c") if s.name != _NOT_CMSIS)
    return CmsisNn(version, (nn / "Include", core), tuple(sources))


def _fetch(cache: Path) -> Path:
    folder = cache / f"cmsis-nn-{VERSION}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            wheel = _download(Path(scratch))
            unpacked = Path(scratch) / "vendor"
            _unpack(wheel, unpacked)
            try:
                unpacked.rename(folder)  # whole or not at all
            except OSError:
                if not folder.exists():  # else another build was faster: judged below
                    raise
    if _tree_sha256(folder) != _TREE_SHA256:
        raise BuildError(
            f"{folder}: not the CMSIS-NN {VERSION} that was unpacked there; delete the folder to "
            "fetch it again, or give your own with cmsis_nn=PATH"
        )
    return folder


def _download(folder: Path) -> Path:
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{_WHEEL} --hash=sha256:{_WHEEL_SHA256}\n")
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--only-binary=:all:", "--require-hashes", "--retries=1", "--timeout=20",
         f"--dest={folder}", f"--requirement={pinned}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR:")]
        why = lines[-1].removeprefix("ERROR:").strip() if lines else f"pip: {result.returncode}"
        raise BuildError(
            f"CMSIS-NN: cannot fetch {_WHEEL} from PyPI ({why}); connect once, give your own "
            "checkout with cmsis_nn=PATH, or build with kernels=reference"
        )
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            if path.is_relative_to(_VENDOR) and path.parent != _VENDOR:
                target = folder / path.relative_to(_VENDOR)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(name))


def _tree_sha256(folder: Path) -> str:
    """One digest over every file's path and content: a file more, less or other changes it."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def _library(checkout: Path) -> Path:
    for nn in (checkout, checkout / "CMSIS" / "NN", checkout / "CMSIS-NN"):
        if (nn / "Include" / "arm_nnfunctions.h").is_file() and (nn / "Source").is_dir():
            return nn
    raise BuildError(
        f"cmsis_nn={checkout}: no Include{os.sep}arm_nnfunctions.h with a Source folder beside it; "
        "give the top folder of a CMSIS-NN checkout, or leave the option out"
    )


def _core_headers(checkout: Path) -> Path | None:
    """Where a CMSIS 5 or 6 tree, around or beside the library, keeps its core headers."""
    for root in (checkout, checkout / "CMSIS", checkout.parent / "CMSIS", checkout.parent):
        include = root / "Core" / "Include"
        if (include / "cmsis_compiler.h").is_file():
            return include
    return None


def _checkout_version(nn: Path) -> str:
    for pack in nn.glob("*.pdsc"):  # newest release first
        release = re.search(r'<release version="([^"]+)"', _read(pack))
        if release:
            return release.group(1)
    return "of unknown version"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
