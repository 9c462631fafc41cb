"""A part of a run, read without reading all of it where its source knows how: columns, rows, a filter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from auditkit.filters import Filter
from auditkit.run import AuditRun, Batches
from auditkit.schema import POSITION, RUN_ID

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


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
