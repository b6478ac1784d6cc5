"""C sources of others for the build: fetched once, pinned and hash-checked; never pasted.

PyPI carries what firmware needs: the wheel `bakenn` has CMSIS-NN 4.0.0 and the CMSIS core headers,
with licence and provenance, and the sdist `pymonocypher` has Monocypher. They are unpacked, never
installed: nothing of their own Python runs in a firmware build. CMSIS-NN may also be a user's own
checkout. npm carries an emulator, rp2040js, which is fetched when a board that it runs is started.
Debian's archive has Mbed TLS, of which p256-m is taken, and MicroPython.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from tinyseal.errors import BuildError


@dataclass(frozen=True)
class _Package:
    """A pinned file on PyPI, npm or in Debian's archive, and the part of it that is unpacked."""

    title: str
    folder: str  # in the cache
    requirement: str  # in Debian's archive, its path
    sha256: str  # of the file
    tree_sha256: str  # of what is unpacked, see _tree_sha256
    root: PurePosixPath  # the folder inside that is unpacked
    names: tuple[str, ...]  # the files directly in root to take; none: the folders in root, whole
    way_out: str  # what to do where that is out of reach
    of: Literal["PyPI", "npm", "Debian"] = "PyPI"


_CMSIS_NN: Final = _Package(
    title="CMSIS-NN",
    folder="cmsis-nn-4.0.0",
    requirement="bakenn==1.0.0",
    sha256="b8251e71a8fc39252df0d308fe9a5837bd86f7a31f1596a7dd4a319196f30e56",
    tree_sha256="b7278e7238fae8df174180c2a655f0dc91d7b8564d9a598691cee010a1fc7468",
    root=PurePosixPath("bakenn/backend/cmsis_nn/vendor"),
    names=(),
    way_out="connect once, give your own checkout with cmsis_nn=PATH, or build with "
    "kernels=reference",
)
# 4.0.3 or newer: earlier 4.0 leak the time of signing.
_MONOCYPHER: Final = _Package(
    title="Monocypher",
    folder="monocypher-4.0.3",
    requirement="pymonocypher==4.0.3.4",
    sha256="5e56e3d3eb770a53e0b9f6274146663c11a11f3d0de5cd48e3be0428d1b07a4a",
    tree_sha256="dbe5eb9d075389426b7a6097f376f5997be9b1928e46df393fb341f62e988efa",
    root=PurePosixPath("pymonocypher-4.0.3.4"),
    names=("monocypher.c", "monocypher.h", "LICENSE.txt"),
    way_out="connect once",
)
_RP2040JS: Final = _Package(
    title="rp2040js",
    folder="rp2040js-1.4.1",
    requirement="rp2040js@1.4.1",
    sha256="83328017cf7e503477e8d218cb742d3e843782d795edd175a0b81346c194e56f",
    tree_sha256="4085db6bcab4451b40e24a0ab7a8bbe689680a9eea68157d29a53a89e8a20b3f",
    root=PurePosixPath("package/dist"),
    names=(),
    way_out="connect once",
    of="npm",
)
_P256_M: Final = _Package(
    title="p256-m",
    folder="p256-m-3.6.6",
    requirement="pool/main/m/mbedtls/mbedtls_3.6.6.orig.tar.bz2",
    sha256="8fb65fae8dcae5840f793c0a334860a411f884cc537ea290ce1c52bb64ca007a",
    tree_sha256="8aabeff270e1ff8c5b412810a9dc468b4daee00a99a2070fafaa3f2b44ccfff3",
    root=PurePosixPath("mbedtls-3.6.6/3rdparty/p256-m/p256-m"),
    names=("p256-m.c", "p256-m.h"),
    way_out="connect once, put p256-m.c and p256-m.h of Mbed TLS 3.6.6 into "
    'build/third_party/p256-m-3.6.6 yourself, or sign with Ed25519 ([boot] signature = "ed25519")',
    of="Debian",
)

