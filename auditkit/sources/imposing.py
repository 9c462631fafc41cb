"""The one declared schema, imposed on what drivers and foreign files give, and checked by its rules."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.json.values import is_object
from auditkit.formats.problems import Problems
from auditkit.rules import broken_rows
from auditkit.schema import EXTRA, RESULT_FIELDS, Field, arrow_type, result_schema

EXTRA_FIELD = Field(key=EXTRA, column=EXTRA, kind="text", required=False)
NAIVE = "an instant without a time zone: say which one it is in (naive_timestamps)"


_NO_VALUES = frozenset({bool, bytes, bytearray, memoryview})
_WHOLE = frozenset({int, type(None)})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_LARGEST = 2**63 - 1
_ENDLESS = (datetime.max, datetime.min)
"""What DuckDB gives for its infinities."""


def imposed(
    batch: pa.RecordBatch | pa.Table | Mapping[str, Any],
    problems: Problems,
    start: int = 0,
    *,
    columns: Collection[str] | None = None,
    absent: Collection[str] = (),
    naive_utc: bool = False,
) -> pa.RecordBatch:
    """The results of a batch under `schema.result_schema()`, or under some columns of it.

    Parameters
    ----------
    batch : RecordBatch, Table or mapping
        Its columns by name, as Arrow arrays or the Python values of a driver; what is not among
        `columns` is not looked at.
    problems : Problems
        Is told of every value that cannot be one, or breaks the rule of its field.
    start : int
        The position of the first row in its run.
    columns : collection of str, optional
        Which columns are wanted; None: all.
    absent : collection of str
        Columns that the source does not carry: they are null throughout, and no failure.
    naive_utc : bool
        Take instants without a time zone for UTC; otherwise they are failures.
    """
    schema = result_schema()
    wanted = [field for field in (*RESULT_FIELDS, EXTRA_FIELD) if columns is None or field.column in columns]
    given = batch if isinstance(batch, Mapping) else dict(zip(batch.schema.names, batch.columns, strict=True))
    rows = len(next(iter(given.values()), ()))
    made = []
    for field in wanted:
        if field.column in absent or (field is EXTRA_FIELD and EXTRA not in given):
            made.append(pa.nulls(rows, arrow_type(field)))
        else:
            made.append(imposed_column(field, given[field.column], problems, start, naive_utc))
    fields = [schema.field(f.column).with_nullable(not f.required or f.column in absent) for f in wanted]
    return pa.RecordBatch.from_arrays(made, schema=schema if columns is None else pa.schema(fields))


def imposed_column(
    field: Field,
    column: pa.Array | pa.ChunkedArray | Sequence[Any],
    problems: Problems,
    start: int,
    naive_utc: bool = False,
) -> pa.Array:
    """A column in the Arrow type in which its field travels; what is no such value is told, and null."""
    values: Any = column
    made = None
    if isinstance(column, pa.Array | pa.ChunkedArray):
        made = _cast(field, column, naive_utc)
        values = column.to_pylist() if made is None else ()
    refused: set[int] = set()
    if made is None:
        made, refusals = recorded_values(field, values, naive_utc)
        for row, value, rule in refusals:
            problems.in_row(start + row)(field, value, rule)
            refused.add(row)
    for row, value, rule in _broken(field, made):
        if row not in refused:
            problems.in_row(start + row)(field, value, rule)
    return made


def recorded_values(
    field: Field, values: Sequence[Any], naive_utc: bool = False
) -> tuple[pa.Array, list[tuple[int, Any, str]]]:
    """The Python values of a driver as a column of their field; row, value and rule of what is none."""
    target = arrow_type(field)
    kinds = set(map(type, values))
    if kinds <= _WHOLE if field.kind == "count" else _NO_VALUES.isdisjoint(kinds):  # Arrow would take them
        with suppress(pa.ArrowException, TypeError, OverflowError, UnicodeEncodeError):
            return pa.array(values, target), []
    made, refused = [], []
    for row, value in enumerate(values):
        try:
            made.append(_recorded(field, value, naive_utc))
        except ValueError as error:
            refused.append((row, value, str(error)))
            made.append(None)
    return pa.array(made, target), refused


def instant_text(value: datetime) -> str:
    """An instant in a time zone as RFC 3339 text in UTC, with as many digits as it has.

    Raises
    ------
    ValueError
        If it is none that RFC 3339 can write, in words.
    """
    try:
        naive = value.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError("before the year 1 or after the year 9999 in UTC") from None
    if naive in _ENDLESS or value.replace(tzinfo=None) in _ENDLESS:
        raise ValueError("no instant: infinity, or the end of what the database can hold")
    text = naive.isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _casts(field: Field, kind: pa.DataType) -> bool:
    """Whether Arrow's own cast gives what was recorded."""
    if field.kind == "count":
        return bool(pa.types.is_integer(kind) and kind != pa.uint64())
    if field.kind == "number":
        return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
    texts = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(texts or (field.kind == "text" and pa.types.is_integer(kind)))


def _cast(field: Field, column: pa.Array | pa.ChunkedArray, naive_utc: bool) -> pa.Array | None:
    """The column as Arrow alone can tell it, or None where its values have to be looked at."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # of no chunk at all
        column = pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type == arrow_type(field):
        return column
    if pa.types.is_null(column.type) or _casts(field, column.type):
        return column.cast(arrow_type(field), safe=False)  # of an integer the double that is nearest
    if field.kind == "timestamp" and pa.types.is_timestamp(column.type) and (column.type.tz or naive_utc):
        return _instants(column)
    return None


def _instants(column: pa.Array) -> pa.Array:
    """Instants as RFC 3339 text in UTC, with as many digits as they have."""
    unit = column.type.unit
    text = pc.strftime(column.cast(pa.timestamp(unit, "UTC")), "%Y-%m-%dT%H:%M:%S")
    short = text if unit == "s" else pc.replace_substring_regex(text, r"\.?0+\z", "")
    return pc.binary_join_element_wise(short, "Z", "")


def _recorded(field: Field, value: Any, naive_utc: bool) -> Any:
    if value is None:
        return None
    if field.kind == "number":
        return _number(value)
    if field.kind == "count":
        return _count(value)
    if field.kind == "timestamp" and isinstance(value, datetime):
        if value.tzinfo is None and not naive_utc:
            raise ValueError(NAIVE)
        return instant_text(value if value.tzinfo else value.replace(tzinfo=UTC))
    if isinstance(value, str):
        return value
    if field.kind == "text" and isinstance(value, uuid.UUID | int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("not a text" if field.kind != "timestamp" else "not a timestamp")


def _number(value: Any) -> float:
    number = math.nan
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError("not a number")
    if isinstance(value, int | float | Decimal | str) and not isinstance(value, bool):
        with suppress(ValueError, OverflowError):
            number = float(value)
    if not math.isfinite(number):
        raise ValueError("not a finite number" if isinstance(value, float | int) else "not a number")
    return number


def _count(value: Any) -> int:
    is_one = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_one and not (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError("not a number")
    number = Decimal(value)
    if not number.is_finite() or abs(number) > _LARGEST or number != number.to_integral_value():
        raise ValueError("not a whole number of 64 bits")
    return int(number)


def _broken(field: Field, column: pa.Array) -> Iterator[tuple[int, Any, str]]:
    """Row, value and rule of what the table of fields does not allow."""
    if field is not EXTRA_FIELD:
        yield from broken_rows(field, column)
    elif column.null_count < len(column):
        for row, text in enumerate(column.to_pylist()):
            if text is not None and not is_object(text):
                yield row, text, "not the JSON text of an object"
