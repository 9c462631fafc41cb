"""What a format cannot carry: the one list that the documentation shows and the tests hold us to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """Something that an exported file does not bring back.

    `column` is the frame column that comes back missing or changed, None for more than one column.
    """

    column: str | None
    why: str


_NO_ROWS = Loss(None, "a run without results leaves no row, and so no trace")
_FLAT = (
    Loss("run_task_title", "no `audit…` key for it; the results keep their own titles"),
    Loss("run_task_difficulty", "no `audit…` key for it"),
    Loss("run_skill_area", "no `audit…` key for it"),
    Loss("extra", "unknown fields of the run are left out; those of results stay"),
    _NO_ROWS,
)

LOSSES: dict[str, tuple[Loss, ...]] = {
    "csv": (
        Loss("result_id", "no column for it"),
        Loss("run_reviewer", "stands only in the rows without a reviewer of their own"),
        Loss("reviewer", "a row without one shows that of the run"),
        Loss("run_task_title", "no column for it; the results keep their own titles"),
        Loss("run_task_difficulty", "no column for it"),
        Loss("run_skill_area", "no column for it"),
        Loss("average_deviation", "rounded to two decimals"),
        Loss("notes", "an empty text is blank, and so comes back missing; likewise a reviewer"),
        Loss("extra", "unknown fields are left out, those of the run and those of results"),
        _NO_ROWS,
    ),
    "json flat": _FLAT,
    "jsonl": _FLAT,
}
"""By format, with all metadata written. Nested JSON and Parquet lose nothing.

Every format loses what `include_metadata=False` leaves out. A field that a run has lost on one of
these ways stays missing in whatever it is exported to next, and nested JSON without required fields
is no native run: it cannot be loaded again.
"""
