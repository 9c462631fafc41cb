"""Runs in the two tables of a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from auditkit.formats.problems import Problems
from auditkit.naming import broken_id_rule
from auditkit.rules import MISSING, Report
from auditkit.run import AuditRun, Batches, HeaderChanged, RunHeader
from auditkit.scan import Scan, Scanned, chosen_rows, taken
from auditkit.schema import EXTRA, POSITION, RUN_FIELDS, RUN_ID, Field
from auditkit.sources.base import Listing, loaded, not_found
from auditkit.sources.imposing import imposed, recorded_values
from auditkit.sources.sql.address import Address
from auditkit.sources.sql.engine import reading
from auditkit.sources.sql.headers import header_of
from auditkit.sources.sql.pushdown import columns_read, statement
from auditkit.sources.sql.snapshot import Snapshot, snapshot
from auditkit.sources.sql.tables import ABSENT, COUNT, ORDER, RESULTS, RUNS

_IDS_AT_ONCE = 500
_PLACE = Field(key=POSITION, column=POSITION, kind="count")
_HEADERS = sa.select(*(RUNS.c[name] for name in (*(field.column for field in RUN_FIELDS), EXTRA, ABSENT)))


@dataclass(frozen=True, kw_only=True)
class SqlSource:
    """The runs of a database with the tables of `auditkit db init`."""

    address: Address

    @property
    def location(self) -> str:
        """Its URL, without password."""
        return self.address.location

    def listing(self) -> Listing:
        """The headers of all runs, in the order in which they were loaded first."""
        failures = Problems(self.location)
        headers = []
        with reading(self.address) as connection:
            ordered = _HEADERS.order_by(RUNS.c[ORDER], RUNS.c[RUN_ID])
            for row in connection.execute(ordered):
                header = header_of(row._asdict(), failures)
                if header is not None:
                    headers.append(header)
        return Listing(headers=headers, failures=failures)

    def open(self, run_ids: Sequence[str] | None = None) -> list[AuditRun | Exception]:
        """The runs, each streaming from the database."""
        if run_ids is None:
            listing = self.listing()
            runs: list[AuditRun | Exception] = [self._run(header) for header in listing.headers]
            return [*runs, listing.failures.error()] if listing.failures else runs
        found = self._found(run_ids)
        if all(run_id in found for run_id in run_ids):
            return [found[run_id] for run_id in run_ids]
        listing = self.listing()
        known = [header.id for header in listing.headers]
        return [
            found.get(run_id) or not_found(run_id, known, self.location, listing.failures)
            for run_id in run_ids
        ]

    def load(self, run_ids: Sequence[str] | None = None) -> Iterator[AuditRun | Exception]:
        """The same runs with their results in memory."""
        return map(loaded, self.open(run_ids))

    def _run(self, header: RunHeader) -> AuditRun:
        return AuditRun(**vars(header), batches=Results(address=self.address, header=header))

    def _found(self, run_ids: Sequence[str]) -> dict[str, AuditRun | Exception]:
        """The wanted runs that are there, or what is wrong with their headers."""
        wanted = [run_id for run_id in dict.fromkeys(run_ids) if broken_id_rule(run_id) is None]
        found: dict[str, AuditRun | Exception] = {}
        with reading(self.address) as connection:
            for start in range(0, len(wanted), _IDS_AT_ONCE):
                some = RUNS.c[RUN_ID].in_(wanted[start : start + _IDS_AT_ONCE])
                for row in connection.execute(_HEADERS.where(some)):
                    problems = Problems(self.location)
                    header = header_of(row._asdict(), problems)
                    found[row.run_id] = problems.error() if header is None else self._run(header)
        return found


@dataclass(frozen=True, kw_only=True)
class Results:
    """The results of one run of a database."""

    address: Address
    header: RunHeader

    def __call__(self) -> Batches:
        """All of them.

        Raises
        ------
        InvalidRunError
            At the end, with every row that breaks the table of fields.
        HeaderChanged
            If the header is another one by now.
        """
        for _, batch in self._read(Scan()):
            yield batch

    def scan(self, wanted: Scan) -> Iterator[Scanned]:
        """The rows and columns that are wanted."""
        for positions, batch in self._read(wanted):
            rows = chosen_rows(self.header.id, positions, batch, wanted)
            if len(rows):
                yield Scanned(positions[rows], taken(batch, rows, wanted.columns))

    def count(self) -> int:
        """How many there are."""
        counted = sa.select(sa.func.count().label("n")).where(RESULTS.c[RUN_ID] == self.header.id)
        with snapshot(self.address) as moment:
            loaded = self._check_header(moment)
            count = int(moment.records(counted)[0]["n"])
        if loaded is not None and count < loaded:  # else whoever reads so many would never miss the others
            problems = Problems(self.address.location)
            problems.run_id = self.header.id
            _tell_missing(problems, loaded, f"{count:,} are there")
            problems.raise_if_any()
        return count

    def _read(self, wanted: Scan) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
        problems = _Placed(self.address.location)
        problems.run_id = self.header.id
        expected = None if wanted.filter else max(wanted.start, 0)
        absent = self.header.absent_fields
        columns = None if wanted.columns is None else columns_read(wanted)
        with snapshot(self.address) as moment:
            loaded = self._check_header(moment)
            for given in moment.columns(statement(self.header.id, wanted, absent, self.address.kind)):
                positions = problems.placed(given[POSITION], expected)
                expected = None if expected is None else int(positions[-1]) + 1
                batch = imposed(given, problems, columns=columns, absent=absent)
                if not problems:
                    yield positions, batch
        ends = [end for end in (loaded, wanted.stop) if end is not None]
        if expected is not None and loaded is not None and expected < min(ends):
            _tell_missing(problems, loaded, f"none is there from row {expected} on")
        problems.raise_if_any()

    def _check_header(self, moment: Snapshot) -> int | None:
        """How many rows were loaded, after seeing that the header is still the same at this moment."""
        problems = Problems(self.address.location)
        problems.run_id = self.header.id
        records = moment.records(_HEADERS.add_columns(RUNS.c[COUNT]).where(RUNS.c[RUN_ID] == self.header.id))
        if not records:
            problems.report("is not there any more")
        header = header_of(records[0], problems) if records else None
        problems.raise_if_any()
        if header is not None and header != self.header:
            raise HeaderChanged(
                AuditRun(**vars(header), batches=Results(address=self.address, header=header))
            )
        loaded = records[0][COUNT]
        return loaded if isinstance(loaded, int) else None


def _tell_missing(problems: Problems, loaded: int, found: str) -> None:
    problems.report(f"{loaded:,} rows were loaded, {found}: rows are missing", field=POSITION)


class _Placed(Problems):
    """The failures of one run, which may be read without some of its rows."""

    def __init__(self, file: str):
        super().__init__(file)
        self._positions = np.empty(0, np.int64)
        self._last = -1

    def placed(self, positions: Any, expected: int | None) -> np.ndarray:
        """The positions of the next rows, each of which has to follow the one before if one is expected."""
        self._positions = self._whole(positions)
        before = np.concatenate(([self._last if expected is None else expected - 1], self._positions[:-1]))
        wrong = self._positions <= before if expected is None else self._positions - before != 1
        for row in np.flatnonzero(wrong):
            self._tell(int(self._positions[row]), int(before[row]))
        self._last = int(self._positions[-1])
        return self._positions

    def _tell(self, position: int, before: int) -> None:
        what = "is the first row" if before < 0 else f"comes behind row {before}"
        why = "rows are missing" if position > before else "positions have to increase from 0"
        self.report(f"{what}: {why}", position=position, field=POSITION)

    def _whole(self, positions: Any) -> np.ndarray:
        """The positions as integers.

        Raises
        ------
        InvalidRunError
            If they are none: nothing can be said of such rows, as they have no place.
        """
        if isinstance(positions, pa.Array | pa.ChunkedArray):
            if positions.type == pa.int64() and not positions.null_count:
                return np.asarray(positions)
            positions = positions.to_pylist()
        made, refused = recorded_values(_PLACE, positions)
        for _, value, rule in refused:
            self.report(rule, field=POSITION, value=value)
        if made.null_count and not refused:
            self.report(MISSING, field=POSITION)
        self.raise_if_any()
        return np.asarray(made)

    def in_row(self, position: int | None, run_id: str | None = None) -> Report:
        """A reporter of what is wrong with one of these rows."""
        return super().in_row(None if position is None else int(self._positions[position]), run_id)
