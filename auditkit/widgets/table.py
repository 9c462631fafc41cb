"""DeviationTable: results as a table, the worst deviation first, with every detail of one of them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import traitlets

from auditkit.schema import EXTRA, POSITION, RUN_ID
from auditkit.widgets.assets import script, style
from auditkit.widgets.base import Answer, Made
from auditkit.widgets.grid import Grid
from auditkit.widgets.inspection import Inspection
from auditkit.widgets.shared import Shared
from auditkit.widgets.snippets import script as snippet

_HIDDEN = ("result_id", "task_title")


class DeviationTable(Shared, Grid):
    """Results as a table: sorted, filtered and marked in Python, fetched as they come into sight.

    Parameters
    ----------
    results : DataFrame or Inspection
        As from `load_results`; an inspection is shared with other widgets.
    source : path, URL or Source, optional
        Where the results come from: `code` names it, and a result's findings ask it for the run.

    Attributes
    ----------
    view : DataFrame
        The results that the filter asks for, in the order shown.
    selected : DataFrame
        The selected ones of them; may be set to rows of `view`.
    filter : Filter
        Which results are shown.
    sort : (column, "ascending" or "descending"), or None
    hidden : list of str
        Columns that are not shown.
    code : str
        The same as a script: it loads the results, makes `view`, and `selected` if any are.

    Examples
    --------
    >>> import auditkit as ak
    >>> import auditkit.widgets as akw
    >>> table = akw.DeviationTable(ak.load_results("run-001", source="sample_data/runs"))
    >>> table.filter = ak.Filter(deviation=(20, None))
    >>> table.view.submission_id.to_list()
    ['sub-002', 'sub-007', 'sub-005']
    >>> table.selected = table.view[table.view.deviation_type == "critical"]
    >>> table
    DeviationTable(3 of 8 results, 2 selected)
    """

    _esm = script("table.js")
    _css = style("base.css", "grid.css")

    view = Made("_get_view", "_refuse_view")
    selected = Made("_get_selected", "select")

    noun = "result"
    label = "Results"
    widths = {  # noqa: RUF012 - a constant of the class
        RUN_ID: 96,
        POSITION: 72,
        "submission_id": 128,
        "user_id": 104,
        "user_score": 96,
        "ai_score": 92,
        "difference": 126,
        "deviation": 124,
        "deviation_type": 126,
        "suggested_action": 132,
        "action_taken": 122,
        "task_title": 220,
        "skill_area": 108,
        "task_difficulty": 112,
        "timestamp": 172,
        "reviewer": 116,
        "notes": 280,
    }

    def __init__(self, results: pd.DataFrame | Inspection, *, source: Any = None, **traits: Any):
        self.inspection = Inspection.of(results, source)
        super().__init__(self.inspection, hidden=traits.pop("hidden", list(_HIDDEN)), **traits)
        self.inspection.observe(self._announce, ["sheet", "conditions", "sort", "marking"])

    def __repr__(self) -> str:
        shown, total = len(self.inspection.places), len(self.inspection.sheet)
        marked = int(self.inspection.marks.sum())
        return f"DeviationTable({shown} of {total} results{f', {marked} selected' if marked else ''})"

    @property
    def code(self) -> str:
        """The view, and the marked rows if there are any, as a script."""
        return snippet(*self.inspection.code_of_view(), *self.inspection.code_of_selection())

    def select(self, rows: Any) -> None:
        """Mark some results of `view`, named by run_id and position, and no others.

        Raises
        ------
        InvalidOptionError
            If a row is not shown.
        """
        self.inspection.select(rows)

    def nothing(self) -> str:
        """What is said where there are no results at all."""
        return "No results in these runs." if self.inspection.run_ids else "Pick a run to see its results."

    def _announce(self, change: Any) -> None:
        changed = {
            "sheet": ("results", "view", "selected"),
            "conditions": ("filter", "view", "selected"),
            "sort": ("view", "selected"),
            "marking": ("selected",),
        }
        for name in changed[change["name"]]:
            self.tell(name)

    def _do_detail(self, question: dict[str, Any]) -> Answer:
        """Every field of one result, whole."""
        sheet = self.inspection.sheet
        place = int(self.inspection.places[int(question["row"])])
        labels = {column["name"]: column["label"] for column in self._columns}
        fields = [[labels[name], sheet.text(name, place)] for name in sheet.fields]
        if EXTRA in sheet.frame and isinstance(extra := sheet.frame[EXTRA].iloc[place], str):
            fields.append(["Extra fields", extra])
        return {"fields": fields}

    def _do_findings(self, question: dict[str, Any]) -> Answer:
        """What its run's findings say about one result."""
        place = int(self.inspection.places[int(question["row"])])
        found = self.inspection.findings(place)
        return {
            "findings": [
                [one.rule.replace("_", " "), one.severity, one.recorded, one.recomputed] for one in found
            ]
        }

    def _get_view(self) -> pd.DataFrame:
        return self.inspection.view

    def _refuse_view(self, value: Any) -> None:
        raise traitlets.TraitError("`view` follows from `filter` and `sort`. Set these, or `selected`.")

    def _get_selected(self) -> pd.DataFrame:
        return self.inspection.selected
