"""AuditRun: the header of a run and the stream of its results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from auditkit.errors import Failure, FailureList, InvalidOptionError
from auditkit.rows import positions_named
from auditkit.rules import check_values
from auditkit.schema import POSITION, RUN_FIELDS, result_schema

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

Batches = Iterator["pa.RecordBatch"]


@dataclass(frozen=True, kw_only=True)
class RunHeader:
    """What a run says of itself, as recorded.

    Timestamps are RFC 3339 text, verbatim; `extra` holds the unknown fields as JSON text, an object.
    A field that the input cannot carry is None and its frame column stands in `absent_fields`.
    """

    id: str
    reviewer: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    task_title: str | None = None
    task_difficulty: str | None = None
    skill_area: str | None = None
    status: str | None = None
    total_submissions: int | None = None
    average_deviation: float | None = None
    critical_flags: int | None = None
    extra: str | None = None
    absent_fields: tuple[str, ...] = ()


HEADER_NAMES = tuple(item.name for item in dataclasses.fields(RunHeader))


class HeaderChanged(Exception):
    """Behind its results a run says something else than in front of them: start again with `run`."""

    def __init__(self, run: AuditRun):
        super().__init__(run.id)
        self.run = run

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.run,)


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditRun(RunHeader):
    """One audit run: the fields of its header, and its results as Arrow batches or as a frame.

    A run that was opened streams its results from the source each time they are asked for; a run
    that was loaded holds them (`in_memory`). A selection knows the `positions` of its rows in the
    whole run, and how many rows that has (`whole_rows`).

    Examples
    --------
    >>> import auditkit as ak
    >>> run = ak.load_run("run-001", source="sample_data/runs")
    >>> run.status, run.average_deviation, len(run.results)
    ('completed', 15.8, 8)
    >>> run.select(run.results.deviation > 25).results.submission_id.to_list()[:1]
    ['sub-002']
    """

    batches: Callable[[], Batches] = field(repr=False)
    """Opens the stream of the results: record batches of `schema.result_schema()`, in recorded order."""
    positions: np.ndarray | None = field(default=None, repr=False)
    whole_rows: int | None = field(default=None, repr=False)
    in_memory: bool = field(default=False, repr=False)

    @classmethod
    def from_frame(cls, results: pd.DataFrame, **header: Any) -> AuditRun:
        """A new run out of a results frame: one that a script made, not one that was recorded.

        Parameters
        ----------
        results : DataFrame
            The columns of `results`; `run_id` and `position` are not looked at, columns of fields that
            are not required may be missing. Instants become `YYYY-MM-DDThh:mm:ss[.ffffff]Z`.
        **header
            The attributes of a run: id, reviewer, started_at (RFC 3339 text), …

        Raises
        ------
        InvalidRunError
            With every failure, if header or frame break the table of fields.

        Examples
        --------
        >>> import auditkit as ak
        >>> run = ak.load_run("run-001", source="sample_data/runs")
        >>> header = {name: getattr(run, name) for name in ("reviewer", "started_at", "task_title")}
        >>> header |= {"task_difficulty": "medium", "skill_area": "frontend", "status": "completed"}
        >>> header |= {"total_submissions": 8, "average_deviation": 15.8, "critical_flags": 2}
        >>> ak.AuditRun.from_frame(run.results, id="trial", **header).results.equals(
        ...     run.results.assign(run_id="trial")
        ... )
        True
        """
        from auditkit.frames import batches_of

        held = batches_of(results)
        return cls(**_checked(header), batches=lambda: iter(held), in_memory=True)

    @property
    def header(self) -> RunHeader:
        """The header alone."""
        return RunHeader(**{name: getattr(self, name) for name in HEADER_NAMES})

    def loaded(self) -> AuditRun:
        """The same run with its results held in memory.

        Raises
        ------
        InvalidRunError
            With every failure, if the input breaks the table of fields.
        """
        if self.in_memory:
            return self
        try:
            held = list(self.batches())
        except HeaderChanged as change:
            return change.run.loaded()
        return dataclasses.replace(self, batches=lambda: iter(held), in_memory=True)

    @property
    def results(self) -> pd.DataFrame:
        """One row a result: run_id, position, then the columns of the table, `extra` where there is any.

        The frame belongs to its caller: editing it changes neither the run nor the next `results`.
        """
        return self._results.copy(deep=False)

    @cached_property
    def _results(self) -> pd.DataFrame:
        from auditkit.frames import results_frame

        run = self.loaded()
        return results_frame([(run.id, run.positions, list(run.batches()))])

    def findings(self) -> pd.DataFrame:
        """One row for each place where the run disagrees with itself; none for a sound run.

        Returns
        -------
        DataFrame
            rule, where (`run`, or such as `results[3].deviation`), recorded, recomputed, severity
            (info < warning < error).
        """
        from auditkit.findings import find
        from auditkit.frames import findings_frame

        run = self.loaded()
        return findings_frame(find(run.header, run.batches(), run.positions))

    def select(self, rows: Any) -> AuditRun:
        """A smaller run: the same header, some of the results, in recorded order.

        Parameters
        ----------
        rows : mask, positions or DataFrame
            Booleans, one for each of `results`; or positions as in the column `position`; or rows of
            `results`, named by their columns `run_id` and `position`.

        Raises
        ------
        InvalidOptionError
            If a mask has the wrong length, or rows belong to another run or do not exist.
        """
        run = self.loaded()
        own = run.results[POSITION]
        wanted = positions_named(run.id, rows, own)
        places = own.to_numpy().searchsorted(wanted)
        rows = len(own) if run.whole_rows is None else run.whole_rows
        return dataclasses.replace(run, batches=partial(pick, run, places), positions=wanted, whole_rows=rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AuditRun):
            return NotImplemented
        return self.header == other.header and _table(self).equals(_table(other))

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        from auditkit.html import run_html

        return run_html(self)


def pick(run: AuditRun, places: np.ndarray) -> Batches:
    """The batches of a run reduced to some rows: sorted places in its stream, each once.

    Raises
    ------
    InvalidOptionError
        At the end, if a place lies behind the last result.
    """
    import pyarrow as pa

    start = 0
    for batch in run.batches():
        first, last = places.searchsorted([start, start + len(batch)])
        if last > first:
            yield batch.take(pa.array(places[first:last] - start))
        start += len(batch)
    if len(places) and places[-1] >= start:
        raise InvalidOptionError(
            f"Run {run.id!r} has no row {places[-1]}: it has {start:,} results, counted from 0. "
            "Take the rows from its own results."
        )


def _checked(header: dict[str, Any]) -> dict[str, Any]:
    failures = FailureList()
    fields = {field.attribute: field for field in RUN_FIELDS}
    for name in header.keys() - fields.keys():
        failures.add(Failure("the header", None, None, name, None, "not an attribute of a run"))
    values = {field.key: header.get(name) for name, field in fields.items()}
    checked = check_values(
        RUN_FIELDS,
        values,
        lambda field, value, rule: failures.add(
            Failure("the header", None, None, field.attribute, repr(value), rule)
        ),
    )
    failures.raise_if_any()
    return {name: checked[field.column] for name, field in fields.items()}


def _table(run: AuditRun) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_batches(list(run.loaded().batches()), schema=result_schema())
