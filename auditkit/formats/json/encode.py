"""Arrow batches -> JSON text, byte for byte as `JSON.stringify` writes it: nested, flat, or line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import Failure, InvalidRunError
from auditkit.formats.columns import value_bytes
from auditkit.formats.js import js_number
from auditkit.formats.json.values import Digits, members, parse, stringify
from auditkit.formats.text import joined, json_strings, numbers
from auditkit.run import AuditRun, RunHeader
from auditkit.schema import (
    AUDIT_FIELDS,
    AUDIT_KEYS,
    EXTRA,
    RESULT_FIELDS,
    RESULTS_KEY,
    RUN_FIELDS,
    RUN_ID,
    Field,
)

_INDENT = "  "


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How records stand in a text: indented at a level, or compact (`level=None`) and one a line."""

    level: int | None

    @property
    def colon(self) -> str:
        """What stands between a key and its value."""
        return '":' if self.level is None else '": '

    def member(self, key: str) -> str:
        """What stands in front of the value of a member that is not the first."""
        return f',{self._break}"{key}{self.colon}'

    def opening(self, first_members: str, first: Field) -> str:
        """What stands in front of the value of the first member of the table."""
        start = f"{self._outer}{{{first_members}"
        return start + self.member(first.key)[not first_members :]

    @property
    def closing(self) -> str:
        """What stands behind the last member of a record."""
        return "}" if self.level is None else f"\n{_INDENT * self.level}}}"

    @property
    def between(self) -> str:
        """What stands between two records."""
        return "\n" if self.level is None else ",\n"

    def extra(self, text: str | None) -> str:
        """The members of the unknown fields."""
        if text is None:
            return ""
        indent, level = (None, 0) if self.level is None else (_INDENT, self.level + 1)
        return members(text, indent, level)

    @property
    def _outer(self) -> str:
        return _INDENT * (self.level or 0)

    @property
    def _break(self) -> str:
        return "" if self.level is None else "\n" + _INDENT * (self.level + 1)


def record_chunks(
    run: AuditRun, layout: Layout, first_members: str = "", *, flat: bool = False
) -> Iterator[memoryview]:
    """The records of a run as text, a batch at a time, each record behind `layout.between`.

    Parameters
    ----------
    first_members : str
        Members that every record begins with: those of its run.
    flat : bool
        Refuse results that have a member of the run's.
    """
    for batch in run.batches():
        if flat:
            _refuse_clashes(run, batch)
        yield value_bytes(joined(_record_parts(batch, layout, first_members, run.absent_fields)))


def nested_chunks(run: AuditRun, include_metadata: bool, level: int = 0) -> Iterator[Any]:
    """The text of a run as one object, without a line end behind it."""
    inner = "\n" + _INDENT * (level + 1)
    record = header_record(run.header, RUN_FIELDS, include_metadata)
    opening = stringify(record, _INDENT, level).removesuffix("\n" + _INDENT * level + "}")
    yield f'{opening},{inner}"{RESULTS_KEY}": ['.encode()
    chunk: Any = b""
    records = record_chunks(run, Layout(level=level + 2))
    for chunk in without_first(records, b","):
        yield chunk
    closing = f"{inner}]" if chunk else "]"
    yield f"{closing}\n{_INDENT * level}}}".encode()


def flat_chunks(
    run: AuditRun, include_metadata: bool, level: int | None, first: bool
) -> Iterator[memoryview]:
    """The flat records of a run; `first` if no record stands before them."""
    layout = Layout(level=level)
    prefix = layout.between if level is None else ","
    chunks = record_chunks(run, layout, audit_members(run.header, layout, include_metadata), flat=True)
    yield from without_first(chunks, prefix.encode()) if first else chunks


def header_record(
    header: RunHeader, fields: tuple[Field, ...], include_metadata: bool, extra: bool = True
) -> dict[str, Any]:
    """The members of a run, in order, missing ones left out, as parsed JSON."""
    record: dict[str, Any] = {}
    for field in fields:
        value = getattr(header, field.attribute)
        if value is not None and (include_metadata or field.column == RUN_ID):
            record[field.key] = _parsed(field, value)
    if header.extra and include_metadata and extra:
        record |= parse(header.extra)
    return record


def audit_members(header: RunHeader, layout: Layout, include_metadata: bool) -> str:
    """The `audit…` members as a text that every flat record of a run begins with."""
    record = header_record(header, AUDIT_FIELDS, include_metadata, extra=False)
    text = "".join(layout.member(key) + stringify(value) for key, value in record.items())
    return text[1:]


def _refuse_clashes(run: AuditRun, batch: pa.RecordBatch) -> None:
    """Refuse unknown fields that a flat record could not tell from its run's."""
    extra = batch.column(EXTRA)
    if extra.null_count == len(extra):
        return
    for row, text in enumerate(extra.to_pylist()):
        for key in AUDIT_KEYS & parse(text).keys() if text else ():
            rule = f"an unknown field {key!r} stands in a result, where a flat record has the run's own"
            failure = Failure("the results", run.id, row, key, None, rule)
            raise InvalidRunError(f"{failure}. Export nested JSON or Parquet instead.", [failure])


def without_first(chunks: Iterator[memoryview], prefix: bytes) -> Iterator[memoryview]:
    """The chunks, the first of them without a prefix that it begins with."""
    first = True
    for chunk in chunks:
        if len(chunk):
            yield chunk[len(prefix) :] if first else chunk
            first = False


def _record_parts(
    batch: pa.RecordBatch, layout: Layout, first_members: str, absent: tuple[str, ...]
) -> list[Any]:
    """Constants and columns which, joined, are the records of a batch."""
    parts: list[Any] = []
    fields = [field for field in RESULT_FIELDS if field.column not in absent]
    waiting = layout.between + layout.opening(first_members, fields[0])
    for index, field in enumerate(fields):
        column = batch.column(field.column)
        quote = "" if field.kind == "number" else '"'
        text = _text_of(field, column)
        prefix = layout.member(field.key) if index else ""
        if field.required and not column.null_count:
            parts += [waiting + prefix + quote, text]
            waiting = quote
        elif column.null_count < len(column):
            parts += [waiting, _optional(prefix + quote, text, quote)]
            waiting = ""
    extra = batch.column(EXTRA)
    if extra.null_count < len(extra):
        parts += [waiting, pa.array([layout.extra(text) for text in extra.to_pylist()], pa.string())]
        waiting = ""
    return [*parts, waiting + layout.closing]


def _text_of(field: Field, column: pa.Array) -> pa.Array:
    if field.kind == "number":
        return numbers(column)
    return json_strings(column) if field.kind == "text" else column


def _optional(prefix: str, text: pa.Array, suffix: str) -> pa.Array:
    """A member where there is a value, null where there is none."""
    return pc.binary_join_element_wise(prefix, text, suffix, "")


def _parsed(field: Field, value: Any) -> Any:
    if field.kind == "number":
        return Digits(js_number(value))
    return Digits(str(value)) if field.kind == "count" else value
