"""Tasks of a batch that are done once, whoever runs them how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from auditkit.destination import Destination
from auditkit.exportlog.tasks import Done, TaskLog, size_of_log
from auditkit.orders.tally import Ticket
from auditkit.publish import PublishLog
from auditkit.receipts import ExportReceipt
from auditkit.store import Location


@dataclass(frozen=True)
class Once:
    """The log in which tasks are looked for, if they are those of a batch."""

    tasks: TaskLog | None = None

    @classmethod
    def of(cls, to: Destination, batch: str) -> Once:
        """The log of a destination from here on; without a log in a file no task can be found again."""
        if to.holding is None:
            return cls()
        path = to.holding.path
        return cls(TaskLog(path=path, mode=to.holding.mode, batch=batch, since=size_of_log(path)))

    def done_before(self, tickets: Sequence[Ticket]) -> dict[str, Done]:
        """What of some tasks was done before."""
        named = _named(tickets)
        return {} if self.tasks is None or not named else self.tasks.of(named).done_before()

    def log(self, tickets: Sequence[Ticket], to: Destination) -> PublishLog:
        """The log of a destination, for these tasks."""
        named = _named(tickets)
        if self.tasks is None or not named:
            return to.log
        log = self.tasks.of(named)
        if to.log is to.holding:
            return log
        beside = getattr(to.log, "beside", None)  # it writes to the log in the file, too
        return to.log if beside is None else cast(PublishLog, beside(log))


def absolute(to: Destination) -> Destination:
    """The destination with paths that begin at the root."""
    if isinstance(to.folder, Path):
        to = dataclasses.replace(to, folder=to.folder.absolute())
    if to.holding is None:
        return to
    holding = dataclasses.replace(to.holding, path=to.holding.path.absolute())
    if to.log is to.holding:
        return dataclasses.replace(to, log=holding, holding=holding)
    beside = getattr(to.log, "beside", None)
    log = to.log if beside is None else cast(PublishLog, beside(holding))
    return dataclasses.replace(to, log=log, holding=holding)


def again(done: Done, folder: Location, facts: Mapping[str, Any]) -> ExportReceipt:
    """The receipt of what was done before."""
    record = done.record
    rows, total = (int(count) for count in record["rows"].split(" of "))
    return ExportReceipt(
        **{**facts, "rows": rows, "rows_total": total},
        path=folder / record["path"].rpartition("/")[2],
        bytes=record["bytes"],
        sha256=record["sha256"],
        plain_sha256=record.get("plain_sha256"),
        log_head=done.hash,
        seconds=record.get("seconds", 0.0),
        reused=True,
    )


def _named(tickets: Sequence[Ticket]) -> list[str]:
    return [ticket.task for ticket in tickets if ticket.task is not None]
