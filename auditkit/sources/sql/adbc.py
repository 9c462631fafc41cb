"""PostgreSQL read by Arrow's own driver, where it is installed: whole columns, for a fifth of the work."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from auditkit.errors import AuditkitError, DatabaseError
from auditkit.sources.sql.address import Address
from auditkit.sources.sql.pushdown import literal
from auditkit.sources.sql.refusals import MAKE_TABLES, is_driver_error, told

_BATCH_ROWS = 8192
_BATCH_BYTES = 4 << 20
_READ_ONLY = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FOR_LIBPQ = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "connect_timeout", "application_name"})


def is_usable(address: Address) -> bool:
    """Whether the driver is there and understands the URL.

    SQLite is read without: its driver tells the type of a column by the first rows, and a text that is
    missing there breaks it.
    """
    return (
        address.parsed.drivername == "postgresql+psycopg"
        and _FOR_LIBPQ.issuperset(address.parsed.query)
        and importlib.util.find_spec("adbc_driver_postgresql") is not None
    )


@contextmanager
def snapshot(address: Address, hint: str = MAKE_TABLES) -> Iterator[_Moment]:
    """One read-only transaction that sees one moment.

    Raises
    ------
    DatabaseError
        For whatever the driver raises.
    """
    dbapi = importlib.import_module("adbc_driver_postgresql.dbapi")

    url = address.parsed.set(drivername="postgresql")
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": "15"})
    try:
        with (
            dbapi.connect(url.render_as_string(hide_password=False), autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            for setting in (
                "SET client_encoding = 'UTF8'",
                "SET standard_conforming_strings = on",
                _READ_ONLY,
            ):
                cursor.execute(setting)
            yield _Moment(cursor)
    except (AuditkitError, GeneratorExit):
        raise
    except Exception as error:
        if is_driver_error(error):
            raise told(error, address, hint) from None
        if isinstance(error, OSError | pa.ArrowException):
            raise DatabaseError(
                f"The connection to {address.location} was cut while results were read. Try again; "
                "if that does not help, look into the log of the server."
            ) from None
        raise


class _Moment:
    """A snapshot through the driver."""

    def __init__(self, cursor: Any):
        self._cursor = cursor

    def records(self, statement: sa.Select[Any]) -> Sequence[Mapping[str, Any]]:
        """All rows of a small answer, by column."""
        self._cursor.execute(literal(statement))
        records: list[dict[str, Any]] = self._cursor.fetch_arrow_table().to_pylist()
        return records

    def columns(self, statement: sa.Select[Any]) -> Iterator[dict[str, Any]]:
        """The rows of an answer, some thousands at a time."""
        self._cursor.execute(literal(statement))
        for batch in self._cursor.fetch_record_batch():
            for start in range(0, len(batch), _BATCH_ROWS):
                part = batch.slice(start, _BATCH_ROWS)
                yield dict(zip(part.schema.names, part.columns, strict=True))