VERSION: Final = "4.0.0"
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
        vendor = _fetch(_CMSIS_NN, cache)
        nn, core, version = vendor / "cmsis_nn", vendor / "cmsis_core" / "Include", VERSION
    else:
        nn = _library(checkout)
        core = _core_headers(checkout) or _fetch(_CMSIS_NN, cache) / "cmsis_core" / "Include"
        version = _checkout_version(nn)
    sources = sorted(s for s in (nn / "Source").rglob("*.c") if s.name != _NOT_CMSIS)
    return CmsisNn(version, (nn / "Include", core), tuple(sources))


# What firmware/bootloader/monocypher_small.c has in fewer bytes.
_SHORTER_FUNCTIONS: Final = (
    "fe_ccopy", "fe_frombytes_mask", "fe_tobytes", "fe_mul_small", "fe_mul", "fe_sq", "invsqrt",
)  # fmt: skip


@dataclass(frozen=True)
class Monocypher:
    """Monocypher on disk; compile with flags of its own, include as system headers."""

    include_dir: Path
    source: Path
    frame_dir: Path  # of monocypher_frame.c: the source without what the bootloader has shorter


def monocypher(cache: Path) -> Monocypher:
    """Monocypher in `cache`, fetched if it is not there yet; BuildError as cmsis_nn."""
    folder = _fetch(_MONOCYPHER, cache)
    source = folder / "monocypher.c"
    frame = cache / f"{folder.name}-frame" / "monocypher_frame.c"
    text = _without_bodies(source, _SHORTER_FUNCTIONS)
    if not frame.exists() or _read(frame) != text:
        frame.parent.mkdir(exist_ok=True)
        scratch = frame.with_name(f"{frame.name}.{os.getpid()}")
        scratch.write_text(text)
        scratch.rename(frame)
    return Monocypher(folder, source, frame.parent)


def p256_m(cache: Path) -> Path:
    """The folder of p256-m.c and p256-m.h in `cache`, fetched if it is not there yet; BuildError as
    cmsis_nn."""
    return _fetch(_P256_M, cache)


def rp2040js(cache: Path) -> Path:
    """The script to import of rp2040js in `cache`, fetched if it is not there yet; BuildError as
    cmsis_nn."""
    return _fetch(_RP2040JS, cache) / "cjs" / "index.js"


def _without_bodies(source: Path, functions: Iterable[str]) -> str:
    """The text of `source` with a prototype in place of each of its static `functions`."""
    text = _read(source)
    for name in functions:
        head = rf"^(static (?:void|int) {name}\([^)]*\))"
        text, count = re.subn(rf"{head}\n\{{\n.*?^\}}\n", r"\1;\n", text, flags=re.M | re.S)
        if count != 1:
            raise BuildError(f"{source}: has {count} functions {name}, expected one")
    return text


MICROPYTHON_VERSION: Final = "1.26.1"
_MICROPYTHON_FILE: Final = f"micropython_{MICROPYTHON_VERSION}+ds.orig.tar.xz"
_MICROPYTHON_SHA256: Final = "f5ad2ec89d3e921f753d448955af98b6005655f84ba26087dde6ba0e8d062f34"
_APT_HELPER: Final = "/usr/lib/apt/apt-helper"


def micropython(cache: Path, checkout: Path | None = None) -> Path:
    """MicroPython's source in `cache`, fetched if it is not there yet; or that at `checkout`.

    Debian's newer suites have it. apt takes it from wherever it takes packages from on this
    machine, and checks the hash. BuildError says the way out.
    """
    if checkout is not None:
        if not (checkout / "tools" / "mpy_ld.py").is_file():
            raise BuildError(
                f"{checkout}: no tools/mpy_ld.py; give the top of a MicroPython source"
            )
        return checkout.resolve()
    folder = cache / f"micropython-{MICROPYTHON_VERSION}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        archive = Path(scratch) / _MICROPYTHON_FILE
        way_out = "give your own source of it with --micropython DIR"
        path = f"pool/main/m/micropython/{_MICROPYTHON_FILE}"
        _download_from_debian(path, _MICROPYTHON_SHA256, archive, way_out)
        with tarfile.open(archive) as sources:
            sources.extractall(scratch)  # pinned by its hash
        try:
            (Path(scratch) / folder.name).rename(folder)  # whole or not at all
        except OSError:
            if not folder.exists():  # else another build was faster
                raise
    return folder


