"""Parquet: the result batches, with the headers of their runs in the metadata of the schema."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import pyarrow as pa

from auditkit.formats.base import Compression, FileOfSink, RunEvents, Sink, WriteOptions
from auditkit.formats.flat import absent_columns, uniform_parts
from auditkit.formats.problems import Problems
from auditkit.formats.stream import InputStream
from auditkit.rules import broken_rows, check_values
from auditkit.run import AuditRun, RunHeader
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, RUN_ID, result_schema

_METADATA_KEY = b"auditkit.runs"
_MAGIC = b"PAR1"
_GROUP_BYTES = 16 << 20
_BATCH_ROWS = 8192


@dataclass(frozen=True, kw_only=True)
class Parquet:
    """One row a result: run_id, then the columns of the table, `extra` last."""

    include_metadata: bool = True
    compression: Compression | None = None

    name = "parquet"
    suffix = ".parquet"

    def configured(self, options: WriteOptions) -> Parquet:
        """The same under these options; the compression is that of the columns."""
        options.refuse(self.name, "formula_guard", "excel", "flatten_results")
        return Parquet(include_metadata=options.include_metadata, compression=options.compression)

    def write(self, run: AuditRun, sink: Sink) -> None:
        """The results of one run."""
        self.write_selection([run], sink)

    def write_selection(self, runs: Iterable[AuditRun], sink: Sink) -> None:
        """The results of all runs, run by run."""
        from pyarrow import parquet

        chosen = list(runs)
        records = [_record(run.header, self.include_metadata) for run in chosen]
        metadata = {_METADATA_KEY: json.dumps(records, ensure_ascii=False).encode()}
        schema = pa.schema([pa.field(RUN_ID, pa.string(), nullable=False), *result_schema()], metadata)
        with parquet.ParquetWriter(
            pa.PythonFile(FileOfSink(sink.write), "w"), schema, compression=self.compression or "snappy"
        ) as writer:
            for run in chosen:
                for table in _groups(run, schema):
                    writer.write_table(table)

    def recognises(self, head: bytes) -> bool:
        """Whether a Parquet file begins."""
        return head.startswith(_MAGIC)

    def read(self, stream: InputStream) -> RunEvents:
        """The runs of a Parquet file that auditkit wrote."""
        problems = Problems(stream.name)
        with _seekable(stream) as raw:
            file = _opened(raw, problems)
            if file is not None:
                headers = _headers(file, problems)
                yield from _events(file, headers, problems)
        problems.raise_if_any()

    def headers(self, stream: InputStream) -> Iterator[RunHeader]:
        """The headers, from the end of the file."""
        problems = Problems(stream.name)
        with _seekable(stream) as raw:
            file = _opened(raw, problems)
            found = [] if file is None else list(_headers(file, problems).values())
        problems.raise_if_any()
        yield from found


def _groups(run: AuditRun, schema: pa.Schema) -> Iterator[pa.Table]:
    """The results as tables of some 16 MiB, each a row group."""
    held: list[pa.RecordBatch] = []
    for batch in run.batches():
        run_ids = pa.array([run.id] * len(batch), pa.string())
        held.append(pa.RecordBatch.from_arrays([run_ids, *batch.columns], schema=schema))
        if sum(part.nbytes for part in held) >= _GROUP_BYTES:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def _record(header: RunHeader, include_metadata: bool) -> dict[str, Any]:
    if include_metadata:
        return {name: value for name, value in vars(header).items() if value is not None}
    results_absent = set(header.absent_fields) & {field.column for field in RESULT_FIELDS}
    result_fields = [field for field in RESULT_FIELDS if field.column not in results_absent]
    return {"id": header.id, "absent_fields": absent_columns(RUN_FIELDS[:1], result_fields)}


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
        file = parquet.ParquetFile(raw)
    except (pa.ArrowInvalid, OSError) as error:
        problems.report(f"not a whole Parquet file: {error}")
        return None
    schema = file.schema_arrow
    if _METADATA_KEY not in (schema.metadata or {}):
        problems.report("a Parquet file without the run headers that auditkit writes into its metadata")
        return None
    wanted = {RUN_ID: pa.string()} | {field.name: field.type for field in result_schema()}
    for name, kind in wanted.items():
        if name not in schema.names or schema.field(name).type != kind:
            problems.report(f"no column of type {kind}", field=name)
    return None if problems else file


def _headers(file: Any, problems: Problems) -> dict[str, RunHeader]:
    try:
        records = json.loads(file.schema_arrow.metadata[_METADATA_KEY])
        return {record["id"]: _header(record, problems) for record in records}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problems.report(f"the run headers in the metadata cannot be read: {error}")
        return {}


def _header(record: dict[str, Any], problems: Problems) -> RunHeader:
    absent = tuple(record.get("absent_fields", ()))
    carried = [field for field in RUN_FIELDS if field.column not in absent]
    problems.run_id = record["id"]
    values = {field.key: record.get(field.attribute) for field in carried}
    checked = check_values(carried, values, problems.in_row(None))
    named = {field.attribute: checked.get(field.column) for field in RUN_FIELDS}
    return RunHeader(**named | {"id": record["id"]}, extra=record.get("extra"), absent_fields=absent)  # type: ignore[arg-type]


def _events(file: Any, headers: dict[str, RunHeader], problems: Problems) -> RunEvents:
    waiting = list(headers.values())
    current: str | None = None
    position = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
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
                yield results.cast(result_schema())
    yield from waiting


def _check(batch: pa.RecordBatch, header: RunHeader, position: int, problems: Problems) -> None:
    for field in RESULT_FIELDS:
        if field.column not in header.absent_fields:
            for row, value, rule in broken_rows(field, batch.column(field.column)):
                problems.in_row(position + row)(field, value, rule)
