"""Pieces -> Arrow batches: strict typed decoding first, and ever more patient ways only where it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec
import pyarrow as pa

from auditkit.formats.json.blocks import Malformed, whole_elements
from auditkit.formats.json.headers import patient_value, typed_member
from auditkit.formats.json.values import parse, stringify
from auditkit.formats.problems import Problems, RowTracker
from auditkit.rules import broken_rows, check_values
from auditkit.schema import RUN_ID, Field, arrow_type, schema_of

_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_RAW_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class BatchDecoder:
    """Makes an Arrow batch of each piece, and notes everything that breaks the table.

    Parameters
    ----------
    fields : tuple of Field
        What a record carries; anything else in it is kept as `extra`.
    problems : Problems
        Where failures go. As soon as there are any, no more batches are made: None instead.
    lines : bool
        A piece is JSON Lines, not a list.
    strict : bool
        A key that stands twice in an object is a failure.
    """

    def __init__(
        self, fields: tuple[Field, ...], problems: Problems, *, lines: bool = False, strict: bool = False
    ):
        self._fields = fields
        self._flat = fields[0].column == RUN_ID
        self._tracker = RowTracker()
        self._schema = schema_of(fields)
        self._known = frozenset(field.key for field in fields)
        self._problems = problems
        self._lines = lines
        self._strict = strict
        self._extras_met = False
        self._only_known = _decoder(fields, True, lines)
        self._with_others = _decoder(fields, False, lines)
        self._raw = _RAW_OBJECT if lines else _RAW_OBJECTS
        self._columns = _columns_of(tuple(field.column for field in fields))

    def decode(self, piece: memoryview) -> pa.RecordBatch | None:
        """A batch of the fields and `extra`.

        Raises
        ------
        Malformed
            If the piece is not whole JSON.
        """
        if self._strict:
            return self.explain(piece)
        if not self._extras_met:
            try:
                return self._checked(self._columns(self._records(self._only_known, piece)))
            except msgspec.ValidationError:
                pass  # perhaps for an unknown field, perhaps for a failure
        try:
            columns = self._columns(self._records(self._with_others, piece))
            copy = bytes(piece)  # raw values keep hold of what they were decoded from
            copy.decode()  # msgspec leaves that to whoever decodes the values
            raw = self._records(self._raw, memoryview(copy))
            extra = [self._extra(record) for record in raw]
        except ValueError as error:
            if isinstance(error, Malformed):
                raise
            return self.explain(piece)
        self._extras_met = True
        return self._checked(columns, extra)

    def explain(self, piece: memoryview) -> pa.RecordBatch | None:
        """The same with the standard library's reader, which gets at every failure of every row."""
        records = self._patient_records(bytes(piece))
        run_ids = [self._run_id_in(record) for record in records]
        columns: list[list[Any]] = [[] for _ in self._fields]
        extras = []
        for record, (run_id, position) in zip(records, self._tracker.places(run_ids), strict=True):
            if not isinstance(record, dict):
                self._problems.report("not an object", position=position, value=record, run_id=run_id)
                continue
            checked = check_values(self._fields, record, self._problems.in_row(position, run_id))
            for column, value in zip(columns, checked.values(), strict=True):
                column.append(value)
            unknown = {key: value for key, value in record.items() if key not in self._known}
            extras.append(extra_text(unknown, self._problems, position, run_id))
        self._tracker.advance(run_ids)
        return None if self._problems else self._batch(self._arrays(columns), extras)

    def _records(self, decoder: msgspec.json.Decoder[Any], piece: memoryview) -> list[Any]:
        try:
            return decoder.decode_lines(piece) if self._lines else decoder.decode(piece)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(str(error)) from None

    def _checked(
        self, columns: Sequence[list[Any]], extra: list[str | None] | None = None
    ) -> pa.RecordBatch | None:
        """A batch of columns in which everything is checked but the timestamps."""
        run_ids = columns[0] if self._flat else [None] * len(columns[0])
        arrays = self._arrays(columns)
        for field, array in zip(self._fields, arrays, strict=True):
            if field.kind == "timestamp":
                for row, value, rule in broken_rows(field, array):
                    run_id, position = self._tracker.places(run_ids)[row]
                    self._problems.in_row(position, run_id)(field, value, rule)
        self._tracker.advance(run_ids)
        return self._batch(arrays, extra)

    def _arrays(self, columns: Sequence[list[Any]]) -> list[pa.Array]:
        return [
            pa.array(values, arrow_type(field)) for field, values in zip(self._fields, columns, strict=True)
        ]

    def _batch(self, arrays: list[pa.Array], extra: list[str | None] | None) -> pa.RecordBatch | None:
        if self._problems:
            return None
        count = len(arrays[0])
        last = pa.nulls(count, pa.string()) if extra is None else pa.array(extra, pa.string())
        return pa.RecordBatch.from_arrays([*arrays, last], schema=self._schema)

    def _run_id_in(self, record: Any) -> str | None:
        run_id = record.get(self._fields[0].key) if self._flat and isinstance(record, dict) else None
        return run_id if isinstance(run_id, str) else None

    def _extra(self, record: Mapping[str, msgspec.Raw]) -> str | None:
        unknown = {key: parse(bytes(raw)) for key, raw in record.items() if key not in self._known}
        return stringify(unknown) if unknown else None

    def _patient_records(self, piece: bytes) -> list[Any]:
        if self._lines:
            return [self._patient(line, row) for row, line in enumerate(piece.split(b"\n")) if line.strip()]
        if self._strict:
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                rows = _RAW_LIST.decode(piece)
                return [self._patient(bytes(raw), row) for row, raw in enumerate(rows)]
        records = self._patient(piece, 0)
        return records if isinstance(records, list) else [records]

    def _patient(self, text: bytes, row: int) -> Any:
        (_, position) = self._tracker.places([None] * (row + 1))[row]
        try:
            return patient_value(text, self._problems, self._strict, position)
        except json.JSONDecodeError as error:
            at = 0 if self._lines else whole_elements(text[1 : error.pos])
            raise Malformed(f"{error.msg} (row {position + at})") from None


def extra_text(
    unknown: Mapping[str, Any], problems: Problems, position: int | None, run_id: str | None
) -> str | None:
    """Unknown fields as the text of an object, or None if there are none or they are not JSON."""
    kept = {}
    for key, value in unknown.items():
        try:
            kept[key] = parse(json.dumps(value))
            stringify({key: kept[key]})
        except ValueError as error:
            problems.report(str(error), position=position, field=key, run_id=run_id)
    return stringify(kept) if kept and not problems else None


@cache
def _decoder(fields: tuple[Field, ...], only_known: bool, lines: bool) -> msgspec.json.Decoder[Any]:
    """A typed decoder of a list of records, or of one a line, kept out of the garbage collection."""
    members = [(field.column, *typed_member(field)) for field in fields]
    struct = msgspec.defstruct(
        "Record",
        members,
        rename={field.column: field.key for field in fields},
        kw_only=True,
        gc=False,
        forbid_unknown_fields=only_known,
    )
    return msgspec.json.Decoder(struct if lines else list[struct])  # type: ignore[valid-type]


@cache
def _columns_of(names: tuple[str, ...]) -> Callable[[Iterable[Any]], Sequence[list[Any]]]:
    """A function from records to columns: one comprehension a column, twice as fast as `attrgetter`."""
    source = ", ".join(f"[record.{name} for record in records]" for name in names)
    columns: Callable[[Iterable[Any]], Sequence[list[Any]]] = eval(f"lambda records: ({source},)")
    return columns
