"""Arrangement: what of a sheet is shown, in which order, and which of its rows are marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import traitlets

from auditkit.conditions import Condition, conditions_of
from auditkit.errors import InvalidOptionError
from auditkit.widgets.sheet import Sheet

Direction = Literal["ascending", "descending"]
How = Literal["only", "add", "toggle"]
DIRECTIONS = ("ascending", "descending")


class Arrangement(traitlets.HasTraits):
    """The state that a grid shows, and that drawings and exports may share with it.

    Observe `sheet`, `conditions`, `sort` and `marking`; the last counts how often the marks changed.
    """

    sheet = traitlets.Instance(Sheet)
    conditions: Any = traitlets.Dict()
    """Column to Condition; a row is shown when all hold."""
    sort: Any = traitlets.Any(None, allow_none=True)
    """Column and direction, or None for the order of the frame."""
    marking = traitlets.Int(0)

    keeps_hidden_marks = False
    """Whether rows stay marked when a condition takes them out of sight."""

    def __init__(self, sheet: Sheet, **traits: Any):
        self._places: np.ndarray | None = None
        self._next_marks: np.ndarray | None = None
        self.marks = np.zeros(len(sheet), dtype=bool)
        super().__init__(sheet=sheet, **traits)

    @property
    def places(self) -> np.ndarray:
        """The places of the shown rows, in the order in which they are shown."""
        if self._places is None:
            mask = self.mask()
            if self.sort is None:
                self._places = np.flatnonzero(mask)
            else:
                name, direction = self.sort
                order = self.sheet.order(name, direction == "descending")
                self._places = order if mask.all() else order[mask[order]]
        return self._places

    def mask(self, without: tuple[str, ...] = ()) -> np.ndarray:
        """Which rows meet the conditions, those of some columns left out."""
        conditions: Mapping[str, Condition] = self.conditions
        return self.sheet.mask({name: asked for name, asked in conditions.items() if name not in without})

    def ask(self, name: str, value: Any) -> None:
        """Ask something else of a column; None asks for nothing any more."""
        given = {column: asked.value for column, asked in self.conditions.items()}
        self.conditions = conditions_of(self.sheet.fields, given | {name: value})

    def replace(self, sheet: Sheet, marks: np.ndarray) -> None:
        """Show another sheet, of which some rows are marked from the start."""
        self._next_marks = marks
        self.sheet = sheet

    def mark(self, places: np.ndarray, how: How = "only") -> None:
        """Mark rows, named by their places in the sheet, or turn their marks over."""
        marks = np.zeros(len(self.sheet), dtype=bool) if how == "only" else self.marks.copy()
        marks[places] = ~marks[places] if how == "toggle" else True
        self._set_marks(marks)

    def marked_places(self) -> np.ndarray:
        """The places of the marked rows: those that are shown in their order, then those that are not."""
        shown = self.places[self.marks[self.places]]
        hidden = self.marks.copy()
        hidden[shown] = False
        return np.concatenate([shown, np.flatnonzero(hidden)])

    @traitlets.validate("sort")
    def _known_sort(self, proposal: Any) -> Any:
        sort = proposal["value"]
        if sort is None:
            return None
        texts = isinstance(sort, list | tuple) and all(isinstance(part, str) for part in sort)
        pair = tuple(sort) if texts else ()
        if len(pair) != 2 or pair[0] not in self.sheet.fields or pair[1] not in DIRECTIONS:
            raise InvalidOptionError(
                f"{sort!r} is no order. Give a column of the table and 'ascending' or 'descending', or None."
            )
        self.sheet.column(pair[0])  # refuses what cannot be compared
        return pair

    @traitlets.validate("conditions")
    def _known_columns(self, proposal: Any) -> Any:
        for name in proposal["value"]:
            if name not in self.sheet.fields:
                raise InvalidOptionError(f"The frame needs one column {name}. Take it from load_results.")
            self.sheet.column(name)  # refuses what cannot be compared
        return proposal["value"]

    @traitlets.observe("sheet")
    def _new_sheet(self, change: Any) -> None:
        self._places = None
        before, after = self.marks, self._next_marks
        self.marks = np.zeros(len(self.sheet), dtype=bool) if after is None else after
        self._next_marks = None
        if self.sort is not None and self.sort[0] not in self.sheet.fields:
            self.sort = None
        if before.any() or self.marks.any():
            self.marking += 1

    @traitlets.observe("conditions", "sort")
    def _arrange(self, change: Any) -> None:
        self._places = None
        if change["name"] == "conditions" and not self.keeps_hidden_marks and self.marks.any():
            self._set_marks(self.marks & self.mask())

    def _set_marks(self, marks: np.ndarray) -> None:
        if (marks != self.marks).any():
            self.marks = marks
            self.marking += 1
