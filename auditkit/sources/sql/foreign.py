"""The statements that a mapping comes to, and what their rows become."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from auditkit.formats.flat import absent_columns
from auditkit.formats.problems import Problems
from auditkit.rules import broken_rule, check_values
from auditkit.run import AuditRun, Batches, HeaderChanged, RunHeader
from auditkit.scan import Scan, Scanned, chosen_rows, taken
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, RUN_ID, Field, result_schema
from auditkit.sources.imposing import imposed, recorded_values
from auditkit.sources.sql.engine import reading
from auditkit.sources.sql.foreign_select import check_names, chosen, column_of, headers_of, id_of, results_of
from auditkit.sources.sql.mapping_shape import ForeignSchema, Origin, Ref
from auditkit.sources.sql.pushdown import columns_read

if TYPE_CHECKING:
    from auditkit.sources.sql.mapping import ForeignSource

_BATCH_ROWS = 8192
_BY_COLUMN = {field.column: field for field in (*RUN_FIELDS, *RESULT_FIELDS)}
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}.*", re.ASCII)
_DIGITS_LOST = re.compile(r".*[.,][0-9]{6}[0-9]*[1-9].*", re.ASCII)
_HINT = "The mapping names it: see docs/mapping.md"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run that is there: its header, and its id as the database has it."""

    header: RunHeader
    key: Any


def headers(source: ForeignSource, problems: Problems) -> list[Found]:
    """All runs whose headers are sound, in order; the others are told.

    Raises
    ------
    InvalidOptionError
        If the database lacks a table or a column that the mapping names.
    DatabaseError
        If it cannot be read.
    """
    schema = source.schema
    found: dict[str, Found] = {}
    twice: set[str] = set()
    with reading(source.address(), _HINT) as connection:
        for rows in (schema.runs, schema.results):
            check_names(connection, schema, rows)
        for record in connection.execute(headers_of(schema)):
            one = _found(schema, record, problems)
            if one is not None and one.header.id in found:
                problems.report("stands there twice, or a join finds several rows", run_id=one.header.id)
                twice.add(one.header.id)
            elif one is not None:
                found[one.header.id] = one
    return [one for run_id, one in found.items() if run_id not in twice]


def run_of(source: ForeignSource, found: Found) -> AuditRun:
    """The run, its results to be streamed."""
    return AuditRun(**vars(found.header), batches=ForeignResults(source=source, found=found))


@dataclass(frozen=True, kw_only=True)
class ForeignResults:
    """The results of one run of a foreign database."""

    source: ForeignSource
    found: Found

    def __call__(self) -> Batches:
        """All of them.

        Raises
        ------
        InvalidRunError
            At the end, with every row that breaks the table of fields or the mapping.
        HeaderChanged
            If the header is another one by now.
        """
        for _, batch in self._read(Scan()):
            yield batch

    def scan(self, wanted: Scan) -> Iterator[Scanned]:
        """The rows and columns that are wanted."""
        for start, batch in self._read(wanted):
            positions = np.arange(start, start + len(batch))
            rows = chosen_rows(self.found.header.id, positions, batch, wanted)
            if len(rows):
                yield Scanned(positions[rows], taken(batch, rows, wanted.columns))

    def count(self) -> int:
        """How many there are."""
        with reading(self.source.address(), _HINT) as connection:
            self._check_header(connection)
            rows = chosen(sa.select(sa.func.count()), self.source.schema.results).where(self._own())
            return int(connection.execute(rows).scalar_one())

    def _own(self) -> sa.ColumnElement[bool]:
        schema = self.source.schema
        own: sa.ColumnElement[bool] = column_of(schema.results, Ref(None, schema.run)) == self.found.key
        return own

    def _read(self, wanted: Scan) -> Iterator[tuple[int, pa.RecordBatch]]:
        schema = self.source.schema
        problems = Problems(self.source.location)
        problems.run_id = self.found.header.id
        columns = None if wanted.columns is None else columns_read(wanted)
        names = result_schema().names if columns is None else columns
        origins = {name: schema.results.origins[name] for name in names if name in schema.results.origins}
        absent = [name for name in result_schema().names if name not in schema.results.origins]
        statement = results_of(schema, origins).where(self._own())
        if wanted.stop is not None:
            statement = statement.limit(max(wanted.stop, 0))
        start, order = 0, _Order(problems)
        with reading(self.source.address(), _HINT) as connection:
            self._check_header(connection)
            for read in _streamed(connection, statement):
                order.check(read[: len(schema.results.order)], start)
                given = {"": read[0]} | _given(origins, read[len(schema.results.order) :], problems, start)
                batch = imposed(
                    given, problems, start, columns=columns, absent=absent, naive_utc=schema.naive_utc
                )
                if not problems:
                    yield start, batch
                start += len(read[0])
        problems.raise_if_any()

    def _check_header(self, connection: sa.Connection) -> None:
        """See that the header is still the same, at the moment at which the results are read."""
        schema = self.source.schema
        problems = Problems(self.source.location)
        key = column_of(schema.runs, id_of(schema)) == self.found.key
        now = [
            _found(schema, record, problems) for record in connection.execute(headers_of(schema).where(key))
        ]
        if not now:
            problems.report("is not there any more", run_id=self.found.header.id)
        problems.raise_if_any()
        if now[0] is not None and now[0].header != self.found.header:
            raise HeaderChanged(run_of(self.source, now[0]))


