"""The export log as a frame."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditkit.disk import named_errors
from auditkit.errors import InvalidOptionError, Problem, VerificationError
from auditkit.exportlog.chain import Chain, read_chain
from auditkit.exportlog.logfile import LOG_NAME, opened_to_read
from auditkit.locking import try_lock_for
from auditkit.store import Location, StorePath, location_of

if TYPE_CHECKING:
    import pandas as pd

_PATIENCE_SECONDS = 5.0
_COLUMNS = {
    "seq": "int64",
    "time": "datetime64[us, UTC]",
    "event": "str",
    "actor": "str",
    "path": "str",
    "format": "str",
    "run_ids": "object",
    "rows": "str",
    "bytes": "Int64",
    "sha256": "str",
    "plain_sha256": "str",
    "source": "str",
    "filter": "object",
    "options": "object",
    "seconds": "float64",
    "reused": "boolean",
    "error": "str",
    "begin": "Int64",
    "version": "str",
    "hash": "str",
}


def log_path(place: str | os.PathLike[str]) -> Path:
    """The log that is meant by a folder, by a place in a store, or by its own path."""
    path = location_of(place)
    if isinstance(path, StorePath):
        return default_log(path)
    return path / LOG_NAME if path.is_dir() else path


def log_of(folder: Location, log: str | os.PathLike[str] | None) -> Path:
    """The log of a folder, unless another is named, by its path or its folder.

    Raises
    ------
    InvalidOptionError
        If that is in a store.
    """
    return default_log(folder) if log is None else log_path(local_log(log))


def local_log(log: str | os.PathLike[str]) -> Path:
    """The path of a log that is named.

    Raises
    ------
    InvalidOptionError
        If it is in a store.
    """
    path = location_of(log)
    if isinstance(path, StorePath):
        raise InvalidOptionError(
            f"The export log cannot stand in a store, where nothing can be appended: log={path}. "
            f"Give a path of this machine, or leave it out for {LOG_NAME} in the working folder."
        )
    return path


def default_log(folder: Location) -> Path:
    """The log of a folder: in it, or, of a folder in a store, in the working folder."""
    return Path.cwd() / LOG_NAME if isinstance(folder, StorePath) else folder / LOG_NAME


@contextmanager
def held_still(path: Path) -> Iterator[tuple[Chain, bool]]:
    """The lines of a log that nobody writes to meanwhile, and whether that could be had.

    Whoever holds the lock for more than some seconds is alive: what it began is then not to be judged.
    """
    with opened_to_read(path) as lines:
        with named_errors(path):
            ours = try_lock_for(lines.fileno(), _PATIENCE_SECONDS)
            chain = read_chain(lines)
        yield chain, ours


def read_export_log(place: str | os.PathLike[str] = "exports") -> pd.DataFrame:
    """One row an entry of an export log, in the order in which they were written.

    Parameters
    ----------
    place : path or URL
        A folder of exports, or the log file itself. Of a store: the log in the working folder.

    Returns
    -------
    DataFrame
        seq, time (`datetime64[us, UTC]`), event (begin, commit, failed, removed, recovered, held,
        released), actor, path (seen from the log's folder), format, run_ids (list), rows (`"8 of 8"`),
        bytes, sha256, plain_sha256 (of an encrypted file: what decrypting it gives), source, filter,
        options, seconds, reused, error, begin (the seq that a commit belongs to), version, and hash, the
        SHA-256 of the line.

    Raises
    ------
    FileNotFoundError
        If there is no log.
    VerificationError
        If its chain is broken; the message names the first line.

    Examples
    --------
    >>> import auditkit as ak
    >>> receipt = ak.export_audit_run("run-001", "csv", source="sample_data/runs", output_dir=folder)
    >>> log = ak.read_export_log(folder)
    >>> log[["event", "rows", "path"]].to_numpy().tolist()  # doctest: +NORMALIZE_WHITESPACE
    [['begin', '8 of 8', 'audit-run-run-001-2024-01-15.csv'],
     ['commit', '8 of 8', 'audit-run-run-001-2024-01-15.csv']]
    >>> receipt.log_head == log.hash.iloc[-1]
    True
    """
    path = log_path(place)
    with held_still(path) as (chain, _):
        pass
    if chain.damage:
        problems = [Problem("log", path.name, detail) for detail in chain.damage]
        raise VerificationError(
            f"The export log {path} is damaged: {problems[0].detail}. "
            "`verify_exports` lists everything; go back to a copy of the log.",
            problems,
        )
    return entries_frame([{**entry.record, "hash": entry.hash} for entry in chain.entries])


def entries_frame(records: Sequence[Mapping[str, Any]], first: Mapping[str, str] = {}) -> pd.DataFrame:
    """One row an entry, whose hash stands among what it says; with more columns in front, by their dtype."""
    import pandas as pd

    dtypes = {**first, **_COLUMNS}
    columns = {
        name: pd.Series([_shown(record.get(name)) for record in records], dtype=object) for name in dtypes
    }
    times = pd.to_datetime(columns["time"], utc=True, format="ISO8601", errors="coerce")
    columns["time"] = times.dt.as_unit("us")
    return pd.DataFrame(columns).astype(dtypes)


def _shown(value: Any) -> Any:
    """A value as a frame can hold it: names of files need not be Unicode, and say so as `\\udcff`."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
