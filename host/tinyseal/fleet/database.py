"""The fleet's database: SQLite in the user's data folder, or whatever a SQLAlchemy URL names.

Each module of `fleet` declares its own tables on Base. Those that are missing are made when the
database is opened, so a module's tables are there wherever that module is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    DateTime,
    Dialect,
    Engine,
    MetaData,
    create_engine,
    event,
    insert,
    make_url,
    select,
)
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator

from tinyseal.errors import FleetError, UsageError

# Counts up with every change of a table that is in use; a table that is new does not count.
SCHEMA_VERSION: Final = 1
BUSY_SECONDS: Final = 30  # that SQLite waits for another process to finish writing


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Utc(TypeDecorator[datetime]):
    """A moment, always in UTC: SQLite forgets the zone of what it is given, PostgreSQL answers in
    the server's."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value}: a time without a zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Schema(Base):
    """One row: the version of the tables."""

    __tablename__ = "schema"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


def default_url() -> str:
    """SQLite under $XDG_DATA_HOME, or ~/.local/share where that is not set."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return f"sqlite:///{Path(home) / 'tinyseal' / 'fleet.db'}"


def open_database(url: str | None = None) -> Engine:
    """Connects, makes what tables are missing, and checks the schema's version.

    UsageError for a URL that is none, FleetError where the driver is missing, the database does
    not answer, is not ours, or is of another version.
    """
    parsed = _parse(url or default_url())
    shown = _shown(parsed)
    if parsed.get_backend_name() == "sqlite":
        _make_folder(parsed, shown)
    engine = _create(parsed, shown)
    try:
        Base.metadata.create_all(engine)
        with engine.begin() as connection:
            versions = list(connection.scalars(select(Schema.version)))
            if not versions:
                connection.execute(insert(Schema).values(version=SCHEMA_VERSION))
    except SQLAlchemyError as e:
        engine.dispose()
        raise FleetError(f"{shown}: {_reason(e)}") from e
    if versions not in ([], [SCHEMA_VERSION]):
        engine.dispose()
        raise FleetError(
            f"{shown}: schema is version {versions[0]}, this tinyseal needs {SCHEMA_VERSION}; "
            "take the tinyseal that made it, or another database"
        )
    return engine


@contextmanager
def opened(engine: Engine) -> Iterator[Session]:
    """A session whose errors are FleetErrors; what is not committed in it did not happen."""
    try:
        with Session(engine) as session:
            yield session
    except SQLAlchemyError as e:
        raise FleetError(f"{_shown(engine.url)}: {_reason(e)}") from e


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _reason(error: SQLAlchemyError) -> str:
    """What the database itself says, in its first line."""
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as e:
        raise UsageError(
            f"{url!r} is no database URL; expected as sqlite:///fleet.db or "
            "postgresql://user@host/name"
        ) from e
    # The driver of ./setup postgresql, where the URL leaves it open.
    is_open = parsed.drivername == "postgresql"
    return parsed.set(drivername="postgresql+psycopg") if is_open else parsed


def _make_folder(url: URL, shown: str) -> None:
    """The folder of SQLite's file, which SQLite does not make."""
    if not url.database or url.database == ":memory:":
        return
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise FleetError(f"{shown}: {e.strerror}") from e


def _create(url: URL, shown: str) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_pre_ping=True)
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    except NoSuchModuleError as e:
        raise UsageError(f"{shown}: SQLAlchemy knows no database {url.drivername!r}") from e
    except ModuleNotFoundError as e:
        raise FleetError(
            f"{shown}: its driver is missing: pip install the package of Python module {e.name}, "
            "or name another driver in the URL"
        ) from e
    event.listen(engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, record: object) -> None:
    """Readers go on while somebody writes, and foreign keys are checked."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA foreign_keys = ON")
