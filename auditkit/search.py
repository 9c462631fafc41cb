"""Looking for a submission or a user across the runs of a source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from auditkit.errors import FailureList, InvalidOptionError, InvalidRunError
from auditkit.load import OnError
from auditkit.rules import broken_rule
from auditkit.run import AuditRun, HeaderChanged
from auditkit.schema import RESULT_FIELDS
from auditkit.sources import open_source

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

SEARCHED = ("submission_id", "user_id")
_SEARCHED_FIELD = next(field for field in RESULT_FIELDS if field.column == SEARCHED[0])

Found = tuple[str, "np.ndarray", list["pa.RecordBatch"]]
"""Run id, positions of the rows, and their batches."""


def find_results(text: str, *, source: Any = None, on_error: OnError = "raise") -> pd.DataFrame:
    """The results of a submission or of a user, in all runs of a source.

    Parameters
    ----------
    text : str
        A submission id or a user id, whole and as recorded.
    source : path, URL or Source, optional
        As for `open_source`. Its runs are streamed: only what is found is kept.
    on_error : {"raise", "skip"}
        What to do about runs that are broken: raise with all failures listed, or leave them out.

    Returns
    -------
    DataFrame
        As from `load_results`, one row a result; `run_id` and `position` say where it stands.

    Raises
    ------
    InvalidRunError
        With `on_error="raise"`, after the last run, if any is broken.

    Examples
    --------
    >>> import auditkit as ak
    >>> found = ak.find_results("sub-001", source="sample_data/runs")
    >>> found[["run_id", "position", "submission_id"]].values.tolist()
    [['run-001', 0, 'sub-001']]
    """
    from auditkit.frames import results_frame

    if on_error not in ("raise", "skip"):
        raise InvalidOptionError(f"on_error={on_error!r} is neither 'raise' nor 'skip'. Give one of them.")
    found, failures = search(text, source)
    if on_error == "raise":
        failures.raise_if_any()
    return results_frame(found)


def search(text: str, source: Any = None) -> tuple[list[Found], FailureList]:
    """What was found, run by run, and the failures of the runs that could not be searched."""
    if broken_rule(_SEARCHED_FIELD, text) or not text:
        raise InvalidOptionError(f"{text!r} is no id to look for. Give a submission id or a user id.")
    found = []
    failures = FailureList()
    for run in open_source(source).open():
        try:
            if isinstance(run, Exception):
                raise run
            part = _found_in(run, text)
        except InvalidRunError as error:
            failures.extend(error)
        else:
            if part[2]:
                found.append(part)
    return found, failures


def _found_in(run: AuditRun, text: str) -> Found:
    import numpy as np
    import pyarrow as pa

    positions: list[np.ndarray] = [np.empty(0, np.int64)]
    batches = []
    start = 0
    try:
        for batch in run.batches():
            rows = np.flatnonzero(_mentions(batch, text))
            if len(rows):
                positions.append(rows + start)
                batches.append(batch.take(pa.array(rows)))
            start += len(batch)
    except HeaderChanged as change:
        return _found_in(change.run, text)
    return run.id, np.concatenate(positions), batches


def _mentions(batch: pa.RecordBatch, text: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array([text], pa.string())
    columns = [pc.is_in(batch.column(name), value_set=wanted) for name in SEARCHED]
    either: np.ndarray = pc.or_(*columns).to_numpy(zero_copy_only=False)
    return either


def found_rows(found: list[Found]) -> Iterator[dict[str, Any]]:
    """What was found as one dict a row: run_id, position and the columns of a result."""
    for run_id, positions, batches in found:
        rows = (row for batch in batches for row in batch.to_pylist())
        for position, row in zip(positions.tolist(), rows, strict=True):
            yield {"run_id": run_id, "position": position, **row}
