"""The table of export logs: made where it is missing, added to, read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import LONGTEXT

from auditkit.errors import DatabaseError
from auditkit.exportlog.chain import START
from auditkit.sources.sql.address import Address
from auditkit.sources.sql.engine import reading, writing
from auditkit.sources.sql.exportlog import TABLE
from auditkit.sources.sql.refusals import BusyDatabase

_HASH = sa.String(len(START))
_TEXT: Any = sa.Text().with_variant(LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
LOGS = sa.Table(
    TABLE,
    sa.MetaData(),
    sa.Column("log", _HASH, primary_key=True),
    sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("hash", _HASH, nullable=False),
    sa.Column("prev", _HASH),
    sa.Column("event", _TEXT),
    sa.Column("time", _TEXT),
    sa.Column("actor", _TEXT),
    sa.Column("path", _TEXT),
    sa.Column("format", _TEXT),
    sa.Column("rows", _TEXT),
    sa.Column("bytes", sa.BigInteger()),
    sa.Column("sha256", _TEXT),
    sa.Column("run_ids", _TEXT),
    sa.Column("record", _TEXT, nullable=False),
)
_HINT = "The first export with this log makes it"
_MADE: set[str] = set()
"""The databases that were seen to have the table: to ask each time would double the work."""


class Known(NamedTuple):
    """How many lines of a log a table has, and the hash of the last one."""

    lines: int
    hash: str | None


@contextmanager
def written(address: Address) -> Iterator[Table]:
    """The table to be added to, in one transaction; it is made where it is missing.

    Raises
    ------
    DatabaseError
        If that cannot be done; `BusyDatabase` if it may go well the next time.
    """
    try:
        if address.url not in _MADE:
            _make(address)
        with writing(address) as connection:
            yield Table(connection)
    except BusyDatabase:
        raise
    except DatabaseError:
        _MADE.discard(address.url)  # somebody may have dropped it
        raise


def lines(address: Address) -> dict[str, list[bytes]]:
    """The lines of each log, in order."""
    ordered = sa.select(LOGS.c.log, LOGS.c.record).order_by(LOGS.c.log, LOGS.c.seq)
    found: dict[str, list[bytes]] = defaultdict(list)
    with reading(address, _HINT) as connection:
        for name, record in connection.execute(ordered, execution_options={"yield_per": 4096}):
            found[name].append(record.encode() + b"\n")
    return dict(found)


class Table:
    """The table within a transaction."""

    def __init__(self, connection: sa.Connection):
        self._connection = connection

    def known(self, name: str) -> Known:
        """What it has of a log."""
        newest = sa.select(LOGS.c.seq, LOGS.c.hash).where(LOGS.c.log == name)
        row = self._connection.execute(newest.order_by(LOGS.c.seq.desc()).limit(1)).first()
        return Known(0, None) if row is None else Known(row.seq, row.hash)

    def add(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Add some lines; how many these were."""
        if rows:
            self._connection.execute(sa.insert(LOGS), list(rows))
        return len(rows)


def _make(address: Address) -> None:
    if not _is_there(address):
        with writing(address, create=True) as connection:
            connection.execute(sa.schema.CreateTable(LOGS, if_not_exists=True))
    _MADE.add(address.url)


def _is_there(address: Address) -> bool:
    """Whether there is such a table: asked first, for two who make it at once can be in each other's way."""
    try:
        with reading(address) as connection:
            connection.execute(sa.select(LOGS.c.log).where(sa.false()))
    except BusyDatabase:
        raise
    except DatabaseError:
        return False
    return True
