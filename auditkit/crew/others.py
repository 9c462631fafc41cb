"""Executors of other kinds: threads, Dask, and whatever else keeps its workers alive by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed
from typing import Any

from auditkit.crew.inside import Answer, Work, done
from auditkit.crew.processes import Outcome, died, each
from auditkit.crew.tasks import Task
from auditkit.errors import InvalidOptionError

_GIVEN_UP = (Exception, CancelledError, asyncio.CancelledError)


def by_others(work: Work, tasks: Sequence[Task], executor: Executor) -> Iterator[Outcome]:
    """The place of each run and what became of it, as they come; what is given up is tried once more."""
    futures: dict[Future[Answer], Task] = {}
    lost: list[Task] = []
    try:
        for task in tasks:
            futures[_submitted(executor, work, task)] = task
        for future in as_completed(futures):
            task = futures[future]
            try:
                answer = future.result()
            except _GIVEN_UP:
                lost += task.alone()
            else:
                yield from each(task, answer)
        for task in lost:
            yield from each(task, _once_more(executor, work, task))
    finally:
        for future in futures:
            future.cancel()


def _submitted(executor: Executor, work: Work, task: Task) -> Future[Answer]:
    try:
        return executor.submit(done, work, task)
    except RuntimeError:  # it was shut down
        raise
    except Exception as error:
        raise InvalidOptionError(
            f"Run {task.runs[0].id!r} cannot be sent to {type(executor).__name__}: "
            f"{type(error).__name__}: {error}. Export without executor=, or with threads: "
            "ThreadPoolExecutor()."
        ) from None


def _once_more(executor: Executor, work: Work, task: Task) -> Answer:
    try:
        return _submitted(executor, work, task).result()
    except _GIVEN_UP as error:
        return died(task, f"{type(executor).__name__} gave it up twice, last with {_named(error)}")


def _named(error: BaseException) -> str:
    text: Any = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
