"""The tables made, and runs loaded into them: each as a whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from auditkit.errors import AuditkitError, DatabaseError
from auditkit.formats import get_format
from auditkit.formats.base import Format
from auditkit.progress import progress_bar
from auditkit.receipts import BatchFailure
from auditkit.run import AuditRun, HeaderChanged
from auditkit.schema import RUN_ID
from auditkit.sources.base import each_once, open_source, opened_each
from auditkit.sources.sql.address import FILES, Address, address_of
from auditkit.sources.sql.engine import reading, writing
from auditkit.sources.sql.headers import record_of
from auditkit.sources.sql.refusals import BusyDatabase
from auditkit.sources.sql.tables import COUNT, HASH, METADATA, ORDER, RESULTS, RUNS
from auditkit.sources.sql.writing import inserted

_ATTEMPTS = 4


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of the runs that were to be loaded.

    Attributes
    ----------
    location : str
        The database, without password.
    loaded, unchanged : tuple of str
        The ids of the runs that are new or replaced, and of those that were there already.
    failed : tuple of BatchFailure
        `.run_id` and `.error` of those that could not be read or written; the database has of them what
        it had before.
    """

    location: str
    loaded: tuple[str, ...]
    unchanged: tuple[str, ...]
    failed: tuple[BatchFailure, ...]


def init_database(url: str) -> str:
    """The database, as it may be shown, after making the tables that are not there yet.

    Parameters
    ----------
    url : str
        `sqlite:///audit.sqlite`, `postgresql+psycopg://user@host/database`, `mysql+pymysql://…`,
        `duckdb:///audit.duckdb`. Of SQLite and DuckDB the file is made; a server needs the database.

    Raises
    ------
    NoSourceError
        If it is no URL of such a database.
    DatabaseError
        If it cannot be reached, or does not allow it.

    Examples
    --------
    >>> import auditkit as ak
    >>> folder.mkdir()
    >>> url = f"sqlite:///{folder}/audit.sqlite"
    >>> ak.init_database(url) == url
    True
    >>> ak.load_into_database("sample_data/runs", url).loaded[:2]
    ('run-001', 'run-002')
    >>> ak.load_run("run-001", source=url).critical_flags
    2
    """
    address = address_of(url)
    with writing(address, create=True) as connection:
        for table in METADATA.sorted_tables:
            connection.execute(CreateTable(table, if_not_exists=True))
    return address.location


def load_into_database(
    source: Any, url: str, *, run_ids: Sequence[str] | str | None = None, progress: bool | None = None
) -> LoadReport:
    """What became of the runs of a source that were loaded into a database.

    A run is loaded in one transaction. One that is there with the same content is left alone; one with
    another content is replaced. Loading twice, or twice at once, doubles nothing.

    Parameters
    ----------
    source : path, URL or Source
        As for `open_source`.
    url : str
        A database that `init_database` has prepared.
    run_ids : str or sequence of str, optional
        Which runs, each once; left out: all.
    progress : bool, optional
        Show a bar; left out: on a terminal.

    Raises
    ------
    DatabaseError
        If the database cannot be reached, or lacks the tables.
    InvalidOptionError
        If a run id stands twice in `run_ids`.

    Examples
    --------
    >>> import auditkit as ak
    >>> folder.mkdir()
    >>> url = f"sqlite:///{folder}/audit.sqlite"
    >>> ak.init_database(url) == url
    True
    >>> ak.load_into_database("sample_data/runs", url, run_ids=["run-001"]).loaded
    ('run-001',)
    >>> ak.load_into_database("sample_data/runs", url, run_ids=["run-001"]).unchanged
    ('run-001',)
    """
    address = address_of(url)
    with reading(address) as connection:  # so that one error tells what all runs would meet
        for table in METADATA.sorted_tables:
            connection.execute(sa.select(table).where(sa.false()))
    opened = open_source(source)
    ids = each_once(run_ids)
    found = opened.open() if ids is None else opened_each(ids, opened)
    done: dict[bool, list[str]] = {True: [], False: []}
    failed = []
    for index, run in enumerate(progress_bar(found, len(found), "run", progress)):
        run_id = run.id if isinstance(run, AuditRun) else ids[index] if ids is not None else opened.location
        try:
            if isinstance(run, Exception):
                raise run
            done[_load(address, run)].append(run.id)
        except (AuditkitError, OSError) as error:
            failed.append(BatchFailure(run_id=run_id, error=error))
    return LoadReport(
        location=address.location,
        loaded=tuple(done[True]),
        unchanged=tuple(done[False]),
        failed=tuple(failed),
    )


