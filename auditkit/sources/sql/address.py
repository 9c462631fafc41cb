"""Which database a URL means, and how it is shown: without password, and without what follows a `?`."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field

import sqlalchemy as sa

from auditkit.errors import NoSourceError

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite",
    "duckdb": "duckdb",
}
FILES = frozenset({"sqlite", "duckdb"})
"""Databases that are a file."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """A database. Its URL may hold a password and is never shown; `location` is."""

    url: str = field(repr=False)
    location: str

    @property
    def kind(self) -> str:
        """sqlite, postgresql, mysql, mariadb or duckdb."""
        return self.url.partition(":")[0].partition("+")[0]

    @property
    def parsed(self) -> sa.URL:
        """The URL in its parts."""
        return sa.make_url(self.url)

    @property
    def path(self) -> str:
        """The file of a database that is one."""
        return self.parsed.database or ""


def address_of(url: str) -> Address:
    """The database that a URL means; a file is taken from the working folder, once and for all.

    Raises
    ------
    NoSourceError
        If it is no URL of a database that can be read.
    """
    parsed = _parsed(url)
    kind, _, driver = parsed.drivername.partition("+")
    if kind not in _DRIVERS:
        known = ", ".join(f"{name}://" for name in _DRIVERS if name != "postgres")
        raise NoSourceError(f"{kind}:// is no database that can be read. There are {known}.")
    if not driver:
        parsed = parsed.set(drivername=_DRIVERS[kind])
    shown = parsed._replace(password=None).set(query={})  # set() takes None for unchanged
    if kind in FILES:
        parsed = parsed.set(database=_whole_path(kind, parsed.database))
    return Address(
        url=parsed.render_as_string(hide_password=False), location=shown.render_as_string(hide_password=True)
    )


def _parsed(url: str) -> sa.URL:
    with suppress(sa.exc.ArgumentError, ValueError):  # neither says what: the text may hold a password
        parsed = sa.make_url(url)
        if parsed.drivername.partition("+")[0] in FILES or not _tears_a_password(url, parsed):
            return parsed
    raise NoSourceError(
        "That is no URL of a database. Write it as sqlite:///audit.sqlite or "
        "postgresql+psycopg://user@host/database, with %40 for @ and %2F for / in a password."
    )


def _tears_a_password(url: str, parsed: sa.URL) -> bool:
    """Whether an @ without escape may have left the end of a password in a part that is shown."""
    if "@" in (parsed.host or ""):
        return True
    before, _, options = url.partition("://")[2].partition("?")
    rest = before.partition(":")[2]
    return parsed.password is not None and (rest.count("@") > 1 or "@" in options.partition("=")[0])


def _whole_path(kind: str, path: str | None) -> str:
    if not path or path == ":memory:":
        raise NoSourceError(
            f"A {kind} database in memory ends with this process. Name a file: {kind}:///audit.{kind}"
        )
    return os.path.abspath(os.path.expanduser(path))
