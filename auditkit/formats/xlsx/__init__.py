"""xlsx: a workbook with one sheet, in the columns of the CSV, scores as numbers and text as text."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass

from auditkit.errors import MissingExtraError
from auditkit.formats.base import RunEvents, Sink, WriteOptions
from auditkit.formats.stream import InputStream
from auditkit.run import AuditRun

_ZIP = b"PK\x03\x04"
_PART = b"xl/"


@dataclass(frozen=True, kw_only=True)
class Xlsx:
    """One row a result, repeating what its run says of itself; it never holds a formula."""

    include_metadata: bool = True

    name = "xlsx"
    suffix = ".xlsx"

    def configured(self, options: WriteOptions) -> Xlsx:
        """The same under these options.

        Raises
        ------
        MissingExtraError
            If xlsxwriter is not installed.
        """
        options.refuse(self.name, "flatten_results", "formula_guard", "excel", "compression")
        if importlib.util.find_spec("xlsxwriter") is None:
            raise MissingExtraError("The format 'xlsx' needs xlsxwriter. Install auditkit[excel].")
        return Xlsx(include_metadata=options.include_metadata)

    def write(self, run: AuditRun, sink: Sink) -> None:
        """The results of one run, read twice: before a cell is written, all of them are measured."""
        self.write_selection([run], sink)

    def write_selection(self, runs: Iterable[AuditRun], sink: Sink) -> None:
        """The results of all runs, run by run.

        Raises
        ------
        InvalidRunError
            With every text that is too long for a cell, and if there are more results than rows.
        """
        from auditkit.formats.xlsx.limits import check_limits
        from auditkit.formats.xlsx.write import write_runs

        chosen = list(runs)
        check_limits(chosen, self.include_metadata)
        write_runs(chosen, sink, self.include_metadata)

    def recognises(self, head: bytes) -> bool:
        """Whether a workbook begins."""
        return head.startswith(_ZIP) and _PART in head

    def read(self, stream: InputStream) -> RunEvents:
        """Nothing: a workbook is for people.

        Raises
        ------
        InvalidRunError
            Always, with what to load instead.
        """
        raise stream.refused(
            "an Excel workbook, which cannot be loaded back; load its run as JSON, CSV or Parquet instead"
        )
