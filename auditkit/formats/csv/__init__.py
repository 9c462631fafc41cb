"""CSV: the 21 columns of the specification, quoted only where needed, guarded against formulas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditkit.formats.base import RunEvents, Sink, WriteOptions
from auditkit.formats.stream import BOM, InputStream
from auditkit.run import AuditRun

_HEADS = tuple(text + b"Audit Run ID" for text in (b"", b'"'))


@dataclass(frozen=True, kw_only=True)
class Csv:
    """One line a result, repeating what its run says of itself."""

    include_metadata: bool = True
    formula_guard: bool = True
    excel: bool = False

    name = "csv"
    suffix = ".csv"

    def configured(self, options: WriteOptions) -> Csv:
        """The same under these options."""
        options.refuse(self.name, "flatten_results")
        return Csv(
            include_metadata=options.include_metadata,
            formula_guard=options.formula_guard,
            excel=options.excel,
        )

    def write(self, run: AuditRun, sink: Sink) -> None:
        """The header line, then a line for each result."""
        self.write_selection([run], sink)

    def write_selection(self, runs: Iterable[AuditRun], sink: Sink) -> None:
        """The header line, then a line for each result, run by run."""
        from auditkit.formats.csv.write import Lines

        lines = Lines(self.include_metadata, self.formula_guard, "\r\n" if self.excel else "\n")
        sink.write((BOM if self.excel else b"") + lines.header())
        for run in runs:
            for chunk in lines.of(run):
                sink.write(chunk)

    def recognises(self, head: bytes) -> bool:
        """Whether our header line begins."""
        return head.removeprefix(BOM).startswith(_HEADS)

    def read(self, stream: InputStream) -> RunEvents:
        """The runs of a CSV that auditkit wrote, also one that a spreadsheet saved again."""
        from auditkit.formats.csv.read import read_runs

        return read_runs(stream)