class _Order:
    """Sees that no two rows stand at the same place: a join that finds several would make rows up."""

    def __init__(self, problems: Problems):
        self._problems = problems
        self._last: tuple[Any, ...] | None = None

    def check(self, columns: Sequence[Sequence[Any]], start: int) -> None:
        """Compare each row with the one before it."""
        for row, place in enumerate(zip(*columns, strict=True), start):
            if place == self._last:
                self._problems.report(
                    "cannot be told from the row before it by the columns of order: end these in one that "
                    "is unique, and see that no join finds several rows",
                    position=row,
                    field="order",
                )
            self._last = place


def _streamed(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[list[Sequence[Any]]]:
    """The columns of the rows, some thousands at a time."""
    with connection.execute(statement, execution_options={"yield_per": _BATCH_ROWS}) as result:
        for rows in result.partitions():
            yield list(zip(*rows, strict=True))


def _given(
    origins: Mapping[str, Origin], read: Sequence[Sequence[Any]], problems: Problems, start: int
) -> dict[str, Any]:
    """The values of each field, a column renamed as the file says."""
    columns = iter(read)
    given: dict[str, Any] = {}
    for name, origin in origins.items():
        if origin.ref is None:
            given[name] = _Repeated(origin.constant)
        else:
            given[name] = _renamed(_BY_COLUMN[name], origin, next(columns), problems, start)
    count = len(read[0]) if read else 0
    return {n: [v.value] * count if isinstance(v, _Repeated) else v for n, v in given.items()}


@dataclass(frozen=True)
class _Repeated:
    value: Any


def _renamed(
    field: Field, origin: Origin, values: Sequence[Any], problems: Problems, start: int | None
) -> Sequence[Any]:
    """The values in our words; one that the file does not name is told."""
    if origin.values is None:
        return [_instant(value) for value in values] if field.kind == "timestamp" else values
    made: list[Any] = []
    for row, value in enumerate(values):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if value is not None and text not in origin.values:
            where = None if start is None else start + row
            problems.in_row(where)(field, value, f"not among the values of the mapping for {origin.ref}")
            made.append(next(iter(origin.values.values()), None))  # told once, and not as missing, too
        else:
            made.append(None if value is None else origin.values[text])
    return made


def _instant(value: Any) -> Any:
    """What a database without a type for timestamps keeps as ISO 8601 text, as an instant."""
    if not isinstance(value, str) or _DIGITS_LOST.fullmatch(value):  # past the microsecond: refused
        return value
    if _INSTANT.fullmatch(value) and broken_rule(_TIMESTAMP, value):
        with suppress(ValueError):
            return datetime.fromisoformat(value)
    return value


_TIMESTAMP = _BY_COLUMN["timestamp"]


def _found(schema: ForeignSchema, record: sa.Row[Any], problems: Problems) -> Found | None:
    """The run of a row, or None after telling what is wrong with it."""
    before = problems.count
    origins = schema.runs.origins
    key = record[0]
    problems.run_id = str(key)
    columns = iter(record)
    named: dict[str, Any] = {}
    mapped = [field for field in RUN_FIELDS if field.column in origins]
    for field in sorted(mapped, key=lambda field: field.column != RUN_ID):
        origin = origins[field.column]
        if origin.ref is None:
            named[field.key] = origin.constant
            continue
        (value,) = _renamed(field, origin, [next(columns)], problems, None)
        made, refused = recorded_values(field, [value], schema.naive_utc)
        named[field.key] = made[0].as_py()
        for _, wrong, rule in refused:
            problems.in_row(None)(field, wrong, rule)
            named.pop(field.key)
    checked = check_values([field for field in mapped if field.key in named], named, problems.in_row(None))
    if problems.count > before:
        return None
    results = [field for field in RESULT_FIELDS if field.column in schema.results.origins]
    by_attribute = {field.attribute: checked.get(field.column) for field in RUN_FIELDS}
    header = RunHeader(**by_attribute, absent_fields=absent_columns(mapped, results))  # type: ignore[arg-type]
    return Found(header=header, key=key)
