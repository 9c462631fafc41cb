"""What an export gives back: a receipt for each file, and for a batch its receipts and failures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditkit.filters import Filter
from auditkit.store import StorePath


@dataclass(frozen=True, kw_only=True)
class ExportReceipt(os.PathLike[str]):
    """What was written: a path that can be opened, and the facts about the file.

    Attributes
    ----------
    path : Path or StorePath
        In an object store its URL, as `os.fspath` and `pandas.read_csv` take it.
    format : str
    run_ids : tuple of str
    rows, rows_total : int
        How many results the file holds, of how many that the runs have.
    bytes : int
    sha256 : str
        Of the file as it stands on disk, 64 hexadecimal digits.
    plain_sha256 : str or None
        Of an encrypted file: of what decrypting it gives.
    options : dict
        How it was written: the options that differ from their defaults.
    filter : Filter, str or None
        Which results were chosen, where not all were: the filter that chose them, or words.
        With pseudonyms, the names of its fields alone.
    absent_fields : tuple of str
        Frame columns that the input could not carry, and that are therefore blank or left out.
    log_head : str or None
        The head of the export log after this export: an anchor for `verify_exports`.
    seconds : float
        How long it took.
    reused : bool
        Whether the file stood there before, with the same bytes.
    parts : tuple of ExportReceipt
        Of a run in parts: a receipt for each, in order; all else but path and sha256, which are those
        of the manifest, is then said of them together.
    """

    path: Path | StorePath
    format: str
    run_ids: tuple[str, ...]
    rows: int
    rows_total: int
    bytes: int
    sha256: str
    plain_sha256: str | None = field(default=None, repr=False)
    options: dict[str, Any] = field(hash=False)
    filter: Filter | str | None = None
    absent_fields: tuple[str, ...] = ()
    log_head: str | None = field(default=None, repr=False, compare=False)
    seconds: float = field(repr=False, compare=False)
    reused: bool = field(repr=False, compare=False)
    parts: tuple[ExportReceipt, ...] = field(default=(), repr=False)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def _repr_html_(self) -> str:
        from auditkit.html import receipt_html

        return receipt_html(self)


@dataclass(frozen=True, kw_only=True)
class BatchFailure:
    """A run of a batch that could not be exported, and why."""

    run_id: str
    error: Exception


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What became of a batch: receipts and failures, each in the order asked."""

    receipts: list[ExportReceipt]
    failures: list[BatchFailure]

    @classmethod
    def of(cls, run_ids: Sequence[str], outcomes: Sequence[ExportReceipt | Exception]) -> BatchResult:
        """What the outcomes of some runs come to, one for each."""
        failures = [
            BatchFailure(run_id=run_id, error=outcome)
            for run_id, outcome in zip(run_ids, outcomes, strict=True)
            if isinstance(outcome, Exception)
        ]
        return cls(receipts=[one for one in outcomes if isinstance(one, ExportReceipt)], failures=failures)

    def _repr_html_(self) -> str:
        from auditkit.html import batch_html

        return batch_html(self)
