"""Exporting: one run, many runs, or a selection of results, each as a file and a receipt for it."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from auditkit.errors import BatchError, InvalidOptionError
from auditkit.formats import get_format
from auditkit.formats.base import COMPRESSION_SUFFIXES, Compression, SelectionFormat, Sink, WriteOptions
from auditkit.naming import check_run_id, run_file_name, selection_file_name
from auditkit.progress import progress_bar
from auditkit.publish import Draft, IfExists, Published, publish
from auditkit.run import AuditRun, Batches, HeaderChanged, pick
from auditkit.schema import POSITION, RUN_ID
from auditkit.sources import open_source

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_GROUP = 64
_ROWS_CHOSEN = "rows chosen by run_id and position"

log = logging.getLogger("auditkit")


@dataclass(frozen=True, kw_only=True)
class ExportReceipt(os.PathLike[str]):
    """What was written: a path that can be opened, and the facts about the file.

    Attributes
    ----------
    path : Path
    format : str
    run_ids : tuple of str
    rows, rows_total : int
        How many results the file holds, of how many that the runs have.
    bytes : int
    sha256 : str
        Of the file as it stands on disk, 64 hexadecimal digits.
    options : dict
        How it was written: the options that differ from their defaults.
    filter : str or None
        Which results were chosen, where not all were.
    absent_fields : tuple of str
        Frame columns that the input could not carry, and that are therefore blank or left out.
    log_head : str or None
        The head of the export log after this export.
    seconds : float
        How long it took.
    reused : bool
        Whether the file stood there before, with the same bytes.
    """

    path: Path
    format: str
    run_ids: tuple[str, ...]
    rows: int
    rows_total: int
    bytes: int
    sha256: str
    options: dict[str, Any]
    filter: str | None = None
    absent_fields: tuple[str, ...] = ()
    log_head: str | None = field(default=None, repr=False, compare=False)
    seconds: float = field(repr=False, compare=False)
    reused: bool = field(repr=False, compare=False)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def _repr_html_(self) -> str:
        from auditkit.html import receipt_html

        return receipt_html(self)


@dataclass(frozen=True, kw_only=True)
class BatchFailure:
    """A run of a batch that could not be exported, and why."""

    run_id: str
    error: Exception


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What became of a batch: receipts and failures, each in the order asked."""

    receipts: list[ExportReceipt]
    failures: list[BatchFailure]

    def _repr_html_(self) -> str:
        from auditkit.html import batch_html

        return batch_html(self)


def export_audit_run(
    run: str | AuditRun,
    format: str,
    *,
    source: Any = None,
    output_dir: str | os.PathLike[str] = "exports",
    include_metadata: bool = True,
    flatten_results: bool = False,
    formula_guard: bool = True,
    excel: bool = False,
    compression: Compression | None = None,
    if_exists: IfExists = "version",
) -> ExportReceipt:
    """Export one run as a file.

    Parameters
    ----------
    run : str or AuditRun
        A run id of the source, which is then streamed; or a run at hand, also a selection of one.
    format : str
        `csv`, `json`, `jsonl`, `parquet`, or an installed one.
    source : path, URL or Source, optional
        As for `open_source`.
    output_dir : path
        Made if it does not exist.
    include_metadata : bool
        Write what the run says of itself; otherwise its id alone.
    flatten_results : bool
        JSON only: an array of flat records.
    formula_guard : bool
        CSV only: keep spreadsheets from taking text for a formula.
    excel : bool
        CSV only: a byte order mark and CRLF line ends.
    compression : {"gzip", "zstd"}, optional
        Adds `.gz` or `.zst` to the name; for Parquet the codec of its columns.
    if_exists : {"version", "error", "replace"}
        If a file of that name has other bytes: take the next free name, refuse, or replace it. With
        the same bytes nothing is written.

    Returns
    -------
    ExportReceipt
        Path, rows, size and SHA-256 of the file.

    Raises
    ------
    RunNotFoundError, InvalidRunError, InvalidRunIdError, UnknownFormatError, InvalidOptionError,
    ExportExistsError, NoSourceError, OSError
        In each case nothing is left behind.

    Examples
    --------
    >>> import auditkit as ak
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=folder)
    >>> receipt.rows, receipt.bytes
    (8, 1984)
    """
    options = WriteOptions(
        include_metadata=include_metadata,
        flatten_results=flatten_results,
        formula_guard=formula_guard,
        excel=excel,
        compression=compression,
    )
    order = _Order(format, options, output_dir, if_exists)
    (outcome,) = order.export([_opened(run, source) if isinstance(run, str) else run])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def export_multiple_runs(
    run_ids: Iterable[str],
    format: str,
    *,
    source: Any = None,
    output_dir: str | os.PathLike[str] = "exports",
    include_metadata: bool = True,
    flatten_results: bool = False,
    formula_guard: bool = True,
    excel: bool = False,
    compression: Compression | None = None,
    if_exists: IfExists = "version",
    on_error: Literal["raise", "collect"] = "raise",
    progress: bool | None = None,
) -> BatchResult:
    """Export many runs, each as a file of its own; every one of them is tried.

    Parameters
    ----------
    run_ids : iterable of str
    on_error : {"raise", "collect"}
        With failures, raise a `BatchError` that carries the result, or return it.
    progress : bool, optional
        Show a bar; None: on a terminal.

    The other parameters are those of `export_audit_run`.

    Returns
    -------
    BatchResult
        `.receipts` and `.failures`, in the order asked.

    Raises
    ------
    BatchError
        After the last run, if any failed and `on_error="raise"`.
    """
    if on_error not in ("raise", "collect"):
        raise InvalidOptionError(f"on_error={on_error!r} is neither 'raise' nor 'collect'. Give one of them.")
    options = WriteOptions(
        include_metadata=include_metadata,
        flatten_results=flatten_results,
        formula_guard=formula_guard,
        excel=excel,
        compression=compression,
    )
    order = _Order(format, options, output_dir, if_exists)
    ids = [run_ids] if isinstance(run_ids, str) else list(run_ids)
    runs = open_source(source).open(ids)
    groups = [runs[start : start + _GROUP] for start in range(0, len(runs), _GROUP)]
    done = (outcome for group in groups for outcome in order.export(group))
    outcomes = list(progress_bar(done, len(runs), "run", progress))
    result = BatchResult(
        receipts=[outcome for outcome in outcomes if isinstance(outcome, ExportReceipt)],
        failures=[
            BatchFailure(run_id=run_id, error=outcome)
            for run_id, outcome in zip(ids, outcomes, strict=True)
            if isinstance(outcome, Exception)
        ],
    )
    if result.failures and on_error == "raise":
        raise BatchError(_batch_message(result, len(ids)), result)
    return result


