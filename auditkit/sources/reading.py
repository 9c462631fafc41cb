"""One file of runs, read: its events, or some of its runs held in memory."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial
from typing import Any

from auditkit.formats import recognise
from auditkit.formats.base import RunEvents
from auditkit.formats.stream import InputStream
from auditkit.run import AuditRun, RunHeader


def events(stream: InputStream, whole: bool) -> RunEvents:
    """The runs of an input: for each its batches, then its header; `whole` where a key stands twice."""
    format = recognise(stream.head)
    if format is None:
        raise stream.refused("no kind of file that holds runs any more")
    if whole:
        from auditkit.formats.json import Json

        return Json().read(stream, whole=True)
    return format.read(stream)


def gathered(stream: InputStream, wanted: set[int], whole: bool) -> Iterator[tuple[int, AuditRun]]:
    """The wanted runs of a file, held in memory, by their ordinal."""
    ordinal = 0
    held: list[Any] = []
    for event in events(stream, whole):
        if not isinstance(event, RunHeader):
            if ordinal in wanted:
                held.append(event)
            continue
        if ordinal in wanted:
            yield ordinal, AuditRun(**vars(event), batches=partial(iter, held), in_memory=True)
        ordinal, held = ordinal + 1, []


def base_name(path: str) -> str:
    """The name of a file without its folder and without how it is compressed, in small letters."""
    name = posixpath.basename(path).lower()
    for suffix in (".gz", ".zst"):
        name = name.removesuffix(suffix)
    return name
