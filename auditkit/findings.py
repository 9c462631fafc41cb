"""Where a run disagrees with itself: its declared totals, its scores, its ids, its times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from auditkit.rules import utc

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from auditkit.run import RunHeader

Severity = Literal["info", "warning", "error"]
_LARGEST_SCORE = 100
_FLOAT_NOISE = 1e-9


@dataclass(frozen=True)
class Finding:
    """One disagreement: what is recorded at a place, and what the rest of the run says."""

    rule: str
    where: str
    recorded: str | None
    recomputed: str | None
    severity: Severity


def find(
    header: RunHeader, batches: Iterable[pa.RecordBatch], positions: np.ndarray | None = None
) -> list[Finding]:
    """Everything in a run that disagrees, what concerns the whole run first, then by position.

    Rules about fields that the input cannot carry (`header.absent_fields`) are left out, and for a
    selection those about totals, which speak of the whole run.

    Parameters
    ----------
    positions : array of int64, optional
        For a selection, the places of its rows in the whole run.
    """
    import pyarrow as pa

    from auditkit.schema import result_schema

    table = pa.Table.from_batches(list(batches), schema=result_schema()).combine_chunks()
    rows = _Rows(table, header, positions)
    by_row = sorted(
        [*rows.deviations(), *rows.scores(), *rows.doubles(), *rows.times(), *rows.decisions()],
        key=lambda item: item[0],
    )
    totals = _totals(header, table) if positions is None else ()
    return [*totals, *_window(header), *(finding for _, finding in by_row)]


def _totals(header: RunHeader, table: pa.Table) -> Iterator[Finding]:
    count = len(table)
    if count == 0:
        yield Finding("empty_run", "run", None, None, "info")
    if header.total_submissions is not None and header.total_submissions != count:
        yield _error("total_submissions", "run.totalSubmissions", header.total_submissions, count)
    critical = sum(1 for kind in table["deviation_type"].to_pylist() if kind == "critical")
    if header.critical_flags is not None and header.critical_flags != critical:
        yield _error("critical_flags", "run.criticalFlags", header.critical_flags, critical)
    if "average_deviation" not in header.absent_fields:
        yield from _average(header.average_deviation, table["deviation"].to_numpy())


def _average(declared: float | None, deviations: Any) -> Iterator[Finding]:
    import numpy as np

    with np.errstate(over="ignore"):
        mean = float(deviations.mean()) if len(deviations) else None
    where = "run.averageDeviation"
    if declared is None or mean is None:
        if declared is not mean:
            yield _error("average_deviation", where, declared, mean)
        return
    decimals = max(0, -int(Decimal(repr(declared)).normalize().as_tuple().exponent))
    tolerance = 0.5 * 10.0**-decimals + _FLOAT_NOISE * max(1.0, abs(mean))
    if abs(declared - mean) > tolerance:
        yield _error("average_deviation", where, declared, round(mean, decimals + 2))


def _window(header: RunHeader) -> Iterator[Finding]:
    start, end = _instant(header.started_at), _instant(header.completed_at)
    if start is not None and end is not None and end < start:
        yield Finding(
            "completed_before_started", "run.completedAt", header.completed_at, header.started_at, "error"
        )


class _Rows:
    """The rules that look at single results; each yields (row, finding)."""

    def __init__(self, table: pa.Table, header: RunHeader, positions: np.ndarray | None):
        self._table = table
        self._header = header
        self._positions = positions

    def deviations(self) -> Iterator[tuple[int, Finding]]:
        import numpy as np

        user, ai, deviation = (self._numbers(name) for name in ("user_score", "ai_score", "deviation"))
        with np.errstate(over="ignore", invalid="ignore"):
            right = np.abs(user - ai)
            off = np.abs(deviation - right) > _FLOAT_NOISE * np.maximum(1.0, right)
        for row in np.flatnonzero(off).tolist():
            yield self._found(row, "deviation", "deviation", deviation[row], _shorter(right[row]))

    def scores(self) -> Iterator[tuple[int, Finding]]:
        import numpy as np

        for column, key in (("user_score", "userScore"), ("ai_score", "aiScore")):
            values = self._numbers(column)
            for row in np.flatnonzero((values < 0) | (values > _LARGEST_SCORE)).tolist():
                yield self._found(row, "score_range", key, values[row], f"0-{_LARGEST_SCORE}")

    def doubles(self) -> Iterator[tuple[int, Finding]]:
        for column, key, rule in (
            ("result_id", "id", "duplicate_result_id"),
            ("submission_id", "submissionId", "duplicate_submission_id"),
        ):
            if column in self._header.absent_fields:
                continue
            first: dict[str, int] = {}
            for row, value in enumerate(self._table[column].to_pylist()):
                earlier = first.setdefault(value, row)
                if earlier != row:
                    yield self._found(row, rule, key, value, f"first in {self._place(earlier)}")

    def times(self) -> Iterator[tuple[int, Finding]]:
        import numpy as np

        chunks = self._table["timestamp"].chunks
        if not chunks:
            return
        moments = np.concatenate([utc(chunk).cast("int64").to_numpy() for chunk in chunks])
        start, end = _instant(self._header.started_at), _instant(self._header.completed_at)
        outside = np.zeros(len(moments), bool)
        if start is not None:
            outside |= moments < start
        if end is not None:
            outside |= moments > end
        window = f"{self._header.started_at} to {self._header.completed_at or 'open'}"
        for row in np.flatnonzero(outside).tolist():
            recorded = self._table["timestamp"][row].as_py()
            yield self._found(row, "outside_window", "timestamp", recorded, window, "warning")

    def decisions(self) -> Iterator[tuple[int, Finding]]:
        if "action_taken" in self._header.absent_fields:
            return
        severity: Severity = "info" if self._header.status == "running" else "warning"
        for row, action in enumerate(self._table["action_taken"].to_pylist()):
            if action is None:
                yield self._found(row, "decision_missing", "actionTaken", None, None, severity)

    def _numbers(self, column: str) -> Any:
        return self._table[column].to_numpy()

    def _place(self, row: int) -> str:
        return f"results[{row if self._positions is None else self._positions[row]}]"

    def _found(  # noqa: PLR0917 - in the order of a finding
        self, row: int, rule: str, key: str, recorded: Any, recomputed: Any, severity: Severity = "error"
    ) -> tuple[int, Finding]:
        where = f"{self._place(row)}.{key}"
        return row, Finding(rule, where, _text(recorded), _text(recomputed), severity)


def _error(rule: str, where: str, recorded: Any, recomputed: Any) -> Finding:
    return Finding(rule, where, _text(recorded), _text(recomputed), "error")


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"{value:.15g}" if float(value) % 1 else str(int(value))


def _shorter(value: float) -> float:
    """A difference without the noise of its last bits: 7.099999999999994 is 7.1."""
    return float(f"{value:.12g}")


def _instant(text: str | None) -> int | None:
    import pyarrow as pa

    if text is None:
        return None
    value: int = utc(pa.array([text], pa.string())).cast("int64")[0].as_py()
    return value