def _download_from_debian(path: str, sha256: str, target: Path, way_out: str) -> None:
    """A file of Debian's archive, from wherever apt takes packages from on this machine, its hash
    checked; BuildError."""
    if shutil.which("apt-get") is None or not Path(_APT_HELPER).exists():
        raise BuildError(f"{target.name}: no apt here to fetch it with; {way_out}")
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Component: main"],
        capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    archives = list(dict.fromkeys(uri for uri in listed if "security" not in uri))
    why = "apt knows no Debian archive; apt-get update"
    for uri in archives:
        result = subprocess.run(
            [_APT_HELPER, "download-file", f"{uri.rstrip('/')}/{path}", str(target),
             f"SHA256:{sha256}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if result.returncode == 0:
            if hashlib.sha256(target.read_bytes()).hexdigest() != sha256:
                raise BuildError(f"{target.name}: not the file that is pinned")
            return
        lines = [line for line in result.stderr.splitlines() if line.startswith("E:")]
        why = lines[0].removeprefix("E:").strip() if lines else f"apt: {result.returncode}"
    raise BuildError(f"{target.name}: cannot be fetched ({why}); {way_out}")


def _fetch(package: _Package, cache: Path) -> Path:
    folder = cache / package.folder
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            unpacked = Path(scratch) / "unpacked"
            for path, content in _members(package, _download(package, Path(scratch))):
                target = unpacked / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            try:
                unpacked.rename(folder)  # whole or not at all
            except OSError:
                if not folder.exists():  # else another build was faster: judged below
                    raise
    if _tree_sha256(folder) != package.tree_sha256:
        raise BuildError(
            f"{folder}: not the {package.title} that was unpacked there; delete the folder to "
            f"fetch it again, or {package.way_out}"
        )
    return folder


def _download(package: _Package, folder: Path) -> Path:
    return {"PyPI": _from_pypi, "npm": _from_npm, "Debian": _from_debian}[package.of](
        package, folder
    )


def _from_debian(package: _Package, folder: Path) -> Path:
    archive = folder / PurePosixPath(package.requirement).name
    _download_from_debian(package.requirement, package.sha256, archive, package.way_out)
    return archive


def _from_npm(package: _Package, folder: Path) -> Path:
    try:
        result = subprocess.run(
            ["npm", "pack", "--silent", f"--pack-destination={folder}", package.requirement],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError as e:
        raise BuildError(f"{package.title}: npm is missing; apt-get install npm") from e
    files = [*folder.glob("*.tgz")]
    if result.returncode or not files:
        raise BuildError(
            f"{package.title}: cannot fetch {package.requirement} from npm "
            f"(npm: {result.returncode}); {package.way_out}"
        )
    found = hashlib.sha256(files[0].read_bytes()).hexdigest()
    if found != package.sha256:
        raise BuildError(
            f"{package.title}: npm's {package.requirement} has SHA-256 {found}, expected "
            f"{package.sha256}"
        )
    return files[0]


def _from_pypi(package: _Package, folder: Path) -> Path:
    pinned = folder / "requirements.txt"
    pinned.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    # With --no-deps --require-hashes pip takes the one file that has the hash, or none.
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--require-hashes", "--retries=1", "--timeout=20",
         f"--dest={folder}", f"--requirement={pinned}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    files = [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]
    if result.returncode or not files:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR:")]
        why = lines[-1].removeprefix("ERROR:").strip() if lines else f"pip: {result.returncode}"
        raise BuildError(
            f"{package.title}: cannot fetch {package.requirement} from PyPI ({why}); "
            f"{package.way_out}"
        )
    return files[0]


def _members(package: _Package, archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The files to unpack, by their path under the package's root."""
    for name, content in _contents(archive):
        path = PurePosixPath(name)
        if path.is_relative_to(package.root):
            path = path.relative_to(package.root)
            if str(path) in package.names if package.names else len(path.parts) > 1:
                yield path, content


def _contents(archive: Path) -> Iterator[tuple[str, bytes]]:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist())
    else:
        with tarfile.open(archive) as sdist:
            for member in sdist:
                stream = sdist.extractfile(member)
                if stream is not None:
                    yield member.name, stream.read()


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
