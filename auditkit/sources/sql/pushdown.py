"""What of a scan a database can answer exactly, as SQL: columns, positions, ranges, one of some values."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from auditkit.conditions import Condition, OneOf, Range
from auditkit.scan import Scan
from auditkit.schema import DIFFERENCE, POSITION, RUN_ID, result_schema
from auditkit.sources.sql.tables import RESULTS

_MOST_VALUES = 500
"""Of more than these texts it has to be one: left to the filter itself, as statements have limits."""


def statement(run_id: str, wanted: Scan, absent: tuple[str, ...] = (), kind: str = "") -> sa.Select[Any]:
    """The rows that a scan may want of a run, in recorded order: every one that it wants, and maybe more."""
    names = [name for name in columns_read(wanted) if name not in absent]
    asked = [RESULTS.c[RUN_ID] == run_id]
    if wanted.start > 0:
        asked.append(RESULTS.c[POSITION] >= wanted.start)
    if wanted.stop is not None:
        asked.append(RESULTS.c[POSITION] < wanted.stop)
    for name, condition in wanted.filter.conditions:
        if name not in (RUN_ID, DIFFERENCE.column, *absent):
            asked += _asked(RESULTS.c[name], condition, kind)
    chosen = [RESULTS.c[POSITION], *(RESULTS.c[name] for name in names)]
    return sa.select(*chosen).where(*asked).order_by(RESULTS.c[POSITION])


def columns_read(wanted: Scan) -> list[str]:
    """The columns that are wanted or asked for, in the order of the schema; one at least, to count rows."""
    if wanted.columns is None:
        return list(result_schema().names)
    needed = set(wanted.columns) | {name for name, _ in wanted.filter.conditions}
    if DIFFERENCE.column in needed:
        needed |= {"user_score", "ai_score"}
    names = result_schema().names
    return [name for name in names if name in needed] or names[:1]


def literal(statement: sa.Select[Any]) -> str:
    """A statement with its values written out, for drivers of Arrow that take none or slow down with them.

    The server has to read strings as the standard says, without backslash escapes.
    """
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    dialect._backslash_escapes = False
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def _asked(column: sa.Column[Any], condition: Condition, kind: str) -> list[sa.ColumnElement[bool]]:
    """A condition in SQL that no row breaks which the filter wants."""
    if isinstance(condition, Range):
        ends = [] if condition.low is None else [column >= sa.literal(condition.low, sa.Double())]
        if condition.high is not None:
            ends.append(column <= sa.literal(condition.high, sa.Double()))
        if kind == "sqlite" and ends:  # which takes any text for more than any number
            return [sa.or_(sa.func.typeof(column).in_(("text", "blob")), sa.and_(*ends))]
        return ends
    if not isinstance(condition, OneOf) or len(condition.values) > _MOST_VALUES:
        return []
    named = [value for value in condition.values if value is not None]
    if any("\0" in value for value in named):  # which some drivers refuse
        return []
    among: sa.ColumnElement[bool] = column.in_(named)
    return [sa.or_(among, column.is_(None)) if None in condition.values else among]
