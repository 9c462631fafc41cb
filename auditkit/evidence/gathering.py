"""The runs of a bag, loaded and written; with failures, an error that names every one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from auditkit.errors import BatchError
from auditkit.evidence.contents import Contents
from auditkit.receipts import BatchFailure, BatchResult
from auditkit.run import AuditRun


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
    if len(failures) == 1:
        raise failures[0].error
    if failures:
        raise BatchError.of(BatchResult(receipts=[], failures=failures), len(ids), "No bag was made. ")
    return contents