def export_results(
    results: pd.DataFrame,
    format: str,
    *,
    name: str,
    source: Any = None,
    output_dir: str | os.PathLike[str] = "exports",
    include_metadata: bool = True,
    flatten_results: bool = False,
    formula_guard: bool = True,
    excel: bool = False,
    compression: Compression | None = None,
    if_exists: IfExists = "version",
) -> ExportReceipt:
    """Export a selection of results, of one run or of several, as one file.

    The frame says which rows: its columns `run_id` and `position` name them. Their values are read
    again from the source, as recorded, whatever else the frame holds. Runs stand in the order of
    their ids, rows in recorded order.

    Parameters
    ----------
    results : DataFrame
        With the columns run_id and position, each row once.
    name : str
        What the selection is called in the file name `audit-results-{name}-{date}`.

    The other parameters are those of `export_audit_run`.

    Raises
    ------
    InvalidOptionError
        If the frame lacks those columns, names a row twice or one that is not there, or the format
        cannot hold rows of several runs.
    RunNotFoundError
        If the source has no such run.
    """
    options = WriteOptions(
        include_metadata=include_metadata,
        flatten_results=flatten_results,
        formula_guard=formula_guard,
        excel=excel,
        compression=compression,
    )
    order = _Order(format, options, output_dir, if_exists)
    places = _places(results)
    opened = open_source(source).open(list(places)) if places else []
    runs = []
    for run in opened:
        if isinstance(run, Exception):
            raise run
        runs.append(run)
    return order.export_selection(runs, places, name)


@dataclass
class _Tally:
    """How many results were read, and how many of them written."""

    total: int = 0
    picked: int | None = None

    @property
    def rows(self) -> int:
        return self.total if self.picked is None else self.picked


