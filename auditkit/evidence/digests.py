"""Columns as digests, whatever the batches in which they came: those that say the same have the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from auditkit.schema import EXTRA

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, "pa.Array"]


class ColumnDigests:
    """Digests of the columns of batches that are seen once.

    Attributes
    ----------
    filled : set of str
        The columns that hold any value but an empty text.
    """

    def __init__(self) -> None:
        self._hashes: dict[str, tuple[Any, Any]] = {}
        self.filled: set[str] = set()

    def add(self, columns: Columns) -> None:
        """Count in the next rows of each column."""
        for name, column in columns.items():
            shape, values = self._hashes.setdefault(name, (hashlib.blake2b(), hashlib.blake2b()))
            sizes, data = _text(column) if column.type == "string" else _numbers(column)
            shape.update(sizes)
            values.update(data)
            if len(data) and column.null_count < len(column):
                self.filled.add(name)

    def digests(self) -> dict[str, bytes]:
        """A digest of each column."""
        return {name: shape.digest() + values.digest() for name, (shape, values) in self._hashes.items()}


def as_recorded(batch: pa.RecordBatch) -> Columns:
    """The columns of a batch, unknown fields in the one way in which JSON is written here."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    extra = columns[EXTRA]
    if extra.null_count < len(extra):
        import pyarrow as pa

        columns[EXTRA] = pa.array(list(map(plain_json, extra.to_pylist())), pa.string())
    return columns


def as_in_csv(batch: pa.RecordBatch, run_reviewer: str | None) -> Columns:
    """Those columns of a batch that a CSV shows otherwise, as it shows them: empty is blank, and a
    result without a reviewer shows that of its run.
    """
    reviewer = batch.column("reviewer")
    if run_reviewer is not None and reviewer.null_count:
        import pyarrow.compute as pc

        reviewer = pc.fill_null(reviewer, run_reviewer)
    return {"reviewer": _blank_is_missing(reviewer), "notes": _blank_is_missing(batch.column("notes"))}


def plain_json(text: str | None) -> str | None:
    """The text of an object of unknown fields as it is written, whoever wrote it."""
    if text is None:
        return None
    from auditkit.formats.json.values import parse, stringify

    return stringify(parse(text))


def _blank_is_missing(column: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.replace_with_mask(column, pc.equal(column, ""), pa.scalar(None, pa.string()))


def _text(column: pa.Array) -> tuple[bytes, memoryview]:
    """The length of each text, -1 where it is missing, and all texts."""
    import numpy as np
    import pyarrow.compute as pc

    from auditkit.formats.columns import value_bytes

    text = pc.fill_null(column, "") if column.null_count else column
    lengths = pc.binary_length(text).to_numpy()
    if column.null_count:
        lengths = np.where(column.is_null().to_numpy(zero_copy_only=False), np.int32(-1), lengths)
    return lengths.tobytes(), value_bytes(text)


def _numbers(column: pa.Array) -> tuple[bytes, bytes]:
    """Which numbers are missing, and all numbers; -0 is 0, as most formats write it."""
    missing = column.is_null().to_numpy(zero_copy_only=False)
    return missing.tobytes(), (column.to_numpy(zero_copy_only=False) + 0.0).tobytes()
