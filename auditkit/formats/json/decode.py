"""Pieces -> Arrow batches: strict typed decoding first, and ever more patient ways only where it fails."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa

from auditkit.formats.json.blocks import Malformed, whole_elements
from auditkit.formats.json.values import parse, stringify
from auditkit.formats.problems import Problems
from auditkit.rules import broken_rows, broken_rule, check_values
from auditkit.run import RunHeader
from auditkit.schema import RESULTS_KEY, RUN_FIELDS, RUN_ID, Field, arrow_type, schema_of

_TYPES: dict[str, Any] = {
    "text": str,
    "timestamp": str,
    "number": float,
    "count": Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)],
}
_CHECKED_BY_HAND = tuple(f for f in RUN_FIELDS if f.kind == "timestamp" or f.column == RUN_ID)
_RAW_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RAW_OBJECTS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])

Pairs = list[tuple[str, Any]]


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
        self.position = 0
        self._fields = fields
        self._schema = schema_of(fields)
        self._known = frozenset(field.key for field in fields)
        self._problems = problems
        self._lines = lines
        self._strict = strict
        self._extras_met = False
        self._only_known = _decoder(fields, True)
        self._with_others = _decoder(fields, False)
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
                return self._batch(self._columns(self._records(self._only_known, piece)))
            except msgspec.ValidationError:
                pass  # perhaps for an unknown field, perhaps for a failure
        try:
            columns = self._columns(self._records(self._with_others, piece))
            copy = memoryview(bytes(piece))  # raw values keep hold of what they were decoded from
            raw = self._records(_RAW_OBJECTS, copy)
            extra = [self._extra(record) for record in raw]
        except ValueError as error:
            if isinstance(error, Malformed):
                raise
            return self.explain(piece)
        self._extras_met = True
        return self._batch(columns, extra)

    def explain(self, piece: memoryview) -> pa.RecordBatch | None:
        """The same with the standard library's reader, which gets at every failure of every row."""
        columns: list[list[Any]] = [[] for _ in self._fields]
        extras = []
        for offset, record in enumerate(self._patient_records(bytes(piece))):
            position = self.position + offset
            if not isinstance(record, dict):
                self._problems.report("not an object", position=position, value=record)
                continue
            checked = check_values(self._fields, record, self._problems.in_row(position))
            for column, value in zip(columns, checked.values(), strict=True):
                column.append(value)
            extras.append(self._patient_extra(record, position))
        return self._batch(columns, extras)

    def _records(self, decoder: msgspec.json.Decoder[Any], piece: memoryview) -> list[Any]:
        try:
            return decoder.decode_lines(piece) if self._lines else decoder.decode(piece)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed(str(error)) from None

    def _batch(
        self, columns: Sequence[list[Any]], extra: list[str | None] | None = None
    ) -> pa.RecordBatch | None:
        count = len(columns[0])
        if self._problems:
            self.position += count
            return None
        arrays = [
            pa.array(values, arrow_type(field)) for field, values in zip(self._fields, columns, strict=True)
        ]
        for field, array in zip(self._fields, arrays, strict=True):
            if field.kind == "timestamp":
                for row, value, rule in broken_rows(field, array):
                    self._problems.in_row(self.position + row)(field, value, rule)
        arrays.append(pa.nulls(count, pa.string()) if extra is None else pa.array(extra, pa.string()))
        self.position += count
        return None if self._problems else pa.RecordBatch.from_arrays(arrays, schema=self._schema)

    def _extra(self, record: Mapping[str, msgspec.Raw]) -> str | None:
        unknown = {key: parse(bytes(raw)) for key, raw in record.items() if key not in self._known}
        return stringify(unknown) if unknown else None

    def _patient_extra(self, record: Mapping[str, Any], position: int) -> str | None:
        unknown = {key: value for key, value in record.items() if key not in self._known}
        return extra_text(unknown, self._problems, position)

    def _patient_records(self, piece: bytes) -> list[Any]:
        if self._lines:
            return [self._patient(line, row) for row, line in enumerate(piece.splitlines()) if line.strip()]
        records = self._patient(piece, 0)
        return records if isinstance(records, list) else [records]

    def _patient(self, text: bytes, row: int) -> Any:
        try:
            return patient_value(text, self._problems, self._strict, self.position + row)
        except json.JSONDecodeError as error:
            at = 0 if self._lines else whole_elements(text[1 : error.pos])
            raise Malformed(f"{error.msg} (row {self.position + row + at})") from None


