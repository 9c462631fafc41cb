"""The statements that a mapping comes to; every name is quoted, and every value bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name

from auditkit.errors import InvalidOptionError
from auditkit.schema import RUN_FIELDS, RUN_ID
from auditkit.sources.sql.mapping_file import near
from auditkit.sources.sql.mapping_shape import ForeignSchema, Origin, Ref, Rows


def headers_of(schema: ForeignSchema) -> sa.Select[Any]:
    """The columns of the runs, their id first."""
    runs = schema.runs
    mapped = [field.column for field in RUN_FIELDS if field.column in runs.origins]
    refs = [runs.origins[name].ref for name in sorted(mapped, key=lambda name: name != RUN_ID)]
    wanted = [column_of(runs, ref).label(f"c{n}") for n, ref in enumerate(refs) if ref is not None]
    return chosen(sa.select(*wanted), runs).order_by(*(column_of(runs, ref) for ref in runs.order))


def results_of(schema: ForeignSchema, origins: Mapping[str, Origin]) -> sa.Select[Any]:
    """The columns that put the results in order, then those of the fields."""
    rows = schema.results
    refs = [*rows.order, *(origin.ref for origin in origins.values() if origin.ref is not None)]
    wanted = [column_of(rows, ref).label(f"c{number}") for number, ref in enumerate(refs)]
    return chosen(sa.select(*wanted), rows).order_by(*(column_of(rows, ref) for ref in rows.order))


def chosen(statement: sa.Select[Any], rows: Rows) -> sa.Select[Any]:
    """A statement about these rows, their joins, and the constants that they have to hold."""
    place: sa.FromClause = _table(rows, None)
    for join in rows.joins:
        pairs = [
            column_of(rows, Ref(None, ours)) == column_of(rows, Ref(join.table, theirs))
            for ours, theirs in join.on
        ]
        place = place.outerjoin(_table(rows, join.table), sa.and_(*pairs))
    asked = [column_of(rows, ref) == sa.literal(value) for ref, value in rows.where]
    return statement.select_from(place).where(*asked)


def _table(rows: Rows, name: str | None) -> sa.TableClause:
    schemas = {None: rows.schema} | {join.table: join.schema for join in rows.joins}
    return _clause(schemas[name], name or rows.table)


@lru_cache(maxsize=64)
def _clause(schema: str | None, name: str) -> sa.TableClause:
    """A table, the same object each time: SQLAlchemy takes two of one name for two."""
    return sa.table(_name(name), schema=None if schema is None else _name(schema))


def column_of(rows: Rows, ref: Ref) -> sa.ColumnClause[Any]:
    """A column of one of the tables of these rows."""
    column: sa.ColumnClause[Any] = sa.column(_name(ref.column))
    column.table = _table(rows, ref.table)
    return column


def _name(text: str) -> quoted_name:
    return quoted_name(text, quote=True)


def id_of(schema: ForeignSchema) -> Ref:
    """The column that is the id of a run."""
    ref = schema.runs.origins[RUN_ID].ref
    assert ref is not None
    return ref


def check_names(connection: sa.Connection, schema: ForeignSchema, rows: Rows) -> None:
    """See that the database has every table and column that the file names.

    Raises
    ------
    InvalidOptionError
        Naming the first that is not there, and those that are.
    """
    there: dict[str | None, Sequence[str]] = {
        name: _columns(connection, schema, rows, name)
        for name in (None, *(join.table for join in rows.joins))
    }
    refs = rows.refs() + ([("results.run", Ref(None, schema.run))] if rows is schema.results else [])
    for key, ref in refs:
        known = there[ref.table]
        if ref.column not in known:
            what = f"the table {ref.table or rows.table!r} has no column {ref.column!r}"
            raise InvalidOptionError(
                f"The mapping {schema.path} is wrong at {key}: {what}{near(ref.column, known)}"
            )


def _columns(connection: sa.Connection, schema: ForeignSchema, rows: Rows, name: str | None) -> Sequence[str]:
    """The columns of a table: asked of an empty answer, for not every database lets itself be inspected."""
    empty: sa.Select[Any] = (
        sa.select(sa.literal_column("*")).select_from(_table(rows, name)).where(sa.false())
    )
    try:
        return list(connection.execute(empty).keys())
    except sa.exc.DBAPIError as error:
        if error.connection_invalidated:
            raise
        tables = _tables(connection, rows.schema)
        if not tables or (name or rows.table) in tables:
            raise
    key = f"{rows.key}.table" if name is None else f"{rows.key}.join"
    raise InvalidOptionError(
        f"The mapping {schema.path} is wrong at {key}: the database has no table "
        f"{name or rows.table!r}{near(name or rows.table, tables)}"
    )


def _tables(connection: sa.Connection, schema: str | None) -> list[str]:
    with suppress(Exception):
        connection.rollback()
        inspector = sa.inspect(connection)
        return [*inspector.get_table_names(schema), *inspector.get_view_names(schema)]
    return []
