"""A part of a run, read without reading all of it where its source knows how: columns, rows, a filter."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from auditkit.errors import InvalidOptionError, InvalidRunError
from auditkit.filters import Filter
from auditkit.run import AuditRun, Batches, HeaderChanged
from auditkit.schema import POSITION, RUN_ID, result_schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


Gathered = tuple[str, "np.ndarray", list["pa.RecordBatch"]]
"""Some rows of a run: its id, their positions, their batches."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What is wanted of a run.

    Attributes
    ----------
    columns : tuple of str, optional
        Columns of `schema.result_schema()`, in its order; None: all of them.
    filter : Filter
        Which rows; it may ask for columns that are not wanted.
    start, stop : int
        From which position of the run to which (not included); None: to its end.
    """

    columns: tuple[str, ...] | None = None
    filter: Filter = field(default_factory=Filter)
    start: int = 0
    stop: int | None = None


class Scanned(NamedTuple):
    """Some rows of a run: their positions in it, sorted, shape (rows,), and the columns wanted of them."""

    positions: np.ndarray
    batch: pa.RecordBatch


@runtime_checkable
class Scannable(Protocol):
    """The `batches` of a run whose source can read a part of it for less than all."""

    def __call__(self) -> Batches:
        """All results."""

    def scan(self, wanted: Scan) -> Iterator[Scanned]:
        """The rows and columns that are wanted, checked as all results are."""

    def count(self) -> int:
        """How many results there are."""


def columns_named(columns: Iterable[str] | str) -> tuple[str, ...]:
    """The columns of a results frame that are wanted, without those that name a row.

    Raises
    ------
    InvalidOptionError
        If there is no such column, or one stands twice.
    """
    names = [columns] if isinstance(columns, str) else list(columns)
    known = (RUN_ID, POSITION, *result_schema().names)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(known)}."
            raise InvalidOptionError(f"Results have no column {name!r}. {hint}")
        if names.count(name) > 1:
            raise InvalidOptionError(f"The column {name!r} stands twice in columns. Name each once.")
    return tuple(name for name in names if name not in (RUN_ID, POSITION))


def wanted_of(columns: Sequence[str] | None, filter: Filter | None) -> Scan:
    """What is to be read for a frame of some columns of some rows.

    Raises
    ------
    InvalidOptionError
        If the filter is none.
    """
    if filter is not None and not isinstance(filter, Filter):
        raise InvalidOptionError(f"{filter!r} is no filter. Give one such as Filter(deviation=(10, None)).")
    names = None if columns is None else tuple(n for n in result_schema().names if n in columns)
    return Scan(columns=names, filter=filter or Filter())


def gathered(run: AuditRun, wanted: Scan) -> Gathered:
    """The wanted rows of a run in memory: its id, their positions, their batches."""
    import numpy as np

    try:
        found = list(scan(run, wanted))
    except HeaderChanged as change:
        return gathered(change.run, wanted)
    positions = [np.empty(0, np.int64), *(part.positions for part in found)]
    return run.id, np.concatenate(positions), [part.batch for part in found]


def regrouped(runs: Iterable[AuditRun], wanted: Scan, rows: int) -> Iterator[list[Gathered]]:
    """The wanted rows of all runs, exactly so many at a time; the last ones may be fewer.

    Raises
    ------
    InvalidRunError
        If a run is broken, or turns out at its end to say something else than was given of it.
    """
    held: list[Gathered] = []
    for run in runs:
        before, given = held, False
        again: AuditRun | None = run
        while again is not None:
            reading, again, held = again, None, list(before)
            try:
                for part in scan(reading, wanted):
                    held.append((run.id, part.positions, [part.batch]))
                    while _count(held) >= rows:
                        some, held = _cut(held, rows)
                        given = True
                        yield some
            except HeaderChanged as change:
                if given:
                    raise _changed(run.id) from None
                again = change.run
    if held:
        yield held


def _cut(held: list[Gathered], rows: int) -> tuple[list[Gathered], list[Gathered]]:
    """The first so many rows, and the others."""
    first: list[Gathered] = []
    for at, (run_id, positions, batches) in enumerate(held):
        room = rows - _count(first)
        if len(positions) > room:
            (batch,) = batches
            first.append((run_id, positions[:room], [batch.slice(0, room)]))
            return first, [(run_id, positions[room:], [batch.slice(room)]), *held[at + 1 :]]
        first.append(held[at])
    return first, []


def _count(held: list[Gathered]) -> int:
    return sum(len(positions) for _, positions, _ in held)


def _changed(run_id: str) -> InvalidRunError:
    return InvalidRunError(
        f"Run {run_id!r} ends as another run than it began as, and some of it was "
        "given already. Drop those, and take it from load_results, which reads it to its end first."
    )


def scan(run: AuditRun, wanted: Scan) -> Iterator[Scanned]:
    """The wanted rows and columns of a run, in recorded order.

    Raises
    ------
    HeaderChanged
        At the end, as `run.batches` does.
    """
    if isinstance(run.batches, Scannable):
        return run.batches.scan(wanted)
    return _scanned(run, wanted)


def count_results(run: AuditRun) -> int:
    """How many results a run has: asked for where its source knows, counted otherwise."""
    if isinstance(run.batches, Scannable):
        return run.batches.count()
    return sum(len(batch) for batch in run.batches())


def _scanned(run: AuditRun, wanted: Scan) -> Iterator[Scanned]:
    import numpy as np

    start = 0
    for batch in run.batches():
        positions = np.arange(start, start + len(batch)) if run.positions is None else None
        if positions is None:
            positions = run.positions[start : start + len(batch)]  # type: ignore[index]
        start += len(batch)
        rows = chosen_rows(run.id, positions, batch, wanted)
        if len(rows):
            yield Scanned(positions[rows], taken(batch, rows, wanted.columns))


def chosen_rows(run_id: str, positions: np.ndarray, batch: pa.RecordBatch, wanted: Scan) -> np.ndarray:
    """Which rows of a batch are wanted, by their place in it."""
    import numpy as np

    inside = positions >= wanted.start
    if wanted.stop is not None:
        inside &= positions < wanted.stop
    if wanted.filter:
        inside &= wanted.filter.mask(labelled(run_id, positions, batch))
    return np.flatnonzero(inside)


def taken(batch: pa.RecordBatch, rows: np.ndarray, columns: tuple[str, ...] | None) -> pa.RecordBatch:
    """Some rows of a batch, reduced to some columns."""
    import pyarrow as pa

    kept = batch if columns is None else batch.select(list(columns))
    return kept if len(rows) == len(batch) else kept.take(pa.array(rows))


def labelled(run_id: str, positions: np.ndarray, batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with the columns that name its rows, which a filter may ask for."""
    import pyarrow as pa

    names = pa.repeat(pa.scalar(run_id), len(batch))
    return batch.append_column(RUN_ID, names).append_column(POSITION, pa.array(positions))
