"""Connections to a database: one read-only transaction that sees one moment, or one that writes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from auditkit.errors import DatabaseError
from auditkit.sources.sql.address import FILES, Address
from auditkit.sources.sql.refusals import MAKE_TABLES, database_errors

_PATIENCE_SECONDS = 15
"""How long to wait for a server that does not answer."""
_TURN_SECONDS = 120
"""How long to wait for another one who writes into the same file."""


@contextmanager
def reading(address: Address, hint: str = MAKE_TABLES) -> Iterator[sa.Connection]:
    """A connection that reads what was there at one moment, and cannot write.

    Raises
    ------
    DatabaseError
        For whatever the driver raises; `hint` says what to do about a table that is missing.
    """
    with database_errors(address, hint):
        _check_file(address)
        with _connected(address, "ro") as connection:
            if address.kind == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            elif address.kind in ("mysql", "mariadb"):
                connection.execution_options(isolation_level="REPEATABLE READ")
                connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            yield connection


@contextmanager
def writing(address: Address, create: bool = False) -> Iterator[sa.Connection]:
    """A connection that writes: all that is done within, or nothing."""
    with database_errors(address):
        if not create:
            _check_file(address)
        is_new = create and address.kind == "duckdb" and not os.path.exists(address.path)
        with _connected(address, "rwc" if create else "rw") as connection, connection.begin():
            if is_new:  # DuckDB takes no empty file for a new database
                os.chmod(address.path, 0o600)
            if address.kind in ("mysql", "mariadb"):  # never cut a text that is too long
                connection.exec_driver_sql("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
            yield connection


@contextmanager
def _connected(address: Address, mode: str) -> Iterator[sa.Connection]:
    with _engine(address.url, address.kind, mode).connect() as connection:
        try:
            yield connection
        except BaseException:
            connection.invalidate()  # whatever is open there ends with it, and nobody asks a dead server
            raise


def _check_file(address: Address) -> None:
    if address.kind in FILES and not os.path.isfile(address.path):
        raise DatabaseError(f"There is no database {address.location}. {MAKE_TABLES}.")


@lru_cache(maxsize=32)
def _engine(url: str, kind: str, mode: str) -> sa.Engine:
    """The engine for a database; it keeps no connection, so processes may part with it."""
    parsed = sa.make_url(url)
    if kind == "sqlite":
        engine = sa.create_engine(
            "sqlite://", creator=partial(_sqlite, parsed.database or "", mode), poolclass=NullPool
        )
        begin = "BEGIN" if mode == "ro" else "BEGIN IMMEDIATE"
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
        return engine
    return sa.create_engine(parsed, poolclass=NullPool, connect_args=_connect_args(parsed, kind, mode))


def _connect_args(url: sa.URL, kind: str, mode: str) -> dict[str, Any]:
    if kind == "duckdb":
        return {"read_only": mode == "ro"}
    wanted: dict[str, Any] = {"connect_timeout": _PATIENCE_SECONDS}
    if url.drivername == "postgresql+psycopg":
        wanted["client_encoding"] = "utf8"
    return {name: value for name, value in wanted.items() if name not in url.query}


def _sqlite(path: str, mode: str) -> sqlite3.Connection:
    """A connection to a file, which is made in mode rwc alone."""
    uri = f"file:{quote(path)}?mode={mode}"
    if mode == "ro" and _is_mounted_read_only(path) and not _has_journal(path):
        uri += "&immutable=1"  # in WAL mode it could not be opened, and nobody can change it meanwhile
    if mode == "rwc":
        _made_private(path)
    connection = sqlite3.connect(
        uri, uri=True, timeout=_TURN_SECONDS, isolation_level=None, check_same_thread=False
    )
    if mode == "rwc":
        connection.execute("PRAGMA journal_mode = WAL")
    return connection


def _is_mounted_read_only(path: str) -> bool:
    """Whether nobody can write; a folder that only this user cannot write changes while it is read."""
    try:
        return bool(os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY)
    except (AttributeError, OSError):  # of Windows, which has no such call
        return False


def _made_private(path: str) -> None:
    """Make the file of a database for its owner alone, as people's answers will stand in it."""
    with suppress(OSError):  # it is there, or SQLite says why not
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _has_journal(path: str) -> bool:
    return any(os.path.exists(path + end) and os.path.getsize(path + end) > 0 for end in ("-wal", "-journal"))
