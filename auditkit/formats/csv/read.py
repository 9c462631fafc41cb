"""CSV lines -> runs: our own, or saved again by a spreadsheet."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.base import RunEvents
from auditkit.formats.flat import RunSplitter
from auditkit.formats.guard import unguarded
from auditkit.formats.problems import Problems, RowTracker
from auditkit.formats.stream import InputStream
from auditkit.rules import broken_rows, broken_rule
from auditkit.schema import CSV_FIELDS, CSV_RESULT_FIELDS, CSV_RUN_FIELDS, EXTRA, RUN_ID, Field, arrow_type

_BLOCK_BYTES = 1 << 20
_LARGEST_BLOCK = 256 << 20
_LONGEST_INTEGER = 400  # Python refuses to read integers of thousands of digits
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
"""What the cast of Arrow takes for a finite number."""


def read_runs(stream: InputStream) -> RunEvents:
    """The runs of a file: batches, then the header, of each.

    Raises
    ------
    InvalidRunError
        At the end, with every failure.
    """
    problems = Problems(stream.name)
    tracker = RowTracker()
    splitter: RunSplitter | None = None
    for table in _tables(stream, problems):
        carried = [field for field in CSV_FIELDS if field.key in table.schema.names]
        if splitter is None:
            run_fields = tuple(field for field in carried if field not in CSV_RESULT_FIELDS)
            splitter = RunSplitter(run_fields, CSV_RESULT_FIELDS, problems, _parsed)
        batch = _typed(table, carried, stream.formula_guard, tracker, problems)
        yield from _if_sound(splitter.split(batch), problems)
    if splitter is not None:
        yield from _if_sound(splitter.finish(), problems)
    problems.raise_if_any()


def _if_sound(events: RunEvents, problems: Problems) -> RunEvents:
    """The events as long as nothing is wrong; afterwards they are only looked through for more failures."""
    for event in events:
        if not problems:
            yield event


def _tables(stream: InputStream, problems: Problems) -> Iterator[pa.RecordBatch]:
    """The rows as text, a block at a time; the block grows where a cell is larger than it."""
    block, done = _BLOCK_BYTES, 0
    while True:
        try:
            for batch in _batches(stream, problems, block, done):
                yield batch
                done += len(batch)
            return
        except UnicodeDecodeError:
            problems.report("not UTF-8")
            return
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error) or block >= _LARGEST_BLOCK:
                problems.report(f"not a CSV of auditkit: {str(error).partition(chr(10))[0][:200]}")
                return
            block *= 8


def _batches(stream: InputStream, problems: Problems, block: int, done: int) -> Iterator[pa.RecordBatch]:
    from pyarrow import csv

    broken: list[Any] = []

    def note(row: Any) -> str:
        broken.append(row)
        return "skip"

    with stream.open() as raw:
        watched = _Watched(raw)
        reader = csv.open_csv(
            pa.PythonFile(watched, "r"),
            read_options=csv.ReadOptions(block_size=block, use_threads=False),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                column_types={field.key: pa.string() for field in CSV_FIELDS}, strings_can_be_null=False
            ),
        )
        if not _has_our_columns(reader.schema.names, problems):
            return
        for batch in reader:
            fresh = batch.slice(min(done, len(batch)))
            done -= len(batch) - len(fresh)
            if len(fresh):
                yield fresh
    if not watched.whole:
        problems.report("cut off: the last line has no end")
    for row in broken:
        rule = f"{row.actual_columns} cells instead of {row.expected_columns}"
        problems.report(rule, position=None, field=f"line {row.number}", value=row.text)


class _Watched:
    """A file that notices whether what was read of it ends with a line, outside of quotes."""

    closed = False

    def __init__(self, raw: BinaryIO):
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._quotes = 0
        self._last = b"\n"

    @property
    def whole(self) -> bool:
        """Whether no line and no quoted cell is open."""
        return self._last == b"\n" and self._quotes % 2 == 0

    def read(self, size: int = -1) -> bytes:
        """Read on.

        Raises
        ------
        UnicodeDecodeError
            If it is not UTF-8; pyarrow could not say so of a row of the wrong length.
        """
        data = self._raw.read(size)
        self._decoder.decode(data, final=not data)
        self._quotes += data.count(b'"')
        self._last = data[-1:] or self._last
        return data

    def close(self) -> None:
        """Whoever opened the file closes it."""


def _has_our_columns(names: list[str], problems: Problems) -> bool:
    for wanted in (CSV_FIELDS, CSV_FIELDS[: -len(CSV_RUN_FIELDS)]):
        if sorted(names) == sorted(field.key for field in wanted):
            return True
    known = {field.key for field in CSV_FIELDS}
    unknown = [name for name in names if name not in known]
    missing = [field.key for field in CSV_FIELDS if field.key not in names]
    problems.report(
        f"not the columns of auditkit (missing: {', '.join(missing) or 'none'}; "
        f"unknown or repeated: {', '.join(unknown) or 'none'})"
    )
    return False


def _typed(
    table: pa.RecordBatch, carried: list[Field], guarded: bool, tracker: RowTracker, problems: Problems
) -> pa.RecordBatch:
    """The columns under their frame names, typed where of results; blank is missing, but in required text."""
    arrays = []
    failures: list[tuple[int, Field, Any, str]] = []
    for field in carried:
        column = table.column(field.key)
        if field.kind == "text" and guarded:
            column = unguarded(column)
        if field.kind != "text" or not field.required:
            column = pc.replace_with_mask(column, pc.equal(column, ""), pa.scalar(None, pa.string()))
        broken: Iterable[tuple[int, Any, str]] = ()
        if field.kind == "number" and field in CSV_RESULT_FIELDS:
            column, broken = _numeric(field, column)
        elif field.column == RUN_ID or field in CSV_RESULT_FIELDS:
            broken = broken_rows(field, column)
        failures += [(row, field, value, rule) for row, value, rule in broken]
        arrays.append(column)
    run_ids = arrays[[field.column for field in carried].index(RUN_ID)].to_pylist()
    places = tracker.places(run_ids) if failures else []
    for row, field, value, rule in sorted(failures, key=lambda failure: failure[0]):
        run_id, position = places[row]
        problems.in_row(position, run_id)(field, value, rule)
    tracker.advance(run_ids)
    arrays.append(pa.nulls(len(table), pa.string()))
    return pa.RecordBatch.from_arrays(arrays, names=[*(field.column for field in carried), EXTRA])


def _numeric(field: Field, column: pa.Array) -> tuple[pa.Array, Iterable[tuple[int, Any, str]]]:
    """A column of numbers, and row, value and rule of what is none."""
    try:
        numbers = column.cast(arrow_type(field))
    except pa.ArrowInvalid:
        values = [_number(text) for text in column.to_pylist()]
        rules = [(row, value, broken_rule(field, value)) for row, value in enumerate(values)]
        sound = [float(value) if rule is None else None for _, value, rule in rules]  # type: ignore[arg-type]
        return pa.array(sound, pa.float64()), [(row, value, rule) for row, value, rule in rules if rule]
    return numbers, broken_rows(field, numbers)


def _parsed(field: Field, value: Any) -> Any:
    return _number(value) if field.kind in ("number", "count") else value


def _number(text: str | None) -> float | str | None:
    if text is None or not _NUMBER.fullmatch(text):
        return text
    return float(text) if len(text) > _LONGEST_INTEGER or set(text) & set(".eE") else int(text)
