"""The pandas door: Arrow batches and run headers in, frames with always the same dtypes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import Failure, FailureList
from auditkit.rules import broken_rows, utc
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
SEVERITIES = ("info", "warning", "error")


def results_frame(
    parts: Sequence[tuple[str, np.ndarray | None, Sequence[pa.RecordBatch]]],
) -> pd.DataFrame:
    """Results of one or more runs: run_id, position, the columns of the table, `extra` if there is any.

    Parameters
    ----------
    parts : sequence of (run id, positions or None, batches)
        Positions are the places of the rows in their run; None stands for 0, 1, 2, …
    """
    import numpy as np

    sizes = [sum(map(len, batches)) for _, _, batches in parts]
    table = pa.Table.from_batches([b for _, _, batches in parts for b in batches], schema=result_schema())
    run_ids = pa.chunked_array(
        [pa.repeat(pa.scalar(run_id), size) for (run_id, _, _), size in zip(parts, sizes, strict=True)],
        pa.string(),
    )
    positions = [
        np.arange(size) if known is None else known for (_, known, _), size in zip(parts, sizes, strict=True)
    ]
    columns: dict[str, Any] = {
        RUN_ID: _text(run_ids),
        POSITION: np.concatenate([np.empty(0, np.int64), *positions]),
    }
    for field in RESULT_FIELDS:
        columns[field.column] = _series(field, table[field.column])
    if table[EXTRA].null_count < len(table):
        columns[EXTRA] = _text(table[EXTRA])
    return pd.DataFrame(columns, copy=False)


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


def batches_of(results: pd.DataFrame) -> list[pa.RecordBatch]:
    """A results frame as batches of `schema.result_schema()`.

    Columns may have other dtypes than ours, as long as they hold such values. Instants are written
    `YYYY-MM-DDThh:mm:ss[.ffffff]Z`; columns of fields that are not required may be missing.

    Raises
    ------
    InvalidRunError
        With every failure, if a value breaks the table, or a required column is missing.
    """
    failures = FailureList()
    arrays = []
    for field in RESULT_FIELDS:
        column = _arrow_column(field, results)
        for row, value, rule in broken_rows(field, column):
            failures.add(Failure("the frame", None, row, field.column, repr(value), rule))
        arrays.append(column)
    failures.raise_if_any()
    extra = results[EXTRA] if EXTRA in results else pd.Series([None] * len(results), dtype=_TEXT)
    arrays.append(pa.array(extra, pa.string(), from_pandas=True))
    table = pa.Table.from_arrays(arrays, schema=result_schema())
    batches: list[pa.RecordBatch] = table.to_batches(max_chunksize=_BATCH_ROWS)
    return batches


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


def _arrow_column(field: Field, results: pd.DataFrame) -> pa.Array:
    if field.column not in results:
        return pa.nulls(len(results), arrow_type(field))
    series = results[field.column]
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes = pa.array(series.cat.codes.to_numpy(), mask=series.isna().to_numpy())
        return pa.array(series.cat.categories, arrow_type(field)).take(codes)
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        seconds = series.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S.%f")
        series = seconds.str.replace(r"\.?0+$", "", regex=True) + "Z"
    array = pa.array(series, from_pandas=True)
    chunks = array.cast(arrow_type(field))
    return chunks.combine_chunks() if isinstance(chunks, pa.ChunkedArray) else chunks


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
    return column.to_numpy()


def _text(column: pa.ChunkedArray) -> Any:
    return _TEXT.__from_arrow__(column)  # type: ignore[attr-defined]


def _category(field: Field, column: pa.ChunkedArray) -> pd.Categorical:
    codes = pc.index_in(column, value_set=pa.array(field.allowed, pa.string()))
    dtype = pd.CategoricalDtype(pd.Index(field.allowed, dtype=_TEXT), ordered=field.ordered)
    return pd.Categorical.from_codes(codes.fill_null(-1).to_numpy().astype("int8"), dtype=dtype)
