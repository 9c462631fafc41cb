"""Sheet: a frame as a grid shows it, asked for rows by place, in any order, narrowed by conditions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.conditions import Condition
from auditkit.filters import column_of
from auditkit.formats.js import js_number
from auditkit.schema import DIFFERENCE, Field

_KEPT_MASKS = 16
_KEPT_ORDERS = 8
_LARGEST_HUNDREDTH = np.iinfo(np.int16).max
_CELL_LETTERS = 200


class Sheet:
    """The rows of a frame under the fields of a table; what was worked out for a column is kept.

    A row is named by its place in the frame, counted from 0.
    """

    def __init__(self, frame: pd.DataFrame, fields: Mapping[str, Field]):
        self.frame = frame.copy(deep=False)  # whoever edits theirs does not edit this one
        derived = {"user_score", "ai_score"} <= set(frame.columns)
        self.fields = {
            name: field
            for name, field in fields.items()
            if name in frame.columns or (field == DIFFERENCE and derived)
        }
        self._columns: dict[str, pa.Array] = {}
        self._masks: OrderedDict[tuple[str, Condition], np.ndarray] = OrderedDict()
        self._orders: OrderedDict[tuple[str, bool], np.ndarray] = OrderedDict()

    def __len__(self) -> int:
        return len(self.frame)

    def column(self, name: str) -> pa.Array:
        """The values of a column as Arrow text, numbers or instants."""
        if name not in self._columns:
            self._columns[name] = column_of(self.frame, self.fields[name])
        return self._columns[name]

    def mask(self, conditions: Mapping[str, Condition]) -> np.ndarray:
        """Which rows meet all conditions: booleans, shape (rows,)."""
        holds = np.ones(len(self), dtype=bool)
        for asked in conditions.items():
            holds &= _kept(self._masks, asked, _KEPT_MASKS, lambda asked=asked: self._held(*asked))
        return holds

    def order(self, name: str, descending: bool) -> np.ndarray:
        """All places sorted by a column, equal ones as in the frame, missing ones last."""
        key = (name, descending)
        return _kept(self._orders, key, _KEPT_ORDERS, lambda: self._sorted(name, descending))

    def cells(
        self, places: np.ndarray, names: Sequence[str], letters: int | None = _CELL_LETTERS
    ) -> list[list[str | None]]:
        """Some rows as texts of so many letters, None: whole; None where a value is missing."""
        if not names:
            return [[] for _ in places]
        rows = self.frame.iloc[places]
        columns = [self._texts(name, column_of(rows, self.fields[name])) for name in names]
        return [
            [
                text if text is None or letters is None or len(text) <= letters else f"{text[:letters]}…"
                for text in row
            ]
            for row in zip(*columns, strict=True)
        ]

    def text(self, name: str, place: int) -> str | None:
        """One value as text, whole; None if it is missing."""
        return self._texts(name, column_of(self.frame.iloc[[place]], self.fields[name]))[0]

    def values(self, name: str, most: int) -> list[str | None] | None:
        """The different values of a text column, sorted, None last if any is missing; None if too many."""
        if self.fields[name].allowed:
            return [*self.fields[name].allowed, *([None] if self.column(name).null_count else [])]
        found = pc.unique(self.column(name))
        if len(found) > most:
            return None
        return sorted(found.to_pylist(), key=lambda value: (value is None, value or ""))

    def _held(self, name: str, asked: Condition) -> np.ndarray:
        held: np.ndarray = pc.fill_null(asked.holds(self.column(name)), False).to_numpy(zero_copy_only=False)
        return held

    def _sorted(self, name: str, descending: bool) -> np.ndarray:
        field, column = self.fields[name], self.column(name)
        if field.allowed:
            column = pc.index_in(column, value_set=pa.array(field.allowed, column.type))
        return _argsort(column, descending)

    def _texts(self, name: str, column: pa.Array) -> list[str | None]:
        field = self.fields[name]
        if field.kind == "timestamp":
            return [None if text is None else _instant(text) for text in column.cast(pa.string()).to_pylist()]
        values = column.to_pylist()
        if field == DIFFERENCE:
            return [None if value is None else signed(value) for value in values]
        if field.kind == "number":
            return [None if value is None else js_number(value) for value in values]
        return [None if value is None else str(value) for value in values]


def signed(value: float) -> str:
    """A difference with its sign: `+7`, `-3.5`, `0`."""
    text = js_number(value)
    return text if text == "0" or value < 0 else f"+{text}"


def _instant(text: str) -> str:
    """An instant of Arrow, `2024-01-15 10:15:00.000000Z`, without digits that say nothing."""
    whole, _, digits = text.removesuffix("Z").partition(".")
    digits = digits.rstrip("0")
    return f"{whole}.{digits}Z" if digits else f"{whole}Z"


def _argsort(column: pa.Array, descending: bool) -> np.ndarray:
    """A stable order, missing values last; Arrow's own is stable for both directions."""
    hundredths = _hundredths(column)
    if hundredths is not None:
        order: np.ndarray = np.argsort(-hundredths if descending else hundredths, kind="stable")
        return order
    direction = "descending" if descending else "ascending"
    places: np.ndarray = pc.sort_indices(pa.table({"": column}), sort_keys=[("", direction)]).to_numpy()
    return places


def _hundredths(column: pa.Array) -> np.ndarray | None:
    """Numbers of up to two decimals, as scores are, as small whole ones: they sort in a sixth of the time."""
    if not pa.types.is_floating(column.type) or column.null_count:
        return None
    values = column.to_numpy()
    with np.errstate(over="ignore", invalid="ignore"):
        hundredths = np.rint(values * 100)
        fit = (np.abs(hundredths) <= _LARGEST_HUNDREDTH).all() and (hundredths / 100 == values).all()
    return hundredths.astype(np.int16) if fit else None


def _kept(store: OrderedDict[Any, np.ndarray], key: Any, most: int, make: Any) -> np.ndarray:
    if key not in store:
        store[key] = make()
        if len(store) > most:
            store.popitem(last=False)
    store.move_to_end(key)
    return store[key]
