"""The pandas door: Arrow batches and run headers in, frames with always the same dtypes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.rules import utc
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
