"""WatchedSource: a source that tells how many results have been streamed from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from auditkit.run import AuditRun, Batches, HeaderChanged
from auditkit.sources import Source
from auditkit.sources.base import Listing


@dataclass
class _Seen:
    """How many results of a run have been told of; a second reading tells only of what comes behind them."""

    rows: int = 0


class WatchedSource:
    """A source as it is, and beside it a word for every batch that it gives.

    Parameters
    ----------
    source : Source
    tell : callable
        Told, after each batch, how many results were streamed so far and how many the runs that were
        opened declare.
    """

    def __init__(self, source: Source, tell: Callable[[int, int], object]):
        self._source = source
        self._tell = tell
        self._streamed = 0
        self._declared = 0

    @property
    def location(self) -> str:
        """Where it is."""
        return self._source.location

    def listing(self) -> Listing:
        """The headers of all runs."""
        return self._source.listing()

    def open(self, run_ids: Sequence[str] | None = None) -> list[AuditRun | Exception]:
        """The runs, watched while they stream."""
        return [self._watched(found) for found in self._source.open(run_ids)]

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[AuditRun | Exception]:
        """The runs in memory, watched when they are read again."""
        return map(self._watched, self._source.load(run_ids))

    def _watched(self, found: AuditRun | Exception) -> AuditRun | Exception:
        if isinstance(found, Exception):
            return found
        self._declared += found.total_submissions or 0
        return self._counting(found, _Seen())

    def _counting(self, run: AuditRun, seen: _Seen) -> AuditRun:
        return dataclasses.replace(run, batches=partial(self._batches, run, seen))

    def _batches(self, run: AuditRun, seen: _Seen) -> Batches:
        rows = 0
        try:
            for batch in run.batches():
                rows += len(batch)
                if rows > seen.rows:
                    self._streamed += rows - seen.rows
                    seen.rows = rows
                    self._tell(self._streamed, self._declared)
                yield batch
        except HeaderChanged as change:
            raise HeaderChanged(self._counting(change.run, seen)) from None
