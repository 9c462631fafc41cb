"""What a panel can export: the run, the runs, the filtered view, the selected rows, and how much each is."""

from __future__ import annotations

from dataclasses import dataclass

from auditkit.schema import POSITION, RUN_ID
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.settings import holds_several_runs

SCOPES = ("run", "runs", "view", "selected")
_SHOWN_LETTERS = 60


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of them, in words: what it is, how much, what its button says; or why it cannot be exported."""

    label: str
    amount: str
    button: str
    reason: str = ""


def choices(inspection: Inspection, format: str) -> dict[str, Choice]:
    """What can be exported of an inspection in a format, by scope."""
    ids = inspection.run_ids
    total, shown = len(inspection.sheet), int(inspection.mask().sum())
    marked = int(inspection.marks.sum())
    none_shown = f"The filter leaves none of {counted(total, 'result')}. Widen it."
    no_results = "There are no results here. A run without results can be exported as a run."
    no_rows = _no_rows(inspection, format)
    return {
        "view": Choice(
            label="The filtered view",
            amount=_amount(shown, total) if inspection.conditions else f"{_all(total)}, no filter",
            button=f"Export {counted(shown, 'result')}",
            reason="" if shown and not no_rows else no_rows or (none_shown if total else no_results),
        ),
        "selected": Choice(
            label="The selected rows",
            amount=_amount(marked, total),
            button=f"Export {counted(marked, 'result')}",
            reason=no_rows if marked else "No rows are selected. Select some in the table.",
        ),
        "runs": Choice(
            label="These runs",
            amount=f"{counted(len(ids), 'run')}{', a file each' if len(ids) > 1 else ''}, with all results",
            button=f"Export {counted(len(ids), 'run')}",
            reason="" if ids else "No runs are picked. Pick some.",
        ),
        "run": Choice(
            label="This run",
            amount=f"{_shortened(ids[0])}, with all results" if ids else "",
            button="Export 1 run",
            reason=_no_run(len(ids)),
        ),
    }


def counted(number: int, noun: str) -> str:
    """A number of things: `1 run`, `1,580 results`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _amount(number: int, total: int) -> str:
    return f"{number:,} of {counted(total, 'result')}"


def _all(total: int) -> str:
    return f"all {counted(total, 'result')}" if total > 1 else counted(total, "result")


def _no_run(count: int) -> str:
    if count == 1:
        return ""
    return (
        f"{count:,} runs are picked. Pick one, or export these runs."
        if count
        else "No run is picked. Pick one."
    )


def _no_rows(inspection: Inspection, format: str) -> str:
    """Why rows cannot be exported, however many there are."""
    missing = [name for name in (RUN_ID, POSITION) if name not in inspection.results.columns]
    if missing:
        return f"The results lack {' and '.join(missing)}, which name the rows. Take them from load_results."
    if not holds_several_runs(format):
        return f"The format {format} cannot hold a selection. Choose another, or export whole runs."
    return ""


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_LETTERS else f"{text[:_SHOWN_LETTERS]}…"