class _Order:
    """A format with its options and the place where its files go."""

    def __init__(
        self, format: str, options: WriteOptions, output_dir: str | os.PathLike[str], if_exists: IfExists
    ):
        self._name = format
        self._format = get_format(format, options)
        self._options = options
        self._folder = Path(output_dir)
        self._if_exists: IfExists = if_exists
        self._compression = None if format == "parquet" else options.compression
        packed = COMPRESSION_SUFFIXES[self._compression] if self._compression else ""
        self._suffix = self._format.suffix + packed
        if not options.formula_guard:
            log.warning("exporting %s without the formula guard to %s", format, self._folder)

    def export(self, runs: Sequence[AuditRun | Exception]) -> list[ExportReceipt | Exception]:
        """A receipt for each run, or why there is none; the files are made as a group."""
        drafts: dict[int, Draft] = {}
        tallies = [_Tally() for _ in runs]
        outcomes: list[Any] = list(runs)
        for index, run in enumerate(runs):
            if isinstance(run, AuditRun):
                write = partial(self._write_run, run, tallies[index])
                drafts[index] = self._draft(run_file_name(run.id, self._suffix), write)
        started = time.perf_counter()
        published = publish(list(drafts.values()), if_exists=self._if_exists)
        for index, outcome in zip(drafts, published, strict=True):
            if isinstance(outcome, HeaderChanged):
                outcomes[index] = self.export([outcome.run])[0]
            elif isinstance(outcome, Exception):
                outcomes[index] = outcome
            else:
                run = outcomes[index]
                filter = None if run.positions is None else _ROWS_CHOSEN
                outcomes[index] = self._receipt(outcome, [run], [tallies[index]], started, filter)
        return outcomes

    def export_selection(
        self, runs: Sequence[AuditRun], places: Mapping[str, np.ndarray], name: str
    ) -> ExportReceipt:
        """One file with the chosen rows of some runs."""
        started = time.perf_counter()
        tallies = [_Tally() for _ in runs]
        chosen = [_picked(run, places[run.id], tally) for run, tally in zip(runs, tallies, strict=True)]
        write = partial(self._write_selection, chosen)
        draft = self._draft(selection_file_name(name, self._suffix), write)
        (outcome,) = publish([draft], if_exists=self._if_exists)
        if isinstance(outcome, HeaderChanged):
            changed = outcome.run
            again = [changed if run.id == changed.id else run for run in runs]
            return self.export_selection(again, places, name)
        if isinstance(outcome, Exception):
            raise outcome
        return self._receipt(outcome, runs, tallies, started, _ROWS_CHOSEN)

    def _draft(self, name: str, write: Callable[[Sink], None]) -> Draft:
        return Draft(folder=self._folder, name=name, write=write, compression=self._compression)

    def _write_run(self, run: AuditRun, tally: _Tally, sink: Sink) -> None:
        self._format.write(dataclasses.replace(run, batches=partial(_counted, run, tally)), sink)

    def _write_selection(self, runs: Sequence[AuditRun], sink: Sink) -> None:
        if not isinstance(self._format, SelectionFormat):
            raise InvalidOptionError(
                f"The format {self._name!r} cannot hold rows of several runs. Export them run by run."
            )
        self._format.write_selection(runs, sink)

    def _receipt(
        self,
        published: Published,
        runs: Sequence[AuditRun],
        tallies: Sequence[_Tally],
        started: float,
        filter: str | None = None,
    ) -> ExportReceipt:
        receipt = ExportReceipt(
            path=published.path,
            format=self._name,
            run_ids=tuple(run.id for run in runs),
            rows=sum(tally.rows for tally in tallies),
            rows_total=sum(tally.total for tally in tallies),
            bytes=published.bytes,
            sha256=published.sha256,
            options=self._options.changed(),
            filter=filter,
            absent_fields=tuple(sorted({name for run in runs for name in run.absent_fields})),
            log_head=None,
            seconds=time.perf_counter() - started,
            reused=published.reused,
        )
        log.info("%s %s", "kept" if published.reused else "wrote", published.path)
        return receipt


def _opened(run_id: str, source: Any) -> AuditRun:
    check_run_id(run_id)
    (found,) = open_source(source).open([run_id])
    if isinstance(found, Exception):
        raise found
    return found


def _counted(run: AuditRun, tally: _Tally) -> Batches:
    tally.total = 0
    for batch in run.batches():
        tally.total += len(batch)
        yield batch
    if run.whole_rows is not None:
        tally.picked, tally.total = tally.total, run.whole_rows


def _picked(run: AuditRun, places: np.ndarray, tally: _Tally) -> AuditRun:
    counted = dataclasses.replace(run, batches=partial(_counted, run, tally))
    tally.picked = len(places)
    return dataclasses.replace(run, batches=partial(pick, counted, places), positions=places)


def _places(results: pd.DataFrame) -> dict[str, np.ndarray]:
    """For each run id, in order, the sorted positions that a frame names."""
    missing = {RUN_ID, POSITION} - set(results.columns)
    if missing:
        raise InvalidOptionError(
            f"The frame has no column {' and no column '.join(sorted(missing))}, which name its rows. "
            "Take the rows from load_results."
        )
    doubled = results.duplicated([RUN_ID, POSITION])
    if doubled.any():
        row = results[doubled].iloc[0]
        raise InvalidOptionError(
            f"The frame names row {row[POSITION]} of run {row[RUN_ID]!r} twice. Drop the duplicates."
        )
    groups = results.groupby(RUN_ID, sort=True, observed=True)[POSITION]
    return {str(run_id): group.sort_values().to_numpy("int64") for run_id, group in groups}


def _batch_message(result: BatchResult, count: int) -> str:
    first = result.failures[0]
    return (
        f"{len(result.failures)} of {count} runs could not be exported, {first.run_id!r} first: "
        f"{first.error} The other {len(result.receipts)} were; `.failures` of this error lists what was not."
    )
