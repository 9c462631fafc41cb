"""The headers of an input from its first bytes, where they tell all; no result is parsed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from auditkit.formats.base import RepeatedResults
from auditkit.formats.json.blocks import BLOCK_BYTES
from auditkit.formats.json.headers import quick_header_of
from auditkit.formats.stream import HEAD_BYTES, InputStream
from auditkit.run import RunHeader

RESULTS = re.compile(rb'"results"[ \t\r\n]*:[ \t\r\n]*\[')
_OPENING = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{")
_MORE = re.compile(rb"\][ \t\r\n]*(?:,[ \t\r\n]*\"|\}[ \t\r\n]*\{)")
_UNTOLD = re.compile(rb"\][ \t\r\n]*[,}]?[ \t\r\n]*\Z")
_SPACE = b" \t\r\n"
_TAIL_BYTES = 4096


def read_headers(stream: InputStream) -> Iterator[RunHeader]:
    """The headers of all runs of an input, by a full reading only where its head is not enough."""
    header = _quick_header(stream)
    if header is not None:
        yield header
        return
    from auditkit.formats.json.read import read_runs

    try:
        found = [event for event in read_runs(stream) if isinstance(event, RunHeader)]
    except RepeatedResults:
        found = [event for event in read_runs(stream, whole=True) if isinstance(event, RunHeader)]
    yield from found


def _quick_header(stream: InputStream) -> RunHeader | None:
    """The header of a single run, or None where only a full reading can tell.

    The head has to hold everything in front of `results`, and nothing may stand behind them.
    """
    head = stream.head
    start = _OPENING.match(head)
    match = RESULTS.search(head)
    if stream.strict or start is None or match is None:
        return None
    header = quick_header_of(
        b"{" + head[start.end() : match.start()].rstrip(_SPACE).removesuffix(b",") + b"}"
    )
    if header is None:
        return None
    return header if _ends_as_one_run(stream, match.end()) else None


def _ends_as_one_run(stream: InputStream, start: int) -> bool:
    """Whether the results that begin at a place are the last thing of the only run in a file.

    Nothing is parsed: only what stands behind each `]` can tell of more members, or of another run.
    """
    if len(stream.head) < HEAD_BYTES:
        behind = stream.head[start - 1 :]
        return _open_end(behind) is not None and _ends_results(behind)
    if stream.glance:
        return True
    with stream.open() as raw:
        raw.read(start)
        last, untold = b"[", b""
        while block := raw.read(BLOCK_BYTES):
            last = (last + block)[-_TAIL_BYTES:]
            end = _open_end(untold + block)
            if end is None or len(end) > _TAIL_BYTES:
                return False
            untold = end
    return _ends_results(last)


def _ends_results(text: bytes) -> bool:
    text = text[-_TAIL_BYTES:].rstrip(_SPACE)
    before = text[:-1].rstrip(_SPACE)
    return text.endswith(b"}") and before.endswith(b"]") and before[:-1].rstrip(_SPACE).endswith((b"}", b"["))


def _open_end(text: bytes) -> bytes | None:
    """None if a `]` is followed by a further member or another run; else the end that is not told yet."""
    at = text.find(b"]")
    while at >= 0:
        if _MORE.match(text, at):
            return None
        if _UNTOLD.match(text, at):
            return text[at:]
        at = text.find(b"]", at + 1)
    return b""
