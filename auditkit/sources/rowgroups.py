"""The results of a run out of pieces of Parquet files: streamed, or some columns and rows of them alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from auditkit.conditions import Condition, OneOf, Range
from auditkit.errors import FailureList, InvalidRunError
from auditkit.filters import Filter
from auditkit.formats.problems import Problems
from auditkit.run import Batches
from auditkit.scan import Scan, Scanned, chosen_rows, taken
from auditkit.schema import DIFFERENCE, POSITION, RESULT_FIELDS, RUN_ID, result_schema
from auditkit.sources.imposing import imposed, imposed_column
from auditkit.store.names import StorePath, is_store

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_BATCH_ROWS = 32_768
_NARROW = "deviation_type"
_NAIVE = "an instant without a time zone: write the column with the one that it is in"
_SOME_INSTANT = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Some rows of a Parquet file that belong to one run.

    Attributes
    ----------
    path : str
    start, rows : int
        Which rows of the file.
    file_rows : int
        How many it had when it was looked at.
    constants : tuple of (str, str or None)
        Columns that stand in the path: those of its hive partitions. In the file they may stand, too.
    """

    path: str
    start: int
    rows: int
    file_rows: int
    constants: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, kw_only=True)
class PieceBatches:
    """The `batches` of a run that stands in pieces: row groups that are not wanted are not read."""

    run_id: str
    pieces: tuple[Piece, ...]
    absent: tuple[str, ...]

    def __call__(self) -> Batches:
        """All results.

        Raises
        ------
        InvalidRunError
            At the end, with every failure.
        """
        for _, batch in self._read(Scan(), result_schema().names):
            yield batch

    def count(self) -> int:
        """How many results there are, by what the ends of the files say."""
        return sum(piece.rows for piece in self.pieces)

    def scan(self, wanted: Scan) -> Iterator[Scanned]:
        """The rows and columns that are wanted; others are neither read nor checked."""
        import numpy as np

        columns = result_schema().names if wanted.columns is None else wanted.columns
        read = sorted({*columns, *_asked(wanted.filter)}) or [_NARROW]  # without a column there are no rows
        for first, batch in self._read(wanted, read):
            positions = np.arange(first, first + len(batch))
            rows = chosen_rows(self.run_id, positions, batch, wanted)
            if len(rows):
                yield Scanned(positions[rows], taken(batch, rows, tuple(columns)))

    def _read(self, wanted: Scan, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Position and batch, as long as all is sound; the failures of all pieces at the end."""
        position = 0
        failures = FailureList()
        for piece in self.pieces:
            stop = position + piece.rows
            if stop > wanted.start and (wanted.stop is None or position < wanted.stop):
                try:
                    for read in self._read_piece(piece, position, wanted, columns):
                        if not failures:
                            yield read
                except InvalidRunError as error:
                    failures.extend(error)
            position = stop
        failures.raise_if_any()

    def _read_piece(
        self, piece: Piece, position: int, wanted: Scan, columns: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        problems = Problems(piece.path)
        problems.run_id = self.run_id
        with opened(piece.path, problems) as file:
            if file.metadata.num_rows != piece.file_rows:
                problems.report("changed while it was read: open it again")
            else:
                for first, batch in self._batches(file, piece, position, wanted, columns):
                    batch.validate(full=True)  # text of a damaged file need not be UTF-8
                    made = self._sound(batch, piece, first, columns, problems)
                    if not problems:
                        yield first, made
        problems.raise_if_any()

    def _batches(
        self, file: ParquetFile, piece: Piece, position: int, wanted: Scan, columns: Sequence[str]
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Position and rows of the row groups that may hold what is wanted."""
        names = [name for name in (RUN_ID, POSITION, *columns) if name in file.schema_arrow.names]
        first = position - piece.start
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            low = max(first, position, wanted.start)
            high = min(first + rows, position + piece.rows)
            high = high if wanted.stop is None else min(high, wanted.stop)
            if low < high and _may_hold(file.metadata.row_group(group), wanted.filter):
                yield from _within(_group(file, group, names), first, low, high)
            first += rows

    def _sound(
        self, batch: pa.RecordBatch, piece: Piece, first: int, columns: Sequence[str], problems: Problems
    ) -> pa.RecordBatch:
        names = batch.schema.names
        if RUN_ID in names:
            ids = batch.column(RUN_ID)
            if ids.null_count or not _all_are(ids, self.run_id):
                problems.report("a row of another run stands among its rows")
        if POSITION in names:
            _check_order(batch.column(POSITION), first, problems)
        batch = _without_naive(batch, first, problems)
        told = [(name, value) for name, value in piece.constants if name in columns]
        for name, value in told:
            if name not in names:
                batch = batch.append_column(name, pa.repeat(pa.scalar(value, pa.string()), len(batch)))
        made = imposed(batch, problems, first, columns=columns, absent=self.absent)
        for name, value in told:
            if name in names and not problems:
                _check_partition(made.column(name), name, value, problems)
        return made


@contextmanager
def opened(path: str, problems: Problems) -> Iterator[ParquetFile]:
    """A Parquet file, to be read; what is wrong with it goes to `problems`, and ends the block.

    Raises
    ------
    OSError
        If it cannot be read at all.
    """
    from pyarrow import parquet

    with StorePath(path).open() if is_store(path) else open(path, "rb") as raw:
        try:
            file = parquet.ParquetFile(raw, pre_buffer=False)
            if RUN_ID in file.schema_arrow.names and file.schema_arrow.field(RUN_ID).type == pa.string():
                told = file.metadata  # a run id that repeats a million times is compared once
                file = parquet.ParquetFile(raw, metadata=told, read_dictionary=[RUN_ID], pre_buffer=False)
            yield file
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk's, not the file's
            problems.report(f"a damaged Parquet file, or none: {error}")
            raise problems.error() from None


def _all_are(ids: pa.Array, run_id: str) -> bool:
    if pa.types.is_dictionary(ids.type):
        ids = ids.dictionary if len(ids.dictionary) == 1 else ids.dictionary_decode()
    return pc.any(pc.not_equal(ids.cast(pa.string()), run_id)).as_py() is not True


def _check_order(column: pa.Array, first: int, problems: Problems) -> None:
    """Tell of the first row that does not stand at the position that it names itself."""
    import numpy as np

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_integer(kind) and not column.null_count:
        numbers = column.cast(kind).to_numpy(zero_copy_only=False)
        if np.array_equal(numbers, np.arange(first, first + len(column))):
            return
    for position, value in enumerate(column.to_pylist(), first):
        if value != position:
            rule = "not the position at which the row stands: the files of the run are not in their order"
            problems.report(rule, position=position, field=POSITION, value=value)
            return


def _without_naive(batch: pa.RecordBatch, first: int, problems: Problems) -> pa.RecordBatch:
    """The batch with something else for instants without a time zone, each of which is told."""
    for field in RESULT_FIELDS:
        at = batch.schema.get_field_index(field.column)
        if field.kind != "timestamp" or at < 0:
            continue
        kind = batch.schema.field(at).type
        if not pa.types.is_timestamp(kind) or kind.tz is not None:
            continue
        values = batch.column(at)
        for position, value in enumerate(values.to_pylist(), first):
            if value is not None:
                problems.in_row(position)(field, value, _NAIVE)
        sound = pc.if_else(values.is_valid(), _SOME_INSTANT, pa.scalar(None, pa.string()))
        batch = batch.set_column(at, field.column, sound)
    return batch


def _check_partition(column: pa.Array, name: str, value: str | None, problems: Problems) -> None:
    """Tell if a column says something else than the folders around its file."""
    (field,) = (field for field in RESULT_FIELDS if field.column == name)
    told = imposed_column(field, [value], problems, 0)[0]
    same = pc.is_null(column) if value is None else pc.fill_null(pc.equal(column, told), False)
    if not pc.all(same).as_py():
        problems.report(f"the column says something else than the folder {name}={value}", field=field.key)


def _group(file: ParquetFile, group: int, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    return file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=names, use_threads=False)  # type: ignore[no-any-return]


def _within(
    batches: Iterator[pa.RecordBatch], first: int, low: int, high: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of batches that stand from one position to another, with the position of their first."""
    for batch in batches:
        start, stop = max(low, first), min(high, first + len(batch))
        if start < stop:
            yield start, batch.slice(start - first, stop - start)
        first += len(batch)


def _asked(filter: Filter) -> set[str]:
    """The columns that a filter has to see."""
    names = {name for name, _ in filter.conditions} - {RUN_ID, POSITION}
    return (
        names
        if DIFFERENCE.column not in names
        else (names - {DIFFERENCE.column}) | {"user_score", "ai_score"}
    )


def _may_hold(group: Any, filter: Filter) -> bool:
    """Whether a row group may hold rows of a filter, as its statistics say."""
    conditions = dict(filter.conditions)
    for at in range(group.num_columns):
        column = group.column(at)
        asked = conditions.get(column.path_in_schema)
        if asked is None or not column.is_stats_set or not column.statistics.has_min_max:
            continue
        if _lies_outside(asked, column.statistics.min, column.statistics.max):
            return False
    return True


def _lies_outside(asked: Condition, least: Any, most: Any) -> bool:
    """Whether no value from one to another is asked for; no where that cannot be told."""
    if isinstance(asked, Range) and all(
        isinstance(end, int | float | Decimal) and not isinstance(end, bool) for end in (least, most)
    ):
        low, high = asked.bounds
        return (low is not None and float(most) < low) or (high is not None and float(least) > high)
    if isinstance(asked, OneOf) and isinstance(least, str) and isinstance(most, str):
        return not any(value is None or least <= value <= most for value in asked.values)
    return False
