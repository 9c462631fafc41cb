"""Arrow batches -> rows of `audit_results`, as fast as the driver takes them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from auditkit.formats.problems import Problems
from auditkit.run import Batches, RunHeader
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, RUN_ID, Field
from auditkit.sources.imposing import EXTRA_FIELD
from auditkit.sources.sql.tables import LONGEST_MYSQL_ID, RESULTS

_NAMES = tuple(column.name for column in RESULTS.columns)
_MYSQL = frozenset({"mysql", "mariadb"})


def inserted(connection: sa.Connection, header: RunHeader, batches: Batches, location: str) -> Batches:
    """The batches of a run, each handed on when it is in the table.

    Raises
    ------
    InvalidRunError
        At the end, with everything that this kind of database cannot hold.
    """
    problems = Problems(location)
    problems.run_id = header.id
    _check_header(connection.dialect.name, header, problems)
    start = 0
    for batch in batches:
        if connection.dialect.name == "postgresql":
            _check_texts(batch, start, problems)
        if not problems:
            _insert(connection, header.id, start, batch)
        start += len(batch)
        yield batch
    problems.raise_if_any()


def _insert(connection: sa.Connection, run_id: str, start: int, batch: pa.RecordBatch) -> None:
    dialect = connection.dialect
    if dialect.name == "duckdb":
        return _insert_arrow(connection, run_id, start, batch)
    as_bytes = dialect.name in _MYSQL
    rows = list(_rows(run_id.encode() if as_bytes else run_id, start, batch))
    if (dialect.name, dialect.driver) == ("postgresql", "psycopg"):
        return _copy(connection, rows)
    if rows:
        connection.exec_driver_sql(_statement(dialect), rows)
    return None


def _statement(dialect: sa.Dialect) -> str:
    """The insertion of a row by the place of its values; to many rows a driver makes it one statement."""
    names = ", ".join(map(dialect.identifier_preparer.quote, _NAMES))
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    return f"INSERT INTO {RESULTS.name} ({names}) VALUES ({', '.join([mark] * len(_NAMES))})"


def _rows(run_id: Any, start: int, batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    columns = (batch.column(name).to_pylist() for name in _NAMES[2:])
    positions = range(start, start + len(batch))
    return zip(repeat(run_id, len(batch)), positions, *columns, strict=True)


def _copy(connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
    columns = ", ".join(f'"{name}"' for name in _NAMES)
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"COPY {RESULTS.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _insert_arrow(connection: sa.Connection, run_id: str, start: int, batch: pa.RecordBatch) -> None:
    columns = [
        pa.repeat(pa.scalar(run_id), len(batch)),
        pa.array(range(start, start + len(batch)), pa.int64()),
        *(batch.column(name) for name in _NAMES[2:]),
    ]
    driver: Any = connection.connection.driver_connection
    driver.register("auditkit_batch", pa.Table.from_arrays(columns, names=list(_NAMES)))
    columns_named = ", ".join(f'"{name}"' for name in _NAMES)
    try:
        connection.exec_driver_sql(
            f"INSERT INTO {RESULTS.name} ({columns_named}) SELECT {columns_named} FROM auditkit_batch"
        )
    finally:
        driver.unregister("auditkit_batch")


def _check_texts(batch: pa.RecordBatch, start: int, problems: Problems) -> None:
    """Tell of every text with a NUL character, which PostgreSQL does not hold."""
    for field in (*RESULT_FIELDS, EXTRA_FIELD):
        column = batch.column(field.column)
        if pa.types.is_string(column.type):
            with_nul = pc.fill_null(pc.match_substring(column, "\0"), False)
            if pc.any(with_nul).as_py():
                for row in pc.indices_nonzero(with_nul).to_pylist():
                    _tell_nul(field, column[row].as_py(), start + row, problems)


def _check_header(kind: str, header: RunHeader, problems: Problems) -> None:
    if kind in _MYSQL and len(header.id.encode()) > LONGEST_MYSQL_ID:
        problems.report(f"MySQL holds ids of at most {LONGEST_MYSQL_ID:,} bytes", field=RUN_ID)
    if kind == "postgresql":
        values = [(field, getattr(header, field.attribute)) for field in RUN_FIELDS]
        for field, value in [*values, (EXTRA_FIELD, header.extra)]:
            if isinstance(value, str) and "\0" in value:
                _tell_nul(field, value, None, problems)


def _tell_nul(field: Field, value: str, position: int | None, problems: Problems) -> None:
    problems.in_row(position)(field, value, "PostgreSQL holds no NUL character in a text")
