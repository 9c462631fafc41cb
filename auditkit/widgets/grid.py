"""Grid: an arrangement as a table of which only the rows in sight travel to the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import traitlets

from auditkit.errors import InvalidOptionError
from auditkit.formats.guard import guard
from auditkit.html import rows_html
from auditkit.schema import Field
from auditkit.widgets.arrangement import Arrangement
from auditkit.widgets.base import Answer, AuditWidget

_MOST_ROWS = 200
_MOST_VALUES = 50
_MOST_COPIED = 10_000
_STATIC_ROWS = 8
_STATIC_LETTERS = 48
_WORDS_LETTERS = 200
_NUMERIC = ("number", "count")


class Grid(AuditWidget):
    """A table of an arrangement: sorted, filtered and marked in Python, drawn where it is looked at.

    Attributes
    ----------
    hidden : list of str
        Columns that are not shown.
    sort : (column, "ascending" or "descending"), or None
    """

    hidden: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    _widths: Any = traitlets.Dict().tag(sync=True)
    _columns: Any = traitlets.List().tag(sync=True)
    _state: Any = traitlets.Dict().tag(sync=True)

    noun = "row"
    label = "Rows"
    chosen = "selected"
    widths: dict[str, int] = {}  # noqa: RUF012 - a constant of the class

    def __init__(self, arrangement: Arrangement, **traits: Any):
        self.arrangement = arrangement
        self._version = self._layout = 0
        if "sort" in traits:
            self.sort = traits.pop("sort")
        super().__init__(**traits)
        self._columns = self._described()
        self._refresh()
        arrangement.observe(self._follow, ["sheet", "conditions", "sort", "marking"])

    @property
    def sort(self) -> tuple[str, str] | None:
        """The column that gives the order, and its direction; None for the order of the frame."""
        sort: tuple[str, str] | None = self.arrangement.sort
        return sort

    @sort.setter
    def sort(self, sort: Sequence[str] | None) -> None:
        self.arrangement.sort = sort

    def nothing(self) -> str:
        """What is said where there are no rows at all."""
        return f"There are no {self.noun}s here."

    def shown_columns(self) -> list[str]:
        """The columns that are not hidden, in their order."""
        return [name for name in self.arrangement.sheet.fields if name not in self.hidden]

    def static_html(self) -> str:
        """The first rows, and how many there are."""
        places = self.arrangement.places
        names = self.shown_columns()
        rows = self.arrangement.sheet.cells(places[:_STATIC_ROWS], names, _STATIC_LETTERS)
        labels = [_label(self.arrangement.sheet.fields[name]) for name in names]
        shown, total = len(places), len(self.arrangement.sheet)
        marked = int(self.arrangement.marks.sum())
        title = f"{self.label}: {shown:,}" + (f" of {total:,}" if shown < total else "")
        title += f", {marked:,} {self.chosen}" if marked else ""
        note = f"These are the first {_STATIC_ROWS}." if shown > _STATIC_ROWS else None
        if not shown:
            note = f"No {self.noun} passes the filters." if total else self.nothing()
        return rows_html(title, labels, rows, " ".join(filter(None, [note, self.message["text"]])))

    def _follow(self, change: Any) -> None:
        if change["name"] == "sheet":
            self._columns = self._described()
        if change["name"] != "marking":
            self._layout += 1
        self._refresh()

    def _described(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "label": _label(field),
                "kind": field.kind,
                "numeric": field.kind in _NUMERIC,
                "width": self.widths.get(name, 120),
            }
            for name, field in self.arrangement.sheet.fields.items()
        ]

    def _refresh(self) -> None:
        self._version += 1
        arrangement = self.arrangement
        self._state = {
            "version": self._version,
            "layout": self._layout,
            "noun": self.noun,
            "label": self.label,
            "chosen": self.chosen,
            "nothing": self.nothing(),
            "total": len(arrangement.sheet),
            "shown": len(arrangement.places),
            "marked": int(arrangement.marks.sum()),
            "hiddenMarks": int((arrangement.marks & ~arrangement.mask()).sum()),
            "sort": list(arrangement.sort) if arrangement.sort else None,
            "asked": {
                name: {"words": _shortened(asked.words), "value": asked.value}
                for name, asked in arrangement.conditions.items()
            },
        }

    def _do_rows(self, question: dict[str, Any]) -> Answer:
        first = max(0, int(question["first"]))
        count = min(max(0, int(question["count"])), _MOST_ROWS)
        places = self.arrangement.places[first : first + count]
        return {
            "version": self._version,
            "layout": self._layout,
            "first": first,
            "names": self.shown_columns(),
            "cells": self.arrangement.sheet.cells(places, self.shown_columns()),
            "marked": self.arrangement.marks[places].tolist(),
        }

    def _do_sort(self, question: dict[str, Any]) -> Answer:
        direction = question["direction"]
        self.sort = None if direction is None else (question["column"], direction)
        return {}

    def _do_ask(self, question: dict[str, Any]) -> Answer:
        self.say("")
        self.arrangement.ask(question["column"], question["value"])
        return {}

    def _do_clear(self, question: dict[str, Any]) -> Answer:
        self.say("")
        self.arrangement.conditions = {}
        return {}

    def _do_values(self, question: dict[str, Any]) -> Answer:
        return {"values": self.arrangement.sheet.values(question["column"], _MOST_VALUES)}

    def _do_mark(self, question: dict[str, Any]) -> Answer:
        if question["layout"] != self._layout:  # a click on rows that are elsewhere by now
            return {}
        first, last = sorted((int(question["first"]), int(question["last"])))
        places = self.arrangement.places[max(0, first) : max(0, last + 1)]
        self.arrangement.mark(places, question["how"])
        return {}

    def _do_unmark(self, question: dict[str, Any]) -> Answer:
        self.arrangement.mark(np.empty(0, np.int64))
        return {}

    def _do_copy(self, question: dict[str, Any]) -> Answer:
        places = self.arrangement.marked_places()
        if len(places) > _MOST_COPIED:
            raise InvalidOptionError(
                f"{len(places):,} {self.noun}s are too many to copy. "
                f"Select up to {_MOST_COPIED:,}, or export them as a file."
            )
        names = self.shown_columns()
        labels = [_label(self.arrangement.sheet.fields[name]) for name in names]
        rows = [
            [self._copied(name, text) for name, text in zip(names, row, strict=True)]
            for row in self.arrangement.sheet.cells(places, names, letters=None)
        ]
        return {"text": "".join("\t".join(row) + "\n" for row in [labels, *rows]), "rows": len(rows)}

    def _copied(self, name: str, text: str | None) -> str:
        """A cell for a spreadsheet: blank where missing, never a formula, quoted where it must be."""
        text = text or ""
        if self.arrangement.sheet.fields[name].kind == "text":
            text = guard(text)
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if set(text) & set('\t\n\r"') else text


def _shortened(words: str) -> str:
    return words if len(words) <= _WORDS_LETTERS else f"{words[:_WORDS_LETTERS]}…"


def _label(field: Field) -> str:
    return field.label or _LABELS.get(field.column) or field.column.replace("_", " ").capitalize()


_LABELS = {"result_id": "Result ID"}
