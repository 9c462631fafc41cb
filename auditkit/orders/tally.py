"""What is counted while an order is carried out, and which rows of a run are meant."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

from auditkit.filters import Filter
from auditkit.run import AuditRun, Batches
from auditkit.selection import Rows, matching, picked_rows

ROWS_CHOSEN = "rows chosen by run_id and position"


@dataclass
class Tally:
    """How many results were read, how many of them were named, and how many written."""

    total: int = 0
    named: int = 0
    picked: int | None = None

    @property
    def rows(self) -> int:
        """How many results were written."""
        return self.total if self.picked is None else self.picked


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What is known of an export besides its run: the task that it is, and which part of the run.

    A task that runs twice, for its first worker died or seemed to, leaves one file and one commit.
    """

    task: str | None = None
    part: int | None = None
    rows: tuple[int, int] = (0, 0)

    @property
    def how_chosen(self) -> str:
        """Which rows of the run a part holds."""
        first, end = self.rows
        return f"part {self.part}: rows {first:,} to {end - 1:,}" if end else f"part {self.part}: no rows"


def counted(run: AuditRun, tally: Tally) -> Batches:
    """The results of a run, counted as they pass."""
    tally.total = 0
    for batch in run.batches():
        tally.total += len(batch)
        yield batch
    if run.whole_rows is not None:
        tally.picked, tally.total = tally.total, run.whole_rows


def chosen(run: AuditRun, rows: Rows, filter: Filter, tally: Tally) -> AuditRun:
    """The rows of a run that are named and asked for; `positions` are all that are named."""
    named = picked_rows(dataclasses.replace(run, batches=partial(counted, run, tally)), rows)
    tally.named = len(rows.positions)
    return dataclasses.replace(named, batches=partial(_asked_for, named, filter, tally))


def _asked_for(run: AuditRun, filter: Filter, tally: Tally) -> Batches:
    tally.picked = 0
    for batch in matching(run, filter):
        tally.picked += len(batch)
        yield batch


def how_chosen(run: AuditRun, ticket: Ticket) -> str | None:
    """Which rows of a run are written, in words, where not all are."""
    if ticket.part is not None:
        return ticket.how_chosen
    return None if run.positions is None else ROWS_CHOSEN
