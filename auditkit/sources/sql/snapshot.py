"""What a database held at one moment, read as columns: by Arrow where its driver can, else row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import sqlalchemy as sa

from auditkit.sources.sql import adbc
from auditkit.sources.sql.address import Address
from auditkit.sources.sql.columns import SLICE_ROWS, columns_of
from auditkit.sources.sql.engine import reading
from auditkit.sources.sql.pushdown import literal
from auditkit.sources.sql.refusals import MAKE_TABLES

BATCH_ROWS = 8192
Columns = Mapping[str, Any]
"""Some rows by column: Arrow arrays, or sequences of the Python values of the driver."""


class Snapshot(Protocol):
    """One read-only transaction."""

    def records(self, statement: sa.Select[Any]) -> Sequence[Mapping[str, Any]]:
        """All rows of a small answer, by column."""

    def columns(self, statement: sa.Select[Any]) -> Iterator[Columns]:
        """The rows of an answer of any size, some thousands at a time; each column has another name."""


@contextmanager
def snapshot(address: Address, hint: str = MAKE_TABLES) -> Iterator[Snapshot]:
    """A database as it is at this moment.

    Raises
    ------
    DatabaseError
        For whatever the driver raises, then or while rows are read.
    """
    if adbc.is_usable(address):
        with adbc.snapshot(address, hint) as moment:
            yield moment
    else:
        with reading(address, hint) as connection:
            yield _OfConnection(connection, address.kind)


class _OfConnection:
    """A snapshot through SQLAlchemy."""

    def __init__(self, connection: sa.Connection, kind: str):
        self._connection = connection
        self._kind = kind

    def records(self, statement: sa.Select[Any]) -> Sequence[Mapping[str, Any]]:
        return [row._asdict() for row in self._connection.execute(statement)]

    def columns(self, statement: sa.Select[Any]) -> Iterator[Columns]:
        names = [column.name for column in statement.selected_columns]
        if self._kind == "duckdb":
            driver: Any = self._connection.connection.driver_connection
            for batch in driver.sql(literal(statement)).to_arrow_reader(BATCH_ROWS):
                yield dict(zip(names, batch.columns, strict=True))
            return
        yield from columns_of(names, self._slices(statement), BATCH_ROWS)

    def _slices(self, statement: sa.Select[Any]) -> Iterator[Sequence[Sequence[Any]]]:
        if self._kind == "sqlite":  # of the driver itself: SQLAlchemy's rows would cost a tenth more
            cursor: Any = self._connection.execute(statement).cursor
            while rows := cursor.fetchmany(SLICE_ROWS):
                yield rows
            return
        with self._connection.execute(statement, execution_options={"yield_per": BATCH_ROWS}) as result:
            yield from result.partitions()