def patient_value(text: bytes, problems: Problems, strict: bool, position: int | None) -> Any:
    """A JSON value by the standard library's reader: NaN and lone surrogates pass, to be named later.

    Raises
    ------
    json.JSONDecodeError, Malformed
        If it is not JSON at all.
    """

    def unique(pairs: Pairs) -> dict[str, Any]:
        record = dict(pairs)
        if len(record) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in record if keys.count(key) > 1)
            problems.report("the key stands twice in one object", position=position, field=twice)
        return record

    try:
        return json.loads(text, object_pairs_hook=unique if strict else None)
    except json.JSONDecodeError:
        raise
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    except RecursionError:
        raise Malformed("nested too deeply") from None
    except ValueError as error:
        raise Malformed(str(error)) from None


def extra_text(unknown: Mapping[str, Any], problems: Problems, position: int | None) -> str | None:
    """Unknown fields as the text of an object, or None if there are none or they are not JSON."""
    kept = {}
    for key, value in unknown.items():
        try:
            kept[key] = parse(json.dumps(value))
            stringify({key: kept[key]})
        except ValueError as error:
            problems.report(str(error), position=position, field=key)
    return stringify(kept) if kept and not problems else None


def raw_object(text: bytes) -> dict[str, msgspec.Raw] | None:
    """The members of a JSON object, not decoded, or None if the text is not one whole object."""
    try:
        return _RAW_OBJECT.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def header_of(members: Mapping[str, msgspec.Raw], problems: Problems, strict: bool = False) -> RunHeader:
    """The header of a run from its members, all but `results`; what is wrong with it goes to `problems`."""
    known = {field.key: field for field in RUN_FIELDS}
    values: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for key, raw in members.items():
        if key in known:
            values[key] = patient_value(bytes(raw), problems, strict, None)
        elif key != RESULTS_KEY:
            try:
                unknown[key] = parse(bytes(raw))
                stringify(unknown[key])
            except ValueError as error:
                problems.report(str(error), field=key)
    problems.run_id = values["id"] if isinstance(values.get("id"), str) else None
    carried = RUN_FIELDS if len(members) > 1 else RUN_FIELDS[:1]  # the id alone: without metadata
    checked = check_values(carried, values, problems.in_row(None))
    named = {field.attribute: checked.get(field.column) for field in RUN_FIELDS}
    return RunHeader(
        **named | {"id": named["id"] or ""},
        extra=stringify(unknown) if unknown and not problems else None,
        absent_fields=tuple(field.column for field in RUN_FIELDS if field not in carried),
    )


def quick_header_of(text: bytes) -> RunHeader | None:
    """The header from the text of an object that holds nothing else and breaks no rule, else None."""
    try:
        record = _header_decoder().decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    values = msgspec.structs.asdict(record)
    if any(broken_rule(field, values[field.attribute]) for field in _CHECKED_BY_HAND):
        return None
    return RunHeader(**values)


@cache
def _header_decoder() -> msgspec.json.Decoder[Any]:
    members = [(field.attribute, *_member(field)) for field in RUN_FIELDS]
    renamed = {field.attribute: field.key for field in RUN_FIELDS}
    struct = msgspec.defstruct("Header", members, rename=renamed, kw_only=True, forbid_unknown_fields=True)
    return msgspec.json.Decoder(struct)


@cache
def _decoder(fields: tuple[Field, ...], only_known: bool) -> msgspec.json.Decoder[Any]:
    """A typed decoder of lists of records; without garbage collection a record costs half."""
    members = [(field.column, *_member(field)) for field in fields]
    struct = msgspec.defstruct(
        "Record",
        members,
        rename={field.column: field.key for field in fields},
        kw_only=True,
        gc=False,
        forbid_unknown_fields=only_known,
    )
    return msgspec.json.Decoder(list[struct])  # type: ignore[valid-type]


@cache
def _columns_of(names: tuple[str, ...]) -> Callable[[Iterable[Any]], Sequence[list[Any]]]:
    """A function from records to columns: one comprehension a column, twice as fast as `attrgetter`."""
    source = ", ".join(f"[record.{name} for record in records]" for name in names)
    columns: Callable[[Iterable[Any]], Sequence[list[Any]]] = eval(f"lambda records: ({source},)")
    return columns


def _member(field: Field) -> tuple[Any, ...]:
    kind = Literal[field.allowed] if field.kind == "category" else _TYPES[field.kind]
    return (kind,) if field.required else (kind | None, None)
