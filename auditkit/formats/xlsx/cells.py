"""What stands in the cells of a row: the columns of the CSV, with their values as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.js import half_up
from auditkit.run import AuditRun, RunHeader
from auditkit.schema import CSV_FIELDS, CSV_RESULT_FIELDS, CSV_RUN_FIELDS, Field


def labels(include_metadata: bool) -> list[str]:
    """The headers of the columns."""
    run_fields = CSV_RUN_FIELDS if include_metadata else ()
    return [field.key for field in (CSV_FIELDS[0], *CSV_RESULT_FIELDS, *run_fields)]


def run_values(run: RunHeader, include_metadata: bool) -> list[tuple[Field, Any]]:
    """The fields of a run that every row of it repeats, the id first, and their values."""
    fields = (CSV_FIELDS[0], *(CSV_RUN_FIELDS if include_metadata else ()))
    return [(field, _rounded(field, getattr(run, field.attribute))) for field in fields]


def columns_of(batch: pa.RecordBatch, run: AuditRun) -> Iterator[tuple[Field, pa.Array]]:
    """The fields of a result and their columns; a result without a reviewer shows that of its run."""
    for field in CSV_RESULT_FIELDS:
        column = batch.column(field.column)
        if field.column == "reviewer" and run.reviewer is not None:
            column = pc.fill_null(column, run.reviewer)
        yield field, column


def _rounded(field: Field, value: Any) -> Any:
    return half_up(value) if field.kind == "number" and value is not None else value
