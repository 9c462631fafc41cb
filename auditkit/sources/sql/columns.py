"""Rows of a driver -> columns, in slices so small that the processor still has them at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa

SLICE_ROWS = 512
"""A row of Python objects takes some kilobytes: with 8,192 at once SQLite takes twice as long."""
_TYPES: dict[type, pa.DataType] = {str: pa.string(), float: pa.float64(), int: pa.int64()}
_NONE = type(None)

Part = Any
"""An Arrow array, or the Python values as they are where these are not all of one plain type."""


def columns_of(
    names: Sequence[str], slices: Iterable[Sequence[Sequence[Any]]], batch_rows: int
) -> Iterator[dict[str, Any]]:
    """The rows of many slices by column, so many at a time."""
    parts: list[list[Part]] = [[] for _ in names]
    held = 0
    for rows in slices:
        for column, values in zip(parts, zip(*rows, strict=True), strict=True):
            column.append(_part(values))
        held += len(rows)
        if held >= batch_rows:
            yield dict(zip(names, map(_joined, parts), strict=True))
            parts, held = [[] for _ in names], 0
    if held:
        yield dict(zip(names, map(_joined, parts), strict=True))


def _part(values: tuple[Any, ...]) -> Part:
    kinds = set(map(type, values))
    present = kinds - {_NONE}
    if not present:
        return pa.nulls(len(values))
    if len(present) == 1 and (kind := _TYPES.get(present.pop())):
        with suppress(pa.ArrowException, OverflowError, UnicodeEncodeError):
            return pa.array(values, kind)
    return values


def _joined(parts: list[Part]) -> Any:
    if all(isinstance(part, pa.Array) for part in parts):
        kinds = {part.type for part in parts} - {pa.null()}
        if len(kinds) <= 1:
            kind = kinds.pop() if kinds else pa.null()
            return pa.concat_arrays([part if part.type == kind else part.cast(kind) for part in parts])
    return [value for part in parts for value in (part.to_pylist() if isinstance(part, pa.Array) else part)]
