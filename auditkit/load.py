"""The functions that load: runs, results and failures of a source, as frames or as AuditRun."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from auditkit.errors import FailureList, InvalidOptionError, InvalidRunError, failures_frame
from auditkit.filters import Filter
from auditkit.naming import check_run_id
from auditkit.run import AuditRun
from auditkit.scan import Gathered, columns_named, gathered, regrouped, wanted_of
from auditkit.sources import Source, open_source
from auditkit.sources.base import Listing, each_once

if TYPE_CHECKING:
    import pandas as pd

OnError = Literal["raise", "skip"]


def list_available_runs(*, source: Any = None, on_error: OnError = "raise") -> list[str]:
    """The ids of all runs of a source, in its order.

    Parameters
    ----------
    source : path, URL or Source, optional
        As for `open_source`; left out, the environment variable `AUDITKIT_SOURCE` is used.
    on_error : {"raise", "skip"}
        What to do about files that are broken: raise with all of them listed, or leave them out.

    Raises
    ------
    InvalidRunError
        With `on_error="raise"`, if any file is broken.

    Examples
    --------
    >>> import auditkit as ak
    >>> ak.list_available_runs(source="sample_data/runs")[:2]
    ['run-001', 'run-002']
    """
    return [header.id for header in _listing(open_source(source), on_error).headers]


def load_runs(*, source: Any = None, on_error: OnError = "raise") -> pd.DataFrame:
    """One row a run: the headers of a source, without reading the results.

    Parameters
    ----------
    source, on_error
        As for `list_available_runs`.

    Returns
    -------
    DataFrame
        run_id, run_reviewer, started_at, completed_at (`datetime64[us, UTC]`), run_task_title,
        run_task_difficulty, run_skill_area, status, total_submissions, average_deviation (points),
        critical_flags, and `extra` where a run has unknown fields.

    Raises
    ------
    InvalidRunError
        With `on_error="raise"`, if any file is broken.

    Examples
    --------
    >>> import auditkit as ak
    >>> runs = ak.load_runs(source="sample_data/runs")
    >>> runs[runs.status == "running"].run_id.to_list()
    ['run-002']
    """
    from auditkit.frames import runs_frame

    return runs_frame(_listing(open_source(source), on_error).headers)


def load_run(run_id: str, *, source: Any = None) -> AuditRun:
    """One run, read and checked as a whole.

    Parameters
    ----------
    run_id : str
    source : path, URL or Source, optional
        As for `open_source`.

    Raises
    ------
    RunNotFoundError
        If the source has no run of that id; the message names the nearest.
    InvalidRunError
        With every failure, if its file breaks the table of fields.

    Examples
    --------
    >>> import auditkit as ak
    >>> ak.load_run("run-001", source="sample_data/runs").critical_flags
    2
    """
    check_run_id(run_id)
    (found,) = open_source(source).load([run_id])
    if isinstance(found, Exception):
        raise found
    return found


def load_results(
    run_ids: Iterable[str] | str | None = None,
    *,
    source: Any = None,
    columns: Iterable[str] | None = None,
    filter: Filter | None = None,
) -> pd.DataFrame:
    """One row a result, of some runs or of all.

    Parameters
    ----------
    run_ids : iterable of str, or str, optional
        Which runs, in which order; each once. Left out: all of the source.
    source : path, URL or Source, optional
        As for `open_source`.
    columns : iterable of str, optional
        Which columns, behind run_id and position. Databases and Parquet read no others, and what is not
        read is not checked. Left out: all.
    filter : Filter, optional
        Which results; the others are never held in memory.

    Returns
    -------
    DataFrame
        run_id and position (0-based, in its run) first: together they name a row. Then result_id,
        submission_id, user_id, user_score, ai_score, deviation (points), deviation_type,
        suggested_action, action_taken, task_title, skill_area, task_difficulty, timestamp
        (`datetime64[us, UTC]`), reviewer, notes, and `extra` where a result has unknown fields. Or the
        columns that were named, in that order.

    Raises
    ------
    RunNotFoundError
        For the first id that the source does not have.
    InvalidRunError
        With the failures of all runs, if any breaks the table of fields.
    InvalidOptionError
        If there is no such column, or a run id stands twice.

    Examples
    --------
    >>> import auditkit as ak
    >>> results = ak.load_results(["run-001", "run-003"], source="sample_data/runs")
    >>> results.groupby("run_id").size().to_dict()
    {'run-001': 8, 'run-003': 24}
    >>> large = ak.Filter(deviation=(40, None))
    >>> ak.load_results("run-001", source="sample_data/runs", columns=["user_id"], filter=large)
        run_id  position   user_id
    0  run-001         1  user-456
    """
    from auditkit.frames import results_frame

    ids = each_once(run_ids)
    named = None if columns is None else columns_named(columns)
    wanted = wanted_of(named, filter)
    opened = open_source(source)
    whole = named is None and not wanted.filter
    parts = []
    failures = FailureList()
    for found in opened.load(ids) if whole else opened.open(ids):
        try:
            if isinstance(found, Exception):
                raise found
            parts.append(gathered(found, wanted))
        except InvalidRunError as error:
            failures.extend(error)
    failures.raise_if_any()
    return results_frame(parts, named)


def iter_results(
    run_ids: Iterable[str] | str | None = None,
    *,
    source: Any = None,
    columns: Iterable[str] | None = None,
    filter: Filter | None = None,
    batch_rows: int = 100_000,
) -> Iterator[pd.DataFrame]:
    """Frames of results, one behind the other: any number of results in the memory of a few frames.

    Parameters
    ----------
    run_ids, source, columns, filter
        As for `load_results`.
    batch_rows : int
        How many rows each frame has; the last one may have fewer.

    Yields
    ------
    DataFrame
        As from `load_results`, but with `extra` always where no columns are named, so that all frames are
        alike. The index goes on from frame to frame.

    Raises
    ------
    RunNotFoundError, InvalidOptionError
        At the call.
    InvalidRunError
        At the call if a run cannot be opened, or when a place is met that breaks the table of fields: the
        frames given before came from a broken run then, and what was made of them is void.

    Examples
    --------
    >>> import auditkit as ak
    >>> frames = ak.iter_results(source="sample_data/runs", columns=["deviation"], batch_rows=1000)
    >>> [len(frame) for frame in frames]
    [1000, 580]
    """
    ids = each_once(run_ids)
    named = None if columns is None else columns_named(columns)
    wanted = wanted_of(named, filter)
    if isinstance(batch_rows, bool) or not isinstance(batch_rows, int) or batch_rows < 1:
        raise InvalidOptionError(f"batch_rows={batch_rows!r} is no number of rows. Give one above 0.")
    runs = []
    for found in open_source(source).open(ids):
        if isinstance(found, Exception):
            raise found
        runs.append(found)
    return _frames(regrouped(runs, wanted, batch_rows), named)


def _frames(groups: Iterator[list[Gathered]], named: tuple[str, ...] | None) -> Iterator[pd.DataFrame]:
    import pandas as pd

    from auditkit.frames import results_frame

    start = 0
    for parts in groups:
        frame = results_frame(parts, named, extra=True)
        frame.index = pd.RangeIndex(start, start + len(frame))
        start += len(frame)
        yield frame


def load_failures(*, source: Any = None) -> pd.DataFrame:
    """One row for each place where a source breaks the table of fields, every run read to its end.

    Parameters
    ----------
    source : path, URL or Source, optional
        As for `open_source`.

    Returns
    -------
    DataFrame
        file, run_id, position, field, value, rule; no rows where all is sound, the first 10,000
        otherwise.

    Examples
    --------
    >>> import auditkit as ak
    >>> len(ak.load_failures(source="sample_data/runs"))
    0
    """
    failures = FailureList()
    for found in open_source(source).open():
        try:
            if isinstance(found, Exception):
                raise found
            found.loaded()
        except InvalidRunError as error:
            failures.extend(error)
    return failures_frame(failures.rows)


def _listing(source: Source, on_error: str) -> Listing:
    if on_error not in ("raise", "skip"):
        raise InvalidOptionError(f"on_error={on_error!r} is neither 'raise' nor 'skip'. Give one of them.")
    listing = source.listing()
    if on_error == "raise":
        listing.failures.raise_if_any()
    return listing
