"""Exporting: one run, many runs, or a selection of results, each as a file and a receipt for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from auditkit.crew import checked_jobs
from auditkit.destination import EncryptTo
from auditkit.errors import BatchError, InvalidOptionError
from auditkit.filters import Filter
from auditkit.formats.base import Compression
from auditkit.orders import order_of
from auditkit.orders.batch import export_each
from auditkit.parts import export_in_parts, part_rows
from auditkit.progress import progress_bar
from auditkit.publish import IfExists, PublishLog
from auditkit.receipts import BatchResult, ExportReceipt
from auditkit.run import AuditRun
from auditkit.selection import rows_named
from auditkit.sources import open_source
from auditkit.sources.base import opened_each

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd

    from auditkit.protect.pseudonyms import Pseudonymizer

_ORDER = (
    "format", "output_dir", "include_metadata", "flatten_results", "formula_guard", "excel", "compression",
    "if_exists", "encrypt_to", "pseudonymizer", "checksum", "log", "group_readable",
)  # fmt: skip


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
    encrypt_to: EncryptTo | None = None,
    pseudonymizer: Pseudonymizer | None = None,
    checksum: bool = False,
    log: str | os.PathLike[str] | PublishLog | None = None,
    group_readable: bool = False,
    parts: bool | int = False,
    executor: Executor | None = None,
    jobs: int | None = None,
) -> ExportReceipt:
    """Export one run as a file, or as several.

    Parameters
    ----------
    run : str or AuditRun
        A run id of the source, which is then streamed; or a run at hand. A selection of one is named
        `audit-results-{run id}-{date}`, so that nobody takes it for the whole.
    format : str
        `csv`, `json`, `jsonl`, `parquet`, `xlsx` (with `auditkit[excel]`), or an installed one.
    source : path, URL or Source, optional
        As for `open_source`.
    output_dir : path or URL
        A folder, made if it does not exist; or a place in a store: `s3://bucket/exports`.
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
    encrypt_to : str, path, or several, optional
        Who alone can read it: `age1…`, an SSH public key, or a file of them; never the same bytes twice.
    pseudonymizer : Pseudonymizer, optional
        Writes pseudonyms for the ids of users, submissions and reviewers.
    checksum : bool
        Write `FILE.sha256` beside it, for `sha256sum -c`.
    log : path or PublishLog, optional
        The export log; left out: `export-log.jsonl` in the folder. There is always one.
    group_readable : bool
        Let the group read the file (0640); otherwise its owner alone may (0600).
    parts : bool or int
        Write a huge run as numbered files of a million results, or of so many, and a manifest that lists
        them and is itself a source: `….part-00001.csv` and so on, and last of all `….parts.json`. A
        source that cannot give a part without reading all in front of it, as JSON, is read anew for each.
    executor, jobs : optional
        Who makes the parts; as for `export_multiple_runs`.

    Returns
    -------
    ExportReceipt
        Path, rows, size and SHA-256 of the file; in parts, those of the manifest, and `.parts`.

    Raises
    ------
    RunNotFoundError, InvalidRunError, InvalidRunIdError, UnknownFormatError, InvalidOptionError,
    ExportExistsError, NoSourceError, OSError
        In each case nothing is left behind.
    BatchError
        If some parts failed: the others are kept, and there is no manifest.

    Examples
    --------
    >>> import auditkit as ak
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=folder)
    >>> receipt.rows, receipt.bytes
    (8, 2155)
    """
    order = order_of(**_order_of(locals()))
    wanted = checked_jobs(executor, jobs)
    rows_a_part = part_rows(parts, by_workers=executor is not None or wanted > 0)
    if isinstance(run, AuditRun):
        runs: list[AuditRun | Exception] = [run]
        order.prepare(runs, None)
    else:
        place = open_source(source)
        runs = opened_each([run], place)
        order.prepare(runs, place.location)
    if rows_a_part and isinstance(runs[0], AuditRun):
        return export_in_parts(order, runs[0], rows_a_part, executor, wanted)
    (outcome,) = order.export(runs)
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
    encrypt_to: EncryptTo | None = None,
    pseudonymizer: Pseudonymizer | None = None,
    checksum: bool = False,
    log: str | os.PathLike[str] | PublishLog | None = None,
    group_readable: bool = False,
    on_error: Literal["raise", "collect"] = "raise",
    progress: bool | None = None,
    executor: Executor | None = None,
    jobs: int | None = None,
) -> BatchResult:
    """Export many runs, each as a file of its own; every one of them is tried.

    Parameters
    ----------
    run_ids : iterable of str
    on_error : {"raise", "collect"}
        With failures, raise a `BatchError` that carries the result, or return it.
    progress : bool, optional
        Show a bar; None: on a terminal.
    executor : concurrent.futures.Executor, optional
        Whose workers export the runs, in groups: of processes, of threads, of Dask
        (`client.get_executor(pure=False, retries=2)`). They need the same source, destination and log,
        which other machines see at the same absolute paths on a disk that locks (NFS 4 does), or at a
        URL. A worker that dies costs another try of what it had in hand; what it had done stays, once.
    jobs : int, optional
        So many processes of our own. A script needs no `__main__` guard for them, but what it defines
        itself, such as a source, has to be in a module.

    The other parameters are those of `export_audit_run`.

    Returns
    -------
    BatchResult
        `.receipts` and `.failures`, in the order asked.

    Raises
    ------
    BatchError
        After the last run, if any failed and `on_error="raise"`.

    Examples
    --------
    >>> import auditkit as ak
    >>> ids = ["run-001", "run-404"]
    >>> batch = ak.export_multiple_runs(
    ...     ids, "json", source="sample_data/runs", output_dir=folder, on_error="collect"
    ... )
    >>> [receipt.path.name for receipt in batch.receipts], [failure.run_id for failure in batch.failures]
    (['audit-run-run-001-2024-01-15.json'], ['run-404'])
    """
    if on_error not in ("raise", "collect"):
        raise InvalidOptionError(f"on_error={on_error!r} is neither 'raise' nor 'collect'. Give one of them.")
    order = order_of(**_order_of(locals()))
    wanted = checked_jobs(executor, jobs)
    ids = [run_ids] if isinstance(run_ids, str) else list(run_ids)
    place = open_source(source)
    runs = opened_each(ids, place)
    order.prepare(runs, place.location)
    outcomes = dict(progress_bar(export_each(order, runs, executor, wanted), len(runs), "run", progress))
    result = BatchResult.of(ids, [outcomes[place] for place in range(len(runs))])
    if result.failures and on_error == "raise":
        raise BatchError.of(result, len(ids))
    return result


def export_results(
    results: pd.DataFrame,
    format: str,
    *,
    name: str,
    filter: Filter | None = None,
    source: Any = None,
    output_dir: str | os.PathLike[str] = "exports",
    include_metadata: bool = True,
    flatten_results: bool = False,
    formula_guard: bool = True,
    excel: bool = False,
    compression: Compression | None = None,
    if_exists: IfExists = "version",
    encrypt_to: EncryptTo | None = None,
    pseudonymizer: Pseudonymizer | None = None,
    checksum: bool = False,
    log: str | os.PathLike[str] | PublishLog | None = None,
    group_readable: bool = False,
) -> ExportReceipt:
    """Export a selection of results, of one run or of several, as one file.

    The frame says which rows: its columns `run_id` and `position` name them. Their values are read
    again from the source, as recorded, whatever else the frame holds; where it holds `result_id` or
    `submission_id`, these have to be those of the rows, or the frame comes from another source. Runs
    stand in the order of their ids, rows in recorded order.

    Parameters
    ----------
    results : DataFrame
        With the columns run_id and position, each row once.
    name : str
        What the selection is called in the file name `audit-results-{name}-{date}`.
    filter : Filter, optional
        Write those of the rows that it asks for, by their values as recorded. Where the frame names
        every result of its runs, the receipt says that the filter chose the rows.

    The other parameters are those of `export_audit_run`.

    Raises
    ------
    InvalidOptionError
        If the frame lacks those columns, names a row twice, one that is not there or one with another
        id, or the format cannot hold rows of several runs.
    RunNotFoundError
        If the source has no such run.

    Examples
    --------
    >>> import auditkit as ak
    >>> results = ak.load_results(source="sample_data/runs")
    >>> receipt = ak.export_results(
    ...     results[results.deviation > 40], "csv", name="large", source="sample_data/runs", output_dir=folder
    ... )
    >>> f"{receipt.rows} of {receipt.rows_total}"
    '23 of 1580'
    >>> large = ak.Filter(deviation=(40, None), deviation_type="critical")
    >>> receipt = ak.export_results(
    ...     results, "csv", name="large", filter=large, source="sample_data/runs", output_dir=folder
    ... )
    >>> receipt.filter
    Filter(deviation=(40, None), deviation_type=('critical',))
    """
    order = order_of(**_order_of(locals()))
    if filter is not None and not isinstance(filter, Filter):
        raise InvalidOptionError(
            f"filter={filter!r} is no Filter. Make one: ak.Filter(deviation=(40, None))."
        )
    places = rows_named(results)
    place = open_source(source) if places else None
    runs = []
    for run in place.open(list(places)) if place else []:
        if isinstance(run, Exception):
            raise run
        runs.append(run)
    order.prepare(runs, place.location if place else None)
    return order.export_selection(runs, places, name, filter or Filter())


def _order_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those options of an exporting function that make the order."""
    return {name: given[name] for name in _ORDER}
