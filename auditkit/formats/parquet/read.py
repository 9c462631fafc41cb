"""A Parquet file of ours -> runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import pyarrow as pa

from auditkit.formats.base import RunEvents
from auditkit.formats.flat import uniform_parts
from auditkit.formats.json.values import is_object
from auditkit.formats.parquet import METADATA_KEY
from auditkit.formats.problems import Problems
from auditkit.formats.stream import InputStream
from auditkit.rules import broken_rows, check_values
from auditkit.run import RunHeader
from auditkit.schema import EXTRA, RESULT_FIELDS, RUN_FIELDS, RUN_ID, result_schema

_BATCH_ROWS = 32_768
_BUFFER_BYTES = 1 << 20


def read_runs(stream: InputStream) -> RunEvents:
    """The runs of a file: batches, then the header, of each.

    Raises
    ------
    InvalidRunError
        At the end, with every failure.
    """
    problems = Problems(stream.name)
    with _seekable(stream) as raw:
        file = _opened(raw, problems)
        if file is not None:
            try:
                yield from _events(file, headers_in(file, problems), problems)
            except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's, not the file's
                problems.report(f"a damaged Parquet file: {error}")
    problems.raise_if_any()


def read_headers(stream: InputStream) -> Iterator[RunHeader]:
    """The headers of all runs of a file, from its metadata."""
    problems = Problems(stream.name)
    with _seekable(stream) as raw:
        file = _opened(raw, problems)
        found = [] if file is None else list(headers_in(file, problems).values())
    problems.raise_if_any()
    yield from found


def _seekable(stream: InputStream) -> BinaryIO:
    if stream.plain:
        return stream.open()
    unpacked = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    with stream.open() as raw:
        while block := raw.read(1 << 20):
            unpacked.write(block)
    unpacked.seek(0)
    return unpacked


def _opened(raw: BinaryIO, problems: Problems) -> Any:
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(raw, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problems.report(f"not a whole Parquet file: {error}")
        return None
    schema = file.schema_arrow
    if METADATA_KEY not in (schema.metadata or {}):
        problems.report("a Parquet file without the run headers that auditkit writes into its metadata")
        return None
    wanted = {RUN_ID: pa.string()} | {field.name: field.type for field in result_schema()}
    for name, kind in wanted.items():
        if name not in schema.names or schema.field(name).type != kind:
            problems.report(f"no column of type {kind}", field=name)
    return None if problems else file


def headers_in(file: Any, problems: Problems) -> dict[str, RunHeader]:
    """The headers of all runs of a file, by their id, from its metadata."""
    try:
        records = json.loads(file.schema_arrow.metadata[METADATA_KEY])
    except ValueError:
        records = None
    if not isinstance(records, list) or not all(_is_record(record) for record in records):
        problems.report("the run headers in the metadata cannot be read")
        return {}
    if not records and file.metadata.num_rows:
        problems.report("rows without a run header in the metadata")
    return {record["id"]: _header(record, problems) for record in records}


def _is_record(record: Any) -> bool:
    if not isinstance(record, dict) or not isinstance(record.get("id"), str):
        return False
    absent = record.get("absent_fields", [])
    return isinstance(absent, list) and all(isinstance(name, str) for name in absent)


def _header(record: dict[str, Any], problems: Problems) -> RunHeader:
    absent = tuple(record.get("absent_fields", ()))
    carried = [field for field in RUN_FIELDS if field.column not in absent or field.column == RUN_ID]
    problems.run_id = record["id"]
    values = {field.key: record.get(field.attribute) for field in carried}
    checked = check_values(carried, values, problems.in_row(None))
    named = {field.attribute: checked.get(field.column) for field in RUN_FIELDS}
    extra = record.get("extra")
    if extra is not None and not is_object(extra):
        problems.report("not the JSON text of an object", field=EXTRA, value=extra)
    return RunHeader(**named | {"id": record["id"]}, extra=extra, absent_fields=absent)  # type: ignore[arg-type]


def _events(file: Any, headers: dict[str, RunHeader], problems: Problems) -> RunEvents:
    waiting = list(headers.values())
    current: str | None = None
    position = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
        batch.validate(full=True)  # text of a damaged file need not be UTF-8
        for part in uniform_parts(batch, [RUN_ID]):
            run_id = part.column(RUN_ID)[0].as_py()
            if run_id != current:
                if current is not None:
                    yield waiting.pop(0)
                problems.run_id, position = run_id, 0
                current = run_id
                if run_id not in [header.id for header in waiting]:
                    problems.report("its rows do not stand together, or not in the order of the headers")
                    return
                while waiting[0].id != run_id:  # runs without results
                    yield waiting.pop(0)
            results = part.select(result_schema().names)
            _check(results, headers[run_id], position, problems)
            position += len(part)
            if not problems:
                yield pa.RecordBatch.from_arrays(results.columns, schema=result_schema())
    yield from waiting


def _check(batch: pa.RecordBatch, header: RunHeader, position: int, problems: Problems) -> None:
    for field in RESULT_FIELDS:
        if field.column not in header.absent_fields:
            for row, value, rule in broken_rows(field, batch.column(field.column)):
                problems.in_row(position + row)(field, value, rule)
    extra = batch.column(EXTRA)
    if extra.null_count < len(extra):
        for row, text in enumerate(extra.to_pylist()):
            if text is not None and not is_object(text):
                problems.report(
                    "not the JSON text of an object", position=position + row, field=EXTRA, value=text
                )
