"""The formula guard: a `'` wherever a spreadsheet could begin to see a formula, and away with it again.

Places are the start of a cell and those behind `,` `;` TAB CR LF `|` inside it: a spreadsheet that is
told the wrong separator cuts there.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from auditkit.formats.columns import marks, mended, rows_holding, rows_opening

_BLANKS = " \u00a0\ufeff\u200b\u3000"
_LIVE = r"=+\-@%\x00＝＋－＠"
_SEPARATORS = r",;\t\r\n|"
_GUARDED_START = rf"'|[{_BLANKS}]*[{_LIVE}\t\r\n|]"
_GUARDED_INSIDE = rf"'|[{_BLANKS}]*[{_LIVE}]"

_GUARD = re.compile(rf"\A(?={_GUARDED_START})|(?<=[{_SEPARATORS}])(?={_GUARDED_INSIDE})")
_UNGUARD = re.compile(rf"(?:\A|(?<=[{_SEPARATORS}]))'")
_NEEDS_GUARD = rf"\A(?:{_GUARDED_START})|[{_SEPARATORS}](?:{_GUARDED_INSIDE})"  # RE2 has no lookbehind

SPLITTING = b",\n\r;\t|"
"""The bytes behind which a guard may be needed inside a cell."""
_APOSTROPHE = b"'"
_BLANK_STARTS = bytes({character.encode()[0] for character in _BLANKS + "＝＋－＠"})
_OPENING = np.frombuffer(marks(b"'=+-@%\x00\t\r\n|" + _BLANK_STARTS), bool)


def guard(cell: str) -> str:
    """A cell in which no spreadsheet sees a formula, whichever separator it splits at."""
    return _GUARD.sub("'", cell)


def unguard(cell: str) -> str:
    """The cell that `guard` was given."""
    return _UNGUARD.sub("", cell)


def rows_opening_live(column: pa.Array) -> np.ndarray:
    """The rows whose first byte may need a guard in front of it."""
    return rows_opening(column, _OPENING)


def guarded(cells: pa.Array) -> pa.Array:
    """A column of cells with the guard put on."""
    rows = np.flatnonzero(pc.match_substring_regex(cells, _NEEDS_GUARD).to_numpy(zero_copy_only=False))
    return mended(cells, rows, lambda some, _: [guard(cell) for cell in some.to_pylist()])


def unguarded(column: pa.Array) -> pa.Array:
    """A column of cells with the guard taken off."""
    return mended(
        column,
        rows_holding(column, _APOSTROPHE),
        lambda cells, _: [unguard(cell) for cell in cells.to_pylist()],
    )
