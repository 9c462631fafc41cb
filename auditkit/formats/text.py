"""Arrow columns as text: numbers as JavaScript writes them, CSV cells, JSON strings.

Every function takes a whole column and touches single values in Python only where a byte in the
column says that they need care.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.columns import indices, mended, replaced, rows_holding, rows_picked
from auditkit.formats.guard import SPLITTING, guarded, rows_opening_live
from auditkit.formats.js import js_number

_LARGEST_HUNDREDTH = 10_000
_QUOTED = b',"\n\r'
_CARE = b'"' + SPLITTING
_ESCAPED = b'"\\' + bytes(range(32))
_QUOTE = b'"'


def numbers(column: pa.Array) -> pa.Array:
    """Numbers as text, as JavaScript writes them; null stays null.

    Scores of up to two decimals stand in a table. The cast of Arrow writes 1e-6 <= |x| < 1e10 and 0
    rightly, the rest goes through `js_number`.
    """
    values = column.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore", over="ignore"):
        hundredths = np.rint(values * 100)
        if ((hundredths / 100 == values) & (hundredths >= 0) & (hundredths <= _LARGEST_HUNDREDTH)).all():
            return _hundredths().take(indices(hundredths))
        size = np.abs(values)
        odd = (size < 1e-6) | (size >= 1e10)
    odd &= (values != 0) | np.signbit(values)
    text = column.cast(pa.string())
    return mended(text, np.flatnonzero(odd), lambda _, rows: [js_number(values[row]) for row in rows])


@cache
def _hundredths() -> pa.Array:
    """The texts of 0, 0.01, 0.02, … 100."""
    return pa.array(np.arange(_LARGEST_HUNDREDTH + 1) / 100).cast(pa.string())


def csv_cells(column: pa.Array, guard: bool) -> pa.Array:
    """Text as CSV cells: null is blank, quoted only where needed, guarded against formulas if asked."""
    text = pc.fill_null(column, "") if column.null_count else column
    rows = rows_holding(text, _CARE if guard else _QUOTED)
    if guard:
        opening = rows_opening_live(text)
        rows = np.union1d(rows, opening) if opening.size else rows
    if not rows.size:
        return text
    cells = rows_picked(text, rows)
    if guard:
        cells = guarded(cells)
    return replaced(text, rows, _quoted(cells))


def json_strings(column: pa.Array) -> pa.Array:
    """Text escaped as `JSON.stringify` does, without the quotes around it; null stays null."""
    return mended(
        column,
        rows_holding(column, _ESCAPED),
        lambda cells, _: [
            text if text is None else encode_basestring(text)[1:-1] for text in cells.to_pylist()
        ],
    )


def joined(parts: Iterable[Any], separator: str = "") -> pa.Array:
    """One text a row out of columns and constants; null counts as the empty text."""
    return pc.binary_join_element_wise(*parts, separator, null_handling="replace", null_replacement="")


def _quoted(cells: pa.Array) -> pa.Array:
    rows = rows_holding(cells, _QUOTED)
    if not rows.size:
        return cells
    some = rows_picked(cells, rows)
    if rows_holding(some, _QUOTE).size:
        some = pc.replace_substring(some, '"', '""')
    return replaced(cells, rows, joined(['"', some, '"']))
