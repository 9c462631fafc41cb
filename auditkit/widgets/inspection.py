"""Inspection: results of some runs, the filter on them and the rows marked, shared by the widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import traitlets

from auditkit.errors import AuditkitError, InvalidOptionError
from auditkit.filters import FILTER_FIELDS, Filter
from auditkit.findings import Finding, find
from auditkit.frames import batches_of
from auditkit.run import AuditRun, HeaderChanged, RunHeader
from auditkit.schema import POSITION, RUN_ID
from auditkit.sources import open_source
from auditkit.widgets.arrangement import Arrangement
from auditkit.widgets.sheet import Sheet
from auditkit.widgets.snippets import listed, loading, narrowing, picking, sorting

_IDS = ("result_id", "submission_id")
_MAY_LACK = (*_IDS, "action_taken")
WORST_FIRST = ("deviation", "descending")


class Inspection(Arrangement):
    """Results as they are looked at: the runs, the filter, the order, the rows marked.

    The table, the explorer and the panel each show an inspection; given the same one, they stay together.
    """

    source: Any = traitlets.Any(None, allow_none=True)
    run_ids: Any = traitlets.Tuple()

    def __init__(self, results: pd.DataFrame, *, source: Any = None, run_ids: Any = None):
        self.checks: list[Callable[[Sheet], object]] = []  # what widgets ask of other results
        super().__init__(_sheet(results), source=source)
        self.run_ids = _runs_of(results) if run_ids is None else tuple(run_ids)
        self.sort = WORST_FIRST if WORST_FIRST[0] in self.sheet.fields else None

    @classmethod
    def of(cls, results: Any, source: Any = None) -> Inspection:
        """The inspection itself, or a new one of a results frame."""
        return results if isinstance(results, Inspection) else cls(results, source=source)

    def show(self, results: pd.DataFrame, run_ids: Any = None) -> None:
        """Look at other results, through the same filter as far as they have its columns.

        Rows that were marked stay so where they are still shown, under the same ids.
        """
        sheet = _sheet(results)
        kept = {name: asked for name, asked in self.conditions.items() if name in sheet.fields}
        sheet.mask(kept)  # says what is wrong before anything changes
        if self.sort is not None and self.sort[0] in sheet.fields:
            sheet.order(self.sort[0], self.sort[1] == "descending")
        for check in self.checks:
            check(sheet)
        marks = self._still_marked(sheet) & sheet.mask(kept)
        self.conditions = kept
        self.run_ids = _runs_of(results) if run_ids is None else tuple(run_ids)
        self.replace(sheet, marks)

    @property
    def results(self) -> pd.DataFrame:
        """All results, whatever the filter; editing the frame does not change the inspection."""
        return self.sheet.frame.copy(deep=False)

    @property
    def filter(self) -> Filter:
        """Which results are shown."""
        return Filter(**{name: asked.value for name, asked in self.conditions.items()})

    @filter.setter
    def filter(self, filter: Filter) -> None:
        if not isinstance(filter, Filter):
            raise InvalidOptionError(f"{filter!r} is no filter. Give one of auditkit.Filter.")
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
        results = self.results
        if not {RUN_ID, POSITION} <= set(results.columns):
            raise InvalidOptionError(
                "Findings need the columns run_id and position. Take them from load_results."
            )
        row, ids = results.iloc[place], [name for name in _IDS if name in results]
        wanted = (results[ids] == row[ids]).any(axis=1) & (results[RUN_ID] == row[RUN_ID])
        wanted.iloc[place] = True  # a missing id equals no other
        rows = results[wanted].sort_values(POSITION)
        header = self._header(row[RUN_ID])
        absent = (*header.absent_fields, *(name for name in _MAY_LACK if _lacks(rows, name)))
        found = find(
            replace(header, absent_fields=absent), batches_of(rows, absent), rows[POSITION].to_numpy()
        )
        return [one for one in found if one.where.startswith(f"results[{row[POSITION]}].")]

    def code_of_results(self) -> list[str]:
        """Lines that load the results, and cut them where they are not known to be all of their runs."""
        if len(self.results) and not self._are_named():
            return ["# `results`: the frame at hand, as run_id and position do not name each of its rows."]
        lines = loading(self.source, self.run_ids)
        if not len(self.results) or self._is_whole():
            return lines
        return [*lines, *picking(self.results, "results", "results")]

    def code_of_view(self) -> list[str]:
        """Lines that load the results and narrow them to `view`."""
        return [*self.code_of_results(), *narrowing(self.filter, "results"), *sorting(self.sort)]

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

    def _still_marked(self, sheet: Sheet) -> np.ndarray:
        """Which rows of another sheet are marked in this one; none where nothing names them."""
        names = [RUN_ID, POSITION, *(name for name in _IDS if name in sheet.frame and name in self.results)]
        both = set(names) <= set(sheet.frame.columns) & set(self.results.columns)
        if not both or not self.marks.any():
            return np.zeros(len(sheet), dtype=bool)
        marked = pd.MultiIndex.from_frame(self.results.loc[self.marks, names])
        still: np.ndarray = pd.MultiIndex.from_frame(sheet.frame[names]).isin(marked)
        return still

    def _are_named(self) -> bool:
        """Whether a script could load these rows again."""
        names = [RUN_ID, POSITION]
        return set(names) <= set(self.results.columns) and not self.results.duplicated(names).any()

    def _is_whole(self) -> bool:
        """Whether the results are all that their runs have; a source that cannot be read is no yes."""
        sizes = self.results.groupby(RUN_ID)[POSITION].agg(["size", "max"])
        if (sizes["size"] != sizes["max"] + 1).any():
            return False
        counts = sizes["size"].to_dict()
        try:
            runs = open_source(self.source).open(list(self.run_ids))
            return all(isinstance(run, AuditRun) and _has(run, counts.get(run.id, 0)) for run in runs)
        except (AuditkitError, OSError, HeaderChanged):
            return False

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
        if not index.is_unique:
            raise InvalidOptionError(
                "A row stands twice in the results. Give a frame that has each row once."
            )
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


def _has(run: AuditRun, count: int) -> bool:
    """Whether a run has so many results; they are counted only where it declares another number."""
    return run.total_submissions == count or sum(map(len, run.batches())) == count


def _lacks(rows: pd.DataFrame, name: str) -> bool:
    """Whether a frame cannot carry a field, which is no finding about its rows."""
    return name not in rows or (name in _IDS and bool(rows[name].isna().all()))


def _runs_of(results: pd.DataFrame) -> tuple[str, ...]:
    return tuple(results[RUN_ID].unique()) if RUN_ID in results else ()
