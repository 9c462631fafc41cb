"""One file of a bag, read again: its header, its control totals, and a digest of every column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from auditkit.errors import InvalidRunError, in_words
from auditkit.evidence.bagfolder import BagFolder
from auditkit.evidence.digests import ColumnDigests, as_in_csv, as_recorded
from auditkit.evidence.totals import ControlTotals
from auditkit.formats import recognise
from auditkit.formats.base import ReadableFormat, headers
from auditkit.formats.stream import InputStream
from auditkit.rules import MISSING
from auditkit.run import RunHeader
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, Field

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class Reread:
    """What a file says of its run.

    Attributes
    ----------
    header : RunHeader or None
        None where there was no row to carry it.
    columns : dict of str to bytes
        A digest of each column of its results.
    in_csv : dict of str to bytes
        The same of what a CSV shows otherwise, as it shows it.
    filled : set of str
        The frame columns, of its header and results, that hold any value.
    batches : list of RecordBatch
        The results, if they were to be held.
    """

    name: str
    format: str
    header: RunHeader | None
    totals: ControlTotals
    columns: dict[str, bytes]
    in_csv: dict[str, bytes]
    filled: set[str]
    batches: list[pa.RecordBatch] = field(repr=False)


class Unreadable(Exception):
    """A file that cannot be loaded, and why, in words.

    `lacking` names the frame columns of required fields without any value, if nothing else is wrong:
    then its run came without them, and was written like that.
    """

    def __init__(self, reason: str, lacking: frozenset[str] = frozenset()):
        super().__init__(reason)
        self.lacking = lacking


@dataclass(frozen=True, kw_only=True)
class Reader:
    """Reads files of a bag, each once through, a batch at a time.

    Parameters
    ----------
    unguarded : set of str
        Those that were written without the formula guard.
    """

    bag: BagFolder
    unguarded: frozenset[str] = frozenset()

    def read(
        self,
        name: str,
        format: str,
        rows: int | None,
        *,
        beside_csv: bool = False,
        keep: tuple[str, ...] = (),
    ) -> Reread:
        """What a file says.

        Parameters
        ----------
        rows : int or None
            How many it is said to have.
        beside_csv : bool
            Whether a CSV is to be compared with it.
        keep : tuple of str
            The columns to be held; all others are null in `batches`.

        Raises
        ------
        Unreadable
            If it cannot be loaded, whatever the reason.
        """
        try:
            return self._read(name, format, beside_csv, keep)
        except InvalidRunError as error:
            raise Unreadable(str(error), _lacking(error, rows)) from None
        except Exception as error:  # a stranger may have written it
            raise Unreadable(in_words(error)) from None

    def _read(self, name: str, format: str, beside_csv: bool, keep: tuple[str, ...]) -> Reread:
        stream = InputStream(
            name=name, open_raw=partial(self.bag.open, name, 0), formula_guard=name not in self.unguarded
        )
        reviewer = _run_reviewer(stream, format) if beside_csv else None
        columns, in_csv, totals = ColumnDigests(), ColumnDigests(), ControlTotals()
        header, batches = None, []
        for event in _events(stream, format):
            if header is not None:
                raise Unreadable("it holds more than one run")
            if isinstance(event, RunHeader):
                header = event
                continue
            totals.add(event)
            columns.add(as_recorded(event))
            if beside_csv:
                in_csv.add(as_in_csv(event, reviewer))
            if keep:
                batches.append(_only(event, keep))
        if beside_csv and header is not None and header.reviewer != reviewer:
            raise Unreadable("it names two reviewers of its run")
        return Reread(
            name=name,
            format=format,
            header=header,
            totals=totals,
            columns=columns.digests(),
            in_csv=in_csv.digests(),
            filled=columns.filled | _filled(header),
            batches=batches,
        )


def _events(stream: InputStream, format: str) -> Iterator[pa.RecordBatch | RunHeader]:
    reader = _reader(stream, format)
    if reader is not None:
        yield from reader.read(stream)


def _run_reviewer(stream: InputStream, format: str) -> str | None:
    """The reviewer of the run, looked up in front: a CSV shows it where a result has none."""
    reader = _reader(stream, format)
    header = None if reader is None else next(headers(reader, replace(stream, glance=True)), None)
    return None if header is None else header.reviewer


def _reader(stream: InputStream, format: str) -> ReadableFormat | None:
    """What reads a file of that format; None for nothing, which is what JSON Lines of no results are."""
    if not stream.head and format == "jsonl":
        return None
    reader = recognise(stream.head)
    if reader is None or reader.name != format:
        raise stream.refused(f"its bytes are not those of a {format} file")
    return reader


def _only(batch: pa.RecordBatch, names: tuple[str, ...]) -> pa.RecordBatch:
    import pyarrow as pa

    columns = [
        batch.column(one.name) if one.name in names else pa.nulls(len(batch), one.type)
        for one in batch.schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _filled(header: RunHeader | None) -> set[str]:
    return {field.column for field in RUN_FIELDS if getattr(header, field.attribute, None) is not None}


def _lacking(error: InvalidRunError, rows: int | None) -> frozenset[str]:
    """The fields that are missing in the header, or in every row; none, if anything else is wrong."""
    of_run = [failure.field for failure in error.rows if failure.position is None]
    of_rows = {failure.field for failure in error.rows if failure.position is not None}
    columns = _columns(of_run, RUN_FIELDS[1:]) | _columns(of_rows, RESULT_FIELDS)
    sound = (
        all(failure.rule == MISSING for failure in error.rows)
        and len(columns) == len(of_run) + len(of_rows)
        and error.failure_count == len(of_run) + len(of_rows) * (rows or 0)
    )
    return frozenset(columns) if sound else frozenset()


def _columns(names: Iterable[str | None], fields: Iterable[Field]) -> set[str]:
    return {field.column for field in fields if {field.key, field.label, field.audit_key} & {*names}}
