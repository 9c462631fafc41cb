"""Flat rows -> runs: rows that each repeat their run's fields are split where a new run begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.base import RunEvents
from auditkit.formats.problems import Problems
from auditkit.rules import check_values
from auditkit.run import RunHeader
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, RUN_ID, Field, result_schema


class RunSplitter:
    """Turns batches of flat rows into the events of their runs.

    Parameters
    ----------
    run_fields : tuple of Field
        The fields of a run that a row carries, under their names there.
    result_fields : tuple of Field
        The fields of a result that a row carries; the others are missing.
    parse : callable
        Makes of the value of a run's field what the table wants; rows of text need it.
    """

    def __init__(
        self,
        run_fields: tuple[Field, ...],
        result_fields: tuple[Field, ...],
        problems: Problems,
        parse: Callable[[Field, Any], Any] = lambda field, value: value,
    ):
        self._parse = parse
        self._run_fields = run_fields
        self._result_fields = result_fields
        self._problems = problems
        self._current: dict[str, Any] | None = None
        self._seen: set[Any] = set()

    def split(self, batch: pa.RecordBatch) -> RunEvents:
        """The events that a batch completes."""
        for part in uniform_parts(batch, [field.column for field in self._run_fields]):
            values = {field.column: part.column(field.column)[0].as_py() for field in self._run_fields}
            if values != self._current:
                yield from self._begin(values)
            yield self._results(part)

    def finish(self) -> RunEvents:
        """The events that the end of the input completes."""
        if self._current is not None:
            yield self._header(self._current)
        self._current = None

    def _begin(self, values: dict[str, Any]) -> RunEvents:
        if self._current and self._current[RUN_ID] == values[RUN_ID]:
            for field in self._run_fields:
                if values[field.column] != self._current[field.column]:
                    self._problems.in_row(None)(
                        field, values[field.column], "differs between rows of one run"
                    )
        yield from self.finish()
        self._problems.run_id = values[RUN_ID]
        if values[RUN_ID] in self._seen:
            self._problems.report("the rows of this run do not stand together")
        self._seen.add(values[RUN_ID])
        self._current = values

    def _results(self, part: pa.RecordBatch) -> pa.RecordBatch:
        schema = result_schema()
        arrays = [
            part.column(name) if name in part.schema.names else pa.nulls(len(part), schema.field(name).type)
            for name in schema.names
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _header(self, values: dict[str, Any]) -> RunHeader:
        carried = self._carried(values)
        names = {field.column: field.key for field in carried}
        required = [replace(f, key=names[f.column]) for f in RUN_FIELDS if f.column in names]
        named = {field.key: self._parse(field, values[field.column]) for field in required}
        checked = check_values(required, named, self._problems.in_row(None))
        absent = absent_columns(carried, self._result_fields)
        by_attribute = {field.attribute: checked.get(field.column) for field in RUN_FIELDS}
        by_attribute["id"] = by_attribute["id"] or ""
        return RunHeader(**by_attribute, absent_fields=absent)  # type: ignore[arg-type]

    def _carried(self, values: dict[str, Any]) -> Sequence[Field]:
        """The fields that rows really carry: the id alone where they were written without metadata."""
        metadata = [field for field in self._run_fields if field.column != RUN_ID]
        if all(values[field.column] is None for field in metadata):
            return [field for field in self._run_fields if field.column == RUN_ID]
        return self._run_fields


def absent_columns(run_fields: Sequence[Field], result_fields: Sequence[Field]) -> tuple[str, ...]:
    """The frame columns of the fields that an input cannot carry, in table order."""
    carried = {field.column for field in (*run_fields, *result_fields)}
    return tuple(f.column for f in (*RUN_FIELDS, *RESULT_FIELDS) if f.column not in carried)


def uniform_parts(batch: pa.RecordBatch, columns: list[str]) -> list[pa.RecordBatch]:
    """Slices of a batch within which these columns do not change."""
    if not len(batch):
        return []
    changes = np.zeros(len(batch), bool)
    for column in columns:
        codes = pc.dictionary_encode(batch.column(column), null_encoding="encode")
        if len(codes.dictionary) > 1:
            changes[1:] |= np.diff(codes.indices.to_numpy()) != 0
    starts = [0, *np.flatnonzero(changes).tolist(), len(batch)]
    return [batch.slice(a, b - a) for a, b in pairwise(starts)]
