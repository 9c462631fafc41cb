"""Parquet: the result batches, with the headers of their runs in the metadata of the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from auditkit.formats.base import Compression, RunEvents, Sink, WriteOptions
from auditkit.formats.stream import InputStream
from auditkit.run import AuditRun, RunHeader

METADATA_KEY = b"auditkit.runs"
_MAGIC = b"PAR1"


@dataclass(frozen=True, kw_only=True)
class Parquet:
    """One row a result: run_id, then the columns of the table, `extra` last."""

    include_metadata: bool = True
    compression: Compression | None = None

    name = "parquet"
    suffix = ".parquet"

    def configured(self, options: WriteOptions) -> Parquet:
        """The same under these options; the compression is that of the columns."""
        options.refuse(self.name, "formula_guard", "excel", "flatten_results")
        return Parquet(include_metadata=options.include_metadata, compression=options.compression)

    def write(self, run: AuditRun, sink: Sink) -> None:
        """The results of one run."""
        self.write_selection([run], sink)

    def write_selection(self, runs: Iterable[AuditRun], sink: Sink) -> None:
        """The results of all runs, run by run."""
        from auditkit.formats.parquet.write import write_runs

        write_runs(list(runs), sink, self.include_metadata, self.compression)

    def recognises(self, head: bytes) -> bool:
        """Whether a Parquet file begins."""
        return head.startswith(_MAGIC)

    def read(self, stream: InputStream) -> RunEvents:
        """The runs of a Parquet file that auditkit wrote."""
        from auditkit.formats.parquet.read import read_runs

        return read_runs(stream)

    def headers(self, stream: InputStream) -> Iterator[RunHeader]:
        """The headers, from the end of the file."""
        from auditkit.formats.parquet.read import read_headers

        return read_headers(stream)
