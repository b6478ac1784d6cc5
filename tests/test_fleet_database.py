"""The fleet's database opens, is told apart from others, and says what it lacks."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from tinyseal.errors import FleetError, UsageError
from tinyseal.fleet.database import (
    SCHEMA_VERSION,
    Base,
    Schema,
    Utc,
    default_url,
    open_database,
)


class Moment(Base):
    """Only of this test."""

    __tablename__ = "test_moment"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime | None] = mapped_column(Utc)


def test_opening_makes_it_and_opening_again_keeps_it(tmp_path):
    url = f"sqlite:///{tmp_path}/deep/down/fleet.db"
    with Session(open_database(url)) as session:
        session.add(Moment(id=1))
        session.commit()
    with Session(open_database(url)) as session:
        assert session.get(Moment, 1) is not None
        assert list(session.scalars(select(Schema.version))) == [SCHEMA_VERSION]


def test_the_default_lies_in_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_url() == f"sqlite:///{tmp_path}/tinyseal/fleet.db"
    open_database().dispose()
    assert (tmp_path / "tinyseal/fleet.db").is_file()
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_url() == f"sqlite:///{tmp_path}/.local/share/tinyseal/fleet.db"


def test_moments_come_back_in_utc(database_url):
    engine = open_database(database_url)
    here = datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    with engine.begin() as connection:
        connection.execute(insert(Moment).values(id=1, at=here))
        connection.execute(insert(Moment).values(id=2, at=None))
        at, none = connection.scalars(select(Moment.at).order_by(Moment.id))
    assert at == here and at.tzinfo == UTC
    assert none is None
    with pytest.raises(Exception, match="without a zone"), engine.begin() as connection:
        connection.execute(insert(Moment).values(id=3, at=datetime(2024, 1, 1)))


def test_another_schema_version_is_refused(database_url):
    url = database_url
    with open_database(url).begin() as connection:
        connection.execute(update(Schema).values(version=SCHEMA_VERSION + 1))
    with pytest.raises(FleetError, match=f"version {SCHEMA_VERSION + 1}.*needs {SCHEMA_VERSION}"):
        open_database(url)


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("fleet.db", UsageError, "no database URL"),
        ("nosuch://host/name", UsageError, "no database 'nosuch'"),
        ("oracle+cx_oracle://me:secret@host/name", FleetError, "cx_Oracle"),
    ],
)
def test_a_wrong_url_or_missing_driver_is_named(url, kind, said):
    with pytest.raises(kind, match=said) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)


def test_what_is_no_database_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("not a database, " * 100)
    with pytest.raises(FleetError, match="not a database"):
        open_database(f"sqlite:///{file}")
    assert file.read_text().startswith("not a database")
    with pytest.raises(FleetError, match="notes"):
        open_database(f"sqlite:///{file}/fleet.db")


def test_foreign_keys_are_checked_and_readers_go_on(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/fleet.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    with sqlite3.connect(tmp_path / "fleet.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
