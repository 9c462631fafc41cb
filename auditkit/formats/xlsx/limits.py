"""What a workbook has no room for: texts longer than a cell, more results than rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.errors import Failure, FailureList, InvalidRunError
from auditkit.formats.xlsx.cells import columns_of, run_values
from auditkit.run import AuditRun

# https://support.microsoft.com: "Excel specifications and limits"; characters are UTF-16 code units.
LONGEST_TEXT = 32_767
MOST_RESULTS = 1_048_576 - 1
_RULE = f"too long for a cell, which holds {LONGEST_TEXT:,}"


def check_limits(runs: Sequence[AuditRun], include_metadata: bool) -> None:
    """Nothing, if all the results of some runs fit into one sheet.

    Raises
    ------
    InvalidRunError
        With every text that is too long for a cell, and if there are more results than rows.
    """
    failures = FailureList()
    results = 0
    for run in runs:
        results += _check_run(run, include_metadata, failures)
    if results > MOST_RESULTS:
        raise InvalidRunError(
            f"{results:,} results do not fit into a workbook: a sheet has room for {MOST_RESULTS:,}. "
            "Nothing was written. Export them as CSV or Parquet instead, or fewer at a time.",
            failures.rows,
            failures.count,
        )
    if failures:
        more = f" (and {failures.count - 1:,} more)" if failures.count > 1 else ""
        raise InvalidRunError(
            f"{failures.rows[0]}{more}. Nothing was written. Export CSV, JSON or Parquet instead; "
            "`.failures` of this error lists every place.",
            failures.rows,
            failures.count,
        )


def _check_run(run: AuditRun, include_metadata: bool, failures: FailureList) -> int:
    """How many results a run has; the texts that are too long go to `failures`."""
    where = "the results" if run.positions is None else "the chosen results"
    for field, value in run_values(run, include_metadata):
        if isinstance(value, str) and _too_long(value):
            failures.add(Failure(where, run.id, None, field.column, _shown(value), _RULE))
    count = 0
    for batch in run.batches():
        found = [
            (row, Failure(where, run.id, count + row, field.column, _shown(value), _RULE))
            for field, column in columns_of(batch, run)
            for row, value in _long_texts(column)
        ]
        for _, failure in sorted(found, key=lambda pair: pair[0]):
            failures.add(failure)
        count += len(batch)
    return count


def _long_texts(column: pa.Array) -> Iterator[tuple[int, str]]:
    """Row and text of everything that is too long; a text has at most as many units as bytes."""
    if not pa.types.is_string(column.type):
        return
    longest = pc.max(pc.binary_length(column)).as_py()
    if longest is None or longest <= LONGEST_TEXT:
        return
    for row, value in enumerate(column.to_pylist()):
        if value is not None and _too_long(value):
            yield row, value


def _too_long(text: str) -> bool:
    return 2 * len(text) > LONGEST_TEXT and _units(text) > LONGEST_TEXT


def _units(text: str) -> int:
    """The length of a text as Excel counts it: a character beyond U+FFFF is two."""
    return len(text.encode("utf-16-le")) // 2


def _shown(text: str) -> str:
    return f"{text[:40]!r}… of {_units(text):,} characters"
