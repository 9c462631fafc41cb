"""The pandas door: Arrow batches and run headers in, frames with always the same dtypes out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import Failure, FailureList, InvalidOptionError
from auditkit.rules import broken_rows, broken_rule, utc
from auditkit.schema import (
    EXTRA,
    POSITION,
    RESULT_FIELDS,
    RUN_FIELDS,
    RUN_ID,
    Field,
    arrow_type,
    result_schema,
)

if TYPE_CHECKING:
    import numpy as np

    from auditkit.findings import Finding
    from auditkit.run import RunHeader

_TEXT = pd.StringDtype(na_value=float("nan"))
_BATCH_ROWS = 4096
_RESULT_FIELDS = {field.column: field for field in RESULT_FIELDS}
SEVERITIES = ("info", "warning", "error")


Part = tuple[str, "np.ndarray | None", Sequence[pa.RecordBatch]]
"""Some results of a run: its id, their positions (None stands for 0, 1, 2, …), their batches."""


def results_frame(
    parts: Sequence[Part], columns: Sequence[str] | None = None, *, extra: bool | None = None
) -> pd.DataFrame:
    """Results of one or more runs: run_id, position, then columns of the table.

    Parameters
    ----------
    parts : sequence of (run id, positions or None, batches)
        Positions are the places of the rows in their run; None stands for 0, 1, 2, …
    columns : sequence of str, optional
        Columns of `schema.result_schema()` in the order wanted; the batches may have others. None: all.
    extra : bool, optional
        Whether all columns include `extra`; None: where there is any.
    """
    import numpy as np

    wanted = result_schema().names if columns is None else list(columns)
    sizes = [sum(map(len, batches)) for _, _, batches in parts]
    table = _table_of([batch for _, _, batches in parts for batch in batches], wanted)
    run_ids = pa.chunked_array(
        [pa.repeat(pa.scalar(run_id), size) for (run_id, _, _), size in zip(parts, sizes, strict=True)],
        pa.string(),
    )
    positions = [
        np.arange(size) if known is None else known for (_, known, _), size in zip(parts, sizes, strict=True)
    ]
    made: dict[str, Any] = {
        RUN_ID: _text(run_ids),
        POSITION: np.concatenate([np.empty(0, np.int64), *positions]),
    }
    if columns is None and not (table[EXTRA].null_count < len(table) if extra is None else extra):
        wanted = wanted[:-1]
    for name in wanted:
        made[name] = _text(table[name]) if name == EXTRA else _series(_RESULT_FIELDS[name], table[name])
    return pd.DataFrame(made, copy=False)


def _table_of(batches: Sequence[pa.RecordBatch], names: Sequence[str]) -> pa.Table:
    """Some columns of batches; a source that lacks a field may have declared it otherwise."""
    schema = pa.schema([result_schema().field(name).with_nullable(True) for name in names])
    if not names:
        return pa.table({})
    picked = [pa.RecordBatch.from_arrays([b.column(name) for name in names], schema=schema) for b in batches]
    return pa.Table.from_batches(picked, schema=schema)


def runs_frame(headers: Sequence[RunHeader]) -> pd.DataFrame:
    """One row a run: the header columns of the table, `extra` if there is any.

    Counts are `int64`, or `Int64` where a run comes from a file that cannot carry them.
    """
    columns: dict[str, Any] = {}
    for field in RUN_FIELDS:
        values = [getattr(header, field.attribute) for header in headers]
        columns[field.column] = _series(field, pa.chunked_array([pa.array(values, arrow_type(field))]))
    extra = [header.extra for header in headers]
    if any(text is not None for text in extra):
        columns[EXTRA] = pd.array(extra, dtype=_TEXT)
    return pd.DataFrame(columns, copy=False)


def batches_of(results: pd.DataFrame, absent: Sequence[str] = ()) -> list[pa.RecordBatch]:
    """A results frame as batches of `schema.result_schema()`.

    Columns may have other dtypes than ours, as long as they hold such values. Instants are written
    `YYYY-MM-DDThh:mm:ss[.ffffff]Z`; columns of fields that are not required, or `absent`, may be missing.

    Raises
    ------
    InvalidRunError
        With every failure, if a value breaks the table, or a required column is missing.
    """
    failures = FailureList()
    arrays = []
    for field in RESULT_FIELDS:
        needed = field.required and field.column not in absent
        column, broken = _arrow_column(replace(field, required=needed), results)
        for row, value, rule in broken:
            failures.add(Failure("the frame", None, row, field.column, repr(value), rule))
        arrays.append(column)
    arrays.append(_extra_column(results, failures))
    failures.raise_if_any()
    table = pa.Table.from_arrays(arrays, schema=result_schema())
    batches: list[pa.RecordBatch] = table.to_batches(max_chunksize=_BATCH_ROWS)
    return batches


def comparable(field: Field, results: pd.DataFrame) -> pa.Array:
    """A column of a results frame as Arrow values that can be compared: text, numbers or instants.

    Raises
    ------
    InvalidOptionError
        If it is not there, or of another type.
    """
    if list(results.columns).count(field.column) != 1:
        raise InvalidOptionError(f"The frame needs one column {field.column}. Take it from load_results.")
    series = results[field.column]
    if isinstance(series.dtype, pd.CategoricalDtype):
        return _converted(field, series)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.as_unit("us")
    array = pa.array(series, from_pandas=True)
    fits = {"text": _is_text, "category": _is_text, "timestamp": pa.types.is_timestamp}
    if not fits.get(field.kind, _is_number)(array.type):
        raise InvalidOptionError(
            f"The column {field.column} of the frame holds {series.dtype} values, where a {field.kind} "
            "belongs. Take it from load_results."
        )
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def findings_frame(findings: Iterable[Finding]) -> pd.DataFrame:
    """One row a finding: rule, where, recorded, recomputed, severity (ordered category)."""
    rows = list(findings)
    frame = pd.DataFrame(
        {
            name: pd.array([getattr(row, name) for row in rows], dtype=_TEXT)
            for name in ("rule", "where", "recorded", "recomputed")
        }
    )
    dtype = pd.CategoricalDtype(list(SEVERITIES), ordered=True)
    frame["severity"] = pd.Categorical([row.severity for row in rows], dtype=dtype)
    return frame


def _arrow_column(field: Field, results: pd.DataFrame) -> tuple[pa.Array, Iterable[tuple[int, Any, str]]]:
    """A column in its Arrow type, and row, value and rule of what the table does not allow in it."""
    if field.column not in results:
        column = pa.nulls(len(results), arrow_type(field))
        return column, broken_rows(field, column)
    series = results[field.column]
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        instants = series.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
        series = instants.str.replace(r"\.?0+$", "", regex=True) + "Z"
    try:
        column = _converted(field, series)
    except (pa.ArrowException, UnicodeEncodeError):
        values = [None if _is_missing(value) else value for value in series.to_list()]
        rules = [(row, value, broken_rule(field, value)) for row, value in enumerate(values)]
        return pa.nulls(len(results), arrow_type(field)), [(*found, rule) for *found, rule in rules if rule]  # type: ignore[misc]
    return column, broken_rows(field, column)


def _converted(field: Field, series: pd.Series) -> pa.Array:
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes = pa.array(series.cat.codes.to_numpy(), mask=series.isna().to_numpy())
        return pa.array(series.cat.categories, arrow_type(field)).take(codes)
    if series.dtype == object and any(isinstance(value, bool) for value in series):
        raise pa.ArrowTypeError(f"booleans for {field.column}")
    array = pa.array(series, from_pandas=True)
    wanted = _is_number(array.type)
    if (field.kind == "number" and not wanted) or (field.kind != "number" and not _is_text(array.type)):
        raise pa.ArrowTypeError(f"{array.type} for {field.column}")
    column = array.cast(arrow_type(field))
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _extra_column(results: pd.DataFrame, failures: FailureList) -> pa.Array:
    texts = results[EXTRA].to_list() if EXTRA in results else [None] * len(results)
    texts = [None if _is_missing(text) else text for text in texts]
    for text in texts:
        if text is not None and not _is_json_object(text):
            rule = "not the JSON text of an object"
            failures.add(Failure("the frame", None, None, EXTRA, repr(text), rule))
            return pa.nulls(len(texts), pa.string())
    return pa.array(texts, pa.string())


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.null())


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and isnan(value))


def _is_json_object(text: Any) -> bool:
    try:
        return isinstance(text, str) and isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _series(field: Field, column: pa.ChunkedArray) -> Any:
    if field.kind == "text":
        return _text(column)
    if field.kind == "category":
        return _category(field, column)
    if field.kind == "timestamp":
        return pa.chunked_array(
            [utc(chunk) for chunk in column.chunks], pa.timestamp("us", "UTC")
        ).to_pandas()
    if field.kind == "count" and column.null_count:
        return pd.array(column.to_pylist(), dtype="Int64")
    return column.to_numpy().copy()  # what Arrow lends may not be written to


def _text(column: pa.ChunkedArray) -> Any:
    return _TEXT.__from_arrow__(column)  # type: ignore[attr-defined]


def _category(field: Field, column: pa.ChunkedArray) -> pd.Categorical:
    codes = pc.index_in(column, value_set=pa.array(field.allowed, pa.string()))
    dtype = pd.CategoricalDtype(pd.Index(field.allowed, dtype=_TEXT), ordered=field.ordered)
    return pd.Categorical.from_codes(codes.fill_null(-1).to_numpy().astype("int8"), dtype=dtype)
