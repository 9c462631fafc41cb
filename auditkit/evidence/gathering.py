"""The runs of a bag, opened and loaded; with failures, an error that names every one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from auditkit.errors import BatchError, InvalidRunIdError
from auditkit.evidence.contents import Contents
from auditkit.naming import check_run_id
from auditkit.receipts import BatchFailure, BatchResult
from auditkit.run import AuditRun
from auditkit.sources import Source


def opened(ids: Sequence[str], source: Source) -> list[AuditRun | Exception]:
    """The run of each id, or why there is none; the source is listed once."""
    reasons: dict[int, Exception] = {}
    for index, run_id in enumerate(ids):
        try:
            check_run_id(run_id)
        except InvalidRunIdError as error:
            reasons[index] = error
    found = iter(source.open([run_id for index, run_id in enumerate(ids) if index not in reasons]))
    return [reasons[index] if index in reasons else next(found) for index in range(len(ids))]


def filled(
    contents: Contents,
    ids: Sequence[str],
    runs: Iterable[AuditRun | Exception],
    seen: Callable[[Exception], Exception],
) -> Contents:
    """The contents, once every run is in them; `seen` is an error as it may be shown.

    Raises
    ------
    BatchError
        Naming all runs that failed, if there are several; if it is one, its own error.
    """
    failures = []
    for run_id, run in zip(ids, runs, strict=True):
        try:
            if isinstance(run, Exception):
                raise run
            contents.add(run.loaded())
        except Exception as error:
            failures.append(BatchFailure(run_id=run_id, error=seen(error)))
    _raise_failures(failures, len(ids))
    return contents


def _raise_failures(failures: list[BatchFailure], count: int) -> None:
    """Raise what is wrong with one run, or an error that names several; nothing, if there is none."""
    if len(failures) == 1:
        raise failures[0].error
    if failures:
        first = failures[0]
        raise BatchError(
            f"{len(failures)} of {count} runs could not be exported, first {first.run_id!r}: {first.error} "
            "No bag was made. `.failures` of this error lists each with its reason.",
            BatchResult(receipts=[], failures=failures),
        )
