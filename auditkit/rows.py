"""Which rows of a run are meant: by a mask, by positions, or by a frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditkit.errors import InvalidOptionError
from auditkit.schema import POSITION, RUN_ID

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def positions_named(run_id: str, rows: Any, own: pd.Series) -> np.ndarray:
    """The sorted positions that rows name, among those that a run has."""
    import numpy as np

    if hasattr(rows, "columns"):
        rows = _positions_in(run_id, rows)
    values = np.asarray(rows)
    if values.dtype == bool and hasattr(rows, "reindex"):
        values = np.asarray(_aligned(run_id, rows, own))
    if values.ndim != 1:
        raise InvalidOptionError(
            f"Rows of run {run_id!r} are named by a list, not by a table {values.shape}."
        )
    if values.dtype == bool:
        if len(values) != len(own):
            raise InvalidOptionError(
                f"This mask has {len(values):,} values and run {run_id!r} has {len(own):,} results. "
                "Make the mask from the results of this run."
            )
        marked: np.ndarray = own.to_numpy()[values]
        return marked
    if values.size and not np.issubdtype(values.dtype, np.integer):
        raise InvalidOptionError(
            f"Rows of run {run_id!r} are named by whole numbers or by a mask, not by {values.dtype} values. "
            "Take them from the column `position`."
        )
    wanted = np.unique(values.astype(np.int64))
    missing = wanted[~np.isin(wanted, own)]
    if missing.size:
        raise InvalidOptionError(
            f"Run {run_id!r} has no row {missing[0]}. Take the rows from its own results."
        )
    return wanted


def _positions_in(run_id: str, rows: pd.DataFrame) -> pd.Series:
    for name in (RUN_ID, POSITION):
        if list(rows.columns).count(name) != 1:
            raise InvalidOptionError(f"The frame needs one column {name}. Take its rows from the results.")
    if not (rows[RUN_ID] == run_id).all():
        raise InvalidOptionError(
            f"Some of these rows belong to other runs than {run_id!r}. "
            "Select them run by run, or give the frame to export_results."
        )
    return rows[POSITION]


def _aligned(run_id: str, mask: pd.Series, own: pd.Series) -> pd.Series:
    """A mask in the order of the results, by its index, as pandas would apply it."""
    if mask.index.equals(own.index):
        return mask
    if len(mask) != len(own) or not mask.index.is_unique or not mask.index.isin(own.index).all():
        raise InvalidOptionError(
            f"The index of this mask is not that of the {len(own):,} results of run {run_id!r}. "
            "Make the mask from the results of this run."
        )
    return mask.reindex(own.index)
