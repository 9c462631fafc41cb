"""Many workers: runs that an executor exports in groups, whichever of its workers die."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from auditkit.errors import InvalidOptionError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from auditkit.crew.inside import Work
    from auditkit.crew.tasks import Task


def checked_jobs(executor: Any, jobs: Any) -> int:
    """How many processes are to be started: 0 for none, or where there is an executor.

    Raises
    ------
    InvalidOptionError
        If one of them is none, or both are given.
    """
    if executor is not None and jobs is not None:
        raise InvalidOptionError(
            "executor= and jobs= are both given. Give one: jobs=N makes an executor of its own."
        )
    if executor is not None:
        _check_executor(executor)
    if jobs is not None and (not isinstance(jobs, int) or isinstance(jobs, bool) or jobs < 1):
        raise InvalidOptionError(f"jobs={jobs!r} is not a number of processes. Give 1 or more.")
    return 0 if jobs is None or jobs == 1 else jobs


def _check_executor(executor: object) -> None:
    from concurrent.futures import Executor

    if not isinstance(executor, Executor):
        raise InvalidOptionError(
            f"executor={type(executor).__name__} is no concurrent.futures.Executor. Of a Dask client take "
            "client.get_executor(pure=False, retries=2)."
        )


def workers_of(executor: Executor | None, jobs: int) -> int:
    """How many workers there are, as far as can be told."""
    known = jobs if executor is None else getattr(executor, "_max_workers", None)
    return known or 16


def worked(
    work: Work, tasks: Sequence[Task], executor: Executor | None, jobs: int, light: bool
) -> Iterator[tuple[int, Any]]:
    """The place of each run and what became of it, as they come.

    Parameters
    ----------
    work : callable
        Given the places and the runs of a task, it gives an outcome for each; it is sent to the workers.
    executor : Executor, optional
        Whose workers do it; None: `jobs` processes that are started for it and end with it.
    light : bool
        Whether nothing of it needs pandas.
    """
    from concurrent.futures import ProcessPoolExecutor

    from auditkit.crew.others import by_others
    from auditkit.crew.processes import Processes

    if executor is None:
        return Processes(work, jobs, light=light).outcomes(tasks)
    if isinstance(executor, ProcessPoolExecutor):
        return Processes(work, workers_of(executor, 0), given=executor).outcomes(tasks)
    return by_others(work, tasks, executor)
