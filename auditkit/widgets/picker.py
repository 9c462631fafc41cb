"""RunPicker: the runs of a source as a table, searched, filtered and picked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import traitlets

from auditkit.conditions import Contains, conditions_of
from auditkit.errors import FailureList, InvalidOptionError
from auditkit.frames import results_frame, runs_frame
from auditkit.run import RunHeader
from auditkit.schema import RUN_FIELDS, RUN_ID, Field
from auditkit.search import search
from auditkit.sources import open_source
from auditkit.sources.base import not_found
from auditkit.widgets.arrangement import Arrangement
from auditkit.widgets.assets import script, style
from auditkit.widgets.base import Answer, Made
from auditkit.widgets.grid import Grid
from auditkit.widgets.sheet import Sheet
from auditkit.widgets.snippets import given, opening, shown
from auditkit.widgets.snippets import script as snippet

_LABELS = {
    RUN_ID: "Run",
    "run_task_title": "Title",
    "status": "Status",
    "run_skill_area": "Skill area",
    "run_task_difficulty": "Difficulty",
    "run_reviewer": "Reviewer",
    "started_at": "Started",
    "completed_at": "Completed",
    "total_submissions": "Submissions",
    "average_deviation": "Average deviation",
    "critical_flags": "Critical",
}
_BY_COLUMN = {field.column: field for field in RUN_FIELDS}
_FIELDS: dict[str, Field] = {name: replace(_BY_COLUMN[name], label=label) for name, label in _LABELS.items()}
_SEARCHED = (RUN_ID, "run_task_title", "run_skill_area", "run_reviewer")
_NAMED = 10


class _Runs(Arrangement):
    """Runs, of which some are shown because a text stands in their id, title, skill area or reviewer."""

    search = traitlets.Unicode("")
    keeps_hidden_marks = True

    def mask(self, without: tuple[str, ...] = ()) -> np.ndarray:
        """Which runs meet the conditions and hold the text."""
        mask = super().mask(without)
        if not self.search:
            return mask
        named = [self.sheet.mask({name: Contains(self.search)}) for name in _SEARCHED]
        holds: np.ndarray = mask & np.logical_or.reduce(named)
        return holds

    @traitlets.observe("search")
    def _searched(self, change: Any) -> None:
        self._places = None


class RunPicker(Grid):
    """The runs of a source as a table; those that are picked are `run_ids`.

    What cannot be read is said in words under the table, and the rest goes on.

    Parameters
    ----------
    source : path, URL or Source, optional
        As for `open_source`.

    Attributes
    ----------
    run_ids : tuple of str
        The picked runs, in the order of the source; may be set.
    search : str
        Shows the runs in whose id, title, skill area or reviewer it stands.
    found : DataFrame or None
        What `find` found last, of the id that is `sought`.
    runs : DataFrame
        All runs, as from `load_runs`.
    code : str
        A script that loads the results of the picked runs.

    Examples
    --------
    >>> import auditkit.widgets as akw
    >>> picker = akw.RunPicker("sample_data/runs")
    >>> picker.run_ids = ["run-003", "run-001"]
    >>> picker.run_ids
    ('run-001', 'run-003')
    >>> picker.find("sub-001").position.to_list(), picker.run_ids
    ([0], ('run-001',))
    """

    _esm = script("picker.js")
    _css = style("base.css", "grid.css")

    search = traitlets.Unicode("").tag(sync=True)
    run_ids = Made("_get_run_ids", "pick")
    found: Any = traitlets.Any(None, allow_none=True)
    listings = traitlets.Int(0)
    """How often the source was listed."""

    noun = "run"
    label = "Runs"
    chosen = "picked"
    widths = {  # noqa: RUF012 - a constant of the class
        RUN_ID: 110,
        "run_task_title": 240,
        "status": 100,
        "run_skill_area": 112,
        "run_task_difficulty": 108,
        "run_reviewer": 118,
        "started_at": 164,
        "completed_at": 164,
        "total_submissions": 116,
        "average_deviation": 150,
        "critical_flags": 92,
    }

    def __init__(self, source: Any = None, **traits: Any):
        self.source: Any = source
        self.sought = ""
        self._failures = FailureList()
        self._runs = _Runs(Sheet(runs_frame([]), _FIELDS))
        picked = traits.pop("run_ids", ())
        super().__init__(self._runs, **traits)
        self._told: tuple[str, ...] = ()
        self._runs.observe(self._tell_picks, ["marking"])
        self.reload()
        self.pick(picked)

    def __repr__(self) -> str:
        return f"RunPicker({len(self.run_ids)} of {len(self._runs.sheet)} runs picked)"

    @property
    def runs(self) -> pd.DataFrame:
        """All runs of the source, as they were listed last."""
        return self._runs.sheet.frame.copy(deep=False)

    @property
    def code(self) -> str:
        """A script that loads the results of the picked runs."""
        load = f"results = ak.load_results(run_ids{given(self.source)})"
        return snippet(*opening(self.source), f"run_ids = {list(self.run_ids)!r}", load)

    def pick(self, run_ids: Iterable[str] | str) -> None:
        """Pick some runs and no others.

        Raises
        ------
        RunNotFoundError
            If a run is not listed; the picks stay as they were.
        InvalidOptionError
            If these are no run ids.
        """
        if not isinstance(run_ids, Iterable):
            raise InvalidOptionError(f"{run_ids!r} names no runs. Give a list of run ids.")
        ids = [run_ids] if isinstance(run_ids, str) else list(run_ids)
        listed = {run_id: place for place, run_id in enumerate(self.runs[RUN_ID])}
        for run_id in ids:
            if not isinstance(run_id, str):
                raise InvalidOptionError(f"{run_id!r} is no run id. Give ids as texts.")
            if run_id not in listed:
                raise not_found(run_id, list(listed), self._location(), self._failures)
        self._runs.mark(np.array([listed[run_id] for run_id in ids], np.int64))

    def reload(self) -> None:
        """List the runs of the source again; those that are still there stay picked."""
        picked = self.run_ids
        headers: list[RunHeader] = []
        self._failures = FailureList()
        self.say("")
        self.attempt(lambda: self._listed(headers))
        kept = np.array([header.id in picked for header in headers], dtype=bool)
        self._runs.replace(Sheet(runs_frame(headers), _FIELDS), kept)
        self.listings += 1

    def find(self, text: str) -> pd.DataFrame:
        """The results of a submission or of a user, in all runs; the runs they stand in are picked.

        Raises
        ------
        InvalidOptionError
            If the text is empty.
        """
        found, failures = search(text, self.source)
        results = results_frame(found)
        listed = set(self.runs[RUN_ID])
        if found and not {run_id for run_id, _, _ in found} <= listed:
            self.reload()
        self._say_found(text, results, failures)
        self.sought = text
        self.found = results
        if found:
            self.pick([run_id for run_id, _, _ in found])
        return results

    def _tell_picks(self, change: Any) -> None:
        if self.run_ids != self._told:
            self._told = self.run_ids
            self.tell("run_ids")

    @traitlets.validate("search")
    def _is_text(self, proposal: Any) -> Any:
        if proposal["value"]:
            conditions_of(_FIELDS, {RUN_ID: proposal["value"]})  # refuses what no text can hold
        return proposal["value"]

    @traitlets.observe("search")
    def _search(self, change: Any) -> None:
        self._runs.search = change["new"]
        self._layout += 1
        self._refresh()

    def _listed(self, headers: list[RunHeader]) -> Answer:
        source = open_source(self.source)
        listing = source.listing()
        headers += listing.headers
        self._failures = listing.failures
        if listing.failures:
            rest = "The other runs are listed." if headers else "Nothing else is there."
            more = f" and {listing.failures.count - 1:,} more" if listing.failures.count > 1 else ""
            self.say(f"Not everything could be read: {listing.failures.rows[0]}{more}. {rest}", "error")
        elif not headers:
            self.say(f"No runs in {source.location}. Put run files there and press “Read again”.")
        return {}

    def _say_found(self, text: str, results: pd.DataFrame, failures: FailureList) -> None:
        rows = results[[RUN_ID, "position"]].itertuples(index=False)
        named = [f"{run_id} row {position}" for run_id, position in list(rows)[:_NAMED]]
        more = f" and {len(results) - _NAMED:,} more" if len(results) > _NAMED else ""
        where = f"{text} stands in {', '.join(named)}{more}." if len(results) else f"Nothing is named {text}."
        hint = "" if len(results) else " Give a whole submission or user id."
        unread = f" Not everything could be searched: {failures.rows[0]}." if failures else ""
        self.say(f"{where}{hint}{unread}", "error" if failures else "info")

    def _location(self) -> str:
        return (shown(self.source) if self.source else None) or "the source"

    def _get_run_ids(self) -> tuple[str, ...]:
        return tuple(self.runs[RUN_ID][self._runs.marks])

    def _do_reload(self, question: dict[str, Any]) -> Answer:
        self.reload()
        return {}

    def _do_find(self, question: dict[str, Any]) -> Answer:
        self.say("")
        self.find(question["text"].strip())
        return {}
