"""The export log in a database, too: the lines of the log file, copied as they are written."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auditkit.errors import AuditkitError, Problem, VerificationError
from auditkit.exportlog.chain import line_hash, read_chain, read_line
from auditkit.exportlog.log import ExportLog
from auditkit.exportlog.logfile import opened_to_read
from auditkit.exportlog.reading import entries_frame
from auditkit.publish import Begun, Published, PublishLog, Staged
from auditkit.sources.sql.address import address_of

if TYPE_CHECKING:
    import pandas as pd

    from auditkit.sources.sql.logtable import Known

TABLE = "audit_export_log"
_PATIENCE_SECONDS = 60.0
_SHORT_TEXTS = ("event", "time", "actor", "path", "format", "rows", "sha256")
T = TypeVar("T")
log = logging.getLogger("auditkit")


class SqlExportLog:
    """A table that is given every line of the export logs whose exports name it.

    The log file stays: what verifies, holds and cleans up reads it. The table `audit_export_log` takes
    the same lines of any number of logs, on any number of machines; a log is known by the hash of its
    first line. It is made if it is not there. What the table lacks, after an outage for example, is
    caught up with by the next export.

    Parameters
    ----------
    url : str
        Of the database: `postgresql+psycopg://host/audits`, `sqlite:///audit.sqlite`, …

    Raises
    ------
    NoSourceError
        If it is no URL of a database.
    MissingExtraError
        If SQLAlchemy is not installed.

    Notes
    -----
    If the table cannot be written when an export begins, it fails: there is no file, and the log file says
    so. If it cannot be written afterwards, the file stands, and a warning is logged.

    Examples
    --------
    >>> import auditkit as ak
    >>> log = ak.SqlExportLog(f"sqlite:///{folder}/log.sqlite")
    >>> receipt = ak.export_audit_run(
    ...     "run-001", "csv", source="sample_data/runs", output_dir=folder, log=log
    ... )
    >>> log.read()[["seq", "event", "rows"]].to_numpy().tolist()
    [[1, 'begin', '8 of 8'], [2, 'commit', '8 of 8']]
    """

    def __init__(self, url: str):
        self._address = address_of(url)

    def __repr__(self) -> str:
        return f"SqlExportLog({self.location!r})"

    @property
    def location(self) -> str:
        """The URL, without password."""
        return self._address.location

    def beside(self, file: ExportLog) -> PublishLog:
        """What records exports in a log file, and then in the table."""
        return _Beside(file=file, table=self)

    def copy(self, path: str | os.PathLike[str]) -> int:
        """Give the table those lines of a log file that it lacks; how many these were.

        Raises
        ------
        DatabaseError
            If the table cannot be written.
        VerificationError
            If the table holds other lines of that log than the file.
        """
        from auditkit.sources.sql import logtable

        file = Path(path)
        with opened_to_read(file) as lines:
            first = lines.readline()
        if not first.endswith(b"\n"):
            return 0
        name = line_hash(first)

        def add() -> int:
            with logtable.written(self._address) as table:
                known = table.known(name)
                return table.add(list(_lacking(file, name, known)))

        return _patiently(add)

    def read(self) -> pd.DataFrame:
        """One row a line of each log in the table, as `read_export_log` gives them.

        Returns
        -------
        DataFrame
            log (the hash of its first line), then the columns of `read_export_log`; log by log.

        Raises
        ------
        VerificationError
            If the chain of one of them is broken; the message names the first line.
        DatabaseError
            If the table cannot be read.
        """
        from auditkit.sources.sql import logtable

        lines = _patiently(lambda: logtable.lines(self._address))
        records: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for name, own in lines.items():
            chain = read_chain(own)
            damage = list(chain.damage)
            if own and line_hash(own[0]) != name:
                damage.append("line 1 is not the one that the log is named for")
            problems += [Problem("log", name, detail) for detail in damage]
            records += [{**entry.record, "hash": entry.hash, "log": name} for entry in chain.entries]
        if problems:
            raise VerificationError(
                f"The table {TABLE} of {self.location} is damaged: log {problems[0].path}: "
                f"{problems[0].detail}. Compare it with the log file, which holds the same lines.",
                problems,
            )
        return entries_frame(records, {"log": "str"})


@dataclass(frozen=True, kw_only=True)
class _Beside:
    """A log file, and the table that is given its lines."""

    file: ExportLog
    table: SqlExportLog

    def publishing(self, staged: Sequence[Staged]) -> AbstractContextManager[Begun]:
        """`begin` on entering, then `commit` or `failed`, in the file and then in the table."""
        return self._publishing(staged)

    def beside(self, file: ExportLog) -> PublishLog:
        """The same table beside another log file."""
        return self.table.beside(file)

    @contextmanager
    def _publishing(self, staged: Sequence[Staged]) -> Iterator[Begun]:
        with self.file.publishing(staged) as begun:
            self.table.copy(self.file.path)

            def commit(outcomes: Sequence[Published | Exception]) -> str | None:
                head = begun.commit(outcomes)
                self._catch_up()
                return head

            yield Begun(head=begun.head, commit=commit)

    def _catch_up(self) -> None:
        try:
            self.table.copy(self.file.path)
        except (AuditkitError, OSError) as error:  # the file is there, and its log says so
            log.warning(
                "the export stands in %s, but not yet in the database: %s. The next export catches up.",
                self.file.path,
                error,
            )


def _patiently(action: Callable[[], T]) -> T:
    """What an action gives, tried again while another one writes into the same database."""
    from auditkit.sources.sql.refusals import BusyDatabase

    end, pause = time.monotonic() + _PATIENCE_SECONDS, 0.01
    while True:
        try:
            return action()
        except BusyDatabase:
            if time.monotonic() > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 0.2)


def _lacking(path: Path, name: str, known: Known) -> Iterator[dict[str, Any]]:
    """The rows of the lines that a table lacks, which has so many of them."""
    number = 0
    with opened_to_read(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                break
            if number == known.lines and line_hash(line) != known.hash:
                raise _differs(path, f"line {number} is another one in the database")
            if number > known.lines:
                yield _row(name, number, line)
    if number < known.lines:
        raise _differs(path, f"it has {number} lines, the database {known.lines}")


def _differs(path: Path, detail: str) -> VerificationError:
    return VerificationError(
        f"The export log {path} is not the one that the database knows: {detail}. "
        "Go back to a copy of the log that holds all its lines.",
        [Problem("log", path.name, detail)],
    )


def _row(name: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = read_line(line)
    except ValueError:  # damaged: it is kept as it is
        record = {}
    row: dict[str, Any] = {key: _text(record.get(key)) for key in _SHORT_TEXTS}
    ids = record.get("run_ids")
    return row | {
        "log": name,
        "seq": number,
        "hash": line_hash(line),
        "prev": record.get("prev"),
        "bytes": record.get("bytes"),
        "run_ids": None if ids is None else json.dumps(ids),
        "record": line.removesuffix(b"\n").decode("latin-1").replace("\0", "\\0"),
    }


def _text(value: Any) -> str | None:
    """A text that every database holds."""
    if value is None:
        return None
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
