"""Objects that builds in different folders share: tests in several processes, each with its own.

SCons has a cache of what it made, but by the path it was made for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from SCons.CacheDir import CacheDir

from tinyseal.build.firmware import BUILD


class Objects(CacheDir):  # type: ignore[misc]
    """Named after what goes into an object: sources, headers, compiler, command; the folder of the
    build does not."""

    def cachepath(self, node: Any) -> tuple[str | None, str | None]:
        if not self.is_enabled():
            return None, None
        command = node.get_executor().get_contents().replace(f"{BUILD}/".encode(), b"")
        digest = hashlib.sha256(command)
        for child in node.children():
            digest.update(child.get_cachedir_csig().encode())
        folder = Path(self.path) / digest.hexdigest()[:2]
        return str(folder), str(folder / digest.hexdigest())
