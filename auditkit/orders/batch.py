"""A batch of runs, each exported as a file of its own: here, or by the workers of an executor."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.errors import InvalidOptionError
from auditkit.leftovers import is_abandoned, is_temporary
from auditkit.orders import Order
from auditkit.orders.tally import Ticket
from auditkit.places import staging_folder
from auditkit.receipts import ExportReceipt
from auditkit.run import AuditRun
from auditkit.store import Location

if TYPE_CHECKING:
    from concurrent.futures import Executor

_CLOCKS_APART_SECONDS = 60
Outcome = ExportReceipt | Exception


def export_each(
    order: Order,
    runs: Sequence[AuditRun | Exception],
    executor: Executor | None,
    jobs: int,
    *,
    parts: bool = False,
) -> Iterator[tuple[int, Outcome]]:
    """The place of each run and its receipt, or why there is none, as they come.

    With `parts` the runs are the parts of one.
    """
    if executor is not None or jobs:
        return _by_workers(order, runs, executor, jobs, parts)
    if parts:
        return _one_by_one(order, runs)
    return enumerate(order.export_in_groups(runs))


def _one_by_one(order: Order, parts: Sequence[AuditRun | Exception]) -> Iterator[tuple[int, Outcome]]:
    for place, part in enumerate(parts):
        (outcome,) = order.export([part], [_ticket(None, True, place, part)])
        yield place, outcome


def _by_workers(
    order: Order, runs: Sequence[AuditRun | Exception], executor: Executor | None, jobs: int, parts: bool
) -> Iterator[tuple[int, Outcome]]:
    from auditkit.crew import worked, workers_of
    from auditkit.crew.tasks import grouped

    _check_place(order.folder, executor)
    batch, began = secrets.token_hex(16), time.time()
    work = partial(_exported, order.of_batch(batch), batch, parts)
    tasks = grouped(
        {place: run for place, run in enumerate(runs) if isinstance(run, AuditRun)},
        workers_of(executor, jobs),
    )
    yield from ((place, run) for place, run in enumerate(runs) if isinstance(run, Exception))
    light = order.is_built_in and all(_is_ours(run) for task in tasks for run in task.runs)
    try:
        for place, outcome in worked(work, tasks, executor, jobs, light):
            yield place, _seen_from_here(order, outcome)
    finally:
        _clear(order.folder if isinstance(order.folder, Path) else staging_folder(), began)


def _check_place(folder: Location, executor: Executor | None) -> None:
    """Refuse a folder that no other process can see."""
    from concurrent.futures import ThreadPoolExecutor

    if str(folder).startswith("memory://") and not isinstance(executor, ThreadPoolExecutor):
        raise InvalidOptionError(
            f"{folder} is in the memory of one process, and others would write into their own. Export "
            "without jobs= and executor=, or to another place."
        )


def _seen_from_here(order: Order, outcome: Outcome) -> Outcome:
    if isinstance(outcome, Exception):
        return outcome
    return replace(outcome, path=order.folder / outcome.path.name)


def _exported(
    order: Order, batch: str, parts: bool, places: Sequence[int], runs: Sequence[AuditRun]
) -> list[Outcome]:
    """What a worker does."""
    return order.export(runs, [_ticket(batch, parts, *one) for one in zip(places, runs, strict=True)])


def _ticket(batch: str | None, parts: bool, place: int, run: AuditRun | Exception) -> Ticket:
    task = None if batch is None else f"{batch}-{place}"
    if not parts:
        return Ticket(task=task)
    rows = (0, 0) if isinstance(run, Exception) else (run.batches.start, run.batches.stop)  # type: ignore[attr-defined]
    return Ticket(task=task, part=place + 1, rows=rows)


def _is_ours(run: AuditRun) -> bool:
    """Whether the results of a run are read by this package, which needs no pandas for it."""
    reader: Any = getattr(run.batches, "func", run.batches)
    if reader is iter:  # they are held
        return True
    owner = getattr(reader, "__self__", None)
    return any(
        str(getattr(one, "__module__", "")).startswith("auditkit.")
        for one in (type(owner), type(reader), reader)
    )


def _clear(folder: Path, began: float) -> None:
    """Remove what workers that died were writing: temporary files since then that nobody holds any more."""
    with suppress(OSError):
        for name in filter(is_temporary, os.listdir(folder)):
            with suppress(OSError):
                found = os.lstat(folder / name)
                ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
                young = found.st_mtime >= began - _CLOCKS_APART_SECONDS
                if stat.S_ISREG(found.st_mode) and ours and young and is_abandoned(folder / name):
                    os.unlink(folder / name)
