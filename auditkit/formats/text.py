"""Arrow columns as text: numbers as JavaScript writes them, CSV cells, the formula guard, JSON strings.

Every function takes a whole column and touches single values in Python only where a byte in the
column says that they need care.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.js import js_number

_BLANKS = " \u00a0\ufeff\u200b\u3000"
_LIVE = r"=+\-@%\x00＝＋－＠"
_SEPARATORS = r",;\t\r\n|"
_GUARDED_START = rf"'|[{_BLANKS}]*[{_LIVE}\t\r\n|]"
_GUARDED_INSIDE = rf"'|[{_BLANKS}]*[{_LIVE}]"

_GUARD = re.compile(rf"\A(?={_GUARDED_START})|(?<=[{_SEPARATORS}])(?={_GUARDED_INSIDE})")
_UNGUARD = re.compile(rf"(?:\A|(?<=[{_SEPARATORS}]))'")
_LARGEST_HUNDREDTH = 10_000
_NEEDS_GUARD = rf"\A(?:{_GUARDED_START})|[{_SEPARATORS}](?:{_GUARDED_INSIDE})"  # RE2 has no lookbehind


_QUOTED = b',"\n\r'
_SPLITTING = b',"\n\r;\t|'
_ESCAPED = b'"\\' + bytes(range(32))
_QUOTE = b'"'
_APOSTROPHE = b"'"
_FEW = 8


@cache
def _marks(members: bytes) -> bytes:
    """A table for `bytes.translate` that makes these bytes 1 and all others 0."""
    return bytes(byte in members for byte in range(256))


_BLANK_STARTS = bytes({character.encode()[0] for character in _BLANKS + "＝＋－＠"})
_OPENING = np.frombuffer(_marks(b"'=+-@%\x00\t\r\n|" + _BLANK_STARTS), bool)


def numbers(column: pa.Array) -> pa.Array:
    """Numbers as text, as JavaScript writes them; null stays null.

    Scores of up to two decimals stand in a table. The cast of Arrow writes 1e-6 <= |x| < 1e10 and 0
    rightly, the rest goes through `js_number`.
    """
    values = column.to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore", over="ignore"):
        hundredths = np.rint(values * 100)
        if ((hundredths / 100 == values) & (hundredths >= 0) & (hundredths <= _LARGEST_HUNDREDTH)).all():
            return _hundredths().take(_indices(hundredths))
        size = np.abs(values)
        odd = (size < 1e-6) | (size >= 1e10)
    odd &= (values != 0) | np.signbit(values)
    text = column.cast(pa.string())
    return _mended(text, np.flatnonzero(odd), lambda _, rows: [js_number(values[row]) for row in rows])


@cache
def _hundredths() -> pa.Array:
    """The texts of 0, 0.01, 0.02, … 100."""
    return pa.array(np.arange(_LARGEST_HUNDREDTH + 1) / 100).cast(pa.string())


def csv_cells(column: pa.Array, guard: bool) -> pa.Array:
    """Text as CSV cells: null is blank, quoted only where needed, guarded against formulas if asked."""
    text = pc.fill_null(column, "") if column.null_count else column
    rows = _rows_holding(text, _SPLITTING if guard else _QUOTED)
    if guard:
        opening = _rows_opening(text)
        rows = np.union1d(rows, opening) if opening.size else rows
    if not rows.size:
        return text
    cells = text.take(_indices(rows))
    if guard:
        cells = _guarded(cells)
    return _replaced(text, rows, _quoted(cells))


def guard(cell: str) -> str:
    """A cell in which no spreadsheet sees a formula, whichever separator it splits at."""
    return _GUARD.sub("'", cell)


def unguard(cell: str) -> str:
    """The cell that `guard` was given."""
    return _UNGUARD.sub("", cell)


def unguarded(column: pa.Array) -> pa.Array:
    """A column of cells with the guard taken off."""
    return _mended(
        column,
        _rows_holding(column, _APOSTROPHE),
        lambda cells, _: [unguard(cell) for cell in cells.to_pylist()],
    )


def json_strings(column: pa.Array) -> pa.Array:
    """Text escaped as `JSON.stringify` does, without the quotes around it; null stays null."""
    return _mended(
        column,
        _rows_holding(column, _ESCAPED),
        lambda cells, _: [
            text if text is None else encode_basestring(text)[1:-1] for text in cells.to_pylist()
        ],
    )


def joined(parts: Iterable[Any], separator: str = "") -> pa.Array:
    """One text a row out of columns and constants; null counts as the empty text."""
    return pc.binary_join_element_wise(*parts, separator, null_handling="replace", null_replacement="")


def value_bytes(column: pa.Array) -> memoryview:
    """The bytes of all texts of a column, one behind the other, without a copy."""
    offsets, data = _buffers(column)
    return memoryview(data[offsets[0] : offsets[-1]])  # type: ignore[arg-type]


def _guarded(cells: pa.Array) -> pa.Array:
    rows = np.flatnonzero(pc.match_substring_regex(cells, _NEEDS_GUARD).to_numpy(zero_copy_only=False))
    return _mended(cells, rows, lambda some, _: [guard(cell) for cell in some.to_pylist()])


def _quoted(cells: pa.Array) -> pa.Array:
    rows = _rows_holding(cells, _QUOTED)
    if not rows.size:
        return cells
    some = cells.take(_indices(rows))
    if _rows_holding(some, _QUOTE).size:
        some = pc.replace_substring(some, '"', '""')
    return _replaced(cells, rows, joined(['"', some, '"']))


def _mended(
    column: pa.Array, rows: np.ndarray, mend: Callable[[pa.Array, np.ndarray], list[Any]]
) -> pa.Array:
    if not rows.size:
        return column
    return _replaced(column, rows, pa.array(mend(column.take(_indices(rows)), rows), pa.string()))


def _replaced(column: pa.Array, rows: np.ndarray, values: pa.Array) -> pa.Array:
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    return pc.replace_with_mask(column, _bits(mask), values)


def _rows_holding(column: pa.Array, members: bytes) -> np.ndarray:
    offsets, data = _buffers(column)
    used = data[offsets[0] : offsets[-1]].tobytes()
    if len(members) <= _FEW and not any(byte in used for byte in members):
        return np.empty(0, np.int64)  # a search for one byte is ten times as fast as a table
    marked = used.translate(_marks(members))
    if 1 not in marked:
        return np.empty(0, np.int64)
    places = np.flatnonzero(np.frombuffer(marked, bool)) + offsets[0]
    rows = np.zeros(len(column), bool)
    rows[np.searchsorted(offsets, places, side="right") - 1] = True
    return np.flatnonzero(rows)


def _rows_opening(column: pa.Array) -> np.ndarray:
    offsets, data = _buffers(column)
    if not len(data):
        return np.empty(0, np.int64)
    first = data[np.minimum(offsets[:-1], len(data) - 1)]
    return np.flatnonzero(_OPENING[first] & (offsets[1:] > offsets[:-1]))


def _indices(rows: np.ndarray) -> pa.Array:
    """Row numbers as an Arrow array; `pa.array` would import numpy.ma for it."""
    return pa.Array.from_buffers(
        pa.int64(), len(rows), [None, pa.py_buffer(rows.astype(np.int64, copy=False))]
    )


def _bits(mask: np.ndarray) -> pa.Array:
    """A mask as an Arrow array, likewise."""
    packed = np.packbits(mask, bitorder="little")
    return pa.Array.from_buffers(pa.bool_(), len(mask), [None, pa.py_buffer(packed)])


def _buffers(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    _, offsets, data = column.buffers()
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    if len(column) == 0:
        return np.zeros(1, width), np.empty(0, np.uint8)
    places = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1]
    return places, np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
