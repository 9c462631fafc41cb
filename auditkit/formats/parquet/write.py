"""Arrow batches -> row groups."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from auditkit.formats.base import Compression, FileOfSink, Sink
from auditkit.formats.flat import absent_columns
from auditkit.formats.parquet import METADATA_KEY
from auditkit.run import AuditRun, RunHeader
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, RUN_ID, result_schema

_GROUP_BYTES = 16 << 20


def write_runs(
    runs: Sequence[AuditRun], sink: Sink, include_metadata: bool, compression: Compression | None
) -> None:
    """Write the results of all runs, run by run, behind the headers of all."""
    from pyarrow import parquet

    records = [_record(run.header, include_metadata) for run in runs]
    metadata = {METADATA_KEY: json.dumps(records, ensure_ascii=False).encode()}
    absent = {name for run in runs for name in run.absent_fields}
    fields = [field.with_nullable(field.nullable or field.name in absent) for field in result_schema()]
    schema = pa.schema([pa.field(RUN_ID, pa.string(), nullable=False), *fields], metadata)
    target = pa.PythonFile(FileOfSink(sink.write), "w")
    with parquet.ParquetWriter(target, schema, compression=compression or "snappy") as writer:
        for run in runs:
            for table in _groups(run, schema):
                writer.write_table(table)


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