def _load(address: Address, run: AuditRun) -> bool:
    """Whether a run had to be written."""
    for attempt in range(_ATTEMPTS):
        try:
            stored = _stored(address, run)
            if stored.hash is not None and stored.hash == _Content(run, stored.rows).digest:
                return False
            _write(address, run, stored)
            return True
        except HeaderChanged as change:
            run = change.run
        except BusyDatabase:
            if attempt == _ATTEMPTS - 1:
                raise
    raise DatabaseError(f"Run {run.id!r} changes while it is read. Load it again when it is settled.")


class _Stored(NamedTuple):
    """The hash of a run as it was loaded, None where there is none, and how many rows there are of it."""

    hash: str | None
    rows: int


def _stored(address: Address, run: AuditRun) -> _Stored:
    rows = sa.select(sa.func.count()).select_from(RESULTS).where(RESULTS.c[RUN_ID] == run.id)
    with reading(address) as connection:
        stored = connection.execute(sa.select(RUNS.c[HASH]).where(RUNS.c[RUN_ID] == run.id)).scalar()
        return _Stored(stored, (connection.execute(rows).scalar() or 0) if stored else 0)


def _write(address: Address, run: AuditRun, seen: _Stored) -> None:
    """The whole run in one transaction; its row is claimed first, so that another load waits for it."""
    here = RUNS.c[RUN_ID] == run.id
    with writing(address) as connection:
        record = record_of(run.header) | {HASH: None, COUNT: None}
        claimed = sa.select(RUNS.c[ORDER], RUNS.c[HASH]).where(here)
        row = connection.execute(claimed if address.kind in FILES else claimed.with_for_update()).first()
        if (None if row is None else row[1]) != seen.hash:
            raise BusyDatabase(f"Run {run.id!r} in {address.location} is being loaded. Try again later.")
        if row is None:
            last = connection.execute(sa.select(sa.func.max(RUNS.c[ORDER]))).scalar() or 0
            connection.execute(sa.insert(RUNS).values(**record, **{ORDER: last + 1}))
        else:
            connection.execute(sa.update(RUNS).where(here).values(**record))
        connection.execute(sa.delete(RESULTS).where(RESULTS.c[RUN_ID] == run.id))
        batches = inserted(connection, run.header, run.batches(), address.location)
        content = _Content(dataclasses.replace(run, batches=lambda: batches))
        connection.execute(sa.update(RUNS).where(here).values({HASH: content.digest, COUNT: content.rows}))


class _Content:
    """The SHA-256 of all that a run holds: of its JSON, which loses nothing, and of what it cannot carry."""

    def __init__(self, run: AuditRun, rows: int | None = None):
        self._digest = hashlib.sha256(repr(run.absent_fields).encode())
        self.rows = 0
        counted = dataclasses.replace(run, batches=lambda: map(self._count, run.batches()))
        format: Format = get_format("json")
        format.write(counted, self)
        self.digest = None if rows not in (None, self.rows) else self._digest.hexdigest()

    def write(self, data: Any) -> None:
        """Take some bytes of the JSON."""
        self._digest.update(data)

    def _count(self, batch: Any) -> Any:
        self.rows += len(batch)
        return batch
