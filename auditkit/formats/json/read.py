"""Documents -> runs: one object, an array of them, or one a line; `results` may stand anywhere in it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
import pyarrow as pa

from auditkit.formats.base import RepeatedResults, RunEvents
from auditkit.formats.flat import RunSplitter
from auditkit.formats.json.blocks import BLOCK_BYTES, Malformed, Window, elements, object_end, own_list
from auditkit.formats.json.blocks import lines as json_lines
from auditkit.formats.json.decode import BatchDecoder
from auditkit.formats.json.headers import header_of, patient_value, raw_object
from auditkit.formats.json.listing import RESULTS
from auditkit.formats.problems import Problems
from auditkit.formats.stream import BOM, InputStream
from auditkit.rules import MISSING
from auditkit.schema import AUDIT_FIELDS, RESULT_FIELDS, RESULTS_KEY

_LARGEST_HEADER = 16 << 20
_LARGEST_WHOLE = 1 << 30

Members = Mapping[str, msgspec.Raw]


def read_runs(stream: InputStream, whole: bool = False) -> RunEvents:
    """The runs of an input: batches, then the header, of each.

    Parameters
    ----------
    whole : bool
        Take each object into memory as a whole, so that of two `results` the last one counts.

    Raises
    ------
    RepeatedResults
        If that turns out to be needed.
    InvalidRunError
        At the end, with every failure.
    """
    problems = Problems(stream.name)
    with stream.open() as raw, reporting(problems):
        window = Window(raw)
        for _ in objects(window):
            problems.run_id = None
            yield from _read_run(window, stream, problems, whole)
    problems.raise_if_any()


def read_flat(stream: InputStream, lines: bool) -> RunEvents:
    """The runs of flat records, in an array or one a line.

    Raises
    ------
    InvalidRunError
        At the end, with every failure.
    """
    problems = Problems(stream.name)
    splitter = RunSplitter(AUDIT_FIELDS, RESULT_FIELDS, problems)
    decoder = BatchDecoder((*AUDIT_FIELDS, *RESULT_FIELDS), problems, lines=lines, strict=stream.strict)
    with stream.open() as raw, reporting(problems):
        window = Window(raw)
        _skip_bom(window)
        pieces = json_lines(window, decoder) if lines else _flat_list(window, decoder)
        for batch in pieces:
            if batch is not None:
                yield from splitter.split(batch)
        yield from splitter.finish()
    problems.raise_if_any()


@contextmanager
def reporting(problems: Problems) -> Iterator[None]:
    """Turn bytes that are not JSON into a failure of the input."""
    try:
        yield
    except Malformed as error:
        problems.report(f"not whole JSON: {error}")


def objects(window: Window) -> Iterator[None]:
    """Stop behind the `{` of each object of a document, or of each element of its array."""
    _skip_bom(window)
    listed = window.skip(b"[")
    if listed and window.skip(b"]"):
        _expect_end(window)
        return
    while window.skip(b"{"):
        yield
        if listed:
            if window.skip(b"]"):
                _expect_end(window)
                return
            if not window.skip(b","):
                break
        elif not window.first():
            return
    raise Malformed(
        f"an object was expected, not {bytes(window.first())!r}" if len(window) else "it ends early"
    )


def _flat_list(window: Window, decoder: BatchDecoder) -> Iterator[pa.RecordBatch | None]:
    if not window.skip(b"["):
        raise Malformed("a list was expected")
    yield from elements(window, decoder)
    _expect_end(window)


def _skip_bom(window: Window) -> None:
    window.fill()
    if window.buffer[window.start : window.start + 3] == BOM:
        window.start += 3


def _expect_end(window: Window) -> None:
    if window.first():
        raise Malformed(f"something stands behind the end: {bytes(window.first())!r}")


def _read_run(window: Window, stream: InputStream, problems: Problems, whole: bool) -> RunEvents:
    if whole:
        yield from _read_whole_run(window, stream, problems)
        return
    head = _members_before_results(window, stream, problems)
    if head is None:
        yield from _explained(_object_text(window, _LARGEST_WHOLE), stream, problems)
        return
    problems.run_id = _id_in(head)
    yield from _batches(window, stream, problems)
    late = _members_behind_results(window, stream, problems)
    if RESULTS_KEY in late:
        raise RepeatedResults
    if stream.strict:
        for key in head.keys() & late.keys():
            problems.report("the key stands twice in one object", field=key)
    yield header_of({**head, **late}, problems)


def _read_whole_run(window: Window, stream: InputStream, problems: Problems) -> RunEvents:
    text = _object_text(window, _LARGEST_WHOLE)
    members = raw_object(text)
    results = bytes(members.pop(RESULTS_KEY, msgspec.Raw(b""))) if members is not None else b""
    if members is None or not results.startswith(b"["):
        yield from _explained(text, stream, problems)
        return
    if stream.strict:
        patient_value(text, problems, True, None)
    problems.run_id = _id_in(members)
    yield from _batches(Window(io.BytesIO(results[1:])), stream, problems)
    yield header_of(members, problems)


def _batches(window: Window, stream: InputStream, problems: Problems) -> Iterator[pa.RecordBatch]:
    decoder = BatchDecoder(RESULT_FIELDS, problems, strict=stream.strict)
    for batch in elements(window, decoder):
        if batch is not None:
            yield batch


def _members_before_results(window: Window, stream: InputStream, problems: Problems) -> Members | None:
    """The members in front of `results`, whose `[` is then consumed; None if there is no such list."""
    while True:
        match = own_list(window, RESULTS)
        if match is not None:
            text = _object_before(bytes(window.buffer[window.start : match.start()]))
            members = None if text is None else raw_object(text)
            if text is not None and members is not None:
                if stream.strict:
                    patient_value(text, problems, True, None)
                window.start = match.end()
                return members
            return None
        if len(window) > _LARGEST_HEADER or not window.more(max(BLOCK_BYTES, len(window))):
            return None


def _object_before(text: bytes) -> bytes | None:
    """The text of an object out of what stands between its `{` and a further member."""
    text = text.strip(b" \t\r\n")
    return None if text and not text.endswith(b",") else b"{" + text[:-1] + b"}"


def _members_behind_results(window: Window, stream: InputStream, problems: Problems) -> Members:
    """The members behind `results`, up to the `}` of the run, which is then consumed."""
    if window.skip(b"}"):
        return {}
    if not window.skip(b","):
        raise Malformed("neither a comma nor the end of the run stands behind its results")
    text = _object_text(window, _LARGEST_WHOLE)
    members = raw_object(text)
    if members is None:
        raise Malformed("what stands behind the results is not JSON")
    if stream.strict:
        patient_value(text, problems, True, None)
    return members


def _object_text(window: Window, limit: int) -> bytes:
    end = object_end(window, limit)
    text = b"{" + bytes(window.buffer[window.start : end])
    window.start = end
    return text


def _explained(text: bytes, stream: InputStream, problems: Problems) -> RunEvents:
    """A run that hides its results from the quick ways; or all that is wrong with one that has none."""
    try:
        record = patient_value(text, problems, stream.strict, None)
    except json.JSONDecodeError as error:
        raise Malformed(str(error)) from None
    results = record.pop(RESULTS_KEY, None)
    header = header_of(
        {key: msgspec.Raw(json.dumps(value).encode()) for key, value in record.items()}, problems
    )
    if not isinstance(results, list):
        problems.report(MISSING if results is None else "not a list", field=RESULTS_KEY, value=results)
        return
    piece = memoryview(json.dumps(results).encode())
    batch = BatchDecoder(RESULT_FIELDS, problems, strict=stream.strict).explain(piece)
    if batch is not None:
        yield batch
        yield header


def _id_in(members: Members) -> str | None:
    raw = members.get("id")
    try:
        value = None if raw is None else json.loads(bytes(raw))
    except (ValueError, RecursionError):  # reported with the rest of the header
        return None
    return value if isinstance(value, str) else None
