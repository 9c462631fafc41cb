"""Filter: which results, as a value that can be kept, shown, applied and written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditkit.conditions import Condition, conditions_of
from auditkit.errors import InvalidOptionError
from auditkit.rules import utc
from auditkit.schema import (
    DIFFERENCE,
    DIFFERENCE_DECIMALS,
    POSITION,
    RESULT_FIELDS,
    RUN_ID,
    Field,
    arrow_type,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

FILTER_FIELDS = {
    field.column: field
    for field in (
        Field(key="", column=RUN_ID, kind="text", label="Run"),
        Field(key="", column=POSITION, kind="count", label="Row"),
        *RESULT_FIELDS[:5],
        DIFFERENCE,
        *RESULT_FIELDS[5:],
    )
}
"""What a filter can ask for, by frame column: the fields of a result, and what names and compares it."""


@dataclass(frozen=True, init=False, repr=False)
class Filter:
    """Which results: what is asked of their columns; all of it has to hold.

    Parameters
    ----------
    **conditions
        By column of a results frame, or `difference` (user score - AI score, points, signed, to ten
        decimals). A number takes `(low, high)`, a timestamp `(start, end)` as days `YYYY-MM-DD` of UTC or
        RFC 3339 instants; both ends are included, None leaves one open. A category takes one of its
        values or several. A text takes a text that it has to contain, in capitals or not, or a tuple of
        texts of which it has to be one. Among several values None stands for missing.

    Raises
    ------
    InvalidOptionError
        If there is no such column, or it cannot be asked for this.

    Examples
    --------
    >>> import auditkit as ak
    >>> results = ak.load_results("run-001", source="sample_data/runs")
    >>> large = ak.Filter(difference=(20, None), deviation_type=["critical", "major"])
    >>> large
    Filter(difference=(20, None), deviation_type=('major', 'critical'))
    >>> large.apply(results)[["submission_id", "user_score", "ai_score"]].values.tolist()
    [['sub-002', 92.0, 45.0], ['sub-005', 88.0, 66.0]]
    >>> ak.Filter(**large.to_dict()) == large
    True
    """

    conditions: tuple[tuple[str, Condition], ...]

    def __init__(self, **conditions: Any):
        checked = conditions_of(FILTER_FIELDS, conditions)
        object.__setattr__(self, "conditions", tuple(checked.items()))

    def __repr__(self) -> str:
        return f"Filter({', '.join(f'{name}={asked.value!r}' for name, asked in self.conditions)})"

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def to_dict(self) -> dict[str, Any]:
        """The conditions as plain values, for JSON: `Filter(**them)` is the same filter."""
        return {
            name: list(asked.value) if isinstance(asked.value, tuple) else asked.value
            for name, asked in self.conditions
        }

    def words(self) -> dict[str, str]:
        """What is asked of each column, as people say it."""
        return {name: asked.words for name, asked in self.conditions}

    def replace(self, **changes: Any) -> Filter:
        """The same filter with other conditions; None takes one away."""
        return Filter(**(self.to_dict() | changes))

    def apply(self, results: pd.DataFrame) -> pd.DataFrame:
        """The results that it asks for, in their order and under their index.

        Parameters
        ----------
        results : DataFrame
            As from `load_results`; only the columns that are asked for need be there.

        Raises
        ------
        InvalidOptionError
            If a column is not there.
        """
        return results if not self else results[self.mask(results)]

    def mask(self, results: pd.DataFrame | pa.RecordBatch) -> np.ndarray:
        """Which rows it asks for: booleans, shape (rows,).

        Parameters
        ----------
        results : DataFrame or RecordBatch
            A results frame, or a batch of `schema.result_schema()`, with `run_id` and `position` beside
            if the filter asks for them.

        Raises
        ------
        InvalidOptionError
            If a column is not there, or not of its type.
        """
        import numpy as np
        import pyarrow.compute as pc

        holds = np.ones(len(results), dtype=bool)
        for name, asked in self.conditions:
            held = asked.holds(column_of(results, FILTER_FIELDS[name]))
            holds &= pc.fill_null(held, False).to_numpy(zero_copy_only=False)
        return holds


def column_of(results: pd.DataFrame | pa.RecordBatch, field: Field) -> pa.Array:
    """A column as Arrow values that can be compared: text, numbers, instants in microseconds.

    Raises
    ------
    InvalidOptionError
        If it is not there, or not of its type.
    """
    import pyarrow as pa

    if field == DIFFERENCE:
        return _differences(*(column_of(results, FILTER_FIELDS[name]) for name in ("user_score", "ai_score")))
    if isinstance(results, pa.RecordBatch):
        return _of_batch(results, field)
    from auditkit.frames import comparable

    try:
        return _compared(field, comparable(field, results))
    except (pa.ArrowException, UnicodeEncodeError):
        raise InvalidOptionError(
            f"The column {field.column} of the frame holds a value that is no {field.kind}. "
            "Take it from load_results."
        ) from None


def _differences(user: pa.Array, ai: pa.Array) -> pa.Array:
    """User score - AI score without the noise of floats: 85.1 - 78 is 7.1, as one reads it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    raw = pc.subtract(user, ai).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        rounded = np.round(raw, DIFFERENCE_DECIMALS)
    return pa.array(np.where(np.isfinite(rounded), rounded, raw), from_pandas=True)


def _of_batch(batch: pa.RecordBatch, field: Field) -> pa.Array:
    if field.column not in batch.schema.names:
        raise InvalidOptionError(f"The batch needs a column {field.column}. Put it beside the others.")
    column = batch.column(field.column)
    return utc(column) if field.kind == "timestamp" else column


def _compared(field: Field, column: pa.Array) -> pa.Array:
    """A column of a frame in the type that a batch has: others may wrap, or count in other units."""
    import pyarrow as pa

    if field.kind == "timestamp":
        if not pa.types.is_timestamp(column.type) or column.type.tz is None:
            raise InvalidOptionError(
                f"The column {field.column} of the frame holds no instants in a time zone. "
                "Take it from load_results."
            )
        return column.cast(pa.timestamp("us", "UTC"), safe=False)
    if field.kind in ("number", "count"):
        return column.cast(arrow_type(field), safe=field.kind == "count")
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column
