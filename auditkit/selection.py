"""Which results a frame names: rows by run id and position, confirmed by their ids."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from auditkit.errors import InvalidOptionError
from auditkit.filters import Filter
from auditkit.run import AuditRun, Batches, pick
from auditkit.schema import POSITION, RUN_ID

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_ID_COLUMNS = ("result_id", "submission_id")


@dataclass(frozen=True)
class Rows:
    """Rows of a run: sorted positions, and the ids that they are said to have."""

    positions: np.ndarray
    ids: dict[str, list[Any]]


def rows_named(results: pd.DataFrame) -> dict[str, Rows]:
    """For each run id, sorted, the rows that a frame names.

    Raises
    ------
    InvalidOptionError
        If it lacks the columns run_id and position, if they hold anything but ids and whole numbers,
        or if they name a row twice.
    """
    import numpy as np

    columns = getattr(results, "columns", ())
    missing = [name for name in (RUN_ID, POSITION) if list(columns).count(name) != 1]
    if missing:
        raise InvalidOptionError(
            f"The frame needs one column {' and one column '.join(missing)}, which name its rows. "
            "Take the rows from load_results."
        )
    places: dict[str, dict[int, int]] = {}
    named = zip(results[RUN_ID].to_list(), results[POSITION].to_list(), strict=True)
    for row, (run_id, position) in enumerate(named):
        if not isinstance(run_id, str) or not _is_position(position):
            raise InvalidOptionError(
                f"Position {position!r} of run {run_id!r} names no row. Take the rows from load_results."
            )
        rows = places.setdefault(run_id, {})
        if position in rows:
            raise InvalidOptionError(
                f"The frame names row {position} of run {run_id!r} twice. Drop the duplicates."
            )
        rows[int(position)] = row
    ids = {name: results[name].to_list() for name in _ID_COLUMNS if list(columns).count(name) == 1}
    return {
        run_id: Rows(
            np.array(sorted(rows), np.int64),
            {name: [values[rows[at]] for at in sorted(rows)] for name, values in ids.items()},
        )
        for run_id, rows in sorted(places.items())
    }


def picked_rows(run: AuditRun, rows: Rows) -> AuditRun:
    """A run reduced to some rows, each of which must have the id that the frame says."""
    return dataclasses.replace(run, batches=partial(_confirmed, run, rows), positions=rows.positions)


def _confirmed(run: AuditRun, rows: Rows) -> Batches:
    start = 0
    for batch in pick(run, rows.positions):
        for column, said in rows.ids.items():
            for at, real in enumerate(batch.column(column).to_pylist(), start):
                if isinstance(said[at], str) and said[at] != real and column not in run.absent_fields:
                    raise InvalidOptionError(
                        f"Row {rows.positions[at]} of run {run.id!r} has the {column} {real!r}, "
                        f"not {said[at]!r} as the frame says. Load the frame from the same source."
                    )
        start += len(batch)
        yield batch


def matching(run: AuditRun, filter: Filter) -> Batches:
    """The batches of a selection reduced to the rows that a filter asks for, by their values as recorded."""
    import pyarrow as pa

    start = 0
    for batch in run.batches():
        if filter:
            places = pa.array(run.positions[start : start + len(batch)])  # type: ignore[index]
            names = pa.repeat(pa.scalar(run.id), len(batch))
            labelled = batch.append_column(RUN_ID, names).append_column(POSITION, places)
            yield batch.filter(pa.array(filter.mask(labelled)))
        else:
            yield batch
        start += len(batch)


def _is_position(value: Any) -> bool:
    import numpy as np

    whole = isinstance(value, int | np.integer) and not isinstance(value, bool | np.bool_)
    return whole and 0 <= value < 2**62
