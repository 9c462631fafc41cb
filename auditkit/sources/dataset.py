"""A Parquet dataset as a source: many files of one table, flat or in hive partitions."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from errno import ENOENT
from typing import Any

import pyarrow as pa

from auditkit.errors import FailureList, InvalidRunError
from auditkit.formats.flat import absent_columns, uniform_parts
from auditkit.formats.parquet import METADATA_KEY
from auditkit.formats.parquet.read import headers_in
from auditkit.formats.problems import Problems
from auditkit.naming import broken_id_rule
from auditkit.run import AuditRun, RunHeader
from auditkit.schema import RESULT_FIELDS, RUN_FIELDS, RUN_ID
from auditkit.sources.base import DATASET, Listing, loaded, not_found
from auditkit.sources.datasetpaths import SUFFIX, dataset_paths, partitions_of
from auditkit.sources.rowgroups import Piece, PieceBatches, opened
from auditkit.store.names import StorePath, location_of

_COLUMNS = {field.column for field in RESULT_FIELDS}


@dataclass(kw_only=True)
class _Run:
    """What the files say of a run: its header and the file that has it, and where its rows stand."""

    header: RunHeader
    told_by: str
    pieces: list[Piece] = field(default_factory=list)


@dataclass(kw_only=True)
class _Contents:
    """What stands in a dataset; `broken` are runs with failures, `lost` is what may belong to any run."""

    runs: dict[str, _Run] = field(default_factory=dict)
    broken: dict[str, FailureList] = field(default_factory=dict)
    lost: FailureList = field(default_factory=FailureList)

    def fail(self, run_id: str | None, error: InvalidRunError) -> None:
        """Keep failures: of one run, or of who knows which."""
        failures = self.lost if run_id is None else self.broken.setdefault(run_id, FailureList())
        failures.extend(error)

    @property
    def failures(self) -> FailureList:
        """All of them."""
        found = FailureList()
        for failures in (self.lost, *self.broken.values()):
            if failures:
                found.extend(failures.error())
        return found


@dataclass(frozen=True, kw_only=True)
class DatasetSource:
    """The runs in the Parquet files below a folder, or in one; looked for each time."""

    place: str

    @property
    def location(self) -> str:
        """Where they are."""
        return DATASET + self.place

    def listing(self) -> Listing:
        """The headers of all runs, by file and place in it, from the ends of the files."""
        contents = self._contents()
        headers = [run.header for id, run in contents.runs.items() if id not in contents.broken]
        return Listing(headers=headers, failures=contents.failures)

    def open(self, run_ids: Sequence[str] | None = None) -> list[AuditRun | Exception]:
        """The runs, each streaming from its files; none while a file is broken that may hold some of it."""
        contents = self._contents()
        if run_ids is None:
            failures = contents.failures
            sound = [id for id in contents.runs if id not in contents.broken and not contents.lost]
            return [*(_opened(contents.runs[id]) for id in sound), *([failures.error()] if failures else [])]
        return [self._found(run_id, contents) for run_id in run_ids]

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[AuditRun | Exception]:
        """The runs in memory."""
        return map(loaded, self.open(run_ids))

    def _found(self, run_id: str, contents: _Contents) -> AuditRun | Exception:
        if run_id in contents.broken:
            return contents.broken[run_id].error()
        if contents.lost:
            return contents.lost.error()
        if run_id not in contents.runs:
            return not_found(run_id, list(contents.runs), self.location, contents.failures)
        return _opened(contents.runs[run_id])

    def _contents(self) -> _Contents:
        contents = _Contents()
        problems = Problems(self.location)
        paths = dataset_paths(self.place, problems)
        if not paths:
            problems.report(f"no {SUFFIX} file in it")
        if problems:
            contents.lost.extend(problems.error())
        for path in paths:
            _look_into(path, dict(partitions_of(self.place, path)), contents)
        return contents


def open_dataset(place: str) -> DatasetSource:
    """A source of the Parquet files below a folder here or in a store, or of one file.

    Raises
    ------
    FileNotFoundError
        If there is nothing at that path.
    """
    where = location_of(os.path.expanduser(place))
    if isinstance(where, StorePath):
        return DatasetSource(place=where.url)
    if not where.exists():
        raise FileNotFoundError(ENOENT, "No such folder or file of a Parquet dataset", str(where))
    return DatasetSource(place=str(where))


def _opened(run: _Run) -> AuditRun:
    absent = tuple(name for name in run.header.absent_fields if name in _COLUMNS)
    batches = PieceBatches(run_id=run.header.id, pieces=tuple(run.pieces), absent=absent)
    return AuditRun(**vars(run.header), batches=batches)


def _look_into(path: str, partitions: dict[str, str | None], contents: _Contents) -> None:
    """Take in what a file says of its runs, from its end, and from the column of run ids where needed."""
    problems = Problems(path)
    run_id = partitions.get(RUN_ID)
    try:
        with opened(path, problems) as file:
            rows = file.metadata.num_rows
            names = set(file.schema_arrow.names)
            run_id = None if RUN_ID in names else run_id  # its rows name the run
            known = headers_in(file, problems) if METADATA_KEY in (file.schema_arrow.metadata or {}) else {}
            problems.raise_if_any()
            segments = _segments(file, partitions, problems)
            problems.raise_if_any()
    except InvalidRunError as error:
        contents.fail(run_id, error)
        return
    except OSError as error:
        problems.report(f"cannot be read: {error.strerror or error}")
        contents.fail(run_id, problems.error())
        return
    constants = tuple((k, v) for k, v in partitions.items() if k in _COLUMNS)
    foreign = _foreign_absent(names | {name for name, _ in constants})
    for id in dict.fromkeys([*known, *(id for id, _, _ in segments)]):
        _take_in(known.get(id) or RunHeader(id=id, absent_fields=foreign), path, contents)
    for id, start, count in segments:
        piece = Piece(path=path, start=start, rows=count, file_rows=rows, constants=constants)
        missing = set(foreign) & _COLUMNS - set(contents.runs[id].header.absent_fields)
        if missing:
            _refuse(contents, path, id, f"no column {', '.join(sorted(missing))}")
        contents.runs[id].pieces.append(piece)


def _foreign_absent(names: set[str]) -> tuple[str, ...]:
    """What a file does not carry that has these columns and tells no headers."""
    return absent_columns(RUN_FIELDS[:1], [field for field in RESULT_FIELDS if field.column in names])


def _take_in(header: RunHeader, path: str, contents: _Contents) -> None:
    run = contents.runs.setdefault(header.id, _Run(header=header, told_by=path))
    if run.header != header:
        rule = f"says something else of the run, or has other columns, than {run.told_by}"
        _refuse(contents, path, header.id, rule)


def _refuse(contents: _Contents, path: str, run_id: str, rule: str) -> None:
    problems = Problems(path)
    problems.run_id = run_id
    problems.report(rule)
    contents.fail(run_id, problems.error())


def _segments(file: Any, partitions: dict[str, str | None], problems: Problems) -> list[tuple[str, int, int]]:
    """Run id, first row and number of rows of each run of a file."""
    if RUN_ID not in file.schema_arrow.names:
        id = partitions.get(RUN_ID)
        if id is None:
            problems.report("no column run_id, and no folder run_id=… around it", field=RUN_ID)
            return []
        return [(id, 0, file.metadata.num_rows)] if file.metadata.num_rows else []
    found: list[tuple[str, int, int]] = []
    start = 0
    for id, count in _lengths(file):
        if found and found[-1][0] == id:
            found[-1] = (id, found[-1][1], found[-1][2] + count)
        else:
            found.append((id, start, count))
        start += count
    for id, first, _ in found:
        rule = broken_id_rule(id) if isinstance(id, str) else "no run id"
        if rule:
            problems.report(rule, position=first, field=RUN_ID)
        elif partitions.get(RUN_ID, id) != id:
            rule = f"run {id!r} stands in a folder of run {partitions[RUN_ID]!r}"
            problems.report(rule, position=first, field=RUN_ID)
    if len({id for id, _, _ in found}) < len(found):
        problems.report("the rows of a run do not stand together: sort them by run_id")
    return found


def _lengths(file: Any) -> Iterator[tuple[Any, int]]:
    """Run id and number of rows, in order; only where statistics do not tell is the column read."""
    at = file.schema_arrow.names.index(RUN_ID)
    for group in range(file.num_row_groups):
        told = file.metadata.row_group(group)
        column = told.column(at) if told.column(at).path_in_schema == RUN_ID else None
        if column is not None and column.is_stats_set and _is_one(column.statistics):
            yield column.statistics.min, told.num_rows
            continue
        for batch in file.iter_batches(row_groups=[group], columns=[RUN_ID], use_threads=False):
            ids = batch.column(0).cast(pa.string())
            for part in uniform_parts(pa.RecordBatch.from_arrays([ids], names=[RUN_ID]), [RUN_ID]):
                yield part.column(0)[0].as_py(), len(part)


def _is_one(told: Any) -> bool:
    known = told.has_min_max and told.has_null_count and told.null_count == 0
    return bool(known and isinstance(told.min, str) and told.min == told.max)
