"""JSON, read and written: runs as nested objects, results as flat records, in an array or line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from auditkit.formats.base import RunEvents, Sink, WriteOptions
from auditkit.formats.json.blocks import first_keys
from auditkit.formats.json.listing import RESULTS, read_headers
from auditkit.formats.stream import BOM, InputStream
from auditkit.run import AuditRun, RunHeader
from auditkit.schema import RESULTS_KEY

_BLANK = BOM + b" \t\r\n"
_FLAT_KEY = b'"auditRunId"'


@dataclass(frozen=True, kw_only=True)
class Json:
    """Runs as nested objects, or with `flatten_results` their results as an array of flat records."""

    include_metadata: bool = True
    flatten_results: bool = False

    name = "json"
    suffix = ".json"

    def configured(self, options: WriteOptions) -> Json:
        """The same under these options."""
        options.refuse(self.name, "formula_guard", "excel")
        return Json(include_metadata=options.include_metadata, flatten_results=options.flatten_results)

    def write(self, run: AuditRun, sink: Sink) -> None:
        """One object, or an array of flat records."""
        from auditkit.formats.json.encode import nested_chunks

        if self.flatten_results:
            self.write_selection([run], sink)
            return
        for chunk in nested_chunks(run, self.include_metadata):
            sink.write(chunk)
        sink.write(b"\n")

    def write_selection(self, runs: Iterable[AuditRun], sink: Sink) -> None:
        """An array: of run objects, or of the flat records of all runs."""
        from auditkit.formats.json.encode import flat_chunks, nested_chunks

        sink.write(b"[")
        empty = True
        for run in runs:
            if self.flatten_results:
                chunks = flat_chunks(run, self.include_metadata, level=1, first=empty)
            else:
                sink.write(b"\n  " if empty else b",\n  ")
                chunks = nested_chunks(run, self.include_metadata, level=1)
            for chunk in chunks:
                sink.write(chunk)
                empty = False
        sink.write(b"]\n" if empty else b"\n]\n")

    def recognises(self, head: bytes) -> bool:
        """Whether a JSON object or array begins."""
        return head.lstrip(_BLANK)[:1] in (b"{", b"[")

    def read(self, stream: InputStream, whole: bool = False) -> RunEvents:
        """Runs: one object, an array of them, one after another; or an array of flat records."""
        from auditkit.formats.json.read import read_flat, read_runs

        if _is_flat(stream.head, b"["):
            return read_flat(stream, lines=False)
        return read_runs(stream, whole)

    def headers(self, stream: InputStream) -> Iterator[RunHeader]:
        """The headers, of a nested run from the beginning of its file."""
        if _is_flat(stream.head, b"["):
            return (event for event in self.read(stream) if isinstance(event, RunHeader))
        return read_headers(stream)


@dataclass(frozen=True, kw_only=True)
class JsonLines:
    """Flat records, one compact object a line."""

    include_metadata: bool = True

    name = "jsonl"
    suffix = ".jsonl"

    def configured(self, options: WriteOptions) -> JsonLines:
        """The same under these options."""
        options.refuse(self.name, "formula_guard", "excel", "flatten_results")
        return JsonLines(include_metadata=options.include_metadata)

    def write(self, run: AuditRun, sink: Sink) -> None:
        """One line a result."""
        self.write_selection([run], sink)

    def write_selection(self, runs: Iterable[AuditRun], sink: Sink) -> None:
        """One line a result, run by run."""
        from auditkit.formats.json.encode import flat_chunks

        empty = True
        for run in runs:
            for chunk in flat_chunks(run, self.include_metadata, level=None, first=empty):
                sink.write(chunk)
                empty = False
        if not empty:
            sink.write(b"\n")

    def recognises(self, head: bytes) -> bool:
        """Whether a flat record begins."""
        return _is_flat(head, b"{")

    def read(self, stream: InputStream) -> RunEvents:
        """The runs of flat records."""
        from auditkit.formats.json.read import read_flat

        return read_flat(stream, lines=True)


def _is_flat(head: bytes, opening: bytes) -> bool:
    text = head.lstrip(_BLANK)
    if not text.startswith(opening):
        return False
    if opening == b"[" and not text[1:].strip(_BLANK + b"]"):
        return True  # the empty array that a run without results becomes
    results = RESULTS.search(text)
    if _FLAT_KEY not in (text[: results.start()] if results else text):
        return False  # most files are nested runs, and told by their first few bytes
    keys = first_keys(text)
    return "auditRunId" in keys and ("submissionId" in keys or RESULTS_KEY not in keys)
