"""The two tables: `audit_runs`, one row a run, and `audit_results`, one row a result."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import LONGTEXT, VARBINARY

from auditkit.schema import EXTRA, POSITION, RESULT_FIELDS, RUN_FIELDS, RUN_ID, Field

ABSENT = "absent_fields"
ORDER = "listing_order"
HASH = "content_sha256"
COUNT = "result_count"
LONGEST_MYSQL_ID = 3000
"""Bytes: a key of MySQL has at most 3,072, and the position needs some of them."""


class _Id(sa.types.TypeDecorator[str]):
    """A run id: bytes on MySQL, where texts that are equal need not be the same, and no key holds them."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> Any:
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(VARBINARY(LONGEST_MYSQL_ID))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> Any:
        as_bytes = value is not None and dialect.name in ("mysql", "mariadb")
        return value.encode() if as_bytes and value is not None else value

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> str | None:
        return value.decode() if isinstance(value, bytes) else value


_LONG_TEXT = LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
_TEXT: Any = sa.Text().with_variant(_LONG_TEXT, "mysql", "mariadb")
_TYPES: dict[str, Any] = {
    "text": _TEXT,
    "category": _TEXT,
    "timestamp": _TEXT,
    "number": sa.Double(),
    "count": sa.BigInteger(),
}


def _column(field: Field) -> sa.Column[Any]:
    return sa.Column(field.column, _TYPES[field.kind], nullable=True)


METADATA = sa.MetaData()
RUNS = sa.Table(
    "audit_runs",
    METADATA,
    sa.Column(RUN_ID, _Id(), primary_key=True),
    *(_column(field) for field in RUN_FIELDS if field.column != RUN_ID),
    sa.Column(EXTRA, _TEXT),
    sa.Column(ABSENT, _TEXT),
    sa.Column(ORDER, sa.BigInteger(), nullable=False, server_default="0"),
    sa.Column(HASH, sa.String(64)),
    sa.Column(COUNT, sa.BigInteger()),
)
"""One row a run, its fields under the columns of `load_runs`; `absent_fields` is a JSON list of columns.

`result_count` is how many results were loaded, null where others fill the tables and do not say.
Required fields may be null, as a source may not carry them: what is no sound run is told when it is read.
"""
RESULTS = sa.Table(
    "audit_results",
    METADATA,
    sa.Column(RUN_ID, _Id(), primary_key=True),
    sa.Column(POSITION, sa.BigInteger(), primary_key=True, autoincrement=False),
    *(_column(field) for field in RESULT_FIELDS),
    sa.Column(EXTRA, _TEXT),
)
