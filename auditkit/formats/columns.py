"""Arrow text columns of which few rows need care: which rows those are, and the column with them mended."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_FEW = 8


@cache
def marks(members: bytes) -> bytes:
    """A table for `bytes.translate` that makes these bytes 1 and all others 0."""
    return bytes(byte in members for byte in range(256))


def rows_holding(column: pa.Array, members: bytes) -> np.ndarray:
    """The rows whose text holds one of some bytes."""
    offsets, data = _buffers(column)
    used = data[offsets[0] : offsets[-1]].tobytes()
    if len(members) <= _FEW and not any(byte in used for byte in members):
        return np.empty(0, np.int64)  # a search for one byte is ten times as fast as a table
    marked = used.translate(marks(members))
    if 1 not in marked:
        return np.empty(0, np.int64)
    places = np.flatnonzero(np.frombuffer(marked, bool)) + offsets[0]
    rows = np.zeros(len(column), bool)
    rows[np.searchsorted(offsets, places, side="right") - 1] = True
    return np.flatnonzero(rows)


def rows_opening(column: pa.Array, table: np.ndarray) -> np.ndarray:
    """The rows whose text begins with a byte that a table of 256 truths marks."""
    offsets, data = _buffers(column)
    if not len(data):
        return np.empty(0, np.int64)
    first = data[np.minimum(offsets[:-1], len(data) - 1)]
    return np.flatnonzero(table[first] & (offsets[1:] > offsets[:-1]))


def rows_picked(column: pa.Array, rows: np.ndarray) -> pa.Array:
    """Some rows of a column."""
    return column.take(indices(rows))


def mended(column: pa.Array, rows: np.ndarray, mend: Callable[[pa.Array, np.ndarray], list[Any]]) -> pa.Array:
    """A column whose rows at these places are what a function makes of them."""
    if not rows.size:
        return column
    return replaced(column, rows, pa.array(mend(rows_picked(column, rows), rows), pa.string()))


def replaced(column: pa.Array, rows: np.ndarray, values: pa.Array) -> pa.Array:
    """A column with other values in these rows."""
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    return pc.replace_with_mask(column, _bits(mask), values)


def indices(rows: np.ndarray) -> pa.Array:
    """Row numbers as an Arrow array; `pa.array` would import numpy.ma for it."""
    return pa.Array.from_buffers(
        pa.int64(), len(rows), [None, pa.py_buffer(rows.astype(np.int64, copy=False))]
    )


def value_bytes(column: pa.Array) -> memoryview:
    """The bytes of all texts of a column, one behind the other, without a copy."""
    offsets, data = _buffers(column)
    return memoryview(data[offsets[0] : offsets[-1]])  # type: ignore[arg-type]


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
