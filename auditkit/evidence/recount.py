"""Rows and control totals once more, from the files of a bag that can be read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from auditkit.errors import Problem, in_words
from auditkit.evidence.bag import CONTROL_ROWS, FINDINGS, INFO, shown
from auditkit.evidence.bagfolder import BagFolder
from auditkit.evidence.totals import ControlTotals
from auditkit.formats import recognise
from auditkit.formats.base import COMPRESSION_SUFFIXES
from auditkit.formats.stream import InputStream
from auditkit.run import RunHeader
from auditkit.sources.logged import PACKAGE

if TYPE_CHECKING:
    import pyarrow as pa

_ALWAYS_LOADED = ("csv", "jsonl", "parquet")
_IN_TURN = ("csv", "jsonl", "json", "parquet")
_CHUNK_BYTES = 1 << 20


class Recount:
    """What the sound files of a bag in the clear add up to.

    Parameters
    ----------
    names : iterable of str
        The files of the payload.
    rows : mapping
        How many rows the data package gives each file of the bag.

    Attributes
    ----------
    whole : bool
        Whether every run could be read again.
    """

    def __init__(self, bag: BagFolder, names: Iterable[str], rows: Mapping[str, int | None]):
        self._bag = bag
        self._runs = _by_run(names)
        self._declared = rows
        self._rows = 0
        self._totals = ControlTotals()
        self.whole = True

    def problems(self, info: Mapping[str, str]) -> Iterator[Problem]:
        """Where rows and sums disagree with what bag-info and data package say."""
        for files in self._runs:
            yield from self._of_run(files)
        counted = {CONTROL_ROWS: str(self._rows)} | (self._totals.sums() if self.whole else {})
        for label, value in counted.items():
            if info.get(label) != value:
                said = shown(info.get(label, "nothing"))
                yield Problem("changed", INFO, f"says {said} for {label}, where the files have {value}")
        with suppress(OSError):  # what cannot be read is named elsewhere
            if self._declared.get(FINDINGS) != csv_rows(self._bag, FINDINGS):
                yield Problem("changed", PACKAGE, f"gives another number of rows than {FINDINGS} has")

    def _of_run(self, files: Mapping[str, str]) -> Iterator[Problem]:
        rows = {self._declared.get(name) for name in files.values()}
        own = None
        for suffix in (suffix for suffix in _IN_TURN if suffix in files):
            try:
                own = recounted(self._bag, files[suffix])
                break
            except Unreadable as error:
                if suffix in _ALWAYS_LOADED:
                    yield Problem("changed", shown(files[suffix]), f"cannot be loaded: {shown(str(error))}")
        if own is None:
            self.whole = False
            self._rows += max((count for count in rows if count is not None), default=0)
        else:
            self._totals.include(own)
            self._rows += own.rows
            rows.add(own.rows)
        if len(rows) > 1:
            names = ", ".join(map(shown, files.values()))
            yield Problem("changed", PACKAGE, f"gives another number of rows than there are in {names}")


class Unreadable(Exception):
    """A file that cannot be loaded, and why, in words."""


def recounted(bag: BagFolder, name: str) -> ControlTotals:
    """The control totals of a file.

    Raises
    ------
    Unreadable
        If it cannot be loaded, whatever the reason.
    """
    totals = ControlTotals()
    try:
        for batch in _batches(bag, name):
            totals.add(batch)
    except Exception as error:  # a stranger may have written it
        raise Unreadable(in_words(error)) from None
    return totals


def csv_rows(bag: BagFolder, name: str) -> int:
    """How many lines a CSV has below its header; line ends inside of quotes do not count.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    lines, quoted = 0, False
    with bag.open(name) as file:
        while chunk := file.read(_CHUNK_BYTES):
            for number, piece in enumerate(chunk.split(b'"')):
                quoted ^= number > 0
                lines += 0 if quoted else piece.count(b"\n")
    return lines - 1


def _batches(bag: BagFolder, name: str) -> Iterator[pa.RecordBatch]:
    stream = InputStream(name=name, open_raw=partial(bag.open, name, 0))
    if not stream.head:  # what a run without results becomes as JSON Lines
        return
    format = recognise(stream.head)
    if format is None:
        raise stream.refused("no kind of file that holds runs")
    for event in format.read(stream):
        if not isinstance(event, RunHeader):
            yield event


def _by_run(names: Iterable[str]) -> list[dict[str, str]]:
    """For each run of a bag its files, by the suffix of their format."""
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    for name in sorted(names):
        plain = name
        for packed in COMPRESSION_SUFFIXES.values():
            plain = plain.removesuffix(packed)
        base, _, suffix = plain.rpartition(".")
        runs[base][suffix] = name
    return list(runs.values())
