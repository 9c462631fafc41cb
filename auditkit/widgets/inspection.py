"""Inspection: results of some runs, the filter on them and the rows marked, shared by the widgets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import traitlets

from auditkit.errors import InvalidOptionError
from auditkit.filters import FILTER_FIELDS, Filter
from auditkit.findings import Finding, find
from auditkit.frames import batches_of
from auditkit.run import RunHeader
from auditkit.schema import POSITION, RUN_ID
from auditkit.sources import open_source
from auditkit.widgets.arrangement import Arrangement
from auditkit.widgets.sheet import Sheet
from auditkit.widgets.snippets import listed, loading, narrowing, picking, sorting

_IDS = ("result_id", "submission_id")
WORST_FIRST = ("deviation", "descending")


class Inspection(Arrangement):
    """Results as they are looked at: the runs, the filter, the order, the rows marked.

    The table, the explorer and the panel each show an inspection; given the same one, they stay together.
    """

    source: Any = traitlets.Any(None, allow_none=True)
    run_ids: Any = traitlets.Tuple()

    def __init__(self, results: pd.DataFrame, *, source: Any = None, run_ids: Any = None):
        super().__init__(_sheet(results), source=source)
        self.run_ids = _runs_of(results) if run_ids is None else tuple(run_ids)
        self.sort = WORST_FIRST if WORST_FIRST[0] in self.sheet.fields else None

    @classmethod
    def of(cls, results: Any, source: Any = None) -> Inspection:
        """The inspection itself, or a new one of a results frame."""
        return results if isinstance(results, Inspection) else cls(results, source=source)

    def show(self, results: pd.DataFrame, run_ids: Any = None) -> None:
        """Look at other results, through the same filter as far as they have its columns."""
        sheet = _sheet(results)
        with self.hold_trait_notifications():
            self.conditions = {name: asked for name, asked in self.conditions.items() if name in sheet.fields}
        self.run_ids = _runs_of(results) if run_ids is None else tuple(run_ids)
        self.sheet = sheet

    @property
    def results(self) -> pd.DataFrame:
        """All results, whatever the filter."""
        return self.sheet.frame

    @property
    def filter(self) -> Filter:
        """Which results are shown."""
        return Filter(**{name: asked.value for name, asked in self.conditions.items()})

    @filter.setter
    def filter(self, filter: Filter) -> None:
        self.conditions = dict(filter.conditions)

    @property
    def view(self) -> pd.DataFrame:
        """The results that the filter asks for, in the order shown."""
        return self.results.iloc[self.places]

    @property
    def selected(self) -> pd.DataFrame:
        """The marked results, in the order shown."""
        return self.results.iloc[self.marked_places()]

    def select(self, rows: Any) -> None:
        """Mark some of the results shown, and no others.

        Parameters
        ----------
        rows : DataFrame
            Some of `view`, named by run_id and position.

        Raises
        ------
        InvalidOptionError
            If a row is not among those shown.
        """
        places = self._places_of(rows)
        if not self.mask()[places].all():
            raise InvalidOptionError("Some of these rows are filtered away. Take them from `view`.")
        self.mark(places)

    def findings(self, place: int) -> list[Finding]:
        """What the findings of its run say about one result.

        Looks at this result and those with the same ids, which is all that the rules compare it with.
        """
        row = self.results.iloc[place]
        same = self.results[RUN_ID] == row[RUN_ID]
        twins = (self.results[list(_IDS)] == row[list(_IDS)]).any(axis=1)
        rows = self.results[same & twins].sort_values(POSITION)
        positions = rows[POSITION].to_numpy()
        found = find(self._header(row[RUN_ID]), batches_of(rows), positions)
        return [one for one in found if one.where.startswith(f"results[{row[POSITION]}].")]

    def code_of_view(self) -> list[str]:
        """Lines that load the results and narrow them to `view`."""
        lines = loading(self.source, self.run_ids)
        return [*lines, *narrowing(self.filter, "results"), *sorting(self.sort)]

    def code_of_selection(self) -> list[str]:
        """Lines that take the marked rows out of `view`."""
        places = self.marked_places()
        if not len(places):
            return []
        if len(places) == len(self.places):
            return ["selected = view"]
        rows = self.results.iloc[places]
        if {RUN_ID, POSITION} <= set(rows.columns):
            return picking(rows)
        return [f"selected = view.iloc[{listed(np.flatnonzero(self.marks[self.places]))}]"]

    def _header(self, run_id: str) -> RunHeader:
        """What the run says of itself; without a source, its id alone."""
        if self.source is None:
            return RunHeader(id=run_id)
        (run,) = open_source(self.source).open([run_id])
        if isinstance(run, Exception):
            raise run
        return run.header

    def _places_of(self, rows: Any) -> np.ndarray:
        if not isinstance(rows, pd.DataFrame) or not {RUN_ID, POSITION} <= set(rows.columns):
            raise InvalidOptionError(
                "Rows are named by a frame with run_id and position. Take them from `view`."
            )
        index = pd.MultiIndex.from_frame(self.results[[RUN_ID, POSITION]])
        places: np.ndarray = index.get_indexer(pd.MultiIndex.from_frame(rows[[RUN_ID, POSITION]]))
        if (places < 0).any():
            raise InvalidOptionError("Some of these rows are not among the results. Take them from `view`.")
        return places


def _sheet(results: pd.DataFrame) -> Sheet:
    if not isinstance(results, pd.DataFrame):
        raise InvalidOptionError(
            f"{type(results).__name__} is no frame of results. Give one of load_results, or `run.results`."
        )
    return Sheet(results, FILTER_FIELDS)


def _runs_of(results: pd.DataFrame) -> tuple[str, ...]:
    return tuple(results[RUN_ID].unique()) if RUN_ID in results else ()
