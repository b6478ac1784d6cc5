"""Databases to test with: SQLite, and a PostgreSQL server of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

PROGRAMS = [*Path("/usr/lib/postgresql").glob("*/bin")]


def programs() -> Path | None:
    """Where PostgreSQL's are; Debian keeps them off the path."""
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else max(PROGRAMS, default=None)


@contextmanager
def server() -> Iterator[str]:
    """A URL to which a database's name is added. It listens at a socket in its own folder only."""
    binaries = programs()
    assert binaries is not None
    # It refuses to be root; Debian makes a user for it.
    is_root = os.geteuid() == 0
    user = "postgres" if is_root else pwd.getpwuid(os.geteuid()).pw_name
    who: dict[str, Any] = {"user": user, "group": pwd.getpwnam(user).pw_gid} if is_root else {}
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        if is_root:
            shutil.chown(name, user)
        data = f"{name}/data"

        def run(*words: str) -> None:
            done = subprocess.run(
                [str(binaries / words[0]), *words[1:]],
                cwd=name, capture_output=True, text=True, check=False, **who,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr

        run("initdb", "-D", data, "-A", "trust", "--no-sync", "--no-instructions", "-E", "UTF8")
        options = f"-k {name} -c listen_addresses= -c fsync=off -c full_page_writes=off"
        run("pg_ctl", "-D", data, "-w", "-l", f"{name}/log", "-o", options, "start")
        try:
            yield f"postgresql://{user}@/{{name}}?host={name}"
        finally:
            run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def create(url: str, name: str) -> str:
    """A new database's URL."""
    place = url.format(name="postgres").replace("postgresql:", "postgresql+psycopg:")
    engine = create_engine(place, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url.format(name=name)
