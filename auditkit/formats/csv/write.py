"""Arrow batches -> CSV lines."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.columns import value_bytes
from auditkit.formats.js import half_up, js_number
from auditkit.formats.text import csv_cells, joined, numbers
from auditkit.run import AuditRun, RunHeader
from auditkit.schema import CSV_FIELDS, CSV_RESULT_FIELDS, CSV_RUN_FIELDS, Field


class Lines:
    """The lines of a file: one way to write them, for all runs that it holds."""

    def __init__(self, include_metadata: bool, formula_guard: bool, line_end: str):
        self._include_metadata = include_metadata
        self._guard = formula_guard
        self._line_end = line_end

    def header(self) -> bytes:
        """The header line."""
        run_fields = CSV_RUN_FIELDS if self._include_metadata else ()
        labels = [field.key for field in (CSV_FIELDS[0], *CSV_RESULT_FIELDS, *run_fields)]
        return (",".join(labels) + self._line_end).encode()

    def of(self, run: AuditRun) -> Iterator[memoryview]:
        """The lines of a run, a batch at a time."""
        before, behind = self._run_cells(run)
        for batch in run.batches():
            cells = [self._cells(field, batch.column(field.column), run) for field in CSV_RESULT_FIELDS]
            if self._include_metadata:
                lines = joined([before, *cells, behind + self._line_end], ",")
            else:
                lines = joined([before, *cells[:-1], joined([cells[-1], self._line_end])], ",")
            yield value_bytes(lines)

    def _run_cells(self, run: RunHeader) -> tuple[str, str]:
        """The cell in front of every line of a run, and the cells behind, with their commas."""
        cells = []
        for field in (CSV_FIELDS[0], *CSV_RUN_FIELDS):
            value = getattr(run, field.attribute)
            if value is None:
                cells.append("")
            elif field.kind == "text":
                cells.append(csv_cells(pa.array([value], pa.string()), self._guard)[0].as_py())
            else:
                cells.append(js_number(half_up(value)) if field.kind == "number" else str(value))
        return cells[0], ",".join(cells[1:])

    def _cells(self, field: Field, column: pa.Array, run: RunHeader) -> pa.Array:
        if field.kind == "number":
            return numbers(column)
        if field.kind != "text":
            return column
        if field.column == "reviewer" and run.reviewer is not None and column.null_count:
            column = pc.fill_null(column, run.reviewer)
        return csv_cells(column, self._guard)
